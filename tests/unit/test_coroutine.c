/* Coroutines; built a second time with COROUTINE_UCONTEXT for the switch of other architectures. */
#include "unit.h"

#include "worker/coroutine.h"

#define STACK_BYTES (256 * 1024)
#define N 50

struct guest {
	struct coroutine co;
	void *stack;
	int number, steps, done;
};

static void step(void *arg)
{
	struct guest *guest = arg;
	char kept[200];

	for (int i = 0; i < guest->steps; i++) {
		snprintf(kept, sizeof(kept), "%d of %d", i, guest->number);
		coroutine_leave(&guest->co);
		char expected[200];
		snprintf(expected, sizeof(expected), "%d of %d", i, guest->number);
		assert_string_equal(kept, expected);
		guest->done++;
	}
}

static void start(struct guest *guest, int number, int steps)
{
	*guest = (struct guest){ .number = number, .steps = steps, .stack = malloc(STACK_BYTES) };
	coroutine_start(&guest->co, guest->stack, STACK_BYTES, step, guest);
}

static void finish(struct guest *guest)
{
	coroutine_finish(&guest->co);
	free(guest->stack);
}

static void each_coroutine_keeps_its_own_frames_across_switches(void **state)
{
	static struct guest guests[N];

	(void)state;
	for (int i = 0; i < N; i++)
		start(&guests[i], i, 10 + i % 3);
	for (bool left = true; left;) {
		left = false;
		for (int i = 0; i < N; i++)
			if (!guests[i].co.finished) {
				coroutine_enter(&guests[i].co);
				left = true;
			}
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(guests[i].done, guests[i].steps);
		finish(&guests[i]);
	}
}

static void one_that_never_ran_may_be_finished(void **state)
{
	struct guest guest;

	(void)state;
	start(&guest, 1, 1);
	finish(&guest);
}

static void add_up(void *arg)
{
	struct guest *guest = arg;
	double sum = 0;

	/* Floating point and aligned vector stores fault on a stack that is not aligned as the ABI says. */
	for (int i = 0; i < 100; i++) {
		char text[64];

		snprintf(text, sizeof(text), "%.3f", (double)i / 8);
		sum += strtod(text, NULL);
		coroutine_leave(&guest->co);
	}
	guest->done = (int)sum;
}

static void the_stack_is_aligned_as_the_abi_says(void **state)
{
	struct guest guest = { .stack = malloc(STACK_BYTES) };

	(void)state;
	coroutine_start(&guest.co, guest.stack, STACK_BYTES - 64, add_up, &guest);
	while (!guest.co.finished)
		coroutine_enter(&guest.co);
	assert_int_equal(guest.done, 618);
	finish(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_coroutine_keeps_its_own_frames_across_switches),
		cmocka_unit_test(one_that_never_ran_may_be_finished),
		cmocka_unit_test(the_stack_is_aligned_as_the_abi_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
