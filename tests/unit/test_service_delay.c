/* How long a service that failed stays down. */
#include "unit.h"

#include "jobs/retries.h"
#include "jobs/service_delay.h"

#define MS INT64_C(1000000)
#define S (1000 * MS)

static void quick_failures_are_counted_and_a_steady_run_forgets_them(void **state)
{
	uint32_t n = 0;

	(void)state;
	for (uint32_t i = 1; i <= 10; i++) {
		n = service_failures(n, SERVICE_STEADY_NS - 1);
		assert_int_equal(n, i);
	}
	assert_int_equal(service_failures(n, SERVICE_STEADY_NS), 1);
	assert_int_equal(service_failures(UINT32_MAX, 0), UINT32_MAX);
	assert_int_equal(service_failures(0, INT64_MAX), 1);
}

static void the_delay_doubles_and_then_stands_at_its_limit(void **state)
{
	(void)state;
	assert_int_equal(service_delay_ns(S, 1, -1, 0), S);
	assert_int_equal(service_delay_ns(S, 2, -1, 0), 2 * S);
	assert_int_equal(service_delay_ns(S, 5, -1, 0), 16 * S);
	assert_int_equal(service_delay_ns(S, 6, -1, 0), 64 * S);
	assert_int_equal(service_delay_ns(S, UINT32_MAX, -1, 0), 64 * S);
	assert_int_equal(service_delay_ns(30 * S, 9, -1, 0), RETRY_MAX_NS);
}

static void no_back_off_is_so_short_that_it_makes_a_busy_loop(void **state)
{
	(void)state;
	assert_int_equal(service_delay_ns(0, 1, -1, 0), SERVICE_BACKOFF_MIN_NS);
	assert_int_equal(service_delay_ns(MS, 2, -1, 0), 2 * SERVICE_BACKOFF_MIN_NS);
}

static void jitter_adds_up_to_half_and_the_plugins_wish_is_the_least(void **state)
{
	(void)state;
	assert_int_equal(service_delay_ns(S, 1, -1, UINT32_MAX), S + S / 2);
	assert_int_equal(service_delay_ns(S, 1, 10 * S, 0), 10 * S);
	assert_int_equal(service_delay_ns(S, 6, 10 * S, 0), 64 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quick_failures_are_counted_and_a_steady_run_forgets_them),
		cmocka_unit_test(the_delay_doubles_and_then_stands_at_its_limit),
		cmocka_unit_test(no_back_off_is_so_short_that_it_makes_a_busy_loop),
		cmocka_unit_test(jitter_adds_up_to_half_and_the_plugins_wish_is_the_least),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
