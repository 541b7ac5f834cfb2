/* What a worker process says that it divided a task into, and rows of divided tasks as they are read back: whatever the
 * bytes are, a task gets one outcome, and its parts are found where they lie. */
#include "fuzz.h"

#include "crew/workload.h"
#include "jobs/parts_private.h"

#define TASKS 4

static int n_outcomes;

/* ---- The neighbours ---- */

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	op->on_done(op, 0);
}

void outcome_put(struct job *job, uint64_t task, struct task_record *record, const void *data, size_t len)
{
	(void)job;
	(void)data;
	(void)len;
	FUZZ_CHECK(!step_is(task) && record->state != TASK_QUEUED);
	n_outcomes++;
}

void outcome_failed(struct job *job, uint64_t task, const char *text)
{
	(void)job;
	(void)text;
	FUZZ_CHECK(!step_is(task));
	n_outcomes++;
}

uint16_t history_take_attempts(struct job *job, uint64_t task)
{
	(void)job;
	(void)task;
	return 0;
}

void outcome_end_ready(struct job *job)
{
	(void)job;
}

void schedule_ready(struct job *job)
{
	(void)job;
}

uint64_t apart_remove(struct job *job, uint64_t from, uint64_t count)
{
	(void)job; /* nothing runs apart */
	(void)from;
	(void)count;
	return 0;
}

void job_touch(struct job *job)
{
	(void)job;
}

struct job *job_ref(struct job *job)
{
	return job;
}

void job_unref(struct job *job)
{
	(void)job;
}

void jobs_op_submitted(struct jobs *jobs)
{
	(void)jobs;
}

void jobs_op_done(struct jobs *jobs)
{
	(void)jobs;
}

/* ---- */

static struct plugin_info info = { .has_split = true };
static struct workload workload = { .info = &info, .idempotent = true };
static struct jobs jobs = { .crews = (struct crews *)&jobs };

static void job_init(struct job *job, bool durable)
{
	*job = (struct job){
		.jobs = &jobs,
		.workload = &workload,
		.total = TASKS,
		.durable = durable,
		.choice = { .crew_shape = { 1, 2, 1 } },
	};
	FUZZ_CHECK(ranges_add(&job->main.ready, 0, TASKS) == 0);
	n_outcomes = 0;
}

static void job_fini(struct job *job)
{
	parts_fini(job);
	FUZZ_CHECK(job->parts.bytes == 0 && !job->parts.open);
	ranges_fini(&job->main.ready);
}

/* Hand out every step that is ready, as the crew would: each gives its input back. */
static void run_steps(struct job *job)
{
	uint64_t from, n;

	while ((n = ranges_first_from(&job->main.ready, STEP_BIT, 64, &from)) > 0) {
		const uint8_t *at, *end, *input;
		uint32_t count;
		size_t bytes, len;

		parts_peek(job, from, (uint32_t)n, 100, &at, &bytes, &count);
		FUZZ_CHECK(count >= 1 && count <= n && (bytes <= 100 || count == 1));
		(void)ranges_remove(&job->main.ready, from, count);
		end = at + bytes;
		for (uint32_t i = 0; i < count; i++) {
			const struct task_record record = { .state = TASK_DONE, .attempts = 1 };
			uint8_t *copy;

			at = packed_next(at, end, &input, &len);
			FUZZ_CHECK(at);
			copy = fuzz_copy(input, len);
			parts_put(job, from + i, &record, copy, len); /* may be the last: nothing of it is looked at below */
			free(copy);
		}
	}
}

static void check_split(const uint8_t *data, size_t size, bool durable)
{
	const struct crew_ended ended = { .task = 1, .status = RING_SPLIT, .begin_ns = 1, .data = data, .len = size };
	struct job job;

	job_init(&job, durable);
	FUZZ_CHECK(ranges_remove(&job.main.ready, 1, 1) == 0);
	parts_split(&job, &ended, 0);
	FUZZ_CHECK(parts_is_open(&job, 1) == (n_outcomes == 0));
	run_steps(&job);
	FUZZ_CHECK(n_outcomes == 1 && !parts_is_open(&job, 1));
	job_fini(&job);
}

/* A script of rows: a byte that says which step of which task, a length, the row. */
static void check_rows(const uint8_t *data, size_t size)
{
	uint64_t open;
	struct job job;
	int r = 0, damaged;

	job_init(&job, true);
	while (size > 0 && r == 0) {
		uint8_t what = fuzz_byte(&data, &size);
		size_t len = fuzz_byte(&data, &size);
		uint8_t *row;

		if (len > size)
			len = size;
		row = fuzz_copy(data, len);
		r = parts_recover(&job, step_number(what / 16, what % 16), row, len);
		free(row);
		data += len;
		size -= len;
	}
	parts_recovered(&job);
	open = parts_open(&job);
	damaged = n_outcomes;
	FUZZ_CHECK(open <= TASKS);
	run_steps(&job);
	FUZZ_CHECK(r < 0 || ((uint64_t)(n_outcomes - damaged) == open && !job.parts.open));
	job_fini(&job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_split(data, size, false);
	check_split(data, size, true);
	check_rows(data, size);
	return 0;
}
