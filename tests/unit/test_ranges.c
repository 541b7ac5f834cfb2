/* Sets of task numbers, held against a plain array of booleans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "jobs/ranges.h"

#define TASKS 200
#define ROUNDS 20000

static void check_against(const struct ranges *r, const bool *in)
{
	uint64_t count = 0;

	for (uint64_t task = 0; task < TASKS; task++) {
		assert_int_equal(ranges_contain(r, task), in[task]);
		count += in[task];
	}
	assert_int_equal(r->count, count);
	for (size_t i = 0; i < r->n; i++) {
		assert_true(r->at[i].from < r->at[i].to);
		if (i > 0) /* neighbours would have been joined */
			assert_true(r->at[i - 1].to < r->at[i].from);
	}
}

static void a_set_agrees_with_an_array_after_any_adding_and_removing(void **state)
{
	struct ranges r = RANGES_INIT;
	bool in[TASKS] = { false };
	unsigned int seed = 7;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t from = (uint64_t)(rand_r(&seed) % TASKS), count = 1 + (uint64_t)(rand_r(&seed) % 9);
		bool add = rand_r(&seed) % 2;
		bool free_run = true;

		if (from + count > TASKS)
			count = TASKS - from;
		for (uint64_t t = from; t < from + count; t++)
			free_run = free_run && !in[t];
		if (add && !free_run)
			continue; /* adding what is there is the caller's mistake */
		assert_int_equal(add ? ranges_add(&r, from, count) : ranges_remove(&r, from, count), 0);
		for (uint64_t t = from; t < from + count; t++)
			in[t] = add;
		check_against(&r, in);
	}
	ranges_fini(&r);
}

static void tasks_come_out_in_order_and_once(void **state)
{
	struct ranges r = RANGES_INIT;
	uint64_t from, n, next = 0;

	(void)state;
	assert_int_equal(ranges_add(&r, 50, 50), 0);
	assert_int_equal(ranges_add(&r, 0, 20), 0);
	assert_int_equal(ranges_add(&r, 20, 30), 0);
	assert_int_equal(r.n, 1);
	while ((n = ranges_first(&r, 7, &from)) > 0) {
		assert_int_equal(from, next);
		assert_true(n <= 7);
		ranges_drop_first(&r, n);
		next += n;
	}
	assert_int_equal(next, 100);
	assert_int_equal(r.count, 0);
	ranges_fini(&r);
}

static void a_million_fresh_tasks_cost_one_range(void **state)
{
	struct ranges r = RANGES_INIT;

	(void)state;
	assert_int_equal(ranges_add(&r, 0, 1000000), 0);
	assert_int_equal(ranges_add(&r, 1000000, 1000000), 0);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.count, 2000000);
	ranges_fini(&r);
}

static void the_first_from_a_number_on_is_found(void **state)
{
	struct ranges r = RANGES_INIT;
	uint64_t from = 0;

	(void)state;
	assert_int_equal(ranges_first_from(&r, 0, 9, &from), 0);
	assert_int_equal(ranges_add(&r, 10, 5), 0);
	assert_int_equal(ranges_add(&r, 20, 5), 0);
	assert_int_equal(ranges_first_from(&r, 0, 9, &from), 5);
	assert_int_equal(from, 10);
	assert_int_equal(ranges_first_from(&r, 12, 9, &from), 3);
	assert_int_equal(from, 12);
	assert_int_equal(ranges_first_from(&r, 15, 2, &from), 2);
	assert_int_equal(from, 20);
	assert_int_equal(ranges_first_from(&r, 25, 9, &from), 0);
	ranges_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_agrees_with_an_array_after_any_adding_and_removing),
		cmocka_unit_test(tasks_come_out_in_order_and_once),
		cmocka_unit_test(a_million_fresh_tasks_cost_one_range),
		cmocka_unit_test(the_first_from_a_number_on_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
