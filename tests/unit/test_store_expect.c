/* A writer that is told that something is about to come. */
#include "store_fixture.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

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

/* Each as soon as the one before is answered: then both threads stay awake for the next. */
static void add_in_a_row(struct fixture *f, uint64_t first, uint64_t n)
{
	for (uint64_t id = first; id < first + n; id++) {
		store_expect(f->store);
		add(f, id);
	}
}

static void ops_in_a_row_are_committed_and_so_is_one_after_a_pause_of_any_length(void **state)
{
	struct fixture *f = *state;
	uint64_t id = 1;

	for (useconds_t us = 0; us < 200; us += 10) { /* around the time for which the next one is awaited */
		add_in_a_row(f, id, 5);
		id += 5;
		assert_int_equal(usleep(us), 0);
	}
}

static void the_writer_sleeps_when_a_row_has_ended(void **state)
{
	struct fixture *f = *state;
	struct timespec before, after;

	add_in_a_row(f, 1, 50);
	assert_int_equal(usleep(10000), 0); /* so that it has given up */
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
	assert_int_equal(usleep(50000), 0);
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
	assert_true((after.tv_sec - before.tv_sec) * NS_PER_S + after.tv_nsec - before.tv_nsec < 25 * NS_PER_MS);
}

static void a_store_closes_in_the_middle_of_a_row(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 10; i++) {
		add_in_a_row(f, 1 + 5 * i, 5);
		fixture_reopen(f);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_op_is_committed_whether_it_was_expected_or_not),
		TEST(an_op_that_comes_later_than_expected_still_wakes_the_writer),
		TEST(ops_in_a_row_are_committed_and_so_is_one_after_a_pause_of_any_length),
		TEST(the_writer_sleeps_when_a_row_has_ended),
		TEST(a_store_closes_in_the_middle_of_a_row),
		TEST(a_store_closes_while_its_writer_expects_what_never_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
