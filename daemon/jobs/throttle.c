/* How many tasks run at once, and how many begin in a second. */
#include "jobs/throttle.h"

#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"

#define BURST_S 0.1 /* the bucket holds so much of a second's worth */
#define HAIR 1e-6 /* of a token: what rounding takes */

/* ---- Lines ---- */

void throttle_leave(struct lane *lane)
{
	if (lane->in_line_of)
		TAILQ_REMOVE(&lane->in_line_of->line, lane, in_line);
	lane->in_line_of = NULL;
}

static void stand_in_line(struct throttle *throttle, struct lane *lane)
{
	if (lane->in_line_of == throttle)
		return;
	throttle_leave(lane);
	TAILQ_INSERT_TAIL(&throttle->line, lane, in_line);
	lane->in_line_of = throttle;
}

/* All of them: whoever is first takes what there is, and stands behind the others when it asks for more. */
static void call_line(struct throttle *throttle)
{
	struct lane *lane;

	TAILQ_FOREACH(lane, &throttle->line, in_line)
		crew_kick(lane->crew);
}

/* ---- The rate ---- */

static double burst(const struct throttle *throttle)
{
	return throttle->rate * BURST_S > 1 ? throttle->rate * BURST_S : 1;
}

static void fill(struct throttle *throttle)
{
	int64_t now = clock_mono_ns();

	throttle->tokens += (double)(now - throttle->filled_ns) / 1e9 * throttle->rate;
	throttle->filled_ns = now;
	if (throttle->tokens > burst(throttle))
		throttle->tokens = burst(throttle);
}

static void on_token(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* a timer */
	(void)what;
	call_line(arg);
}

static void arm(struct jobs *jobs, struct throttle *throttle)
{
	/* rounded up: waking before it is there would be for nothing */
	int64_t us = (int64_t)((1 - throttle->tokens) / throttle->rate * 1e6) + 1;
	struct timeval tv = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 };

	if (!throttle->event)
		throttle->event = event_new(loop_base(jobs->loop), -1, 0, on_token, throttle);
	if (throttle->event && (event_pending(throttle->event, EV_TIMEOUT, NULL) || event_add(throttle->event, &tv) == 0))
		return;
	log_warning("jobs: no timer for the rate of '%s', begun without it: out of memory", throttle->workload->name);
	throttle->tokens = 1;
	call_line(throttle);
}

static uint32_t rate_allows(struct throttle *throttle, uint32_t tasks)
{
	if (throttle->rate <= 0)
		return tasks;
	fill(throttle);
	return throttle->tokens + HAIR < tasks ? (uint32_t)(throttle->tokens + HAIR) : tasks;
}

/* ---- What runs at once ---- */

static bool is_limited(const struct jobs *jobs, const struct lane *lane)
{
	const struct throttle *throttle = lane->throttle;

	if (lane->unlimited)
		return false;
	return throttle->max_running > 0 || throttle->rate > 0 || jobs->throttle.max_running > 0;
}

static void count(struct jobs *jobs, struct lane *lane, uint64_t running)
{
	lane->throttle->running += running - lane->running;
	jobs->throttle.running += running - lane->running;
	lane->running = running;
}

static bool has_room(const struct throttle *throttle)
{
	return throttle->max_running == 0 || throttle->running < throttle->max_running;
}

static uint32_t running_allows(const struct throttle *throttle, const struct lane *lane, uint32_t tasks)
{
	uint64_t room = throttle->max_running > throttle->running ? throttle->max_running - throttle->running : 0;

	if (throttle->max_running == 0 || crew_holds_more(lane->crew, tasks) <= room)
		return tasks;
	return (uint32_t)room;
}

uint32_t throttle_allows(struct jobs *jobs, struct lane *lane, uint32_t tasks)
{
	struct throttle *throttle = lane->throttle;

	if (!is_limited(jobs, lane))
		return tasks;
	count(jobs, lane, crew_holds(lane->crew));
	tasks = running_allows(&jobs->throttle, lane, tasks);
	if (tasks == 0) {
		stand_in_line(&jobs->throttle, lane);
		return 0;
	}
	tasks = running_allows(throttle, lane, tasks);
	if (tasks > 0) {
		tasks = rate_allows(throttle, tasks);
		if (tasks == 0)
			arm(jobs, throttle);
	}
	if (tasks == 0)
		stand_in_line(throttle, lane);
	return tasks;
}

void throttle_took(struct jobs *jobs, struct lane *lane, uint32_t tasks)
{
	if (!is_limited(jobs, lane))
		return;
	throttle_leave(lane);
	count(jobs, lane, lane->running + crew_holds_more(lane->crew, tasks)); /* when it has them */
	if (lane->throttle->rate > 0)
		lane->throttle->tokens -= tasks;
}

void throttle_returned(struct lane *lane, uint64_t tasks)
{
	struct throttle *throttle = lane->throttle;

	if (throttle->rate <= 0)
		return;
	throttle->tokens += (double)tasks;
	if (throttle->tokens > burst(throttle))
		throttle->tokens = burst(throttle);
}

void throttle_settled(struct jobs *jobs, struct lane *lane)
{
	if (!is_limited(jobs, lane))
		return;
	count(jobs, lane, crew_holds(lane->crew));
	if (has_room(&jobs->throttle))
		call_line(&jobs->throttle);
	if (has_room(lane->throttle) && rate_allows(lane->throttle, 1) > 0)
		call_line(lane->throttle);
}

void throttle_forget(struct jobs *jobs, struct lane *lane)
{
	throttle_leave(lane);
	count(jobs, lane, 0);
}

bool throttle_waiting(const struct lane *lane, char *scratch, size_t scratch_bytes)
{
	const struct throttle *throttle = lane->in_line_of;

	if (!throttle)
		return false;
	if (!throttle->workload && has_room(throttle))
		return false; /* it is being called */
	if (!throttle->workload)
		(void)snprintf(scratch, scratch_bytes, "%llu of %llu tasks in all are running (limits.max_running)",
			       (unsigned long long)throttle->running, (unsigned long long)throttle->max_running);
	else if (!has_room(throttle))
		(void)snprintf(scratch, scratch_bytes, "%llu of %llu tasks of workload '%s' are running (max_running)",
			       (unsigned long long)throttle->running, (unsigned long long)throttle->max_running,
			       throttle->workload->name);
	else if (throttle->rate <= 0)
		return false; /* it is being called */
	else
		(void)snprintf(scratch, scratch_bytes, "workload '%s' begins %g tasks a second (rate): the next is not due yet",
			       throttle->workload->name, throttle->rate);
	return true;
}

/* ---- Life ---- */

void throttle_init(struct throttle *throttle, uint64_t max_running)
{
	*throttle = (struct throttle){ .max_running = max_running };
	TAILQ_INIT(&throttle->line);
}

struct throttle *throttle_get(struct jobs *jobs, const struct workload *workload)
{
	struct throttle *throttle;

	HASH_FIND_PTR(jobs->throttles, &workload, throttle);
	if (!throttle) {
		throttle = malloc(sizeof(*throttle));
		if (!throttle)
			return NULL;
		throttle_init(throttle, workload->config->max_running);
		throttle->workload = workload;
		throttle->rate = workload->config->rate;
		throttle->tokens = burst(throttle);
		throttle->filled_ns = clock_mono_ns();
		HASH_ADD_PTR(jobs->throttles, workload, throttle);
	}
	return throttle;
}

void throttles_close(struct jobs *jobs)
{
	struct throttle *throttle, *next;

	HASH_ITER(hh, jobs->throttles, throttle, next) {
		HASH_DEL(jobs->throttles, throttle);
		if (throttle->event)
			event_free(throttle->event);
		free(throttle);
	}
}
