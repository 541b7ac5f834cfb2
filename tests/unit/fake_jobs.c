/* Jobs in memory. */
#include "unit.h"

#include "base/cleanup.h"
#include "concd/plugin.h"
#include "config.h"
#include "crew/crew.h"
#include "crew/workload.h"
#include "fake_jobs.h"
#include "store/store.h"

/* A callback that is to come later. */
struct held {
	struct held *next;
	jobs_accepted_fn on_accepted;
	void (*on_opened)(void *arg, int status, struct job *job);
	void (*on_added)(void *arg, int status, uint64_t have, const struct error *err);
	void *arg;
	struct job *job;
	int status;
	uint64_t id;
};

const char *job_state_name(enum job_state state)
{
	static const char *const names[] = { "open", "queued", "running", "paused", "done", "failed", "cancelled" };

	return names[state];
}

struct jobs *fake_jobs_new(void)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));

	assert_non_null(jobs);
	jobs->next_id = 1;
	return jobs;
}

void fake_jobs_free(struct jobs *jobs)
{
	fake_jobs_release(jobs);
	assert_int_equal(jobs->live_refs, 0);
	while (jobs->all) {
		struct job *job = jobs->all;

		assert_null(job->watches);
		jobs->all = job->next;
		for (size_t i = 0; i < job->n_segments; i++)
			segment_unref(job->segments[i]);
		free(job->segments);
		buffer_fini(&job->inputs);
		free(job);
	}
	free(jobs);
}

struct job *fake_job_add(struct jobs *jobs, uint64_t n_tasks)
{
	struct job *job = calloc(1, sizeof(*job)), **at = &jobs->all;

	assert_non_null(job);
	job->jobs = jobs;
	job->view = (struct job_view){ .id = jobs->next_id++, .submission = "sub", .workload = "squares", .label = "",
				       .uid = (uint32_t)getuid(), .state = JOB_RUNNING, .durable = true,
				       .total = n_tasks, .queued = n_tasks, .model = "pool", .model_reason = "",
				       .shape = { 1, 2, 1 }, .workers = 2, .grace_ns = 5000000000,
				       .created_unix_us = 1700000000000000, .waiting = "" };
	job->n_segments = (size_t)((n_tasks + SEGMENT_TASKS - 1) / SEGMENT_TASKS);
	job->segments = calloc(job->n_segments + 1, sizeof(*job->segments));
	for (size_t i = 0; i < job->n_segments; i++) {
		uint64_t first = i * SEGMENT_TASKS, left = n_tasks - first;

		job->segments[i] = segment_new(first, left < SEGMENT_TASKS ? (uint32_t)left : SEGMENT_TASKS);
		assert_non_null(job->segments[i]);
	}
	for (uint64_t i = 0; i < n_tasks; i++) {
		char text[24];
		int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)i);

		assert_int_equal(buffer_add_varint(&job->inputs, (uint64_t)n), 0);
		assert_int_equal(buffer_add(&job->inputs, text, (size_t)n), 0);
	}
	while (*at)
		at = &(*at)->next;
	*at = job;
	return job;
}

void fake_job_inputs(struct job *job, const void *packed, size_t len)
{
	job->inputs.len = 0;
	assert_int_equal(buffer_add(&job->inputs, packed, len), 0);
}

static void put(struct job *job, uint64_t task, struct task_record *record, const void *data, size_t len)
{
	struct segment *segment = job->segments[task / SEGMENT_TASKS];
	uint32_t index = (uint32_t)(task % SEGMENT_TASKS);

	record->worker_pid = 4711;
	record->attempts = 1;
	assert_int_equal(segment_put(segment, index, record, data, len), 0);
	segment->records[index].recorded = true;
	segment->n_recorded++;
	job->view.recorded++;
	job->view.queued--;
}

void fake_job_done(struct job *job, uint64_t task, const void *data, size_t len)
{
	struct task_record record = { .state = TASK_DONE, .wall_s = 1.5F, .cpu_s = 0.25F, .runq_s = 0.25F };

	put(job, task, &record, data, len);
	job->view.done++;
}

void fake_job_failed(struct job *job, uint64_t task, enum task_error error, int signal, const char *message)
{
	struct task_record record = { .state = error == TASK_ERROR_CANCELLED ? TASK_CANCELLED : TASK_FAILED,
				      .error = (uint8_t)error, .signal = (uint8_t)signal };

	put(job, task, &record, message, strlen(message));
	job->view.failed++;
}

void fake_job_tell(struct job *job)
{
	struct job_watch *next;

	for (struct job_watch *watch = job->watches; watch; watch = next) {
		next = watch->next;
		watch->on_progress(watch);
	}
}

void fake_job_end(struct job *job, enum job_state state)
{
	struct job_watch *next;

	job->view.state = state;
	job->view.open = false;
	job->view.wall_s = 2;
	for (struct job_watch *watch = job->watches; watch; watch = next) {
		next = watch->next;
		watch->on_state(watch, state);
	}
}

void fake_jobs_load(struct jobs *jobs)
{
	for (struct job *job = jobs->all; job; job = job->next) {
		if (job->loaded_segment == job->wanted_segment && job->loaded_input == job->wanted_input)
			continue;
		job->loaded_segment = job->wanted_segment;
		job->loaded_input = job->wanted_input;
		fake_job_tell(job);
	}
}

static void hold(struct jobs *jobs, const struct held *what)
{
	struct held *held = malloc(sizeof(*held)), **at = &jobs->held;

	assert_non_null(held);
	*held = *what;
	held->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = held;
}

void fake_jobs_release(struct jobs *jobs)
{
	struct error err = ERROR_INIT;

	while (jobs->held) {
		struct held *held = jobs->held;

		jobs->held = held->next;
		if (held->status < 0 && held->status != -EEXIST)
			(void)error_set(&err, held->status, "full", "the fake disk is full");
		if (held->on_accepted)
			held->on_accepted(held->arg, held->status, held->job, held->id, &err);
		else if (held->on_added)
			held->on_added(held->arg, held->status, held->id, &err);
		else
			held->on_opened(held->arg, held->status, held->status == 0 ? job_ref(held->job) : NULL);
		free(held);
	}
}

/* ---- jobs.h ---- */

static void copy_text(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from ? from : "");
}

void jobs_expect_submission(struct jobs *jobs)
{
	(void)jobs;
}

int jobs_submit(struct jobs *jobs, const struct job_spec *spec, struct buffer *inputs, jobs_accepted_fn on_accepted,
		void *arg, struct error *err)
{
	struct held held = { .on_accepted = on_accepted, .arg = arg, .status = jobs->accept_status,
			     .id = jobs->known_id };
	const uint8_t *at = inputs->data, *data;
	uint64_t n = 0;
	size_t len;

	if (jobs->refuse)
		return error_set(err, jobs->refuse, jobs->refuse_code, "refused by the test");
	copy_text(jobs->workload, sizeof(jobs->workload), spec->workload);
	copy_text(jobs->submission, sizeof(jobs->submission), spec->submission);
	copy_text(jobs->label, sizeof(jobs->label), spec->label);
	copy_text(jobs->model, sizeof(jobs->model), spec->model.model);
	copy_text(jobs->shape, sizeof(jobs->shape), spec->model.shape);
	jobs->params[0] = '\0';
	for (size_t i = 0; i < spec->n_params; i++)
		(void)snprintf(jobs->params + strlen(jobs->params), sizeof(jobs->params) - strlen(jobs->params),
			       "%s=%s;", spec->params[i].name, spec->params[i].value);
	jobs->last = *spec;
	jobs->n_submitted++;
	if (held.status == 0) {
		while (at < inputs->data + inputs->len) {
			at = packed_next(at, inputs->data + inputs->len, &data, &len);
			assert_non_null(at);
			n++;
		}
		held.job = fake_job_add(jobs, n);
		held.job->view.uid = spec->uid;
		held.job->view.open = spec->open;
		buffer_fini(&held.job->inputs);
		held.job->inputs = *inputs;
	} else {
		buffer_fini(inputs);
	}
	hold(jobs, &held);
	return 0;
}

int jobs_check(struct jobs *jobs, const struct job_spec *spec, struct model_choice *ret_choice, uint64_t *ret_joins,
	       struct error *err)
{
	(void)spec;
	if (jobs->refuse)
		return error_set(err, jobs->refuse, jobs->refuse_code, "refused by the test");
	*ret_choice = (struct model_choice){ .model = model_find("pool"), .reason = "", .crew_shape = { 1, 2, 1 },
					     .workers = 2 };
	*ret_joins = 0;
	return 0;
}

int job_add_inputs(struct job *job, uint64_t from, const uint8_t *packed, size_t bytes, bool last,
		   void (*on_added)(void *arg, int status, uint64_t have, const struct error *err), void *arg,
		   uint64_t *ret_have, struct error *err)
{
	if (!job->view.open)
		return error_set(err, -EPERM, "wrong-state", "job %llu is not open", (unsigned long long)job->view.id);
	if (from != job->view.total) {
		*ret_have = job->view.total;
		return error_set(err, -ESTALE, "wrong-offset", "not from there");
	}
	for (const uint8_t *end = packed + bytes, *data; bytes > 0 && packed < end;) {
		size_t len;

		packed = packed_next(packed, end, &data, &len);
		if (!packed)
			return error_set(err, -EBADMSG, "bad-request", "cut or malformed");
	}
	job->view.total += 2;
	job->view.open = !last;
	hold(job->jobs, &(struct held){ .on_added = on_added, .arg = arg, .id = job->view.total });
	return 0;
}

void jobs_get(struct jobs *jobs, uint64_t id, void (*on_opened)(void *arg, int status, struct job *job), void *arg)
{
	struct job *job = jobs->all;

	while (job && job->view.id != id)
		job = job->next;
	hold(jobs, &(struct held){ .on_opened = on_opened, .arg = arg, .job = job,
				   .status = !job ? -ENOENT : job->broken ? -EIO : 0 });
	if (!jobs->hold_get) {
		struct held *rest = jobs->held, **at = &rest;

		if (!jobs->hold) {
			fake_jobs_release(jobs);
			return;
		}
		while ((*at)->next)
			at = &(*at)->next;
		jobs->held = *at; /* only this one */
		*at = NULL;
		fake_jobs_release(jobs);
		jobs->held = rest;
	}
}

struct job *job_ref(struct job *job)
{
	job->jobs->live_refs++;
	return job;
}

void job_unref(struct job *job)
{
	if (!job)
		return;
	assert_true(job->jobs->live_refs > 0);
	job->jobs->live_refs--;
}

void job_view(const struct job *job, struct job_view *ret_view)
{
	*ret_view = job->view;
	ret_view->paused = job->view.state == JOB_PAUSED; /* none is as one of its workload only */
}

bool job_has_ended(const struct job *job)
{
	return job_state_ended(job->view.state);
}

void job_view_quick(const struct job *job, struct job_view *ret_view)
{
	job_view(job, ret_view);
	ret_view->queued += ret_view->running;
	ret_view->running = 0;
}

void jobs_view(struct jobs *jobs, struct jobs_view *ret_view)
{
	*ret_view = (struct jobs_view){ .tasks_done = 123, .unfinished = { .jobs = 2, .tasks = 5, .bytes = 77 }, .trouble = "" };
	for (const struct job *job = jobs->all; job; job = job->next)
		ret_view->by_state[job->view.state]++;
}

int jobs_walk_users(const struct jobs *jobs, int (*fn)(void *arg, uint32_t uid, const struct quota_count *unfinished), void *arg)
{
	const struct quota_count count = { .jobs = 2, .tasks = 5, .bytes = 77 };

	(void)jobs; /* always the same */
	return fn(arg, 1234, &count);
}

int job_walk_running(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct task_view *view), void *arg)
{
	for (uint32_t i = 0; i < job->n_running && i < limit; i++) {
		const struct task_view view = { .index = i, .part = i ? 3 : TASK_WHOLE, .worker_pid = 4711, .attempts = 1, .progress = i ? 0.5F : -1,
						.cause = "" };

		if (fn(arg, &view) < 0)
			return -ENOMEM;
	}
	return 0;
}

int job_segment(struct job *job, uint64_t task, struct segment **ret_segment)
{
	struct segment *segment;

	if (job->broken)
		return -EIO;
	if (task / SEGMENT_TASKS >= job->n_segments)
		return -ENOENT;
	if (job->slow_segments && job->loaded_segment != task / SEGMENT_TASKS + 1) {
		job->wanted_segment = task / SEGMENT_TASKS + 1;
		return -EAGAIN;
	}
	segment = job->segments[task / SEGMENT_TASKS];
	if (!segment || segment->n_recorded == 0)
		return -ENOENT;
	*ret_segment = segment_ref(segment);
	return 0;
}

void job_segment_passed(struct job *job, const struct segment *segment)
{
	assert_in_range(segment->refs, 2, 100); /* the reader's and the job's */
	job->n_passed++;
}

int job_inputs(struct job *job, uint64_t task, const uint8_t **ret_packed, size_t *ret_bytes, uint64_t *ret_count)
{
	const uint8_t *at = job->inputs.data, *end = at + job->inputs.len, *data;
	size_t len;

	if (job->slow_inputs && job->loaded_input != task / 3 + 1) {
		job->wanted_input = task / 3 + 1;
		return -EAGAIN;
	}
	for (uint64_t i = 0; i < task; i++) {
		at = packed_next(at, end, &data, &len);
		assert_non_null(at);
	}
	*ret_packed = at;
	*ret_bytes = (size_t)(end - at);
	*ret_count = 3 - task % 3; /* short runs, to see them joined */
	if (*ret_count > job->view.total - task)
		*ret_count = job->view.total - task;
	return 0;
}

void job_watch(struct job *job, struct job_watch *watch)
{
	watch->next = job->watches;
	if (watch->next)
		watch->next->prev = &watch->next;
	watch->prev = &job->watches;
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

int job_cancel(struct job *job, struct error *err)
{
	if (job_state_ended(job->view.state))
		return error_set(err, -EALREADY, "wrong-state", "job %llu is %s already",
				 (unsigned long long)job->view.id, job_state_name(job->view.state));
	job->cancel_asked = true;
	job->jobs->n_cancelled++;
	return 0;
}

int job_send(struct job *job, uint64_t task, const void *data, size_t len, job_sent_fn on_sent, void *arg,
	     struct error *err)
{
	struct jobs *jobs = job->jobs;

	if (task >= job->view.total)
		return error_set(err, -ENOENT, "no-such-task", "there is no such task");
	jobs->sent_task = task;
	(void)snprintf(jobs->sent, sizeof(jobs->sent), "%.*s", (int)len, (const char *)data);
	jobs->on_sent = on_sent;
	jobs->sent_arg = arg;
	return 0;
}

int job_kill(struct job *job, struct error *err)
{
	return job_cancel(job, err);
}

int job_pause(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	if (job->view.state == JOB_PAUSED)
		return error_set(err, -EALREADY, "wrong-state", "it is paused already");
	job->view.state = JOB_PAUSED;
	on_done(arg, 0);
	return 0;
}

int job_resume(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	if (job->view.state != JOB_PAUSED)
		return error_set(err, -EALREADY, "wrong-state", "it is not paused");
	job->view.state = JOB_RUNNING;
	on_done(arg, 0);
	return 0;
}

int job_restart(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	if (!job->view.service.is_service)
		return error_set(err, -EALREADY, "wrong-state", "it is no service");
	on_done(arg, 0);
	return 0;
}

void jobs_last(struct jobs *jobs, uint32_t uid, void (*on_found)(void *arg, int status, uint64_t id), void *arg)
{
	uint64_t id = 0;

	for (const struct job *job = jobs->all; job; job = job->next)
		if (job->view.uid == uid && !job->view.removed)
			id = job->view.id;
	on_found(arg, id > 0 ? 0 : -ENOENT, id);
}

int jobs_hold(struct jobs *jobs, const char *workload, void (*on_done)(void *arg, int status), void *arg,
	      struct error *err)
{
	if (jobs->is_held)
		return error_set(err, -EALREADY, "wrong-state", "it is paused already");
	jobs->is_held = true;
	copy_text(jobs->held_name, sizeof(jobs->held_name), workload);
	on_done(arg, 0);
	return 0;
}

int jobs_release(struct jobs *jobs, const char *workload, void (*on_done)(void *arg, int status), void *arg,
		 struct error *err)
{
	(void)err; /* never refused here */
	if (!jobs->is_held || (*workload && strcmp(workload, jobs->held_name) != 0))
		return 0;
	jobs->is_held = false;
	on_done(arg, 0);
	return 1;
}

int jobs_walk_holds(const struct jobs *jobs, int (*fn)(void *arg, const char *workload, int64_t since_unix_us), void *arg)
{
	return jobs->is_held ? fn(arg, jobs->held_name, 1700000000000000) : 0;
}

int job_retry(struct job *source, bool failed_only, uint32_t uid, jobs_accepted_fn on_accepted, void *arg,
	      struct error *err)
{
	struct jobs *jobs = source->jobs;
	struct job *job;

	if (!job_state_ended(source->view.state))
		return error_set(err, -EBUSY, "wrong-state", "it has not ended");
	job = fake_job_add(jobs, failed_only ? source->view.total - source->view.done : source->view.total);
	job->view.uid = uid;
	job->view.retry_of = source->view.id;
	hold(jobs, &(struct held){ .on_accepted = on_accepted, .arg = arg, .job = job, .id = source->view.id });
	return 0;
}

int job_remove(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	if (!job_state_ended(job->view.state))
		return error_set(err, -EBUSY, "wrong-state", "job %llu is %s: cancel it first",
				 (unsigned long long)job->view.id, job_state_name(job->view.state));
	job->view.removed = true;
	on_done(arg, job->jobs->remove_status);
	return 0;
}

int job_set(struct job *job, const struct job_changes *changes, job_set_fn on_done, void *arg, struct error *err)
{
	if (changes->what & JOB_CHANGE_WORKERS &&
	    (changes->workers == 0 || changes->workers > shape_workers(&job->view.shape)))
		return error_set(err, -EINVAL, "bad-workers", "too many");
	if (changes->what & JOB_CHANGE_WORKERS)
		job->view.workers = (uint32_t)changes->workers;
	if (changes->what & JOB_CHANGE_PRIORITY)
		job->view.priority = (int32_t)changes->priority;
	if (changes->what & JOB_CHANGE_TIMEOUT)
		job->view.timeout_ns = changes->timeout_ns;
	on_done(arg, 0, NULL);
	return 0;
}

const struct stalls *job_stalls(const struct job *job)
{
	(void)job;
	return NULL;
}

int job_walk_divided(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct divided_view *view), void *arg)
{
	const struct divided_view view = { .index = 1, .parts = 16, .parts_done = 5 };

	return job->n_running > 1 && limit > 0 ? fn(arg, &view) : 0;
}

int job_walk_retrying(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct task_view *view), void *arg)
{
	(void)job;
	(void)limit;
	(void)fn;
	(void)arg;
	return 0;
}
