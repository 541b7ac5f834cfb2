/* Dates for which somebody waits. The time is the test's. */
#include "unit.h"

#include "jobs/dates.h"

#define N 2000
#define DAY (INT64_C(86400) * 1000000)

static uint64_t next(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + 1;
	return *x >> 33;
}

static void dates_come_in_their_order_whatever_was_moved_or_left(void **state)
{
	static struct date date[N];
	struct dates dates = { .at = NULL };
	const struct date *first;
	size_t in = 0, out = 0;
	uint64_t x = 1;
	int64_t last = 0;

	(void)state;
	for (size_t i = 0; i < 3 * N; i++) {
		struct date *d = &date[next(&x) % N];

		if (next(&x) % 4 == 0)
			dates_remove(&dates, d);
		else
			assert_int_equal(dates_put(&dates, d, (int64_t)(1 + next(&x) % 100000)), 0);
	}
	for (size_t i = 0; i < N; i++)
		in += date[i].place > 0;
	assert_int_equal(in, dates.n);
	while ((first = dates_take_due(&dates, INT64_MAX))) {
		assert_true(first->unix_us >= last);
		assert_int_equal(first->place, 0);
		last = first->unix_us;
		out++;
	}
	assert_int_equal(out, in);
	assert_int_equal(dates_first(&dates), 0);
	dates_fini(&dates);
}

static void nothing_comes_before_its_time_and_all_of_it_after_a_step(void **state)
{
	struct dates dates = { .at = NULL };
	struct date a = { .place = 0 }, b = { .place = 0 };
	const int64_t now = 20000 * DAY;

	(void)state;
	assert_int_equal(dates_put(&dates, &a, now + DAY), 0);
	assert_int_equal(dates_put(&dates, &b, now + 2 * DAY), 0);
	assert_int_equal(dates_first(&dates), now + DAY);
	assert_null(dates_take_due(&dates, now));
	assert_null(dates_take_due(&dates, 0)); /* a clock that was never set */
	assert_null(dates_take_due(&dates, now + DAY - 1));
	assert_ptr_equal(dates_take_due(&dates, now + 3 * DAY), &a);
	assert_ptr_equal(dates_take_due(&dates, now + 3 * DAY), &b);
	assert_null(dates_take_due(&dates, now + 3 * DAY));
	dates_remove(&dates, &a); /* fine on one that is in none */
	dates_fini(&dates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_come_in_their_order_whatever_was_moved_or_left),
		cmocka_unit_test(nothing_comes_before_its_time_and_all_of_it_after_a_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
