/* What each kind of op does to the tables. Runs on the writer thread, inside a transaction of its caller's. */
#include "statements.h"

#include <assert.h>
#include <errno.h>

#include "ring/step.h"

#define HEAD_BYTES 1024 /* of inputs in the job's row, which is written anew when its state changes */
#define PART_BYTES (32u * 1024 * 1024) /* of a packed segment in one row: a row may not have 1,000,000,000 */
#define BLOB_KEEP_BYTES (4u * 1024 * 1024) /* a larger packing buffer is given back */

bool write_op_own_fault(int r)
{
	return r == -EEXIST || r == -ENOENT || r == -ESTALE || r == -EMSGSIZE || r == -EINVAL;
}

/* 1: the query, already bound, has a row. */
static int has_row(struct query *q)
{
	int r = query_step(q);

	if (r == 1)
		query_reset(q);
	return r;
}

/* Rows of a job that is not there would never be found, nor removed. */
static int check_job(struct statements *st, uint64_t job)
{
	struct query *q = &st->queries[JOB_EXISTS];
	int r;

	query_u64(q, job);
	r = has_row(q);
	return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

static int run_for_job(struct query *q)
{
	int changes = 0;
	int r = query_run(q, &changes);

	return r == 0 && changes == 0 ? -ENOENT : r;
}

static int run_with_job(struct query *q, uint64_t job)
{
	query_u64(q, job);
	return query_run(q, NULL);
}

static int insert_input(struct statements *st, uint64_t job, const struct store_input *row)
{
	struct query *q = &st->queries[INPUT_INSERT];

	query_u64(q, job);
	query_u64(q, row->first);
	query_u64(q, row->count);
	query_u64(q, db_sum(row->packed, row->packed_bytes));
	query_bytes(q, row->packed, row->packed_bytes);
	return query_run(q, NULL);
}

/* The columns that JOB_INSERT and JOB_UPDATE end with. */
static void bind_progress(struct query *q, const struct store_job_state *state)
{
	query_int(q, state->started_unix_us);
	query_int(q, state->ended_unix_us);
	query_u64(q, state->done);
	query_u64(q, state->failed);
	query_u64(q, state->cancelled);
	query_double(q, state->cpu_s);
	query_double(q, state->wait_s);
	query_double(q, state->runq_s);
	query_double(q, state->wall_s);
	query_u64(q, state->peak_rss_bytes);
	query_text(q, state->error_code);
	query_text(q, state->error_text);
	query_int(q, state->priority);
	if (state->stalls_bytes > 0)
		query_bytes(q, state->stalls, state->stalls_bytes);
	else
		query_text(q, NULL);
}

static int find_submission(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[JOB_FIND_SUBMISSION];
	int r;

	query_text(q, op->u.add.job.submission);
	r = query_step(q);
	if (r <= 0)
		return r;
	op->u.add.existing_job = query_column_u64(q, 0);
	query_reset(q);
	return -EEXIST;
}

/* The last columns of JOB_INSERT: inputs that are few bytes need no row of their own. */
static void bind_head(struct query *q, const struct store_input *input)
{
	query_u64(q, input ? input->count : 0);
	query_u64(q, input ? db_sum(input->packed, input->packed_bytes) : 0);
	if (input)
		query_bytes(q, input->packed, input->packed_bytes);
	else
		query_text(q, NULL);
}

static int op_job_add(struct statements *st, struct store_op *op)
{
	const struct store_job *job = &op->u.add.job;
	const struct store_job_state *state = &op->u.add.state;
	const struct store_input *inputs = op->u.add.inputs;
	bool head = op->u.add.n_inputs > 0 && inputs[0].first == 0 && inputs[0].packed_bytes <= HEAD_BYTES;
	struct query *q = &st->queries[JOB_INSERT];
	int r;

	op->u.add.existing_job = 0;
	r = *job->submission ? find_submission(st, op) : 0;
	if (r < 0)
		return r;
	query_u64(q, job->id);
	query_text(q, job->submission);
	query_text(q, job->workload);
	query_text(q, job->spec);
	query_u64(q, job->uid);
	query_int(q, job->created_unix_us);
	query_int(q, state->state);
	query_int(q, state->open);
	query_u64(q, state->total);
	bind_progress(q, state);
	query_text(q, job->lane ? job->lane : "");
	query_u64(q, op->u.add.input_bytes);
	bind_head(q, head ? &inputs[0] : NULL);
	r = query_run(q, NULL);
	for (size_t i = head; i < op->u.add.n_inputs && r == 0; i++)
		r = insert_input(st, job->id, &inputs[i]);
	return r;
}

static int op_input_add(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[JOB_EXTEND];
	int r;

	query_u64(q, op->job);
	query_u64(q, op->u.input.from);
	query_u64(q, op->u.input.total);
	query_int(q, !op->u.input.last);
	query_u64(q, op->u.input.bytes);
	r = run_for_job(q);
	if (r == -ENOENT) { /* no such job, or the rows do not continue what is there */
		r = check_job(st, op->job);
		return r == 0 ? -ESTALE : r;
	}
	for (size_t i = 0; i < op->u.input.n_rows && r == 0; i++)
		r = insert_input(st, op->job, &op->u.input.rows[i]);
	return r;
}

static int op_job_state(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[JOB_UPDATE];
	int r;

	query_u64(q, op->job);
	query_int(q, op->u.state.state);
	query_int(q, op->u.state.open);
	bind_progress(q, &op->u.state);
	r = run_for_job(q);
	return r == 0 && op->u.state.hook ? run_with_job(&st->queries[HOOK_INSERT], op->job) : r;
}

static int op_hook_del(struct statements *st, struct store_op *op)
{
	return run_with_job(&st->queries[HOOK_REMOVE], op->job);
}

static int op_job_spec(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[JOB_RESPECIFY];

	query_u64(q, op->job);
	query_text(q, op->u.respec.spec);
	query_text(q, op->u.respec.lane ? op->u.respec.lane : "");
	return run_for_job(q);
}

static int insert_packed(struct statements *st, uint64_t job, const struct segment *segment)
{
	struct query *q = &st->queries[SEGMENT_INSERT];
	struct query *q_part = &st->queries[PART_INSERT];
	const uint8_t *at = st->blob.data;
	size_t left = st->blob.len;
	size_t head = left < PART_BYTES ? left : PART_BYTES;
	struct segment_sums sums;
	int r;

	segment_sum(segment, &sums);
	query_u64(q, job);
	query_u64(q, segment->first / SEGMENT_TASKS);
	query_u64(q, segment->count);
	query_u64(q, sums.done);
	query_u64(q, sums.failed);
	query_u64(q, sums.cancelled);
	query_double(q, sums.cpu_s);
	query_double(q, sums.wait_s);
	query_double(q, sums.runq_s);
	query_u64(q, left);
	query_u64(q, db_sum(at, left));
	query_bytes(q, at, head);
	r = query_run(q, NULL);
	for (unsigned int part = 1; r == 0 && left > head; part++) {
		at += head;
		left -= head;
		head = left < PART_BYTES ? left : PART_BYTES;
		query_u64(q_part, job);
		query_u64(q_part, segment->first / SEGMENT_TASKS);
		query_u64(q_part, part);
		query_bytes(q_part, at, head);
		r = query_run(q_part, NULL);
	}
	return r;
}

/* Remove rows of [first, end) of a job's tasks. */
static int remove_range(struct query *q, uint64_t job, uint64_t first, uint64_t end)
{
	query_u64(q, job);
	query_u64(q, first);
	query_u64(q, end);
	return query_run(q, NULL);
}

/* What tasks [first, end), which have their outcomes, left of their division: it begins with the row of the splitting. */
static int remove_steps(struct statements *st, uint64_t job, uint64_t first, uint64_t end)
{
	static const enum statement others[] = { STARTED_REMOVE, CRASH_REMOVE };
	struct query *q = &st->queries[STEP_REMOVE];
	uint64_t from = step_number(first, STEP_SPLIT), to = step_number(end, STEP_SPLIT);
	int changes = 0, r;

	query_u64(q, job);
	query_u64(q, from);
	query_u64(q, to);
	r = query_run(q, &changes);
	for (size_t i = 0; i < ARRAY_SIZE(others) && r == 0 && changes > 0; i++)
		r = remove_range(&st->queries[others[i]], job, from, to);
	return r;
}

/* The outcomes of the tasks' own rows are in the segment: rows, marks and counts go in the transaction that brings it. */
static int op_segment(struct statements *st, struct store_op *op)
{
	const struct segment *segment = op->u.segment;
	uint64_t end = segment->first + segment->count;
	int r = check_job(st, op->job);

	st->blob.len = 0;
	if (r == 0)
		r = segment_encode(segment, &st->blob);
	if (r == 0)
		r = insert_packed(st, op->job, segment);
	if (r == 0)
		r = remove_range(&st->queries[TASK_FOLD], op->job, segment->first, end);
	if (r == 0)
		r = remove_range(&st->queries[STARTED_REMOVE], op->job, segment->first, end);
	if (r == 0)
		r = remove_range(&st->queries[CRASH_REMOVE], op->job, segment->first, end);
	if (r == 0)
		r = remove_steps(st, op->job, segment->first, end);
	if (st->blob.cap > BLOB_KEEP_BYTES)
		buffer_fini(&st->blob);
	return r;
}

/* -EEXIST where the task's segment has been written: a row beside it would be a second outcome. */
static int check_segment_open(struct statements *st, uint64_t job, uint64_t segment)
{
	struct query *q = &st->queries[SEGMENT_EXISTS];
	int r;

	query_u64(q, job);
	query_u64(q, segment);
	r = has_row(q);
	return r == 1 ? -EEXIST : r;
}

static int op_tasks(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[TASK_INSERT];
	uint64_t checked = UINT64_MAX; /* segment known to be open; this one cannot exist */
	int r = check_job(st, op->job);

	for (size_t i = 0; i < op->u.tasks.n && r == 0; i++) {
		const struct store_task *task = &op->u.tasks.tasks[i];
		uint64_t segment = task->task / SEGMENT_TASKS;

		if (segment != checked)
			r = check_segment_open(st, op->job, segment);
		if (r < 0)
			break;
		checked = segment;
		query_u64(q, op->job);
		query_u64(q, task->task);
		query_u64(q, db_sum(task->blob, task->blob_bytes));
		query_bytes(q, task->blob, task->blob_bytes);
		r = query_run(q, NULL);
		if (r == 0 && op->u.tasks.divided)
			r = remove_steps(st, op->job, task->task, task->task + 1);
	}
	return r;
}

/* The mark of a task that was split says nothing any more, nor that of a part with an outcome. */
static int op_steps(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[STEP_INSERT];
	int r = check_job(st, op->job);

	for (size_t i = 0; i < op->u.tasks.n && r == 0; i++) {
		const struct store_task *step = &op->u.tasks.tasks[i];
		uint64_t marked = step_of(step->task) == STEP_SPLIT ? step_task(step->task) : step->task;

		query_u64(q, op->job);
		query_u64(q, step->task);
		query_u64(q, db_sum(step->blob, step->blob_bytes));
		query_bytes(q, step->blob, step->blob_bytes);
		r = query_run(q, NULL);
		if (r == 0)
			r = remove_range(&st->queries[STARTED_REMOVE], op->job, marked, marked + 1);
	}
	return r;
}

static int op_started_set(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[STARTED_INSERT];
	int r = check_job(st, op->job);

	for (size_t i = 0; i < op->u.started.n && r == 0; i++) {
		const struct store_range *range = &op->u.started.ranges[i];

		for (uint64_t task = range->first; task < range->first + range->count && r == 0; task++) {
			query_u64(q, op->job);
			query_u64(q, task);
			r = query_run(q, NULL);
		}
	}
	return r;
}

static int op_started_clear(struct statements *st, struct store_op *op)
{
	int r = 0;

	for (size_t i = 0; i < op->u.started.n && r == 0; i++) {
		const struct store_range *range = &op->u.started.ranges[i];

		r = remove_range(&st->queries[STARTED_REMOVE], op->job, range->first, range->first + range->count);
	}
	return r;
}

static int op_crash(struct statements *st, struct store_op *op)
{
	const struct store_crash *crash = &op->u.crash;
	struct query *q = &st->queries[CRASH_INSERT];
	int r = check_job(st, op->job);

	if (r < 0)
		return r;
	query_u64(q, op->job);
	query_u64(q, crash->task);
	query_u64(q, crash->crashes);
	query_u64(q, crash->attempts);
	query_text(q, crash->cause);
	return query_run(q, NULL);
}

static int raise_next_id(struct statements *st, uint64_t next_id)
{
	struct query *q = &st->queries[NEXT_ID_RAISE];

	query_u64(q, next_id);
	return query_run(q, NULL);
}

/* The row goes now, with it the submission's name; what belongs to the job goes slice by slice (doomed_slice()). */
static int op_job_delete(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[JOB_REMOVE];
	int r;

	query_u64(q, op->job);
	r = run_for_job(q);
	if (r == 0)
		r = raise_next_id(st, op->job + 1);
	if (r < 0)
		return r;
	return run_with_job(&st->queries[DOOMED_INSERT], op->job);
}

static int op_worker(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[op->type == STORE_WORKER_ADD ? WORKER_INSERT : WORKER_REMOVE];

	query_int(q, op->u.worker.pid);
	query_u64(q, op->u.worker.start_time);
	return query_run(q, NULL);
}

static int op_plugin_put(struct statements *st, struct store_op *op)
{
	struct query *q = &st->queries[PLUGIN_INSERT];
	int r;

	query_text(q, op->u.plugin.key);
	query_text(q, op->u.plugin.description);
	r = query_run(q, NULL);
	return r < 0 ? r : query_run(&st->queries[PLUGIN_PRUNE], NULL);
}

static int op_hold_set(struct statements *st, struct store_op *op)
{
	int64_t since_us = op->u.hold.since_unix_us;
	struct query *q = &st->queries[since_us ? HOLD_INSERT : HOLD_REMOVE];

	query_text(q, op->u.hold.workload);
	if (since_us)
		query_int(q, since_us);
	return query_run(q, NULL);
}

static int op_next_id(struct statements *st, struct store_op *op)
{
	return raise_next_id(st, op->u.next_id);
}

static int (*const op_functions[])(struct statements *st, struct store_op *op) = {
	[STORE_JOB_ADD] = op_job_add, [STORE_INPUT_ADD] = op_input_add,
	[STORE_JOB_STATE] = op_job_state, [STORE_JOB_SPEC] = op_job_spec, [STORE_JOB_DELETE] = op_job_delete,
	[STORE_SEGMENT] = op_segment, [STORE_TASKS] = op_tasks, [STORE_STEPS] = op_steps,
	[STORE_STARTED_SET] = op_started_set, [STORE_STARTED_CLEAR] = op_started_clear, [STORE_CRASH] = op_crash,
	[STORE_HOOK_DEL] = op_hook_del, [STORE_HOLD_SET] = op_hold_set, [STORE_NEXT_ID] = op_next_id,
	[STORE_WORKER_ADD] = op_worker, [STORE_WORKER_DEL] = op_worker, [STORE_PLUGIN_PUT] = op_plugin_put,
};

int write_op(struct statements *st, struct store_op *op)
{
	assert((size_t)op->type < ARRAY_SIZE(op_functions));
	return op_functions[op->type](st, op);
}

int doomed_find(struct statements *st, uint64_t *ret_job)
{
	struct query *q = &st->queries[DOOMED_FIRST];
	int r = query_step(q);

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*ret_job = query_column_u64(q, 0);
	query_reset(q);
	return 0;
}

int doomed_slice(struct statements *st, uint64_t job)
{
	struct query *q = &st->queries[DOOMED_REMOVE];

	for (size_t i = SLICE_FIRST; i < N_STATEMENTS; i++) {
		int changes = 0, r;

		query_u64(&st->queries[i], job);
		r = query_run(&st->queries[i], &changes);
		if (r < 0 || changes > 0)
			return r < 0 ? r : 1;
	}
	return run_with_job(q, job);
}
