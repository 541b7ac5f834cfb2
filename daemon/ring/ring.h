/* The rings: one shared-memory segment between the daemon and the worker processes of one crew.
 *
 * Tasks travel to the workers in *chunks* of up to 64, results come back as *records* in a ring of bytes per runner.
 *
 *	daemon                                     segment                                  runner r
 *	ring_fill(chunk) ───────────────────> chunk block, claim word
 *	ring_submit(chunk) ─────────────────> submission ring (chunk numbers) ─────────────> ring_claim()
 *	                                      claim word {generation, owner, end, begun} <── ring_begin()
 *	ring_collect(r) <──────────────────── completion ring r: precise and advertised tail <── ring_record()
 *	ring_take_back(chunk): end := begun                                                      ring_publish()
 *
 * The claim word and the precise tail tell, of every task of a dead process: not taken, taken by whom, begun,
 * completed. The daemon decides from its private state (generation, count, done bits, its own copy of the geometry);
 * everything read from the segment is input from an untrusted process and is checked.
 *
 * Two halves with two headers: this one is the daemon's, worker_ring.h the worker's; layout.h is what both map. The
 * daemon's half belongs to one thread. No call here blocks.
 */
#ifndef CONCD_RING_RING_H
#define CONCD_RING_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

#define RING_MAX_RUNNERS 4095
#define RING_CHUNK_TASKS 64 /* tasks in one chunk at most */
#define RING_CHUNK_INPUT_BYTES 3072 /* packed inputs that fit a chunk; a single larger input goes to the arena */
#define RING_BIG_INPUT_BYTES (UINT32_C(1) << 20) /* the largest input */
#define RING_MAX_RESULT_BYTES (UINT64_C(64) << 20) /* the largest result, until ring_set_max_result() */

struct ring_geometry {
	uint32_t n_runners; /* processes x threads: 1..RING_MAX_RUNNERS */
	uint32_t n_chunks; /* units of submission */
	uint32_t ring_bytes; /* of each completion ring: a power of two, at least 16 KiB */
	uint32_t n_big; /* places for inputs larger than a chunk: at least 1 */
};

/* The geometry that a shape wants (DESIGN section 3): enough chunks that no free worker lacks one. */
struct ring_geometry ring_geometry_for(uint32_t processes, uint32_t threads, uint32_t coroutines);

/* Create the segment (a memfd, sealed against resizing) and its eventfd. 0; -EINVAL for a geometry out of range;
 * -ENOMEM, -EMFILE. */
int ring_open(const struct ring_geometry *geometry, struct ring **ret_ring);
void ring_close(struct ring *ring); /* NULL is fine */

int ring_segment_fd(const struct ring *ring); /* for the worker to map; stays the ring's */
int ring_event_fd(const struct ring *ring); /* readable when a worker woke the daemon; stays the ring's */
const struct ring_geometry *ring_geometry(const struct ring *ring);

/* The largest result that a runner may send: the max_result its process was told. A longer one in fragments is
 * garbage. */
void ring_set_max_result(struct ring *ring, uint64_t bytes);

/* Does every shared word that no call above has to read make sense (geometry, submission ring, idle mask, heads, words
 * of chunks in flight)? 0, or -EBADMSG: kill the crew. A walk over the segment's words, for a tick. */
int ring_check(const struct ring *ring);

/* ---- Feeding ---- */

/* The tasks of one chunk: `count` consecutive tasks of one job with their packed inputs (base/buffer.h), of which no
 * more than RING_CHUNK_INPUT_BYTES in all unless count is 1. */
struct ring_batch {
	uint64_t job;
	uint64_t first; /* number of the first task in its job */
	uint32_t count; /* 1..RING_CHUNK_TASKS, else -EINVAL */
	uint32_t flags; /* free for the layer above, seen by the worker */
	const uint8_t *packed;
	size_t packed_bytes;
};

/* How many chunks ring_fill() can still give out. */
uint32_t ring_free_chunks(const struct ring *ring);
/* Copy the batch into a free chunk; `user` comes back with its records. 0; -EAGAIN: no chunk free, or for a large
 * input no place in the arena, until something completes; -EMSGSIZE: an input over RING_BIG_INPUT_BYTES, or several
 * over RING_CHUNK_INPUT_BYTES; -EBADMSG: the submission ring's head is garbage (kill the crew). */
int ring_fill(struct ring *ring, const struct ring_batch *batch, void *user, uint32_t *ret_chunk);
/* Offer a filled chunk to the runners. */
void ring_submit(struct ring *ring, uint32_t chunk);
/* After submitting: wake at most n idle runners. Cheap where none is idle. Runners that sleep in their event base
 * are woken through their eventfd (ring_set_runner_fd()), the others by futex. */
void ring_wake(struct ring *ring, uint32_t n);
void ring_wake_all(struct ring *ring);
uint32_t ring_idle_runners(const struct ring *ring); /* a hint */
uint32_t ring_unclaimed_chunks(const struct ring *ring); /* submitted and not yet taken by a runner: a hint */

/* The eventfd of a runner, from its process's ready message. Not owned; -1 forgets it. It is written to at once, for a
 * runner that has been idle in its base since before it was known. */
void ring_set_runner_fd(struct ring *ring, uint32_t runner, int fd);

/* ---- Collecting ---- */

enum ring_record_kind {
	RING_RECORD_RESULT, /* a task ended */
	RING_RECORD_LOG, /* a line of the plugin's log; status is its CONCD_LOG_ level */
};

/* How a task ended, as its runner saw it. */
enum ring_status {
	RING_DONE, /* payload: the result */
	RING_FAILED, /* payload: the message; CONCD_FAIL_PERMANENT */
	RING_FAILED_INPUT, /* payload: the message; CONCD_FAIL_INPUT */
	RING_FAILED_RETRY, /* payload: the message; retry_after_ns says when, -1: no wish */
	RING_CANCELLED, /* payload: empty */
	RING_TIMEOUT, /* payload: empty; its own time limit passed */
	RING_TOO_LARGE, /* payload: the message; the result was over max_result */
	RING_SPLIT, /* payload: the packed inputs of its parts; it is not done */
	RING_STATUS_COUNT,
};

/* One record. */
struct ring_record {
	uint8_t status; /* enum ring_status, checked; or a log level */
	uint32_t index; /* of the task in its chunk, for RESULT */
	float wall_s, cpu_s, runq_s; /* checked: finite, >= 0, cpu + runq <= wall after clamping */
	int64_t begin_ns; /* CLOCK_MONOTONIC; checked to be no later than the record's collection */
	int64_t retry_after_ns;
	/* Payload, valid during the callback; in shared memory: copy it, then interpret it. What lies behind it up to the next
	 * multiple of 8 bytes may be read as well. */
	const uint8_t *data;
	size_t len;
};

/* Records of one runner that followed each other: results of consecutive tasks of one chunk, in their order; or one log
 * line. */
struct ring_run {
	enum ring_record_kind kind;
	uint32_t n; /* 1..RING_CHUNK_TASKS */
	const struct ring_record *records; /* n of them, valid during the callback */
	bool all_done; /* RESULT: every status is RING_DONE */
	double wall_s, cpu_s, runq_s; /* RESULT: sums over the records */
	bool chunk_done; /* with this run the chunk is complete and free again; `user` is given a last time */
	uint32_t runner;
	uint32_t chunk;
	void *user; /* of the chunk, for RESULT; else NULL */
};

typedef void (*ring_run_fn)(void *arg, const struct ring_run *run);

/* Hand every advertised record of the runner to fn, in runs as long as they come, at most max_records. The number of
 * records handed on; -EBADMSG: the runner wrote garbage (unknown chunk, stale generation, a task already done, a length
 * beyond the ring): its process must be killed, its remaining records are void. fn must not call into the ring except
 * ring_fill/ring_submit. */
int ring_collect(struct ring *ring, uint32_t runner, uint32_t max_records, ring_run_fn fn, void *arg);
/* The same over all runners, in turn. -EBADMSG leaves the guilty runner in *ret_runner. */
int ring_collect_all(struct ring *ring, uint32_t max_records, ring_run_fn fn, void *arg, uint32_t *ret_runner);

/* Before the daemon's thread sleeps: announce it, and look once more (at the precise tails as well). true: go to sleep,
 * a worker that completes a chunk will write to ring_event_fd(). false: records are there, collect first. */
bool ring_prepare_sleep(struct ring *ring);
/* The same for a nap that the caller ends by itself after a millisecond or so. Where many chunks wait to be claimed, workers
 * write to ring_event_fd() only when half of them are gone, or their ring fills up. The precise tails are looked at where
 * the caller says so: their lines are the runners', which write them with every record and lose time each time that
 * somebody looks. */
bool ring_prepare_nap(struct ring *ring, bool precisely);
bool ring_has_backlog(const struct ring *ring); /* so many chunks wait: a hint */
void ring_awake(struct ring *ring); /* undo; drains ring_event_fd() */

/* ---- Taking back, and after a death ---- */

struct ring_chunk_state {
	uint64_t done; /* bit i: a record of task i has been collected */
	uint32_t count;
	uint32_t begun; /* tasks 0..begun-1 were begun */
	uint32_t end; /* tasks begun..end-1 may still begin */
	int32_t runner; /* owner; -1: not taken */
	void *user;
};

/* The chunk now. 0; -ENOENT: not in flight; -EBADMSG: its shared word is garbage (kill the crew). */
int ring_chunk_state(const struct ring *ring, uint32_t chunk, struct ring_chunk_state *ret_state);
/* Take back every task of the chunk that is not begun: tasks *ret_begun..*ret_end-1 are the caller's again. Where the
 * chunk has thereby nothing left to wait for it is free when this returns (*ret_free; its user pointer is void). 0;
 * -ENOENT; -EBADMSG. */
int ring_take_back(struct ring *ring, uint32_t chunk, uint32_t *ret_begun, uint32_t *ret_end, bool *ret_free);

/* After the death of a process is certain (its pidfd is readable), for each of its runners: first
 * ring_collect_dead(), which reads up to the precise tail; then ring_reap() for the chunks. */
int ring_collect_dead(struct ring *ring, uint32_t runner, ring_run_fn fn, void *arg);

/* What a dead runner left of one chunk. The bits of `begun_lost` were begun and have no record; tasks
 * unbegun_first..unbegun_end-1 were never begun. */
struct ring_left {
	uint32_t chunk;
	void *user;
	uint64_t begun_lost;
	uint32_t unbegun_first;
	uint32_t unbegun_end;
};
typedef void (*ring_left_fn)(void *arg, const struct ring_left *left);
/* Hand on what the runner owned, free those chunks, clear its idle bit and reset its completion ring for a successor;
 * wakes idle runners. 0 or -EBADMSG (kill the crew). */
int ring_reap(struct ring *ring, uint32_t runner, ring_left_fn fn, void *arg);
/* Before a process is started in a place that had none: what lives may have scribbled over its runner's words and ring since
 * they were reset. */
void ring_renew(struct ring *ring, uint32_t runner);
/* All chunks in flight of the whole segment, after every process of the crew has ended: frees them all. */
void ring_reap_all(struct ring *ring, ring_left_fn fn, void *arg);

/* What the runner's fault handler or last switch left: chunk and index of the task on its processor. */
struct ring_running {
	bool faulted; /* a fault handler named this runner */
	int signal; /* then: which */
	bool running; /* a task was on its processor */
	uint32_t chunk;
	uint32_t index;
};
void ring_running(const struct ring *ring, uint32_t runner, struct ring_running *ret_running);

/* The progress that a task in flight last reported: 0.0 to 1.0; negative: none. */
float ring_progress(const struct ring *ring, uint32_t chunk, uint32_t index);

#endif
