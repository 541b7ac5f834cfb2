/* After a restart: every unfinished job as the disk knows it. What has an outcome is done; what was started and must not
 * run twice ends as interrupted; the rest runs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "store/store.h"

#define MAX_WALL_S 1e9 /* more is damage */

/* What is wrong with its plugin, or that the configuration has it no more: then it is nobody's slip that a likely name would help. */
static char *why_no_workload(const char *name, int errnum, const struct error *why)
{
	char *text = NULL;

	if (errnum != -ENOENT)
		return strdup(why->text);
	if (asprintf(&text, "the daemon has no workload '%s' any more: start it with that again, or cancel the job", name) < 0)
		return NULL;
	return text;
}

struct job *job_from_row(struct jobs *jobs, const struct store_recovered_job *row, struct error *err)
{
	struct job *job = job_new(jobs, row->job.id);
	struct error why = ERROR_INIT;
	int r;

	if (!job || (*row->job.submission && !(job->submission = strdup(row->job.submission))) ||
	    !(job->workload_name = strdup(row->job.workload))) {
		(void)error_set(err, -ENOMEM, "internal", "out of memory");
		goto fail;
	}
	job->uid = row->job.uid;
	job->created_unix_us = row->job.created_unix_us;
	job->inputs.store = jobs->store;
	r = workloads_find(jobs->workloads, row->job.workload, &job->workload, &why);
	if (r < 0)
		job->why_no_workload = why_no_workload(row->job.workload, r, &why);
	if (job_spec_parse(job, row->job.spec, err) < 0)
		goto fail;
	job->open = row->state.open;
	job->turn.priority = turn_priority(row->state.priority);
	job->total = row->state.total;
	job->inputs.total = row->state.total;
	job->started_unix_us = row->state.started_unix_us;
	job->ended_unix_us = row->state.ended_unix_us;
	job->wall_s = row->state.wall_s;
	if (job->ran_ns == 0 && job->timeout_ns == 0 && job->wall_s > 0 && job->wall_s < MAX_WALL_S)
		job->ran_ns = (int64_t)(job->wall_s * 1e9); /* it was never held */
	job->peak_rss_bytes = row->state.peak_rss_bytes;
	if (row->state.error_code && row->state.ended_unix_us == 0)
		job_resume_course(job, row->state.error_code, row->state.error_text);
	else if (row->state.error_code)
		job_fail_self(job, row->state.error_code, row->state.error_text ? row->state.error_text : "");
	return job;
fail:
	job_unref(job);
	return NULL;
}

/* ---- Live jobs, at start-up ---- */

struct recovery {
	struct job *job;
	struct ranges started;
};

static void sum_up(struct job *job, const struct task_record *record)
{
	job->done += record->state == TASK_DONE;
	job->failed += record->state == TASK_FAILED;
	job->cancelled += record->state == TASK_CANCELLED;
	job->cpu_s += (double)record->cpu_s;
	job->runq_s += (double)record->runq_s;
	job->wait_s += (double)(record->wall_s - record->cpu_s - record->runq_s);
}

static int on_segment(void *arg, uint64_t first, uint32_t count, const struct segment_sums *sums)
{
	struct job *job = ((struct recovery *)arg)->job;
	int r = results_recovered_segment(job, first, count);

	if (r < 0)
		return r;
	job->done += sums->done;
	job->failed += sums->failed;
	job->cancelled += sums->cancelled;
	job->cpu_s += sums->cpu_s;
	job->wait_s += sums->wait_s;
	job->runq_s += sums->runq_s;
	return ranges_remove(&job->main.ready, first, count);
}

static int on_task(void *arg, uint64_t task, const void *blob, size_t len)
{
	struct job *job = ((struct recovery *)arg)->job;
	struct task_record record;
	const uint8_t *data;
	int r = blob ? task_record_decode(blob, len, &record, &data) : -EBADMSG;

	if (r == -EBADMSG) { /* it has ended, nobody knows how: to run it again might be to run it twice */
		static const char text[] = "its outcome is damaged on the disk";

		log_error("jobs: job %" PRIu64 ": the outcome of task %" PRIu64 " is damaged on the disk; it counts as failed",
			  job->id, task);
		record = (struct task_record){ .state = TASK_FAILED, .error = TASK_ERROR_FAILED, .length = sizeof(text) - 1 };
		data = (const uint8_t *)text;
		r = 0;
	}
	if (r == 0)
		r = results_recovered_task(job, task, &record, data, record.length);
	if (r < 0)
		return r;
	sum_up(job, &record);
	return ranges_remove(&job->main.ready, task, 1);
}

static int on_started(void *arg, uint64_t first, uint64_t count)
{
	return ranges_add(&((struct recovery *)arg)->started, first, count);
}

static int on_step(void *arg, uint64_t number, const void *blob, size_t len)
{
	return parts_recover(((struct recovery *)arg)->job, number, blob, len);
}

static int on_crash(void *arg, const struct store_crash *crash)
{
	struct job *job = ((struct recovery *)arg)->job;

	parts_recovered(job); /* it may be the combining that crashed */
	return crash_recovered(job, crash);
}

static int on_input(void *arg, uint64_t first, uint32_t count, size_t packed_bytes)
{
	struct job *job = ((struct recovery *)arg)->job;

	(void)first; /* only how much it is counts here */
	(void)count;
	job->input_bytes += packed_bytes;
	return 0;
}

static const struct store_recovery_ops recovery_ops = {
	.on_input = on_input,
	.on_segment = on_segment,
	.on_task = on_task,
	.on_started = on_started,
	.on_step = on_step,
	.on_crash = on_crash,
};

static int recover_tasks(struct job *job)
{
	struct recovery recovery = { .job = job, .started = RANGES_INIT };
	uint64_t from, n;
	int r = ranges_add(&job->main.ready, 0, job->total);

	if (r == 0)
		r = store_recover_tasks(job->jobs->store, job->id, &recovery_ops, &recovery);
	if (r == 0)
		parts_recovered(job);
	while (r == 0 && (n = ranges_first(&recovery.started, UINT64_MAX, &from)) > 0) {
		r = ranges_remove(&job->main.ready, from, n);
		for (uint64_t task = from; r == 0 && task < from + n; task++)
			outcome_interrupted(job, task);
		ranges_drop_first(&recovery.started, n);
	}
	ranges_fini(&recovery.started);
	return r;
}

static int on_job(void *arg, const struct store_recovered_job *row)
{
	struct jobs *jobs = arg;
	struct error err = ERROR_INIT;
	struct job *job;
	int r;

	if (park_row(jobs, row))
		return 0;
	job = job_from_row(jobs, row, &err);
	if (!job) {
		/* Its rows stay as they are: nothing of it is lost, and an older or newer program may know it. */
		log_error("jobs: job %" PRIu64 " stays on disk and does not run: %s", row->job.id, err.text);
		return 0;
	}
	job_publish(job);
	job->paused = row->state.state == JOB_PAUSED;
	if (job->paused)
		job_set_state(job, JOB_PAUSED);
	job->ready_ns = clock_mono_ns();
	r = recover_tasks(job);
	if (r == 0)
		r = count_recovered(job);
	if (r < 0) {
		log_error("jobs: job %" PRIu64 " stays on disk and does not run: its outcomes are not readable: %s",
			  row->job.id, strerror(-r));
		job_unpublish(job);
	} else {
		log_info("jobs: job %" PRIu64 " '%s' goes on: %" PRIu64 " of %" PRIu64 " tasks have ended", job->id,
			 job->workload_name, job->done + job->failed + job->cancelled, job->total);
		again_continue(job);
		job_arm_open_timeout(job);
		begin_recovered(job);
		unique_hold(job);
		job_touch(job);
	}
	job_unref(job);
	return r == -ENOMEM ? r : 0;
}

struct pass {
	struct jobs *jobs;
	uint64_t last;
	int64_t until_ns;
};

static int on_row(void *arg, const struct store_recovered_job *row)
{
	struct pass *pass = arg;
	int r = on_job(pass->jobs, row);

	pass->last = row->job.id;
	return r < 0 ? r : clock_mono_ns() >= pass->until_ns;
}

int recover_some(struct jobs *jobs, uint64_t *above, int64_t until_ns, struct error *err)
{
	struct pass pass = { .jobs = jobs, .last = *above, .until_ns = until_ns };
	int r = store_recover_jobs(jobs->store, *above, on_row, &pass);

	*above = pass.last;
	if (r == 0 && jobs->parked.n > 0)
		log_info("jobs: %zu more jobs wait", jobs->parked.n);
	return r < 0 ? error_set(err, r, "internal", "unfinished jobs could not be read: %s", strerror(-r)) : r;
}

/* ---- Ended jobs, to be looked at ---- */

/* A damaged row may say anything: what has ended has not succeeded for certain. */
static enum job_state ended_state(uint8_t recorded)
{
	return recorded == JOB_DONE || recorded == JOB_CANCELLED ? (enum job_state)recorded : JOB_FAILED;
}

static void fill_ended(struct job *job, const struct store_job_state *state)
{
	job->from_store = true;
	job_opened(job);
	job->open = false;
	job->state = ended_state(state->state);
	job->done = state->done;
	job->failed = state->failed;
	job->cancelled = state->cancelled;
	job->cpu_s = state->cpu_s;
	job->wait_s = state->wait_s;
	job->runq_s = state->runq_s;
	if (state->stalls_bytes > 0 && stalls_decode(state->stalls, state->stalls_bytes, &job->stalls) < 0)
		log_warning("jobs: job %" PRIu64 ": which tasks held their thread cannot be read back, ignoring", job->id);
}

struct get {
	struct store_read read;
	LIST_ENTRY(get) link; /* jobs->gets */
	uint32_t n_parkings; /* when its reading began */
	bool removed; /* whatever is read: it is being removed, or was */
	struct jobs *jobs;
	void (*on_opened)(void *arg, int status, struct job *job);
	void *arg;
};

/* One that has not ended, and is neither in the table nor parked, is one that could not be recovered: NULL. */
static struct job *open_row(struct jobs *jobs, const struct store_recovered_job *row)
{
	struct parked *parked = parked_find(jobs, row->job.id);
	struct job *job;

	if (row->state.ended_unix_us == 0)
		return parked && !jobs->stopping ? parked_take(parked, jobs, row) : NULL;
	job = job_from_row(jobs, row, NULL);
	if (job)
		fill_ended(job, &row->state);
	return job;
}

static void on_job_read(struct store_read *read, int status);

static void read_row(struct get *get, uint64_t id)
{
	get->n_parkings = get->jobs->n_parkings;
	get->read = (struct store_read){ .type = STORE_READ_JOB, .job = id, .on_done = on_job_read };
	store_read(get->jobs->store, &get->read);
}

/* It was loaded for somebody else, set, and parked again since: the row may be from before. */
static bool is_outdated(const struct get *get)
{
	const struct parked *parked = parked_find(get->jobs, get->read.job);

	return parked && parked_since(parked, get->n_parkings) && !get->jobs->stopping;
}

static void on_job_read(struct store_read *read, int status)
{
	struct get *get = container_of(read, struct get, read);
	struct job *job = NULL;

	if (status == 0 && is_outdated(get)) {
		store_read_fini(read);
		read_row(get, read->job);
		return;
	}
	LIST_REMOVE(get, link);
	if (status == 0 && (read->n_jobs == 0 || get->removed))
		status = -ENOENT;
	if (status == 0) {
		/* It may have been live a moment ago and ended between: the table knows best. */
		job = jobs_find(get->jobs, read->job);
		if (job) {
			job_ref(job);
		} else {
			job = open_row(get->jobs, &read->jobs[0]);
			if (!job)
				status = -EIO;
		}
	}
	get->on_opened(get->arg, status, job);
	store_read_fini(read);
	jobs_op_done(get->jobs);
	free(get);
}

void gets_note_removal(struct jobs *jobs, uint64_t id, bool removed)
{
	struct get *get;

	LIST_FOREACH(get, &jobs->gets, link)
		if (get->read.job == id)
			get->removed = removed;
}

void jobs_get(struct jobs *jobs, uint64_t id, void (*on_opened)(void *arg, int status, struct job *job), void *arg)
{
	struct job *job;
	struct get *get;

	job = jobs_find(jobs, id);
	if (job) {
		on_opened(arg, 0, job_ref(job));
		return;
	}
	get = id > 0 && id < jobs->next_id ? calloc(1, sizeof(*get)) : NULL;
	if (!get) {
		on_opened(arg, -ENOENT, NULL);
		return;
	}
	get->jobs = jobs;
	get->on_opened = on_opened;
	get->arg = arg;
	get->removed = remove_is_under_way(jobs, id);
	LIST_INSERT_HEAD(&jobs->gets, get, link);
	jobs_op_submitted(jobs);
	read_row(get, id);
}

#define ENDED_STATES (1u << JOB_DONE | 1u << JOB_FAILED | 1u << JOB_CANCELLED)
#define PARKED_STATES (1u << JOB_QUEUED | 1u << JOB_PAUSED)
#define LOOK_ROWS 4096 /* at once, for those that fit a filter: some milliseconds of the store's reader */

struct list {
	struct store_read read;
	struct jobs *jobs;
	uint32_t left; /* to be told */
	int (*fn)(void *arg, const struct job_view *view);
	void *arg;
};

/* One of those that `left` counts is told. */
static void tell(struct list *list, const struct job_view *view)
{
	list->left = list->fn(list->arg, view) == 0 ? list->left - 1 : 0;
}

static void tell_row(struct list *list, const struct store_recovered_job *row)
{
	bool ended = row->state.ended_unix_us > 0;
	struct job_view view;
	struct job *job = NULL;
	const struct parked *parked = ended ? NULL : parked_find(list->jobs, row->job.id);

	if (!ended && !parked) {
		job = jobs_find(list->jobs, row->job.id);
		if (!job)
			return; /* it could not be recovered */
		job_view(job, &view); /* perhaps it was parked when jobs_walk_newest() looked */
		tell(list, &view);
		return;
	}
	job = job_from_row(list->jobs, row, NULL);
	if (!job)
		return;
	job->on_disk_only = !ended;
	if (ended)
		fill_ended(job, &row->state);
	else
		parked_wait_describe(parked->wait, job);
	if (row->state.state == JOB_PAUSED && !ended)
		job->state = JOB_PAUSED;
	job_view(job, &view);
	tell(list, &view);
	job_unref(job);
}

static void on_jobs_read(struct store_read *read, int status)
{
	struct list *list = container_of(read, struct list, read);
	bool more = status == 0 && (read->look > 0 ? read->next_below > 0 : read->n_jobs == read->limit);

	if (status < 0)
		log_warning("jobs: the jobs on disk could not be read: %s", strerror(-status));
	for (size_t i = 0; status == 0 && i < read->n_jobs && list->left > 0; i++) {
		read->below = read->jobs[i].job.id;
		tell_row(list, &read->jobs[i]);
	}
	if (read->look > 0)
		read->below = read->next_below;
	store_read_fini(read);
	if (more && list->left > 0 && list->jobs->crews) { /* else jobs_let_go(): nobody is there to hear of more */
		read->limit = list->left;
		store_read(list->jobs->store, read);
		return;
	}
	list->fn(list->arg, NULL);
	jobs_op_done(list->jobs);
	free(list);
}

void jobs_list_ended(struct jobs *jobs, uint64_t below, uint32_t limit, const struct jobs_filter *filter,
		     int (*fn)(void *arg, const struct job_view *view), void *arg)
{
	unsigned int states = filter ? filter->states : 0;
	bool unfinished = jobs->parked.n > 0 && (!states || states & PARKED_STATES);
	struct list *list = states && !unfinished && !(states & ENDED_STATES) ? NULL : calloc(1, sizeof(*list));

	if (!list) { /* there is nothing to look for, or no memory */
		fn(arg, NULL);
		return;
	}
	list->jobs = jobs;
	list->left = limit;
	list->fn = fn;
	list->arg = arg;
	list->read = (struct store_read){
		.type = STORE_READ_JOBS,
		.below = below,
		.limit = limit,
		.unfinished = unfinished,
		.look = filter ? LOOK_ROWS : 0,
		.states = states,
		.workload = filter ? filter->workload : NULL,
		.on_done = on_jobs_read,
	};
	jobs_op_submitted(jobs);
	store_read(jobs->store, &list->read);
}
