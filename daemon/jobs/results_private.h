/* What the files of a job's results share: results.c (into segments, to the disk, and back), results_run.c (many at once),
 * results_keep.c (how long they stay in memory). */
#ifndef CONCD_JOBS_RESULTS_PRIVATE_H
#define CONCD_JOBS_RESULTS_PRIVATE_H

#include "jobs/results.h"

/* results.c */
struct result_slot *slot_find(struct results *results, uint64_t number); /* NULL: there is none */
void slot_free(struct results *results, struct result_slot *slot);
/* The slot that an outcome of this segment belongs into. 0, -EALREADY, -ENOMEM. */
int slot_to_fill(struct job *job, uint64_t number, struct result_slot **ret_slot);
/* Outcomes were put into it: `n` of the job are not counted yet. */
void slot_filled(struct job *job, struct result_slot *slot, uint64_t n);

/* results_keep.c */
uint64_t segment_bytes(const struct segment *segment); /* of memory */
void slot_count_in(struct job *job, struct result_slot *slot); /* its segment is in memory and recorded: it may be put out */
/* What was packed, for who reads it: nothing is kept of it. 0 or -errno. */
int slot_read(const struct job *job, const struct result_slot *slot, struct segment **ret_segment);
/* Put segments out while there are more than may stay, but not the one of `keep` (NULL: any may go). */
void results_trim(struct job *job, const struct result_slot *keep);

#endif
