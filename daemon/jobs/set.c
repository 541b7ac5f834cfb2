/* Changing what a job was accepted with. Everything is checked before anything is changed; what is changed holds for the tasks
 * that begin from now on, and is recorded. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "config.h"
#include "ctl/protocol.h"
#include "jobs/after_look.h"
#include "jobs/after_private.h"
#include "jobs/job.h"
#include "store/store.h"

/* All that is to be, before anything of it is. */
struct plan {
	char *label, *reason; /* NULL: none */
	bool has_choice; /* another crew */
	struct model_choice choice;
	int64_t begins_unix_us, expires_unix_us; /* as they will be */
	struct jobs *jobs;
	struct afters *afters; /* NULL: it is to follow none, or those that it does */
};

static void plan_fini(struct plan *plan)
{
	afters_free(plan->jobs, plan->afters);
	free(plan->label);
	free(plan->reason);
}

static bool has_begun(const struct job *job)
{
	return job->started_ns > 0 || job->started_unix_us > 0 || job->marking > 0 ||
	       job->done + job->failed + job->cancelled > 0;
}

static int check_numbers(const struct job *job, const struct job_changes *changes, struct error *err)
{
	if (changes->what & JOB_CHANGE_PRIORITY &&
	    (changes->priority < PROTOCOL_MIN_PRIORITY || changes->priority > PROTOCOL_MAX_PRIORITY))
		return error_set(err, -EINVAL, "bad-request", "priority: %" PRId64 " is not from %d to %d",
				 changes->priority, PROTOCOL_MIN_PRIORITY, PROTOCOL_MAX_PRIORITY);
	if (changes->what & JOB_CHANGE_RETRIES && changes->retries > JOB_MAX_RETRIES)
		return error_set(err, -EINVAL, "bad-request", "retries: %" PRIu64 " is not from 0 to %d",
				 changes->retries, JOB_MAX_RETRIES);
	if (job->service && changes->what & ~JOB_CHANGE_PRIORITY)
		return error_set(err, -EINVAL, "wrong-state", "job %" PRIu64 " is a service: its stanza says all but its priority",
				 job->id);
	return 0;
}

/* The crew that a changed model, shape or number of workers calls for, of a job that has not begun. */
static int choose(const struct job *job, const struct job_changes *changes, struct plan *plan, struct error *err)
{
	const struct model_choice *old = &job->choice;
	struct shape own = old->model->shape_for((uint32_t)shape_workers(&old->crew_shape));
	struct model_request request = {
		.workers = changes->what & JOB_CHANGE_WORKERS ? (uint32_t)changes->workers : job->own_workers ? old->workers : 0,
		.dedicated = old->dedicated && !old->model->dedicated,
	};
	char shape[SHAPE_TEXT_BYTES];
	int r;

	if (!job->workload)
		return error_set(err, -EPERM, "workload-unusable", "job %" PRIu64 ": %s", job->id,
				 job->why_no_workload ? job->why_no_workload : "its workload is gone");
	if (changes->what & (JOB_CHANGE_MODEL | JOB_CHANGE_SHAPE)) {
		request.model = changes->what & JOB_CHANGE_MODEL ? changes->model : NULL;
		request.shape = changes->what & JOB_CHANGE_SHAPE ? changes->shape : NULL;
	} else if (memcmp(&own, &old->crew_shape, sizeof(own)) == 0) {
		request.model = old->model->name;
	} else { /* a shape that is none of its model's grows only by asking for another one */
		shape_format(&old->crew_shape, shape);
		request.shape = shape;
	}
	plan->has_choice = true;
	r = model_choose(job->workload, &request, job->jobs->n_processors, job->jobs->config->max_workers, &plan->choice, err);
	if (r == -EINVAL && request.workers > 0 && !(changes->what & JOB_CHANGE_WORKERS))
		error_prefix(err, "job %" PRIu64 " has a number of workers of its own, %" PRIu32 ": set workers=N too", job->id, request.workers);
	return r;
}

static int check_workers(const struct job *job, const struct job_changes *changes, struct plan *plan, struct error *err)
{
	uint64_t most = shape_workers(&job->choice.crew_shape);
	bool other = changes->what & (JOB_CHANGE_MODEL | JOB_CHANGE_SHAPE);
	int r = 0;

	if (changes->what & JOB_CHANGE_WORKERS && (changes->workers == 0 || changes->workers > UINT32_MAX))
		return error_set(err, -EINVAL, "bad-workers", "workers: %" PRIu64 " is no number of tasks at once",
				 changes->workers);
	if (changes->what & JOB_CHANGE_WORKERS && changes->workers > most && has_begun(job))
		return error_set(err, -EINVAL, "bad-workers",
				 "job %" PRIu64 " runs in a crew with room for %" PRIu64 " tasks at once: workers is to be "
				 "1 to %" PRIu64 "; `run -j` makes larger crews", job->id, most, most);
	if (other || (changes->what & JOB_CHANGE_WORKERS && changes->workers > most))
		r = choose(job, changes, plan, err);
	if (r < 0 || !plan->has_choice)
		return r;
	plan->reason = strdup(plan->choice.reason);
	return plan->reason ? 0 : error_set(err, -ENOMEM, "internal", "out of memory");
}

static int check_begin(const struct job *job, const struct job_changes *changes, struct plan *plan, struct error *err)
{
	if (!(changes->what & JOB_CHANGES_BEFORE))
		return 0;
	if (job->ending != JOB_ENDING_NO)
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " is being ended", job->id);
	if (has_begun(job))
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " has begun: its model, shape and conditions (delay, expire, "
				 "after) can only be set before", job->id);
	if (changes->what & JOB_CHANGES_AFTER && after_is_looked_for(job))
		return error_set(err, -EBUSY, "busy", "job %" PRIu64 " is being recovered; try again", job->id);
	plan->begins_unix_us = changes->what & JOB_CHANGE_DELAY ? begin_date(changes->delay_ns) : job->begin.begins_unix_us;
	plan->expires_unix_us = changes->what & JOB_CHANGE_EXPIRE ? begin_date(changes->expire_ns) : job->begin.expires_unix_us;
	if (plan->begins_unix_us > 0 && plan->expires_unix_us > 0 && plan->expires_unix_us <= plan->begins_unix_us)
		return error_set(err, -EINVAL, "bad-request", "job %" PRIu64 " would expire before it may begin: 'expire' is to be "
				 "longer than 'delay'", job->id);
	return 0;
}

static bool has_ended(const struct job *job)
{
	return job->from_store || job_state_ended(job->state) || job->finishing;
}

/* Its label is no part of how it ran. */
static int may_set(const struct job *job, const struct job_changes *changes, struct error *err)
{
	if (!has_ended(job) || job->jobs->stopping)
		return job->jobs->stopping ? error_set(err, -ESHUTDOWN, "stopping", "the daemon is shutting down; try again after its "
						       "restart") : 0;
	if (job->removed)
		return error_set(err, -ENOENT, "no-such-job", "job %" PRIu64 " is being removed", job->id);
	if (changes->what == JOB_CHANGE_LABEL)
		return 0;
	return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " has ended%s%s: only its label can be set now", job->id,
			 job_state_ended(job->state) ? ": it is " : "", job_state_ended(job->state) ? job_state_name(job->state) : "");
}

/* What it needs memory for is had here. */
static int plan_make(const struct job *job, const struct job_changes *changes, struct plan *plan, struct error *err)
{
	bool has_label = changes->what & JOB_CHANGE_LABEL && changes->label && *changes->label;
	int r = may_set(job, changes, err);

	if (r == 0)
		r = check_numbers(job, changes, err);
	if (r == 0)
		r = check_begin(job, changes, plan, err);
	if (r == 0)
		r = check_workers(job, changes, plan, err);
	if (r < 0 || !has_label)
		return r;
	plan->label = strdup(changes->label);
	return plan->label ? 0 : error_set(err, -ENOMEM, "internal", "out of memory");
}

/* ---- Doing it ---- */

static void set_workers(struct job *job, uint32_t workers)
{
	bool fewer = workers < job->choice.workers;

	job->choice.workers = workers;
	schedule_share(job);
	if (job->main.seat && fewer)
		crew_recall(job->main.seat); /* what waits in the crew beyond that is handed out again as fits */
}

static void change_crew(struct job *job, struct plan *plan)
{
	job->choice = plan->choice;
	free(job->model_reason);
	job->model_reason = take_ptr(plan->reason);
	job->choice.reason = job->model_reason;
}

static void change_conditions(struct job *job, const struct job_changes *changes, struct plan *plan)
{
	if (changes->what & JOB_CHANGES_AFTER) {
		after_free(job);
		job->begin.afters = take_ptr(plan->afters);
	}
	if (changes->what & (JOB_CHANGE_DELAY | JOB_CHANGE_EXPIRE))
		begin_change(job, changes->what & JOB_CHANGE_DELAY, plan->begins_unix_us, changes->what & JOB_CHANGE_EXPIRE,
			     plan->expires_unix_us);
	job->ready_ns = clock_mono_ns();
}

static void apply(struct job *job, const struct job_changes *changes, struct plan *plan)
{
	bool moves = plan->has_choice || changes->what & JOB_CHANGES_BEFORE;

	if (moves) { /* it takes a place when it is looked at next, perhaps another one, perhaps later */
		schedule_give_up(job);
		lot_leave(job);
	}
	if (changes->what & JOB_CHANGE_WORKERS)
		job->own_workers = true;
	if (plan->has_choice)
		change_crew(job, plan);
	else if (changes->what & JOB_CHANGE_WORKERS)
		set_workers(job, (uint32_t)changes->workers);
	if (changes->what & JOB_CHANGES_BEFORE)
		change_conditions(job, changes, plan);
	if (moves)
		lot_enter(job);
	if (changes->what & JOB_CHANGE_PRIORITY)
		lane_set_priority(job, (int32_t)changes->priority);
	if (changes->what & JOB_CHANGE_TIMEOUT)
		job_timeout_change(job, changes->timeout_ns);
	if (changes->what & JOB_CHANGE_RETRIES)
		job->retries = (uint32_t)changes->retries;
	if (changes->what & JOB_CHANGE_BACKOFF)
		job->backoff_ns = changes->backoff_ns;
	if (changes->what & JOB_CHANGE_LABEL) {
		free(job->label);
		job->label = take_ptr(plan->label);
	}
	if (!has_ended(job))
		job_touch(job);
}

/* ---- On disk ---- */

struct spec_op {
	struct store_op op;
	struct job *job; /* a reference */
	char *spec;
	char *lane;
	void (*on_done)(void *arg, int status);
	void *arg;
};

static void spec_op_free(struct spec_op *write)
{
	if (!write)
		return;
	job_unref(write->job);
	free(write->spec);
	free(write->lane);
	free(write);
}

static void on_spec_written(struct store_op *op, int status)
{
	struct spec_op *write = container_of(op, struct spec_op, op);
	struct jobs *jobs = write->job->jobs;

	if (write->on_done)
		write->on_done(write->arg, status);
	spec_op_free(write);
	jobs_op_done(jobs);
}

static int record(struct job *job, void (*on_done)(void *arg, int status), void *arg)
{
	struct spec_op *write = calloc(1, sizeof(*write));

	if (!write)
		return -ENOMEM;
	write->job = job_ref(job);
	write->on_done = on_done;
	write->arg = arg;
	write->spec = job_spec_format(job);
	write->lane = park_lane_of(job);
	if (!write->spec || !write->lane) {
		spec_op_free(write);
		return -ENOMEM;
	}
	write->op = (struct store_op){ .type = STORE_JOB_SPEC, .job = job->id, .u.respec = { write->spec, write->lane },
				       .on_done = on_spec_written };
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &write->op);
	return 0;
}

void job_record_spec(struct job *job)
{
	(void)record(job, NULL, NULL); /* out of memory: it is written again before long */
}

/* ---- The whole of it ---- */

struct setting {
	struct job *job; /* a reference */
	struct job_changes changes;
	char *label; /* copies, where it has to be looked for predecessors; else the caller's */
	struct after_look *look; /* NULL: it need not */
	job_set_fn on_done;
	void *arg;
};

static void setting_free(struct setting *setting)
{
	after_look_free(setting->look);
	job_unref(setting->job);
	free(setting->label);
	free(setting);
}

static void on_recorded(void *arg, int status)
{
	struct setting *setting = arg;
	struct error err = ERROR_INIT;

	if (status == -ENOENT)
		(void)error_set(&err, status, "no-such-job", "job %" PRIu64 " was removed meanwhile", setting->job->id);
	setting->on_done(setting->arg, status, &err);
	setting_free(setting);
}

/* 0: on_recorded() follows. */
static int set_now(struct setting *setting, struct error *err)
{
	const struct job_changes *changes = &setting->changes;
	struct job *job = setting->job;
	struct plan plan = { .jobs = job->jobs };
	int r = plan_make(job, changes, &plan, err);

	if (r == 0 && setting->look)
		r = after_look_take(setting->look, &plan.afters, err);
	if (r == 0 && changes->what & JOB_CHANGE_TASK_TIMEOUT) {
		r = schedule_task_timeout(job, changes->task_timeout_ns);
		if (r < 0)
			(void)error_set(err, r, "internal", "the time limit of tasks: %s", strerror(-r));
	}
	if (r == 0)
		apply(job, changes, &plan);
	plan_fini(&plan);
	if (r < 0)
		return r;
	if (setting->look)
		after_look_break(setting->look);
	if (!(changes->what & ~JOB_CHANGE_PRIORITY) || !job->durable) { /* the priority is no part of the specification */
		job_record_course_then(job, on_recorded, setting);
		return 0;
	}
	if (changes->what & JOB_CHANGE_PRIORITY)
		job_record_course(job); /* goes first, so that the answer comes after both */
	r = record(job, on_recorded, setting);
	return r < 0 ? error_set(err, r, "internal", "it is so, but not on disk: out of memory") : 0;
}

static void on_found(void *arg)
{
	struct setting *setting = arg;
	struct error err = ERROR_INIT;
	int r = set_now(setting, &err);

	if (r == 0)
		return;
	setting->on_done(setting->arg, r, &err);
	setting_free(setting);
}

/* Whom it is to follow, asked for or as it is. */
static int wanted_predecessors(const struct setting *setting, struct after_look **ret_look, struct error *err)
{
	const struct job_changes *changes = &setting->changes;
	const struct afters *afters = setting->job->begin.afters;
	bool any = changes->what & JOB_CHANGE_AFTER_ANY ? changes->after_any : afters && afters->any;
	uint64_t ids[JOB_MAX_AFTER];
	int n;

	if (!(changes->what & JOB_CHANGE_AFTER)) {
		if (!afters)
			return error_set(err, -EINVAL, "bad-request", "job %" PRIu64 " follows no job: after_failed goes with after=JOB",
					 setting->job->id);
		*ret_look = after_look_new(setting->job, afters->ids, afters->n, any);
	} else {
		n = text_parse_u64_list(changes->after, ids, JOB_MAX_AFTER);
		if (n < 0)
			return error_set(err, n, "bad-request", "after: '%.40s' is no list of jobs", changes->after);
		*ret_look = after_look_new(setting->job, ids, (size_t)n, any);
	}
	return *ret_look ? 0 : error_set(err, -ENOMEM, "internal", "out of memory");
}

/* What is wrong with the rest is said before anything is looked for. */
static int look_for_predecessors(struct setting *setting, struct error *err)
{
	struct job_changes *changes = &setting->changes;
	struct plan plan = { .jobs = setting->job->jobs };
	int r = plan_make(setting->job, changes, &plan, err);

	plan_fini(&plan);
	if (r == 0)
		r = wanted_predecessors(setting, &setting->look, err);
	if (r == 0 && changes->label && !(changes->label = setting->label = strdup(changes->label)))
		r = error_set(err, -ENOMEM, "internal", "out of memory");
	if (r == 0)
		after_look_start(setting->look, on_found, setting);
	return r;
}

int job_set(struct job *job, const struct job_changes *changes, job_set_fn on_done, void *arg, struct error *err)
{
	struct setting *setting = calloc(1, sizeof(*setting));
	int r;

	if (!setting)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	*setting = (struct setting){ .job = job_ref(job), .changes = *changes, .on_done = on_done, .arg = arg };
	if (changes->what & (JOB_CHANGE_AFTER | JOB_CHANGE_AFTER_ANY))
		r = look_for_predecessors(setting, err);
	else
		r = set_now(setting, err);
	if (r < 0)
		setting_free(setting);
	return r;
}
