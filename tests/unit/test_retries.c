/* The heap of waiting tasks, and how long they wait. */
#include "unit.h"

#include "jobs/retries.h"

#define S INT64_C(1000000000)

static void tasks_come_out_in_the_order_in_which_they_are_due(void **state)
{
	struct retries r = { .at = NULL };
	uint64_t x = 1;
	int64_t last = -1;

	(void)state;
	for (uint64_t i = 0; i < 10000; i++) {
		x = x * UINT64_C(6364136223846793005) + 1;
		assert_int_equal(retries_push(&r, (int64_t)(x >> 40), i), 0);
		if (i % 3 == 0)
			(void)retries_pop(&r);
	}
	while (r.n > 0) {
		struct retry first = retries_pop(&r);

		assert_true(first.due_ns >= last);
		last = first.due_ns;
	}
	retries_fini(&r);
}

static void the_delay_doubles_up_to_its_bounds(void **state)
{
	(void)state;
	assert_int_equal(retry_delay_ns(S, 1, -1, 0), S);
	assert_int_equal(retry_delay_ns(S, 2, -1, 0), 2 * S);
	assert_int_equal(retry_delay_ns(S, 7, -1, 0), 64 * S);
	assert_int_equal(retry_delay_ns(S, 1000, -1, 0), 64 * S);
	assert_int_equal(retry_delay_ns(10 * S, 7, -1, 0), RETRY_MAX_NS);
	assert_int_equal(retry_delay_ns(86400 * S, 7, -1, 0), 86400 * S);
	assert_int_equal(retry_delay_ns(0, 5, -1, UINT32_MAX), 0);
}

static void up_to_half_of_the_delay_is_added_by_chance(void **state)
{
	(void)state;
	assert_int_equal(retry_delay_ns(2 * S, 1, -1, UINT32_MAX), 3 * S);
	assert_in_range(retry_delay_ns(2 * S, 1, -1, UINT32_MAX / 2), 2 * S, 3 * S);
}

static void what_the_plugin_asks_for_is_the_least(void **state)
{
	(void)state;
	assert_int_equal(retry_delay_ns(S, 1, 5 * S, 0), 5 * S);
	assert_int_equal(retry_delay_ns(S, 4, 5 * S, 0), 8 * S);
	assert_int_equal(retry_delay_ns(S, 1, INT64_MAX, 0), 86400 * S);
}

static void what_is_removed_is_not_due_and_the_rest_keeps_its_order(void **state)
{
	struct retries r = { .at = NULL };
	int64_t last = -1;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(retries_push(&r, (int64_t)(i * 7919 % 1000), i), 0);
	assert_int_equal(retries_remove(&r, 100, 350), 250);
	assert_int_equal(retries_remove(&r, 100, 350), 0);
	assert_int_equal(r.n, 750);
	while (r.n > 0) {
		struct retry retry = retries_pop(&r);

		assert_true(retry.due_ns > last && (retry.task < 100 || retry.task >= 350));
		last = retry.due_ns;
	}
	retries_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tasks_come_out_in_the_order_in_which_they_are_due),
		cmocka_unit_test(the_delay_doubles_up_to_its_bounds),
		cmocka_unit_test(up_to_half_of_the_delay_is_added_by_chance),
		cmocka_unit_test(what_the_plugin_asks_for_is_the_least),
		cmocka_unit_test(what_is_removed_is_not_due_and_the_rest_keeps_its_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
