/* A writer that is told that something is about to come. */
#include "store_fixture.h"

#include <inttypes.h>
#include <unistd.h>

static void add(struct fixture *f, uint64_t id)
{
	char name[24];
	struct test_op op;

	(void)snprintf(name, sizeof(name), "s%" PRIu64, id);
	op = job_add(id, name);
	assert_int_equal(run_op(f, &op), 0);
}

static void an_op_is_committed_whether_it_was_expected_or_not(void **state)
{
	struct fixture *f = *state;

	for (uint64_t id = 1; id <= 60; id++) {
		if (id % 3 > 0)
			store_expect(f->store);
		if (id % 3 == 2)
			store_expect(f->store); /* twice for one */
		add(f, id);
	}
}

static void an_op_that_comes_later_than_expected_still_wakes_the_writer(void **state)
{
	struct fixture *f = *state;

	for (uint64_t id = 1; id <= 40; id++) {
		store_expect(f->store);
		assert_int_equal(usleep((useconds_t)id * 10), 0); /* around the time for which it stays awake */
		add(f, id);
	}
}

static void a_store_closes_while_its_writer_expects_what_never_comes(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 10; i++) {
		store_expect(f->store);
		fixture_reopen(f);
	}
	add(f, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_op_is_committed_whether_it_was_expected_or_not),
		TEST(an_op_that_comes_later_than_expected_still_wakes_the_writer),
		TEST(a_store_closes_while_its_writer_expects_what_never_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
