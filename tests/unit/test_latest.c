/* The last ends of many, against sorting all of them. */
#include "unit.h"

#include "jobs/latest.h"

#define MAX_ENDS 500

static uint64_t seed = 11;

static uint64_t random_below(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (seed >> 33) % n;
}

static int by_end(const void *a, const void *b)
{
	const struct latest_end *x = a, *y = b;

	if (x->unix_us != y->unix_us)
		return x->unix_us < y->unix_us ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void all_but_the_latest_are_passed_over(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		size_t n = 1 + random_below(MAX_ENDS), max = 1 + random_below(MAX_ENDS), n_out = 0;
		uint64_t times = 1 + random_below(2 * MAX_ENDS); /* few: many that ended at the same one */
		bool out[MAX_ENDS + 1] = { false };
		struct latest_end ends[MAX_ENDS];
		struct latest latest;

		latest_init(&latest, max);
		for (size_t i = 0; i < n; i++) {
			uint64_t id = 0;

			ends[i] = (struct latest_end){ .unix_us = (int64_t)random_below(times), .id = n - i };
			if (latest_add(&latest, ends[i].unix_us, ends[i].id, &id) == 0)
				continue;
			assert_in_range(id, 1, n);
			assert_false(out[id]); /* each once */
			out[id] = true;
			n_out++;
		}
		assert_int_equal(n_out, n > max ? n - max : 0);
		qsort(ends, n, sizeof(ends[0]), by_end);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(out[ends[i].id], i < n_out);
		latest_fini(&latest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_but_the_latest_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
