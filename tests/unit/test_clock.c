/* base/clock.c: dates as text, and clocks that go forward. */
#include "unit.h"

#include "base/clock.h"

static void test_dates_are_rfc_3339_in_utc_with_milliseconds(void **state)
{
	char text[CLOCK_TEXT_BYTES];

	(void)state;
	clock_format_unix_us(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_format_unix_us(INT64_C(1795253400125999), text);
	assert_string_equal(text, "2026-11-21T09:30:00.125Z");
	clock_format_unix_us(INT64_C(1709164800000000), text);
	assert_string_equal(text, "2024-02-29T00:00:00.000Z");
}

static void test_every_date_is_that_of_the_library(void **state)
{
	(void)state;
	/* days of four centuries, and steps to the end of what four digits hold and beyond */
	for (int64_t s = 0; s < INT64_C(260000000000); s += s < INT64_C(13000000000) ? 86399 : 7776001) {
		char text[CLOCK_TEXT_BYTES], want[CLOCK_TEXT_BYTES];
		time_t seconds = (time_t)s;
		struct tm tm;

		clock_format_unix_us(s * 1000000 + 7999, text);
		assert_non_null(gmtime_r(&seconds, &tm));
		assert_true(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.007Z", &tm) > 0);
		assert_string_equal(text, want);
	}
}

static void test_a_clock_before_1970_still_gives_a_date(void **state)
{
	char text[CLOCK_TEXT_BYTES];

	(void)state;
	clock_format_unix_us(-500000, text);
	assert_string_equal(text, "1969-12-31T23:59:59.500Z");
}

static void test_the_zone_of_the_process_changes_nothing(void **state)
{
	char text[CLOCK_TEXT_BYTES];

	(void)state;
	assert_int_equal(setenv("TZ", "America/New_York", 1), 0);
	tzset();
	clock_format_unix_us(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	assert_int_equal(unsetenv("TZ"), 0);
	tzset();
}

static void test_the_monotonic_clock_does_not_go_back(void **state)
{
	int64_t last = clock_mono_ns();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_mono_ns();

		assert_true(now >= last);
		last = now;
	}
	assert_true(clock_unix_us() > INT64_C(1600000000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates_are_rfc_3339_in_utc_with_milliseconds),
		cmocka_unit_test(test_every_date_is_that_of_the_library),
		cmocka_unit_test(test_a_clock_before_1970_still_gives_a_date),
		cmocka_unit_test(test_the_zone_of_the_process_changes_nothing),
		cmocka_unit_test(test_the_monotonic_clock_does_not_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
