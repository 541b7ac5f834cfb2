/* What a store tells its next user: after an orderly end, and after a kill in the middle of writing. */
#include "store_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

/* ---- What recovery says, as text ---- */

static void say(struct buffer *b, const char *what, uint64_t first, uint64_t count)
{
	assert_int_equal(buffer_printf(b, "%s %" PRIu64 "+%" PRIu64 ";", what, first, count), 0);
}

static int on_segment(void *arg, uint64_t first, uint32_t count, const struct segment_sums *sums)
{
	assert_true(sums->done == count && sums->failed == 0 && sums->cancelled == 0);
	say(arg, "segment", first, count);
	return 0;
}

static int on_task(void *arg, uint64_t task, const void *blob, size_t len)
{
	struct task_record record;
	const uint8_t *data;

	assert_int_equal(task_record_decode(blob, len, &record, &data), 0);
	say(arg, "task", task, record.length);
	return 0;
}

static int on_started(void *arg, uint64_t first, uint64_t count)
{
	say(arg, "started", first, count);
	return 0;
}

static int on_crash(void *arg, const struct store_crash *crash)
{
	assert_string_equal(crash->cause, "it fell");
	assert_int_equal(crash->attempts, crash->crashes + 1);
	say(arg, "crashed", crash->task, crash->crashes);
	return 0;
}

static int on_input(void *arg, uint64_t first, uint32_t count, size_t packed_bytes)
{
	assert_true(packed_bytes == count);
	say(arg, "input", first, count);
	return 0;
}

static void assert_tasks(struct fixture *f, uint64_t job, const char *wanted)
{
	const struct store_recovery_ops ops = { on_segment, on_task, on_started, on_input, on_crash, NULL };
	_cleanup_buffer_ struct buffer said = BUFFER_INIT;

	assert_int_equal(store_recover_tasks(f->store, job, &ops, &said), 0);
	assert_int_equal(buffer_add(&said, "", 1), 0);
	assert_string_equal((const char *)said.data, wanted);
}

static int on_job(void *arg, const struct store_recovered_job *job)
{
	say(arg, job->job.submission, job->job.id, job->state.total);
	return 0;
}

static void assert_jobs(struct fixture *f, const char *wanted)
{
	_cleanup_buffer_ struct buffer said = BUFFER_INIT;

	assert_int_equal(store_recover_jobs(f->store, 0, on_job, &said), 0);
	assert_int_equal(buffer_add(&said, "", 1), 0);
	assert_string_equal((const char *)said.data, wanted);
}

static int on_worker(void *arg, int32_t pid, uint64_t start_time)
{
	say(arg, "worker", (uint64_t)pid, start_time);
	return 0;
}

/* ---- Ops ---- */

static void add_job(struct fixture *f, uint64_t id, const char *submission, uint32_t n_inputs)
{
	const struct store_input rows[] = { { 0, n_inputs, (const uint8_t *)"xxxxxxxxxx", n_inputs },
					    { n_inputs, 2, (const uint8_t *)"yy", 2 } };
	struct test_op op = job_add_inputs(id, submission, rows, 2, n_inputs + 2);

	assert_int_equal(run_op(f, &op), 0);
}

static void write_tasks(struct fixture *f, uint64_t job, uint64_t first, size_t n)
{
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
	const struct task_record record = { .state = TASK_DONE, .attempts = 1, .length = 4 };
	struct test_op op = op_of(STORE_TASKS, job);
	struct store_task tasks[8];

	assert_int_equal(task_record_encode(&record, "four", &blob), 0);
	for (size_t i = 0; i < n; i++)
		tasks[i] = (struct store_task){ first + i, blob.data, blob.len };
	op.op.u.tasks.tasks = tasks;
	op.op.u.tasks.n = n;
	assert_int_equal(run_op(f, &op), 0);
}

static void mark(struct fixture *f, enum store_op_type type, uint64_t job, uint64_t first, uint64_t count)
{
	const struct store_range ranges[] = { { first, count }, { first + 100, 1 } };
	struct test_op op = op_of(type, job);

	op.op.u.started.ranges = ranges;
	op.op.u.started.n = 2;
	assert_int_equal(run_op(f, &op), 0);
}

/* ---- Orderly ---- */

static void unfinished_jobs_are_recovered_oldest_first(void **state)
{
	struct fixture *f = *state;
	struct test_op end = op_of(STORE_JOB_STATE, 2);

	add_job(f, 3, "c", 5);
	add_job(f, 1, "a", 3);
	add_job(f, 2, "b", 4);
	end.op.u.state = (struct store_job_state){ .state = 4, .ended_unix_us = 1 };
	assert_int_equal(run_op(f, &end), 0);
	fixture_reopen(f);
	assert_jobs(f, "a 1+5;c 3+7;");
}

static void the_walk_ends_with_its_callbacks_error(void **state)
{
	struct fixture *f = *state;
	const struct store_recovery_ops nothing = { .on_input = NULL };

	add_job(f, 1, "a", 3);
	assert_int_equal(store_recover_tasks(f->store, 1, &nothing, NULL), 0);
	assert_int_equal(store_recover_tasks(f->store, 99, &nothing, NULL), 0);
}

static void tasks_and_marks_are_recovered_as_they_were(void **state)
{
	struct fixture *f = *state;
	struct test_op op = op_of(STORE_SEGMENT, 1);

	add_job(f, 1, "a", 7);
	write_tasks(f, 1, 4096, 2);
	mark(f, STORE_STARTED_SET, 1, 4096, 5); /* and 4196; two of them have ended */
	mark(f, STORE_STARTED_SET, 1, 20, 3);
	op.op.u.segment = numbers_segment(0, SEGMENT_TASKS);
	assert_int_equal(run_op(f, &op), 0); /* takes the marks 20-22 and 120 with it */
	segment_unref(op.op.u.segment);
	mark(f, STORE_STARTED_SET, 1, 9000, 4);
	mark(f, STORE_STARTED_CLEAR, 1, 9001, 2); /* and 9101, which is not set */
	fixture_reopen(f);
	assert_tasks(f, 1,
		     "input 0+7;input 7+2;segment 0+4096;task 4096+4;task 4097+4;"
		     "started 4098+3;started 4196+1;started 9000+1;started 9003+1;started 9100+1;");
}

static void a_fold_leaves_the_segment_alone(void **state)
{
	struct fixture *f = *state;
	struct test_op op = op_of(STORE_SEGMENT, 1);

	add_job(f, 1, "a", 7);
	write_tasks(f, 1, 0, 8);
	write_tasks(f, 1, 4096, 1);
	op.op.u.segment = numbers_segment(0, SEGMENT_TASKS);
	assert_int_equal(run_op(f, &op), 0);
	segment_unref(op.op.u.segment);
	fixture_reopen(f);
	assert_tasks(f, 1, "input 0+7;input 7+2;segment 0+4096;task 4096+4;");
}

static void count_crash(struct fixture *f, uint64_t job, uint64_t task, uint32_t crashes)
{
	struct test_op op = op_of(STORE_CRASH, job);

	op.op.u.crash = (struct store_crash){ task, crashes, crashes + 1, "it fell" };
	assert_int_equal(run_op(f, &op), 0);
}

static void crashes_are_remembered_until_their_task_has_an_outcome(void **state)
{
	struct fixture *f = *state;
	struct test_op segment = op_of(STORE_SEGMENT, 1), delete = op_of(STORE_JOB_DELETE, 1),
		       nobody = op_of(STORE_CRASH, 99);

	add_job(f, 1, "a", 3);
	count_crash(f, 1, 5, 1);
	count_crash(f, 1, 5, 2); /* in its place */
	count_crash(f, 1, 7, 1);
	count_crash(f, 1, SEGMENT_TASKS, 1);
	write_tasks(f, 1, 7, 1);
	nobody.op.u.crash = (struct store_crash){ .cause = "" };
	assert_int_equal(run_op(f, &nobody), -ENOENT);
	fixture_reopen(f);
	assert_tasks(f, 1, "input 0+3;input 3+2;task 7+4;crashed 5+2;crashed 4096+1;");
	segment.op.u.segment = numbers_segment(0, SEGMENT_TASKS);
	assert_int_equal(run_op(f, &segment), 0);
	segment_unref(segment.op.u.segment);
	assert_tasks(f, 1, "input 0+3;input 3+2;segment 0+4096;crashed 4096+1;");
	assert_int_equal(run_op(f, &delete), 0);
	assert_tasks(f, 1, "");
}

static void worker_processes_are_remembered_until_removed(void **state)
{
	_cleanup_buffer_ struct buffer said = BUFFER_INIT;
	struct fixture *f = *state;

	for (int32_t pid = 100; pid < 103; pid++) {
		struct test_op op = op_of(STORE_WORKER_ADD, 0);

		op.op.u.worker.pid = pid;
		op.op.u.worker.start_time = UINT64_C(5000000000) + (uint64_t)pid;
		assert_int_equal(run_op(f, &op), 0);
		op.op.type = STORE_WORKER_DEL;
		if (pid == 101)
			assert_int_equal(run_op(f, &op), 0);
	}
	fixture_reopen(f);
	assert_int_equal(store_recover_workers(f->store, on_worker, &said), 0);
	assert_int_equal(buffer_add(&said, "", 1), 0);
	assert_string_equal((const char *)said.data, "worker 100+5000000100;worker 102+5000000102;");
}

static void ops_out_at_closing_are_committed_and_reported(void **state)
{
	struct fixture *f = *state;
	struct test_op ops[20];
	char submissions[20][8];

	for (uint64_t i = 0; i < 20; i++) {
		(void)snprintf(submissions[i], sizeof(submissions[i]), "s%d", (int)i);
		ops[i] = job_add(i + 1, submissions[i]);
		submit(f, &ops[i]);
	}
	fixture_reopen(f);
	for (uint64_t i = 0; i < 20; i++) {
		struct test_read read = { .read = { .type = STORE_READ_JOB, .job = i + 1 } };

		assert_true(ops[i].done);
		assert_int_equal(ops[i].status, 0);
		assert_int_equal(run_read(f, &read), 0);
		store_read_fini(&read.read);
	}
}

static int64_t count_rows(struct fixture *f, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	int64_t n;

	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return n;
}

static void a_deletion_cut_short_is_finished_by_the_next_store(void **state)
{
	struct fixture *f = *state;
	struct test_op deletion = op_of(STORE_JOB_DELETE, 1), last = op_of(STORE_JOB_DELETE, 2);

	add_job(f, 1, "a", 3);
	add_job(f, 2, "b", 3);
	for (uint64_t i = 0; i < 100; i++) {
		struct test_op op = op_of(STORE_SEGMENT, 1);

		op.op.u.segment = numbers_segment(i * SEGMENT_TASKS, 2);
		assert_int_equal(run_op(f, &op), 0);
		segment_unref(op.op.u.segment);
	}
	submit(f, &deletion);
	fixture_reopen(f); /* does not wait for the slices */
	assert_true(deletion.done);
	assert_jobs(f, "b 2+5;");
	assert_int_equal(run_op(f, &last), 0); /* the older one goes first, so this one's end is the end of both */
	assert_int_equal(count_rows(f, "SELECT (SELECT count(*) FROM segment) + (SELECT count(*) FROM input)"
				       " + (SELECT count(*) FROM doomed)"), 0);
}

static int on_damaged_task(void *arg, uint64_t task, const void *blob, size_t len)
{
	assert_null(blob);
	assert_int_equal(len, 0);
	*(uint64_t *)arg = task;
	return 0;
}

static int sum_users(void *arg, uint64_t job, uint32_t uid)
{
	uint64_t *sum = arg;

	*sum = *sum * 10 + job * 2 + uid % 2; /* which, and in which order */
	return 0;
}

static void each_users_newest_job_is_found(void **state)
{
	struct fixture *f = *state;
	struct test_read read;
	uint64_t sum = 0;

	for (uint64_t id = 1; id <= 4; id++) {
		struct test_op op = op_of(STORE_JOB_ADD, id);
		char submission[8];

		(void)snprintf(submission, sizeof(submission), "s%d", (int)id);
		op.op.u.add.job = (struct store_job){ .id = id, .submission = submission, .workload = "w", .spec = "{}",
						      .uid = id % 2 ? 1001 : 1000 };
		assert_int_equal(run_op(f, &op), 0);
	}
	read = (struct test_read){ .read = { .type = STORE_READ_LAST, .uid = 1000 } };
	assert_int_equal(run_read(f, &read), 0);
	assert_true(read.read.jobs[0].job.id == 4);
	store_read_fini(&read.read);
	read.read = (struct store_read){ .type = STORE_READ_LAST, .uid = 1000, .below = 4 };
	assert_int_equal(run_read(f, &read), 0);
	assert_true(read.read.jobs[0].job.id == 2);
	store_read_fini(&read.read);
	read.read = (struct store_read){ .type = STORE_READ_LAST, .uid = 1000, .below = 2 };
	assert_int_equal(run_read(f, &read), -ENOENT);
	assert_int_equal(store_recover_users(f->store, sum_users, &sum), 0);
	assert_true(sum == 3478);
}

static void a_flipped_bit_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct test_op op = op_of(STORE_SEGMENT, 1);
	struct test_read read = { .read = { .type = STORE_READ_SEGMENT, .job = 1 } };
	const struct store_recovery_ops ops = { .on_task = on_damaged_task };
	uint64_t damaged = 0;
	sqlite3 *db = NULL;

	add_job(f, 1, "a", 3);
	op.op.u.segment = numbers_segment(0, 100);
	assert_int_equal(run_op(f, &op), 0);
	segment_unref(op.op.u.segment);
	write_tasks(f, 1, 4096, 1);
	fixture_close(f);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "UPDATE segment SET packed = CAST(replace(packed, '98', '88') AS BLOB);"
				      "UPDATE input SET packed = x'797A' WHERE first > 0;"
				      "UPDATE task SET packed = CAST(replace(packed, 'four', 'five') AS BLOB)",
				      NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	fixture_open(f);
	assert_int_equal(run_read(f, &read), -EBADMSG);
	read.read.task = 4096;
	assert_int_equal(run_read(f, &read), -EBADMSG);
	read.read = (struct store_read){ .type = STORE_READ_INPUT, .job = 1, .task = 3 };
	assert_int_equal(run_read(f, &read), -EBADMSG);
	read.read.task = 0;
	assert_int_equal(run_read(f, &read), 0);
	store_read_fini(&read.read);
	assert_int_equal(store_recover_tasks(f->store, 1, &ops, &damaged), 0);
	assert_true(damaged == 4096);
}

/* ---- Killed ---- */

#define KILL_WINDOW 8 /* jobs in flight at once */
#define TASKS_EACH 4

/* One job's life in the process that is killed: added, some tasks recorded, its segment written; then the next. */
struct life {
	struct store_op op;
	struct store *store;
	int ack_fd;
	uint64_t id;
	int step;
	char submission[24];
	struct store_input inputs[2];
	struct store_task tasks[TASKS_EACH];
	struct buffer blob;
	struct segment *segment;
};

struct ack {
	uint64_t job;
	uint64_t step;
};

static void next_step(struct life *life);

static void on_step_done(struct store_op *op, int status)
{
	struct life *life = container_of(op, struct life, op);
	struct ack ack = { .job = life->id, .step = (uint64_t)life->step };

	if (status < 0 || io_write_full(life->ack_fd, &ack, sizeof(ack)) < 0)
		_exit(3);
	if (++life->step == 3) {
		life->step = 0;
		life->id += KILL_WINDOW;
		segment_unref(life->segment);
	}
	next_step(life);
}

static void next_step(struct life *life)
{
	life->op = (struct store_op){ .job = life->id, .on_done = on_step_done };
	if (life->step == 0) {
		(void)snprintf(life->submission, sizeof(life->submission), "s%" PRIu64, life->id);
		life->op.type = STORE_JOB_ADD;
		life->op.u.add.job = (struct store_job){
			.id = life->id, .submission = life->submission, .workload = "w", .spec = "{}"
		};
		life->op.u.add.inputs = life->inputs;
		life->op.u.add.n_inputs = 2;
	} else if (life->step == 1) {
		life->op.type = STORE_TASKS;
		life->op.u.tasks.tasks = life->tasks;
		life->op.u.tasks.n = TASKS_EACH;
	} else {
		life->segment = numbers_segment(0, 500);
		life->op.type = STORE_SEGMENT;
		life->op.u.segment = life->segment;
	}
	store_submit(life->store, &life->op);
}

static _Noreturn void write_until_killed(const char *path, int ack_fd, uint64_t first_id)
{
	static uint8_t packed[3000];
	struct task_record record = { .state = TASK_DONE, .attempts = 1, .length = 4 };
	struct store_options options = { .path = path };
	struct life lives[KILL_WINDOW];
	struct loop *loop;
	struct store *store;

	memset(lives, 0, sizeof(lives));
	if (loop_open(&loop) < 0 || store_open(loop, &options, &store, NULL) < 0)
		_exit(2);
	for (uint64_t i = 0; i < KILL_WINDOW; i++) {
		struct life *life = &lives[i];

		life->store = store;
		life->ack_fd = ack_fd;
		life->id = first_id + i;
		life->inputs[0] = (struct store_input){ 0, sizeof(packed), packed, sizeof(packed) };
		life->inputs[1] = (struct store_input){ sizeof(packed), 2, packed, 2 };
		if (task_record_encode(&record, "four", &life->blob) < 0)
			_exit(2);
		for (uint64_t t = 0; t < TASKS_EACH; t++)
			life->tasks[t] = (struct store_task){ t, life->blob.data, life->blob.len };
		next_step(life);
	}
	(void)loop_run(loop); /* until the kill */
	_exit(4);
}

struct found {
	int n_inputs, n_tasks, n_segments;
};

static int count_segment(void *arg, uint64_t first, uint32_t count, const struct segment_sums *sums)
{
	struct found *found = arg;

	(void)sums;
	assert_true(first == 0 && count == 500);
	found->n_segments++;
	return 0;
}

static int count_task(void *arg, uint64_t task, const void *blob, size_t len)
{
	struct found *found = arg;

	(void)blob;
	assert_true(task < TASKS_EACH && len > 4);
	found->n_tasks++;
	return 0;
}

static int count_input(void *arg, uint64_t first, uint32_t count, size_t packed_bytes)
{
	struct found *found = arg;

	(void)first;
	assert_true(count == packed_bytes);
	found->n_inputs++;
	return 0;
}

/* A job is there with both rows of inputs; its four tasks all or none; once its segment is there, no task row is. */
static int check_job(void *arg, const struct store_recovered_job *job)
{
	const struct store_recovery_ops ops = {
		.on_segment = count_segment, .on_task = count_task, .on_input = count_input
	};
	uint64_t *acked = ((void **)arg)[0];
	struct fixture *f = ((void **)arg)[1];
	struct found found = { 0 };
	uint64_t steps = acked[job->job.id];

	assert_int_equal(store_recover_tasks(f->store, job->job.id, &ops, &found), 0);
	assert_int_equal(found.n_inputs, 2);
	assert_true(found.n_tasks == 0 || found.n_tasks == TASKS_EACH);
	assert_true(found.n_segments == 0 || found.n_tasks == 0);
	if (steps >= 2)
		assert_true(found.n_segments == 1 || found.n_tasks == TASKS_EACH);
	if (steps >= 3)
		assert_int_equal(found.n_segments, 1);
	acked[job->job.id] = 0;
	return 0;
}

#define KILL_ROUNDS 6
#define KILL_MAX_JOBS 100000

static void everything_acknowledged_before_a_kill_is_there_and_nothing_is_partial(void **state)
{
	struct fixture *f = *state;
	uint64_t *acked = calloc(KILL_MAX_JOBS, sizeof(*acked)); /* steps acknowledged, by job */
	uint64_t *copy = calloc(KILL_MAX_JOBS, sizeof(*copy));
	uint64_t first_id = 1;

	fixture_close(f);
	for (int round = 0; round < KILL_ROUNDS; round++) {
		void *arg[] = { copy, f };
		struct ack ack;
		int fds[2], status, n = 0;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			close(fds[0]);
			write_until_killed(f->path, fds[1], first_id);
		}
		close(fds[1]);
		while (io_read_full(fds[0], &ack, sizeof(ack)) == sizeof(ack)) {
			assert_true(ack.job < KILL_MAX_JOBS);
			acked[ack.job] = ack.step + 1;
			if (ack.job >= first_id)
				first_id = ack.job + 1;
			if (++n == 3 + round * 67)
				assert_int_equal(kill(pid, SIGKILL), 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		close(fds[0]);
		first_id += KILL_WINDOW; /* beyond what was written and not acknowledged */

		fixture_open(f);
		memcpy(copy, acked, KILL_MAX_JOBS * sizeof(*copy));
		assert_int_equal(store_recover_jobs(f->store, 0, check_job, arg), 0);
		for (uint64_t id = 0; id < KILL_MAX_JOBS; id++)
			assert_true(copy[id] == 0); /* no acknowledged job was missing */
		fixture_close(f);
	}
	fixture_open(f); /* for the teardown */
	free(acked);
	free(copy);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(unfinished_jobs_are_recovered_oldest_first),
		TEST(the_walk_ends_with_its_callbacks_error),
		TEST(tasks_and_marks_are_recovered_as_they_were),
		TEST(a_fold_leaves_the_segment_alone),
		TEST(crashes_are_remembered_until_their_task_has_an_outcome),
		TEST(worker_processes_are_remembered_until_removed),
		TEST(ops_out_at_closing_are_committed_and_reported),
		TEST(a_deletion_cut_short_is_finished_by_the_next_store),
		TEST(a_flipped_bit_is_noticed),
		TEST(each_users_newest_job_is_found),
		TEST(everything_acknowledged_before_a_kill_is_there_and_nothing_is_partial),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
