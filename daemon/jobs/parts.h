/* Divided tasks: what has become of the parts of each.
 *
 *	RING_SPLIT ──> RECORDING ──(on disk)──> RUNNING ──(all parts done)──> COMBINING ──> the task's outcome
 *	                                           └──(a part failed, the others are dropped or have come back)──^
 *
 * A part, and the combining, is handed out, retried, marked as begun and counted for its crashes like a task, under a
 * number of its own (ring/step.h); only here its end is not the end of a task. Of a durable job the parts are on disk
 * before the first begins, and so is, a little after it came, what each gave: after a restart the missing parts run.
 * Only tasks that are divided now have anything here. The control thread's.
 */
#ifndef CONCD_JOBS_PARTS_H
#define CONCD_JOBS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crew_ended;
struct division;
struct job;
struct ranges;
struct task_record;

/* While a job's divided tasks hold this much in memory, no further task of it begins. */
#define PARTS_HOLD_BYTES (16u << 20)

struct parts {
	struct division *open; /* by task */
	uint64_t bytes; /* that they hold */
};

void parts_fini(struct job *job);
bool parts_possible(const struct job *job); /* its plugin divides inputs */
/* The splitting of a task ended with RING_SPLIT. What it gave is checked and copied. */
void parts_split(struct job *job, const struct crew_ended *ended, float queue_s);
/* How a step ended. Late ones, of a task that has its outcome, are ignored. */
void parts_put(struct job *job, uint64_t number, const struct task_record *record, const void *data, size_t len);
/* Its task has failed: the step is not to begin, nor to be tried again. */
bool parts_failing(const struct job *job, uint64_t number);
/* These came back unbegun, or are to run again, but their task has failed: they have ended. */
void parts_drop(struct job *job, uint64_t number, uint64_t count);

/* What of `ready` may be handed out next, as ranges_first(): parts before tasks, and of parts so many that every runner
 * gets some; no task while the open ones must come first. */
uint64_t parts_first(const struct job *job, const struct ranges *ready, uint64_t max, uint64_t *ret_from);
/* The packed inputs of parts from `number` on, as inputs_peek(). Never fails: a ready step has its input. */
void parts_peek(const struct job *job, uint64_t number, uint32_t max, size_t max_bytes, const uint8_t **ret_packed,
		size_t *ret_bytes, uint32_t *ret_count);

/* A row as STORE_STEPS wrote it, in order of numbers (blob NULL: damaged; its task fails); after the last of the job
 * parts_recovered(). 0, -EBADMSG: rows that cannot be, -ENOMEM. */
int parts_recover(struct job *job, uint64_t number, const void *blob, size_t len);
void parts_recovered(struct job *job); /* may be called again */

uint64_t parts_open(const struct job *job); /* tasks that are divided now */
uint64_t parts_waiting(const struct job *job); /* of the tasks that wait to be tried again: those that are parts */
int64_t parts_part(uint64_t number); /* as task_view.part */
bool parts_is_open(const struct job *job, uint64_t task);

#endif
