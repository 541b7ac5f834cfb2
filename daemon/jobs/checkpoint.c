/* What a kill of the daemon must not take from a job that runs for long: when it began, how long it has run, and how much of its
 * time limit is used.
 *
 * A job's row says the first two, its specification the third (also of a job without a limit that was paused: it may be given one).
 * Both are written when it has run for two seconds, then whenever it has run an eighth longer, two seconds at least and a minute at
 * most, and when the daemon stops. So most jobs cost nothing, and a kill makes a job no more than that younger than it is.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/job.h"
#include "store/store.h"

#define LOOK_S 1
#define FIRST_NS (2 * NS_PER_S)
#define STEP_MAX_NS (60 * NS_PER_S)
#define STEP_PART 8

static const struct timeval look = { .tv_sec = LOOK_S };

static void record(struct job *job, int64_t now)
{
	int64_t step = (now - job->started_ns) / STEP_PART;

	step = step < FIRST_NS ? FIRST_NS : step > STEP_MAX_NS ? STEP_MAX_NS : step;
	job->checkpoint_ns = now + step;
	job_record_course(job);
	if (job->timeout_ns > 0 || job->was_held)
		job_record_spec(job);
}

/* Its tasks may have been handed out ahead, and none was begun. To be known as one that has begun would only keep it from being
 * parked after a restart. */
static bool is_as_new(const struct job *job)
{
	return !job->begun && job->done + job->failed + job->cancelled == 0;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	int64_t now = clock_mono_ns();
	struct jobs *jobs = arg;
	struct job *job;

	(void)fd; /* a timer */
	(void)what;
	LIST_FOREACH(job, &jobs->checkpoints, checkpoint_link) {
		if (!job->begun && job_running(job) > 0) {
			job->begun = true;
			job_clock_review(job);
		}
		/* A full disk is not queued for, again and again. */
		if (now >= job->checkpoint_ns && !is_as_new(job) && !store_stalled(jobs->store, NULL))
			record(job, now);
	}
	if (!LIST_EMPTY(&jobs->checkpoints) && event_add(jobs->checkpoint_event, &look) < 0)
		log_warning("jobs: out of memory: how long jobs have run is not written until the next one begins");
}

int checkpoints_init(struct jobs *jobs)
{
	LIST_INIT(&jobs->checkpoints);
	jobs->checkpoint_event = event_new(loop_base(jobs->loop), -1, 0, on_look, jobs);
	return jobs->checkpoint_event ? 0 : -ENOMEM;
}

void checkpoints_free(struct jobs *jobs)
{
	if (jobs->checkpoint_event)
		event_free(jobs->checkpoint_event);
	jobs->checkpoint_event = NULL;
}

void checkpoint_begin(struct job *job)
{
	struct jobs *jobs = job->jobs;

	if (job->checkpoint_ns > 0 || !job->durable || !job->published || job->service)
		return;
	job->checkpoint_ns = job->started_ns + FIRST_NS;
	LIST_INSERT_HEAD(&jobs->checkpoints, job, checkpoint_link);
	if (!event_pending(jobs->checkpoint_event, EV_TIMEOUT, NULL) && event_add(jobs->checkpoint_event, &look) < 0)
		log_warning("jobs: out of memory: how long jobs have run is not written until the next one begins");
}

void checkpoint_end(struct job *job)
{
	if (job->checkpoint_ns > 0)
		LIST_REMOVE(job, checkpoint_link);
	job->checkpoint_ns = 0;
}

void checkpoints_stop(struct jobs *jobs)
{
	int64_t now = clock_mono_ns();
	struct job *job;

	LIST_FOREACH(job, &jobs->checkpoints, checkpoint_link)
		if (!is_as_new(job))
			record(job, now);
	(void)event_del(jobs->checkpoint_event); /* fails only for an event that is none */
}
