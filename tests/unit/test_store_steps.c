/* Rows of divided tasks: what of them a restart is told, and when they go. */
#include "store_fixture.h"

#include <errno.h>
#include <inttypes.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "ring/step.h"

static void say(struct buffer *b, const char *what, uint64_t first, uint64_t count)
{
	assert_int_equal(buffer_printf(b, "%s %" PRIu64 "+%" PRIu64 ";", what, first, count), 0);
}

static int on_step(void *arg, uint64_t number, const void *blob, size_t len)
{
	assert_true(step_is(number) && len == 4 && memcmp(blob, "blob", len) == 0);
	say(arg, "step", step_task(number), step_of(number));
	return 0;
}

static int on_task(void *arg, uint64_t task, const void *blob, size_t len)
{
	(void)blob;
	(void)len;
	say(arg, "task", task, 1);
	return 0;
}

static int on_segment(void *arg, uint64_t first, uint32_t count, const struct segment_sums *sums)
{
	(void)sums;
	say(arg, "segment", first, count);
	return 0;
}

static int on_started(void *arg, uint64_t first, uint64_t count)
{
	say(arg, step_is(first) ? "step started" : "started", step_is(first) ? step_of(first) : first, count);
	return 0;
}

static int on_crash(void *arg, const struct store_crash *crash)
{
	say(arg, "crashed", step_of(crash->task), crash->crashes);
	return 0;
}

static void assert_tasks(struct fixture *f, const char *wanted)
{
	const struct store_recovery_ops ops = {
		.on_segment = on_segment,
		.on_task = on_task,
		.on_started = on_started,
		.on_crash = on_crash,
		.on_step = on_step,
	};
	_cleanup_buffer_ struct buffer said = BUFFER_INIT;

	assert_int_equal(store_recover_tasks(f->store, 1, &ops, &said), 0);
	assert_int_equal(buffer_add(&said, "", 1), 0);
	assert_string_equal((const char *)said.data, wanted);
}

static void add_job(struct fixture *f)
{
	const struct store_input row = { 0, 8, (const uint8_t *)"xxxxxxxx", 8 };
	struct test_op op = job_add_inputs(1, "divides", &row, 1, 8);

	assert_int_equal(run_op(f, &op), 0);
}

static void mark(struct fixture *f, uint64_t first, uint64_t count)
{
	const struct store_range range = { first, count };
	struct test_op op = op_of(STORE_STARTED_SET, 1);

	op.op.u.started.ranges = &range;
	op.op.u.started.n = 1;
	assert_int_equal(run_op(f, &op), 0);
}

static void count_crash(struct fixture *f, uint64_t number)
{
	struct test_op op = op_of(STORE_CRASH, 1);

	op.op.u.crash = (struct store_crash){ number, 1, 2, "it fell" };
	assert_int_equal(run_op(f, &op), 0);
}

static int write_steps(struct fixture *f, uint64_t job, uint64_t task, uint32_t first, size_t n)
{
	struct store_task steps[8];
	struct test_op op = op_of(STORE_STEPS, job);

	assert_true(n <= ARRAY_SIZE(steps));
	for (size_t i = 0; i < n; i++)
		steps[i] = (struct store_task){ step_number(task, first + (uint32_t)i), (const uint8_t *)"blob", 4 };
	op.op.u.tasks.tasks = steps;
	op.op.u.tasks.n = n;
	return run_op(f, &op);
}

static void write_outcome(struct fixture *f, uint64_t task)
{
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
	const struct task_record record = { .state = TASK_DONE };
	struct test_op op = op_of(STORE_TASKS, 1);
	struct store_task row = { .task = task };

	assert_int_equal(task_record_encode(&record, "", &blob), 0);
	row.blob = blob.data;
	row.blob_bytes = blob.len;
	op.op.u.tasks.tasks = &row;
	op.op.u.tasks.n = 1;
	op.op.u.tasks.divided = true;
	assert_int_equal(run_op(f, &op), 0);
}

static void steps_come_back_in_order_and_make_marks_void(void **state)
{
	struct fixture *f = *state;

	add_job(f);
	mark(f, 2, 2);
	mark(f, step_number(2, STEP_FIRST_PART), 2);
	assert_int_equal(write_steps(f, 1, 3, STEP_SPLIT, 1), 0);
	assert_int_equal(write_steps(f, 1, 2, STEP_SPLIT, 1), 0);
	assert_int_equal(write_steps(f, 1, 2, STEP_FIRST_PART, 1), 0);
	fixture_reopen(f);
	assert_tasks(f, "step 2+0;step 2+1;step 3+0;step started 2+1;");
	assert_int_equal(write_steps(f, 1, 2, STEP_FIRST_PART, 1), -EEXIST); /* a part has one outcome */
	assert_int_equal(write_steps(f, 9, 2, STEP_SPLIT, 1), -ENOENT);
}

static void steps_go_with_the_outcome_of_their_task_and_with_their_job(void **state)
{
	struct fixture *f = *state;
	struct test_op segment = op_of(STORE_SEGMENT, 1), delete = op_of(STORE_JOB_DELETE, 1);

	add_job(f);
	assert_int_equal(write_steps(f, 1, 2, STEP_SPLIT, 3), 0);
	assert_int_equal(write_steps(f, 1, 3, STEP_SPLIT, 3), 0);
	assert_int_equal(write_steps(f, 1, 8, STEP_SPLIT, 1), 0);
	mark(f, step_number(2, STEP_COMBINE), 1);
	mark(f, step_number(3, STEP_COMBINE), 1);
	count_crash(f, step_number(2, STEP_COMBINE));
	count_crash(f, step_number(3, STEP_COMBINE));
	write_outcome(f, 2);
	assert_tasks(f, "task 2+1;step 3+0;step 3+1;step 3+2;step 8+0;crashed 65537+1;step started 65537+1;");
	segment.op.u.segment = numbers_segment(0, 8);
	assert_int_equal(run_op(f, &segment), 0);
	segment_unref(segment.op.u.segment);
	assert_tasks(f, "segment 0+8;step 8+0;");
	assert_int_equal(run_op(f, &delete), 0);
	assert_tasks(f, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(steps_come_back_in_order_and_make_marks_void),
		TEST(steps_go_with_the_outcome_of_their_task_and_with_their_job),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
