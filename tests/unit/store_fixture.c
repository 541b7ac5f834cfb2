/* See store_fixture.h. */
#include "store_fixture.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

static int answered;

void fixture_dir(struct fixture *f)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(f->dir, sizeof(f->dir), "%s/concd-store-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/store.db", f->dir);
}

void fixture_remove_dir(struct fixture *f)
{
	DIR *dir = opendir(f->dir);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	}
	closedir(dir);
	assert_int_equal(rmdir(f->dir), 0);
}

void fixture_open(struct fixture *f)
{
	struct store_options options = { .path = f->path };
	struct error err = ERROR_INIT;

	assert_int_equal(loop_open(&f->loop), 0);
	if (store_open(f->loop, &options, &f->store, &err) < 0)
		fail_msg("%s", err.text);
}

void fixture_close(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
	loop_close(f->loop);
	f->loop = NULL;
}

void fixture_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fixture_dir(f);
	fixture_open(f);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	fixture_remove_dir(f);
	free(f);
	return 0;
}

static void one_answered(struct fixture *f)
{
	if (--f->n_waiting == 0)
		loop_stop(f->loop);
}

static void on_op_done(struct store_op *op, int status)
{
	struct test_op *test_op = container_of(op, struct test_op, op);

	test_op->status = status;
	test_op->done = true;
	test_op->order = ++answered;
	one_answered(test_op->f);
}

static void on_read_done(struct store_read *read, int status)
{
	struct test_read *test_read = container_of(read, struct test_read, read);

	test_read->status = status;
	one_answered(test_read->f);
}

static void prepare(struct fixture *f, struct test_op *op)
{
	op->f = f;
	op->done = false;
	op->op.on_done = on_op_done;
	f->n_waiting++;
}

void submit(struct fixture *f, struct test_op *op)
{
	prepare(f, op);
	store_submit(f->store, &op->op);
}

void submit_late(struct fixture *f, struct test_op *op)
{
	prepare(f, op);
	store_submit_late(f->store, &op->op);
}

void settle(struct fixture *f)
{
	if (f->n_waiting > 0)
		assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->n_waiting, 0);
}

int run_op(struct fixture *f, struct test_op *op)
{
	submit(f, op);
	settle(f);
	return op->status;
}

int run_read(struct fixture *f, struct test_read *read)
{
	read->f = f;
	read->read.on_done = on_read_done;
	f->n_waiting++;
	store_read(f->store, &read->read);
	settle(f);
	return read->status;
}

struct test_op op_of(enum store_op_type type, uint64_t job)
{
	return (struct test_op){ .op = { .type = type, .job = job } };
}

struct test_op job_add_inputs(uint64_t id, const char *submission, const struct store_input *inputs, size_t n,
			      uint64_t total)
{
	struct test_op op = op_of(STORE_JOB_ADD, id);

	op.op.u.add.job = (struct store_job){
		.id = id,
		.submission = submission,
		.workload = "squares",
		.spec = "{\"model\":\"pool\"}",
		.uid = 1000,
		.created_unix_us = INT64_C(1767225600000000) + (int64_t)id,
	};
	op.op.u.add.state.total = total;
	op.op.u.add.inputs = inputs;
	op.op.u.add.n_inputs = n;
	return op;
}

struct test_op job_add(uint64_t id, const char *submission)
{
	return job_add_inputs(id, submission, NULL, 0, 0);
}

struct segment *numbers_segment(uint64_t first, uint32_t count)
{
	struct segment *segment = segment_new(first, count);

	assert_non_null(segment);
	for (uint32_t i = 0; i < count; i++) {
		struct task_record record = { .state = TASK_DONE, .attempts = 1, .worker_pid = 7, .wall_s = 1e-6f };
		char text[24];
		int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)(first + i));

		if (segment_put(segment, i, &record, text, (size_t)len) < 0)
			fail_msg("task %llu was not put", (unsigned long long)(first + i));
	}
	return segment;
}

void assert_numbers(const struct segment *segment, uint64_t first, uint32_t count)
{
	assert_true(segment->first == first);
	assert_int_equal(segment->count, count);
	assert_int_equal(segment->n_recorded, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct task_record *record = &segment->records[i];
		char text[24];
		int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)(first + i));

		/* Not an assert each: a million of them take their time. */
		if (record->length != (uint32_t)len ||
		    memcmp(segment->bytes.data + record->offset, text, (size_t)len) != 0)
			fail_msg("task %llu has another result", (unsigned long long)(first + i));
	}
}
