/* The outcomes of one job: gathered in segments, recorded, and kept at hand for those who watch.
 *
 *	put ──> open segment ──(full)──────────────> STORE_SEGMENT ──> recorded ──> recent ──> dropped (the store has it)
 *	             └──(a few, and some time has passed)─> STORE_TASKS
 *
 * A job that is not durable has its outcomes recorded at once; full segments are packed, stay in memory up to a limit for
 * all such jobs and go to the job's spill file beyond it.
 */
#ifndef CONCD_JOBS_RESULTS_H
#define CONCD_JOBS_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "jobs/ranges.h"
#include "store/segment.h"

struct crew_run;
struct job;
struct results_load;

struct result_slot {
	uint64_t number; /* of the segment: first / SEGMENT_TASKS */
	struct segment *segment; /* a reference; NULL: packed */
	uint8_t *packed; /* owned; then NULL: in the spill file */
	uint32_t packed_bytes;
	uint64_t spilled_at;
	uint64_t counted_bytes; /* of its segment, in resident_bytes; 0: it is not */
	uint32_t flushing; /* outcomes on their way to the disk as single rows */
	bool writing; /* on its way to the disk whole */
	int64_t dirty_ns; /* since when it has outcomes that are on no way to the disk; 0: none */
	UT_hash_handle hh;
};

struct results {
	struct result_slot *slots; /* by number: open, being written, and recent ones */
	struct result_slot *last; /* the one used last */
	uint64_t recorded; /* outcomes recorded */
	struct ranges whole; /* numbers of segments that are on disk whole */
	struct results_load *loading;
	int load_error;
	uint64_t resident_bytes; /* recorded segments in memory */
	uint64_t unpacked_bytes; /* of these, not packed */
	struct result_slot *oldest; /* of a job not on disk: before it all are packed; NULL: not known. No slot of it goes */
};

void results_fini(struct job *job);
/* Record an outcome. 0; -EALREADY: the task has one; -ENOMEM, -EMSGSIZE. */
int results_put(struct job *job, uint64_t task, const struct task_record *record, const void *data, size_t len);
/* The same for a run of which all are done. How many were put; the first of the rest is results_put()'s to refuse. */
uint32_t results_put_run(struct job *job, const struct crew_run *run);
/* What is on disk already, at recovery: a whole segment; a single task. 0 or -errno. */
int results_recovered_segment(struct job *job, uint64_t first, uint32_t count);
int results_recovered_task(struct job *job, uint64_t task, const struct task_record *record, const void *data,
			   size_t len);
/* The number of tasks is now final: the last segment may thereby be full. */
void results_close(struct job *job);
/* Send outcomes of open segments on their way that are old enough (all: whatever their age). true: some remain. */
bool results_flush(struct job *job, bool all);
/* Put recorded segments of a job that is not on disk out of memory until `bytes` or `*most` (counted down) went. What is
 * asked for again is read back. */
void results_put_out(struct job *job, uint64_t bytes, uint32_t *most);
void results_put_out_durable(struct job *job, uint32_t *most); /* the same of a job that is on disk, all of it */
/* Nothing is waiting for, or on its way to, the disk. */
bool results_settled(const struct job *job);
/* Its reader will not ask for this segment again. */
void results_passed(struct job *job, uint64_t number);
int results_get(struct job *job, uint64_t task, struct segment **ret_segment); /* as job_segment() */

#endif
