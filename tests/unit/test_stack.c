/* Stacks: what is reserved, touched and guarded. */
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>

#include "worker/stack.h"

static void a_stack_has_the_size_that_its_number_calls_for(void **state)
{
	(void)state;
	assert_int_equal(stack_bytes_for(1, 0), STACK_BYTES_ONE);
	assert_int_equal(stack_bytes_for(2, 0), STACK_BYTES_FEW);
	assert_int_equal(stack_bytes_for(1000, 0), STACK_BYTES_FEW);
	assert_int_equal(stack_bytes_for(1001, 0), STACK_BYTES_MANY);
	assert_int_equal(stack_bytes_for(1001, 100001), 102400);
	assert_int_equal(stack_bytes_for(1001, 1), STACK_MIN_BYTES);
}

/* Does a write to the address end a process? */
static bool write_faults(volatile char *at)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		*at = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status != 0;
}

static void check_guarded(enum stack_guard expected, uint32_t count)
{
	struct stack_slab *slab;
	size_t bytes;

	assert_int_equal(stack_slab_open(count, STACK_BYTES_MANY, &slab), 0);
	for (uint32_t i = 0; i < count; i++) {
		char *low = stack_get(slab, i, &bytes);

		assert_int_equal(stack_guard_of(slab, i), expected);
		memset(low + bytes - 512, 1, 512);
		assert_true(stack_canary_ok(slab, i));
		assert_true(stack_in_guard(slab, i, low - 1));
		assert_false(stack_in_guard(slab, i, low));
		assert_false(stack_in_guard(slab, i, low - STACK_GUARD_BYTES - 1));
		assert_ptr_equal(stack_get(slab, i, &bytes), low);
	}
	if (expected != STACK_GUARD_CANARY) {
		char *low = stack_get(slab, count / 2, &bytes);

		assert_true(write_faults(low - 1));
		assert_false(write_faults(low));
	}
	stack_slab_close(slab);
}

static void a_write_below_a_stack_faults(void **state)
{
	(void)state;
	if (stack_has_guard_madvise())
		check_guarded(STACK_GUARD_MADVISE, 100);
	stack_pretend(false, 100);
	check_guarded(STACK_GUARD_MPROTECT, 100);
}

static void without_guards_an_overrun_breaks_the_canary(void **state)
{
	struct stack_slab *slab;
	size_t bytes;
	char *low;

	(void)state;
	stack_pretend(false, 1);
	assert_int_equal(stack_slab_open(3, STACK_BYTES_MANY, &slab), 0);
	stack_get(slab, 0, &bytes);
	low = stack_get(slab, 1, &bytes);
	stack_get(slab, 2, &bytes);
	assert_int_equal(stack_guard_of(slab, 0), STACK_GUARD_MPROTECT);
	assert_int_equal(stack_guard_of(slab, 1), STACK_GUARD_CANARY);
	memset(low - 1000, 0, 1100);
	assert_false(stack_canary_ok(slab, 1));
	assert_true(stack_canary_ok(slab, 2));
	stack_slab_close(slab);
}

static void what_will_have_no_guard_is_known_before(void **state)
{
	struct stack_slab *slab;
	size_t bytes;

	(void)state;
	stack_pretend(true, 0);
	assert_true(stack_unguarded(100000) == 0);
	stack_pretend(false, 10);
	assert_true(stack_unguarded(10) == 0 && stack_unguarded(11) == 1 && stack_unguarded(1000) == 990);
	assert_int_equal(stack_slab_open(4, STACK_BYTES_MANY, &slab), 0);
	for (uint32_t i = 0; i < 4; i++)
		stack_get(slab, i, &bytes);
	assert_true(stack_unguarded(1000) == 994);
	stack_pretend(false, 0);
	assert_true(stack_unguarded(3) == 3);
	stack_slab_close(slab);
}

static void thirty_thousand_stacks_can_be_reserved_and_a_trillion_not(void **state)
{
	struct stack_slab *slab;
#if defined(__SANITIZE_THREAD__)
	const uint32_t count = 3000; /* its runtime spends ten seconds on the shadow of two gigabytes */
#else
	const uint32_t count = 30000;
#endif

	(void)state;
	assert_int_equal(stack_slab_open(count, STACK_BYTES_MANY, &slab), 0);
	assert_int_equal(stack_slab_stack_bytes(slab), STACK_BYTES_MANY);
	stack_slab_close(slab);
	assert_int_equal(stack_slab_open(UINT32_MAX, (size_t)1 << 40, &slab), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stack_has_the_size_that_its_number_calls_for),
		cmocka_unit_test(a_write_below_a_stack_faults),
		cmocka_unit_test(without_guards_an_overrun_breaks_the_canary),
		cmocka_unit_test(what_will_have_no_guard_is_known_before),
		cmocka_unit_test(thirty_thousand_stacks_can_be_reserved_and_a_trillion_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
