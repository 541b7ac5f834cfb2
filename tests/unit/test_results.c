/* Results of one durable job in memory, over a store that answers when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "jobs/job.h"
#include "jobs/parts.h"
#include "store/store.h"

#define N_SEGMENTS 4

static struct jobs jobs;
static struct job job;
static struct store_op *written[N_SEGMENTS]; /* segments on their way to the disk */
static size_t n_written, n_reads;
static struct store_read *last_read;

/* ---- Its neighbours ---- */

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	(void)op;
	fail_msg("a full segment waits for the next ones");
}

void store_submit_late(struct store *store, struct store_op *op)
{
	(void)store;
	assert_int_equal(op->type, STORE_SEGMENT);
	assert_true(n_written < N_SEGMENTS);
	written[n_written++] = op;
}

void store_read(struct store *store, struct store_read *read)
{
	(void)store;
	n_reads++;
	last_read = read;
}

void store_read_fini(struct store_read *read)
{
	segment_unref(take_ptr(read->segment));
}

struct job *job_ref(struct job *of)
{
	of->refs++;
	return of;
}

void job_unref(struct job *of)
{
	of->refs--;
}

void job_notify_progress(struct job *of)
{
	(void)of;
}

void job_touch(struct job *of)
{
	(void)of;
}

void job_flush_later(struct job *of)
{
	(void)of;
}

void jobs_op_submitted(struct jobs *of)
{
	(void)of;
}

void jobs_op_done(struct jobs *of)
{
	(void)of;
}

void finish_make_room(struct jobs *of, uint64_t bytes, uint32_t *most)
{
	(void)of;
	(void)bytes;
	(void)most;
}

void finish_rest_later(struct jobs *of)
{
	(void)of;
}

bool parts_possible(const struct job *of)
{
	(void)of;
	return false;
}

int spill_write(struct spill *spill, const char *dir, const void *data, size_t len, uint64_t *ret_offset)
{
	(void)spill;
	(void)dir;
	(void)data;
	(void)len;
	(void)ret_offset;
	fail_msg("a durable job has no spill file");
	return -1;
}

int spill_read(const struct spill *spill, uint64_t offset, void *data, size_t len)
{
	(void)spill;
	(void)offset;
	(void)data;
	(void)len;
	fail_msg("a durable job has no spill file");
	return -1;
}

/* ---- The job ---- */

static int setup(void **state)
{
	(void)state;
	jobs = (struct jobs){ .n_processors = 1 };
	job = (struct job){ .jobs = &jobs, .refs = 1, .durable = true, .total = N_SEGMENTS * SEGMENT_TASKS };
	n_written = n_reads = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	results_fini(&job);
	assert_int_equal(jobs.resident_bytes, 0);
	assert_int_equal(job.refs, 1);
	return 0;
}

/* Every task of the number-th segment has a result; the segment is the store's now. */
static void fill(uint64_t number)
{
	struct task_record record = { .state = TASK_DONE, .attempts = 1, .worker_pid = 1 };

	for (uint64_t i = 0; i < SEGMENT_TASKS; i++)
		assert_int_equal(results_put(&job, number * SEGMENT_TASKS + i, &record, "result", 6), 0);
}

static void write_done(size_t i)
{
	written[i]->on_done(written[i], 0);
}

/* Is there nothing to read before its outcomes can be shown? Of what is in memory, whether they may be. */
static bool in_memory(uint64_t number, bool *ret_shown)
{
	struct segment *segment = NULL;
	int r = results_get(&job, number * SEGMENT_TASKS + 7, &segment);

	if (r < 0)
		return false;
	*ret_shown = segment_recorded(segment, 7);
	segment_unref(segment);
	return true;
}

/* ---- Tests ---- */

static void what_is_not_on_disk_is_not_shown(void **state)
{
	bool shown = true;

	(void)state;
	fill(0);
	assert_true(in_memory(0, &shown));
	assert_false(shown);
	assert_int_equal(job.results.recorded, 0);
	write_done(0);
	assert_true(in_memory(0, &shown));
	assert_true(shown);
	assert_int_equal(job.results.recorded, SEGMENT_TASKS);
}

static void what_its_only_reader_has_passed_leaves_memory_and_is_read_back(void **state)
{
	struct job_watch watch = { .next = NULL };
	bool shown;

	(void)state;
	job.watches = &watch;
	fill(0);
	fill(1);
	write_done(0);
	write_done(1);
	results_passed(&job, 0);
	assert_true(in_memory(1, &shown));
	assert_int_equal(n_reads, 0);
	assert_false(in_memory(0, &shown));
	assert_int_equal(n_reads, 1);
	last_read->on_done(last_read, -ENOENT); /* what the store found is of no interest here */
	job.watches = NULL;
}

static void what_another_reader_may_want_stays(void **state)
{
	struct job_watch second = { .next = NULL }, first = { .next = &second };
	bool shown;

	(void)state;
	job.watches = &first;
	fill(0);
	write_done(0);
	results_passed(&job, 0);
	assert_true(in_memory(0, &shown));
	job.watches = NULL;
}

static void what_is_on_no_disk_is_packed_when_its_only_reader_has_passed(void **state)
{
	struct job_watch second = { .next = NULL }, first = { .next = &second };
	uint64_t unpacked_bytes;
	bool shown = false;

	(void)state;
	job.durable = false;
	job.watches = &first;
	fill(0);
	fill(1);
	unpacked_bytes = job.results.unpacked_bytes;
	results_passed(&job, 0); /* the other one may want it */
	assert_true(job.results.unpacked_bytes == unpacked_bytes);
	job.watches = &second;
	results_passed(&job, 0);
	assert_true(job.results.unpacked_bytes == unpacked_bytes / 2);
	results_passed(&job, 0);
	assert_true(job.results.unpacked_bytes == unpacked_bytes / 2);
	assert_true(in_memory(0, &shown));
	assert_true(shown);
	job.watches = NULL;
	buffer_fini(&jobs.packing);
}

static void what_is_on_its_way_to_the_disk_or_open_stays(void **state)
{
	struct task_record record = { .state = TASK_DONE, .attempts = 1, .worker_pid = 1 };
	bool shown;

	(void)state;
	fill(0);
	assert_int_equal(results_put(&job, SEGMENT_TASKS, &record, "result", 6), 0);
	results_passed(&job, 0);
	results_passed(&job, 1);
	results_passed(&job, 2); /* there is none */
	assert_true(in_memory(0, &shown));
	assert_true(in_memory(1, &shown));
	write_done(0);
	assert_true(in_memory(0, &shown));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_on_disk_is_not_shown),
		TEST(what_its_only_reader_has_passed_leaves_memory_and_is_read_back),
		TEST(what_is_on_no_disk_is_packed_when_its_only_reader_has_passed),
		TEST(what_another_reader_may_want_stays),
		TEST(what_is_on_its_way_to_the_disk_or_open_stays),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
