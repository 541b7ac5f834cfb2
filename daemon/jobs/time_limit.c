/* How long a job has run, and its time limit.
 *
 * What counts is the time since a task of it has begun, without the time in which something held the job, by CLOCK_MONOTONIC:
 * steps of the wall clock do not matter. Whether its clock runs is decided in one place by what is true now,
 * job_clock_review(); whoever changes something of that calls it.
 *
 *	handed out ──(a task has begun)──> runs <──(resumed, released; or it is being ended)──┐
 *	                                     └──────(paused, or held with others)──> stands still
 *
 * A task that was handed out may wait in its crew behind those of others for hours, and come back unbegun. So while a job with
 * a limit has tasks out, it is looked at now and again whether one has begun, until that is so. Of a job without a limit
 * nobody looks: it counts from the first hand-out, unless nothing has begun yet when it is given a limit.
 */
#include <inttypes.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/job.h"

#define LOOK_FIRST_NS (2 * NS_PER_MS)
#define LOOK_MAX_NS (250 * NS_PER_MS) /* between two looks, and no more than a part of the limit: by so much it may be late */
#define LOOK_PART 8
#define LOOK_LATER_NS (10 * NS_PER_MS) /* but so much, however short it is: the job may wait for hours */

static bool is_held(const struct job *job)
{
	return job->ending == JOB_ENDING_NO && (job->paused || hold_of(job));
}

static bool is_unbegun(const struct job *job)
{
	return job->timeout_ns > 0 && !job->begun;
}

static bool counts(const struct job *job)
{
	return job->started_ns > 0 && !job->service && !is_unbegun(job) && !is_held(job);
}

static bool awaits_begin(const struct job *job)
{
	return job->started_ns > 0 && is_unbegun(job) && job->ending == JOB_ENDING_NO && !is_held(job) &&
	       ((job->main.seat && crew_seat_out(job->main.seat) > 0) || apart_out(job) > 0);
}

int64_t job_ran_ns(const struct job *job)
{
	return job->ran_ns + (job->runs_since_ns > 0 ? clock_mono_ns() - job->runs_since_ns : 0);
}

/* ---- The timer ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg);

static void arm(struct job *job, int64_t ns)
{
	/* rounded up: waking before it is due would be for nothing */
	struct timeval tv = { .tv_sec = ns / NS_PER_S, .tv_usec = (ns % NS_PER_S + NS_PER_US - 1) / NS_PER_US };

	if (!job->timeout_event)
		job->timeout_event = event_new(loop_base(job->jobs->loop), -1, 0, on_timer, job);
	if (!job->timeout_event || event_add(job->timeout_event, &tv) < 0)
		log_error("jobs: job %" PRIu64 ": no timer for its time limit: out of memory", job->id);
}

static int64_t next_look_ns(struct job *job)
{
	int64_t most_ns = job->timeout_ns / LOOK_PART < LOOK_MAX_NS ? job->timeout_ns / LOOK_PART : LOOK_MAX_NS;

	job->look_ns = job->look_ns == 0 ? LOOK_FIRST_NS : 2 * job->look_ns;
	if (most_ns < LOOK_LATER_NS)
		most_ns = LOOK_LATER_NS;
	if (job->look_ns > most_ns)
		job->look_ns = most_ns;
	return job->look_ns;
}

static void set_timer(struct job *job)
{
	if (job->timeout_event)
		(void)event_del(job->timeout_event); /* fails only for an event that is none */
	if (job->timeout_ns > 0 && job->runs_since_ns > 0) {
		int64_t left_ns = job->timeout_ns - job_ran_ns(job);

		arm(job, left_ns > 0 ? left_ns : 0);
	} else if (awaits_begin(job)) {
		arm(job, next_look_ns(job));
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct job *job = arg;

	(void)fd; /* a timer */
	(void)what;
	if (job->finishing || job_state_ended(job->state))
		return;
	if (is_unbegun(job)) {
		job->begun = job_running(job) > 0;
		job_clock_review(job);
		return;
	}
	if (job->timeout_ns == 0 || job->runs_since_ns == 0 || job_ran_ns(job) < job->timeout_ns) {
		set_timer(job); /* what it was set for is not so any more */
		return;
	}
	if (job->ending == JOB_ENDING_NO)
		job_fail_self(job, "timeout", "the job's time limit passed");
	job_end_early(job, JOB_ENDING_TIMEOUT, JOB_ASK); /* one that was halted lets its tasks end no longer */
}

/* ---- The clock ---- */

void job_clock_review(struct job *job)
{
	bool was = job->runs_since_ns > 0, is = counts(job);

	if (is && !was) {
		job->runs_since_ns = clock_mono_ns();
	} else if (was && !is) {
		job->ran_ns = job_ran_ns(job);
		job->runs_since_ns = 0;
		job->was_held = true;
	}
	if (was != is ||
	    (awaits_begin(job) && !(job->timeout_event && event_pending(job->timeout_event, EV_TIMEOUT, NULL))))
		set_timer(job);
}

void job_clock_stop(struct job *job)
{
	job->ran_ns = job_ran_ns(job);
	job->runs_since_ns = 0;
	if (job->timeout_event)
		(void)event_del(job->timeout_event); /* fails only for an event that is none */
}

void job_timeout_change(struct job *job, int64_t ns)
{
	if (job->timeout_ns == 0 && !job->begun && job->started_ns > 0) {
		job->begun = job_running(job) > 0;
		if (!job->begun)
			job->runs_since_ns = 0; /* it counted since the hand-out, and that was none */
	}
	job->timeout_ns = ns;
	job->look_ns = 0;
	job_clock_review(job);
	set_timer(job);
}
