/* Accepting: a job is there once its first piece is on disk. */
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
#include "ctl/protocol.h"
#include "jobs/accept.h"
#include "jobs/job.h"
#include "store/store.h"

/* Ids of jobs that are not kept are promised to the disk in blocks of this many. */
#define ID_BLOCK 1024

void accept_free(struct accept *accept)
{
	struct accept *joiner;

	if (accept->job && accept->job->accept == accept) {
		accept->job->accept = NULL;
		if (!accept->job->published)
			unique_release(accept->job);
	}
	while ((joiner = STAILQ_FIRST(&accept->joiners))) {
		struct jobs *jobs = joiner->job->jobs;

		STAILQ_REMOVE_HEAD(&accept->joiners, turn);
		accept_joined(joiner);
		accept_free(joiner);
		jobs_op_done(jobs);
	}
	job_unref(accept->holder);
	if (accept->counted.tasks > 0 || accept->counted.jobs > 0)
		quota_sub(&accept->job->jobs->quota, accept->job->uid, &accept->counted);
	input_rows_free(accept->rows, accept->n_rows);
	job_unref(accept->job);
	free(accept->inputs);
	free(accept->copy);
	free(accept->spec);
	free(accept->lane);
	free(accept);
}

/* ---- Inputs, and room for them ---- */

static int cut_inputs(struct job *job, const uint8_t *packed, size_t bytes, struct accept *accept, struct error *err)
{
	uint64_t max_tasks = job->jobs->config->max_tasks;
	int64_t n = inputs_cut(packed, bytes, job->total, PROTOCOL_MAX_INPUT_BYTES, &accept->rows,
			       &accept->n_rows);

	if (n == -EMSGSIZE)
		return error_set(err, -EMSGSIZE, "too-large", "an input is over %u bytes", PROTOCOL_MAX_INPUT_BYTES);
	if (n == -EBADMSG)
		return error_set(err, -EBADMSG, "bad-request", "packed inputs: they are cut or malformed");
	if (n < 0)
		return error_set(err, (int)n, "internal", "out of memory");
	if (job->total + (uint64_t)n > max_tasks) {
		input_rows_free(take_ptr(accept->rows), accept->n_rows);
		return error_set(err, -EMSGSIZE, "too-large", "a job may have at most %llu tasks (limits.max_tasks)",
				 (unsigned long long)max_tasks);
	}
	accept->tasks = (uint64_t)n;
	accept->bytes = bytes;
	accept->inputs = calloc(accept->n_rows + 1, sizeof(*accept->inputs));
	if (!accept->inputs) {
		input_rows_free(take_ptr(accept->rows), accept->n_rows);
		return error_set(err, -ENOMEM, "internal", "out of memory");
	}
	for (size_t i = 0; i < accept->n_rows; i++)
		accept->inputs[i] = (struct store_input){
			.first = accept->rows[i].first,
			.count = accept->rows[i].count,
			.packed = accept->rows[i].packed,
			.packed_bytes = accept->rows[i].bytes,
		};
	return 0;
}

/* Cut what was sent, and have it counted. Nothing of a service is. 0; -EBUSY: there is no room now; else -errno. */
static int take_room(struct job *job, const uint8_t *packed, size_t bytes, struct accept *accept, struct error *err)
{
	struct jobs *jobs = job->jobs;
	struct quota_ask ask = { .uid = job->uid, .job = job->published ? job->id : 0, .job_bytes = job->input_bytes };
	int r = cut_inputs(job, packed, bytes, accept, err);

	if (r < 0 || job->service)
		return r;
	ask.count = (struct quota_count){ .jobs = !job->published, .tasks = accept->tasks, .bytes = accept->bytes };
	r = quota_check(&jobs->quota, jobs->config, &ask, err);
	if (r < 0)
		return r;
	if (quota_add(&jobs->quota, job->uid, &ask.count) < 0)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	accept->counted = ask.count;
	return 0;
}

/* ---- What was sent is on disk (or kept) ---- */

/* The job has these tasks from now on. */
int accept_take_inputs(struct accept *accept)
{
	struct job *job = accept->job;
	uint64_t first = job->total;
	struct input_row *rows = take_ptr(accept->rows);
	int r = inputs_add(&job->inputs, rows, accept->n_rows);

	if (r == 0)
		r = ranges_add(&job->main.ready, first, accept->tasks);
	if (r < 0) {
		job->inputs.total = first;
		return r;
	}
	job->input_bytes += accept->bytes;
	job->counted_tasks += accept->counted.tasks;
	accept->counted = (struct quota_count){ .jobs = 0 }; /* the job's now */
	job->total += accept->tasks;
	job->inputs.total = job->total;
	job->ready_ns = clock_mono_ns();
	return 0;
}

void accept_describe_failure(const struct jobs *jobs, int status, struct error *err)
{
	const char *why = NULL;

	if (status == -ENOSPC && store_stalled(jobs->store, &why))
		(void)error_set(err, status, "full", "nothing was accepted: %s; jobs are accepted again when that is mended", why);
	else if (status == -ENOSPC)
		(void)error_set(err, status, "full",
				"the disk is full: nothing was accepted; make room in the state directory and try again");
	else if (status == -ESHUTDOWN)
		(void)error_set(err, status, "stopping", "the daemon is shutting down: nothing was accepted");
	else
		(void)error_set(err, status, "internal", "the store failed: %s; the daemon's log says more",
				strerror(-status));
}

static void accepted(struct accept *accept, int status)
{
	struct job *job = accept->job;
	struct error err = ERROR_INIT;
	struct job *known = NULL;

	if (status == 0 && !job->durable && job->submission)
		known = jobs_find_submission(job->jobs, job->submission);
	if (known) {
		accept->on_accepted(accept->arg, -EEXIST, known, known->id, NULL);
		return;
	}
	if (status == 0 && !accept->early)
		status = accept_take_inputs(accept);
	if (status < 0) {
		if (accept->early)
			early_refused(accept);
		accept_describe_failure(job->jobs, status, &err);
		accept->on_accepted(accept->arg, status, NULL, 0, &err);
		return;
	}
	job_publish(job);
	last_note(job);
	if (accept->early)
		early_accepted(accept);
	if (!job->durable && job->submission)
		linear_hash_add(&job->jobs->submissions, &job->by_submission);
	begin_wait(job);
	job_arm_open_timeout(job);
	accept->on_accepted(accept->arg, 0, job, job->id, NULL);
	if (job_park(job, 1, true))
		return;
	if (job->ending == JOB_ENDING_NO)
		schedule_start(job);
	schedule_ready(job);
	job_touch(job); /* one without tasks is done at once */
}

static void on_job_added(struct store_op *op, int status)
{
	struct accept *accept = container_of(op, struct accept, op);
	struct jobs *jobs = accept->job->jobs;

	if (op->type == STORE_NEXT_ID && status == 0 && op->u.next_id > jobs->ids_on_disk)
		jobs->ids_on_disk = op->u.next_id;
	if (op->type == STORE_JOB_ADD && status == -EEXIST) {
		struct job *job = NULL;
		uint64_t id = op->u.add.existing_job;

		if (accept->early)
			early_refused(accept);
		job = jobs_find(jobs, id);
		accept->on_accepted(accept->arg, -EEXIST, job, id, NULL);
	} else {
		accepted(accept, status);
	}
	accept_free(accept);
	jobs_op_done(jobs);
}

static void accept_on_turn(struct accept *accept)
{
	accepted(accept, accept->status);
}

void accept_turn_soon(struct accept *accept, void (*on_turn)(struct accept *accept))
{
	struct jobs *jobs = accept->job->jobs;

	accept->on_turn = on_turn;
	STAILQ_INSERT_TAIL(&jobs->turns, accept, turn);
	event_active(jobs->turn_event, EV_TIMEOUT, 0);
}

static void run_turns(struct jobs *jobs, int status)
{
	struct accept_list now = STAILQ_HEAD_INITIALIZER(now);
	struct accept *accept;

	STAILQ_CONCAT(&now, &jobs->turns);
	while ((accept = STAILQ_FIRST(&now))) {
		STAILQ_REMOVE_HEAD(&now, turn);
		accept->status = status;
		accept->on_turn(accept);
		accept_free(accept);
		jobs_op_done(jobs);
	}
}

void submit_on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* made active, never ready */
	(void)what;
	run_turns(arg, 0);
}

void submit_let_go(struct jobs *jobs)
{
	run_turns(jobs, -ESHUTDOWN);
}

/* ---- Submitting ---- */

void jobs_expect_submission(struct jobs *jobs)
{
	store_expect(jobs->store);
}

static int accept_durable(struct accept *accept, const struct job_spec *spec)
{
	struct job *job = accept->job;
	int r;

	accept->spec = job_spec_format(job);
	accept->lane = park_lane_of(job);
	if (!accept->spec || !accept->lane)
		return -ENOMEM;
	job->inputs.store = job->jobs->store;
	accept->op.type = STORE_JOB_ADD;
	accept->op.u.add.job = (struct store_job){
		.id = job->id,
		.submission = job->submission ? job->submission : "",
		.workload = job->workload_name,
		.spec = accept->spec,
		.lane = accept->lane,
		.uid = job->uid,
		.created_unix_us = job->created_unix_us,
	};
	accept->op.u.add.state = (struct store_job_state){
		.state = JOB_QUEUED,
		.open = job->open,
		.priority = job->turn.priority,
		.total = accept->tasks,
	};
	accept->op.u.add.inputs = accept->inputs;
	accept->op.u.add.n_inputs = accept->n_rows;
	accept->op.u.add.input_bytes = accept->bytes;
	r = spec ? early_begin(accept, spec) : 0;
	if (r > 0)
		store_submit_late(job->jobs->store, &accept->op);
	else if (r == 0)
		store_submit(job->jobs->store, &accept->op);
	return r < 0 ? r : 0;
}

/* Not kept: only its id must never come again, which the disk is told in blocks, ahead of time where possible. */
static void accept_ephemeral(struct accept *accept)
{
	struct jobs *jobs = accept->job->jobs;

	if (accept->job->id < jobs->ids_on_disk) {
		accept_turn_soon(accept, accept_on_turn);
		return;
	}
	accept->op.type = STORE_NEXT_ID;
	accept->op.u.next_id = accept->job->id + ID_BLOCK;
	store_submit(jobs->store, &accept->op);
}

/* Have it written, or its number. spec: NULL where it had to wait for something. 0: the answer follows. */
static int accept_start(struct accept *accept, const struct job_spec *spec)
{
	if (accept->job->durable)
		return accept_durable(accept, spec);
	accept_ephemeral(accept);
	return 0;
}

static void on_predecessors_found(struct job *job, void *arg)
{
	struct error err = ERROR_INIT;
	struct accept *accept = arg;
	struct jobs *jobs = job->jobs;
	int r = after_status(job, &err);

	if (r == 0)
		r = accept_start(accept, NULL);
	if (r == 0)
		return;
	(void)error_set(&err, r, "internal", "out of memory");
	accept->on_accepted(accept->arg, r, NULL, 0, &err);
	accept_free(accept);
	jobs_op_done(jobs);
}

/* NULL: out of memory. */
static struct accept *accept_new(struct jobs *jobs, bool may_fail, jobs_accepted_fn on_accepted, void *arg)
{
	struct accept *accept = calloc(1, sizeof(*accept));
	struct job *job = accept ? job_new(jobs, jobs->next_id) : NULL;

	if (!job) {
		free(accept);
		return NULL;
	}
	accept->job = job;
	STAILQ_INIT(&accept->joiners);
	accept->on_accepted = on_accepted;
	accept->arg = arg;
	accept->op.job = job->id;
	accept->op.may_fail = may_fail;
	accept->op.on_done = on_job_added;
	return accept;
}

int jobs_submit(struct jobs *jobs, const struct job_spec *spec, struct buffer *inputs, jobs_accepted_fn on_accepted,
		void *arg, struct error *err)
{
	struct accept *accept = accept_new(jobs, !spec->service, on_accepted, arg); /* for a service nobody would try again */
	struct job *job;
	int r;

	if (!accept)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	job = accept->job;
	r = job_resolve(job, spec, err);
	if (r == 0 && unique_holder_id(job) > 0) {
		r = accept_join(accept, spec->submission, err);
		if (r < 0)
			goto fail;
		buffer_fini(inputs); /* the job that it joins has its own */
		return 0;
	}
	if (r == 0)
		r = take_room(job, inputs->data, inputs->len, accept, err);
	if (r == -EBUSY && err && spec->submission && refused_look_up(jobs, spec->submission, on_accepted, arg, err) == 0) {
		accept_free(accept);
		buffer_fini(inputs);
		return 0;
	}
	if (r < 0)
		goto fail;
	job->created_unix_us = clock_unix_us();
	if (spec->submission && !(job->submission = strdup(spec->submission)))
		r = -ENOMEM;
	jobs->next_id++;
	unique_hold(job);
	job->accept = accept;
	jobs_op_submitted(jobs);
	if (r == 0)
		r = after_find(job, on_predecessors_found, accept);
	if (r < 0 && job->begin.afters)
		(void)after_status(job, err);
	else if (r == 0)
		r = accept_start(accept, spec);
	if (r < 0) {
		jobs_op_done(jobs);
		(void)error_set(err, r, "internal", "out of memory");
		goto fail;
	}
	buffer_fini(inputs);
	return 0;
fail:
	accept_free(accept);
	return r;
}

/* ---- More pieces ---- */

void job_close(struct job *job, bool on_disk)
{
	job->open = false;
	census_review(job);
	if (!on_disk)
		job_record_course(job); /* before its last segment, which would else be one of an open job */
	results_close(job);
	finish_rest_later(job->jobs); /* what its inputs took on their way to the disk */
	job_touch(job);
}

static void piece_done(struct accept *accept)
{
	struct job *job = accept->job;
	struct error err = ERROR_INIT;
	int status = accept->status;

	bool on_disk = status == 0;

	job->adding = false;
	if (status == 0)
		status = accept_take_inputs(accept); /* also of a job that is being cancelled: they are on disk and end with it */
	if (status == 0 && job->ending != JOB_ENDING_NO)
		status = -ECANCELED;
	if (status == -ECANCELED)
		(void)error_set(&err, status, "wrong-state", "job %llu has been cancelled",
				(unsigned long long)job->id);
	else if (status < 0)
		accept_describe_failure(job->jobs, status, &err);
	if (on_disk && accept->last)
		job_close(job, true);
	else
		job_arm_open_timeout(job);
	accept->on_added(accept->arg, status, job->total, status < 0 ? &err : NULL);
	schedule_ready(job);
	job_touch(job);
}

static void on_piece_written(struct store_op *op, int status)
{
	struct accept *accept = container_of(op, struct accept, op);
	struct jobs *jobs = accept->job->jobs;

	accept->status = status;
	piece_done(accept);
	accept_free(accept);
	jobs_op_done(jobs);
}

static void submit_piece(struct accept *accept)
{
	struct job *job = accept->job;

	jobs_op_submitted(job->jobs);
	if (!job->durable) {
		accept_turn_soon(accept, piece_done);
		return;
	}
	accept->op = (struct store_op){
		.type = STORE_INPUT_ADD,
		.may_fail = true,
		.job = job->id,
		.on_done = on_piece_written,
	};
	accept->op.u.input.rows = accept->inputs;
	accept->op.u.input.n_rows = accept->n_rows;
	accept->op.u.input.bytes = accept->bytes;
	accept->op.u.input.from = job->total;
	accept->op.u.input.total = job->total + accept->tasks;
	accept->op.u.input.last = accept->last;
	store_submit(job->jobs->store, &accept->op);
}

int job_add_inputs(struct job *job, uint64_t from, const uint8_t *packed, size_t bytes, bool last,
		   void (*on_added)(void *arg, int status, uint64_t have, const struct error *err), void *arg,
		   uint64_t *ret_have, struct error *err)
{
	struct accept *accept;
	int r;

	*ret_have = job->total;
	if (job_state_ended(job->state) || !job->open || job->ending != JOB_ENDING_NO)
		return error_set(err, -EPERM, "wrong-state", "job %llu takes no more inputs",
				 (unsigned long long)job->id);
	if (job->again)
		return error_set(err, -EPERM, "wrong-state", "job %llu gets its inputs from job %llu",
				 (unsigned long long)job->id, (unsigned long long)job->again_of);
	if (job->adding)
		return error_set(err, -EBUSY, "busy", "another piece of job %llu is being written",
				 (unsigned long long)job->id);
	if (from != job->total)
		return error_set(err, -ESTALE, "wrong-offset", "job %llu has %llu inputs on disk, not %llu",
				 (unsigned long long)job->id, (unsigned long long)job->total,
				 (unsigned long long)from);
	accept = calloc(1, sizeof(*accept));
	if (!accept)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	accept->job = job_ref(job);
	accept->last = last;
	accept->on_added = on_added;
	accept->arg = arg;
	r = take_room(job, packed, bytes, accept, err);
	if (r < 0) {
		accept_free(accept);
		job_arm_open_timeout(job); /* its client is there, and tries again */
		return r;
	}
	submit_piece(accept);
	job->adding = true;
	return 0;
}

static void on_open_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct job *job = arg;

	(void)fd; /* a timer */
	(void)what;
	if (!job->open || job->adding)
		return;
	log_warning("jobs: job %llu: no more inputs came in time: it runs what it has",
		    (unsigned long long)job->id);
	job_fail_self(job, "interrupted", "its client stopped sending inputs (limits.open_timeout)");
	job_close(job, false);
}

void job_arm_open_timeout(struct job *job)
{
	int64_t ns = job->jobs->config->open_timeout_ns;
	struct timeval tv = { .tv_sec = ns / NS_PER_S, .tv_usec = ns % NS_PER_S / NS_PER_US };

	if (!job->open)
		return;
	if (!job->open_event)
		job->open_event = event_new(loop_base(job->jobs->loop), -1, 0, on_open_timeout, job);
	if (!job->open_event || event_add(job->open_event, &tv) < 0)
		log_error("jobs: job %llu: no timer for its open time: out of memory", (unsigned long long)job->id);
}
