/* ctl/seen.c: which tasks were passed on already, against a plain table of them. */
#include "unit.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "ctl/seen.h"

#define TASKS 200

static void expect_text(const struct seen *seen, const char *wanted)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	assert_int_equal(seen_format(seen, &b), 0);
	assert_int_equal(buffer_add(&b, "", 1), 0);
	assert_string_equal((const char *)b.data, wanted);
}

static void what_touches_becomes_one_range(void **state)
{
	struct seen seen = { .at = NULL };

	(void)state;
	expect_text(&seen, "");
	assert_int_equal(seen_add(&seen, 5, 5), 0);
	assert_int_equal(seen_add(&seen, 9, 12), 0);
	assert_int_equal(seen_add(&seen, 0, 1), 0);
	expect_text(&seen, "0-1,5,9-12");
	assert_int_equal(seen_add(&seen, 6, 7), 0); /* behind one */
	assert_int_equal(seen_add(&seen, 8, 8), 0); /* between two */
	expect_text(&seen, "0-1,5-12");
	assert_int_equal(seen_add(&seen, 7, 9), 0); /* inside one */
	assert_int_equal(seen_add(&seen, 4, 4), 0); /* before one */
	expect_text(&seen, "0-1,4-12");
	assert_int_equal(seen_add(&seen, 20, 30), 0);
	assert_int_equal(seen_add(&seen, 1, 40), 0); /* over all of them */
	expect_text(&seen, "0-40");
	seen_fini(&seen);
	expect_text(&seen, "");
}

static void any_order_gives_the_same_set(void **state)
{
	bool has[TASKS] = { false };
	struct seen seen = { .at = NULL };
	unsigned int random = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		uint64_t first, last;
		size_t ranges = 0;

		random = random * 1103515245 + 12345;
		first = random / 65536 % TASKS;
		last = first + random / 16777216 % 4;
		if (last >= TASKS)
			last = TASKS - 1;
		assert_int_equal(seen_add(&seen, first, last), 0);
		memset(has + first, true, last - first + 1);
		for (size_t i = 0; i < TASKS; i++)
			ranges += has[i] && (i == 0 || !has[i - 1]);
		assert_int_equal(seen.n, ranges);
		for (size_t i = 0, k = 0; i < seen.n; i++) {
			for (; k < seen.at[i].first; k++)
				assert_false(has[k]);
			for (; k <= seen.at[i].last; k++)
				assert_true(has[k]);
		}
	}
	seen_fini(&seen);
}

static void a_text_is_the_set_it_was_made_of(void **state)
{
	struct seen seen = { .at = NULL };

	(void)state;
	assert_int_equal(seen_add_text(&seen, ""), 0);
	assert_int_equal(seen_add_text(&seen, "70,0-63,4611686018427387903"), 0);
	expect_text(&seen, "0-63,70,4611686018427387903");
	assert_int_equal(seen_add_text(&seen, "64-69"), 0);
	expect_text(&seen, "0-70,4611686018427387903");
	seen_fini(&seen);
}

static void what_is_no_such_text_is_refused(void **state)
{
	static const char *const bad[] = { "x", "-1", "1-", "1-x", "2-1", "1 ", "1;2", ",1", "1,,2", "4611686018427387904",
					   "18446744073709551620", "1-18446744073709551620", "99999999999999999999999" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct seen seen = { .at = NULL };

		if (seen_add_text(&seen, bad[i]) != -EPROTO)
			fail_msg("'%s' was taken", bad[i]);
		seen_fini(&seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_touches_becomes_one_range),
		cmocka_unit_test(any_order_gives_the_same_set),
		cmocka_unit_test(a_text_is_the_set_it_was_made_of),
		cmocka_unit_test(what_is_no_such_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
