/* The start: unfinished jobs come back from the disk in slices, between which the loop serves the socket. Until the last of them
 * is there nothing is handed out, no job ends, no date comes, and who asks for jobs waits (control/): so none is said not to be
 * there, and none begins before one that is to be first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "jobs/job.h"

#define FIRST_SLICE_NS (100 * NS_PER_MS) /* before the loop runs: most daemons have no more */
#define SLICE_NS (5 * NS_PER_MS)

struct starting {
	struct jobs *jobs;
	struct crews *crews;
	struct event *event; /* the next slice */
	uint64_t above; /* jobs up to this number are here */
	void (*on_started)(void *arg, int status, const struct error *err);
	void *arg;
};

void start_cancel(struct jobs *jobs)
{
	struct starting *starting = jobs->starting;

	if (!starting)
		return;
	jobs->starting = NULL;
	if (starting->event)
		event_free(starting->event);
	free(starting);
}

/* All of them are here. */
static int go(struct jobs *jobs, struct crews *crews, struct error *err)
{
	struct job *job;
	int r;

	start_cancel(jobs);
	services_start(jobs);
	r = retention_start(jobs);
	if (r < 0)
		return error_set(err, r, "internal", "out of memory");
	jobs->crews = crews;
	hooks_recover(jobs);
	TAILQ_FOREACH(job, &jobs->order.list, link) {
		schedule_start(job);
		job_touch(job);
	}
	jobs_settle_soon(jobs);
	begin_set_alarm(jobs);
	lots_refill(jobs); /* those of which none is in memory */
	return 0;
}

static void on_slice(evutil_socket_t fd, short what, void *arg);

/* 1: more is to come; 0: on_started was called; -errno. */
static int slice(struct starting *starting, int64_t ns, struct error *err)
{
	static const struct timeval at_once = { .tv_sec = 0 };
	void (*on_started)(void *arg, int status, const struct error *err) = starting->on_started;
	void *arg = starting->arg;
	int r = recover_some(starting->jobs, &starting->above, clock_mono_ns() + ns, err);

	if (r == 1 && !starting->event)
		starting->event = event_new(loop_base(starting->jobs->loop), -1, 0, on_slice, starting);
	if (r == 1)
		return starting->event && event_add(starting->event, &at_once) == 0 ?
			       1 : error_set(err, -ENOMEM, "internal", "out of memory");
	if (r == 0)
		r = go(starting->jobs, starting->crews, err);
	if (r == 0)
		on_started(arg, 0, NULL);
	return r;
}

static void on_slice(evutil_socket_t fd, short what, void *arg)
{
	struct starting *starting = arg;
	struct jobs *jobs = starting->jobs;
	void (*on_started)(void *arg, int status, const struct error *err) = starting->on_started;
	void *started_arg = starting->arg;
	struct error err = ERROR_INIT;
	int r;

	(void)fd; /* a timer */
	(void)what;
	r = slice(starting, SLICE_NS, &err);
	if (r >= 0)
		return;
	start_cancel(jobs);
	on_started(started_arg, r, &err);
}

int jobs_start(struct jobs *jobs, struct crews *crews, void (*on_started)(void *arg, int status, const struct error *err),
	       void *arg, struct error *err)
{
	int r = holds_recover(jobs);

	if (r < 0)
		return error_set(err, r, "internal", "what is paused could not be read: %s", strerror(-r));
	r = lasts_recover(jobs);
	if (r < 0)
		return error_set(err, r, "internal", "the newest jobs could not be read: %s", strerror(-r));
	jobs->starting = calloc(1, sizeof(*jobs->starting));
	if (!jobs->starting)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	*jobs->starting = (struct starting){ .jobs = jobs, .crews = crews, .on_started = on_started, .arg = arg };
	r = slice(jobs->starting, FIRST_SLICE_NS, err);
	if (r < 0)
		start_cancel(jobs);
	return r < 0 ? r : 0;
}
