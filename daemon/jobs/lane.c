/* Lanes: the jobs that wait for, or run in, one crew, and whose turn it is.
 *
 * A job is in its lane's heap (turns.h) while it may have tasks to hand out. One that cannot give any for reasons of
 * its own (its -j is reached, its inputs are being read) leaves it, and is put back by schedule_ready() once something
 * of it has changed: so a lane never looks twice at those that have nothing for it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "jobs/job.h"

struct lane *lane_find(struct jobs *jobs, const struct crew *crew)
{
	struct lane *lane;

	HASH_FIND_PTR(jobs->lanes, &crew, lane);
	return lane;
}

struct lane *lane_get(struct jobs *jobs, struct crew *crew, const struct crew_request *request)
{
	struct lane *lane = lane_find(jobs, crew);

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->throttle = throttle_get(jobs, request->workload);
	if (!lane->throttle) {
		free(lane);
		return NULL;
	}
	lane->crew = crew;
	lane->in_order = request->in_order;
	HASH_ADD_PTR(jobs->lanes, crew, lane);
	return lane;
}

void lane_drop(struct jobs *jobs, struct lane *lane)
{
	if (!lane || lane->n_seats > 0)
		return;
	throttle_forget(jobs, lane);
	if (lane->lot && lane->lot->lane == lane)
		lane->lot->lane = NULL;
	HASH_DEL(jobs->lanes, lane);
	turns_fini(&lane->turns);
	free(lane);
}

/* What others were given ahead and have not begun comes back: the next worker that is free is for this job. */
static void come_first(struct lane *lane, const struct job *job)
{
	if (!lane->in_order && job->turn.priority > lane->last_priority)
		crew_recall_all(lane->crew);
}

void lane_insert(struct lane *lane, struct job *job)
{
	if (job->turn.at > 0)
		return;
	turns_add(&lane->turns, &job->turn);
	if (job->started_ns == 0) /* of one that has begun it was done, and it may come and go with each task */
		come_first(lane, job);
}

void lane_remove(struct lane *lane, struct job *job)
{
	if (job->turn.at > 0)
		turns_remove(&lane->turns, &job->turn);
	if (lane->current == job)
		lane->current = NULL;
}

void lane_forget(struct job *job)
{
	if (job->main.seat)
		lane_remove(lane_find(job->jobs, crew_of(job->main.seat)), job);
}

struct job *lane_next(const struct lane *lane)
{
	struct turn *first = turns_first(&lane->turns);

	if (lane->current)
		return lane->current;
	return first ? container_of(first, struct job, turn) : NULL;
}

void lane_served(struct lane *lane, struct job *job)
{
	struct jobs *jobs = job->jobs;
	int64_t now = clock_mono_ns();

	/* No two turns at the same time: the clock may be coarser than a turn is short. */
	jobs->served_ns = now > jobs->served_ns ? now : jobs->served_ns + 1;
	lane->last_priority = job->turn.priority;
	if (lane->in_order)
		lane->current = job; /* until nothing of it is left */
	else
		turns_served(&lane->turns, &job->turn, jobs->served_ns);
}

void lane_set_priority(struct job *job, int32_t priority)
{
	struct lane *lane = job->main.seat ? lane_find(job->jobs, crew_of(job->main.seat)) : NULL;
	bool waits = job->turn.at > 0, more = priority > job->turn.priority;

	if (waits)
		turns_remove(&lane->turns, &job->turn);
	job->turn.priority = priority;
	if (waits)
		turns_add(&lane->turns, &job->turn);
	if (waits && more)
		come_first(lane, job);
}
