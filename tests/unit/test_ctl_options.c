/* ctl/options.c: command lines taken apart, and what a wrong one is told. */
#include "unit.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl/options.h"

static const struct option global[] = {
	{ "socket", 's', "SOCKET", "" }, { "json", 0, NULL, "" }, { "quiet", 'q', NULL, "" }, { NULL, 0, NULL, NULL },
};
static const struct option own[] = {
	{ "workers", 'j', "N", "" }, { "detach", 'd', NULL, "" }, { "param", 'p', "KEY=VALUE", "" },
	{ "timeout", 0, "DURATION", "" }, { NULL, 0, NULL, NULL },
};
static const struct option *const tables[] = { global, own };

#define WORDS(...) (const char *const[]){ __VA_ARGS__ }
#define PARSE(args, err, ...) \
	args_parse(args, (int)ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })), WORDS(__VA_ARGS__), tables, 2, err)

static void test_options_may_stand_anywhere_and_in_every_spelling(void **state)
{
	struct error err = ERROR_INIT;
	struct args args;

	(void)state;
	assert_int_equal(PARSE(&args, &err, "-qd", "run", "-j5", "a", "--param=x=1", "-p", "y=2", "-", "--json", "--",
			       "-z", "--json2"), 0);
	assert_int_equal(args.n_words, 5);
	assert_string_equal(args.words[0], "run");
	assert_string_equal(args.words[2], "-");
	assert_string_equal(args.words[3], "-z");
	assert_string_equal(args.words[4], "--json2");
	assert_true(args_flag(&args, "quiet") && args_flag(&args, "detach") && args_flag(&args, "json"));
	assert_string_equal(args_text(&args, "workers"), "5");
	assert_string_equal(args_text(&args, "param"), "y=2"); /* the last one */
	assert_int_equal(args.n_values, 6);
	assert_null(args_text(&args, "timeout"));
	args_fini(&args);
}

static void expect_refused(const char *word, const char *part)
{
	struct error err = ERROR_INIT;
	struct args args;

	assert_int_equal(PARSE(&args, &err, word), -EINVAL);
	assert_string_equal(err.code, "usage");
	if (!strstr(err.text, part))
		fail_msg("'%s' does not say '%s'", err.text, part);
	args_fini(&args);
}

static void test_a_wrong_option_is_named_with_what_was_meant(void **state)
{
	(void)state;
	expect_refused("--worker", "did you mean '--workers'");
	expect_refused("--zzzzzzzzz=3", "unknown option '--zzzzzzzzz'");
	expect_refused("-x", "unknown option '-x'");
	expect_refused("-5", "put '--' in front");
	expect_refused("-j", "-j N");
	expect_refused("--workers", "--workers N");
	expect_refused("--json=1", "takes no value");
	expect_refused("--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "unknown option");
}

static void test_the_command_is_found_behind_global_options(void **state)
{
	(void)state;
	assert_int_equal(args_first_word(3, WORDS("-s", "path", "run"), tables, 1), 2);
	assert_int_equal(args_first_word(2, WORDS("-spath", "run"), tables, 1), 1);
	assert_int_equal(args_first_word(2, WORDS("--socket=path", "run"), tables, 1), 1);
	assert_int_equal(args_first_word(3, WORDS("-qs", "path", "run"), tables, 1), 2);
	assert_int_equal(args_first_word(2, WORDS("--json", "run"), tables, 1), 1);
	assert_int_equal(args_first_word(2, WORDS("--", "run"), tables, 1), 1);
	assert_int_equal(args_first_word(1, WORDS("--socket"), tables, 1), 1);
	assert_int_equal(args_first_word(0, WORDS(NULL), tables, 1), 0);
}

static void test_a_wrong_value_is_told_with_its_option_and_an_example(void **state)
{
	struct error err = ERROR_INIT;
	struct args args;
	int64_t ns = 7;
	uint64_t count = 7;

	(void)state;
	assert_int_equal(PARSE(&args, &err, "--timeout", "10", "-j", "many"), 0);
	assert_int_equal(args_duration(&args, "timeout", &ns, &err), -EINVAL);
	assert_non_null(strstr(err.text, "--timeout"));
	assert_non_null(strstr(err.text, "'10'"));
	assert_non_null(strstr(err.text, "10s"));
	err = (struct error)ERROR_INIT;
	assert_int_equal(args_count(&args, "workers", 1, 100, &count, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'many'"));
	assert_true(ns == 7 && count == 7); /* untouched */
	args_fini(&args);
	assert_int_equal(PARSE(&args, &err, "--timeout=1.5s", "-j100"), 0);
	assert_int_equal(args_duration(&args, "timeout", &ns, &err), 0);
	assert_int_equal(args_count(&args, "workers", 1, 100, &count, &err), 0);
	assert_true(ns == 1500000000 && count == 100);
	args_fini(&args);
}

static void test_only_numbers_are_jobs(void **state)
{
	static const char *const bad[] = { "", "0", "x", "-1", "1x", "99999999999999999999" };
	uint64_t id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_job(bad[i], &id, NULL), -EINVAL);
	assert_int_equal(parse_job("18446744073709551615", &id, NULL), 0);
	assert_true(id == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_may_stand_anywhere_and_in_every_spelling),
		cmocka_unit_test(test_a_wrong_option_is_named_with_what_was_meant),
		cmocka_unit_test(test_the_command_is_found_behind_global_options),
		cmocka_unit_test(test_a_wrong_value_is_told_with_its_option_and_an_example),
		cmocka_unit_test(test_only_numbers_are_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
