/* The heap of those who wait for their turn. */
#include "unit.h"

#include "jobs/turns.h"

#define S INT64_C(1000000000)
#define N 300

static uint64_t next_random(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return *x >> 33;
}

static bool in_order(const struct turn *a, const struct turn *b)
{
	int64_t x = a->since_ns - a->priority * S, y = b->since_ns - b->priority * S;

	return x != y ? x < y : a->id < b->id;
}

static void the_first_is_first_whoever_comes_and_goes(void **state)
{
	struct turns turns = { .heap = NULL };
	struct turn all[N] = { { 0 } };
	uint64_t x = 42;

	(void)state;
	assert_int_equal(turns_reserve(&turns, N), 0);
	for (int step = 0; step < 20000; step++) {
		struct turn *turn = &all[next_random(&x) % N];
		const struct turn *least = NULL;

		if (turn->at == 0) {
			*turn = (struct turn){ .id = (uint64_t)(turn - all), .since_ns = (int64_t)(next_random(&x) % 50) * S,
					       .priority = (int32_t)(next_random(&x) % 201) - 100 };
			turns_add(&turns, turn);
		} else if (next_random(&x) % 2 == 0) {
			turns_remove(&turns, turn);
		} else {
			turns_served(&turns, turn, turn->since_ns + (int64_t)(next_random(&x) % 9) * S);
		}
		for (size_t i = 0; i < N; i++)
			if (all[i].at > 0 && (!least || in_order(&all[i], least)))
				least = &all[i];
		assert_ptr_equal(turns_first(&turns), least);
	}
	turns_fini(&turns);
}

static void it_knows_how_many_have_a_higher_priority(void **state)
{
	struct turns turns = { .heap = NULL };
	struct turn a = { .id = 1, .priority = 5 }, b = { .id = 2, .priority = -100 }, c = { .id = 3, .priority = 100 };

	(void)state;
	assert_int_equal(turns_reserve(&turns, 3), 0);
	turns_add(&turns, &a);
	turns_add(&turns, &b);
	turns_add(&turns, &c);
	assert_int_equal(turns_above(&turns, -100), 2);
	assert_int_equal(turns_above(&turns, 5), 1);
	assert_int_equal(turns_above(&turns, 100), 0);
	turns_remove(&turns, &c);
	assert_int_equal(turns_above(&turns, 0), 1);
	turns_fini(&turns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_is_first_whoever_comes_and_goes),
		cmocka_unit_test(it_knows_how_many_have_a_higher_priority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
