/* The heap of time limits. */
#include "unit.h"

#include "worker/timers.h"

static uint32_t live_number[64];

static bool is_live(const void *ctx, const struct timer *timer)
{
	(void)ctx;
	return live_number[timer->slot] == timer->number;
}

static void timers_come_out_in_order_of_time(void **state)
{
	struct timers timers;
	struct timer timer;
	int64_t last = 0;
	uint32_t seed = 1, n = 0;

	(void)state;
	memset(live_number, 0, sizeof(live_number));
	timers_init(&timers, is_live, NULL);
	assert_int_equal(timers_next_ns(&timers), INT64_MAX);
	for (int i = 0; i < 5000; i++) {
		seed = seed * 1103515245u + 12345u;
		timer = (struct timer){ .at_ns = (int64_t)(seed >> 8), .slot = 0, .number = 0 };
		assert_int_equal(timers_add(&timers, &timer), 0);
	}
	while (timers_pop(&timers, INT64_MAX - 1, &timer)) {
		assert_true(timer.at_ns >= last);
		last = timer.at_ns;
		n++;
	}
	assert_int_equal(n, 5000);
	timers_fini(&timers);
}

static void only_what_is_due_comes_out(void **state)
{
	struct timer timer = { .at_ns = 100 };
	struct timers timers;

	(void)state;
	memset(live_number, 0, sizeof(live_number));
	timers_init(&timers, is_live, NULL);
	timers_add(&timers, &timer);
	assert_false(timers_pop(&timers, 99, &timer));
	assert_int_equal(timers_next_ns(&timers), 100);
	assert_true(timers_pop(&timers, 100, &timer));
	assert_false(timers_pop(&timers, 100, &timer));
	timers_fini(&timers);
}

static void waits_that_ended_early_do_not_pile_up(void **state)
{
	struct timers timers;
	struct timer timer;

	(void)state;
	memset(live_number, 0, sizeof(live_number));
	timers_init(&timers, is_live, NULL);
	for (uint32_t i = 0; i < 100000; i++) {
		uint32_t slot = i % 64;

		timer = (struct timer){ .at_ns = 1000000 + (int64_t)i, .slot = slot, .number = ++live_number[slot] };
		assert_int_equal(timers_add(&timers, &timer), 0);
	}
	assert_true(timers.n < 1000);
	for (int i = 0; i < 64; i++)
		assert_true(timers_pop(&timers, INT64_MAX - 1, &timer));
	assert_false(timers_pop(&timers, INT64_MAX - 1, &timer));
	timers_fini(&timers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_come_out_in_order_of_time),
		cmocka_unit_test(only_what_is_due_comes_out),
		cmocka_unit_test(waits_that_ended_early_do_not_pile_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
