/* Notes of hooks that are still to be run. */
#include "store_fixture.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/cleanup.h"

static int on_hook(void *arg, uint64_t job)
{
	return buffer_printf(arg, "hook %d;", (int)job);
}

static void assert_hooks(struct fixture *f, const char *wanted)
{
	_cleanup_buffer_ struct buffer said = BUFFER_INIT;

	assert_int_equal(store_recover_hooks(f->store, on_hook, &said), 0);
	assert_int_equal(buffer_add(&said, "", 1), 0);
	assert_string_equal((const char *)said.data, wanted);
}

/* The note comes with the end, in its commit. */
static int end_job(struct fixture *f, uint64_t job, bool hook)
{
	struct test_op op = op_of(STORE_JOB_STATE, job);

	op.op.u.state = (struct store_job_state){ .state = 4, .ended_unix_us = 1, .hook = hook };
	return run_op(f, &op);
}

static void hooks_are_noted_with_the_end_of_their_job_until_they_were_run(void **state)
{
	struct fixture *f = *state;
	struct test_op run = op_of(STORE_HOOK_DEL, 1), nobody = op_of(STORE_HOOK_DEL, 99);

	for (uint64_t id = 3; id > 0; id--) {
		char name[] = { (char)('a' + id), '\0' };
		struct test_op add = job_add(id, name);

		assert_int_equal(run_op(f, &add), 0);
	}
	assert_hooks(f, "");
	assert_int_equal(end_job(f, 3, true), 0);
	assert_int_equal(end_job(f, 2, false), 0); /* it has none */
	assert_int_equal(end_job(f, 1, true), 0);
	assert_int_equal(end_job(f, 1, true), 0); /* said twice: noted once */
	assert_int_equal(end_job(f, 99, true), -ENOENT);
	fixture_reopen(f);
	assert_hooks(f, "hook 1;hook 3;");
	assert_int_equal(run_op(f, &run), 0);
	assert_int_equal(run_op(f, &run), 0); /* it had ended just before */
	assert_int_equal(run_op(f, &nobody), 0);
	fixture_reopen(f);
	assert_hooks(f, "hook 3;");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hooks_are_noted_with_the_end_of_their_job_until_they_were_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
