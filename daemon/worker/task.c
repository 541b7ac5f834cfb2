/* A task's begin and end: out of the rings, through the plugin, back into the rings. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/copy.h"
#include "base/text.h"
#include "crew/wire.h"
#include "ring/ring.h"
#include "worker/runner_private.h"

#define LINE_BYTES 64
#define FETCH_BYTES 1024 /* no more than a processor keeps track of */

_Static_assert(SLOT_INLINE_BYTES % 8 == 0 && SLOT_INLINE_BYTES >= COPY_WORDS_BYTES, "copied in whole words");
_Static_assert(RING_DONE == 0, "done_status of a slot that was never used");

/* ---- Chunks ---- */

static struct open_chunk *chunk_take(struct runner *runner)
{
	struct open_chunk *chunk = runner->free_chunk;

	/* There are as many as slots and one more: a chunk that is open has an unfinished task, or is being filled. */
	if (chunk)
		runner->free_chunk = chunk->next_free;
	else
		chunk = &runner->chunks[runner->n_used_chunks++];
	return chunk;
}

void task_publish(struct runner *runner)
{
	if (runner->unpublished_ns == 0)
		return;
	ring_publish(runner->options.ring, runner->options.number);
	runner->unpublished_ns = 0;
}

/* Give the chunk back once nothing of it is left to do here. */
static inline void chunk_settle(struct runner *runner, struct open_chunk *chunk)
{
	if (!chunk->used_up || chunk->unfinished > 0)
		return;
	task_publish(runner);
	if (chunk->job)
		jobtable_put(runner->options.jobs, chunk->job);
	chunk->job = NULL;
	chunk->next_free = runner->free_chunk;
	runner->free_chunk = chunk;
}

static void chunk_use_up(struct runner *runner, struct open_chunk *chunk)
{
	chunk->used_up = true;
	runner->filling = NULL;
	chunk_settle(runner, chunk);
}

/* The inputs lie in the daemon's cache: have all lines on their way before the first task waits for its own. What is asked
 * for after the chunk was taken back is a hint that says nothing. */
static void fetch_inputs(const struct ring_claim *claim)
{
	size_t bytes = claim->inputs_bytes < FETCH_BYTES ? claim->inputs_bytes : FETCH_BYTES;

	for (size_t at = 0; at < bytes; at += LINE_BYTES)
		__builtin_prefetch(claim->inputs + at);
}

static bool chunk_claim(struct runner *runner)
{
	struct ring_claim claim;
	struct open_chunk *chunk;
	int r = ring_claim(runner->options.ring, runner->options.number, &claim);

	if (r == -EAGAIN)
		return false;
	if (r < 0) {
		(void)fprintf(stderr, "worker: the segment is garbage\n"); /* the daemon logs it */
		_exit(1); /* nothing that this process says from here on could be trusted */
	}
	fetch_inputs(&claim);
	chunk = chunk_take(runner);
	*chunk = (struct open_chunk){
		.claim = claim,
		.cursor = claim.inputs,
		.run = steps_run(runner->options.plugin, claim.first),
	};
	runner->filling = chunk;
	return true;
}

/* One task less that this process may begin. */
static bool take_turn(struct runner *runner)
{
	_Atomic int64_t *left = runner->options.may_begin;

	if (!left || atomic_fetch_sub_explicit(left, 1, memory_order_relaxed) > 0)
		return true;
	(void)atomic_fetch_add_explicit(left, 1, memory_order_relaxed);
	runner->draining = true; /* who takes nothing must not announce that it is idle */
	if (!runner_is_used_up(runner)) {
		/* relaxed: the host thread looks after on_state() told it to */
		atomic_store_explicit(&runner->used_up, true, memory_order_relaxed);
		if (runner->options.on_state)
			runner->options.on_state(runner->options.arg);
	}
	return false;
}

static void give_turn_back(struct runner *runner)
{
	if (runner->options.may_begin)
		(void)atomic_fetch_add_explicit(runner->options.may_begin, 1, memory_order_relaxed);
}

bool task_next(struct runner *runner, uint32_t *ret_index)
{
	if (runner->draining || !take_turn(runner))
		return false;
	while (runner->filling || chunk_claim(runner)) {
		struct open_chunk *chunk = runner->filling;
		int index = ring_begin(runner->options.ring, runner->options.number, &chunk->claim);

		if (index >= 0) {
			/* Only now: of a chunk taken back unbegun the job may be forgotten, and is not learnt again. */
			if (!chunk->job)
				chunk->job = jobtable_get(runner->options.jobs, chunk->claim.job, chunk->claim.flags);
			*ret_index = (uint32_t)index;
			return true;
		}
		chunk_use_up(runner, chunk);
	}
	give_turn_back(runner);
	return false;
}

/* ---- Begin ---- */

/* The input's bytes in the slot, with a NUL behind them: the chunk has none, and what is shared is read once. */
static int copy_input(struct slot *slot, const uint8_t *data, size_t len, const uint8_t *end)
{
	uint8_t *copy = slot->input_inline;

	if (len < COPY_WORDS_BYTES && end - data >= COPY_WORDS_BYTES) {
		memcpy(copy, data, COPY_WORDS_BYTES); /* one load and store, whatever its length */
	} else if (len < SLOT_INLINE_BYTES) {
		copy_bytes(copy, data, len);
	} else {
		copy = malloc(len + 1);
		if (!copy)
			return -ENOMEM;
		slot->input_heap = copy;
		slot->unusual = true;
		memcpy(copy, data, len);
	}
	copy[len] = '\0';
	slot->input = copy;
	slot->input_len = len;
	return 0;
}

static int take_input(struct slot *slot)
{
	struct open_chunk *chunk = slot->chunk;
	const uint8_t *end = chunk->claim.inputs + chunk->claim.inputs_bytes, *data = NULL;
	size_t len = 0;
	int r;

	chunk->cursor = chunk->cursor ? packed_next(chunk->cursor, end, &data, &len) : NULL;
	r = chunk->cursor ? copy_input(slot, data, len, end) : -EBADMSG;
	if (chunk->claim.big)
		ring_release_big(slot->runner->options.ring, &chunk->claim);
	return r;
}

/* Show the host thread what to watch. */
static void limit_begin(struct slot *slot)
{
	const struct worker_job *job = slot->chunk->job;
	int64_t limit_ns;

	if (job->task_timeout_ns <= 0 || __builtin_add_overflow(slot->time.begin_ns, job->task_timeout_ns, &limit_ns)) {
		if (slot->runner->options.cpu_timeout_ns == 0)
			return;
		limit_ns = slot->time.begin_ns + NO_LIMIT_NS;
	}
	/* release: who reads one of these (acquire) then sees the 0 that limit_end() stored, or what came after it */
	atomic_store_explicit(&slot->chunk_generation,
			      (uint64_t)slot->chunk->claim.chunk << 32 | slot->chunk->claim.generation,
			      memory_order_release);
	atomic_store_explicit(&slot->chunk_index, slot->index, memory_order_release);
	atomic_store_explicit(&slot->begin_ns, slot->time.begin_ns, memory_order_release);
	atomic_store_explicit(&slot->overdue_ns,
			      job->grace_ns > INT64_MAX - limit_ns ? INT64_MAX : limit_ns + job->grace_ns,
			      memory_order_release);
	/* release: who reads it (acquire) sees the four above */
	atomic_store_explicit(&slot->limit_ns, limit_ns, memory_order_release);
	slot->unusual = true;
}

static void limit_end(struct slot *slot)
{
	/* relaxed: only this thread writes it, and the release stores in limit_begin() come after it */
	if (atomic_load_explicit(&slot->limit_ns, memory_order_relaxed) != 0)
		atomic_store_explicit(&slot->limit_ns, 0, memory_order_relaxed);
}

void task_begin(struct slot *slot, struct open_chunk *chunk, uint32_t index)
{
	struct runner *runner = slot->runner;
	int64_t now_ns = runner_now(runner);

	slot->chunk = chunk;
	slot->index = index;
	slot->state = SLOT_RUNNING;
	slot->result_len = 0;
	chunk->unfinished++;
	task_time_begin(&runner->clock, &slot->time, now_ns);
	limit_begin(slot);
	if (runner->unpublished_ns != 0 && now_ns - runner->unpublished_ns >= PUBLISH_NS)
		task_publish(runner); /* this task may take long, and those before it have ended */
	if (index + 1 >= chunk->claim.count)
		chunk_use_up(runner, chunk);
}

bool task_cancelled(const struct slot *slot)
{
	int64_t limit_ns = atomic_load_explicit(&slot->limit_ns, memory_order_relaxed);

	/* relaxed: see struct worker_job and struct slot */
	return atomic_load_explicit(&slot->chunk->job->cancel, memory_order_relaxed) != 0 ||
	       (limit_ns != 0 && atomic_load_explicit(&slot->told_limit_ns, memory_order_relaxed) == limit_ns);
}

/* ---- End ---- */

static bool over_cpu_timeout(const struct slot *slot)
{
	int64_t limit_ns = atomic_load_explicit(&slot->limit_ns, memory_order_relaxed); /* this thread's own */

	/* relaxed: told_limit_ns, which task_cancelled() saw, came after it or not: it only chooses the words */
	return limit_ns != 0 && atomic_load_explicit(&slot->over_limit_ns, memory_order_relaxed) == limit_ns;
}

static uint8_t cancelled_status(const struct slot *slot)
{
	uint32_t reason = atomic_load_explicit(&slot->chunk->job->cancel, memory_order_relaxed); /* see there */

	return reason == 0 || reason == WIRE_CANCEL_TIMEOUT ? RING_TIMEOUT : RING_CANCELLED;
}

static uint8_t failed_status(const struct slot *slot)
{
	switch (slot->fail_why) {
	case CONCD_FAIL_INPUT:
		return RING_FAILED_INPUT;
	case CONCD_FAIL_RETRY:
		return RING_FAILED_RETRY;
	case FAIL_TOO_LARGE:
		return RING_TOO_LARGE;
	default:
		return RING_FAILED;
	}
}

#define MESSAGE_BYTES 160

static void describe_limit(const struct slot *slot, const char *name, char text[MESSAGE_BYTES])
{
	char size[TEXT_DURATION_BYTES];

	text_format_size(slot->runner->options.memory_max_bytes, size);
	(void)snprintf(text, MESSAGE_BYTES, "%s: memory_max of its worker process is %s", name, size);
}

/* How the task ended, from what run returned and what it told the host. text is room for a message. */
static void describe_end(const struct slot *slot, int returned, char text[MESSAGE_BYTES], struct ring_result *result)
{
	const char *message = text;
	char limit[TEXT_DURATION_BYTES];

	result->retry_after_ns = -1;
	result->data = NULL;
	result->len = 0;
	if (slot->refused_result_len > 0) {
		result->status = RING_TOO_LARGE;
		(void)snprintf(text, MESSAGE_BYTES, "the result of %zu bytes is over max_result (%zu bytes)",
			       slot->refused_result_len, slot->runner->options.max_result_bytes);
	} else if (returned == 0) {
		result->status = slot->done_status;
		result->data = slot->result_heap ? slot->result_heap : slot->result_inline;
		result->len = slot->result_len;
		return;
	} else if (returned == -ECANCELED && task_cancelled(slot)) {
		result->status = cancelled_status(slot);
		if (result->status != RING_TIMEOUT || !over_cpu_timeout(slot))
			return;
		text_format_duration(slot->runner->options.cpu_timeout_ns, limit);
		(void)snprintf(text, MESSAGE_BYTES, "it used more than %s of processor time (cpu_timeout)", limit);
	} else if (slot->fail_why != 0) {
		result->status = failed_status(slot);
		result->retry_after_ns = slot->retry_after_ns;
		message = slot->fail_text ? slot->fail_text : "failed (no memory for the reason)";
	} else {
		const char *name = returned < 0 ? strerrordesc_np(-returned) : NULL;

		result->status = RING_FAILED;
		if (returned == -ENOMEM && slot->runner->options.memory_max_bytes > 0)
			describe_limit(slot, name, text);
		else if (name)
			message = name;
		else
			(void)snprintf(text, MESSAGE_BYTES, "run returned %d, which is neither 0 nor -errno", returned);
	}
	result->data = message;
	result->len = strlen(message);
}

/* As it was before the task. */
static void slot_reset(struct slot *slot)
{
	limit_end(slot);
	if (slot->waker)
		resume_detach(slot);
	slot->resumed = false;
	free(slot->input_heap);
	slot->input_heap = NULL;
	free(slot->result_heap);
	slot->result_heap = NULL;
	free(slot->fail_text);
	slot->fail_text = NULL;
	slot->refused_result_len = 0;
	slot->fail_why = 0;
	slot->retry_after_ns = -1;
	slot->done_status = RING_DONE;
	slot->unusual = false;
}

static inline float seconds(int64_t ns)
{
	return (float)((double)ns * 1e-9);
}

static void task_end(struct slot *slot, int returned)
{
	struct runner *runner = slot->runner;
	struct open_chunk *chunk = slot->chunk;
	int64_t now_ns = runner_read_clock(runner), wall_ns = now_ns - slot->time.begin_ns;
	char text[MESSAGE_BYTES];
	struct ring_result result; /* not zeroed first: most tasks need the half of it */

	task_time_out(&runner->clock, &slot->time, now_ns);
	turn_end(runner, now_ns); /* if it has to wait for room in the ring, that is not the task's doing */
	result.chunk = chunk->claim.chunk;
	result.generation = chunk->claim.generation;
	result.index = slot->index;
	result.begin_ns = slot->time.begin_ns;
	result.wall_s = seconds(wall_ns);
	result.cpu_s = slot->time.cpu_ns == wall_ns ? result.wall_s : seconds(slot->time.cpu_ns);
	result.runq_s = slot->time.runq_ns == 0 ? 0 : seconds(slot->time.runq_ns);
	result.whole_words = returned == 0 && !slot->unusual;
	if (result.whole_words) {
		result.status = RING_DONE;
		result.retry_after_ns = -1;
		result.data = slot->result_inline;
		result.len = slot->result_len;
	} else {
		describe_end(slot, returned, text, &result);
	}
	ring_record(runner->options.ring, runner->options.number, &result);
	if (runner->unpublished_ns == 0)
		runner->unpublished_ns = now_ns;
	receive_end(slot);
	if (slot->unusual)
		slot_reset(slot);
	slot->chunk = NULL;
	chunk->unfinished--;
	chunk_settle(runner, chunk);
}

static void run_one(struct slot *slot)
{
	int returned = take_input(slot);

	if (returned == 0) {
		turn_begin(slot, slot->time.begin_ns);
		returned = task_cancelled(slot) ? -ECANCELED : slot->chunk->run(&slot->pub);
	} else if (returned == -ENOMEM) { /* nobody's fault: another try may find some */
		slot->fail_why = CONCD_FAIL_RETRY;
		slot->unusual = true;
	}
	task_end(slot, returned);
}

void task_run(struct slot *slot)
{
	struct runner *runner = slot->runner;
	uint32_t index;

	for (;;) {
		run_one(slot);
		/* Task after task, without a switch, while nothing else has a claim on this thread. */
		if (runner->ready_first || runner_due(runner) || !task_next(runner, &index))
			return;
		task_begin(slot, runner->filling, index);
		ring_on_task(runner->options.ring, runner->options.number, slot->chunk->claim.chunk, index);
	}
}
