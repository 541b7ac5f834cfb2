/* The store: what is written is there, once, in order, and can be read back. */
#include "store_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct store_input input_row(uint64_t first, uint32_t count, const char *packed)
{
	return (struct store_input){ first, count, (const uint8_t *)packed, strlen(packed) };
}

/* One task's row, done, with its text as the result. */
static void task_row(struct store_task *task, struct buffer *blob, uint64_t number, const char *text)
{
	struct task_record record = { .state = TASK_DONE, .attempts = 1, .length = (uint32_t)strlen(text) };

	assert_int_equal(task_record_encode(&record, text, blob), 0);
	*task = (struct store_task){ .task = number, .blob = blob->data, .blob_bytes = blob->len };
}

static int add_job(struct fixture *f, uint64_t id, const char *submission)
{
	struct test_op op = job_add(id, submission);

	return run_op(f, &op);
}

static int write_task(struct fixture *f, uint64_t job, uint64_t number, const char *text)
{
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
	struct test_op op = op_of(STORE_TASKS, job);
	struct store_task task;

	task_row(&task, &blob, number, text);
	op.op.u.tasks.tasks = &task;
	op.op.u.tasks.n = 1;
	return run_op(f, &op);
}

static int write_segment(struct fixture *f, uint64_t job, uint64_t first, uint32_t count)
{
	struct test_op op = op_of(STORE_SEGMENT, job);
	int r;

	op.op.u.segment = numbers_segment(first, count);
	r = run_op(f, &op);
	segment_unref(op.op.u.segment);
	return r;
}

static int mark(struct fixture *f, enum store_op_type type, uint64_t job, uint64_t first, uint64_t count)
{
	struct store_range range = { first, count };
	struct test_op op = op_of(type, job);

	op.op.u.started.ranges = &range;
	op.op.u.started.n = 1;
	return run_op(f, &op);
}

static int end_job(struct fixture *f, uint64_t id, uint8_t job_state)
{
	struct test_op op = op_of(STORE_JOB_STATE, id);

	op.op.u.state = (struct store_job_state){ .state = job_state, .ended_unix_us = 1767225600000000, .done = 3 };
	return run_op(f, &op);
}

/* ---- Writing ---- */

static void ops_are_reported_in_the_order_of_submission(void **state)
{
	struct fixture *f = *state;
	struct test_op *ops = calloc(500, sizeof(*ops));
	char submissions[500][16];
	struct store_stats stats;

	for (uint64_t i = 0; i < 500; i++) {
		(void)snprintf(submissions[i], sizeof(submissions[i]), "s%d", (int)i);
		ops[i] = job_add(i + 1, submissions[i]);
		submit(f, &ops[i]);
	}
	assert_true(store_queued(f->store) == 500);
	settle(f);
	assert_true(store_queued(f->store) == 0);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(ops[i].status, 0);
		assert_int_equal(ops[i].order - ops[0].order, i);
	}
	store_stats(f->store, &stats);
	assert_true(stats.ops == 500);
	assert_true(stats.commits < 500); /* what queues up while a commit runs shares the next one */
	assert_true(stats.bytes > 0);
	free(ops);
}

static void what_was_gathered_is_one_commit(void **state)
{
	struct fixture *f = *state;
	struct test_op first = job_add(1, "a"), second = job_add(2, "b"), third = job_add(3, "c");
	struct store_stats before, after;

	store_stats(f->store, &before);
	store_gather(f->store);
	submit(f, &first);
	submit(f, &second);
	submit(f, &third);
	assert_true(store_queued(f->store) == 3);
	store_gathered(f->store);
	settle(f);
	store_stats(f->store, &after);
	assert_true(after.commits == before.commits + 1);
	assert_true(first.status == 0 && second.status == 0 && third.status == 0);
	assert_true(first.order < second.order && second.order < third.order);
	store_gather(f->store); /* nothing is fine */
	store_gathered(f->store);
}

static void a_late_op_goes_with_the_next_one_or_soon_after_alone(void **state)
{
	struct fixture *f = *state;
	struct test_op late = job_add(1, "a"), next = op_of(STORE_JOB_STATE, 1), alone = job_add(2, "b"), last = job_add(3, "c");
	struct store_stats before, after;

	next.op.u.state = (struct store_job_state){ .state = 1 };
	store_stats(f->store, &before);
	submit_late(f, &late);
	submit(f, &next);
	settle(f);
	store_stats(f->store, &after);
	assert_true(after.commits == before.commits + 1);
	assert_true(late.status == 0 && next.status == 0 && late.order < next.order);
	submit_late(f, &alone);
	settle(f); /* nothing else comes */
	assert_int_equal(alone.status, 0);
	submit_late(f, &last);
	fixture_close(f);
	assert_true(last.done && last.status == 0);
	fixture_open(f);
}

static void commits_one_by_one_do_not_make_the_log_long(void **state)
{
	struct fixture *f = *state;
	char submission[16], log_path[TEST_PATH_BYTES + 8];
	struct stat st;

	for (uint64_t i = 1; i <= 700; i++) {
		struct test_op op;

		(void)snprintf(submission, sizeof(submission), "s%d", (int)i);
		op = job_add(i, submission);
		assert_int_equal(run_op(f, &op), 0);
	}
	(void)snprintf(log_path, sizeof(log_path), "%s-wal", f->path);
	assert_int_equal(stat(log_path, &st), 0);
	assert_true(st.st_size < 450 * 2 * 8192); /* each writes two pages or more: it began anew meanwhile */
}

static void a_known_submission_names_its_job(void **state)
{
	struct fixture *f = *state;
	struct test_op first = job_add(1, "a"), again = job_add(2, "a"), other = job_add(3, "b");

	submit(f, &first);
	submit(f, &again);
	submit(f, &other);
	settle(f);
	assert_int_equal(first.status, 0);
	assert_int_equal(again.status, -EEXIST);
	assert_true(again.op.u.add.existing_job == 1);
	assert_int_equal(other.status, 0);
	again = job_add(9, "b");
	fixture_reopen(f);
	assert_int_equal(run_op(f, &again), -EEXIST);
	assert_true(again.op.u.add.existing_job == 3);
}

static void an_op_that_is_at_fault_does_not_spoil_its_neighbours(void **state)
{
	const struct store_input twice[] = { input_row(0, 1, "a"), input_row(1, 1, "b"), input_row(1, 1, "c") };
	struct fixture *f = *state;
	struct test_op before = job_add(1, "a"), broken = job_add_inputs(2, "b", twice, 3, 3), after = job_add(3, "c");
	struct test_op same_id = job_add(1, "d"), unknown = op_of(STORE_JOB_STATE, 77);
	struct test_read read = { .read = { .type = STORE_READ_JOB, .job = 2 } };

	submit(f, &before);
	submit(f, &broken);
	submit(f, &unknown);
	submit(f, &same_id);
	submit(f, &after);
	settle(f);
	assert_int_equal(before.status, 0);
	assert_int_equal(broken.status, -EEXIST);
	assert_int_equal(unknown.status, -ENOENT);
	assert_int_equal(same_id.status, -EEXIST);
	assert_true(same_id.op.u.add.existing_job == 0);
	assert_int_equal(after.status, 0);
	assert_int_equal(run_read(f, &read), -ENOENT); /* of the broken one nothing is left */
	read.read = (struct store_read){ .type = STORE_READ_INPUT, .job = 2 };
	assert_int_equal(run_read(f, &read), -ENOENT);
}

static void a_segment_is_written_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add_job(f, 1, "a"), 0);
	assert_int_equal(write_segment(f, 1, SEGMENT_TASKS, 10), 0);
	assert_int_equal(write_segment(f, 1, SEGMENT_TASKS, 10), -EEXIST);
	assert_int_equal(write_segment(f, 1, 0, 10), 0);
	assert_int_equal(write_segment(f, 2, 0, 10), -ENOENT);
}

static void a_task_is_written_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add_job(f, 1, "a"), 0);
	assert_int_equal(write_task(f, 1, 5, "x"), 0);
	assert_int_equal(write_task(f, 1, 5, "y"), -EEXIST);
	assert_int_equal(write_task(f, 2, 5, "y"), -ENOENT);
	assert_int_equal(write_segment(f, 1, 0, 10), 0);
	assert_int_equal(write_task(f, 1, 5, "y"), -EEXIST); /* folded: it still has its outcome */
	assert_int_equal(write_task(f, 1, 9, "y"), -EEXIST);
	assert_int_equal(write_task(f, 1, SEGMENT_TASKS, "y"), 0);
}

static void inputs_can_only_continue_what_is_there(void **state)
{
	struct fixture *f = *state;
	const struct store_input first = input_row(0, 2, "ab");
	struct test_op add = job_add_inputs(1, "a", &first, 1, 2), more = op_of(STORE_INPUT_ADD, 1);
	const struct store_input rows[] = { input_row(2, 1, "c"), input_row(3, 1, "d") }, late = input_row(4, 1, "e");

	add.op.u.add.state.open = true;
	assert_int_equal(run_op(f, &add), 0);
	more.op.u.input.rows = &rows[1];
	more.op.u.input.n_rows = 1;
	more.op.u.input.from = 3;
	more.op.u.input.total = 4;
	assert_int_equal(run_op(f, &more), -ESTALE); /* leaves a gap */
	more.op.u.input.rows = rows;
	more.op.u.input.n_rows = 2;
	more.op.u.input.from = 2;
	more.op.u.input.last = true;
	assert_int_equal(run_op(f, &more), 0);
	assert_int_equal(run_op(f, &more), -ESTALE);
	more.op.u.input.rows = &late;
	more.op.u.input.n_rows = 1;
	more.op.u.input.from = 4;
	more.op.u.input.total = 5;
	assert_int_equal(run_op(f, &more), -ESTALE); /* closed */
	more.op.job = 2;
	assert_int_equal(run_op(f, &more), -ENOENT);
}

/* ---- Reading ---- */

static void inputs_are_found_by_any_of_their_tasks(void **state)
{
	const struct store_input rows[] = { input_row(0, 3, "first"), input_row(3, 2, "second") };
	struct fixture *f = *state;
	struct test_op add = job_add_inputs(1, "a", rows, 2, 5);

	assert_int_equal(run_op(f, &add), 0);
	for (uint64_t task = 0; task < 6; task++) {
		struct test_read read = { .read = { .type = STORE_READ_INPUT, .job = 1, .task = task } };
		const char *wanted = task < 3 ? "first" : "second";

		assert_int_equal(run_read(f, &read), task < 5 ? 0 : -ENOENT);
		if (task < 5) {
			assert_true(read.read.input_first == (task < 3 ? 0 : 3));
			assert_int_equal(read.read.input_count, task < 3 ? 3 : 2);
			assert_int_equal(read.read.input.len, strlen(wanted));
			assert_memory_equal(read.read.input.data, wanted, strlen(wanted));
		}
		store_read_fini(&read.read);
	}
}

static void a_mebibyte_of_input_with_any_byte_comes_back(void **state)
{
	struct fixture *f = *state;
	size_t len = 1024 * 1024;
	uint8_t *bytes = malloc(len);
	struct store_input row = { 0, 1, bytes, len };
	struct test_op add = job_add_inputs(1, "a", &row, 1, 1);
	struct test_read read = { .read = { .type = STORE_READ_INPUT, .job = 1, .task = 0 } };

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 ^ i >> 8);
	assert_int_equal(run_op(f, &add), 0);
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.input.len, len);
	assert_memory_equal(read.read.input.data, bytes, len);
	store_read_fini(&read.read);
	free(bytes);
}

static void an_open_segment_is_read_from_its_task_rows(void **state)
{
	const struct store_input row = input_row(0, 5000, "x");
	struct fixture *f = *state;
	struct test_op add = job_add_inputs(1, "a", &row, 1, 5000);
	struct test_read read = { .read = { .type = STORE_READ_SEGMENT, .job = 1, .task = 4999 } };
	const struct task_record *record;

	assert_int_equal(run_op(f, &add), 0);
	assert_int_equal(run_read(f, &read), -ENOENT); /* nothing recorded */
	assert_int_equal(write_task(f, 1, 4100, "result"), 0);
	assert_int_equal(write_task(f, 1, 17, "elsewhere"), 0);
	assert_int_equal(run_read(f, &read), 0);
	assert_true(read.read.segment->first == 4096);
	assert_int_equal(read.read.segment->count, 5000 - 4096);
	assert_int_equal(read.read.segment->ended, 1);
	record = &read.read.segment->records[4];
	assert_int_equal(record->state, TASK_DONE);
	assert_true(record->recorded);
	assert_memory_equal(read.read.segment->bytes.data + record->offset, "result", 6);
	assert_int_equal(read.read.segment->records[5].state, TASK_QUEUED);
	store_read_fini(&read.read);
}

static void a_full_segment_replaces_its_task_rows_and_marks(void **state)
{
	struct fixture *f = *state;
	struct test_read read = { .read = { .type = STORE_READ_SEGMENT, .job = 1, .task = 3 } };

	assert_int_equal(add_job(f, 1, "a"), 0);
	assert_int_equal(mark(f, STORE_STARTED_SET, 1, 0, 10), 0);
	assert_int_equal(write_task(f, 1, 3, "3"), 0);
	assert_int_equal(write_segment(f, 1, 0, 10), 0);
	assert_int_equal(run_read(f, &read), 0);
	assert_numbers(read.read.segment, 0, 10);
	store_read_fini(&read.read);
}

static void a_million_tasks_come_back_from_their_segments(void **state)
{
	struct fixture *f = *state;
	const uint32_t n = 1000000, n_segments = (n + SEGMENT_TASKS - 1) / SEGMENT_TASKS;
	struct test_op *ops = calloc(n_segments, sizeof(*ops));

	assert_int_equal(add_job(f, 1, "a"), 0);
	for (uint32_t i = 0; i < n_segments; i++) {
		uint32_t first = i * SEGMENT_TASKS;

		ops[i] = op_of(STORE_SEGMENT, 1);
		ops[i].op.u.segment = numbers_segment(first, n - first < SEGMENT_TASKS ? n - first : SEGMENT_TASKS);
		submit(f, &ops[i]);
	}
	settle(f);
	for (uint32_t i = 0; i < n_segments; i++) {
		struct test_read read = { .read = { .type = STORE_READ_SEGMENT, .job = 1 } };

		assert_int_equal(ops[i].status, 0);
		segment_unref(ops[i].op.u.segment);
		read.read.task = (uint64_t)i * SEGMENT_TASKS + i % 7;
		assert_int_equal(run_read(f, &read), 0);
		assert_numbers(read.read.segment, (uint64_t)i * SEGMENT_TASKS,
			       i + 1 < n_segments ? SEGMENT_TASKS : n % SEGMENT_TASKS);
		store_read_fini(&read.read);
	}
	free(ops);
}

static void a_segment_too_large_for_one_row_comes_back(void **state)
{
	struct fixture *f = *state;
	struct test_op op = op_of(STORE_SEGMENT, 1);
	struct test_read read = { .read = { .type = STORE_READ_SEGMENT, .job = 1 } };
	size_t len = 17 * 1024 * 1024;
	uint8_t *bytes = malloc(len);
	struct segment *segment = segment_new(0, 2);
	struct task_record record = { .state = TASK_DONE, .attempts = 1 };

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i ^ i >> 11);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(segment_put(segment, i, &record, bytes + i, len - i), 0);
	op.op.u.segment = segment;
	assert_int_equal(add_job(f, 1, "a"), 0);
	assert_int_equal(run_op(f, &op), 0);
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.segment->bytes.len, segment->bytes.len);
	assert_memory_equal(read.read.segment->bytes.data, segment->bytes.data, segment->bytes.len);
	store_read_fini(&read.read);
	segment_unref(segment);
	free(bytes);
}

static void a_jobs_row_comes_back_as_written(void **state)
{
	struct fixture *f = *state;
	struct test_op op = op_of(STORE_JOB_STATE, UINT64_C(1) << 40);
	struct test_read read = { .read = { .type = STORE_READ_JOB, .job = UINT64_C(1) << 40 } };
	const struct store_recovered_job *job;

	assert_int_equal(add_job(f, UINT64_C(1) << 40, "sub"), 0);
	op.op.u.state = (struct store_job_state){
		.state = 5, .total = 99, .started_unix_us = 11, .ended_unix_us = 12, .done = UINT64_C(1) << 33,
		.failed = 2, .cancelled = 3, .cpu_s = 0.5, .wait_s = 0.25, .runq_s = 0.125, .wall_s = 4,
		.peak_rss_bytes = UINT64_C(1) << 35,
		.error_code = "interrupted", .error_text = "the client left",
	};
	assert_int_equal(run_op(f, &op), 0);
	assert_int_equal(run_read(f, &read), 0);
	job = &read.read.jobs[0];
	assert_int_equal(read.read.n_jobs, 1);
	assert_true(job->job.id == UINT64_C(1) << 40);
	assert_string_equal(job->job.submission, "sub");
	assert_string_equal(job->job.workload, "squares");
	assert_string_equal(job->job.spec, "{\"model\":\"pool\"}");
	assert_int_equal(job->job.uid, 1000);
	assert_int_equal(job->state.state, 5);
	assert_true(job->state.total == 0); /* inputs say how many there are, not the state */
	assert_true(job->state.started_unix_us == 11 && job->state.ended_unix_us == 12);
	assert_true(job->state.done == UINT64_C(1) << 33 && job->state.failed == 2 && job->state.cancelled == 3);
	assert_true(job->state.cpu_s + job->state.wait_s + job->state.runq_s + job->state.wall_s >= 4.875);
	assert_true(job->state.peak_rss_bytes == UINT64_C(1) << 35);
	assert_string_equal(job->state.error_code, "interrupted");
	assert_string_equal(job->state.error_text, "the client left");
	store_read_fini(&read.read);
	read.read = (struct store_read){ .type = STORE_FIND_SUBMISSION, .submission = "sub" };
	assert_int_equal(run_read(f, &read), 0);
	assert_true(read.read.jobs[0].job.id == UINT64_C(1) << 40);
	store_read_fini(&read.read);
	read.read = (struct store_read){ .type = STORE_FIND_SUBMISSION, .submission = "su" };
	assert_int_equal(run_read(f, &read), -ENOENT);
}

static void a_jobs_specification_can_be_replaced_whether_it_has_ended_or_not(void **state)
{
	struct fixture *f = *state;
	struct test_op op = op_of(STORE_JOB_SPEC, 1);
	struct test_read read = { .read = { .type = STORE_READ_JOB, .job = 1 } };

	assert_int_equal(add_job(f, 1, "a"), 0);
	op.op.u.respec.spec = "{\"model\":\"thread\"}";
	op.op.u.respec.lane = "1x2x1d";
	assert_int_equal(run_op(f, &op), 0);
	assert_int_equal(end_job(f, 1, 4), 0);
	op = op_of(STORE_JOB_SPEC, 1);
	op.op.u.respec.spec = "{\"model\":\"thread\",\"label\":\"a\"}";
	assert_int_equal(run_op(f, &op), 0);
	fixture_reopen(f);
	assert_int_equal(run_read(f, &read), 0);
	assert_string_equal(read.read.jobs[0].job.spec, "{\"model\":\"thread\",\"label\":\"a\"}");
	assert_true(read.read.jobs[0].state.ended_unix_us > 0);
	store_read_fini(&read.read);
}

/* ---- Deleting, ids, plugins ---- */

static void a_deleted_job_is_gone_with_all_that_belonged_to_it(void **state)
{
	struct fixture *f = *state;
	struct store_input rows[20];
	struct test_op op, again;
	struct test_read read = { .read = { .type = STORE_READ_JOB, .job = 1 } };
	uint64_t next = 0;

	for (uint32_t i = 0; i < 20; i++)
		rows[i] = input_row(i * 8192ull, 8192, "inputs");
	op = job_add_inputs(1, "a", rows, 20, 20 * 8192);
	assert_int_equal(run_op(f, &op), 0);
	assert_int_equal(add_job(f, 2, "b"), 0);
	for (uint64_t i = 0; i < 39; i++)
		assert_int_equal(write_segment(f, 1, i * SEGMENT_TASKS, SEGMENT_TASKS), 0);
	assert_int_equal(write_segment(f, 2, 0, 10), 0);
	assert_int_equal(write_task(f, 1, 39 * SEGMENT_TASKS, "x"), 0);
	assert_int_equal(mark(f, STORE_STARTED_SET, 1, 39 * SEGMENT_TASKS, 5), 0);
	op = op_of(STORE_JOB_DELETE, 1);
	again = op_of(STORE_JOB_DELETE, 1);
	submit(f, &op);
	submit(f, &again);
	settle(f);
	assert_int_equal(op.status, 0);
	assert_int_equal(again.status, -ENOENT);
	assert_int_equal(run_read(f, &read), -ENOENT);
	read.read = (struct store_read){ .type = STORE_READ_SEGMENT, .job = 1, .task = 38 * SEGMENT_TASKS };
	assert_int_equal(run_read(f, &read), -ENOENT);
	read.read = (struct store_read){ .type = STORE_READ_INPUT, .job = 1, .task = 19 * 8192 };
	assert_int_equal(run_read(f, &read), -ENOENT);
	read.read = (struct store_read){ .type = STORE_READ_SEGMENT, .job = 2 };
	assert_int_equal(run_read(f, &read), 0);
	store_read_fini(&read.read);
	assert_int_equal(add_job(f, 3, "a"), 0); /* its submission may come again */
	op = op_of(STORE_JOB_DELETE, 3);
	assert_int_equal(run_op(f, &op), 0);
	assert_int_equal(store_next_id(f->store, &next), 0);
	assert_true(next == 4); /* the newest is gone, its id is not given out again */
}

static void ids_of_jobs_that_were_not_kept_are_not_given_again(void **state)
{
	struct fixture *f = *state;
	struct test_op op = op_of(STORE_NEXT_ID, 0);
	uint64_t next = 0;

	assert_int_equal(store_next_id(f->store, &next), 0);
	assert_true(next == 1);
	op.op.u.next_id = 50;
	assert_int_equal(run_op(f, &op), 0);
	op.op.u.next_id = 20;
	assert_int_equal(run_op(f, &op), 0);
	fixture_reopen(f);
	assert_int_equal(store_next_id(f->store, &next), 0);
	assert_true(next == 50);
	assert_int_equal(add_job(f, 60, "a"), 0);
	assert_int_equal(store_next_id(f->store, &next), 0);
	assert_true(next == 61);
}

static void a_plugins_description_is_found_by_its_key(void **state)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	struct fixture *f = *state;
	struct test_op op = op_of(STORE_PLUGIN_PUT, 0);

	assert_int_equal(store_plugin_find(f->store, "k1", &text), -ENOENT);
	op.op.u.plugin.key = "k1";
	op.op.u.plugin.description = "old";
	assert_int_equal(run_op(f, &op), 0);
	op.op.u.plugin.description = "new";
	assert_int_equal(run_op(f, &op), 0);
	for (int i = 0; i < 300; i++) { /* others come and go */
		char key[16];

		(void)snprintf(key, sizeof(key), "other%d", i % 200);
		op.op.u.plugin.key = key;
		assert_int_equal(run_op(f, &op), 0);
		if (i == 150)
			assert_int_equal(store_plugin_find(f->store, "k1", &text), 0);
	}
	assert_int_equal(text.len, 3);
	assert_string_equal((const char *)text.data, "new");
	assert_int_equal(store_plugin_find(f->store, "k1", &text), -ENOENT); /* 256 newer ones */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(ops_are_reported_in_the_order_of_submission),
		TEST(what_was_gathered_is_one_commit),
		TEST(a_late_op_goes_with_the_next_one_or_soon_after_alone),
		TEST(commits_one_by_one_do_not_make_the_log_long),
		TEST(a_known_submission_names_its_job),
		TEST(an_op_that_is_at_fault_does_not_spoil_its_neighbours),
		TEST(a_segment_is_written_once),
		TEST(a_task_is_written_once),
		TEST(inputs_can_only_continue_what_is_there),
		TEST(inputs_are_found_by_any_of_their_tasks),
		TEST(a_mebibyte_of_input_with_any_byte_comes_back),
		TEST(an_open_segment_is_read_from_its_task_rows),
		TEST(a_full_segment_replaces_its_task_rows_and_marks),
		TEST(a_million_tasks_come_back_from_their_segments),
		TEST(a_segment_too_large_for_one_row_comes_back),
		TEST(a_jobs_row_comes_back_as_written),
		TEST(a_jobs_specification_can_be_replaced_whether_it_has_ended_or_not),
		TEST(a_deleted_job_is_gone_with_all_that_belonged_to_it),
		TEST(ids_of_jobs_that_were_not_kept_are_not_given_again),
		TEST(a_plugins_description_is_found_by_its_key),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
