/* Jobs: what was submitted, what has become of it, and which task runs next. The control thread's.
 *
 *	            ┌──────── open ───────┐ (inputs still arriving; runs what it has)
 *	accepted ───┤                     ├──> running ──> done | failed | cancelled
 *	            └─────── queued ──────┘      │ ^
 *	                                         v │
 *	                                        paused
 *
 * A job is accepted when its first piece is on disk. Its tasks are handed to a crew (schedule.c), their outcomes
 * gathered in segments and recorded (results.c), and only then shown to watchers.
 */
#ifndef CONCD_JOBS_JOBS_H
#define CONCD_JOBS_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "crew/model.h"
#include "jobs/quota.h"
#include "store/segment.h"

struct config;
struct config_pair;
struct crews;
struct error;
struct job;
struct jobs;
struct stall;
struct stalls;
struct loop;
struct store;
struct workloads;

enum job_state { JOB_OPEN, JOB_QUEUED, JOB_RUNNING, JOB_PAUSED, JOB_DONE, JOB_FAILED, JOB_CANCELLED };
const char *job_state_name(enum job_state state);
static inline bool job_state_ended(enum job_state state)
{
	return state >= JOB_DONE;
}

int jobs_open(struct loop *loop, const struct config *config, const struct workloads *workloads, struct store *store,
	      struct jobs **ret_jobs, struct error *err);
/* Recover every unfinished job from the store, in slices where they are many, then call on_started, perhaps before this returns,
 * and start handing out through these crews. Until then no other function may be called but those that end the daemon.
 * status 0, or -errno with words; it is not called any more after jobs_stop_services(). 0 or -errno with words. */
int jobs_start(struct jobs *jobs, struct crews *crews, void (*on_started)(void *arg, int status, const struct error *err),
	       void *arg, struct error *err);
/* The beginning of the end: hand out nothing more and stop every service, which has its grace for that, then call
 * on_stopped, perhaps before this returns. The tasks of other jobs go on meanwhile. */
void jobs_stop_services(struct jobs *jobs, void (*on_stopped)(void *arg), void *arg);
/* Record what is known; call on_stopped when the store has it. After crews_stop(). */
void jobs_stop(struct jobs *jobs, void (*on_stopped)(void *arg), void *arg);
/* The end, in two steps: jobs_let_go() forgets the crews and acts on nothing more (a client that goes now cancels nothing);
 * it comes before control_close() and crews_close(). jobs_close() frees; it comes after store_close(), whose last
 * reports still reach the jobs. NULL is fine for both. */
void jobs_let_go(struct jobs *jobs);
void jobs_close(struct jobs *jobs);
extern const struct crew_ops jobs_crew_ops; /* ctx: the struct jobs */

/* ---- Submitting ---- */

/* When a job gives up: after so many failed tasks, or that many of a hundred that have ended. */
struct job_halt {
	enum { JOB_HALT_NEVER, JOB_HALT_SOON, JOB_HALT_NOW } when; /* soon: what runs ends by itself */
	uint64_t fail; /* 0: by percent */
	uint32_t percent; /* 1..100 */
};
#define JOB_HALT_PERCENT_TASKS 10 /* ended tasks before a percentage means anything */
#define JOB_MAX_RETRIES 1000
#define JOB_PRIORITY_UNSET INT32_MIN
#define JOB_MAX_AFTER 1000

struct job_spec {
	const char *submission; /* the client's own id; NULL: none, and no answer can be asked for again */
	const char *workload;
	struct model_request model;
	const struct config_pair *params; /* -p */
	size_t n_params;
	int64_t timeout_ns; /* 0: none */
	int64_t task_timeout_ns; /* -1: the stanza's; 0: none */
	int64_t retries; /* -1: the stanza's */
	int64_t backoff_ns; /* -1: the stanza's */
	int32_t priority; /* JOB_PRIORITY_UNSET: the stanza's */
	struct job_halt halt;
	int64_t delay_ns; /* it does not begin before this has passed, by the date; 0: at once */
	int64_t expire_ns; /* it ends as failed where it has not begun by then; 0: never */
	const char *on_done; /* a hook of the configuration; "none"; NULL: the stanza's */
	const char *unique; /* NULL: none; else a job of this user and workload with this key that has not ended is joined */
	const uint64_t *after; /* jobs to follow */
	size_t n_after;
	bool after_any; /* however they end; else only where all are done */
	bool durable;
	bool streamed; /* whoever submits it waits for its results, not only for its number: it may begin before it is on disk */
	bool open; /* more pieces follow */
	const char *label; /* "" or NULL: none */
	uint32_t uid;
	bool dry_run; /* resolve and check only */
	bool service; /* only the jobs themselves ask for one: for a stanza with service = true */
	const struct job *like; /* job_retry() only: all but `open` and uid is as of this one */
	bool like_failed; /* of it, the tasks that did not do */
};

/* Called once on the loop, not before jobs_submit() returns: status 0 once the job is on disk (or kept, if not
 * durable); -EEXIST: this submission is known, as `job` (a success for the client); -EALREADY: it has joined `job`,
 * which has its unique key and has not ended (a success too, but the job is somebody else's submission); else -errno with
 * words. `job` is
 * valid during the call (job_ref() to keep it); NULL on failure and for an ended job that a known submission names (then
 * only existing_id is set). */
typedef void (*jobs_accepted_fn)(void *arg, int status, struct job *job, uint64_t existing_id, const struct error *err);

/* A submission came and is being parsed: the store's writer may wake up meanwhile. */
void jobs_expect_submission(struct jobs *jobs);
/* Check, resolve and accept. `inputs` are packed (checked here); ownership of its bytes moves when 0 is returned. 0: on_accepted
 * will follow; else -errno with words and code: no-such-workload, no-such-model, bad-parameter, too-large ... Where a limit on
 * what is unfinished (quota.h) is reached on_accepted gets -EBUSY, unless the submission is known. */
int jobs_submit(struct jobs *jobs, const struct job_spec *spec, struct buffer *inputs, jobs_accepted_fn on_accepted,
		void *arg, struct error *err);
/* The same checks without accepting; what would be chosen. */
int jobs_check(struct jobs *jobs, const struct job_spec *spec, struct model_choice *ret_choice, uint64_t *ret_joins,
	       struct error *err); /* ret_joins: the job that it would join; 0: none */

/* Add a piece to an open job: its inputs, packed (checked here, and copied); `from` is the number of tasks the client
 * believes to be on disk. 0: on_added follows with the number that is; else -errno with words and code: -ESTALE
 * (wrong-offset), the number that is on disk in *ret_have; -EPERM (wrong-state): it is not open; -EBUSY (busy): there is no
 * room for it now, and the job goes on waiting for it; -EMSGSIZE (too-large): there never will be; -EBADMSG (bad-request);
 * -ENOMEM. */
int job_add_inputs(struct job *job, uint64_t from, const uint8_t *packed, size_t bytes, bool last,
		   void (*on_added)(void *arg, int status, uint64_t have, const struct error *err), void *arg,
		   uint64_t *ret_have, struct error *err);

/* ---- Looking ---- */

/* Find or load a job; on_opened gets a reference to give back with job_unref(). May call back before it returns. status 0,
 * -ENOENT, -EIO. */
void jobs_get(struct jobs *jobs, uint64_t id, void (*on_opened)(void *arg, int status, struct job *job), void *arg);
/* The job that this user submitted last and that has not been removed: on_found once, perhaps before this returns, with status
 * 0, -ENOENT or -EIO. */
void jobs_last(struct jobs *jobs, uint32_t uid, void (*on_found)(void *arg, int status, uint64_t id), void *arg);
struct job *job_ref(struct job *job);
void job_unref(struct job *job);

/* A line of a job's log: of its plugin, or of the daemon about a service. */
struct job_log {
	uint64_t number; /* of the line: no other has it as long as the daemon runs; 0: none */
	const char *level; /* "error", "warning", "info", "debug" */
	uint32_t worker_pid; /* 0: the daemon says it */
	int64_t unix_us;
	const char *text; /* without control characters; valid during the callback, of a view as long as that */
};

/* Of a service, since this daemon started. */
struct service_view {
	bool is_service; /* else nothing of this says anything */
	bool failing; /* it failed so often in a row that it waits as long as it ever does */
	uint64_t restarts;
	uint32_t failures; /* in a row, each soon after its start */
	const char *cause; /* why it last failed; "" where it has not */
	int64_t up_ns; /* 0: it is not */
	int64_t next_try_ns; /* 0: none is due */
	const struct job_log *line; /* the last of its log; NULL: none yet */
};

struct job_view {
	uint64_t id;
	const char *submission, *workload, *label;
	uint32_t uid;
	enum job_state state;
	bool paused; /* it is by itself, not only as one of its workload, or of all */
	bool open;
	bool durable;
	uint64_t total; /* tasks so far; final unless open */
	uint64_t queued, running, done, failed, cancelled;
	const char *model; /* what it runs under */
	bool by_auto;
	const char *model_reason;
	struct shape shape;
	uint32_t workers;
	bool dedicated;
	const struct config_pair *params;
	const uint32_t *param_flags; /* CONCD_PARAM_SECRET: do not show */
	size_t n_params;
	int64_t timeout_ns, task_timeout_ns, grace_ns, backoff_ns;
	uint32_t retries;
	int32_t priority;
	struct job_halt halt;
	uint64_t retrying; /* of the queued tasks: those that wait to be tried again */
	const char *on_done; /* NULL: none */
	const char *unique; /* NULL: none */
	const uint64_t *after; /* n_after jobs that it follows */
	size_t n_after;
	bool after_any;
	int64_t begins_unix_us, expires_unix_us; /* not before, not after; 0: as it comes */
	int64_t created_unix_us, started_unix_us, ended_unix_us; /* 0: not yet */
	double wall_s, cpu_s, wait_s, runq_s; /* wall so far */
	uint64_t peak_rss_bytes; /* 0: unknown */
	const char *error_code, *error_text; /* of the job itself; NULL: none */
	const char *waiting; /* why it is not running now: words for people; "" where it is, or has ended */
	uint64_t recorded; /* outcomes on disk */
	const char *stack_note; /* what is worse than usual about how its stacks are guarded now; "": nothing */
	struct service_view service;
	uint64_t retry_of; /* it repeats this job, or some of its tasks; 0: none */
	bool removed; /* it is being removed, or is gone: there is nothing more to read */
};
void job_view(const struct job *job, struct job_view *ret_view); /* texts valid until the loop is returned to */
bool job_has_ended(const struct job *job); /* as its view says it, at less cost */

/* The same but for what runs: those tasks count as queued. It does not look into the memory of workers, whom that delays. */
void job_view_quick(const struct job *job, struct job_view *ret_view);

/* What jobs and rows can be passed over for at little cost. */
struct jobs_filter {
	unsigned int states; /* bit n: enum job_state n; 0: any */
	const char *workload; /* NULL: any; the caller's, until fn(arg, NULL) */
};
/* Live jobs in memory, newest first, below the id *below (0: all), of which at most `look` are looked at: fn is called for those
 * that fit (filter NULL: all), while it returns 0, and must leave the jobs as they are. *below: go on below this id; 0: there are
 * no more. Returns what fn did last. Parked ones (parked.h) and ended ones: jobs_list_ended(). */
int jobs_walk_newest(struct jobs *jobs, uint64_t *below, uint32_t look, const struct jobs_filter *filter,
		     int (*fn)(void *arg, struct job *job), void *arg);
/* Ended jobs, and those that are parked, newest first, below an id (0: all), at most limit: one call of fn per job while it returns
 * 0, then fn(arg, NULL), perhaps before this returns. While any are parked, those in memory may be told again: one could be loaded
 * between both looks. filter (NULL: all): those that have not ended may be told although their state does not fit. */
void jobs_list_ended(struct jobs *jobs, uint64_t below, uint32_t limit, const struct jobs_filter *filter,
		     int (*fn)(void *arg, const struct job_view *view), void *arg);

bool jobs_have_parked(const struct jobs *jobs);

struct jobs_view {
	uint64_t by_state[JOB_CANCELLED + 1]; /* live ones, and ended since the start */
	uint64_t tasks_done; /* since the start */
	struct quota_count unfinished; /* without services */
	uint64_t services, services_failing; /* live ones; of these, failing */
	bool stopping;
	const char *trouble; /* store stalled and the like; "" where all is well */
};
void jobs_view(struct jobs *jobs, struct jobs_view *ret_view);
/* Users of whom something is unfinished, in no order, while fn returns 0. */
int jobs_walk_users(const struct jobs *jobs, int (*fn)(void *arg, uint32_t uid, const struct quota_count *unfinished),
		    void *arg);

#define TASK_WHOLE (-1)
#define TASK_COMBINING (-2)

/* Running tasks of a job, for `show`: at most limit, while fn returns 0. */
struct task_view {
	uint64_t index;
	int64_t part; /* of a divided task; else TASK_WHOLE, or TASK_COMBINING */
	uint32_t worker_pid;
	uint16_t worker_thread;
	uint16_t attempts; /* a running task's: with this one */
	float progress; /* negative: none */
	const char *cause; /* why its last attempt did not do; "" where it is the first, or nothing is known */
	int64_t retry_in_ns; /* of one that waits */
};
int job_walk_running(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct task_view *view), void *arg);
/* The same for tasks that are divided, in the order in which they were: progress is in whole parts. */
struct divided_view {
	uint64_t index;
	uint32_t parts, parts_done;
};
int job_walk_divided(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct divided_view *view), void *arg);
/* The same for tasks that wait to be tried again, in no order. */
int job_walk_retrying(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct task_view *view), void *arg);

/* Tasks that held their thread for longer than `stall` (jobs/stalls.h), valid until the loop is returned to; NULL: none. */
const struct stalls *job_stalls(const struct job *job);

/* ---- Results ---- */

/* The segment that holds task `task`, with a reference (segment_unref()). 0; -EAGAIN: being read from disk, the job's
 * watchers hear on_progress when it is there; -ENOENT: no such task, or nothing of that segment is recorded yet; -EIO;
 * -ESTALE: the job was removed.
 * Only what segment_recorded() says is may be shown. */
int job_segment(struct job *job, uint64_t task, struct segment **ret_segment);
/* The caller will not ask for this segment again; its reference is still its own. In memory it need not stay, or
 * not as it is. */
void job_segment_passed(struct job *job, const struct segment *segment);
/* The packed inputs from task `task` on: points at task's own entry and says how many follow in the same run. 0; -EAGAIN as above;
 * -ENOENT; -EIO; -ESTALE. Valid until the loop is returned to. */
int job_inputs(struct job *job, uint64_t task, const uint8_t **ret_packed, size_t *ret_bytes, uint64_t *ret_count);

/* Who looks at it does not read on for now: an ended job that was loaded to be looked at gives back what it has in memory. What
 * is asked for again is read again. */
void job_put_out(struct job *job);

/* Watching: on_progress after outcomes were recorded or a read finished, on_state after a change of state (ended: all
 * outcomes are recorded and the row is on disk). A watch may be removed in its own callback. */
struct job_watch {
	void (*on_progress)(struct job_watch *watch);
	void (*on_state)(struct job_watch *watch, enum job_state state);
	void (*on_stall)(struct job_watch *watch, const struct stall *stall); /* it began, or ended; NULL: of no interest */
	void (*on_log)(struct job_watch *watch, const struct job_log *log); /* NULL: not told */
	struct job_watch *next, **prev; /* private */
};
void job_watch(struct job *job, struct job_watch *watch); /* the caller's memory, until job_unwatch() */
void job_unwatch(struct job_watch *watch); /* fine on one that is not watching (prev NULL) */

/* ---- Acting ---- */

/* Cancel: queued tasks at once, running ones cooperatively, then by the kill at the end of grace. The job's state becomes
 * cancelled when none is left (on_state). 0; -EALREADY (code wrong-state): it has ended. */
int job_cancel(struct job *job, struct error *err);
/* The same without grace: begun tasks are killed at once with their worker processes, whose other tasks run again. Also of a
 * job that is being cancelled. */
int job_kill(struct job *job, struct error *err);

/* Hand out nothing more until job_resume(); what has begun ends by itself, and the job's time limit stands still. Survives
 * the daemon. 0: on_done follows, perhaps before this returns, with status 0 once it is on disk, or -errno; else -errno with
 * words (wrong-state: ended, ending, or paused already; not paused). A service is asked to end, as by job_cancel(), and
 * on_done comes when it has; resuming starts it again. */
int job_pause(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err);
int job_resume(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err);

/* Stop a service and start it again in a new worker process; its failures are forgotten. 0: on_done follows, not before
 * this returns, once its task has begun again or that start has failed (job_view() tells), status 0; -ESHUTDOWN: the
 * daemon ended first. Else -errno with words (wrong-state: no service, paused, ended, being ended). */
int job_restart(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err);

/* Pause all jobs of a workload, its service too, or everything ("") but services, also what is still to come; apart from what is
 * paused by itself. 0: on_done follows with status 0 once it is on disk and the service is down, or -errno; else -errno with words
 * (no-such-workload; wrong-state: paused already). */
int jobs_hold(struct jobs *jobs, const char *workload, void (*on_done)(void *arg, int status), void *arg,
	      struct error *err);
/* No more; "" ends every hold. 1: on_done follows as above; 0: nothing was held; -errno. */
int jobs_release(struct jobs *jobs, const char *workload, void (*on_done)(void *arg, int status), void *arg,
		 struct error *err);
int jobs_walk_holds(const struct jobs *jobs, int (*fn)(void *arg, const char *workload, int64_t since_unix_us), void *arg);

/* What of a job can be changed before it has ended; its label always. */
#define JOB_CHANGE_WORKERS (1u << 0)
#define JOB_CHANGE_PRIORITY (1u << 1)
#define JOB_CHANGE_TIMEOUT (1u << 2)
#define JOB_CHANGE_RETRIES (1u << 3)
#define JOB_CHANGE_BACKOFF (1u << 4)
#define JOB_CHANGE_LABEL (1u << 5)
#define JOB_CHANGE_TASK_TIMEOUT (1u << 6)
/* Only before its first task was handed to a worker: */
#define JOB_CHANGE_MODEL (1u << 7)
#define JOB_CHANGE_SHAPE (1u << 8)
#define JOB_CHANGE_DELAY (1u << 9)
#define JOB_CHANGE_EXPIRE (1u << 10)
#define JOB_CHANGE_NO_AFTER (1u << 11) /* it follows no job any more */
#define JOB_CHANGE_AFTER (1u << 12) /* it follows these from now on */
#define JOB_CHANGE_AFTER_ANY (1u << 13) /* alone: those that it follows */
#define JOB_CHANGES_AFTER (JOB_CHANGE_NO_AFTER | JOB_CHANGE_AFTER | JOB_CHANGE_AFTER_ANY)
#define JOB_CHANGES_BEFORE (JOB_CHANGE_MODEL | JOB_CHANGE_SHAPE | JOB_CHANGE_DELAY | JOB_CHANGE_EXPIRE | JOB_CHANGES_AFTER)

#define JOB_CHANGE_TEXT_BYTES 64

struct job_changes {
	unsigned int what; /* JOB_CHANGE_...; only these count */
	uint64_t workers; /* how many of its tasks run at once: 1 to the size of its crew; before it has begun: of any crew of its model */
	int64_t priority; /* PROTOCOL_MIN_PRIORITY to PROTOCOL_MAX_PRIORITY */
	int64_t timeout_ns; /* of its whole running time; 0: none */
	uint64_t retries;
	int64_t backoff_ns;
	const char *label; /* "": none; copied */
	int64_t task_timeout_ns; /* 0: none; of tasks that begin from now on */
	char model[JOB_CHANGE_TEXT_BYTES], shape[JOB_CHANGE_TEXT_BYTES]; /* as of a submission: what is not said is by the stanza, but for workers that it was given */
	int64_t delay_ns, expire_ns; /* from now; 0: at once, never */
	const char *after; /* "3,5": text_parse_u64_list() takes it; copied */
	bool after_any; /* however they end; not given with `after`: as it was, else only where all are done */
};

/* All of them, or none where one is wrong (bad-workers, bad-request, bad-shape, no-such-model, no-such-job, not-thread-safe, wrong-state).
 * 0: on_done follows, perhaps before this returns, with status 0 once it is on disk; with -errno and no words where the disk does not
 * take it, though it is so; or with -errno and words where one was found to be wrong only now. */
typedef void (*job_set_fn)(void *arg, int status, const struct error *err);
int job_set(struct job *job, const struct job_changes *changes, job_set_fn on_done, void *arg, struct error *err);

/* Make a new job of this one, which has ended, for user `uid`: with all its inputs, or those of the tasks that are not done.
 * 0: on_accepted follows, not before this returns, once the first of them are on disk (existing_id: this job's number);
 * the rest follows by itself, also after a restart of the daemon. Else -errno with words (wrong-state). */
int job_retry(struct job *source, bool failed_only, uint32_t uid, jobs_accepted_fn on_accepted, void *arg,
	      struct error *err);

/* Remove a job that has ended, with all that belongs to it. Whoever still reads it is told by its watch, and finds `removed`
 * in its view. 0: on_done follows, perhaps before this returns, with status 0 once nothing of it is left, or -errno; else -errno
 * with words (wrong-state: it has not ended). */
int job_remove(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err);

/* Put a message of at most 64 KiB into the inbox of a running task; the bytes are copied. 0: on_sent follows once, not
 * before the call returns, perhaps after the job is gone: status 0, -EBUSY (the inbox is full), -ESRCH (the task stopped
 * running first). Else, with words and code: -ENOENT (no-such-task), -EALREADY or -EPERM (wrong-state: the job has ended,
 * the task is queued or not running any more), -EMSGSIZE (too-large), -ENOMEM. */
typedef void (*job_sent_fn)(void *arg, int status);
int job_send(struct job *job, uint64_t task, const void *data, size_t len, job_sent_fn on_sent, void *arg,
	     struct error *err);

#endif
