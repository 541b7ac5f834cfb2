/* Lanes: the jobs that wait for, or run in, one crew. */
#include <stdlib.h>

#include "jobs/job.h"

struct lane *lane_find(struct jobs *jobs, const struct crew *crew)
{
	struct lane *lane;

	HASH_FIND_PTR(jobs->lanes, &crew, lane);
	return lane;
}

struct lane *lane_get(struct jobs *jobs, struct crew *crew, bool in_order)
{
	struct lane *lane = lane_find(jobs, crew);

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->crew = crew;
	lane->in_order = in_order;
	TAILQ_INIT(&lane->jobs);
	HASH_ADD_PTR(jobs->lanes, crew, lane);
	return lane;
}

void lane_drop(struct jobs *jobs, struct lane *lane)
{
	if (!lane || lane->n_seats > 0)
		return;
	HASH_DEL(jobs->lanes, lane);
	free(lane);
}

void lane_insert(struct lane *lane, struct job *job)
{
	struct job *after = NULL;

	if (lane->in_order) /* by id, that is by acceptance */
		TAILQ_FOREACH_REVERSE(after, &lane->jobs, job_list, turn) {
			if (after->id < job->id)
				break;
		}
	else
		after = TAILQ_LAST(&lane->jobs, job_list);
	if (after)
		TAILQ_INSERT_AFTER(&lane->jobs, after, job, turn);
	else
		TAILQ_INSERT_HEAD(&lane->jobs, job, turn);
	job->in_lane = true;
}

void lane_forget(struct job *job)
{
	struct lane *lane;

	if (!job->in_lane)
		return;
	lane = lane_find(job->jobs, crew_of(job->main.seat));
	TAILQ_REMOVE(&lane->jobs, job, turn);
	job->in_lane = false;
}
