/* Rows of divided tasks: written while they run, read back after a restart. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "jobs/parts_private.h"

struct steps_op {
	struct store_op op;
	struct division *division;
	struct unwritten steps;
};

static void on_written(struct store_op *op, int status)
{
	struct steps_op *write = container_of(op, struct steps_op, op);
	struct division *d = write->division;
	struct job *job = d->job;

	if (status < 0)
		log_error("jobs: job %" PRIu64 ": parts of task %" PRIu64 ": %s", job->id, d->task, strerror(-status));
	buffer_fini(&write->steps.blobs);
	free(write->steps.steps);
	free(write);
	d->writing = false;
	if (d->closed) {
		division_free(d);
	} else if (d->phase != PHASE_RECORDING) {
		division_write(d);
	} else if (job->jobs->crews) { /* at the daemon's end the next one begins them */
		division_start(d, status);
		if (job->ending != JOB_ENDING_NO)
			outcome_end_ready(job);
		schedule_ready(job);
	}
	jobs_op_done(job->jobs);
	job_touch(job);
	job_unref(job);
}

void division_write(struct division *d)
{
	struct steps_op *write = d->unwritten.n > 0 && !d->writing ? calloc(1, sizeof(*write)) : NULL;
	size_t at = 0;

	if (!write)
		return;
	write->division = d;
	write->steps = d->unwritten;
	d->unwritten = (struct unwritten){ .n = 0 };
	for (size_t i = 0; i < write->steps.n; i++) {
		write->steps.steps[i].blob = write->steps.blobs.data + at;
		at += write->steps.steps[i].blob_bytes;
	}
	write->op = (struct store_op){
		.type = STORE_STEPS,
		.job = d->job->id,
		.u.tasks = { .tasks = write->steps.steps, .n = write->steps.n },
		.on_done = on_written,
	};
	d->writing = true;
	job_ref(d->job);
	jobs_op_submitted(d->job->jobs);
	store_submit(d->job->jobs->store, &write->op);
}

int division_add_row(struct division *d, uint32_t step, const struct task_record *record, const void *data)
{
	struct unwritten *u = &d->unwritten;
	size_t before = u->blobs.len;

	if (u->n == u->cap) {
		size_t cap = u->cap ? 2 * u->cap : 16;
		struct store_task *more = reallocarray(u->steps, cap, sizeof(*more));

		if (!more)
			return -ENOMEM;
		u->steps = more;
		u->cap = cap;
	}
	if (task_record_encode(record, data, &u->blobs) < 0) {
		u->blobs.len = before;
		return -ENOMEM;
	}
	u->steps[u->n++] = (struct store_task){
		.task = step_number(d->task, step),
		.blob_bytes = u->blobs.len - before,
	};
	return 0;
}

/* ---- After a restart ---- */

static int recover_split(struct job *job, uint64_t task, const struct task_record *record, const uint8_t *data)
{
	struct division *d;
	int r;

	if (task >= job->total || division_find(job, task))
		return -EBADMSG;
	if (!ranges_contain(&job->main.ready, task))
		return 0; /* it has its outcome */
	r = division_new(job, task, data, record->length, &d);
	if (r == 0)
		r = ranges_remove(&job->main.ready, task, 1);
	if (r == 0)
		r = ranges_add(&job->main.ready, step_number(task, STEP_FIRST_PART), d->n_parts);
	if (r < 0)
		return r;
	d->phase = PHASE_RUNNING;
	d->record = *record;
	d->record.length = 0;
	division_add_times(d, record);
	return 0;
}

/* What it was divided into is not known, or what a part gave: to do either again might be to do it twice. */
static int recover_damaged(struct job *job, uint64_t number)
{
	static const char text[] = "its outcome is damaged on the disk";
	const struct task_record record = { .state = TASK_FAILED, .error = TASK_ERROR_INTERRUPTED };
	uint64_t task = step_task(number), ready = step_of(number) == STEP_SPLIT ? task : number;
	int r;

	if (!ranges_contain(&job->main.ready, ready))
		return 0; /* the task has its outcome */
	r = ranges_remove(&job->main.ready, ready, 1);
	if (r < 0)
		return r;
	log_error("jobs: job %" PRIu64 ": task %" PRIu64 ": what is known of its parts is damaged on the disk", job->id,
		  task);
	if (ready == task)
		outcome_failed(job, task, "what it was divided into is damaged on the disk");
	else
		parts_put(job, number, &record, text, sizeof(text) - 1);
	return 0;
}

int parts_recover(struct job *job, uint64_t number, const void *blob, size_t len)
{
	struct task_record record;
	uint32_t step = step_of(number);
	struct division *d;
	const uint8_t *data;
	int r = blob ? task_record_decode(blob, len, &record, &data) : -EBADMSG;

	if (r == -EBADMSG)
		return recover_damaged(job, number);
	if (r < 0)
		return r;
	if (step == STEP_SPLIT)
		return recover_split(job, step_task(number), &record, data);
	d = division_find(job, number);
	if (!d)
		return 0; /* as above */
	if (step > d->n_parts || d->at[step - STEP_FIRST_PART].done)
		return -EBADMSG;
	r = division_keep_result(d, step - STEP_FIRST_PART, data, record.length);
	if (r == 0)
		r = ranges_remove(&job->main.ready, number, 1);
	if (r < 0)
		return r;
	division_add_times(d, &record);
	d->left--;
	return 0;
}

void parts_recovered(struct job *job)
{
	struct division *d, *next;

	HASH_ITER(hh, job->parts.open, d, next) {
		if (d->phase == PHASE_RUNNING && d->left == 0)
			division_combine(d);
	}
}
