/* Holds: everything, or all of a workload, is paused, what is there and what is still to come.
 *
 * A hold is no state of a job. A job that is held hands out nothing and its time limit stands still, as of one that is
 * paused itself; the two are independent of each other. The service of a workload that is
 * held is down until that is resumed; where everything is held services go on: they are what watches meanwhile.
 *
 * From its first moment a hold keeps whatever it concerns from being handed out, and what was handed out and not begun comes back. The
 * time limits of jobs that have begun stop, and go on, a few milliseconds of work at a time where there are very many.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "store/store.h"

#define REVIEW 1024 /* jobs looked at before others have their turn */

struct hold {
	LIST_ENTRY(hold) link;
	int64_t since_unix_us;
	char workload[]; /* "": everything */
};

const struct hold *hold_of_workload(const struct jobs *jobs, const char *workload)
{
	const struct hold *hold;

	LIST_FOREACH(hold, &jobs->holds, link) /* few */
		if (!hold->workload[0] || strcmp(hold->workload, workload) == 0)
			return hold;
	return NULL;
}

static struct hold *hold_find(const struct jobs *jobs, const char *workload)
{
	struct hold *hold;

	LIST_FOREACH(hold, &jobs->holds, link)
		if (strcmp(hold->workload, workload) == 0)
			return hold;
	return NULL;
}

const struct hold *hold_of_service(const struct jobs *jobs, const char *workload)
{
	return hold_find(jobs, workload);
}

const struct hold *hold_of(const struct job *job)
{
	return job->service ? hold_of_service(job->jobs, job->workload_name) : hold_of_workload(job->jobs, job->workload_name);
}

void hold_describe(const struct hold *hold, char *scratch, size_t scratch_bytes)
{
	char since[CLOCK_TEXT_BYTES];

	clock_format_unix_us(hold->since_unix_us, since);
	if (hold->workload[0])
		(void)snprintf(scratch, scratch_bytes, "workload '%s' is paused since %.19s UTC; resume it with "
			       "`concctl resume -w %s`", hold->workload, since, hold->workload);
	else
		(void)snprintf(scratch, scratch_bytes, "everything is paused since %.19s UTC; resume it with "
			       "`concctl resume --all`", since);
}

static int hold_add(struct jobs *jobs, const char *workload, int64_t since_unix_us)
{
	struct hold *hold = malloc(sizeof(*hold) + strlen(workload) + 1);

	if (!hold)
		return -ENOMEM;
	hold->since_unix_us = since_unix_us;
	(void)memcpy(hold->workload, workload, strlen(workload) + 1);
	LIST_INSERT_HEAD(&jobs->holds, hold, link);
	return 0;
}

static void hold_remove(struct hold *hold)
{
	LIST_REMOVE(hold, link);
	free(hold);
}

/* ---- On disk ---- */

struct hold_op {
	struct store_op op;
	struct jobs *jobs;
	bool holds; /* else it releases */
	void (*on_done)(void *arg, int status);
	void *arg;
	char workload[];
};

static bool wait_for_service(struct jobs *jobs, const struct hold_op *write)
{
	struct job *service = services_find(jobs, write->workload);

	return service && service_wait_until_down(service, write->on_done, write->arg);
}

static void on_written(struct store_op *op, int status)
{
	struct hold_op *write = container_of(op, struct hold_op, op);
	struct jobs *jobs = write->jobs;

	if (status < 0 || !write->holds || !wait_for_service(jobs, write))
		write->on_done(write->arg, status);
	free(write);
	jobs_op_done(jobs);
}

static struct hold_op *hold_op_new(struct jobs *jobs, const char *workload, void (*on_done)(void *arg, int status),
				   void *arg)
{
	struct hold_op *write = calloc(1, sizeof(*write) + strlen(workload) + 1);

	if (!write)
		return NULL;
	write->jobs = jobs;
	write->on_done = on_done;
	write->arg = arg;
	(void)memcpy(write->workload, workload, strlen(workload) + 1);
	write->op = (struct store_op){ .type = STORE_HOLD_SET, .on_done = on_written };
	write->op.u.hold.workload = write->workload;
	return write;
}

static void hold_op_submit(struct hold_op *write, int64_t since_unix_us)
{
	write->holds = since_unix_us != 0;
	write->op.u.hold.since_unix_us = since_unix_us;
	jobs_op_submitted(write->jobs);
	store_submit(write->jobs->store, &write->op);
}

/* ---- Jobs, when holds have changed ---- */

static int review_job(void *arg, struct job *job)
{
	const struct jobs *jobs = arg;

	if (job->service || job->paused || job_state_ended(job->state))
		return 0;
	if (hold_of(job))
		job_hold_back(job);
	else if (jobs->review_releases)
		job_let_go_on(job);
	job_notify_progress(job); /* it looks different now: watchers note it */
	return 0;
}

static void review_some(struct jobs *jobs)
{
	static const struct timeval at_once = { .tv_sec = 0 };

	do {
		(void)jobs_walk_newest(jobs, &jobs->review_below, REVIEW, NULL, review_job, jobs); /* 0, as review_job() */
	} while (jobs->review_below > 0 && (!jobs->review_event || event_add(jobs->review_event, &at_once) < 0));
	if (jobs->review_below == 0)
		jobs->review_releases = false;
}

static void on_review(evutil_socket_t fd, short what, void *arg)
{
	struct jobs *jobs = arg;

	(void)fd; /* a timer */
	(void)what;
	if (!jobs->stopping)
		review_some(jobs);
}

/* The newest jobs at once, the others soon. One that is under way begins anew. */
static void review(struct jobs *jobs, bool releases)
{
	struct job *job;

	if (!jobs->review_event)
		jobs->review_event = event_new(loop_base(jobs->loop), -1, 0, on_review, jobs); /* NULL: all of them at once */
	jobs->review_below = 0;
	jobs->review_releases = jobs->review_releases || releases;
	TAILQ_FOREACH(job, &jobs->early, early_link) /* those among them that are in no list yet: a few */
		(void)review_job(jobs, job);
	review_some(jobs);
}

static void recall(const struct jobs *jobs)
{
	for (const struct lane *lane = jobs->lanes; lane; lane = lane->hh.next)
		if (!lane->unlimited && hold_of_workload(jobs, lane->throttle->workload->name))
			crew_recall_all(lane->crew);
}

/* ---- Holding and releasing ---- */

static int check(const struct jobs *jobs, const char *workload, struct error *err)
{
	const struct workload *found;
	int r = *workload ? workloads_find(jobs->workloads, workload, &found, err) : 0;

	if (r == -ENOENT)
		return r;
	if (jobs->stopping)
		return error_set(err, -ESHUTDOWN, "stopping", "the daemon is shutting down; try again after its restart");
	if (err)
		*err = (struct error)ERROR_INIT; /* one that cannot be used now may be held */
	return 0;
}

int jobs_hold(struct jobs *jobs, const char *workload, void (*on_done)(void *arg, int status), void *arg,
	      struct error *err)
{
	struct hold_op *write;
	struct job *service;
	int r = check(jobs, workload, err);

	if (r < 0)
		return r;
	if (hold_find(jobs, workload))
		return error_set(err, -EALREADY, "wrong-state", "%s%s is paused already",
				 *workload ? "workload " : "everything", workload);
	write = hold_op_new(jobs, workload, on_done, arg);
	if (!write || hold_add(jobs, workload, clock_unix_us()) < 0) {
		free(write);
		return error_set(err, -ENOMEM, "internal", "out of memory");
	}
	log_info("jobs: %s%s is paused", *workload ? "workload " : "everything", workload);
	recall(jobs);
	review(jobs, false);
	service = services_find(jobs, workload);
	if (service && !service->paused)
		service_hold(service);
	hold_op_submit(write, hold_find(jobs, workload)->since_unix_us);
	return 0;
}

int jobs_release(struct jobs *jobs, const char *workload, void (*on_done)(void *arg, int status), void *arg,
		 struct error *err)
{
	struct hold *hold, *next;
	struct hold_op *write;
	struct job *service;
	bool held = *workload ? hold_find(jobs, workload) != NULL : !LIST_EMPTY(&jobs->holds);
	int r = check(jobs, workload, err);

	if (r < 0)
		return r;
	if (!held)
		return 0;
	write = hold_op_new(jobs, workload, on_done, arg);
	if (!write)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	for (hold = LIST_FIRST(&jobs->holds); hold; hold = next) {
		next = LIST_NEXT(hold, link);
		if (*workload && strcmp(hold->workload, workload) != 0)
			continue;
		service = services_find(jobs, hold->workload);
		hold_remove(hold);
		if (service && !service->paused)
			service_resume(service);
	}
	log_info("jobs: %s%s goes on", *workload ? "workload " : "everything", workload);
	review(jobs, true);
	lots_refill(jobs);
	hold_op_submit(write, 0);
	return 1;
}

int jobs_walk_holds(const struct jobs *jobs, int (*fn)(void *arg, const char *workload, int64_t since_unix_us), void *arg)
{
	const struct hold *hold;
	int r = 0;

	LIST_FOREACH(hold, &jobs->holds, link)
		if (r == 0)
			r = fn(arg, hold->workload, hold->since_unix_us);
	return r;
}

/* ---- Life ---- */

static int on_hold(void *arg, const char *workload, int64_t since_unix_us)
{
	log_warning("jobs: %s%s is paused, as it was before", *workload ? "workload " : "everything", workload);
	return hold_add(arg, workload, since_unix_us);
}

int holds_recover(struct jobs *jobs)
{
	return store_recover_holds(jobs->store, on_hold, jobs);
}

void holds_close(struct jobs *jobs)
{
	while (!LIST_EMPTY(&jobs->holds))
		hold_remove(LIST_FIRST(&jobs->holds));
	if (jobs->review_event)
		event_free(jobs->review_event);
}
