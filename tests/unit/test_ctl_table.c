/* ctl/table.c and ctl/progress.c: what people see. */
#include "unit.h"

#include <jansson.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/progress.h"
#include "ctl/table.h"

static const struct table_column columns[] = { { "NAME", false }, { "N", true }, { "NOTE", false }, { NULL, false } };

static char *printed(const struct table *table, bool color)
{
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	assert_non_null(file);
	assert_int_equal(table_print(table, file, color), 0);
	assert_int_equal(fclose(file), 0);
	return text;
}

static void test_columns_line_up_and_the_last_is_not_padded(void **state)
{
	_cleanup_table_ struct table table;
	_cleanup_free_ char *text = NULL;

	(void)state;
	table_init(&table, columns);
	table_add(&table, "a");
	table_printf(&table, "%d", 12345);
	table_add(&table, "x");
	table_add(&table, "longer");
	table_add(&table, "6");
	table_add(&table, "");
	text = printed(&table, false);
	assert_string_equal(text, "NAME        N  NOTE\na       12345  x\nlonger      6  \n");
}

static void test_characters_are_counted_not_bytes(void **state)
{
	_cleanup_table_ struct table table;
	_cleanup_free_ char *text = NULL;

	(void)state;
	table_init(&table, columns);
	table_add(&table, "\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac" "5"); /* five characters */
	table_add(&table, "1");
	table_add(&table, "x");
	text = printed(&table, false);
	assert_string_equal(text, "NAME   N  NOTE\n\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac" "5  1  x\n");
}

static void test_control_characters_never_reach_the_terminal(void **state)
{
	_cleanup_table_ struct table table;
	_cleanup_free_ char *text = NULL, *cut = text_clean("\xc3\xa4\xc3\xb6\xc3\xbc", 3);

	(void)state;
	table_init(&table, columns);
	table_add(&table, "a\033[2Jb\nc\177");
	table_add(&table, "1");
	table_add(&table, "running");
	text = printed(&table, true);
	assert_non_null(strstr(text, "a?[2Jb?c?"));
	assert_non_null(strstr(text, "\033[36mrunning\033[0m"));
	assert_string_equal(cut, "\xc3\xa4..."); /* not in the middle of a character */
}

static void test_the_progress_line_says_how_far_how_fast_and_how_long(void **state)
{
	json_t *first = json_pack("{s:i,s:i,s:i,s:i}", "total", 100, "done", 0, "failed", 0, "running", 2);
	json_t *later = json_pack("{s:i,s:i,s:i,s:i}", "total", 100, "done", 48, "failed", 2, "running", 2);
	json_t *open = json_pack("{s:n,s:i}", "total", "done", 7);
	char line[PROGRESS_LINE_BYTES];
	struct progress p;

	(void)state;
	progress_init(&p, false);
	progress_format(&p, first, 5 * NS_PER_S, 80, line);
	assert_string_equal(line, "0/100");
	progress_format(&p, later, 7 * NS_PER_S, 80, line);
	assert_string_equal(line, "50/100, 25/s, 2 failed, 2.0 s left");
	progress_format(&p, later, 7 * NS_PER_S, 11, line);
	assert_string_equal(line, "50/100, 25"); /* a line that wraps could not be erased */
	progress_init(&p, false);
	progress_format(&p, open, NS_PER_S, 80, line);
	assert_string_equal(line, "7"); /* nobody knows yet how many there will be */
	json_decref(first);
	json_decref(later);
	json_decref(open);
}

static void expect_summary(json_t *end, const char *reason, const char *want)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	summary_print(file, end, reason);
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, want);
	json_decref(end);
}

static void test_the_summary_says_what_became_of_the_job(void **state)
{
	(void)state;
	expect_summary(json_pack("{s:s,s:s,s:s,s:s,s:f,s:f,s:{s:i,s:i}}", "job", "7", "state", "done", "model", "pool",
				 "shape", "1x2x1", "wall_s", 0.12, "speedup", 1.9, "tasks", "total", 20, "done", 20), "",
		       "20 tasks done in 120 ms under pool (1x2x1), speed-up 1.9\n");
	expect_summary(json_pack("{s:s,s:s,s:s,s:s,s:f,s:f,s:{s:i,s:i}}", "job", "8", "state", "done", "model", "async",
				 "shape", "1x1x1000", "wall_s", 1.0, "speedup", 987.6, "tasks", "total", 1000, "done", 1000),
		       "", "1000 tasks done in 1 s under async (1x1x1000), speed-up 988\n");
	expect_summary(json_pack("{s:s,s:s,s:s,s:s,s:b,s:{s:i,s:i,s:i},s:{s:s,s:s}}", "job", "7", "state", "failed",
				 "model", "async", "shape", "1x1x9", "auto", 1, "tasks", "total", 3, "done", 1, "failed", 2,
				 "error", "code", "timeout", "message", "the time is over"), "I/O-bound",
		       "job 7 failed: 1 of 3 tasks done, 2 failed under async (1x1x9, chosen by auto: I/O-bound): "
		       "timeout: the time is over\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_line_up_and_the_last_is_not_padded),
		cmocka_unit_test(test_characters_are_counted_not_bytes),
		cmocka_unit_test(test_control_characters_never_reach_the_terminal),
		cmocka_unit_test(test_the_progress_line_says_how_far_how_fast_and_how_long),
		cmocka_unit_test(test_the_summary_says_what_became_of_the_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
