/* The jobs whose tasks this process may see: their parameters and limits.
 *
 * The host thread learns of jobs from the daemon; runners look them up once a chunk and hold a reference while tasks of
 * it are unfinished. The daemon says JOB before it submits the job's first chunk, but the ring is faster than the
 * socket: a runner that meets an unknown job waits for the host thread to learn it. Plain jobs (WIRE_CHUNK_PLAIN) it
 * knows from the chunk: they are listed while they are referenced, or cancelled and not yet forgotten. One short lock protects the table;
 * a job's own fields are constant but for `cancel`.
 */
#ifndef CONCD_WORKER_JOBTABLE_H
#define CONCD_WORKER_JOBTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct jobtable;
struct params;

struct worker_job {
	uint64_t id;
	uint32_t workers;
	uint32_t flags; /* WIRE_JOB_* */
	int64_t task_timeout_ns; /* 0: none */
	int64_t grace_ns;
	struct params *params; /* owned, but for a plain job's */
	bool plain;

	/* WIRE_CANCEL_*, 0: not cancelled. Set by the host thread, read by tasks. Relaxed: it is looked at again and
	 * again, and nothing else is published with it. */
	_Atomic uint32_t cancel;

	/* The table's, under its lock. */
	struct worker_job *next;
	uint32_t refs;
	bool listed; /* found by id: not forgotten, not replaced */
};

/* plain_params (borrowed) are those of plain jobs. 0, -ENOMEM */
int jobtable_open(struct params *plain_params, struct jobtable **ret_table);
void jobtable_close(struct jobtable *table); /* NULL is fine; no references are held */

/* Host thread. Add a job, whose params the table takes; a job of the same id is replaced for what begins from now on.
 * 0 or -ENOMEM, and then params stay the caller's. */
int jobtable_add(struct jobtable *table, const struct worker_job *job);
void jobtable_forget(struct jobtable *table, uint64_t id);
/* Cancel what runs of the job and what begins of it; the caller then wakes the runners. 0 or -ENOMEM. */
int jobtable_cancel(struct jobtable *table, uint64_t id, uint32_t reason);
/* The shortest task time limit of any job. 0: none has one. */
int64_t jobtable_shortest_timeout_ns(struct jobtable *table);

/* Runners. The job of a chunk with these flags; blocks until it is known. The reference is given back by
 * jobtable_put(). */
struct worker_job *jobtable_get(struct jobtable *table, uint64_t id, uint32_t chunk_flags);
void jobtable_put(struct jobtable *table, struct worker_job *job);

#endif
