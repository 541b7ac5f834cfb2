/* A disk without room, made by a limit on the size of files: nothing is accepted, nothing is lost. */
#include "store_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BYTES (256 * 1024)

static uint8_t packed[INPUT_BYTES];

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes > limit.rlim_max ? limit.rlim_max : bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int setup_full(void **state)
{
	(void)signal(SIGXFSZ, SIG_IGN);
	return fixture_setup(state);
}

static int teardown_full(void **state)
{
	limit_files(RLIM_INFINITY);
	return fixture_teardown(state);
}

static struct test_op big_job(uint64_t id, char *submission, const struct store_input *input)
{
	struct test_op op;

	(void)sprintf(submission, "s%d", (int)id);
	op = job_add_inputs(id, submission, input, 1, 1);
	op.op.may_fail = true;
	return op;
}

static const struct store_input input = { 0, 1, packed, INPUT_BYTES };

/* Add jobs until one is refused; returns its number. */
static uint64_t fill(struct fixture *f, uint64_t id)
{
	char submission[16];

	for (;; id++) {
		struct test_op op = big_job(id, submission, &input);
		int r = run_op(f, &op);

		assert_true(r == 0 || r == -ENOSPC);
		assert_true(id < 100);
		if (r == -ENOSPC)
			return id;
	}
}

/* So that a checkpoint never lacks it; in steps, because to grow is dear. */
static void a_commit_has_room_for_its_pages_in_the_database(void **state)
{
	struct fixture *f = *state;
	char submission[16];
	struct test_op op;
	struct stat st;

	for (uint64_t id = 1; id <= 12; id++) {
		op = big_job(id, submission, &input);
		assert_int_equal(run_op(f, &op), 0);
	}
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(st.st_size >= 12 * INPUT_BYTES); /* all of it lies in the log still, or might */
	assert_int_equal(st.st_size % (1024 * 1024), 0);
	assert_true((uint64_t)st.st_blocks * 512 >= (uint64_t)st.st_size);
}

static void acceptance_ends_when_the_disk_is_full(void **state)
{
	struct fixture *f = *state;
	struct test_read read = { .read = { .type = STORE_READ_JOB } };
	const char *why = NULL;
	uint64_t refused;

	assert_false(store_stalled(f->store, &why));
	limit_files(2 * 1024 * 1024);
	refused = fill(f, 1);
	assert_true(refused > 2);
	assert_true(store_stalled(f->store, &why));
	assert_non_null(strstr(why, "full"));
	read.read.job = refused;
	assert_int_equal(run_read(f, &read), -ENOENT); /* not a bit of it */
	for (uint64_t id = 1; id < refused; id++) {
		read.read = (struct store_read){ .type = STORE_READ_INPUT, .job = id };
		assert_int_equal(run_read(f, &read), 0); /* what was accepted can be read */
		assert_int_equal(read.read.input.len, INPUT_BYTES);
		store_read_fini(&read.read);
	}
	limit_files(RLIM_INFINITY);
	fixture_reopen(f);
	read.read = (struct store_read){ .type = STORE_READ_INPUT, .job = refused - 1 };
	assert_int_equal(run_read(f, &read), 0);
	store_read_fini(&read.read);
}

/* Results whose packed form needs more room than is left. */
static struct segment *big_segment(uint64_t first)
{
	struct segment *segment = segment_new(first, 1);
	struct task_record record = { .state = TASK_DONE, .attempts = 1 };

	assert_int_equal(segment_put(segment, 0, &record, packed, INPUT_BYTES), 0);
	return segment;
}

static void results_wait_for_room_and_are_then_written_in_order(void **state)
{
	struct fixture *f = *state;
	struct test_op waiting[3], refused;
	char submission[16];
	const char *why;

	limit_files(2 * 1024 * 1024);
	(void)fill(f, 1);
	for (uint64_t i = 0; i < 3; i++) {
		waiting[i] = op_of(STORE_SEGMENT, 1);
		waiting[i].op.u.segment = big_segment(i * SEGMENT_TASKS);
		submit(f, &waiting[i]);
	}
	refused = big_job(50, submission, &input);
	submit(f, &refused);
	while (!refused.done) {
		f->n_waiting -= 3; /* have the loop stop for this one alone */
		assert_int_equal(loop_run(f->loop), 0);
		f->n_waiting += 3;
	}
	assert_int_equal(refused.status, -ENOSPC);
	assert_false(waiting[0].done || waiting[1].done || waiting[2].done);
	assert_true(store_stalled(f->store, &why));
	limit_files(RLIM_INFINITY);
	settle(f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(waiting[i].status, 0);
		assert_int_equal(waiting[i].order - waiting[0].order, i);
		segment_unref(waiting[i].op.u.segment);
	}
	assert_false(store_stalled(f->store, &why));
	assert_int_equal(run_op(f, &refused), 0);
}

static void deleting_makes_room_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	char submission[16];
	uint64_t refused;
	struct test_op again;

	limit_files(4 * 1024 * 1024);
	refused = fill(f, 1);
	for (uint64_t id = 1; id + 2 < refused; id++) {
		struct test_op deletion = op_of(STORE_JOB_DELETE, id);

		assert_int_equal(run_op(f, &deletion), 0);
	}
	again = big_job(refused, submission, &input);
	assert_int_equal(run_op(f, &again), 0);
}

/* Nobody knew that it was full, so nothing was held back yet. */
static void a_deletion_that_is_the_first_to_meet_a_full_disk_has_the_reserve(void **state)
{
	struct fixture *f = *state;
	char submission[16], path[TEST_PATH_BYTES + 16];
	struct test_op add = big_job(1, submission, &input), deletion = op_of(STORE_JOB_DELETE, 1);
	sqlite3 *reader = NULL;
	struct stat st;

	assert_int_equal(run_op(f, &add), 0);
	assert_int_equal(sqlite3_open(f->path, &reader), SQLITE_OK); /* its transaction keeps the log from beginning anew */
	assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM job", NULL, NULL, NULL), SQLITE_OK);
	(void)snprintf(path, sizeof(path), "%s-wal", f->path);
	assert_int_equal(stat(path, &st), 0);
	limit_files((rlim_t)st.st_size);
	deletion.op.may_fail = true;
	assert_int_equal(run_op(f, &deletion), -ENOSPC); /* of no avail against this kind of limit */
	(void)snprintf(path, sizeof(path), "%s-reserve", f->path);
	assert_int_equal(access(path, F_OK), -1);
	limit_files(RLIM_INFINITY);
	(void)sqlite3_close(reader); /* its transaction has nothing to write */
	deletion = op_of(STORE_JOB_DELETE, 1);
	assert_int_equal(run_op(f, &deletion), 0);
}

static void the_reserve_is_there_again_when_there_is_room(void **state)
{
	struct fixture *f = *state;
	struct test_op deletion = op_of(STORE_JOB_DELETE, 1), add;
	char submission[16], reserve[TEST_PATH_BYTES + 16];
	uint64_t id;

	(void)snprintf(reserve, sizeof(reserve), "%s-reserve", f->path);
	assert_int_equal(access(reserve, F_OK), 0);
	limit_files(2 * 1024 * 1024);
	id = fill(f, 1);
	submit(f, &deletion); /* right after the refusal: the store is stalled, and this is its way out */
	settle(f);
	assert_int_equal(deletion.status, 0);
	limit_files(RLIM_INFINITY);
	add = big_job(id, submission, &input);
	assert_int_equal(run_op(f, &add), 0);
	fixture_close(f);
	assert_int_equal(access(reserve, F_OK), 0);
	fixture_open(f);
}

static void closing_on_a_full_disk_fails_what_waits(void **state)
{
	struct fixture *f = *state;
	struct test_op waiting = op_of(STORE_SEGMENT, 1);
	struct test_read read = { .read = { .type = STORE_READ_SEGMENT, .job = 1 } };

	limit_files(2 * 1024 * 1024);
	(void)fill(f, 1);
	waiting.op.u.segment = big_segment(0);
	submit(f, &waiting);
	fixture_close(f);
	assert_true(waiting.done);
	assert_int_equal(waiting.status, -ENOSPC);
	segment_unref(waiting.op.u.segment);
	limit_files(RLIM_INFINITY);
	fixture_open(f);
	assert_int_equal(run_read(f, &read), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_full, teardown_full)
	const struct CMUnitTest tests[] = {
		TEST(a_commit_has_room_for_its_pages_in_the_database),
		TEST(acceptance_ends_when_the_disk_is_full),
		TEST(results_wait_for_room_and_are_then_written_in_order),
		TEST(deleting_makes_room_on_a_full_disk),
		TEST(a_deletion_that_is_the_first_to_meet_a_full_disk_has_the_reserve),
		TEST(the_reserve_is_there_again_when_there_is_room),
		TEST(closing_on_a_full_disk_fails_what_waits),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
