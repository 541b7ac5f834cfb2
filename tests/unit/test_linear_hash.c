/* The hash table of very many small things. */
#include "unit.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/linear_hash.h"

#define N 20000

struct thing {
	uint64_t id;
	bool in, seen;
	struct hash_link link;
};

static struct thing things[N];

static uint64_t hash_thing(const struct hash_link *link)
{
	return hash_number(container_of(link, struct thing, link)->id);
}

static uint64_t hash_same(const struct hash_link *link)
{
	(void)link;
	return 7;
}

static const struct thing *find(const struct linear_hash *hash, uint64_t of, uint64_t id)
{
	for (struct hash_link *link = linear_hash_find(hash, of); link; link = link->next)
		if (container_of(link, struct thing, link)->id == id)
			return container_of(link, struct thing, link);
	return NULL;
}

static uint64_t next(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return *x >> 33;
}

static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < N; i++)
		things[i] = (struct thing){ .id = i };
	return 0;
}

static void check_all(const struct linear_hash *hash)
{
	size_t n = 0;

	for (size_t i = 0; i < N; i++) {
		assert_ptr_equal(find(hash, hash_number(i), i), things[i].in ? &things[i] : NULL);
		n += things[i].in;
	}
	assert_int_equal(hash->n, n);
}

static void what_was_put_in_is_found_and_nothing_else(void **state)
{
	struct linear_hash hash;
	uint64_t x = 1;

	(void)state;
	linear_hash_init(&hash, hash_thing);
	for (unsigned int round = 0; round < 12; round++) {
		for (size_t i = 0; i < N; i++) { /* mostly coming in even rounds, mostly going in odd ones */
			struct thing *thing = &things[next(&x) % N];

			if (thing->in == (next(&x) % 8 < (round % 2 ? 7 : 1)))
				continue;
			if (thing->in)
				linear_hash_remove(&hash, &thing->link);
			else
				linear_hash_add(&hash, &thing->link);
			thing->in = !thing->in;
		}
		check_all(&hash);
		assert_true(hash.n_buckets <= 2 * hash.n + LINEAR_HASH_FIRST);
	}
	for (size_t i = 0; i < N; i++)
		if (things[i].in)
			linear_hash_remove(&hash, &things[i].link);
	assert_int_equal(hash.n, 0);
	assert_int_equal(hash.n_buckets, LINEAR_HASH_FIRST); /* and so nothing is left to be freed */
	for (size_t i = 0; i < LINEAR_HASH_LEVELS; i++)
		assert_null(hash.levels[i]);
}

static void all_are_given_back_at_once(void **state)
{
	struct linear_hash hash;
	struct hash_link *link;
	size_t n = 0;

	(void)state;
	linear_hash_init(&hash, hash_thing);
	assert_null(linear_hash_clear(&hash));
	for (size_t i = 0; i < N; i++)
		linear_hash_add(&hash, &things[i].link);
	for (link = linear_hash_clear(&hash); link; link = link->next, n++) {
		assert_false(container_of(link, struct thing, link)->seen);
		container_of(link, struct thing, link)->seen = true;
	}
	assert_int_equal(n, N);
	linear_hash_add(&hash, &things[5].link);
	assert_ptr_equal(find(&hash, hash_number(5), 5), &things[5]);
	assert_ptr_equal(linear_hash_clear(&hash), &things[5].link);
}

static void those_of_one_hash_are_told_apart(void **state)
{
	struct linear_hash hash;

	(void)state;
	linear_hash_init(&hash, hash_same);
	for (size_t i = 0; i < 100; i++)
		linear_hash_add(&hash, &things[i].link);
	for (size_t i = 0; i < 100; i += 2)
		linear_hash_remove(&hash, &things[i].link);
	for (size_t i = 0; i < 100; i++)
		assert_ptr_equal(find(&hash, 7, i), i % 2 ? &things[i] : NULL);
	(void)linear_hash_clear(&hash);
}

/* One bucket for each, however many there are: the longest way to one of N stays short. */
static void numbers_and_texts_in_a_row_are_spread(void **state)
{
	static uint32_t by_number[N], by_text[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "0/sleeper/key-%zu", i);
		by_number[hash_number(i) % N]++;
		by_text[hash_text(text) % N]++;
	}
	for (size_t i = 0; i < N; i++) {
		assert_true(by_number[i] < 12);
		assert_true(by_text[i] < 12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_was_put_in_is_found_and_nothing_else, set_up),
		cmocka_unit_test_setup(all_are_given_back_at_once, set_up),
		cmocka_unit_test_setup(those_of_one_hash_are_told_apart, set_up),
		cmocka_unit_test(numbers_and_texts_in_a_row_are_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
