/* A job: its memory, its states, those who watch it, and how it looks from outside. */
#include "jobs/job.h"
#include "ring/step.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "crew/workload.h"
#include "config.h"

static const char *const state_names[] = {
	[JOB_OPEN] = "open",	 [JOB_QUEUED] = "queued", [JOB_RUNNING] = "running",	 [JOB_PAUSED] = "paused",
	[JOB_DONE] = "done",	 [JOB_FAILED] = "failed", [JOB_CANCELLED] = "cancelled",
};

/* legal[from] has bit `to` set where the move is one. */
#define BIT(state) (1u << (state))
#define ENDED (BIT(JOB_DONE) | BIT(JOB_FAILED) | BIT(JOB_CANCELLED))
static const unsigned int legal[] = {
	[JOB_OPEN] = BIT(JOB_QUEUED) | BIT(JOB_RUNNING) | BIT(JOB_PAUSED) | ENDED,
	[JOB_QUEUED] = BIT(JOB_RUNNING) | BIT(JOB_PAUSED) | ENDED,
	[JOB_RUNNING] = BIT(JOB_PAUSED) | BIT(JOB_QUEUED) | ENDED,
	[JOB_PAUSED] = BIT(JOB_QUEUED) | BIT(JOB_RUNNING) | BIT(JOB_OPEN) | ENDED,
	[JOB_DONE] = 0,
	[JOB_FAILED] = 0,
	[JOB_CANCELLED] = 0,
};

const char *job_state_name(enum job_state state)
{
	return state_names[state];
}

static void on_inputs_loaded(struct inputs *inputs)
{
	struct job *job = job_ref(container_of(inputs, struct job, inputs));

	schedule_ready(job);
	job_notify_progress(job);
	job_unref(job);
}

struct job *job_new(struct jobs *jobs, uint64_t id)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->jobs = jobs;
	job->refs = 1;
	job->id = id;
	job->turn.id = id;
	job->state = JOB_QUEUED;
	job->durable = true;
	job->main.job = job;
	LIST_INIT(&job->groups);
	halves_init(&job->halves);
	inputs_init(&job->inputs, NULL, id, jobs->config->state_dir, on_inputs_loaded);
	job->inputs.shared_bytes = &jobs->resident_bytes;
	job->inputs.cached_bytes = &jobs->cached_input_bytes;
	return job;
}

static void job_free(struct job *job)
{
	struct task_history *history, *next;

	assert(job->begin.date.place == 0);
	after_free(job);
	unique_free(job);
	checkpoint_end(job);
	assert(!job->main.seat && job->turn.at == 0 && !job->published && !job->touched);
	if (job->in_opened)
		TAILQ_REMOVE(&job->jobs->opened, job, opened_link);
	if (job->in_dirty)
		TAILQ_REMOVE(&job->jobs->dirty, job, dirty_link);
	results_fini(job);
	parts_fini(job);
	inputs_fini(&job->inputs);
	ranges_fini(&job->main.ready);
	ranges_fini(&job->main.marked);
	apart_fini(job);
	HASH_ITER(hh, job->history, history, next) {
		HASH_DEL(job->history, history);
		free(history->cause);
		free(history);
	}
	retry_forget(job);
	service_fini(job);
	stalls_free(job->stalls);
	buffer_fini(&job->stalls_row);
	for (size_t i = 0; i < job->n_params; i++) {
		free(job->params[i].name);
		free(job->params[i].value);
	}
	if (job->timeout_event)
		event_free(job->timeout_event);
	if (job->open_event)
		event_free(job->open_event);
	free(job->params);
	free(job->param_flags);
	free(job->submission);
	free(job->workload_name);
	free(job->label);
	free(job->model_reason);
	free(job->why_no_workload);
	free(job->error_code);
	free(job->error_text);
	free(job->on_done);
	free(job);
}

struct job *job_ref(struct job *job)
{
	job->refs++;
	return job;
}

void job_unref(struct job *job)
{
	if (!job)
		return;
	assert(job->refs > 0);
	if (--job->refs == 0)
		job_free(job);
	else if (job->refs == 1 && job->lot && job->started_ns == 0 && !job->jobs->settling && !job->jobs->stopping &&
		 (!job->fresh || job->lot->n_live > PARK_WINDOW))
		job_touch(job); /* nobody looks at it any more: it may be parked */
}

/* ---- Found by number, or by submission ---- */

static uint64_t hash_id(const struct hash_link *link)
{
	return hash_number(container_of(link, struct job, by_id)->id);
}

static uint64_t hash_submission(const struct hash_link *link)
{
	return hash_text(container_of(link, struct job, by_submission)->submission);
}

void jobs_tables_init(struct jobs *jobs)
{
	linear_hash_init(&jobs->table, hash_id);
	linear_hash_init(&jobs->submissions, hash_submission);
}

void jobs_tables_fini(struct jobs *jobs)
{
	(void)linear_hash_clear(&jobs->table); /* none is left in them */
	(void)linear_hash_clear(&jobs->submissions);
}

struct job *jobs_find(const struct jobs *jobs, uint64_t id)
{
	for (struct hash_link *link = linear_hash_find(&jobs->table, hash_number(id)); link; link = link->next)
		if (container_of(link, struct job, by_id)->id == id)
			return container_of(link, struct job, by_id);
	return NULL;
}

struct job *jobs_find_submission(const struct jobs *jobs, const char *submission)
{
	for (struct hash_link *link = linear_hash_find(&jobs->submissions, hash_text(submission)); link; link = link->next)
		if (strcmp(container_of(link, struct job, by_submission)->submission, submission) == 0)
			return container_of(link, struct job, by_submission);
	return NULL;
}

void job_publish(struct job *job)
{
	struct jobs *jobs = job->jobs;

	job_ref(job);
	if (job->turn.at == 0) /* else it waits for its turn already */
		job->turn.since_ns = clock_mono_ns();
	linear_hash_add(&jobs->table, &job->by_id);
	order_add(&jobs->order, job);
	job->published = true;
	census_review(job);
	lot_enter(job);
}

void job_unpublish(struct job *job)
{
	begin_forget(job);
	linear_hash_remove(&job->jobs->table, &job->by_id);
	order_remove(&job->jobs->order, job);
	job->published = false;
	census_review(job);
	lot_leave(job);
	job_unref(job);
}

void job_opened(struct job *job)
{
	TAILQ_INSERT_TAIL(&job->jobs->opened, job, opened_link);
	job->in_opened = true;
}

void job_touch(struct job *job)
{
	if (job->touched)
		return;
	job->touched = true;
	job_ref(job);
	TAILQ_INSERT_TAIL(&job->jobs->touched, job, touched_link);
	jobs_settle_soon(job->jobs);
}

void job_set_state(struct job *job, enum job_state state)
{
	struct job_watch *watch, *next;

	if (job->state == state)
		return;
	assert(legal[job->state] & BIT(state));
	log_debug("jobs: job %llu: %s, was %s", (unsigned long long)job->id, job_state_name(state),
		  job_state_name(job->state));
	job->state = state;
	census_review(job);
	job_ref(job);
	for (watch = job->watches; watch; watch = next) {
		next = watch->next;
		watch->on_state(watch, state);
	}
	job_unref(job);
}

void job_notify_progress(struct job *job)
{
	struct job_watch *watch, *next;

	job_ref(job);
	for (watch = job->watches; watch; watch = next) {
		next = watch->next;
		watch->on_progress(watch);
	}
	job_unref(job);
}

void job_watch(struct job *job, struct job_watch *watch)
{
	watch->next = job->watches;
	watch->prev = &job->watches;
	if (watch->next)
		watch->next->prev = &watch->next;
	job->watches = watch;
}

void job_unwatch(struct job_watch *watch)
{
	if (!watch->prev)
		return;
	*watch->prev = watch->next;
	if (watch->next)
		watch->next->prev = watch->prev;
	watch->prev = NULL;
}

void job_fail_self(struct job *job, const char *code, const char *text)
{
	if (job->error_code)
		return;
	job->error_code = strdup(code);
	job->error_text = strdup(text);
}

double job_wall_s(const struct job *job)
{
	if (job->from_store || job->started_ns == 0)
		return job->wall_s;
	return job->wall_s + (double)((job->ended_ns ? job->ended_ns : clock_mono_ns()) - job->started_ns) / 1e9;
}

uint64_t job_running(const struct job *job)
{
	uint64_t running = parts_open(job);

	for (const struct job_seat *seat = &job->main; seat; seat = job_seat_next(job, seat))
		running += seat->seat ? crew_seat_running(seat->seat) : 0;
	return running;
}

enum job_state job_shown_state(const struct job *job)
{
	if (job_state_ended(job->state) || job->from_store || job->paused)
		return job->state;
	return job->ending == JOB_ENDING_NO && hold_of(job) ? JOB_PAUSED : job->open ? JOB_OPEN : job->state;
}

static void view_with(const struct job *job, uint64_t running, struct job_view *ret_view)
{
	static char waiting[ERROR_TEXT_BYTES]; /* the control thread's; documented as short-lived */
	uint64_t ended = job->done + job->failed + job->cancelled;

	if (running > job->total - ended)
		running = job->total - ended; /* it is read out of memory that workers can write */
	*ret_view = (struct job_view){
		.id = job->id,
		.submission = job->submission,
		.workload = job->workload_name,
		.label = job->label,
		.uid = job->uid,
		.state = job_shown_state(job),
		.paused = job->paused || job->state == JOB_PAUSED,
		.open = job->open,
		.durable = job->durable,
		.total = job->total,
		.queued = job->total - ended - running,
		.running = running,
		.done = job->done,
		.failed = job->failed,
		.cancelled = job->cancelled,
		.model = job->choice.model ? job->choice.model->name : "?",
		.by_auto = job->choice.by_auto,
		.model_reason = job->model_reason ? job->model_reason : "",
		.shape = job->choice.crew_shape,
		.workers = job->choice.workers,
		.dedicated = job->choice.dedicated,
		.params = job->params,
		.param_flags = job->param_flags,
		.n_params = job->n_params,
		.timeout_ns = job->timeout_ns,
		.task_timeout_ns = job->task_timeout_ns,
		.grace_ns = job->grace_ns,
		.backoff_ns = job->backoff_ns,
		.retries = job->retries,
		.priority = job->turn.priority,
		.halt = job->halt,
		.retrying = job->waiting.n - parts_waiting(job),
		.on_done = job->on_done,
		.created_unix_us = job->created_unix_us,
		.started_unix_us = job->started_unix_us,
		.ended_unix_us = job->ended_unix_us,
		.wall_s = job_wall_s(job),
		.cpu_s = job->cpu_s,
		.wait_s = job->wait_s > 0 ? job->wait_s : 0, /* differences of clocks may round below */
		.runq_s = job->runq_s,
		.peak_rss_bytes = job->peak_rss_bytes,
		.error_code = job->error_code,
		.error_text = job->error_text,
		.waiting = schedule_waiting(job, waiting, sizeof(waiting)),
		.recorded = job->from_store ? ended : job->results.recorded,
		.removed = job->removed, .retry_of = job->again_of,
	};
	ret_view->stack_note = job->main.seat ? crew_seat_stack_note(job->main.seat) : "";
	service_view(job, &ret_view->service);
	begin_view(job, ret_view);
}

bool job_has_ended(const struct job *job)
{
	return job_state_ended(job->state);
}

void job_view(const struct job *job, struct job_view *ret_view)
{
	view_with(job, job_running(job), ret_view);
}

void job_view_quick(const struct job *job, struct job_view *ret_view)
{
	view_with(job, 0, ret_view);
}

int job_segment(struct job *job, uint64_t task, struct segment **ret_segment)
{
	return job->removed ? -ESTALE : results_get(job, task, ret_segment);
}

void job_segment_passed(struct job *job, const struct segment *segment)
{
	results_passed(job, segment->first / SEGMENT_TASKS);
}

void job_put_out(struct job *job)
{
	uint32_t any = UINT32_MAX;

	if (!job->from_store || job->removed)
		return;
	results_put_out_durable(job, &any);
	inputs_put_out(&job->inputs);
}

int job_inputs(struct job *job, uint64_t task, const uint8_t **ret_packed, size_t *ret_bytes, uint64_t *ret_count)
{
	uint32_t count;
	int r;

	if (job->removed)
		return -ESTALE;
	r = inputs_peek(&job->inputs, task, UINT32_MAX, SIZE_MAX, ret_packed, ret_bytes, &count);
	if (r == 0)
		*ret_count = count;
	return r;
}

struct running_walk {
	struct job *job;
	int (*fn)(void *arg, const struct task_view *view);
	void *arg;
	uint32_t left;
};

static int on_running_task(void *arg, const struct crew_task_view *view)
{
	struct running_walk *walk = arg;
	struct task_history *history;
	struct task_view task = {
		.index = step_task(view->task),
		.part = parts_part(view->task),
		.worker_pid = view->worker_pid,
		.worker_thread = view->worker_thread,
		.attempts = 1,
		.progress = view->progress,
		.cause = "",
	};

	if (walk->left == 0)
		return -E2BIG;
	walk->left--;
	HASH_FIND(hh, walk->job->history, &view->task, sizeof(view->task), history);
	if (history) {
		task.attempts = (uint16_t)(task.attempts + history->attempts);
		task.cause = history->cause ? history->cause : "";
	}
	return walk->fn(walk->arg, &task);
}

int job_walk_running(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct task_view *view), void *arg)
{
	struct running_walk walk = { .job = job, .fn = fn, .arg = arg, .left = limit };
	int r = 0;

	for (const struct job_seat *seat = &job->main; seat && r == 0; seat = job_seat_next(job, seat)) {
		if (seat->seat)
			r = crew_seat_walk(seat->seat, on_running_task, &walk);
	}
	return r == -E2BIG ? 0 : r;
}
