/* Jobs that begin before they are on disk.
 *
 * Accepted means on disk, and nobody is told anything of a job before. But where the one who submits it waits for its
 * results anyway, and its tasks may run twice, its first task need not wait for that: of a small job all has ended
 * within a fraction of a millisecond, and the job, its outcomes and its end go to the disk in one transaction instead of
 * two. So its row is submitted late: in front of whatever comes next for the disk, or after a millisecond.
 *
 *	begun, in jobs->early ──(its row is on disk)──> published, its submitter is answered: like any other
 *	         └──(known already, or the disk takes nothing)──> refused: its tasks are cancelled, nothing of it is kept
 *
 * Every other op of the job is behind its row in the store's queue: what else is to be said of a job that was refused
 * comes back as -ENOENT. A daemon that is killed before the row is on disk has told nobody of the job.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "crew/workload.h"
#include "jobs/accept.h"
#include "jobs/job.h"

/* Larger ones take longer than the disk, as a rule. */
#define EARLY_TASKS 64
#define EARLY_BYTES 4096

static bool may_begin_early(const struct accept *accept, const struct job_spec *spec)
{
	const struct job *job = accept->job;

	return spec->streamed && job->workload && job->workload->idempotent && !job->service && !job->open &&
	       !job->unique && !job->begin.afters && job->begin.begins_unix_us == 0 && job->begin.expires_unix_us == 0 &&
	       !job->choice.in_order /* those come in the order of acceptance */ && !job->again_of && !parts_possible(job) &&
	       job->jobs->crews && !job->jobs->stopping && !store_stalled(job->jobs->store, NULL) && job_may_begin(job) &&
	       job->jobs->quota.all.jobs <= PARK_WINDOW /* else it may be one to be parked */ && accept->n_rows == 1 &&
	       accept->tasks <= EARLY_TASKS && accept->bytes <= EARLY_BYTES;
}

int early_begin(struct accept *accept, const struct job_spec *spec)
{
	struct job *job = accept->job;
	int r;

	if (!may_begin_early(accept, spec))
		return 0;
	accept->copy = malloc(accept->inputs[0].packed_bytes); /* the row is the job's, which may drop it */
	if (!accept->copy)
		return -ENOMEM;
	memcpy(accept->copy, accept->inputs[0].packed, accept->inputs[0].packed_bytes);
	accept->inputs[0].packed = accept->copy;
	r = accept_take_inputs(accept);
	if (r < 0)
		return r;
	accept->early = true;
	job->in_early = true;
	job_ref(job);
	TAILQ_INSERT_TAIL(&job->jobs->early, job, early_link);
	job->turn.since_ns = clock_mono_ns();
	schedule_start(job);
	schedule_ready(job);
	job_touch(job);
	return 1;
}

static void leave_early(struct job *job)
{
	TAILQ_REMOVE(&job->jobs->early, job, early_link);
	job->in_early = false;
	job_unref(job);
}

void early_accepted(struct accept *accept)
{
	struct job *job = accept->job;

	if (job->main.seat)
		lot_seated(job, lane_find(job->jobs, crew_of(job->main.seat)));
	if (job->started_ns > 0) {
		lot_begun(job);
		checkpoint_begin(job);
	}
	job_flush_later(job); /* it may have looked at the published jobs while this one was none: what has ended waits */
	leave_early(job);
}

void early_refused(struct accept *accept)
{
	struct job *job = accept->job;

	job->refused = true;
	job->durable = false; /* what its tasks still give goes nowhere */
	if (!job->finishing)
		job_end_early(job, JOB_ENDING_CANCELLED, JOB_ASK);
}

void early_ended(struct job *job)
{
	job_ref(job);
	schedule_leave(job);
	count_ended(job);
	job_set_state(job, JOB_CANCELLED);
	if (job->in_early)
		leave_early(job);
	job_unref(job);
}

void early_let_go(struct jobs *jobs)
{
	struct job *job;

	TAILQ_FOREACH(job, &jobs->early, early_link)
		schedule_abandon(job);
}

void early_close(struct jobs *jobs)
{
	struct job *job;

	while ((job = TAILQ_FIRST(&jobs->early)))
		leave_early(job);
}
