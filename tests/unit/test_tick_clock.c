/* The quick clock of a thread. */
#include "unit.h"

#include "measure/tick_clock.h"

#define WITHIN_NS (50 * NS_PER_US) /* promised is a microsecond; the machine may be any */

/* Read it for so long, between readings of the real clock. Returns how many readings had a tick's length to go by. */
static size_t compare(struct tick_clock *clock, int64_t ns, int64_t step_ns)
{
	int64_t end_ns = clock_mono_ns() + ns, before_ns, now_ns, last_ns = 0;
	size_t n = 0;

	do {
		before_ns = clock_mono_ns();
		now_ns = tick_clock_now(clock);
		assert_true(now_ns >= before_ns - WITHIN_NS);
		assert_true(now_ns <= clock_mono_ns() + WITHIN_NS);
		assert_true(now_ns >= last_ns - WITHIN_NS);
		last_ns = now_ns;
		n += clock->most_ticks > 0;
		while (clock_mono_ns() < before_ns + step_ns)
			;
	} while (before_ns < end_ns);
	return n;
}

static void it_says_what_the_real_clock_says(void **state)
{
	struct tick_clock clock;

	(void)state;
	tick_clock_open(&clock);
	(void)compare(&clock, 100 * NS_PER_MS, 0);
	(void)compare(&clock, 50 * NS_PER_MS, 3 * NS_PER_US);
	(void)compare(&clock, 50 * NS_PER_MS, 3 * NS_PER_MS); /* every anchor is too old */
	for (int64_t deadline_ns = clock_mono_ns() + 10 * NS_PER_S; clock.usable && compare(&clock, 10 * NS_PER_MS, 0) == 0;)
		assert_true(clock_mono_ns() < deadline_ns); /* a busy machine takes a while */
}

static void a_machine_without_the_counter_has_the_real_clock(void **state)
{
	struct tick_clock clock = { .usable = false };

	(void)state;
	assert_int_equal(compare(&clock, 50 * NS_PER_MS, 0), 0);
}

/* As after a sleep of the machine, or on another one. */
static void a_counter_that_disagrees_is_measured_anew_and_given_up_in_the_end(void **state)
{
	struct tick_clock clock;
	uint32_t disagreed = 0;

	(void)state;
	tick_clock_open(&clock);
	for (int i = 0; i < 20 && clock.usable; i++) {
		(void)compare(&clock, 12 * NS_PER_MS, 0);
		if (clock.most_ticks == 0)
			continue; /* switched out just then */
		disagreed = clock.disagreed;
		clock.anchor_ns -= NS_PER_S;
		clock.anchor_ticks -= 2 * clock.most_ticks; /* due */
		for (int64_t deadline_ns = clock_mono_ns() + 10 * NS_PER_S; clock.disagreed == disagreed;) {
			(void)tick_clock_now(&clock); /* more than once where it is switched out as it compares */
			assert_true(clock_mono_ns() < deadline_ns);
		}
		assert_int_equal(clock.disagreed, disagreed + 1);
		assert_true(clock.most_ticks == 0);
	}
	(void)compare(&clock, 20 * NS_PER_MS, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_the_real_clock_says),
		cmocka_unit_test(a_machine_without_the_counter_has_the_real_clock),
		cmocka_unit_test(a_counter_that_disagrees_is_measured_anew_and_given_up_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
