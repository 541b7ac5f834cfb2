/* Groups of suspects: halves.c. */
#include "unit.h"

#include "jobs/halves.h"

#define MAX_TASKS 1000
#define ROUNDS 400

static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407; /* Knuth's */
	return (seed >> 33) % n;
}

/* What the tasks are, and what became of them. */
struct world {
	uint64_t n;
	bool guilty[MAX_TASKS], done[MAX_TASKS], named[MAX_TASKS];
	uint64_t processes, deaths;
};

/* A process with these tasks begun: dies where one of them is guilty. Some of the innocent ones end before. A group of one names
 * its task. */
static void run_process(struct world *w, struct halves *h, const struct ranges *group)
{
	bool dies = false;

	w->processes++;
	for (uint64_t task = 0; task < w->n; task++)
		dies = dies || (ranges_contain(group, task) && w->guilty[task]);
	w->deaths += dies;
	for (uint64_t task = 0; task < w->n; task++) {
		if (!ranges_contain(group, task))
			continue;
		assert_true(!w->done[task] && !w->named[task]);
		if (dies && group->count == 1)
			w->named[task] = true;
		else if (!dies || (!w->guilty[task] && random_below(4) == 0))
			w->done[task] = true;
		else
			assert_int_equal(halves_meet(h, w->deaths, task), 0);
	}
}

static uint64_t log2_up(uint64_t n)
{
	uint64_t log = 0;

	while ((UINT64_C(1) << log) < n)
		log++;
	return log;
}

static void every_guilty_one_is_found_and_no_innocent_blamed(void **state)
{
	(void)state;
	seed = 1;
	for (uint64_t round = 0; round < ROUNDS; round++) {
		const uint64_t n = 1 + random_below(round % 2 ? MAX_TASKS : 12);
		struct world w = { .n = n };
		uint64_t n_guilty = random_below(round % 3 ? 4 : w.n) % w.n + 1, log = log2_up(w.n), most;
		struct ranges group;
		struct halves h;

		halves_init(&h);
		for (uint64_t i = 0; i < n_guilty; i++)
			w.guilty[random_below(w.n)] = true;
		for (uint64_t task = 0; task < w.n; task++)
			assert_int_equal(halves_meet(&h, UINT64_MAX, task), 0);
		assert_int_equal(halves_split(&h), 0);
		while (halves_next(&h, &group) > 0) {
			run_process(&w, &h, &group);
			ranges_fini(&group);
			if (random_below(2) == 0) /* else the next death ends the telling of this one */
				assert_int_equal(halves_split(&h), 0);
			if (h.met.count == h.count)
				assert_int_equal(halves_split(&h), 0);
		}
		assert_int_equal(h.count, 0);
		for (uint64_t task = 0; task < w.n; task++) {
			assert_int_equal(w.named[task], w.guilty[task]);
			assert_int_equal(w.done[task], !w.guilty[task]);
		}
		most = 2 * n_guilty * (log + 1);
		assert_in_range(w.processes, 1, most < 2 * w.n ? most : 2 * w.n);
		halves_fini(&h);
	}
}

static void two_deaths_are_two_sets_though_nobody_came_between(void **state)
{
	struct ranges group;
	struct halves h;

	(void)state;
	halves_init(&h);
	for (uint64_t task = 0; task < 8; task++)
		assert_int_equal(halves_meet(&h, task < 4 ? 1 : 2, task), 0);
	assert_int_equal(halves_split(&h), 0);
	assert_int_equal(halves_next_count(&h, 3), 6);
	for (uint64_t first = 0; first < 8; first += 2) { /* else a group that died would be the same one again */
		assert_int_equal(halves_next(&h, &group), 2);
		assert_true(ranges_contain(&group, first) && ranges_contain(&group, first + 1));
		ranges_fini(&group);
	}
	assert_int_equal(halves_next(&h, &group), 0);
	halves_fini(&h);
}

static void lone_ones_come_first_and_each_by_itself(void **state)
{
	struct ranges group;
	struct halves h;

	(void)state;
	halves_init(&h);
	assert_int_equal(halves_meet(&h, 1, 5), 0);
	assert_int_equal(halves_next(&h, &group), 0); /* its death is still being told */
	assert_int_equal(halves_split(&h), 0);
	assert_int_equal(halves_add_lone(&h, 8), 0);
	assert_int_equal(halves_add_lone(&h, 7), 0);
	assert_int_equal(h.count, 3);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(halves_next_count(&h, 9), 3 - i);
		assert_int_equal(halves_next(&h, &group), 1);
		assert_true(ranges_contain(&group, ((const uint64_t[]){ 7, 8, 5 })[i]));
		ranges_fini(&group);
	}
	assert_int_equal(h.count, 0);
	halves_fini(&h);
}

static void what_is_taken_or_removed_is_there_no_more(void **state)
{
	uint64_t n, from, taken = 0;
	struct halves h;

	(void)state;
	halves_init(&h);
	for (uint64_t task = 0; task < 20; task++)
		assert_int_equal(halves_meet(&h, 1, task), 0);
	assert_int_equal(halves_split(&h), 0);
	for (uint64_t task = 20; task < 30; task++)
		assert_int_equal(halves_meet(&h, 2, task), 0);
	assert_int_equal(halves_add_lone(&h, 40), 0);
	assert_true(halves_contain(&h, 40) && halves_contain(&h, 29) && halves_contain(&h, 15) && !halves_contain(&h, 30));
	assert_int_equal(halves_remove(&h, 0, 10), 10); /* the lower half, and with it the group */
	assert_int_equal(halves_remove(&h, 0, 10), 0);
	assert_int_equal(h.count, 21);
	while ((n = halves_take(&h, 3, &from)) > 0) {
		assert_true(n <= 3 && !halves_contain(&h, from));
		taken += n;
	}
	assert_int_equal(taken, 21);
	assert_int_equal(h.count, 0);
	halves_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_guilty_one_is_found_and_no_innocent_blamed),
		cmocka_unit_test(two_deaths_are_two_sets_though_nobody_came_between),
		cmocka_unit_test(lone_ones_come_first_and_each_by_itself),
		cmocka_unit_test(what_is_taken_or_removed_is_there_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
