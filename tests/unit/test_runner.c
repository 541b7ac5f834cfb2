/* The runner: results, time limits, cancel, stop. On a ring of plain arrays, with tiny plugins. */
#include "runner_rig.h"

#include <sched.h>
#include <stdatomic.h>

#include "base/cleanup.h"
#include "crew/wire.h"

/* ---- Results and failures ---- */

static int run_echo(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len);

	assert_int_equal(input[len], '\0');
	return concd_result(task, input, len);
}

static void every_task_gets_its_own_result(void **state)
{
	static const uint32_t shapes[] = { 1, 2, 100 };

	(void)state;
	for (size_t s = 0; s < 3; s++) {
		const char *inputs[RING_CHUNK_TASKS];
		char texts[RING_CHUNK_TASKS][16];
		struct rig rig;

		open_rig(&rig, run_echo, shapes[s]);
		for (uint32_t c = 0; c < 50; c++) {
			for (uint32_t i = 0; i < RING_CHUNK_TASKS; i++) {
				snprintf(texts[i], sizeof(texts[i]), "%u/%u", c, i);
				inputs[i] = texts[i];
			}
			fake_ring_submit(rig.ring, JOB, c * RING_CHUNK_TASKS, RING_CHUNK_TASKS, inputs);
		}
		fake_ring_wait(rig.ring, 50 * RING_CHUNK_TASKS);
		for (uint32_t c = 0; c < 50; c++)
			for (uint32_t i = 0; i < RING_CHUNK_TASKS; i++) {
				struct fake_record record = fake_ring_record(rig.ring, c, i);

				snprintf(texts[0], sizeof(texts[0]), "%u/%u", c, i);
				assert_int_equal(record.status, RING_DONE);
				assert_string_equal(record.data, texts[0]);
			}
		close_rig(&rig);
	}
}

static void a_large_input_is_copied_and_its_place_released(void **state)
{
	static char data[300000];
	struct rig rig;

	(void)state;
	memset(data, 'x', sizeof(data));
	open_rig(&rig, run_echo, 1);
	fake_ring_submit_big(rig.ring, JOB, data, 90000);
	fake_ring_submit_big(rig.ring, JOB, data, sizeof(data));
	fake_ring_wait(rig.ring, 2);
	assert_int_equal(fake_ring_record(rig.ring, 0, 0).len, 90000);
	assert_memory_equal(fake_ring_record(rig.ring, 0, 0).data, data, FAKE_KEEP_BYTES);
	assert_int_equal(fake_ring_record(rig.ring, 1, 0).status, RING_TOO_LARGE);
	assert_non_null(strstr(fake_ring_record(rig.ring, 1, 0).data, "300000"));
	assert_int_equal(rig.ring->n_released, 2);
	close_rig(&rig);
}

static int run_outcome(struct concd_task *task)
{
	static const char first[] = "a first result that is much longer than what is kept inside of the slot of this "
				    "task, really it is, believe it";
	const char *input = concd_input(task, NULL);

	if (strcmp(input, "input") == 0)
		return concd_fail(task, CONCD_FAIL_INPUT, "not %d", 5);
	if (strcmp(input, "permanent") == 0)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "never");
	if (strcmp(input, "retry") == 0)
		return concd_fail_retry_after(task, 123, "later");
	if (strcmp(input, "twice") == 0) {
		concd_fail(task, CONCD_FAIL_INPUT, "first");
		return concd_fail(task, CONCD_FAIL_PERMANENT, "second");
	}
	if (strcmp(input, "errno") == 0)
		return -EIO;
	if (strcmp(input, "positive") == 0)
		return 3;
	if (strcmp(input, "canceled") == 0)
		return -ECANCELED;
	concd_result(task, first, strlen(first));
	return concd_result(task, "second", 6);
}

static void a_task_ends_as_its_plugin_says(void **state)
{
	static const char *const inputs[] = { "input", "permanent", "retry", "twice", "errno", "positive",
					      "canceled", "" };
	static const struct {
		uint8_t status;
		const char *text;
	} expected[] = {
		{ RING_FAILED_INPUT, "not 5" }, { RING_FAILED, "never" }, { RING_FAILED_RETRY, "later" },
		{ RING_FAILED_INPUT, "first" }, { RING_FAILED, "Input/output error" },
		{ RING_FAILED, "run returned 3, which is neither 0 nor -errno" },
		{ RING_FAILED, "Operation canceled" }, { RING_DONE, "second" },
	};
	struct rig rig;

	(void)state;
	open_rig(&rig, run_outcome, 4);
	fake_ring_submit(rig.ring, JOB, 0, 8, inputs);
	fake_ring_wait(rig.ring, 8);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(fake_ring_record(rig.ring, 0, i).status, expected[i].status);
		assert_string_equal(fake_ring_record(rig.ring, 0, i).data, expected[i].text);
	}
	assert_int_equal(fake_ring_record(rig.ring, 0, 2).retry_after_ns, 123);
	assert_int_equal(fake_ring_record(rig.ring, 0, 1).retry_after_ns, -1);
	close_rig(&rig);
}

static int run_trace(struct concd_task *task)
{
	static char large[MAX_RESULT + 1];
	const char *input = concd_input(task, NULL);
	struct concd_resumer *resumer;

	if (strcmp(input, "refused") == 0 || strcmp(input, "mended") == 0) {
		assert_int_equal(concd_result(task, large, sizeof(large)), -EMSGSIZE);
		return strcmp(input, "refused") == 0 ? 0 : concd_result(task, "small", 5);
	}
	if (strcmp(input, "forgiven") == 0) {
		concd_fail_retry_after(task, 123, "not now");
		return 0;
	}
	if (strcmp(input, "silent") == 0)
		return 0;
	if (strcmp(input, "wordless") == 0)
		return -EIO;
	if (strcmp(input, "resumed") == 0) {
		resumer = concd_resumer(task);
		concd_resume(task->host, resumer);
		concd_resumer_free(task->host, resumer);
		return 0;
	}
	if (strcmp(input, "suspended") == 0)
		return concd_suspend(task, NS_PER_MS) == -ETIMEDOUT ? concd_result(task, "in time", 7) : -EPROTO;
	return concd_result(task, input, strlen(input));
}

static void what_a_task_did_does_not_cling_to_the_next(void **state)
{
	static const char longer[] = "an input, and a result, that is much longer than what is kept inside of the slot of "
				     "its task, really it is";
	static const struct {
		const char *input;
		uint8_t status;
		const char *text;
	} tasks[] = {
		{ "refused", RING_TOO_LARGE, "the result of 100001 bytes is over max_result (100000 bytes)" },
		{ "silent", RING_DONE, "" }, { "mended", RING_DONE, "small" }, { longer, RING_DONE, longer },
		{ "silent", RING_DONE, "" }, { "forgiven", RING_DONE, "" }, { "wordless", RING_FAILED, "Input/output error" },
		{ "sixteen bytes ha", RING_DONE, "sixteen bytes ha" }, { "x", RING_DONE, "x" },
		{ "resumed", RING_DONE, "" }, { "suspended", RING_DONE, "in time" }, { "last", RING_DONE, "last" },
	};
	const char *inputs[ARRAY_SIZE(tasks)];
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		inputs[i] = tasks[i].input;
	open_rig(&rig, run_trace, 1);
	fake_ring_submit(rig.ring, JOB, 0, ARRAY_SIZE(tasks), inputs);
	fake_ring_wait(rig.ring, ARRAY_SIZE(tasks));
	for (uint32_t i = 0; i < ARRAY_SIZE(tasks); i++) {
		struct fake_record record = fake_ring_record(rig.ring, 0, i);

		assert_int_equal(record.status, tasks[i].status);
		assert_int_equal(record.len, strlen(tasks[i].text));
		assert_memory_equal(record.data, tasks[i].text,
				    record.len < FAKE_KEEP_BYTES ? record.len : FAKE_KEEP_BYTES);
		assert_int_equal(record.retry_after_ns, -1);
	}
	close_rig(&rig);
}

static int run_params(struct concd_task *task)
{
	const char *text;
	int64_t integer;
	double number;

	assert_int_equal(concd_param_text(task, "word", &text), 0);
	assert_string_equal(text, "none");
	assert_int_equal(concd_param_int(task, "limit", &integer), 0);
	assert_int_equal(integer, NS_PER_S);
	assert_int_equal(concd_param_int(task, "room", &integer), 0);
	assert_int_equal(integer, 2048);
	assert_int_equal(concd_param_int(task, "on", &integer), 0);
	assert_int_equal(integer, 0);
	assert_int_equal(concd_param_number(task, "ratio", &number), 0);
	assert_true(number > 0.49 && number < 0.51);
	assert_int_equal(concd_param_int(task, "ratio", &integer), -EINVAL);
	assert_int_equal(concd_param_text(task, "limit", &text), -EINVAL);
	assert_int_equal(concd_param_int(task, "other", &integer), -ENOENT);
	assert_int_equal(concd_worker_param_int(task->worker, "room", &integer), 0);
	assert_int_equal(concd_index(task), 40);
	assert_int_equal(concd_workers(task), 3);
	assert_int_equal(concd_part_add(task, NULL, 0), -EPERM);
	assert_int_equal(concd_part_count(task), 0);
	concd_progress(task, 0.25);
	concd_log(task->worker, CONCD_LOG_INFO, "line %d", 1);
	return 0;
}

static void a_task_sees_its_parameters_and_number(void **state)
{
	static const char *const inputs[] = { "" };
	struct rig rig;

	(void)state;
	open_rig(&rig, run_params, 1);
	fake_ring_submit(rig.ring, JOB, 40, 1, inputs);
	fake_ring_wait(rig.ring, 1);
	assert_string_equal(rig.ring->last_line, "line 1");
	assert_true(rig.ring->chunks[0].progress[0] > 0.24f);
	close_rig(&rig);
}

static int run_flood(struct concd_task *task)
{
	for (int i = 0; i < 5000; i++)
		concd_log(task->worker, CONCD_LOG_INFO, "line %d", i);
	return 0;
}

static void log_lines_over_the_limit_are_counted(void **state)
{
	struct rig rig;
	uint64_t dropped;

	(void)state;
	open_rig(&rig, run_flood, 1);
	fake_ring_submit_many(rig.ring, JOB, 1, "");
	fake_ring_wait(rig.ring, 1);
	dropped = log_gate_take_dropped(&rig.gate);
	assert_int_equal(dropped + rig.ring->n_lines, 5000);
	assert_true(rig.ring->n_lines <= 3 * LOG_GATE_LINES_PER_S); /* the second may have changed meanwhile */
	assert_int_equal(log_gate_take_dropped(&rig.gate), 0);
	close_rig(&rig);
}

/* ---- Cancel, time limits, stop ---- */

static int run_sleep(struct concd_task *task)
{
	return concd_sleep(task, 100 * NS_PER_MS);
}

static int run_long(struct concd_task *task)
{
	int r = concd_suspend(task, CONCD_NO_TIMEOUT);

	assert_int_equal(r, -ECANCELED);
	assert_int_equal(concd_cancelled(task), 1);
	assert_int_equal(concd_sleep(task, NS_PER_S), -ECANCELED);
	assert_int_equal(concd_yield(task), -ECANCELED);
	return r;
}

static void cancel(struct rig *rig, uint64_t job, uint32_t reason)
{
	jobtable_cancel(rig->jobs, job, reason);
	runner_look(rig->runner);
}

static void cancelling_ends_waits_of_begun_tasks_and_of_those_that_still_begin(void **state)
{
	(void)state;
	for (uint32_t reason = WIRE_CANCEL_USER; reason <= WIRE_CANCEL_TIMEOUT; reason++) {
		uint8_t status = reason == WIRE_CANCEL_USER ? RING_CANCELLED : RING_TIMEOUT;
		struct rig rig;

		open_rig(&rig, run_long, 10);
		fake_ring_submit_many(rig.ring, JOB, 20, "");
		fake_ring_wait_begun(rig.ring, 0, 10);
		cancel(&rig, JOB, reason);
		fake_ring_wait(rig.ring, 20);
		assert_int_equal(fake_ring_count(rig.ring, status), 20);
		close_rig(&rig);
	}
}

static void cancelling_leaves_other_jobs_alone(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, run_sleep, 4);
	add_job(&rig, 8, 0, 0);
	fake_ring_submit_many(rig.ring, JOB, 2, "");
	fake_ring_submit_many(rig.ring, 8, 2, "");
	fake_ring_wait_begun(rig.ring, 1, 2);
	cancel(&rig, 8, WIRE_CANCEL_USER);
	fake_ring_wait(rig.ring, 4);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 2);
	assert_int_equal(fake_ring_count(rig.ring, RING_CANCELLED), 2);
	close_rig(&rig);
}

static void count_overdue(void *arg, const struct runner_overdue *overdue)
{
	unsigned int *n = arg;

	assert_int_equal(overdue->runner, 1);
	assert_int_equal(overdue->generation, overdue->chunk + 7);
	assert_int_equal(overdue->index, 0);
	if (!overdue->late)
		(*n)++;
}

static void a_task_over_its_time_limit_is_told(void **state)
{
	unsigned int overdue = 0;
	struct rig rig;

	(void)state;
	open_rig(&rig, run_long, 2);
	add_job(&rig, 9, 1000 * NS_PER_S, 50 * NS_PER_S);
	fake_ring_submit_many(rig.ring, 9, 1, "");
	fake_ring_wait_begun(rig.ring, 0, 1);
	/* The time has not come; the slot may just be being filled. */
	while (runner_watch(rig.runner, clock_mono_ns(), count_overdue, &overdue) == INT64_MAX)
		;
	(void)runner_watch(rig.runner, clock_mono_ns() + 1001 * NS_PER_S, count_overdue, &overdue);
	fake_ring_wait(rig.ring, 1);
	assert_int_equal(fake_ring_record(rig.ring, 0, 0).status, RING_TIMEOUT);
	assert_int_equal(overdue, 0);
	close_rig(&rig);
}

static _Atomic bool let_go, let_in;

static int run_stubborn(struct concd_task *task)
{
	let_in = true;
	while (!let_go)
		sched_yield();
	return concd_cancelled(task) ? -ECANCELED : 0;
}

static void a_task_that_stays_beyond_its_grace_is_reported_once(void **state)
{
	unsigned int overdue = 0;
	int64_t later_ns;
	struct rig rig;

	(void)state;
	let_go = let_in = false;
	open_rig(&rig, run_stubborn, 1);
	add_job(&rig, 9, 1000 * NS_PER_S, 50 * NS_PER_S);
	fake_ring_submit_many(rig.ring, 9, 1, "");
	while (!let_in) /* a task that is told before it runs is not run at all */
		sched_yield();
	later_ns = clock_mono_ns() + 1060 * NS_PER_S;
	assert_true(runner_watch(rig.runner, later_ns - 55 * NS_PER_S, count_overdue, &overdue) <= later_ns);
	assert_int_equal(overdue, 0);
	assert_int_equal(runner_watch(rig.runner, later_ns, count_overdue, &overdue), INT64_MAX);
	assert_int_equal(runner_watch(rig.runner, later_ns, count_overdue, &overdue), INT64_MAX);
	assert_int_equal(overdue, 1);
	let_go = true;
	fake_ring_wait(rig.ring, 1);
	assert_int_equal(fake_ring_record(rig.ring, 0, 0).status, RING_TIMEOUT);
	close_rig(&rig);
}

static void stopping_finishes_what_is_begun_and_begins_nothing(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, run_sleep, 2);
	fake_ring_submit_many(rig.ring, JOB, 10, "");
	fake_ring_wait_begun(rig.ring, 0, 2);
	runner_stop(rig.runner);
	fake_ring_wait(rig.ring, 2);
	runner_free(rig.runner);
	helpers_close(rig.helpers);
	mail_close(rig.mail);
	assert_int_equal(rig.ring->n_recorded, 2);
	assert_int_equal(rig.ring->chunks[0].begun, 2);
	jobtable_close(rig.jobs);
	params_free(rig.params);
	fake_ring_free(rig.ring);
}

static void what_is_taken_back_is_not_begun(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, run_sleep, 2);
	fake_ring_submit_many(rig.ring, JOB, 10, "");
	fake_ring_wait_begun(rig.ring, 0, 2);
	assert_int_equal(fake_ring_take_back(rig.ring, 0), 8);
	fake_ring_submit_many(rig.ring, JOB, 1, "");
	fake_ring_wait(rig.ring, 3);
	assert_int_equal(rig.ring->n_recorded, 3);
	close_rig(&rig);
}

static void a_runner_waits_for_a_job_that_it_does_not_know_yet(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, run_echo, 2);
	fake_ring_submit_many(rig.ring, 99, 2, "x");
	fake_ring_wait_begun(rig.ring, 0, 1);
	add_job(&rig, 99, 0, 0);
	fake_ring_wait(rig.ring, 2);
	jobtable_forget(rig.jobs, 99);
	close_rig(&rig);
}

/* ---- worker_init ---- */

static int init_refuses(struct concd_worker *worker)
{
	concd_log(worker, CONCD_LOG_ERROR, "no session with %s", "example");
	return -EACCES;
}

static void a_failed_worker_init_gives_its_last_words(void **state)
{
	const struct concd_plugin plugin = { CONCD_PLUGIN_HEADER, .run = run_echo, .worker_init = init_refuses };
	struct rig rig;

	(void)state;
	open_rig_of(&rig, &plugin, 1);
	while (runner_state(rig.runner) == RUNNER_STARTING)
		sched_yield();
	assert_int_equal(runner_state(rig.runner), RUNNER_FAILED);
	assert_string_equal(runner_failure(rig.runner), "no session with example");
	close_rig(&rig);
}

static int init_state(struct concd_worker *worker)
{
	worker->state = malloc(16);
	strcpy(worker->state, "session");
	return 0;
}

static void exit_state(struct concd_worker *worker)
{
	concd_log(worker, CONCD_LOG_INFO, "bye");
	free(worker->state);
}

static int run_state(struct concd_task *task)
{
	return concd_result(task, task->worker->state, strlen(task->worker->state));
}

static void tasks_share_what_worker_init_made(void **state)
{
	const struct concd_plugin plugin = {
		CONCD_PLUGIN_HEADER, .run = run_state, .worker_init = init_state, .worker_exit = exit_state
	};
	struct rig rig;

	(void)state;
	open_rig_of(&rig, &plugin, 3);
	fake_ring_submit_many(rig.ring, JOB, 5, "");
	fake_ring_wait(rig.ring, 5);
	assert_string_equal(fake_ring_record(rig.ring, 0, 4).data, "session");
	close_rig(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_task_gets_its_own_result),
		cmocka_unit_test(a_large_input_is_copied_and_its_place_released),
		cmocka_unit_test(a_task_ends_as_its_plugin_says),
		cmocka_unit_test(what_a_task_did_does_not_cling_to_the_next),
		cmocka_unit_test(a_task_sees_its_parameters_and_number),
		cmocka_unit_test(log_lines_over_the_limit_are_counted),
		cmocka_unit_test(cancelling_ends_waits_of_begun_tasks_and_of_those_that_still_begin),
		cmocka_unit_test(cancelling_leaves_other_jobs_alone),
		cmocka_unit_test(a_task_over_its_time_limit_is_told),
		cmocka_unit_test(a_task_that_stays_beyond_its_grace_is_reported_once),
		cmocka_unit_test(stopping_finishes_what_is_begun_and_begins_nothing),
		cmocka_unit_test(what_is_taken_back_is_not_begun),
		cmocka_unit_test(a_runner_waits_for_a_job_that_it_does_not_know_yet),
		cmocka_unit_test(a_failed_worker_init_gives_its_last_words),
		cmocka_unit_test(tasks_share_what_worker_init_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
