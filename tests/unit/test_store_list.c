/* Rows of jobs, newest first: all of them, and those that fit. */
#include "store_fixture.h"

static int add_job(struct fixture *f, uint64_t id, const char *submission)
{
	struct test_op op = job_add(id, submission);

	return run_op(f, &op);
}

static int end_job(struct fixture *f, uint64_t id, uint8_t job_state)
{
	struct test_op op = op_of(STORE_JOB_STATE, id);

	op.op.u.state = (struct store_job_state){ .state = job_state, .ended_unix_us = 1767225600000000, .done = 3 };
	return run_op(f, &op);
}

static void ended_jobs_are_listed_newest_first(void **state)
{
	struct fixture *f = *state;
	struct test_read read = { .read = { .type = STORE_READ_JOBS, .limit = 3 } };
	char submission[8];

	for (uint64_t id = 1; id <= 6; id++) {
		(void)snprintf(submission, sizeof(submission), "s%d", (int)id);
		assert_int_equal(add_job(f, id, submission), 0);
		if (id != 5)
			assert_int_equal(end_job(f, id, 4), 0);
	}
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.n_jobs, 3);
	assert_true(read.read.jobs[0].job.id == 6 && read.read.jobs[1].job.id == 4 && read.read.jobs[2].job.id == 3);
	store_read_fini(&read.read);
	read.read = (struct store_read){ .type = STORE_READ_JOBS, .limit = 3, .below = 3 };
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.n_jobs, 2);
	assert_true(read.read.jobs[0].job.id == 2);
	store_read_fini(&read.read);
	read.read = (struct store_read){ .type = STORE_READ_JOBS, .limit = 0 };
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.n_jobs, 0);
	store_read_fini(&read.read);
}

static void rows_that_do_not_fit_are_passed_over_a_look_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct test_read read = { .read = { .type = STORE_READ_JOBS, .limit = 10, .look = 4, .states = 1u << 5, .unfinished = true } };

	for (uint64_t id = 1; id <= 9; id++) { /* 3 and 8 have not ended, 1 and 2 have failed */
		assert_int_equal(add_job(f, id, ""), 0);
		if (id != 3 && id != 8)
			assert_int_equal(end_job(f, id, id < 3 ? 5 : 4), 0);
	}
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.n_jobs, 1); /* of 9 to 6: of those that have not ended the caller knows the state */
	assert_int_equal(read.read.jobs[0].job.id, 8);
	assert_int_equal(read.read.next_below, 6);
	store_read_fini(&read.read);
	read.read.below = 6;
	read.read.unfinished = false;
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.n_jobs, 1);
	assert_int_equal(read.read.jobs[0].job.id, 2);
	assert_int_equal(read.read.next_below, 2);
	store_read_fini(&read.read);
	read.read.below = 2;
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.n_jobs, 1);
	assert_int_equal(read.read.next_below, 0);
	store_read_fini(&read.read);
	read.read.limit = 1; /* it stops where it has enough, and does not know whether more follow */
	read.read.below = read.read.states = 0;
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.jobs[0].job.id, 9);
	assert_int_equal(read.read.next_below, 9);
	store_read_fini(&read.read);
	assert_int_equal(end_job(f, 8, 200), 0); /* as only a damaged row says */
	read.read = (struct store_read){ .type = STORE_READ_JOBS, .limit = 10, .look = 4, .states = UINT32_MAX };
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.n_jobs, 3);
	store_read_fini(&read.read);
	read.read.workload = "another";
	read.read.look = 100;
	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.n_jobs, 0);
	assert_int_equal(read.read.next_below, 0);
	store_read_fini(&read.read);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ended_jobs_are_listed_newest_first),
		TEST(rows_that_do_not_fit_are_passed_over_a_look_at_a_time),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
