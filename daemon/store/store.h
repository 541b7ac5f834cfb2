/* The store: what was accepted, what was started and how it ended, in SQLite (WAL, synchronous=FULL). The only user of
 * sqlite3.h.
 *
 * Writing. The control thread fills in a struct store_op and submits it; the writer thread takes all that is queued,
 * runs it in one transaction, commits, and posts the ops back to the loop in the order of submission, each with its
 * status. It begins as soon as it is idle, so a burst makes few large commits. An op and everything it points to
 * belongs to the store until its on_done; the control thread must not change it meanwhile. Where the disk is full or
 * failing the transaction is rolled back as a whole: ops that can be refused (may_fail) come back with -ENOSPC (also
 * for other reasons that somebody may mend meanwhile: the disk is read-only, the file was moved away) or -EIO, the others wait
 * and are tried again each second, in order; store_stalled() says so, and why. Deletions then go first, at the
 * expense of a reserve file beside the database. An op that is itself at fault (a key that is there, a job that is not)
 * comes back with its own status and does not touch its neighbours.
 *
 * Reading. store_read_*() queue a request for the reader thread, which has its own connection and sees every commit
 * whose ops have been reported; the answer is posted to the loop.
 *
 * One row per job; inputs in rows of packed inputs; results in segments, with rows of single tasks only while their
 * segment is open. The keys make a second outcome for (job, task, part) impossible: then an op comes back -EEXIST.
 * Every op of a job that is not there comes back -ENOENT. Numbers are kept in 63 bits.
 *
 * Every call belongs to the control thread.
 */
#ifndef CONCD_STORE_STORE_H
#define CONCD_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/loop.h"

struct error;
struct segment;
struct segment_sums;
struct store;

struct store_options {
	const char *path; /* of the database, in the state directory; made with mode 0600 */
};

/* Open or create, migrate, and start the threads. Blocks (start-up only). 0 or -errno with words: another schema than
 * this program knows, another program's database, no permission, read-only. A damaged one is moved aside, loudly, and an
 * empty one takes its place: store_damaged(). */
int store_open(struct loop *loop, const struct store_options *options, struct store **ret_store, struct error *err);
/* Finish what is queued, commit, stop the threads, checkpoint, close. Blocks. Ops and reads still out, and those that
 * their on_done submits, run their on_done before it returns; where the disk is full they fail instead of waiting.
 * A deletion that is not through goes on at the next opening. Not from an on_done. NULL is fine. */
void store_close(struct store *store);

bool store_stalled(const struct store *store, const char **ret_why); /* writes are failing and waiting for room */

/* Words on a store that was damaged and moved aside when this one was opened, or that was opened without its log (its jobs run, the
 * latest are lost); NULL: it was sound. */
const char *store_damaged(const struct store *store);

/* Look through a store without changing it, also while a daemon uses it: the file, every checksum, what belongs together.
 * say() gets a line for each finding and one that sums up. 0: it is sound; -EBADMSG: it is damaged, as was said; else
 * -errno with words: -ENOENT, -ENOTSUP (newer), -EINVAL (another program's), -EACCES, -EIO. Blocks for as long as reading all
 * of it takes. Any thread. */
int store_check(const char *path, void (*say)(void *arg, const char *line), void *arg, struct error *err);

struct store_stats {
	uint64_t commits;
	uint64_t ops;
	uint64_t bytes; /* of the database and its log */
};
void store_stats(const struct store *store, struct store_stats *ret_stats);

/* ---- Writing ---- */

enum store_op_type {
	STORE_JOB_ADD, /* a job's row, and its first input rows, in one transaction */
	/* More rows of inputs of an open job, all or none of them, which may close it; -ESTALE: it is closed, or has
	 * another number of tasks than `from`. */
	STORE_INPUT_ADD,
	STORE_JOB_STATE, /* state, times, error, sums: job row update; not the total; `open` only from true to false */
	/* Another specification of a job (-ENOENT: there is none): it was changed, or a service's stanza was. */
	STORE_JOB_SPEC,
	STORE_SEGMENT, /* a full segment; deletes the task rows and started marks that it replaces */
	STORE_TASKS, /* outcomes of single tasks of open segments */
	STORE_STARTED_SET, /* started marks, for tasks that must not run twice */
	STORE_STARTED_CLEAR, /* taken back unbegun */
	/* Steps of divided tasks (ring/step.h): the splitting, with its parts, or outcomes of parts. Their numbers take the
	 * place of tasks in u.tasks; the started marks that they make void go. All are removed with the task's outcome. */
	STORE_STEPS,
	STORE_CRASH, /* deaths that count against a task, before it is tried again; replaces what was there */
	STORE_JOB_DELETE, /* the job and all that belongs to it, in slices; reported when all is gone: out of order */
	STORE_WORKER_ADD, /* a worker process: pid and start time */
	STORE_WORKER_DEL,
	STORE_PLUGIN_PUT, /* a plugin's description */
	STORE_HOLD_SET, /* a workload, or everything, is paused from now on, or no more */
	STORE_HOOK_DEL, /* the note that an ended job's hook is to be run; fine where there is none */
	STORE_NEXT_ID, /* no job below this id is ever named again: ids given to jobs that are not kept */
};

/* What of a job does not change after acceptance. Texts are owned by whoever holds the struct. */
struct store_job {
	uint64_t id;
	const char *submission; /* the client's id of this submission: unique; "": it has none */
	const char *workload;
	const char *spec; /* JSON object: model, shape, limits, parameters, label, as resolved at acceptance */
	const char *lane; /* only written, and told at recovery: the caller's words for whom it takes turns with; NULL: none */
	uint32_t uid; /* who submitted */
	int64_t created_unix_us;
};

/* What of a job changes. */
struct store_job_state {
	uint8_t state; /* enum job_state */
	bool open; /* more inputs may come */
	int32_t priority;
	uint64_t total; /* tasks on disk */
	int64_t started_unix_us, ended_unix_us; /* 0: not yet; a job has ended once ended_unix_us is set */
	uint64_t done, failed, cancelled;
	double cpu_s, wait_s, runq_s, wall_s; /* sums over its tasks; wall_s: of the job */
	uint64_t peak_rss_bytes; /* 0: unknown */
	const char *error_code; /* of the job itself; NULL: none */
	const char *error_text;
	bool hook; /* only written: note that this job has ended and its hook is to be run */
	const uint8_t *stalls; /* as jobs/stalls.h encodes them; owned as the texts are */
	size_t stalls_bytes; /* 0: none, or as before */
};

struct store_input {
	uint64_t first; /* number of its first task */
	uint32_t count;
	const uint8_t *packed; /* packed inputs */
	size_t packed_bytes;
};

struct store_task {
	uint64_t task;
	const uint8_t *blob; /* task_record_encode() */
	size_t blob_bytes;
};

/* What a task without an outcome has behind it. */
struct store_crash {
	uint64_t task;
	uint32_t crashes; /* deaths of its worker process that count against it */
	uint32_t attempts; /* begun so far */
	const char *cause; /* words on the last one */
};

struct store_range {
	uint64_t first, count;
};

struct store_op {
	enum store_op_type type;
	bool may_fail; /* report a full disk instead of waiting */
	uint64_t job; /* every type that concerns one */
	union {
		struct { /* STORE_JOB_ADD; -EEXIST: the submission is known, existing_job says as which job */
			struct store_job job;
			struct store_job_state state;
			const struct store_input *inputs;
			size_t n_inputs;
			uint64_t input_bytes; /* of all of them */
			uint64_t existing_job;
		} add;
		struct { /* STORE_INPUT_ADD */
			const struct store_input *rows;
			size_t n_rows;
			uint64_t bytes; /* of all of them */
			uint64_t from, total; /* tasks before and after */
			bool last; /* no more will come */
		} input;
		struct store_job_state state; /* STORE_JOB_STATE */
		struct { /* STORE_JOB_SPEC: as in store_job */
			const char *spec, *lane;
		} respec;
		struct segment *segment; /* STORE_SEGMENT: packed by the writer thread */
		struct { /* STORE_TASKS, STORE_STEPS */
			const struct store_task *tasks;
			size_t n;
			bool divided; /* STORE_TASKS: these tasks may have steps on disk */
		} tasks;
		struct { /* STORE_STARTED_SET, STORE_STARTED_CLEAR */
			const struct store_range *ranges;
			size_t n;
		} started;
		struct store_crash crash; /* STORE_CRASH */
		struct { /* STORE_WORKER_ADD, STORE_WORKER_DEL */
			int32_t pid;
			uint64_t start_time; /* field 22 of /proc/PID/stat */
		} worker;
		struct { /* STORE_PLUGIN_PUT */
			const char *key; /* path, device, inode, size, mtime, ABI */
			const char *description;
		} plugin;
		struct { /* STORE_HOLD_SET */
			const char *workload; /* "": everything; then 0 ends all of them */
			int64_t since_unix_us; /* 0: no more */
		} hold;
		uint64_t next_id; /* STORE_NEXT_ID */
	} u;
	/* On the loop thread; status 0 or -errno as said above. The op is the caller's again. */
	void (*on_done)(struct store_op *op, int status);

	struct store_op *next; /* private to the store from here on */
	int status;
};

/* Queue an op; *op stays the caller's memory. Never blocks. */
void store_submit(struct store *store, struct store_op *op);
/* An op is about to be submitted, within microseconds: a writer that sleeps is woken now, and is awake when it comes. Where
 * this follows a lone submission's answer as fast, the writer and the loop stay awake for the next one after that of this one,
 * too. Where none comes, nothing is lost but a tenth of a millisecond of trying (expect.c). Never blocks. */
void store_expect(struct store *store);
/* What is submitted in between is queued at once at the end: the same transaction takes all of it, where nothing of it
 * is at fault. Not nested. */
void store_gather(struct store *store);
void store_gathered(struct store *store);
/* Queue an op in front of the next one that is submitted, or after a millisecond: for one whose answer nobody waits for
 * more than for that of an op that is likely to follow soon. */
void store_submit_late(struct store *store, struct store_op *op);
uint64_t store_queued(const struct store *store); /* ops submitted and not reported: for back-pressure */

/* ---- Reading, once at start-up, blocking ---- */

struct store_recovered_job {
	struct store_job job; /* texts valid during the callback */
	struct store_job_state state;
	/* Only of store_recover_jobs(): */
	uint64_t input_bytes;
	bool begun; /* something is recorded of its tasks */
};
/* Every job above this number that has not ended, oldest first. What the callback returns, but for 0, ends the walk and is
 * returned. */
int store_recover_jobs(struct store *store, uint64_t above, int (*fn)(void *arg, const struct store_recovered_job *job),
		       void *arg);
/* What is recorded of one job's tasks. */
struct store_recovery_ops {
	/* Recorded whole. */
	int (*on_segment)(void *arg, uint64_t first, uint32_t count, const struct segment_sums *sums);
	int (*on_task)(void *arg, uint64_t task, const void *blob, size_t len); /* of open segments; NULL: damaged */
	int (*on_started)(void *arg, uint64_t first, uint64_t count); /* marked and without an outcome */
	int (*on_input)(void *arg, uint64_t first, uint32_t count, size_t packed_bytes); /* a row of inputs */
	int (*on_crash)(void *arg, const struct store_crash *crash); /* of a task without an outcome */
	/* Steps of tasks without an outcome, by number: of each task the splitting first. blob NULL: damaged. */
	int (*on_step)(void *arg, uint64_t number, const void *blob, size_t len);
};
int store_recover_tasks(struct store *store, uint64_t job, const struct store_recovery_ops *ops, void *arg);
/* Worker processes recorded and not removed: survivors of a daemon that was killed. */
int store_recover_workers(struct store *store, int (*fn)(void *arg, int32_t pid, uint64_t start_time), void *arg);
int store_recover_holds(struct store *store, int (*fn)(void *arg, const char *workload, int64_t since_unix_us), void *arg);
/* Ended jobs whose hook was not run to its end, oldest first. */
int store_recover_hooks(struct store *store, int (*fn)(void *arg, uint64_t job), void *arg);
int store_job_ended(struct store *store, uint64_t job, uint8_t *ret_state); /* 1: it has, so; 0: it has not; -ENOENT; -errno */
/* Every job that there is and who submitted it, in order of their numbers. */
int store_recover_users(struct store *store, int (*fn)(void *arg, uint64_t job, uint32_t uid), void *arg);
int store_next_id(struct store *store, uint64_t *ret_id); /* the smallest id never given out */
/* A cached description, appended to ret_description (NUL-terminated, not counted). 0 or -ENOENT. */
int store_plugin_find(struct store *store, const char *key, struct buffer *ret_description);

/* ---- Reading while running ---- */

enum store_read_type {
	STORE_READ_INPUT, /* the row of inputs that holds task `task` */
	STORE_READ_SEGMENT, /* the one that holds `task`, decoded: recorded tasks, others QUEUED; -ENOENT: none is */
	STORE_READ_JOB, /* one ended or live job's row */
	STORE_READ_JOBS, /* rows of ended jobs, newest first */
	STORE_READ_LIST, /* the rows of jobs by number; those that are not there are left out */
	STORE_FIND_SUBMISSION, /* the job that a submission became */
	STORE_READ_LAST, /* the newest job of user `uid` below `below`: looks at all that are newer */
};

struct store_read {
	enum store_read_type type;
	uint64_t job;
	uint64_t task;
	uint64_t below; /* STORE_READ_JOBS, STORE_READ_LAST: ids below this one; 0: from the newest */
	uint32_t limit; /* STORE_READ_JOBS: rows at most (no more than 1,000) */
	bool unfinished; /* STORE_READ_JOBS: of jobs that have not ended too */
	/* STORE_READ_JOBS: look at so many rows at most, for those that fit what follows; 0: every row fits. Rows that do not are
	 * never read whole, and whoever else waits for the store has his turn between two looks. */
	uint32_t look;
	unsigned int states; /* then: of jobs that have ended, those in one of these (bit n: state n); 0: in any */
	const char *workload; /* then: of this one; the caller's; NULL: of any */
	const uint64_t *ids; /* STORE_READ_LIST: n_ids of them (no more than 1,000), the caller's */
	uint32_t n_ids;
	const char *submission;
	uint32_t uid; /* STORE_READ_LAST */
	/* On the loop thread. status 0, -ENOENT, -EBADMSG (damaged), -EIO. The request is the caller's again; what it
	 * found is valid until the callback returns, unless taken (take_ptr on input.data or segment). */
	void (*on_done)(struct store_read *read, int status);

	/* Found: */
	struct buffer input; /* packed */
	uint64_t input_first;
	uint32_t input_count;
	struct segment *segment;
	struct store_recovered_job *jobs; /* n_jobs of them; all but STORE_READ_JOBS give one */
	size_t n_jobs;
	uint64_t next_below; /* with `look`: go on below this id; 0: there are no more rows */

	struct store_read *next; /* private to the store from here on */
	int status;
};

void store_read(struct store *store, struct store_read *read);
/* Free what was found; the struct itself is the caller's. Called by the owner after (or in) on_done. */
void store_read_fini(struct store_read *read);

#endif
