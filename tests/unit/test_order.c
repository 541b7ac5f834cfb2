/* Jobs by number, against an array of all numbers. */
#include "unit.h"

#include "jobs/job.h"

#define N 3000
#define STEPS 60000

static uint64_t seed = 3;

static uint64_t random_below(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (seed >> 33) % n;
}

/* Numbers in dense parts with gaps between them. */
static uint64_t number_of(size_t i)
{
	return 1 + i + i / 500 * 2000;
}

static void the_newest_below_a_number_is_found_whoever_comes_and_goes(void **state)
{
	struct job *jobs = calloc(N, sizeof(*jobs)), *job;
	static bool is_in[N];
	struct order order;
	uint64_t last = 0;
	size_t n = 0, seen = 0;

	(void)state;
	assert_non_null(jobs);
	order_init(&order);
	for (size_t i = 0; i < N; i++)
		jobs[i].id = number_of(i);
	for (int step = 0; step < STEPS; step++) {
		/* first more come than go, then more go than come */
		size_t i = random_below(N), want = N;
		bool comes = random_below(100) < (step < STEPS / 2 ? 70 : 20);

		if (comes != is_in[i]) {
			if (comes)
				order_add(&order, &jobs[i]);
			else
				order_remove(&order, &jobs[i]);
			is_in[i] = comes;
			n = comes ? n + 1 : n - 1;
		}
		if (step % 8 > 0)
			continue;
		i = random_below(N);
		for (size_t k = 0; k < i; k++)
			want = is_in[k] ? k : want;
		job = order_newest_below(&order, number_of(i));
		assert_ptr_equal(job, want < N ? &jobs[want] : NULL);
	}
	TAILQ_FOREACH(job, &order.list, link) {
		assert_true(job->id > last);
		last = job->id;
		seen++;
	}
	assert_int_equal(seen, n);
	assert_true(order.n <= number_of(N) / ORDER_BLOCK + 1);
	assert_ptr_equal(order_newest_below(&order, 0), TAILQ_LAST(&order.list, job_list));
	for (size_t i = 0; i < N; i++)
		if (is_in[i])
			order_remove(&order, &jobs[i]);
	assert_int_equal(order.n, 0);
	assert_null(order_newest_below(&order, 0));
	assert_null(order_newest_below(&order, 77));
	order_fini(&order);
	free(jobs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_below_a_number_is_found_whoever_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
