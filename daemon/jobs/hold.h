/* Holds: what keeps jobs from beginning more, beside pauses of their own. The story is in hold.c. Private to daemon/jobs; the control
 * thread's. */
#ifndef CONCD_JOBS_HOLD_H
#define CONCD_JOBS_HOLD_H

#include <stddef.h>

struct hold;
struct job;
struct jobs;

const struct hold *hold_of(const struct job *job); /* what keeps it from beginning more; NULL: nothing */
const struct hold *hold_of_workload(const struct jobs *jobs, const char *workload);
const struct hold *hold_of_service(const struct jobs *jobs, const char *workload); /* which a pause of everything is not meant for */
void hold_describe(const struct hold *hold, char *scratch, size_t scratch_bytes); /* in words */
int holds_recover(struct jobs *jobs); /* 0 or -errno; before the jobs */
void holds_close(struct jobs *jobs);

#endif
