/* What is unfinished, and what the limits say of more. */
#include "unit.h"

#include "base/error.h"
#include "config.h"
#include "jobs/quota.h"

#define USER 4242u /* neither root nor us */
#define OTHER 4243u

static const struct config config = {
	.max_jobs = 10, .max_jobs_per_user = 3, .max_queued_tasks = 100, .max_queued_tasks_per_user = 30,
	.max_queued_bytes = 1000, .max_queued_bytes_per_user = 300,
};

static struct quota_count count_of(uint64_t jobs, uint64_t tasks, uint64_t bytes)
{
	return (struct quota_count){ .jobs = jobs, .tasks = tasks, .bytes = bytes };
}

static void add(struct quota *quota, uint32_t uid, struct quota_count count)
{
	assert_int_equal(quota_add(quota, uid, &count), 0);
}

static void allowed(const struct quota *quota, uint32_t uid, struct quota_count count)
{
	const struct quota_ask ask = { .uid = uid, .count = count };
	struct error err = ERROR_INIT;

	assert_int_equal(quota_check(quota, &config, &ask, &err), 0);
	assert_null(err.code);
}

static void refused(const struct quota *quota, const struct quota_ask *ask, const char *code, const char *words)
{
	struct error err = ERROR_INIT;

	assert_int_equal(quota_check(quota, &config, ask, &err), strcmp(code, "busy") == 0 ? -EBUSY : -EMSGSIZE);
	assert_string_equal(err.code, code);
	if (!strstr(err.text, words))
		fail_msg("'%s' is not in '%s'", words, err.text);
	assert_non_null(strstr(err.text, "raised in concd.conf")); /* a remedy */
}

static void each_limit_is_reached_by_itself_and_named(void **state)
{
	struct quota quota = { .users = NULL };

	(void)state;
	add(&quota, USER, count_of(2, 29, 250));
	allowed(&quota, USER, count_of(1, 1, 50));
	refused(&quota, &(struct quota_ask){ .uid = USER, .count = { 2, 1, 1 } }, "busy",
		"user 4242 has 2 unfinished jobs, and with 2 more it is over limits.max_jobs_per_user = 3:");
	refused(&quota, &(struct quota_ask){ .uid = USER, .count = { 1, 2, 1 } }, "busy",
		"user 4242 has 29 unfinished tasks, and with 2 more it is over limits.max_queued_tasks_per_user = 30:");
	refused(&quota, &(struct quota_ask){ .uid = USER, .count = { 1, 1, 51 } }, "busy",
		"user 4242 has 250 B of inputs in unfinished jobs, and with 51 B more it is over limits.max_queued_per_user = 300 B:");
	add(&quota, 0, count_of(7, 68, 700));
	refused(&quota, &(struct quota_ask){ .uid = OTHER, .count = { 2, 1, 1 } }, "busy",
		"all users together have 9 unfinished jobs, and with 2 more it is over limits.max_jobs = 10:");
	refused(&quota, &(struct quota_ask){ .uid = OTHER, .count = { 1, 4, 1 } }, "busy",
		"all users together have 97 unfinished tasks, and with 4 more it is over limits.max_queued_tasks = 100:");
	refused(&quota, &(struct quota_ask){ .uid = OTHER, .count = { 1, 1, 51 } }, "busy", "over limits.max_queued = 1000 B:");
	quota_fini(&quota);
}

static void a_user_does_not_fill_the_place_of_another(void **state)
{
	struct quota quota = { .users = NULL };

	(void)state;
	add(&quota, USER, count_of(3, 30, 300));
	refused(&quota, &(struct quota_ask){ .uid = USER, .count = { 1, 0, 0 } }, "busy", "user 4242");
	allowed(&quota, OTHER, count_of(3, 30, 300));
	quota_fini(&quota);
}

static void root_and_the_daemons_user_are_bound_by_the_limits_of_all_only(void **state)
{
	struct quota quota = { .users = NULL };

	(void)state;
	allowed(&quota, 0, count_of(10, 100, 1000));
	allowed(&quota, (uint32_t)geteuid(), count_of(10, 100, 1000));
	refused(&quota, &(struct quota_ask){ .uid = 0, .count = { 1, 101, 1 } }, "busy",
		"this job alone would be 101 unfinished tasks, and limits.max_queued_tasks is 100:");
	quota_fini(&quota);
}

static void what_is_taken_back_makes_room(void **state)
{
	struct quota quota = { .users = NULL };
	struct quota_count half = count_of(0, 15, 0), rest = count_of(3, 15, 300);

	(void)state;
	add(&quota, USER, count_of(3, 30, 300));
	quota_sub(&quota, USER, &half);
	allowed(&quota, USER, count_of(0, 15, 0));
	quota_sub(&quota, USER, &rest);
	assert_true(quota.all.jobs == 0 && quota.all.tasks == 0 && quota.all.bytes == 0);
	assert_null(quota.users); /* who has nothing costs nothing */
	allowed(&quota, USER, count_of(3, 30, 300));
	quota_fini(&quota);
}

static void a_piece_waits_while_others_can_make_room_and_never_for_nobody(void **state)
{
	struct quota quota = { .users = NULL };
	struct quota_ask piece = { .uid = USER, .count = { 0, 31, 10 }, .job = 7, .job_bytes = 100 };
	struct quota_count last = count_of(0, 1, 0);
	struct error err = ERROR_INIT;

	(void)state;
	add(&quota, USER, count_of(1, 1, 100));
	refused(&quota, &piece, "busy", "user 4242 has 1 unfinished task, and with 31 more");
	quota_sub(&quota, USER, &last);
	assert_int_equal(quota_check(&quota, &config, &piece, &err), 0);
	piece.count = count_of(0, 1, 201);
	refused(&quota, &piece, "too-large", "job 7 has 100 B of inputs, and with 201 B more it is over limits.max_queued_per_user = 300 B");
	add(&quota, USER, count_of(1, 1, 100)); /* of another job, which will end */
	piece.count = count_of(0, 1, 150);
	refused(&quota, &piece, "busy", "user 4242 has 200 B of inputs");
	piece.count = count_of(0, 0, 0); /* that it was the last piece can always be said */
	assert_int_equal(quota_check(&quota, &config, &piece, &err), 0);
	quota_fini(&quota);
}

static int note(void *arg, uint32_t uid, const struct quota_count *count)
{
	uint64_t *sums = arg;

	sums[0]++;
	sums[1] += uid;
	sums[2] += count->tasks;
	return 0;
}

static void every_user_with_something_unfinished_is_told(void **state)
{
	struct quota quota = { .users = NULL };
	uint64_t sums[3] = { 0 };

	(void)state;
	for (uint32_t uid = 1; uid <= 1000; uid++)
		add(&quota, uid, count_of(1, 2, 3));
	assert_int_equal(quota_walk(&quota, note, sums), 0);
	assert_true(sums[0] == 1000 && sums[1] == 500500 && sums[2] == 2000);
	quota_fini(&quota);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_limit_is_reached_by_itself_and_named),
		cmocka_unit_test(a_user_does_not_fill_the_place_of_another),
		cmocka_unit_test(root_and_the_daemons_user_are_bound_by_the_limits_of_all_only),
		cmocka_unit_test(what_is_taken_back_makes_room),
		cmocka_unit_test(a_piece_waits_while_others_can_make_room_and_never_for_nobody),
		cmocka_unit_test(every_user_with_something_unfinished_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
