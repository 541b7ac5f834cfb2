/* How many live jobs there are in each state, as people are told it, without a look at any of them.
 *
 * A hold pauses all jobs of a workload at once. So those that a hold would pause are counted by workload, in the state that they
 * show without one; all others in the state that they show. Parked jobs are not among them: lots_count().
 */
#ifndef CONCD_JOBS_CENSUS_H
#define CONCD_JOBS_CENSUS_H

#include <stdint.h>

#include "jobs/jobs.h"

#define CENSUS_STATES (JOB_PAUSED + 1) /* those of jobs that have not ended */

struct census_group; /* of a workload */

struct census {
	struct census_group *groups; /* by workload: few, and none goes before the end */
	uint64_t others[CENSUS_STATES];
};

void census_fini(struct census *census);
/* Count the job where it belongs now, as often as it is: after a change of published, state, paused, open or ending. */
void census_review(struct job *job);
/* Add the live ones to these counts. */
void census_count(const struct jobs *jobs, uint64_t by_state[CENSUS_STATES]);

#endif
