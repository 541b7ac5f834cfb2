/* All jobs of the daemon: the table, the settling after a burst of news, and the stop. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/alarm.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "config.h"
#include "jobs/job.h"
#include "store/store.h"

/* Outcomes of open segments are looked at this long after they came: enough for a burst to fill its segment. */
#define FLUSH_DELAY_US 2000
#define SETTLE_NS (4 * NS_PER_MS) /* of settling before others have their turn */
#define STOP_PATIENCE_S 5 /* a stop looks this often whether the store still takes anything */

const struct crew_ops jobs_crew_ops = {
	.next = schedule_next,
	.on_ended = outcome_ended,
	.on_returned = outcome_returned,
	.on_lost = outcome_lost,
	.on_stall = outcome_stall,
	.on_settled = jobs_on_settled,
	.on_init_failed = outcome_init_failed,
	.on_cancelled = outcome_cancelled,
	.on_log = job_log_on_line,
};

/* ---- Settling: what is done once per burst of news instead of once per task ---- */

static int64_t unix_offset_us(void)
{
	return clock_unix_us() - clock_mono_ns() / NS_PER_US;
}

static void settle_job(struct job *job)
{
	/* One that could not be recovered stays on the disk: what it had on the way there is all that comes. */
	if (job_state_ended(job->state) || !(job->published || job->in_early))
		return;
	count_ended_tasks(job);
	if (job->started_ns > 0) {
		job_clock_review(job);
		checkpoint_begin(job);
		begin_has(job);
		if (job->state == JOB_QUEUED && !job->open && service_is_up(job)) /* an open one stays `open` whatever it runs */
			job_set_state(job, JOB_RUNNING);
	}
	if (job->halt.when != JOB_HALT_NEVER)
		outcome_check_halt(job); /* what was recovered counts too */
	if (job->ending != JOB_ENDING_NO) {
		if (job->open && !job->adding)
			job_close(job, false);
		outcome_end_ready(job);
	} else {
		schedule_ready(job);
	}
	job_notify_progress(job);
	job_check_end(job);
	schedule_leave(job);
	if (job->service)
		service_settle(job);
	(void)job_park(job, 1, false); /* nobody looks at it any more */
}

static void on_lots(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* a timer */
	(void)what;
	lots_refill(arg);
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct jobs *jobs = arg;
	struct touched_list now = TAILQ_HEAD_INITIALIZER(now);
	int64_t until_ns = clock_mono_ns() + SETTLE_NS;
	struct job *job;

	(void)fd; /* made active, never ready */
	(void)what;
	if (jobs->starting)
		return; /* the start makes up for it */
	jobs->unix_offset_us = unix_offset_us();
	TAILQ_CONCAT(&now, &jobs->touched, touched_link);
	jobs->settling = true;
	while ((job = TAILQ_FIRST(&now)) && clock_mono_ns() < until_ns) {
		TAILQ_REMOVE(&now, job, touched_link);
		job->touched = false;
		settle_job(job);
		job_unref(job);
	}
	if (job) {
		TAILQ_CONCAT(&now, &jobs->touched, touched_link); /* those touched since stand behind them */
		TAILQ_CONCAT(&jobs->touched, &now, touched_link);
		jobs_settle_soon(jobs);
	}
	jobs->settling = false;
}

void jobs_settle_soon(struct jobs *jobs)
{
	static const struct timeval at_once = { .tv_sec = 0 };

	/* What settling itself leaves over comes after a look at the descriptors, which an active event would not wait
	 * for: a million tasks may be ended in slices. */
	if (!jobs->settling || event_add(jobs->settle_event, &at_once) < 0)
		event_active(jobs->settle_event, EV_TIMEOUT, 0);
}

void jobs_on_settled(void *ctx, struct crew *crew)
{
	struct jobs *jobs = ctx;
	struct job *job;

	if (crew) {
		schedule_settled(jobs, crew);
		jobs_settle_soon(jobs);
		return;
	}
	TAILQ_FOREACH(job, &jobs->order.list, link) /* crews are ready for the first time */
		job_touch(job);
}

/* ---- Outcomes of open segments ---- */

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct jobs *jobs = arg;
	struct job *job;
	size_t n = 0;

	(void)fd; /* a timer */
	(void)what;
	jobs->flush_armed = false;
	TAILQ_FOREACH(job, &jobs->dirty, dirty_link)
		n++;
	for (; n > 0 && (job = TAILQ_FIRST(&jobs->dirty)); n--) { /* those that come back stand behind these */
		bool remain = false;

		TAILQ_REMOVE(&jobs->dirty, job, dirty_link);
		job->in_dirty = false;
		if (!job->durable || job->finishing || !job->published)
			continue; /* early_accepted() has it looked at again */
		if (job->results.slots)
			remain = results_flush(job, false);
		if (job->end_failed)
			job_check_end(job);
		if (remain || job->end_failed)
			job_flush_later(job);
	}
}

void job_flush_later(struct job *job)
{
	static const struct timeval delay = { .tv_usec = FLUSH_DELAY_US };
	struct jobs *jobs = job->jobs;

	if (!job->in_dirty)
		TAILQ_INSERT_TAIL(&jobs->dirty, job, dirty_link);
	job->in_dirty = true;
	if (jobs->flush_armed)
		return;
	jobs->flush_armed = event_add(jobs->flush_event, &delay) == 0; /* without memory the next outcome tries again */
}

/* ---- Operations of the store ---- */

static void stopped(struct jobs *jobs)
{
	void (*on_stopped)(void *arg) = jobs->on_stopped;

	jobs->on_stopped = NULL;
	(void)event_del(jobs->stop_event); /* fails only for an event that is none */
	on_stopped(jobs->stopped_arg);
}

static void flush_all(struct jobs *jobs)
{
	struct job *job;

	TAILQ_FOREACH(job, &jobs->order.list, link)
		if (job->durable && !job->finishing)
			(void)results_flush(job, true); /* what remains had an operation out: see stop_if_settled() */
}

static void stop_if_settled(struct jobs *jobs)
{
	if (!jobs->on_stopped || jobs->ops_out > 0)
		return;
	flush_all(jobs); /* outcomes that came while an operation of their segment was out */
	if (jobs->ops_out == 0)
		stopped(jobs);
}

static void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval again = { .tv_sec = STOP_PATIENCE_S };
	struct jobs *jobs = arg;
	const char *why = NULL;

	(void)fd; /* a timer */
	(void)what;
	if (!jobs->on_stopped)
		return;
	if (!store_stalled(jobs->store, &why) && event_add(jobs->stop_event, &again) == 0)
		return;
	log_warning("jobs: the store takes nothing (%s): the last outcomes are not recorded, their tasks run again",
		    why ? why : "out of memory");
	stopped(jobs);
}

void jobs_op_submitted(struct jobs *jobs)
{
	jobs->ops_out++;
}

void jobs_op_done(struct jobs *jobs)
{
	jobs->ops_out--;
	if (jobs->held && jobs->ops_out < STORE_BACKLOG / 2 && jobs->unwritten_bytes <= STORE_BACKLOG_BYTES / 2) {
		jobs->held = false;
		for (struct lane *lane = jobs->lanes; lane; lane = lane->hh.next)
			crew_kick(lane->crew);
	}
	parked_due_go_on(jobs);
	after_go_on(jobs);
	stop_if_settled(jobs);
}

/* ---- Life ---- */

int jobs_open(struct loop *loop, const struct config *config, const struct workloads *workloads, struct store *store,
	      struct jobs **ret_jobs, struct error *err)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	if (!jobs)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	jobs->loop = loop;
	jobs->config = config;
	jobs->workloads = workloads;
	jobs->store = store;
	jobs->n_processors = n > 0 ? (uint32_t)n : 1;
	jobs->unix_offset_us = unix_offset_us();
	order_init(&jobs->order);
	throttle_init(&jobs->throttle, config->max_running);
	TAILQ_INIT(&jobs->kept);
	jobs_tables_init(jobs);
	hooks_init(jobs);
	TAILQ_INIT(&jobs->opened);
	TAILQ_INIT(&jobs->early);
	TAILQ_INIT(&jobs->dirty);
	LIST_INIT(&jobs->agains);
	LIST_INIT(&jobs->removals);
	LIST_INIT(&jobs->gets);
	LIST_INIT(&jobs->holds);
	LIST_INIT(&jobs->services);
	TAILQ_INIT(&jobs->touched);
	STAILQ_INIT(&jobs->turns);
	STAILQ_INIT(&jobs->parked_due);
	lots_init(jobs);
	after_init(jobs);
	unique_init(jobs);
	jobs->settle_event = event_new(loop_base(loop), -1, 0, on_settle, jobs);
	jobs->lots_event = event_new(loop_base(loop), -1, 0, on_lots, jobs);
	jobs->flush_event = event_new(loop_base(loop), -1, 0, on_flush, jobs);
	jobs->turn_event = event_new(loop_base(loop), -1, 0, submit_on_turn, jobs);
	jobs->stop_event = event_new(loop_base(loop), -1, 0, on_stop_timer, jobs);
	jobs->rest_event = event_new(loop_base(loop), -1, 0, finish_rest, jobs);
	r = jobs->settle_event && jobs->lots_event && jobs->flush_event && jobs->turn_event && jobs->stop_event &&
			    jobs->rest_event && checkpoints_init(jobs) == 0 ?
		    alarm_new(loop, begin_on_alarm, jobs, &jobs->alarm) :
		    -ENOMEM;
	if (r < 0)
		(void)error_set(err, r, "internal", "no timers: %s", strerror(-r));
	if (r == 0) {
		r = store_next_id(store, &jobs->next_id);
		if (r < 0)
			(void)error_set(err, r, "internal", "the next job id could not be read: %s", strerror(-r));
	}
	if (r < 0) {
		jobs_close(jobs);
		return r;
	}
	jobs->ids_on_disk = jobs->next_id;
	*ret_jobs = jobs;
	return 0;
}

void jobs_stop(struct jobs *jobs, void (*on_stopped)(void *arg), void *arg)
{
	static const struct timeval patience = { .tv_sec = STOP_PATIENCE_S };
	struct job *job;

	jobs->stopping = true;
	jobs->on_stopped = on_stopped;
	jobs->stopped_arg = arg;
	(void)event_add(jobs->stop_event, &patience); /* without it a store that takes nothing is waited for */
	TAILQ_FOREACH(job, &jobs->order.list, link)
		outcome_unmark(job);
	checkpoints_stop(jobs);
	flush_all(jobs);
	stop_if_settled(jobs);
}

void jobs_let_go(struct jobs *jobs)
{
	struct job *job;

	if (!jobs)
		return;
	jobs->stopping = true;
	jobs->on_stopped = NULL;
	start_cancel(jobs);
	again_let_go(jobs);
	submit_let_go(jobs);
	services_let_go(jobs);
	TAILQ_FOREACH(job, &jobs->order.list, link)
		schedule_abandon(job);
	early_let_go(jobs);
	jobs->crews = NULL;
}

void jobs_close(struct jobs *jobs)
{
	struct job *job, *next;

	if (!jobs)
		return;
	while ((job = TAILQ_FIRST(&jobs->touched))) {
		TAILQ_REMOVE(&jobs->touched, job, touched_link);
		job->touched = false;
		job_unref(job);
	}
	early_close(jobs);
	for (job = TAILQ_FIRST(&jobs->order.list); job; job = next) {
		next = TAILQ_NEXT(job, link);
		if (!job->durable && job->submission)
			linear_hash_remove(&jobs->submissions, &job->by_submission);
		job_unpublish(job);
	}
	order_fini(&jobs->order);
	jobs_tables_fini(jobs);
	hooks_forget(jobs); /* they may have the last references to jobs */
	lots_close(jobs);
	throttles_close(jobs);
	quota_fini(&jobs->quota);
	census_fini(&jobs->census);
	lasts_close(jobs);
	retention_free(jobs->retention);
	holds_close(jobs);
	after_close(jobs);
	if (jobs->lots_event)
		event_free(jobs->lots_event);
	if (jobs->settle_event)
		event_free(jobs->settle_event);
	if (jobs->flush_event)
		event_free(jobs->flush_event);
	if (jobs->turn_event)
		event_free(jobs->turn_event);
	if (jobs->stop_event)
		event_free(jobs->stop_event);
	if (jobs->rest_event)
		event_free(jobs->rest_event);
	checkpoints_free(jobs);
	buffer_fini(&jobs->packing);
	alarm_free(jobs->alarm);
	dates_fini(&jobs->dates);
	dates_fini(&jobs->parked_dates);
	free(jobs);
}

/* ---- Looking ---- */

static bool fits(const struct jobs_filter *filter, const struct job *job)
{
	if (filter->states && !(filter->states & 1u << job_shown_state(job)))
		return false;
	return !filter->workload || strcmp(filter->workload, job->workload_name) == 0;
}

int jobs_walk_newest(struct jobs *jobs, uint64_t *below, uint32_t look, const struct jobs_filter *filter,
		     int (*fn)(void *arg, struct job *job), void *arg)
{
	struct job *job = order_newest_below(&jobs->order, *below);
	int r = 0;

	for (; job && look > 0 && r == 0; look--, job = TAILQ_PREV(job, job_list, link)) {
		*below = job->id;
		if (!filter || fits(filter, job))
			r = fn(arg, job);
	}
	if (!job)
		*below = 0;
	return r;
}

int jobs_walk_users(const struct jobs *jobs, int (*fn)(void *arg, uint32_t uid, const struct quota_count *unfinished),
		    void *arg)
{
	return quota_walk(&jobs->quota, fn, arg);
}

bool jobs_have_parked(const struct jobs *jobs)
{
	return jobs->parked.n > 0;
}

void jobs_view(struct jobs *jobs, struct jobs_view *ret_view)
{
	const char *damaged = store_damaged(jobs->store), *why = NULL;
	uint64_t queued, paused;

	*ret_view = (struct jobs_view){
		.tasks_done = jobs->tasks_done,
		.unfinished = jobs->quota.all,
		.stopping = jobs->stopping,
		.trouble = store_stalled(jobs->store, &why) ? why : damaged ? damaged : "",
	};
	memcpy(ret_view->by_state, jobs->ended_by_state, sizeof(ret_view->by_state));
	lots_count(jobs, &queued, &paused);
	ret_view->by_state[JOB_QUEUED] += queued;
	ret_view->by_state[JOB_PAUSED] += paused;
	census_count(jobs, ret_view->by_state);
	services_count(jobs, &ret_view->services, &ret_view->services_failing);
}
