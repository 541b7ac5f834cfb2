/* The runner: dividing inputs. On a ring of plain arrays, with tiny plugins. */
#include "runner_rig.h"

#include "base/buffer.h"
#include "ring/step.h"

#define TASK 40

/* Input "N": so many parts "0" ... */
static int split(struct concd_task *task)
{
	size_t len;
	long n = strtol(concd_input(task, &len), NULL, 10);
	char text[24];
	int r = 0;

	if (concd_part_count(task) != 0)
		return -EINVAL;
	for (long i = 0; i < n && r == 0; i++) {
		(void)snprintf(text, sizeof(text), "%ld", i);
		r = concd_part_add(task, text, strlen(text));
	}
	return r;
}

/* One part of the input's length, whatever comes of it. */
static int split_blindly(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len);

	(void)concd_part_add(task, input, len);
	return 0;
}

static int split_and_fail(struct concd_task *task)
{
	(void)concd_part_add(task, "x", 1);
	return concd_fail(task, CONCD_FAIL_INPUT, "not today");
}

static int run(struct concd_task *task)
{
	return concd_part_add(task, "x", 1) == -EPERM ? concd_result(task, "whole", 5) : -EINVAL;
}

static int run_part(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len);

	if (concd_index(task) != TASK || concd_part_add(task, "x", 1) != -EPERM)
		return -EINVAL;
	return concd_result(task, input, len);
}

static int combine(struct concd_task *task)
{
	char text[64] = "";
	size_t len, used = 0;

	(void)concd_input(task, &len);
	if (len != 0 || concd_index(task) != TASK || concd_part_add(task, "x", 1) != -EPERM)
		return -EINVAL;
	for (uint64_t i = 0; i < concd_part_count(task); i++) {
		const char *result = concd_part_result(task, i, &len);

		used += (size_t)snprintf(text + used, sizeof(text) - used, "<%.*s>", (int)len, result);
	}
	if (concd_part_result(task, concd_part_count(task), &len) != NULL || len != 0)
		return -EINVAL;
	return concd_result(task, text, used);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "steps", .version = "1", .summary = "test",
	.run = run, .split = split, .run_part = run_part, .combine = combine,
};

/* Run one task, or a step of it, and give back what was recorded. */
static struct fake_record run_one(const struct concd_plugin *of, uint64_t number, const char *input)
{
	struct fake_record record;
	struct rig rig;

	open_rig_of(&rig, of, 1);
	fake_ring_submit(rig.ring, JOB, number, 1, &input);
	fake_ring_wait(rig.ring, 1);
	record = fake_ring_record(rig.ring, 0, 0);
	close_rig(&rig);
	return record;
}

static void an_input_that_is_divided_ends_in_its_parts(void **state)
{
	struct fake_record record = run_one(&plugin, TASK, "3");

	(void)state;
	assert_int_equal(record.status, RING_SPLIT);
	assert_int_equal(record.len, 6);
	assert_memory_equal(record.data, "\x01" "0" "\x01" "1" "\x01" "2", 6);
}

static void one_that_is_not_runs_at_once_as_a_whole(void **state)
{
	struct fake_record record = run_one(&plugin, TASK, "0");

	(void)state;
	assert_int_equal(record.status, RING_DONE);
	assert_string_equal(record.data, "whole");
}

static void a_task_behind_one_that_was_divided_is_done_again(void **state)
{
	static const char *const inputs[] = { "2", "0", "1", "0" };
	static const uint8_t wanted[] = { RING_SPLIT, RING_DONE, RING_SPLIT, RING_DONE };
	struct rig rig;

	(void)state;
	open_rig_of(&rig, &plugin, 1);
	fake_ring_submit(rig.ring, JOB, TASK, 4, inputs);
	fake_ring_wait(rig.ring, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(fake_ring_record(rig.ring, 0, i).status, wanted[i]);
	close_rig(&rig);
}

static void parts_and_combining_see_their_task_and_are_not_divided(void **state)
{
	struct concd_plugin whole = plugin;
	struct fake_record record = run_one(&plugin, step_number(TASK, STEP_FIRST_PART + 5), "5");

	(void)state;
	assert_int_equal(record.status, RING_DONE);
	assert_string_equal(record.data, "5");
	record = run_one(&plugin, step_number(TASK, STEP_COMBINE), "\x01" "a" "\x02" "bc" "\x01" "d");
	assert_int_equal(record.status, RING_DONE);
	assert_string_equal(record.data, "<a><bc><d>");
	whole.run_part = NULL; /* then run serves parts */
	record = run_one(&whole, step_number(TASK, STEP_FIRST_PART), "5");
	assert_string_equal(record.data, "whole");
}

static void what_does_not_fit_fails_the_task_whatever_split_returns(void **state)
{
	struct concd_plugin blind = plugin;
	struct fake_record record;
	char *big = malloc(MAX_RESULT + 1);

	(void)state;
	assert_non_null(big);
	memset(big, 'x', MAX_RESULT);
	big[MAX_RESULT] = '\0';
	blind.split = split_blindly;
	record = run_one(&blind, TASK, big);
	assert_int_equal(record.status, RING_TOO_LARGE);
	assert_non_null(strstr(record.data, "more than 100000 bytes together"));
	free(big);
	record = run_one(&plugin, TASK, "65537");
	assert_int_equal(record.status, RING_TOO_LARGE);
	assert_non_null(strstr(record.data, "more than"));
	blind.split = split_and_fail;
	record = run_one(&blind, TASK, "1");
	assert_int_equal(record.status, RING_FAILED_INPUT);
	assert_string_equal(record.data, "not today");
}

static void steps_make_no_sense_to_a_plugin_that_divides_nothing(void **state)
{
	struct concd_plugin none = plugin;
	struct fake_record record;

	(void)state;
	none.split = none.run_part = none.combine = NULL;
	record = run_one(&none, step_number(TASK, STEP_FIRST_PART), "5");
	assert_int_equal(record.status, RING_FAILED);
	assert_string_equal(record.data, "the plugin does not divide inputs any more");
	record = run_one(&none, TASK, "5");
	assert_string_equal(record.data, "whole");
}

static void results_that_are_no_packed_run_are_refused(void **state)
{
	struct fake_record record = run_one(&plugin, step_number(TASK, STEP_COMBINE), "\x01" "a" "\x7f");

	(void)state;
	assert_int_equal(record.status, RING_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_input_that_is_divided_ends_in_its_parts),
		cmocka_unit_test(one_that_is_not_runs_at_once_as_a_whole),
		cmocka_unit_test(a_task_behind_one_that_was_divided_is_done_again),
		cmocka_unit_test(parts_and_combining_see_their_task_and_are_not_divided),
		cmocka_unit_test(what_does_not_fit_fails_the_task_whatever_split_returns),
		cmocka_unit_test(steps_make_no_sense_to_a_plugin_that_divides_nothing),
		cmocka_unit_test(results_that_are_no_packed_run_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
