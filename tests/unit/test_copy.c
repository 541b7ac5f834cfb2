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
	copy_words(NULL, NULL, 0);
}

static void whole_words_have_the_bytes_in_front_and_stay_in_their_room(void **state)
{
	(void)state;
	for (size_t len = 0; len <= MOST; len++) {
		size_t room = len > COPY_WORDS_BYTES ? len : COPY_WORDS_BYTES, words = (len + 7) & ~(size_t)7;
		uint8_t to[MOST + 2 * GUARD], padded[MOST + GUARD];
		uint8_t *from = malloc(len + (len == 0)); /* a sanitizer sees whoever reads behind it */

		for (size_t i = 0; i < len; i++)
			from[i] = padded[i] = (uint8_t)(0x80 + i);
		memset(padded + len, 0x77, sizeof(padded) - len);
		memset(to, 0xee, sizeof(to));
		copy_to_words(to + GUARD, from, len);
		assert_memory_equal(to + GUARD, from, len);
		for (size_t i = 0; i < sizeof(to); i++)
			assert_true((i >= GUARD && i < GUARD + room) || to[i] == 0xee);
		memset(to, 0xee, sizeof(to));
		copy_words(to + GUARD, padded, len);
		assert_memory_equal(to + GUARD, from, len);
		for (size_t i = 0; i < sizeof(to); i++)
			assert_true((i >= GUARD && i < GUARD + words) || to[i] == 0xee);
		free(from);
	}
}

static void to_whole_words_is_a_move_too(void **state)
{
	uint8_t bytes[3 * MOST + COPY_WORDS_BYTES], wanted[3 * MOST];

	(void)state;
	for (size_t len = 0; len <= MOST; len++) {
		for (size_t to = 0; to <= 2 * MOST; to++) {
			for (size_t i = 0; i < sizeof(wanted); i++)
				bytes[i] = wanted[i] = (uint8_t)i;
			memmove(wanted + to, wanted + MOST, len);
			copy_to_words(bytes + to, bytes + MOST, len);
			assert_memory_equal(bytes + to, wanted + to, len);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_bytes_are_copied_and_no_other_is_touched),
		cmocka_unit_test(where_they_overlap_it_is_a_move),
		cmocka_unit_test(nothing_may_be_copied_from_nowhere),
		cmocka_unit_test(whole_words_have_the_bytes_in_front_and_stay_in_their_room),
		cmocka_unit_test(to_whole_words_is_a_move_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
