/* Divided tasks. parts.h has the picture. */
#include "jobs/parts.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "crew/workload.h"
#include "jobs/parts_private.h"

#define FAILURE_BYTES 2048

struct division *division_find(const struct job *job, uint64_t number)
{
	struct division *d = NULL;
	uint64_t task = step_task(number);

	if (job->parts.open)
		HASH_FIND(hh, job->parts.open, &task, sizeof(task), d);
	return d;
}

void division_free(struct division *d)
{
	free(d->packed);
	free(d->offsets);
	free(d->at);
	free(d->failure_text);
	free(d->unwritten.steps);
	buffer_fini(&d->results);
	buffer_fini(&d->combine);
	buffer_fini(&d->unwritten.blobs);
	free(d);
}

/* Out of the table. */
static void division_close(struct division *d)
{
	HASH_DEL(d->job->parts.open, d);
	d->job->parts.bytes -= d->bytes;
	d->closed = true;
	if (!d->writing)
		division_free(d);
}

void parts_fini(struct job *job)
{
	struct division *d, *next;

	HASH_ITER(hh, job->parts.open, d, next) {
		division_close(d);
	}
}

static void hold_bytes(struct division *d, uint64_t bytes)
{
	d->bytes += bytes;
	d->job->parts.bytes += bytes;
}

bool parts_possible(const struct job *job)
{
	return job->workload && job->workload->info->has_split;
}

/* Check and index the packed inputs of parts. 0, -EBADMSG, -ENOMEM. */
static int index_parts(struct division *d)
{
	const uint8_t *at = d->packed, *end = at + d->packed_bytes, *data;
	uint32_t cap = 0;
	size_t len;

	while (at < end) {
		if (d->n_parts == STEP_PARTS_MAX)
			return -EBADMSG;
		if (d->n_parts / OFFSET_EVERY == cap) {
			uint32_t *more;

			cap = cap ? 2 * cap : 4;
			more = reallocarray(d->offsets, cap, sizeof(*more));
			if (!more)
				return -ENOMEM;
			d->offsets = more;
		}
		if (d->n_parts % OFFSET_EVERY == 0)
			d->offsets[d->n_parts / OFFSET_EVERY] = (uint32_t)(at - d->packed);
		at = packed_next(at, end, &data, &len);
		if (!at || len > RING_BIG_INPUT_BYTES)
			return -EBADMSG;
		d->n_parts++;
	}
	d->at = calloc(d->n_parts, sizeof(*d->at));
	return d->n_parts == 0 ? -EBADMSG : d->at ? 0 : -ENOMEM;
}

int division_new(struct job *job, uint64_t task, const void *packed, size_t bytes, struct division **ret_d)
{
	struct division *d = bytes <= STEP_INPUTS_BYTES ? calloc(1, sizeof(*d)) : NULL;
	int r;

	if (!d)
		return bytes <= STEP_INPUTS_BYTES ? -ENOMEM : -EBADMSG;
	d->job = job;
	d->task = task;
	d->packed = malloc(bytes > 0 ? bytes : 1);
	d->packed_bytes = bytes;
	r = d->packed ? 0 : -ENOMEM;
	if (r == 0) {
		memcpy(d->packed, packed, bytes);
		r = index_parts(d);
	}
	if (r < 0) {
		division_free(d);
		return r;
	}
	d->left = d->n_parts;
	HASH_ADD(hh, job->parts.open, task, sizeof(d->task), d);
	hold_bytes(d, bytes + d->n_parts * sizeof(*d->at));
	*ret_d = d;
	return 0;
}

/* ---- The end of the task ---- */

static void forget_histories(struct division *d)
{
	struct task_history *history, *next;

	HASH_ITER(hh, d->job->history, history, next) {
		if (!step_is(history->task) || step_task(history->task) != d->task)
			continue;
		HASH_DEL(d->job->history, history);
		free(history->cause);
		free(history);
	}
}

/* Give the task its outcome, which `last` (of its combining, or of what failed) and the sums make up. */
static void finish(struct division *d, const struct task_record *last, const void *data, size_t len)
{
	struct job *job = d->job;
	struct task_record record = d->record;
	uint64_t task = d->task;

	record.wall_s = (float)d->wall_s;
	record.cpu_s = (float)d->cpu_s;
	record.runq_s = (float)d->runq_s;
	record.state = last->state;
	record.error = last->error;
	record.signal = last->signal;
	if (last->worker_pid != 0) {
		job->jobs->tasks_done++;
		record.worker_pid = last->worker_pid;
		record.worker_thread = last->worker_thread;
	}
	forget_histories(d);
	outcome_put(job, task, &record, data, len); /* may look at the table: it is still there */
	division_close(d);
	job_touch(job);
}

static void finish_failed(struct division *d)
{
	const char *text = d->failure_text ? d->failure_text : "failed (no memory for the reason)";

	finish(d, &d->failure, text, strlen(text));
}

/* Steps that are nowhere but here are not begun any more. */
static void drop_unbegun(struct division *d)
{
	struct job *job = d->job;
	struct ranges *const sets[] = { &job->main.ready, &job->main.marked };
	uint64_t first = step_number(d->task, STEP_SPLIT), end = step_number(d->task, STEP_END - 1);

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		uint64_t before = sets[i]->count;

		(void)ranges_remove(sets[i], first, end - first); /* no range crosses either end: none is split */
		d->left -= (uint32_t)(before - sets[i]->count);
	}
	d->left -= (uint32_t)apart_remove(job, first, end - first);
	d->left -= (uint32_t)retries_remove(&job->waiting, first, end);
}

/* A death interrupts parts that must not run twice, in any order with the part that caused it, which says more. */
static bool says_more(const struct division *d, const struct task_record *record)
{
	return d->failure.error == TASK_ERROR_INTERRUPTED && record->error != TASK_ERROR_INTERRUPTED &&
	       record->error != TASK_ERROR_CANCELLED;
}

/* The task will fail; the first reason counts, unless it was merely interrupted. */
static void fail(struct division *d, const struct task_record *record, const char *text)
{
	if (d->failing && !says_more(d, record))
		return;
	d->failure = *record;
	free(d->failure_text);
	d->failure_text = strdup(text);
	if (d->failing)
		return; /* what had not begun is dropped */
	d->failing = true;
	if (d->phase != PHASE_RECORDING)
		drop_unbegun(d);
	job_touch(d->job);
}

static void fail_self(struct division *d, enum task_error error, const char *text)
{
	const struct task_record record = { .state = TASK_FAILED, .error = (uint8_t)error };

	fail(d, &record, text);
}

/* ---- Its life ---- */

void division_start(struct division *d, int status)
{
	struct job *job = d->job;

	if (status < 0)
		fail_self(d, TASK_ERROR_FAILED, "its parts could not be recorded");
	d->phase = PHASE_RUNNING;
	if (!d->failing && ranges_add(&job->main.ready, step_number(d->task, STEP_FIRST_PART), d->n_parts) < 0)
		fail_self(d, TASK_ERROR_FAILED, "the daemon has no memory for its parts");
	if (d->failing) /* nothing of it is out */
		finish_failed(d);
}

void division_add_times(struct division *d, const struct task_record *record)
{
	d->wall_s += (double)record->wall_s;
	d->cpu_s += (double)record->cpu_s;
	d->runq_s += (double)record->runq_s;
	if (record->attempts > d->record.attempts)
		d->record.attempts = record->attempts; /* the most that a step took */
}

/* The splitting failed after all: the task ends now. */
static void refuse(struct job *job, uint64_t task, const char *text)
{
	outcome_failed(job, task, text);
	job_touch(job);
}

void parts_split(struct job *job, const struct crew_ended *ended, float queue_s)
{
	struct task_record record = {
		.begin_unix_us = ended->begin_ns / NS_PER_US + job->jobs->unix_offset_us,
		.wall_s = ended->wall_s,
		.cpu_s = ended->cpu_s,
		.runq_s = ended->runq_s,
		.queue_s = queue_s,
		.worker_pid = ended->worker_pid,
		.worker_thread = ended->worker_thread,
		.attempts = 1,
		.state = TASK_DONE,
		.length = (uint32_t)ended->len,
	};
	struct division *d;
	int r = -EBADMSG;

	if (parts_possible(job) && !step_is(ended->task) && ended->task < STEP_TASKS)
		r = division_new(job, ended->task, ended->data, ended->len, &d);
	if (r < 0) {
		refuse(job, ended->task,
		       r == -ENOMEM ? "the daemon has no memory for its parts" :
				      "its worker process divided it in a form that makes no sense");
		return;
	}
	record.attempts = (uint16_t)(record.attempts + history_take_attempts(job, ended->task));
	d->record = record;
	d->record.length = 0;
	division_add_times(d, &record);
	if (!job->durable) {
		division_start(d, 0);
	} else if (division_add_row(d, STEP_SPLIT, &record, d->packed) == 0) {
		division_write(d);
	}
	if (job->durable && !d->writing) {
		fail_self(d, TASK_ERROR_FAILED, "the daemon has no memory for its parts");
		finish_failed(d);
	}
	job_touch(job);
}

void division_combine(struct division *d)
{
	uint8_t head[VARINT_MAX_BYTES];
	size_t head_bytes = (size_t)(varint_put(head, d->results_packed_bytes) - head);

	d->phase = PHASE_COMBINING;
	d->left = 1;
	if (buffer_reserve(&d->combine, head_bytes + d->results_packed_bytes) < 0 ||
	    ranges_add(&d->job->main.ready, step_number(d->task, STEP_COMBINE), 1) < 0) {
		fail_self(d, TASK_ERROR_FAILED, "the daemon has no memory for the results of its parts");
		finish_failed(d);
		return;
	}
	(void)buffer_add(&d->combine, head, head_bytes); /* room was reserved */
	for (uint32_t i = 0; i < d->n_parts; i++) {
		(void)buffer_add_varint(&d->combine, d->at[i].len);
		(void)buffer_add(&d->combine, d->results.data + d->at[i].offset, d->at[i].len);
	}
	buffer_fini(&d->results);
	free(take_ptr(d->packed));
	job_touch(d->job);
}

int division_keep_result(struct division *d, uint32_t part, const void *data, size_t len)
{
	uint8_t head[VARINT_MAX_BYTES];
	size_t packed = (size_t)(varint_put(head, len) - head) + len;

	if (packed > STEP_RESULTS_BYTES - d->results_packed_bytes)
		return -EMSGSIZE;
	if (buffer_add(&d->results, data, len) < 0)
		return -ENOMEM;
	d->at[part] = (struct result){ .offset = (uint32_t)(d->results.len - len), .len = (uint32_t)len, .done = true };
	d->results_packed_bytes += packed;
	hold_bytes(d, packed);
	d->n_done++;
	return 0;
}

static void part_done(struct division *d, uint32_t part, const struct task_record *record, const void *data, size_t len)
{
	struct task_record row = *record;
	int r = division_keep_result(d, part, data, len);

	if (r < 0) {
		fail_self(d, r == -EMSGSIZE ? TASK_ERROR_TOO_LARGE : TASK_ERROR_FAILED,
			  r == -EMSGSIZE ? "the results of its parts are more than 1 MiB together, and combining takes no more" :
					   "the daemon has no memory for the results of its parts");
		return;
	}
	row.length = (uint32_t)len;
	if (!d->job->durable || division_add_row(d, STEP_FIRST_PART + part, &row, data) < 0)
		return; /* without memory a restart would run the part again */
	division_write(d);
}

/* A step that failed; its words are the task's, with the name of the part before. */
static void step_failed(struct division *d, uint32_t step, const struct task_record *record, const void *data, size_t len)
{
	char text[FAILURE_BYTES];
	int shown = len < FAILURE_BYTES ? (int)len : FAILURE_BYTES;

	if (d->job->ending != JOB_ENDING_NO) /* the reason is the job's, not this part's */
		(void)snprintf(text, sizeof(text), "%.*s", shown, (const char *)data);
	else if (step == STEP_COMBINE)
		(void)snprintf(text, sizeof(text), "combining its %u parts: %.*s", d->n_parts, shown, (const char *)data);
	else
		(void)snprintf(text, sizeof(text), "part %u of 0 to %u: %.*s", step - STEP_FIRST_PART, d->n_parts - 1, shown, (const char *)data);
	fail(d, record, text);
}

void parts_put(struct job *job, uint64_t number, const struct task_record *record, const void *data, size_t len)
{
	struct division *d = division_find(job, number);
	struct task_record last = *record;
	uint32_t step = step_of(number);

	if (!d || d->left == 0 || (step == STEP_COMBINE) != (d->phase == PHASE_COMBINING))
		return;
	last.attempts = (uint16_t)(last.attempts + history_take_attempts(job, number));
	division_add_times(d, &last);
	d->left--;
	if (record->state != TASK_DONE) {
		step_failed(d, step, &last, data, len);
	} else if (!d->failing && step == STEP_COMBINE) {
		finish(d, &last, data, len);
		return;
	} else if (!d->failing) {
		part_done(d, step - STEP_FIRST_PART, &last, data, len);
	}
	if (d->left > 0)
		return;
	if (d->failing)
		finish_failed(d);
	else
		division_combine(d);
}

bool parts_failing(const struct job *job, uint64_t number)
{
	const struct division *d = step_is(number) ? division_find(job, number) : NULL;

	return d && d->failing;
}

void parts_drop(struct job *job, uint64_t number, uint64_t count)
{
	struct division *d = division_find(job, number);

	assert(d->failing && count <= d->left);
	d->left -= (uint32_t)count;
	if (d->left == 0)
		finish_failed(d);
}

/* ---- Handing out ---- */

uint64_t parts_first(const struct job *job, const struct ranges *ready, uint64_t max, uint64_t *ret_from)
{
	uint64_t runners = (uint64_t)job->choice.crew_shape.processes * job->choice.crew_shape.threads;
	uint64_t n = ranges_first_from(ready, STEP_BIT, UINT64_MAX, ret_from);

	if (n > 0) {
		uint64_t share = (n + 2 * runners - 1) / (2 * runners);

		return share < max ? share : max;
	}
	/* In order, the next task waits for the end of this one; and what is in memory is bounded. */
	if (job->parts.open && (job->choice.in_order || job->parts.bytes >= PARTS_HOLD_BYTES))
		return 0;
	return ranges_first(ready, max, ret_from);
}

void parts_peek(const struct job *job, uint64_t number, uint32_t max, size_t max_bytes, const uint8_t **ret_packed,
		size_t *ret_bytes, uint32_t *ret_count)
{
	const struct division *d = division_find(job, number);
	uint32_t part = step_of(number) - STEP_FIRST_PART, n = 0;
	const uint8_t *at, *end, *data;
	size_t len;

	assert(d && !d->failing && (d->phase == PHASE_COMBINING) == (step_of(number) == STEP_COMBINE));
	if (d->phase == PHASE_COMBINING) {
		*ret_packed = d->combine.data;
		*ret_bytes = d->combine.len;
		*ret_count = 1;
		return;
	}
	at = d->packed + d->offsets[part / OFFSET_EVERY];
	end = d->packed + d->packed_bytes;
	for (uint32_t i = 0; i < part % OFFSET_EVERY; i++)
		at = packed_next(at, end, &data, &len); /* was walked by index_parts() */
	*ret_packed = at;
	while (n < max && part + n < d->n_parts) {
		const uint8_t *next = packed_next(at, end, &data, &len);

		if (n > 0 && (size_t)(next - *ret_packed) > max_bytes)
			break;
		at = next;
		n++;
	}
	*ret_bytes = (size_t)(at - *ret_packed);
	*ret_count = n;
}

/* ---- Looking ---- */

uint64_t parts_open(const struct job *job)
{
	return HASH_COUNT(job->parts.open);
}

uint64_t parts_waiting(const struct job *job)
{
	uint64_t n = 0;

	for (size_t i = 0; job->parts.open && i < job->waiting.n; i++)
		n += step_is(job->waiting.at[i].task);
	return n;
}

bool parts_is_open(const struct job *job, uint64_t task)
{
	return division_find(job, task) != NULL;
}

int64_t parts_part(uint64_t number)
{
	if (!step_is(number))
		return TASK_WHOLE;
	return step_of(number) == STEP_COMBINE ? TASK_COMBINING : (int64_t)step_of(number) - STEP_FIRST_PART;
}

int job_walk_divided(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct divided_view *view), void *arg)
{
	const struct division *d;
	int r = 0;

	for (d = job->parts.open; d && limit > 0 && r == 0; d = d->hh.next, limit--) {
		const struct divided_view view = { .index = d->task, .parts = d->n_parts, .parts_done = d->n_done };

		r = fn(arg, &view);
	}
	return r;
}
