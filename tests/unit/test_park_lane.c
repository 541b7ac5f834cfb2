/* Lanes of jobs that may be parked, as texts. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/park_lane.h"

/* b was read. */
static void assert_same(const struct park_lane *a, const struct park_lane *b)
{
	const char *text = b->after_text;

	assert_int_equal(a->shape.processes, b->shape.processes);
	assert_int_equal(a->shape.threads, b->shape.threads);
	assert_int_equal(a->shape.coroutines, b->shape.coroutines);
	assert_int_equal(a->in_order, b->in_order);
	assert_int_equal(a->dedicated, b->dedicated);
	assert_int_equal(a->begins_unix_us, b->begins_unix_us);
	assert_int_equal(a->expires_unix_us, b->expires_unix_us);
	assert_int_equal(a->n_after, b->n_after);
	for (uint32_t i = 0; i < a->n_after; i++) {
		struct park_after after;

		assert_true(park_lane_next_after(&text, &after));
		assert_int_equal(a->after[i].id, after.id);
		assert_int_equal(a->after[i].forgotten, after.forgotten);
	}
	if (a->n_after > 0)
		assert_int_equal(a->after_any, b->after_any);
	assert_int_equal(a->unique != NULL, b->unique != NULL);
	if (a->unique)
		assert_string_equal(a->unique, b->unique);
}

static void assert_survives(const struct park_lane *lane, const char *text)
{
	char *formatted = park_lane_format(lane);
	struct park_lane back;

	assert_non_null(formatted);
	assert_string_equal(formatted, text);
	assert_int_equal(park_lane_parse(formatted, &back), 0);
	assert_same(lane, &back);
	free(formatted);
}

static void every_kind_of_lane_survives_as_text(void **state)
{
	static const struct park_after after[] = { { .id = 5 }, { .id = 7, .forgotten = true }, { .id = INT64_MAX } };
	struct park_lane lane = { .shape = { 2, 1, 500 } };

	(void)state;
	assert_survives(&lane, "2x1x500");
	lane.in_order = true;
	assert_survives(&lane, "2x1x500i");
	lane.dedicated = true;
	assert_survives(&lane, "2x1x500id");
	lane.begins_unix_us = 1700000000000000;
	lane.expires_unix_us = 1700000060000000;
	assert_survives(&lane, "2x1x500id b1700000000000000 e1700000060000000");
	lane.n_after = 3;
	lane.after = after;
	assert_survives(&lane, "2x1x500id b1700000000000000 e1700000060000000 a5,7f,9223372036854775807");
	lane.after_any = true;
	lane.unique = "a key, b9 e1 u\"";
	assert_survives(&lane, "2x1x500id b1700000000000000 e1700000060000000 A5,7f,9223372036854775807 ua key, b9 e1 u\"");
}

static void the_longest_lane_fits(void **state)
{
	struct park_lane lane = {
		.shape = { 4095, 65535, 65535 },
		.in_order = true,
		.dedicated = true,
		.begins_unix_us = INT64_MAX,
		.expires_unix_us = INT64_MAX,
		.n_after = PARK_AFTER_MAX,
		.unique = "",
	};
	static struct park_after after[PARK_AFTER_MAX + 1];
	struct park_lane back;
	char *text;

	(void)state;
	for (uint32_t i = 0; i <= PARK_AFTER_MAX; i++)
		after[i] = (struct park_after){ .id = INT64_MAX, .forgotten = true };
	lane.after = after;
	text = park_lane_format(&lane);
	assert_non_null(text);
	assert_string_equal(text + strlen(text) - 2, " u");
	free(text);
	lane.shape = (struct shape){ 1, 1, 1 }; /* a possible one */
	text = park_lane_format(&lane);
	assert_non_null(text);
	assert_int_equal(park_lane_parse(text, &back), 0);
	assert_same(&lane, &back);
	free(text);
	lane.n_after++; /* none has so many */
	text = park_lane_format(&lane);
	assert_non_null(text);
	assert_int_equal(park_lane_parse(text, &back), -EBADMSG);
	free(text);
}

static void what_is_no_lane_is_refused(void **state)
{
	static const char *const texts[] = {
		"", " ", "x", "1x1", "1x1x1x", "1x1x1 ", "1x1x1  b5", "1x1x1di", "1x1x1 b", "1x1x1 b0", "1x1x1 b-5", "1x1x1 e",
		"1x1x1 b9223372036854775808", "1x1x1 a", "1x1x1 a0", "1x1x1 a5,", "1x1x1 a5,,6", "1x1x1 a5x", "1x1x1 a5 a6",
		"1x1x1 a5f6", "1x1x1 af", "1x1x1 a5,f", "1x1x1 z5", "1x1x1b5",
	};
	struct park_lane lane;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (park_lane_parse(texts[i], &lane) != -EBADMSG)
			fail_msg("taken for a lane: '%s'", texts[i]);
	}
}

static void no_damaged_text_leads_astray(void **state)
{
	static const char text[] = "1x4x100id b1700000000000000 e1700000060000000 a5,7f,9 ukey";
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char *copy = strdup(text);
		struct park_lane lane;

		for (int i = 0; i < 3; i++) {
			seed = seed * 1103515245 + 12345;
			copy[(seed >> 8) % (sizeof(text) - 1)] = (char)(seed >> 20 & 0x7f);
		}
		if (park_lane_parse(copy, &lane) == 0) {
			const char *at = lane.after_text;
			struct park_after after;

			assert_true(lane.n_after <= PARK_AFTER_MAX);
			for (uint32_t k = 0; k < lane.n_after; k++)
				assert_true(park_lane_next_after(&at, &after));
			assert_true(!lane.unique || (lane.unique > copy && lane.unique <= copy + sizeof(text) - 1));
		}
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_lane_survives_as_text),
		cmocka_unit_test(the_longest_lane_fits),
		cmocka_unit_test(what_is_no_lane_is_refused),
		cmocka_unit_test(no_damaged_text_leads_astray),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
