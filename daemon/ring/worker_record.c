/* Writing records: results, log lines, what is on the processor. */
#include <assert.h>
#include <string.h>

#include "base/copy.h"
#include "ring/futex.h"
#include "ring/worker_private.h"

/* While waiting for room: the daemon wakes us; should it be gone, the host thread ends the process. The limit only
 * keeps a lost wake-up from being for ever. */
#define ROOM_WAIT_S 1

#define AHEAD_BYTES 512
#define MOST_FLOAT_BITS UINT32_C(0x7f7fffff) /* FLT_MAX; that of a negative one is more */

/* Bytes that the next record of `bytes` takes, with what is skipped at the ring's end; *ret_pad is that part. */
static inline uint32_t placed_bytes(const struct worker_ring *ring, const struct worker_runner *me, uint32_t bytes,
				    uint32_t *ret_pad)
{
	uint32_t ring_bytes = ring->geometry.ring_bytes;
	uint32_t to_end = ring_bytes - ((uint32_t)me->tail & (ring_bytes - 1));

	*ret_pad = bytes <= to_end ? 0 : to_end;
	return *ret_pad + bytes;
}

static inline bool fits(const struct worker_ring *ring, const struct worker_runner *me, uint32_t bytes)
{
	return me->tail + bytes - me->head_seen <= ring->geometry.ring_bytes;
}

static bool look_for_room(struct worker_ring *ring, struct worker_runner *me, uint32_t bytes)
{
	/* seq_cst: acquire for the daemon's reading of what we shall overwrite; and after the store of room_wait */
	me->head_seen = atomic_load_explicit(&me->shared->head, memory_order_seq_cst);
	return fits(ring, me, bytes);
}

static void wait_for_room(struct worker_ring *ring, uint32_t runner, uint32_t bytes)
{
	static const struct timespec limit = { .tv_sec = ROOM_WAIT_S };
	struct worker_runner *me = &ring->runners[runner];

	while (!look_for_room(ring, me, bytes)) {
		ring_publish(ring, runner);
		/* seq_cst: before the look at the head; the daemon moves the head and then looks at this word */
		atomic_store_explicit(&me->shared->room_wait, 1, memory_order_seq_cst);
		if (look_for_room(ring, me, bytes)) {
			/* relaxed: the daemon that sees it set wakes nobody */
			atomic_store_explicit(&me->shared->room_wait, 0, memory_order_relaxed);
			return;
		}
		futex_wait(&me->shared->room_wait, 1, &limit);
	}
}

/* Where the next record goes: behind the tail and `pad` bytes, for which and for the record there is room. */
static inline uint8_t *record_place(struct worker_ring *ring, struct worker_runner *me, uint32_t pad)
{
	uint8_t *to = me->bytes + ((uint32_t)me->tail & (ring->geometry.ring_bytes - 1));

	if (pad == 0)
		return to;
	if (pad >= sizeof(struct shared_record)) {
		struct shared_record skip = { .kind = SHARED_PAD };

		skip.len = pad - (uint32_t)sizeof(skip);
		memcpy(to, &skip, sizeof(skip));
	}
	return me->bytes;
}

/* The tail behind the record, of which `to` is the payload's place. */
static inline void finish_record(struct worker_runner *me, const uint8_t *to, uint32_t bytes)
{
	/* The daemon has read what lay in the next lines: have them back by the time they are written. */
	__builtin_prefetch(to + AHEAD_BYTES, 1);
	me->tail += bytes;
	/* release: the record is whole for whoever sees the tail; from here on the task counts as completed */
	atomic_store_explicit(&me->shared->precise_tail, me->tail, memory_order_release);
}

/* Put the record and its payload behind the tail. There is room for `pad` bytes and the record. */
static inline void put_record(struct worker_ring *ring, struct worker_runner *me, uint32_t pad,
			      const struct shared_record *record, const struct shared_extra *extra, const void *data)
{
	uint8_t *to = record_place(ring, me, pad);

	memcpy(to, record, sizeof(*record));
	to += sizeof(*record);
	if (record->flags & SHARED_EXTRA) {
		memcpy(to, extra, sizeof(*extra));
		to += sizeof(*extra);
	}
	copy_bytes(to, data, record->len);
	finish_record(me, to, pad + record_bytes(record->len, record->flags));
}

static inline float sane_time(float s)
{
	uint32_t bits;

	memcpy(&bits, &s, sizeof(bits));
	return bits <= MOST_FLOAT_BITS ? s : 0; /* else a NaN, or a clock that went back */
}

static void record_in_parts(struct worker_ring *ring, uint32_t runner, struct shared_record *record,
			    const struct shared_extra *extra, const struct ring_result *result)
{
	struct worker_runner *me = &ring->runners[runner];
	uint32_t most = record_fragment_len(ring->geometry.ring_bytes), pad, bytes;
	const uint8_t *data = result->data;
	size_t left = result->len;

	while (left > 0) {
		record->len = left < most ? (uint32_t)left : most;
		record->flags = (uint8_t)(SHARED_EXTRA | (left > record->len ? SHARED_MORE : 0));
		bytes = placed_bytes(ring, me, record_bytes(record->len, record->flags), &pad);
		if (!fits(ring, me, bytes))
			wait_for_room(ring, runner, bytes);
		put_record(ring, me, pad, record, extra, data);
		data += record->len;
		left -= record->len;
	}
}

/* One record with everything that may be said of a task. */
static void record_at_length(struct worker_ring *ring, uint32_t runner, const struct ring_result *result)
{
	struct worker_runner *me = &ring->runners[runner];
	struct shared_record record = {
		.chunk = result->chunk,
		.generation = result->generation,
		.kind = SHARED_RESULT,
		.flags = SHARED_EXTRA,
		.status = result->status,
		.index = (uint8_t)result->index,
		.begin_ns = result->begin_ns > 0 ? result->begin_ns : 0,
		.wall_s = sane_time(result->wall_s),
		.cpu_s = sane_time(result->cpu_s),
	};
	struct shared_extra extra = { .retry_after_ns = -1, .runq_s = sane_time(result->runq_s) };
	uint32_t bytes, pad;

	if (result->status == RING_FAILED_RETRY && result->retry_after_ns >= 0)
		extra.retry_after_ns = result->retry_after_ns;
	if (result->len > record_max_len(ring->geometry.ring_bytes)) {
		record_in_parts(ring, runner, &record, &extra, result);
		return;
	}
	record.len = (uint32_t)result->len;
	bytes = placed_bytes(ring, me, record_bytes(record.len, record.flags), &pad);
	if (!fits(ring, me, bytes))
		wait_for_room(ring, runner, bytes);
	put_record(ring, me, pad, &record, &extra, result->data);
}

void ring_record(struct worker_ring *ring, uint32_t runner, const struct ring_result *result)
{
	struct worker_runner *me = &ring->runners[runner];
	struct shared_record *to;
	uint32_t len, bytes, placed, pad;

	if (__builtin_expect(result->runq_s > 0 || result->status == RING_FAILED_RETRY ||
				     result->len > record_max_len(ring->geometry.ring_bytes),
			     0)) {
		record_at_length(ring, runner, result);
		return;
	}
	len = (uint32_t)result->len;
	bytes = record_bytes(len, 0);
	placed = placed_bytes(ring, me, bytes, &pad);
	if (__builtin_expect(!fits(ring, me, placed), 0))
		wait_for_room(ring, runner, placed);
	/* Field by field to its place: a copy of what was just put together would wait until all of that is in the cache. */
	to = (struct shared_record *)(void *)record_place(ring, me, pad);
	to->len = len;
	to->chunk = result->chunk;
	to->generation = result->generation;
	to->kind = SHARED_RESULT;
	to->flags = 0;
	to->status = result->status;
	to->index = (uint8_t)result->index;
	to->begin_ns = result->begin_ns > 0 ? result->begin_ns : 0;
	to->wall_s = sane_time(result->wall_s);
	to->cpu_s = sane_time(result->cpu_s);
	if (result->whole_words)
		copy_words(to + 1, result->data, len);
	else
		copy_bytes(to + 1, result->data, len);
	finish_record(me, (uint8_t *)(to + 1), placed);
}

bool ring_log(struct worker_ring *ring, uint32_t runner, uint8_t level, const char *text, size_t len)
{
	struct worker_runner *me = &ring->runners[runner];
	struct shared_record record = { .kind = SHARED_LOG, .status = level };
	uint32_t bytes, pad, reserve = ring->geometry.ring_bytes / 4; /* a flood of lines leaves room for results */

	record.len = len < RING_LOG_BYTES ? (uint32_t)len : RING_LOG_BYTES;
	bytes = placed_bytes(ring, me, record_bytes(record.len, 0), &pad);
	if (!fits(ring, me, bytes + reserve) && !look_for_room(ring, me, bytes + reserve))
		return false;
	put_record(ring, me, pad, &record, NULL, text);
	return true;
}

void ring_on_task(struct worker_ring *ring, uint32_t runner, uint32_t chunk, uint32_t index)
{
	/* relaxed: read when this process is dead */
	atomic_store_explicit(&ring->runners[runner].shared->running,
			      SHARED_RUNNING_SET | (uint64_t)chunk << 8 | index, memory_order_relaxed);
}

void ring_off_task(struct worker_ring *ring, uint32_t runner)
{
	/* relaxed: as above */
	atomic_store_explicit(&ring->runners[runner].shared->running, 0, memory_order_relaxed);
}

void ring_fault(struct worker_ring *ring, uint32_t runner, int signal)
{
	/* release: after the task on the processor */
	atomic_store_explicit(&ring->runners[runner].shared->fault, SHARED_FAULT_SET | ((uint32_t)signal & 0x7f),
			      memory_order_release);
}

void ring_fault_of_task(struct worker_ring *ring, uint32_t runner, int signal, uint32_t chunk, uint32_t index)
{
	/* relaxed: the release in ring_fault() comes after it */
	atomic_store_explicit(&ring->runners[runner].shared->fault_task,
			      SHARED_RUNNING_SET | (uint64_t)chunk << 8 | index, memory_order_relaxed);
	ring_fault(ring, runner, signal);
}

void ring_set_progress(struct worker_ring *ring, uint32_t chunk, uint32_t index, float fraction)
{
	struct shared_chunk *shared = &ring->chunks[chunk];
	/* relaxed: the generation cannot change while a task of the chunk runs */
	uint32_t generation = word_generation(atomic_load_explicit(&shared->word, memory_order_relaxed));
	uint32_t bits;

	assert(index < RING_CHUNK_TASKS);
	memcpy(&bits, &fraction, sizeof(bits));
	/* relaxed: one word that explains itself, the latest wins */
	atomic_store_explicit(&shared->progress[index], (uint64_t)generation << 32 | bits, memory_order_relaxed);
}
