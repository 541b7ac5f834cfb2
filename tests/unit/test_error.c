/* base/error.c: the first reason wins, and context goes in front. */
#include "unit.h"

#include "base/error.h"

static void test_the_first_error_wins(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_set(&err, -EINVAL, "first", "number %d", 1), -EINVAL);
	assert_int_equal(error_set(&err, -EIO, "second", "number %d", 2), -EIO);
	assert_string_equal(err.code, "first");
	assert_string_equal(err.text, "number 1");
}

static void test_context_goes_in_front(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_prefix(&err, "nothing yet");
	assert_string_equal(err.text, "");
	(void)error_set(&err, -EINVAL, "code", "reason");
	error_prefix(&err, "task %d", 7);
	error_prefix(&err, "job");
	assert_string_equal(err.text, "job: task 7: reason");
}

static void test_a_caller_without_interest_passes_null(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, -EPERM, "code", "%s", "text"), -EPERM);
	error_prefix(NULL, "context");
}

static void test_a_long_reason_is_cut_and_ended(void **state)
{
	struct error err = ERROR_INIT;
	char text[3 * ERROR_TEXT_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)error_set(&err, -EINVAL, "code", "%s", text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
	error_prefix(&err, "short");
	assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
	assert_memory_equal(err.text, "short: x", 8);
	error_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_error_wins),
		cmocka_unit_test(test_context_goes_in_front),
		cmocka_unit_test(test_a_caller_without_interest_passes_null),
		cmocka_unit_test(test_a_long_reason_is_cut_and_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
