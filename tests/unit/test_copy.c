/* base/copy.h: every length, beside guards, and where the two overlap. */
#include "unit.h"

#include "base/copy.h"

#define MOST 40
#define GUARD 8

static void all_bytes_are_copied_and_no_other_is_touched(void **state)
{
	uint8_t from[MOST], to[MOST + 2 * GUARD];

	(void)state;
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i + 1);
	for (size_t len = 0; len <= MOST; len++) {
		memset(to, 0xee, sizeof(to));
		copy_bytes(to + GUARD, from, len);
		assert_memory_equal(to + GUARD, from, len);
		for (size_t i = 0; i < sizeof(to); i++)
			assert_true((i >= GUARD && i < GUARD + len) || to[i] == 0xee);
	}
}

static void where_they_overlap_it_is_a_move(void **state)
{
	uint8_t bytes[3 * MOST], wanted[3 * MOST];

	(void)state;
	for (size_t len = 0; len <= MOST; len++) {
		for (size_t to = 0; to <= 2 * MOST; to++) {
			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = wanted[i] = (uint8_t)i;
			memmove(wanted + to, wanted + MOST, len);
			copy_bytes(bytes + to, bytes + MOST, len);
			assert_memory_equal(bytes, wanted, sizeof(bytes));
		}
	}
}

static void nothing_may_be_copied_from_nowhere(void **state)
{
	(void)state;
	copy_bytes(NULL, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_bytes_are_copied_and_no_other_is_touched),
		cmocka_unit_test(where_they_overlap_it_is_a_move),
		cmocka_unit_test(nothing_may_be_copied_from_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
