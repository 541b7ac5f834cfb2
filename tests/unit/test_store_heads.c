/* What a commit that accepts a small job leaves out: a row of inputs of its own, and a place in the index of submissions
 * where there is no id. */
#include "store_fixture.h"

#include <errno.h>

#include <sqlite3.h>

#include "base/buffer.h"
#include "base/cleanup.h"

#define HEAD_BYTES 1024 /* as write_op.c has it */
#define PREFIX_BYTES 2 /* of one input of up to 16,383 bytes */

static int64_t get_int(struct fixture *f, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	int64_t value;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt); /* it was stepped well */
	(void)sqlite3_close(db);
	return value;
}

static void run_sql(struct fixture *f, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
}

/* count inputs, which all are "X" of this length, packed. */
static struct store_input inputs_of(struct buffer *packed, uint64_t first, uint32_t count, size_t len)
{
	char text[HEAD_BYTES];

	memset(text, 'X', sizeof(text));
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(buffer_add_varint(packed, len), 0);
		assert_int_equal(buffer_add(packed, text, len), 0);
	}
	return (struct store_input){ .first = first, .count = count, .packed = packed->data, .packed_bytes = packed->len };
}

/* Task `task` is in a run of inputs [first, first + count), these bytes. */
static void assert_input(struct fixture *f, uint64_t task, uint64_t first, uint32_t count, const struct buffer *packed)
{
	struct test_read read = { .read = { .type = STORE_READ_INPUT, .job = 1, .task = task } };

	assert_int_equal(run_read(f, &read), 0);
	assert_int_equal(read.read.input_first, first);
	assert_int_equal(read.read.input_count, count);
	assert_int_equal(read.read.input.len, packed->len);
	assert_memory_equal(read.read.input.data, packed->data, packed->len);
	store_read_fini(&read.read);
}

static int on_input(void *arg, uint64_t first, uint32_t count, size_t packed_bytes)
{
	return buffer_printf(arg, "%d+%d %d;", (int)first, (int)count, (int)packed_bytes);
}

static void assert_recovered(struct fixture *f, const char *wanted)
{
	const struct store_recovery_ops ops = { .on_input = on_input };
	_cleanup_buffer_ struct buffer said = BUFFER_INIT;

	assert_int_equal(store_recover_tasks(f->store, 1, &ops, &said), 0);
	assert_int_equal(buffer_add(&said, "", 1), 0);
	assert_string_equal((const char *)said.data, wanted);
}

static void check_says(void *arg, const char *line)
{
	(void)buffer_printf(arg, "%s\n", line);
}

/* What --check-store finds, which has to have these words. */
static void assert_check(struct fixture *f, int wanted, const char *words)
{
	_cleanup_buffer_ struct buffer said = BUFFER_INIT;

	assert_int_equal(store_check(f->path, check_says, &said, NULL), wanted);
	assert_int_equal(buffer_add(&said, "", 1), 0);
	assert_non_null(strstr((const char *)said.data, words));
}

static void few_bytes_of_inputs_are_in_the_jobs_row_and_the_rest_behind_it(void **state)
{
	_cleanup_buffer_ struct buffer packed = BUFFER_INIT, more = BUFFER_INIT;
	struct store_input head = inputs_of(&packed, 0, 3, 5), rest = inputs_of(&more, 3, 2, 7);
	struct fixture *f = *state;
	struct test_op add = job_add_inputs(1, "a", &head, 1, 3), further = op_of(STORE_INPUT_ADD, 1);
	struct test_read beyond = { .read = { .type = STORE_READ_INPUT, .job = 1, .task = 3 } };

	add.op.u.add.state.open = true;
	assert_int_equal(run_op(f, &add), 0);
	assert_int_equal(get_int(f, "SELECT count(*) FROM input"), 0);
	assert_input(f, 0, 0, 3, &packed);
	assert_input(f, 2, 0, 3, &packed);
	assert_int_equal(run_read(f, &beyond), -ENOENT);
	assert_recovered(f, "0+3 18;");
	further.op.u.input.rows = &rest;
	further.op.u.input.n_rows = 1;
	further.op.u.input.from = 3;
	further.op.u.input.total = 5;
	further.op.u.input.last = true;
	assert_int_equal(run_op(f, &further), 0);
	fixture_reopen(f);
	assert_input(f, 2, 0, 3, &packed);
	assert_input(f, 4, 3, 2, &more);
	assert_recovered(f, "0+3 18;3+2 16;");
	assert_check(f, 0, "sound: 1 jobs");
}

static void inputs_of_many_bytes_have_a_row_of_their_own(void **state)
{
	struct fixture *f = *state;

	for (uint64_t over = 0; over < 2; over++) {
		_cleanup_buffer_ struct buffer packed = BUFFER_INIT;
		struct store_input input = inputs_of(&packed, 0, 1, HEAD_BYTES - PREFIX_BYTES + over);
		struct test_op add = job_add_inputs(1, "a", &input, 1, 1), delete = op_of(STORE_JOB_DELETE, 1);

		assert_int_equal(run_op(f, &add), 0);
		assert_int_equal(get_int(f, "SELECT count(*) FROM input"), over);
		assert_input(f, 0, 0, 1, &packed);
		assert_int_equal(run_op(f, &delete), 0);
	}
}

static void a_damaged_head_is_noticed(void **state)
{
	_cleanup_buffer_ struct buffer packed = BUFFER_INIT;
	struct store_input head = inputs_of(&packed, 0, 3, 5);
	struct fixture *f = *state;
	struct test_op add = job_add_inputs(1, "a", &head, 1, 3);
	struct test_read read = { .read = { .type = STORE_READ_INPUT, .job = 1, .task = 1 } };

	assert_int_equal(run_op(f, &add), 0);
	run_sql(f, "UPDATE job SET head = CAST(replace(head, 'X', 'Y') AS BLOB)");
	assert_int_equal(run_read(f, &read), -EBADMSG);
	assert_check(f, -EBADMSG, "the inputs of tasks 0 to 2 are damaged");
	run_sql(f, "UPDATE job SET head_count = 0");
	read.read = (struct store_read){ .type = STORE_READ_INPUT, .job = 1, .task = 1 };
	assert_int_equal(run_read(f, &read), -ENOENT);
	assert_check(f, -EBADMSG, "it has 3 tasks, and inputs for 0");
}

static void jobs_without_a_submissions_id_are_different_jobs(void **state)
{
	struct fixture *f = *state;
	struct test_op first = job_add(1, ""), second = job_add(2, ""), named = job_add(3, "c"), again = job_add(4, "c");
	struct test_read nobody = { .read = { .type = STORE_FIND_SUBMISSION, .submission = "" } };
	struct test_read found = { .read = { .type = STORE_FIND_SUBMISSION, .submission = "c" } };

	assert_int_equal(run_op(f, &first), 0);
	assert_int_equal(run_op(f, &second), 0);
	assert_int_equal(run_op(f, &named), 0);
	assert_int_equal(run_op(f, &again), -EEXIST);
	assert_int_equal(again.op.u.add.existing_job, 3);
	assert_int_equal(run_read(f, &nobody), -ENOENT);
	assert_int_equal(run_read(f, &found), 0);
	assert_int_equal(found.read.n_jobs, 1);
	assert_int_equal(found.read.jobs[0].job.id, 3);
	store_read_fini(&found.read);
	assert_int_equal(get_int(f, "SELECT count(*) FROM job"), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(few_bytes_of_inputs_are_in_the_jobs_row_and_the_rest_behind_it),
		TEST(inputs_of_many_bytes_have_a_row_of_their_own),
		TEST(a_damaged_head_is_noticed),
		TEST(jobs_without_a_submissions_id_are_different_jobs),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
