/* base/text.c: what people write for numbers, durations and sizes, and "did you mean". */
#include "unit.h"

#include "base/cleanup.h"
#include "base/text.h"

static void test_only_whole_decimal_numbers_are_taken(void **state)
{
	static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "0x10", "1e3", "1.0", "one", "1\n" };
	uint64_t value = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(text_parse_u64(bad[i], &value), -EINVAL);
	assert_int_equal(value, 42); /* untouched on failure */
	assert_int_equal(text_parse_u64("0", &value), 0);
	assert_true(value == 0);
	assert_int_equal(text_parse_u64("18446744073709551615", &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(text_parse_u64("18446744073709551616", &value), -ERANGE);
	assert_int_equal(text_parse_u64("99999999999999999999999", &value), -ERANGE);
}

static void lists_of_numbers_are_taken_whole_or_not_at_all(void **state)
{
	uint64_t values[3];

	(void)state;
	assert_int_equal(text_parse_u64_list("7", values, 3), 1);
	assert_int_equal(values[0], 7);
	assert_int_equal(text_parse_u64_list("18446744073709551615,0,3", values, 3), 3);
	assert_true(values[0] == UINT64_MAX && values[1] == 0 && values[2] == 3);
	assert_int_equal(text_parse_u64_list("1,2,3", NULL, 3), 3);
	assert_int_equal(text_parse_u64_list("1,2,3,4", values, 3), -E2BIG);
	assert_int_equal(text_parse_u64_list("18446744073709551616", values, 3), -ERANGE);
	assert_int_equal(text_parse_u64_list("1,000000000000000000000000000000000000", values, 3), -ERANGE);
	assert_int_equal(text_parse_u64_list("", values, 3), -EINVAL);
	assert_int_equal(text_parse_u64_list("1,", values, 3), -EINVAL);
	assert_int_equal(text_parse_u64_list(",1", values, 3), -EINVAL);
	assert_int_equal(text_parse_u64_list("1 2", values, 3), -EINVAL);
}

static void test_signed_numbers_reach_both_ends_of_64_bits(void **state)
{
	int64_t value = 0;

	(void)state;
	assert_int_equal(text_parse_i64("-9223372036854775808", &value), 0);
	assert_true(value == INT64_MIN);
	assert_int_equal(text_parse_i64("9223372036854775807", &value), 0);
	assert_true(value == INT64_MAX);
	assert_int_equal(text_parse_i64("9223372036854775808", &value), -ERANGE);
	assert_int_equal(text_parse_i64("-9223372036854775809", &value), -ERANGE);
	assert_int_equal(text_parse_i64("--1", &value), -EINVAL);
	assert_int_equal(text_parse_i64("-", &value), -EINVAL);
}

static void test_numbers_are_written_as_they_are_read(void **state)
{
	static const uint64_t values[] = { 0, 9, 10, 99, 100, 99999999, 100000000, 1234567890, INT64_MAX, UINT64_MAX };
	char text[TEXT_NUMBER_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		uint64_t value = 1;

		assert_int_equal(text_parse_u64(text_u64(values[i], text), &value), 0);
		assert_true(value == values[i]);
	}
	assert_string_equal(text_u64(UINT64_MAX, text), "18446744073709551615");
	assert_string_equal(text_i64(INT64_MIN, text), "-9223372036854775808");
	assert_string_equal(text_i64(INT64_MAX, text), "9223372036854775807");
	assert_string_equal(text_i64(-1, text), "-1");
	assert_string_equal(text_i64(0, text), "0");
}

static void test_numbers_with_a_point_are_finite_and_need_no_locale(void **state)
{
	static const char *const bad[] = { "", ".", "1,5", "nan", "inf", "1e", "e5", "1.5x", "0x1p3" };
	double value = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_not_equal(text_parse_double(bad[i], &value), 0);
	assert_true(value == 42);
	assert_int_equal(text_parse_double("-1.5e3", &value), 0);
	assert_true(value == -1500);
	assert_int_equal(text_parse_double("1e+2", &value), 0);
	assert_true(value == 100);
	assert_int_equal(text_parse_double("1e999", &value), -ERANGE);
}

static void test_truth_has_eight_words(void **state)
{
	bool value = false;

	(void)state;
	assert_int_equal(text_parse_bool("yes", &value), 0);
	assert_true(value);
	assert_int_equal(text_parse_bool("off", &value), 0);
	assert_false(value);
	assert_int_equal(text_parse_bool("TRUE", &value), -EINVAL);
	assert_int_equal(text_parse_bool("", &value), -EINVAL);
}

static void test_durations_have_a_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = { { "0", 0 },
		     { "500ms", 500000000 },
		     { "10s", 10000000000 },
		     { "2m", 120000000000 },
		     { "1.5h", 5400000000000 },
		     { "1d", 86400000000000 },
		     { "3us", 3000 },
		     { "7ns", 7 } };
	static const char *const bad[] = { "", "5", "5 s", "s", "-5s", "5S", "5sec", "1e3s", "5ss", "." };
	int64_t ns = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(text_parse_duration(bad[i], &ns), -EINVAL);
	assert_true(ns == 42);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(text_parse_duration(good[i].text, &ns), 0);
		assert_true(ns == good[i].ns);
	}
	assert_int_equal(text_parse_duration("99999999999d", &ns), -ERANGE);
}

static void test_sizes_count_in_steps_of_1024(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = { { "0", 0 },	  { "4096", 4096 },	  { "64K", 65536 },
		     { "1.5M", 1572864 }, { "2GiB", 2147483648 }, { "1T", 1099511627776 },
		     { "512B", 512 },	  { "3MB", 3145728 } };
	static const char *const bad[] = { "", "K", "-1", "1 K", "64k", "1P", "1KK", "0x10" };
	uint64_t bytes = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(text_parse_size(bad[i], &bytes), -EINVAL);
	assert_true(bytes == 42);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(text_parse_size(good[i].text, &bytes), 0);
		assert_true(bytes == good[i].bytes);
	}
	assert_int_equal(text_parse_size("99999999999T", &bytes), -ERANGE);
}

static void test_people_read_durations_and_sizes_in_fitting_units(void **state)
{
	char text[TEXT_DURATION_BYTES];

	(void)state;
	text_format_duration(812, text);
	assert_string_equal(text, "812 ns");
	text_format_duration(812000, text);
	assert_string_equal(text, "812 us");
	text_format_duration(1250000000, text);
	assert_string_equal(text, "1.25 s");
	text_format_duration(200 * INT64_C(1000000000), text);
	assert_string_equal(text, "3 m 20 s");
	text_format_duration(3700 * INT64_C(1000000000), text);
	assert_string_equal(text, "1 h 1 m");
	text_format_duration(INT64_MAX, text);
	assert_true(strlen(text) < sizeof(text));
	text_format_size(512, text);
	assert_string_equal(text, "512 B");
	text_format_size(1536 * 1024, text);
	assert_string_equal(text, "1.5 MiB");
	text_format_size(UINT64_MAX, text);
	assert_true(strlen(text) < sizeof(text));
}

static const char *word_at(const void *words, size_t i)
{
	return ((const char *const *)words)[i];
}

static void test_a_slip_finds_the_word_that_was_meant(void **state)
{
	static const char *const words[] = { "workers", "model", "grace", "params" };
	char long_word[200];

	(void)state;
	assert_string_equal(text_nearest("wrokers", words, 4, word_at), "workers");
	assert_string_equal(text_nearest("modle", words, 4, word_at), "model");
	assert_string_equal(text_nearest("graces", words, 4, word_at), "grace");
	assert_string_equal(text_nearest("parms", words, 4, word_at), "params");
	assert_null(text_nearest("banana", words, 4, word_at));
	assert_string_equal(text_nearest("wor", words, 4, word_at), "workers");
	assert_string_equal(text_nearest("param", words, 4, word_at), "params");
	assert_null(text_nearest("pa", words, 4, word_at));
	assert_null(text_nearest("model", words, 0, word_at));
	memset(long_word, 'a', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = '\0';
	assert_null(text_nearest(long_word, words, 4, word_at));
}

static void test_broken_utf8_is_recognised(void **state)
{
	static const char *const good[] = {
		"", "abc", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"
	};
	static const char *const bad[] = { "\xff",
					   "\xc3",
					   "\xc0\x80",
					   "\xe0\x80\x80",
					   "\xed\xa0\x80",
					   "\xf4\x90\x80\x80",
					   "\xf8\x88\x80\x80\x80",
					   "\x80",
					   "a\xe2\x82" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(text_is_utf8(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(text_is_utf8(bad[i], strlen(bad[i])));
	assert_true(text_is_utf8("a\0b", 3));
}

static void test_a_json_string_escapes_what_it_must_and_nothing_else(void **state)
{
	static const char text[] = "a\"b\\c\n\r\t\x01\x1f/gr\xc3\xbc";
	static const char wanted[] = "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f/gr\xc3\xbc\"";
	uint8_t json[6 * sizeof(text) + 2];
	uint8_t *end = text_put_json(json, (const uint8_t *)text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(end - json, sizeof(wanted) - 1);
	assert_memory_equal(json, wanted, sizeof(wanted) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_numbers_are_taken_whole_or_not_at_all),
		cmocka_unit_test(test_only_whole_decimal_numbers_are_taken),
		cmocka_unit_test(test_signed_numbers_reach_both_ends_of_64_bits),
		cmocka_unit_test(test_numbers_are_written_as_they_are_read),
		cmocka_unit_test(test_numbers_with_a_point_are_finite_and_need_no_locale),
		cmocka_unit_test(test_truth_has_eight_words),
		cmocka_unit_test(test_durations_have_a_unit),
		cmocka_unit_test(test_sizes_count_in_steps_of_1024),
		cmocka_unit_test(test_people_read_durations_and_sizes_in_fitting_units),
		cmocka_unit_test(test_a_slip_finds_the_word_that_was_meant),
		cmocka_unit_test(test_broken_utf8_is_recognised),
		cmocka_unit_test(test_a_json_string_escapes_what_it_must_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
