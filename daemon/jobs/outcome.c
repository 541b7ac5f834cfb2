/* How tasks end: what a crew reports, what a cancel or a death makes of the rest, and when that ends the job. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "config.h"
#include "crew/wire.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "ring/step.h"
#include "store/store.h"

/* Tasks given one end at once before the loop gets a turn. */
#define END_SLICE 16384
#define MESSAGE_BYTES 2048
/* Deaths that name nobody before those begun in them run in halves; one in which others were on a processor is half of one, since
 * these are suspected first. But where neighbours are always busy, it must not be each of them before the guilty one. */
#define UNNAMED_MAX 2

struct task_history *history_of(struct job *job, uint64_t task)
{
	struct task_history *history;

	HASH_FIND(hh, job->history, &task, sizeof(task), history);
	if (history)
		return history;
	history = calloc(1, sizeof(*history));
	if (!history)
		return NULL;
	history->task = task;
	history->ready_ns = clock_mono_ns();
	HASH_ADD(hh, job->history, task, sizeof(history->task), history);
	return history;
}

uint16_t history_take_attempts(struct job *job, uint64_t task)
{
	struct task_history *history = NULL;
	uint16_t attempts;

	if (job->history)
		HASH_FIND(hh, job->history, &task, sizeof(task), history);
	if (!history)
		return 0;
	attempts = history->attempts;
	HASH_DEL(job->history, history);
	free(history->cause);
	free(history);
	return attempts;
}

/* ---- One outcome ---- */

void outcome_put(struct job *job, uint64_t task, struct task_record *record, const void *data, size_t len)
{
	struct task_history *history = NULL;
	int r;

	if (step_is(task)) {
		parts_put(job, task, record, data, len);
		return;
	}
	if (job->history)
		HASH_FIND(hh, job->history, &task, sizeof(task), history);
	if (history)
		record->attempts = (uint16_t)(history->attempts + (history->attempts < UINT16_MAX ? record->attempts : 0));
	r = results_put(job, task, record, data, len);
	if (r == -EMSGSIZE || r == -ENOMEM) {
		static const char text[] = "the daemon has no room for its result";

		record->state = TASK_FAILED;
		record->error = TASK_ERROR_TOO_LARGE;
		r = results_put(job, task, record, text, sizeof(text) - 1);
	}
	if (r < 0) {
		log_error("jobs: job %" PRIu64 ": outcome of task %" PRIu64 ": %s", job->id, task, strerror(-r));
		return;
	}
	if (history) {
		HASH_DEL(job->history, history);
		free(history->cause);
		free(history);
	}
	job->done += record->state == TASK_DONE;
	job->failed += record->state == TASK_FAILED;
	job->cancelled += record->state == TASK_CANCELLED;
	job->cpu_s += (double)record->cpu_s;
	job->runq_s += (double)record->runq_s;
	job->wait_s += (double)(record->wall_s - record->cpu_s - record->runq_s);
	if (!job->touched)
		job_touch(job);
	/* A percentage begins to count with a certain task, which may well be one that is done. */
	if (job->halt.when != JOB_HALT_NEVER &&
	    (record->state == TASK_FAILED || job->done + job->failed == JOB_HALT_PERCENT_TASKS))
		outcome_check_halt(job);
}

static const struct {
	enum task_state state;
	enum task_error error;
} endings[] = {
	[RING_DONE] = { TASK_DONE, TASK_ERROR_NONE },
	[RING_FAILED] = { TASK_FAILED, TASK_ERROR_FAILED },
	[RING_FAILED_INPUT] = { TASK_FAILED, TASK_ERROR_INVALID_INPUT },
	[RING_FAILED_RETRY] = { TASK_FAILED, TASK_ERROR_FAILED },
	[RING_CANCELLED] = { TASK_CANCELLED, TASK_ERROR_CANCELLED },
	[RING_TIMEOUT] = { TASK_FAILED, TASK_ERROR_TIMEOUT },
	[RING_TOO_LARGE] = { TASK_FAILED, TASK_ERROR_TOO_LARGE },
	[RING_SPLIT] = { TASK_FAILED, TASK_ERROR_FAILED }, /* never: see parts_split() */
};

/* What a cancelled task is called depends on who cancelled: the user, or the job's time limit. */
static void ending_of_job(const struct job *job, struct task_record *record, const char **ret_text)
{
	switch (job->ending) {
	case JOB_ENDING_TIMEOUT:
		record->state = TASK_FAILED;
		record->error = TASK_ERROR_TIMEOUT;
		*ret_text = "the job's time limit passed";
		return;
	case JOB_ENDING_FAILED:
		record->state = TASK_FAILED;
		record->error = TASK_ERROR_WORKER_INIT;
		*ret_text = job->error_text ? job->error_text : "its workers could not be prepared";
		return;
	case JOB_ENDING_HALTED:
	case JOB_ENDING_EXPIRED:
	case JOB_ENDING_PREDECESSOR:
		*ret_text = job->error_text ? job->error_text : "the job was ended";
		break;
	case JOB_ENDING_CANCELLED:
	case JOB_ENDING_NO:
		*ret_text = "cancelled";
		break;
	}
	record->state = TASK_CANCELLED;
	record->error = TASK_ERROR_CANCELLED;
}

static void clear_marks(struct job *job, uint64_t first, uint64_t count);

static void one_ended(struct jobs *jobs, const struct crew_ended *ended)
{
	struct job *job = ((struct job_seat *)ended->user)->job;
	struct task_history *history = NULL;
	int64_t ready_ns = job->ready_ns;
	const void *data = ended->data;
	size_t len = ended->len;
	const char *text = NULL;
	struct task_record record = {
		.begin_unix_us = ended->begin_ns / NS_PER_US + jobs->unix_offset_us,
		.wall_s = ended->wall_s,
		.cpu_s = ended->cpu_s,
		.runq_s = ended->runq_s,
		.worker_pid = ended->worker_pid,
		.worker_thread = ended->worker_thread,
		.attempts = 1,
		.state = (uint8_t)endings[ended->status].state,
		.error = (uint8_t)endings[ended->status].error,
	};

	if (job->stalls)
		stall_task_ended(job, ended->task, ended->begin_ns + (int64_t)((double)ended->wall_s * 1e9));
	if (service_ended(job, ended))
		return;
	if (ended->status == RING_FAILED_RETRY && retry_later(job, ended)) {
		if (job->durable && !job->workload->idempotent)
			clear_marks(job, ended->task, 1); /* it has ended: what a kill now would find is a task unbegun */
		return;
	}
	if (job->history) {
		HASH_FIND(hh, job->history, &ended->task, sizeof(ended->task), history);
		if (history)
			ready_ns = history->ready_ns;
	}
	if (ended->begin_ns > ready_ns)
		record.queue_s = (float)(ended->begin_ns - ready_ns) / 1e9f;
	if (ended->status == RING_SPLIT) {
		parts_split(job, ended, record.queue_s);
		return;
	}
	if (ended->status == RING_CANCELLED)
		ending_of_job(job, &record, &text);
	else if (ended->status == RING_TIMEOUT && ended->len == 0) /* else it says which */
		text = "its time limit passed";
	if (text) {
		data = text;
		len = strlen(text);
	}
	jobs->tasks_done += !step_is(ended->task);
	outcome_put(job, ended->task, &record, data, len);
}

/* Is there nothing to be known of these tasks but their results? */
static bool is_plain(const struct job *job, const struct crew_run *run)
{
	return run->all_done && !job->stalls && !job->service && !job->history && job->halt.when == JOB_HALT_NEVER &&
	       !step_is(run->first);
}

/* A run of plain results, in one go. How many were put: the rest is to be looked at one by one. */
static uint32_t plain_ended(struct jobs *jobs, const struct crew_run *run)
{
	struct job *job = ((struct job_seat *)run->user)->job;
	double wall_s = run->wall_s, cpu_s = run->cpu_s, runq_s = run->runq_s;
	uint32_t n = results_put_run(job, run);

	for (uint32_t i = n; i < run->n; i++) {
		wall_s -= (double)run->records[i].wall_s;
		cpu_s -= (double)run->records[i].cpu_s;
		runq_s -= (double)run->records[i].runq_s;
	}
	jobs->tasks_done += n;
	job->done += n;
	job->cpu_s += cpu_s;
	job->runq_s += runq_s;
	job->wait_s += wall_s - cpu_s - runq_s;
	if (n > 0 && !job->touched)
		job_touch(job);
	return n;
}

void outcome_ended(void *ctx, const struct crew_run *run)
{
	struct jobs *jobs = ctx;
	struct job *job = ((struct job_seat *)run->user)->job;
	uint32_t i;

	job->begun = true;
	i = is_plain(job, run) ? plain_ended(jobs, run) : 0;
	for (; i < run->n; i++) {
		const struct crew_ended ended = crew_run_at(run, i);

		one_ended(jobs, &ended);
	}
}

/* ---- Tasks that come back ---- */

void outcome_ready_again(struct job_seat *seat, uint64_t first, uint64_t count)
{
	struct job *job = seat->job;

	if (parts_failing(job, first)) {
		parts_drop(job, first, count);
		return;
	}
	if (ranges_add(&seat->ready, first, count) < 0) {
		/* Without memory for a few bytes the task cannot be remembered as ready: it ends here, visibly. */
		for (uint64_t task = first; task < first + count; task++)
			outcome_interrupted(job, task);
		return;
	}
	job_touch(job);
}

struct clear_op {
	struct store_op op;
	struct job *job;
	struct store_range range;
};

static void on_cleared(struct store_op *op, int status)
{
	struct clear_op *clear = container_of(op, struct clear_op, op);

	if (status < 0)
		log_warning("jobs: job %" PRIu64 ": started marks stay, ignoring: %s", clear->job->id,
			    strerror(-status));
	jobs_op_done(clear->job->jobs);
	job_unref(clear->job);
	free(clear);
}

static void clear_marks(struct job *job, uint64_t first, uint64_t count)
{
	struct clear_op *clear = calloc(1, sizeof(*clear));

	if (!clear)
		return; /* the mark stays: after a kill now the task would end as interrupted, not run twice */
	clear->job = job_ref(job);
	clear->range = (struct store_range){ first, count };
	clear->op = (struct store_op){
		.type = STORE_STARTED_CLEAR,
		.job = job->id,
		.u.started = { &clear->range, 1 },
		.on_done = on_cleared,
	};
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &clear->op);
}

void outcome_unmark(struct job *job)
{
	for (struct job_seat *seat = &job->main; seat; seat = job_seat_next(job, seat)) {
		uint64_t from, n;

		while ((n = ranges_first(&seat->marked, UINT64_MAX, &from)) > 0) {
			ranges_drop_first(&seat->marked, n);
			clear_marks(job, from, n);
			outcome_ready_again(seat, from, n);
		}
	}
}

void outcome_returned(void *ctx, void *user, uint64_t first, uint64_t count)
{
	struct job_seat *seat = user;
	struct job *job = seat->job;

	(void)ctx; /* the seat knows its job, the job its jobs */
	if (job->durable && !job->workload->idempotent)
		clear_marks(job, first, count);
	schedule_returned(seat, count);
	outcome_ready_again(seat, first, count);
}

/* ---- Tasks lost with their process ---- */

static void describe_death(const struct job *job, const struct crew_loss *loss, const char *what, char *text, size_t bytes)
{
	const char *name = sigabbrev_np(loss->signal);
	uint64_t memory_max_bytes = job->workload ? job->workload->config->memory_max_bytes : 0;
	char how[64], limit[64] = "", size[TEXT_DURATION_BYTES];

	if (memory_max_bytes > 0) { /* whether it was the reason only the plugin knows */
		text_format_size(memory_max_bytes, size);
		(void)snprintf(limit, sizeof(limit), " (its memory_max is %s)", size);
	}
	if (loss->signal)
		(void)snprintf(how, sizeof(how), "signal SIG%s", name ? name : "RT"); /* real-time ones have no name */
	else
		(void)snprintf(how, sizeof(how), "exit status %d", loss->exit_status);
	(void)snprintf(text, bytes, "%s: its worker process %u ended with %s%s%s%s", what, loss->worker_pid, how, limit,
		       *loss->last_log ? "; it last wrote: " : "", loss->last_log);
}

static void fail_lost(struct job *job, const struct crew_loss *loss, enum task_error error, const char *what)
{
	char text[MESSAGE_BYTES];
	struct task_record record = {
		.begin_unix_us = loss->begin_ns ? loss->begin_ns / NS_PER_US + job->jobs->unix_offset_us : 0,
		.worker_pid = loss->worker_pid,
		.worker_thread = loss->worker_thread,
		.attempts = 1,
		.state = TASK_FAILED,
		.error = (uint8_t)error,
		.signal = (uint8_t)loss->signal,
	};

	describe_death(job, loss, what, text, sizeof(text));
	outcome_put(job, loss->task, &record, text, strlen(text));
}

void outcome_interrupted(struct job *job, uint64_t task)
{
	static const char text[] = "it was begun, its end is not known, and it must not run twice";
	struct task_record record = { .attempts = 1, .state = TASK_FAILED, .error = TASK_ERROR_INTERRUPTED };

	outcome_put(job, task, &record, text, sizeof(text) - 1);
}

void outcome_failed(struct job *job, uint64_t task, const char *text)
{
	struct task_record record = { .attempts = 0, .state = TASK_FAILED, .error = TASK_ERROR_FAILED };

	outcome_put(job, task, &record, text, strlen(text));
}

/* A task whose process was killed because it did not come back in time. */
static void lost_overdue(struct job *job, const struct crew_loss *loss)
{
	struct task_record record = {
		.begin_unix_us = loss->begin_ns ? loss->begin_ns / NS_PER_US + job->jobs->unix_offset_us : 0,
		.worker_pid = loss->worker_pid,
		.worker_thread = loss->worker_thread,
		.attempts = 1,
		.signal = SIGKILL,
		.state = TASK_FAILED,
		.error = TASK_ERROR_TIMEOUT,
	};
	const char *text = loss->by_cpu ? "it used more processor time than cpu_timeout" : "its time limit passed";
	char message[MESSAGE_BYTES];

	if (loss->begin_ns > 0)
		record.wall_s = (float)(clock_mono_ns() - loss->begin_ns) / 1e9f;
	if (job->ending != JOB_ENDING_NO)
		ending_of_job(job, &record, &text);
	(void)snprintf(message, sizeof(message), "%s; it %s killed with its worker process %u", text,
		       job->urgency == JOB_KILL ? "was" : "did not end within its grace time and was",
		       loss->worker_pid);
	outcome_put(job, loss->task, &record, message, strlen(message));
}

/* What is remembered of a task that runs again; without memory nothing is. */
static void note_loss(struct job *job, const struct crew_loss *loss)
{
	struct task_history *history = history_of(job, loss->task);
	char text[MESSAGE_BYTES];

	if (!history)
		return;
	if (history->attempts < UINT16_MAX) /* one may crash without limit */
		history->attempts++;
	history->ready_ns = clock_mono_ns();
	describe_death(job, loss, loss->verdict == CREW_GUILTY ? "it crashed" : "interrupted", text, sizeof(text));
	free(history->cause);
	history->cause = strdup(text); /* only to be shown */
}

/* death: 0, or the one in which it was met again. */
static void run_apart(struct job_seat *seat, uint64_t task, uint64_t death)
{
	struct job *job = seat->job;

	if (!apart_possible(job) || parts_failing(job, task)) {
		outcome_ready_again(seat, task, 1);
		return;
	}
	if (apart_add(job, task, death) < 0)
		outcome_interrupted(job, task); /* as in outcome_ready_again() */
	else
		job_touch(job);
}

void outcome_run_again(struct job_seat *seat, uint64_t task, bool alone)
{
	if (alone)
		run_apart(seat, task, 0);
	else
		outcome_ready_again(seat, task, 1);
}

static void lost_guilty(struct job_seat *seat, const struct crew_loss *loss)
{
	struct job *job = seat->job;
	struct task_history *history = history_of(job, loss->task);
	char what[64];

	if (history && history->crashes < UINT16_MAX)
		history->crashes++;
	if (!job->workload->idempotent) {
		fail_lost(job, loss, TASK_ERROR_CRASHED, "it crashed and must not run twice");
	} else if (history && (job->max_crashes == 0 || history->crashes < job->max_crashes)) {
		note_loss(job, loss);
		crash_record_then_run(job, history);
	} else {
		(void)snprintf(what, sizeof(what), "crashed %u times", history ? history->crashes : 1u);
		fail_lost(job, loss, TASK_ERROR_QUARANTINED, what);
	}
}

/* A death that names nobody says little of those begun; the second one with the same task among them says more. These run in
 * halves from then on, and each half's process says more again. */
static bool is_met_again(struct job *job, const struct crew_loss *loss)
{
	bool may_be = loss->unnamed && loss->verdict == CREW_INNOCENT;
	struct task_history *history = may_be ? history_of(job, loss->task) : NULL;

	if (!history)
		return false;
	if (history->unnamed < 2 * UNNAMED_MAX)
		history->unnamed = (uint16_t)(history->unnamed + (loss->others_seen ? 1 : 2));
	return history->unnamed >= 2 * UNNAMED_MAX;
}

void outcome_lost(void *ctx, const struct crew_loss *loss)
{
	struct job_seat *seat = loss->user;
	struct job *job = seat->job;
	char what[MESSAGE_BYTES] = "";

	(void)ctx; /* the seat knows its job, the job its jobs */
	job->begun = true;
	if (job->stalls)
		stall_task_ended(job, loss->task, clock_mono_ns());
	if (job->service)
		describe_death(job, loss, loss->on_crash ? "it crashed" : "it was killed", what, sizeof(what));
	if (service_lost(job, loss, what))
		return;
	if (loss->verdict == CREW_OVERDUE) {
		lost_overdue(job, loss);
	} else if (job->ending != JOB_ENDING_NO) {
		struct task_record record = { .attempts = 1 };
		const char *text;

		ending_of_job(job, &record, &text);
		outcome_put(job, loss->task, &record, text, strlen(text));
	} else if (loss->verdict == CREW_GUILTY && loss->on_crash) {
		lost_guilty(seat, loss);
	} else if (!job->workload->idempotent) {
		fail_lost(job, loss, TASK_ERROR_INTERRUPTED, "it was interrupted and must not run twice");
	} else {
		note_loss(job, loss);
		if (is_met_again(job, loss))
			run_apart(seat, loss->task, loss->worker_pid);
		else
			outcome_run_again(seat, loss->task, loss->verdict == CREW_SUSPECT);
	}
}

/* ---- Ending a job before its tasks are done ---- */

static void end_now(struct job *job, uint64_t task)
{
	struct task_record record = { .attempts = 0 };
	const char *text = "";

	ending_of_job(job, &record, &text);
	outcome_put(job, task, &record, text, strlen(text));
}

static void end_ready(struct job *job, struct ranges *ready, uint64_t *left)
{
	uint64_t from, n;

	while (*left > 0 && (n = ranges_first(ready, *left, &from)) > 0) {
		ranges_drop_first(ready, n); /* before: the end of one part drops the others */
		for (uint64_t task = from; task < from + n; task++)
			end_now(job, task);
		*left -= n;
	}
}

static void end_apart(struct job *job, uint64_t *left)
{
	uint64_t from, n;

	while (*left > 0 && (n = halves_take(&job->halves, *left, &from)) > 0) {
		for (uint64_t task = from; task < from + n; task++)
			end_now(job, task);
		*left -= n;
	}
}

void outcome_end_ready(struct job *job)
{
	uint64_t left = END_SLICE;

	for (struct job_seat *seat = &job->main; seat; seat = job_seat_next(job, seat)) {
		end_ready(job, &seat->ready, &left);
		end_ready(job, &seat->marked, &left);
	}
	end_apart(job, &left);
	for (; left > 0 && job->waiting.n > 0; left--)
		end_now(job, retries_pop(&job->waiting).task);
	if (left == 0)
		job_touch(job); /* jobs_settle() goes on */
}

void outcome_init_failed(void *ctx, struct crew *crew, void *user, const char *message)
{
	struct job_seat *seat = user;

	(void)ctx; /* the seat knows its job */
	(void)crew;
	if (service_init_failed(seat->job, message))
		return;
	seat->init_failed = true;
	if (seat->job->ending != JOB_ENDING_NO || job_state_ended(seat->job->state))
		return;
	log_error("jobs: job %" PRIu64 ": workers of '%s' cannot be prepared: it fails", seat->job->id,
		  seat->job->workload_name); /* why was said with each try */
	job_fail_self(seat->job, "worker-init", message);
	job_end_early(seat->job, JOB_ENDING_FAILED, JOB_ASK);
}

void outcome_cancelled(void *ctx, void *user)
{
	(void)ctx; /* the seat knows its job */
	job_touch(((struct job_seat *)user)->job);
}
