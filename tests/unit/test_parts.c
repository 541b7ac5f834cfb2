/* Divided tasks: parts.c and parts_disk.c over a store that only collects, and outcomes that are noted. */
#include "unit.h"

#include <errno.h>

#include "base/cleanup.h"
#include "crew/workload.h"
#include "jobs/parts_private.h"

#define TASKS 10
#define MAX_OPS 64

/* ---- The neighbours ---- */

static struct store_op *ops[MAX_OPS]; /* submitted and not answered */
static size_t n_ops;
static struct {
	uint64_t task;
	struct task_record record;
	char text[256];
	int n;
} outcome; /* the last one */

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	assert_true(n_ops < MAX_OPS && op->type == STORE_STEPS);
	ops[n_ops++] = op;
}

void outcome_put(struct job *job, uint64_t task, struct task_record *record, const void *data, size_t len)
{
	assert_false(step_is(task));
	assert_true(parts_is_open(job, task) || record->attempts == 0);
	outcome.task = task;
	outcome.record = *record;
	(void)snprintf(outcome.text, sizeof(outcome.text), "%.*s", (int)len, (const char *)data);
	outcome.n++;
}

void outcome_failed(struct job *job, uint64_t task, const char *text)
{
	struct task_record record = { .state = TASK_FAILED, .error = TASK_ERROR_FAILED };

	outcome_put(job, task, &record, text, strlen(text));
}

uint16_t history_take_attempts(struct job *job, uint64_t task)
{
	(void)job; /* every step at its first attempt */
	(void)task;
	return 0;
}

void outcome_end_ready(struct job *job)
{
	(void)job;
}

void schedule_ready(struct job *job)
{
	(void)job; /* the tests look by themselves */
}

uint64_t apart_remove(struct job *job, uint64_t from, uint64_t count)
{
	return halves_remove(&job->halves, from, count); /* no group runs */
}

void job_touch(struct job *job)
{
	(void)job;
}

struct job *job_ref(struct job *job)
{
	return job;
}

void job_unref(struct job *job)
{
	(void)job;
}

void jobs_op_submitted(struct jobs *jobs)
{
	jobs->ops_out++;
}

void jobs_op_done(struct jobs *jobs)
{
	jobs->ops_out--;
}

/* ---- A job of TASKS tasks ---- */

static struct plugin_info info = { .has_split = true };
static struct workload workload = { .info = &info, .idempotent = true };
static struct jobs jobs = { .crews = (struct crews *)&jobs };

static void job_open(struct job *job, bool durable)
{
	*job = (struct job){
		.jobs = &jobs,
		.workload = &workload,
		.total = TASKS,
		.durable = durable,
		.choice = { .crew_shape = { 2, 2, 1 } },
	};
	n_ops = 0;
	outcome.n = 0;
	halves_init(&job->halves);
	assert_int_equal(ranges_add(&job->main.ready, 0, TASKS), 0);
}

static void job_close_all(struct job *job)
{
	parts_fini(job);
	ranges_fini(&job->main.ready);
	halves_fini(&job->halves);
	retries_fini(&job->waiting);
	assert_int_equal(n_ops, 0);
	assert_int_equal(job->parts.bytes, 0);
}

/* The oldest operation comes back. */
static void answer(int status)
{
	struct store_op *op = ops[0];

	assert_true(n_ops > 0);
	memmove(ops, ops + 1, --n_ops * sizeof(*ops));
	op->on_done(op, status);
}

/* n parts whose inputs are "0", "1" ... */
static void pack(struct buffer *packed, uint32_t n)
{
	char text[16];

	for (uint32_t i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(buffer_add_text(packed, text), 0);
	}
}

static void split_into(struct job *job, uint64_t task, const void *packed, size_t bytes)
{
	const struct crew_ended ended = {
		.user = &job->main,
		.task = task,
		.status = RING_SPLIT,
		.begin_ns = 1,
		.wall_s = 0.5F,
		.cpu_s = 0.25F,
		.worker_pid = 7,
		.data = packed,
		.len = bytes,
	};

	assert_int_equal(ranges_remove(&job->main.ready, task, 1), 0);
	parts_split(job, &ended, 0.125F);
}

static void split(struct job *job, uint64_t task, uint32_t n)
{
	_cleanup_buffer_ struct buffer packed = BUFFER_INIT;

	pack(&packed, n);
	split_into(job, task, packed.data, packed.len);
}

static void take(struct job *job, uint64_t task, uint32_t step, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		assert_true(ranges_contain(&job->main.ready, step_number(task, step) + i));
		assert_int_equal(ranges_remove(&job->main.ready, step_number(task, step) + i, 1), 0);
	}
}

static void put_with(struct job *job, uint64_t task, uint32_t step, enum task_state state, enum task_error error, const char *text)
{
	struct task_record record = {
		.wall_s = 1,
		.cpu_s = 0.5F,
		.runq_s = 0.25F,
		.worker_pid = 8,
		.attempts = 1,
		.state = (uint8_t)state,
		.error = (uint8_t)error,
	};

	parts_put(job, step_number(task, step), &record, text, strlen(text));
}

static void put(struct job *job, uint64_t task, uint32_t step, enum task_state state, const char *text)
{
	put_with(job, task, step, state, state == TASK_FAILED ? TASK_ERROR_INVALID_INPUT : TASK_ERROR_NONE, text);
}

/* ---- The tests ---- */

static void a_part_begins_when_all_are_on_disk_and_combining_when_all_are_done(void **state)
{
	struct job job;
	const uint8_t *packed;
	size_t bytes;
	uint32_t count;
	uint64_t from;

	(void)state;
	job_open(&job, true);
	split(&job, 3, 3);
	assert_int_equal(parts_open(&job), 1);
	assert_int_equal(ranges_first_from(&job.main.ready, STEP_BIT, 9, &from), 0);
	answer(0);
	take(&job, 3, STEP_FIRST_PART, 3);
	put(&job, 3, STEP_FIRST_PART + 2, TASK_DONE, "two");
	put(&job, 3, STEP_FIRST_PART, TASK_DONE, "");
	assert_int_equal(ranges_first_from(&job.main.ready, STEP_BIT, 9, &from), 0);
	put(&job, 3, STEP_FIRST_PART + 1, TASK_DONE, "one");
	take(&job, 3, STEP_COMBINE, 1);
	parts_peek(&job, step_number(3, STEP_COMBINE), 1, 0, &packed, &bytes, &count);
	assert_int_equal(bytes, 10);
	assert_memory_equal(packed, "\x09\0\x03one\x03two", 10);
	assert_int_equal(outcome.n, 0);
	put(&job, 3, STEP_COMBINE, TASK_DONE, "all");
	assert_int_equal(outcome.n, 1);
	assert_int_equal(outcome.task, 3);
	assert_string_equal(outcome.text, "all");
	assert_true(outcome.record.wall_s == 4.5F && outcome.record.cpu_s == 2.25F && outcome.record.runq_s == 1.0F);
	assert_true(outcome.record.queue_s == 0.125F);
	assert_int_equal(outcome.record.state, TASK_DONE);
	assert_int_equal(parts_open(&job), 0);
	while (n_ops > 0)
		answer(0); /* after its end: what was on its way */
	job_close_all(&job);
}

static void a_failed_part_drops_the_others_and_waits_for_those_begun(void **state)
{
	struct job job;
	uint64_t from;

	(void)state;
	job_open(&job, false);
	split(&job, 4, 100);
	split(&job, 5, 2);
	take(&job, 4, STEP_FIRST_PART, 5);
	assert_int_equal(ranges_remove(&job.main.ready, step_number(4, 50), 1), 0);
	assert_int_equal(retries_push(&job.waiting, 1, step_number(4, 50)), 0); /* one waits to be tried again */
	assert_int_equal(retries_push(&job.waiting, 2, 9), 0);
	assert_int_equal(ranges_remove(&job.main.ready, step_number(4, 60), 1), 0);
	assert_int_equal(halves_add_lone(&job.halves, step_number(4, 60)), 0); /* one is to run alone */
	put(&job, 4, STEP_FIRST_PART + 1, TASK_FAILED, "no good");
	assert_int_equal(outcome.n, 0);
	assert_int_equal(ranges_first_from(&job.main.ready, STEP_BIT, 9, &from), 2);
	assert_int_equal(step_task(from), 5);
	assert_true(job.halves.count == 0 && job.waiting.n == 1 && job.waiting.at[0].task == 9);
	assert_true(parts_failing(&job, step_number(4, 9)) && !parts_failing(&job, step_number(5, 1)));
	put(&job, 4, STEP_FIRST_PART, TASK_DONE, "late");
	put(&job, 4, STEP_FIRST_PART + 2, TASK_FAILED, "another reason");
	parts_drop(&job, step_number(4, STEP_FIRST_PART + 3), 1); /* it came back unbegun */
	assert_int_equal(outcome.n, 0);
	put(&job, 4, STEP_FIRST_PART + 4, TASK_DONE, "");
	assert_int_equal(outcome.n, 1);
	assert_string_equal(outcome.text, "part 1 of 0 to 99: no good");
	assert_int_equal(outcome.record.error, TASK_ERROR_INVALID_INPUT);
	put(&job, 4, STEP_FIRST_PART + 4, TASK_DONE, "");
	assert_int_equal(outcome.n, 1);
	job_close_all(&job);
}

static void what_crashed_counts_before_what_it_merely_interrupted(void **state)
{
	struct job job;

	(void)state;
	job_open(&job, false);
	split(&job, 2, 4);
	take(&job, 2, STEP_FIRST_PART, 4);
	put_with(&job, 2, STEP_FIRST_PART + 3, TASK_FAILED, TASK_ERROR_INTERRUPTED, "a neighbour died");
	put_with(&job, 2, STEP_FIRST_PART + 2, TASK_FAILED, TASK_ERROR_INTERRUPTED, "so it did");
	put_with(&job, 2, STEP_FIRST_PART + 1, TASK_FAILED, TASK_ERROR_CRASHED, "it died");
	put_with(&job, 2, STEP_FIRST_PART, TASK_FAILED, TASK_ERROR_FAILED, "it failed");
	assert_int_equal(outcome.n, 1);
	assert_string_equal(outcome.text, "part 1 of 0 to 3: it died");
	assert_int_equal(outcome.record.error, TASK_ERROR_CRASHED);
	job_close_all(&job);
}

static void what_a_worker_process_cannot_have_added_is_refused(void **state)
{
	static const struct {
		const char *packed;
		size_t bytes;
	} bad[] = { { "", 0 }, { "\x02x", 2 }, { "\x01x\x05", 3 }, { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10 } };
	_cleanup_buffer_ struct buffer many = BUFFER_INIT;
	struct job job;

	(void)state;
	job_open(&job, false);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		split_into(&job, i, bad[i].packed, bad[i].bytes);
		assert_int_equal(outcome.n, i + 1);
		assert_non_null(strstr(outcome.text, "makes no sense"));
	}
	assert_int_equal(buffer_reserve(&many, STEP_PARTS_MAX + 1), 0);
	memset(many.data, 0, STEP_PARTS_MAX + 1);
	split_into(&job, 8, many.data, STEP_PARTS_MAX + 1);
	assert_int_equal(outcome.n, ARRAY_SIZE(bad) + 1);
	split_into(&job, 9, many.data, STEP_PARTS_MAX);
	assert_int_equal(parts_open(&job), 1);
	info.has_split = false;
	split(&job, 7, 3);
	info.has_split = true;
	assert_int_equal(outcome.n, ARRAY_SIZE(bad) + 2);
	job_close_all(&job);
}

static void more_results_than_combining_takes_fail_the_task(void **state)
{
	static char big[STEP_RESULTS_BYTES / 2];
	struct job job;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	job_open(&job, false);
	split(&job, 0, 3);
	take(&job, 0, STEP_FIRST_PART, 3);
	put(&job, 0, STEP_FIRST_PART, TASK_DONE, big);
	put(&job, 0, STEP_FIRST_PART + 1, TASK_DONE, big);
	assert_true(parts_failing(&job, step_number(0, STEP_FIRST_PART)));
	put(&job, 0, STEP_FIRST_PART + 2, TASK_DONE, "");
	assert_int_equal(outcome.record.error, TASK_ERROR_TOO_LARGE);
	job_close_all(&job);
}

static void parts_that_could_not_be_recorded_do_not_begin(void **state)
{
	struct job job;

	(void)state;
	job_open(&job, true);
	split(&job, 0, 3);
	answer(-EIO);
	assert_string_equal(outcome.text, "its parts could not be recorded");
	assert_int_equal(parts_open(&job), 0);
	job_close_all(&job);
}

/* Take over the rows of what is out, as they would be read back, in order of numbers. */
static int restart(struct job *job, struct store_op *const *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < from[i]->u.tasks.n; k++) {
			const struct store_task *row = &from[i]->u.tasks.tasks[k];
			int r = parts_recover(job, row->task, row->blob, row->blob_bytes);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static void after_a_restart_the_missing_parts_run(void **state)
{
	struct job before, after;
	struct store_op *splitting;
	uint64_t from;

	(void)state;
	job_open(&before, true);
	split(&before, 2, 4);
	splitting = ops[0];
	job_open(&after, true);
	assert_int_equal(restart(&after, &splitting, 1), 0);
	assert_false(ranges_contain(&after.main.ready, 2));
	assert_int_equal(ranges_first_from(&after.main.ready, STEP_BIT, 9, &from), 4);
	assert_int_equal(restart(&after, &splitting, 1), -EBADMSG); /* twice */
	parts_recovered(&after);
	assert_int_equal(ranges_first_from(&after.main.ready, STEP_BIT, 9, &from), 4);

	ops[n_ops++] = splitting;
	answer(0);
	take(&before, 2, STEP_FIRST_PART, 4);
	put(&before, 2, STEP_FIRST_PART + 1, TASK_DONE, "b");
	assert_int_equal(restart(&after, ops, 1), 0);
	assert_int_equal(restart(&after, ops, 1), -EBADMSG);
	assert_false(ranges_contain(&after.main.ready, step_number(2, STEP_FIRST_PART + 1)));
	put(&before, 2, STEP_FIRST_PART, TASK_DONE, "a");
	put(&before, 2, STEP_FIRST_PART + 2, TASK_DONE, "c");
	answer(0);
	assert_int_equal(ops[0]->u.tasks.n, 2); /* what came while an operation was out goes together */
	assert_int_equal(restart(&after, ops, 1), 0);
	answer(0);
	put(&before, 2, STEP_FIRST_PART + 3, TASK_DONE, "d");
	assert_int_equal(restart(&after, ops, 1), 0);
	answer(0);
	parts_recovered(&after);
	parts_recovered(&after); /* again, for nothing */
	take(&after, 2, STEP_COMBINE, 1);
	put(&after, 2, STEP_COMBINE, TASK_DONE, "abcd");
	assert_true(outcome.record.wall_s == 5.5F);
	job_close_all(&before);
	job_close_all(&after);
}

static void a_damaged_row_fails_its_task_and_no_other(void **state)
{
	struct job before, after;

	(void)state;
	job_open(&before, true);
	split(&before, 2, 4);
	job_open(&after, true);
	n_ops = 1; /* it is out still */
	assert_int_equal(parts_recover(&after, step_number(1, STEP_SPLIT), NULL, 0), 0);
	assert_int_equal(outcome.task, 1);
	assert_string_equal(outcome.text, "what it was divided into is damaged on the disk");
	assert_int_equal(parts_recover(&after, step_number(1, STEP_FIRST_PART), "garbage", 7), 0);
	assert_int_equal(restart(&after, ops, 1), 0);
	assert_int_equal(parts_recover(&after, step_number(2, STEP_FIRST_PART + 1), "garbage", 7), 0);
	assert_int_equal(outcome.n, 2);
	assert_int_equal(outcome.record.error, TASK_ERROR_INTERRUPTED);
	assert_string_equal(outcome.text, "part 1 of 0 to 3: its outcome is damaged on the disk");
	assert_int_equal(parts_recover(&after, step_number(2, STEP_FIRST_PART + 2), "garbage", 7), 0);
	assert_int_equal(after.main.ready.count, TASKS - 2);
	answer(0);
	job_close_all(&before);
	job_close_all(&after);
}

static void parts_come_first_and_each_runner_gets_some(void **state)
{
	struct job job;
	uint64_t from;

	(void)state;
	job_open(&job, false);
	split(&job, 5, 64);
	assert_int_equal(parts_first(&job, &job.main.ready, 64, &from), 8); /* of four runners */
	assert_int_equal(from, step_number(5, STEP_FIRST_PART));
	take(&job, 5, STEP_FIRST_PART, 60);
	assert_int_equal(parts_first(&job, &job.main.ready, 64, &from), 1);
	take(&job, 5, STEP_FIRST_PART + 60, 4);
	assert_int_equal(parts_first(&job, &job.main.ready, 3, &from), 3);
	assert_int_equal(from, 0);
	job.choice.in_order = true;
	assert_int_equal(parts_first(&job, &job.main.ready, 3, &from), 0);
	job.choice.in_order = false;
	job.parts.bytes += PARTS_HOLD_BYTES;
	assert_int_equal(parts_first(&job, &job.main.ready, 3, &from), 0);
	job.parts.bytes -= PARTS_HOLD_BYTES;
	job_close_all(&job);
}

static void packed_parts_are_found_wherever_they_lie(void **state)
{
	struct job job;
	const uint8_t *packed, *data;
	size_t bytes, len;
	uint32_t count;
	char text[16];

	(void)state;
	job_open(&job, false);
	split(&job, 0, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		parts_peek(&job, step_number(0, STEP_FIRST_PART + i), 64, 100, &packed, &bytes, &count);
		assert_true(count >= 1 && bytes <= 100 && (count == 1000 - i || bytes > 94 || count == 64));
		assert_non_null(packed_next(packed, packed + bytes, &data, &len));
		(void)snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(len, strlen(text));
		assert_memory_equal(data, text, len);
	}
	parts_peek(&job, step_number(0, STEP_FIRST_PART), 1, 0, &packed, &bytes, &count);
	assert_int_equal(count, 1); /* one at least, whatever its size */
	job_close_all(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_begins_when_all_are_on_disk_and_combining_when_all_are_done),
		cmocka_unit_test(a_failed_part_drops_the_others_and_waits_for_those_begun),
		cmocka_unit_test(what_crashed_counts_before_what_it_merely_interrupted),
		cmocka_unit_test(what_a_worker_process_cannot_have_added_is_refused),
		cmocka_unit_test(more_results_than_combining_takes_fail_the_task),
		cmocka_unit_test(parts_that_could_not_be_recorded_do_not_begin),
		cmocka_unit_test(after_a_restart_the_missing_parts_run),
		cmocka_unit_test(a_damaged_row_fails_its_task_and_no_other),
		cmocka_unit_test(parts_come_first_and_each_runner_gets_some),
		cmocka_unit_test(packed_parts_are_found_wherever_they_lie),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
