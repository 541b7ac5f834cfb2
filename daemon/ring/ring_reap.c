/* Taking back what is not begun, and what a dead runner left. */
#include <errno.h>
#include <string.h>

#include "ring/ring_private.h"

static bool in_flight(const struct ring *ring, uint32_t chunk)
{
	return chunk < ring->geometry.n_chunks && ring->chunks[chunk].use != CHUNK_FREE;
}

int ring_chunk_state(const struct ring *ring, uint32_t chunk, struct ring_chunk_state *ret_state)
{
	const struct chunk_meta *meta;
	uint64_t word;

	if (!in_flight(ring, chunk))
		return -ENOENT;
	meta = &ring->chunks[chunk];
	if (chunk_word(ring, chunk, &word) < 0)
		return -EBADMSG;
	*ret_state = (struct ring_chunk_state){
		.done = meta->done,
		.count = meta->count,
		.begun = word_begun(word),
		.end = meta->end,
		.runner = (int32_t)word_owner(word) - 1,
		.user = meta->user,
	};
	return 0;
}

int ring_take_back(struct ring *ring, uint32_t chunk, uint32_t *ret_begun, uint32_t *ret_end, bool *ret_free)
{
	struct chunk_meta *meta;
	uint64_t word;
	uint32_t begun;

	if (!in_flight(ring, chunk))
		return -ENOENT;
	meta = &ring->chunks[chunk];
	do {
		if (chunk_word(ring, chunk, &word) < 0)
			return -EBADMSG;
		begun = word_begun(word);
		/* acq_rel: ordered with the begins before it, of which the last may be just now */
	} while (!atomic_compare_exchange_strong_explicit(&ring->shared_chunks[chunk].word, &word,
							  word_make(meta->generation, word_owner(word), begun, begun),
							  memory_order_acq_rel, memory_order_relaxed));
	*ret_begun = begun;
	*ret_end = meta->end;
	*ret_free = meta->done == task_bits(begun);
	meta->end = (uint8_t)begun;
	if (meta->use == CHUNK_FILLED)
		ring->n_filled--;
	else if (word_owner(word) == 0)
		ring->withdrawn_tail = ring->submit_tail; /* its entry stays, dead */
	if (*ret_free)
		chunk_free(ring, chunk);
	return 0;
}

/* Free a chunk and hand on what was left of it. */
static void leave_chunk(struct ring *ring, uint32_t chunk, uint32_t begun, ring_left_fn fn, void *arg)
{
	const struct chunk_meta *meta = &ring->chunks[chunk];
	struct ring_left left = {
		.chunk = chunk,
		.user = meta->user,
		.begun_lost = task_bits(begun) & ~meta->done,
		.unbegun_first = begun,
		.unbegun_end = meta->end,
	};

	if (meta->use == CHUNK_FILLED)
		ring->n_filled--;
	/* An entry of the submission ring may still name it: nobody shall claim a free chunk. relaxed: who could is
	 * not alive now (a reaped runner's chunk has an owner; the others are left when no process is), and starting a
	 * process publishes it. */
	atomic_store_explicit(&ring->shared_chunks[chunk].word, word_make(meta->generation, 0, 0, 0),
			      memory_order_relaxed);
	chunk_free(ring, chunk);
	fn(arg, &left);
}

/* Make the runner's ring and line those of a new runner. Its process has ended, and its successor has not begun:
 * nobody else writes them; starting the successor publishes the stores. All relaxed. */
static void reset_runner(struct ring *ring, uint32_t runner)
{
	struct runner_meta *meta = &ring->runners[runner];
	struct shared_runner *shared = &ring->shared_runners[runner];

	buffer_fini(&meta->parts);
	*meta = (struct runner_meta){ .event_fd = -1 };
	atomic_store_explicit(&shared->precise_tail, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->running, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->fault, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->fault_task, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->advertised_tail, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->head, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->room_wait, 0, memory_order_relaxed);
	atomic_store_explicit(&shared->sleep_kind, SHARED_AWAKE, memory_order_relaxed);
	(void)atomic_fetch_and_explicit(&ring->control->idle[runner / 64], ~(UINT64_C(1) << runner % 64),
					memory_order_relaxed); /* it may have died asleep */
}

void ring_renew(struct ring *ring, uint32_t runner)
{
	assert(runner < ring->geometry.n_runners);
	reset_runner(ring, runner);
}

int ring_reap(struct ring *ring, uint32_t runner, ring_left_fn fn, void *arg)
{
	uint64_t word;

	assert(runner < ring->geometry.n_runners);
	for (uint32_t i = 0; i < ring->geometry.n_chunks; i++) {
		if (ring->chunks[i].use != CHUNK_SUBMITTED)
			continue;
		if (chunk_word(ring, i, &word) < 0)
			return -EBADMSG;
		if (word_owner(word) == runner + 1)
			leave_chunk(ring, i, word_begun(word), fn, arg);
	}
	reset_runner(ring, runner);
	/* It may have been woken for a chunk, or have taken the daemon's sleep flag, and died before it did more. */
	ring_wake_all(ring);
	return 0;
}

void ring_reap_all(struct ring *ring, ring_left_fn fn, void *arg)
{
	uint64_t word;

	for (uint32_t i = 0; i < ring->geometry.n_chunks; i++) {
		if (ring->chunks[i].use == CHUNK_FREE)
			continue;
		/* Where the word is garbage nobody knows what was begun: all of it, to be on the safe side. */
		if (chunk_word(ring, i, &word) < 0)
			leave_chunk(ring, i, ring->chunks[i].end, fn, arg);
		else
			leave_chunk(ring, i, word_begun(word), fn, arg);
	}
	for (uint32_t i = 0; i < ring->geometry.n_runners; i++)
		reset_runner(ring, i);
	ring->withdrawn_tail = ring->submit_tail; /* entries of unclaimed chunks stay, dead */
}

void ring_running(const struct ring *ring, uint32_t runner, struct ring_running *ret_running)
{
	struct shared_runner *shared = &ring->shared_runners[runner];
	struct ring_running running = { .faulted = false };
	uint64_t task;
	uint32_t fault;

	assert(runner < ring->geometry.n_runners);
	/* acquire: a fault is stored after the task it interrupted */
	fault = atomic_load_explicit(&shared->fault, memory_order_acquire);
	running.faulted = (fault & SHARED_FAULT_SET) != 0;
	/* relaxed, both: one word that explains itself; the first is ordered by the fault's */
	task = running.faulted ? atomic_load_explicit(&shared->fault_task, memory_order_relaxed) : 0;
	if (task == 0)
		task = atomic_load_explicit(&shared->running, memory_order_relaxed);
	running.signal = running.faulted ? (int)(fault & 0x7f) : 0;
	running.chunk = (uint32_t)(task >> 8);
	running.index = (uint32_t)task & 0xff;
	running.running = (task & SHARED_RUNNING_SET) && running.chunk < ring->geometry.n_chunks &&
			  running.index < RING_CHUNK_TASKS;
	if (!running.running)
		running.chunk = running.index = 0;
	*ret_running = running;
}

float ring_progress(const struct ring *ring, uint32_t chunk, uint32_t index)
{
	uint64_t said;
	uint32_t bits;
	float fraction;

	if (!in_flight(ring, chunk) || index >= ring->chunks[chunk].count)
		return -1;
	/* relaxed: one word that explains itself */
	said = atomic_load_explicit(&ring->shared_chunks[chunk].progress[index], memory_order_relaxed);
	if (said >> 32 != ring->chunks[chunk].generation)
		return -1; /* of an earlier task in this place */
	bits = (uint32_t)said;
	memcpy(&fraction, &bits, sizeof(fraction));
	return fraction >= 0 && fraction <= 1 ? fraction : -1; /* a NaN is none */
}
