/* base/log.c: what reaches standard error, and as how many writes. */
#include "unit.h"

#include <fcntl.h>

#include "base/log.h"

static int saved_stderr = -1;
static int pipe_fds[2] = { -1, -1 };

/* Standard error becomes a pipe of packets: each write stays apart. */
static int capture(void **state)
{
	(void)state;
	if (pipe2(pipe_fds, O_CLOEXEC | O_DIRECT | O_NONBLOCK) < 0)
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	return dup2(pipe_fds[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int release(void **state)
{
	(void)state;
	if (dup2(saved_stderr, STDERR_FILENO) < 0)
		return -1;
	(void)close(saved_stderr); /* descriptors of this test only */
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	log_open(LOG_LEVEL_INFO, LOG_TARGET_AUTO);
	return 0;
}

static void expect_write(const char *line)
{
	char text[8192];
	ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);

	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, line);
}

static void expect_nothing(void)
{
	char byte;

	assert_int_equal(read(pipe_fds[0], &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
}

static void test_each_line_is_one_write_and_names_its_severity(void **state)
{
	(void)state;
	log_open(LOG_LEVEL_DEBUG, LOG_TARGET_STDERR);
	log_error("store: %s", "full");
	expect_write("error: store: full\n");
	log_warning("w");
	expect_write("warning: w\n");
	log_info("crew: started %d", 7);
	expect_write("crew: started 7\n");
	log_debug("d");
	expect_write("debug: d\n");
	expect_nothing();
}

static void test_lines_below_the_level_are_not_written(void **state)
{
	(void)state;
	log_open(LOG_LEVEL_WARNING, LOG_TARGET_STDERR);
	log_info("quiet");
	log_debug("quiet");
	expect_nothing();
	log_warning("loud");
	expect_write("warning: loud\n");
}

static void test_a_stale_journal_variable_keeps_lines_on_standard_error(void **state)
{
	(void)state;
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	log_open(LOG_LEVEL_INFO, LOG_TARGET_AUTO);
	log_info("here");
	expect_write("here\n");
	assert_int_equal(setenv("JOURNAL_STREAM", "rubbish", 1), 0);
	log_open(LOG_LEVEL_INFO, LOG_TARGET_AUTO);
	log_info("here");
	expect_write("here\n");
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

static void test_an_endless_line_is_cut_and_ended(void **state)
{
	char text[10000], got[8192];
	ssize_t n, more;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_error("%s", text);
	n = read(pipe_fds[0], got, sizeof(got));
	assert_true(n > 1000 && n <= 4096);
	more = read(pipe_fds[0], got + n, sizeof(got) - (size_t)n); /* a packet holds at most PIPE_BUF */
	n += more > 0 ? more : 0;
	assert_int_equal(got[n - 1], '\n');
	assert_int_equal(got[n - 2], 'x');
}

static void test_words_for_levels_and_targets_are_exact(void **state)
{
	enum log_level level = LOG_LEVEL_DEBUG;
	enum log_target target = LOG_TARGET_AUTO;

	(void)state;
	assert_int_equal(log_level_parse("warning", &level), 0);
	assert_int_equal(level, LOG_LEVEL_WARNING);
	assert_int_equal(log_level_parse("Warning", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(log_target_parse("journal", &target), 0);
	assert_int_equal(target, LOG_TARGET_JOURNAL);
	assert_int_equal(log_target_parse("syslog", &target), -EINVAL);
	for (enum log_level l = LOG_LEVEL_ERROR; l <= LOG_LEVEL_DEBUG; l++) {
		assert_int_equal(log_level_parse(log_level_name(l), &level), 0);
		assert_int_equal(level, l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_line_is_one_write_and_names_its_severity, capture, release),
		cmocka_unit_test_setup_teardown(test_lines_below_the_level_are_not_written, capture, release),
		cmocka_unit_test_setup_teardown(test_a_stale_journal_variable_keeps_lines_on_standard_error, capture,
						release),
		cmocka_unit_test_setup_teardown(test_an_endless_line_is_cut_and_ended, capture, release),
		cmocka_unit_test(test_words_for_levels_and_targets_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
