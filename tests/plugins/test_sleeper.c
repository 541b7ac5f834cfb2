/* sleeper: durations, waiting, cancellation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <errno.h>

#include "harness.h"

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void it_sleeps_as_long_as_told_and_returns_its_input(void **state)
{
	static const struct {
		const char *input;
		double seconds;
	} cases[] = {
		{"0", 0}, {"0s", 0}, {"20ms", 0.02}, {"0.02", 0.02}, {"0.02s", 0.02}, {"20000us", 0.02}, {"20000000ns", 0.02},
	};
	struct harness *h = harness_open("plugins/sleeper");

	(void)state;
	assert_int_equal(harness_start(h), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct harness_task *t = harness_add(h, cases[i].input);
		double start = now_s();

		harness_run(h);
		assert_int_equal(t->returned, 0);
		assert_string_equal(t->result, cases[i].input);
		assert_true(now_s() - start >= cases[i].seconds - 0.001);
	}
	harness_close(h);
}

static void many_sleep_at_once(void **state)
{
	struct harness *h = harness_open("plugins/sleeper");
	double start = now_s();

	(void)state;
	assert_int_equal(harness_start(h), 0);
	for (int i = 0; i < 100; i++)
		harness_add(h, "100ms");
	harness_run(h);
	assert_true(now_s() - start < 5); /* one after another it would be 10 s */
	harness_close(h);
}

static void what_is_no_duration_is_refused(void **state)
{
	static const char *const inputs[] = {"",    "s",   "-1s", "+1",	 " 1s",	 "1 s", "1sec", "1S",
					     "1.", ".5s", "1.s", "0x1", "1e3", "nan", "99999999999999999999s",
					     "9223372037s", "106752d"};
	struct harness *h = harness_open("plugins/sleeper");

	(void)state;
	assert_int_equal(harness_start(h), 0);
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		struct harness_task *t = harness_add(h, inputs[i]);

		harness_run(h);
		assert_int_not_equal(t->returned, 0);
		assert_int_equal(t->why, CONCD_FAIL_INPUT);
		assert_non_null(strstr(t->failure, "is not a duration"));
	}
	harness_close(h);
}

static void a_cancelled_sleeper_wakes(void **state)
{
	struct harness *h = harness_open("plugins/sleeper");
	struct harness_task *t;

	(void)state;
	assert_int_equal(harness_start(h), 0);
	t = harness_add(h, "1h");
	assert_true(harness_turn(h, false));
	harness_cancel(t);
	harness_run(h);
	assert_int_equal(t->returned, -ECANCELED);
	harness_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_sleeps_as_long_as_told_and_returns_its_input),
		cmocka_unit_test(many_sleep_at_once),
		cmocka_unit_test(what_is_no_duration_is_refused),
		cmocka_unit_test(a_cancelled_sleeper_wakes),
	};

	return cmocka_run_group_tests_name("sleeper", tests, NULL, NULL);
}
