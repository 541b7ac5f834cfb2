/* Collecting records. All that is read here was written by an untrusted process: the header is copied before it is
 * looked at, and each field is checked against private state. */
#include <errno.h>
#include <float.h>
#include <string.h>

#include "base/clock.h"
#include "ring/futex.h"
#include "ring/ring_private.h"

#define AHEAD_BYTES 512

/* A run ends when it holds so much of the ring: what it holds is the runner's again only behind it. */
#define RUN_SHARE 8

_Static_assert(RING_DONE == 0, "take_run() joins statuses");

#define RING_LOG_LEVELS 4 /* CONCD_LOG_ERROR .. CONCD_LOG_DEBUG */

/* Clocks of two processors, or one read with another method, may differ by a little. */
#define CLOCK_SLACK_NS NS_PER_S

/* One call's view of what it reads. */
struct collecting {
	struct ring *ring;
	struct runner_meta *meta;
	const uint8_t *bytes; /* the runner's ring */
	uint32_t runner;
	int64_t now_ns; /* 0: not read yet */
	ring_run_fn fn;
	void *arg;
	struct ring_record *records; /* room for a run's */
};

/* Tell the runner how far we have read, and wake it if it waits for room. */
static void show_head(struct ring *ring, uint32_t runner)
{
	struct runner_meta *meta = &ring->runners[runner];
	struct shared_runner *shared = &ring->shared_runners[runner];

	meta->shown_head = meta->head;
	/* seq_cst: release for our reading of the records; and before the look at room_wait, which the runner sets
	 * before it looks at the head: one of the two sees the other */
	atomic_store_explicit(&shared->head, meta->head, memory_order_seq_cst);
	if (atomic_load_explicit(&shared->room_wait, memory_order_seq_cst) == 0)
		return;
	/* relaxed: the head is what counts */
	atomic_store_explicit(&shared->room_wait, 0, memory_order_relaxed);
	futex_wake(&shared->room_wait);
}

static inline bool time_is_sane(float s)
{
	return s >= 0 && s <= FLT_MAX; /* false for a NaN */
}

/* Fill in the times, checked. */
static inline int take_times(struct collecting *c, const struct shared_record *h, const struct shared_extra *extra,
			     struct ring_record *record)
{
	float runq_s = extra ? extra->runq_s : 0;

	if (!time_is_sane(h->wall_s) || !time_is_sane(h->cpu_s) || !time_is_sane(runq_s) || h->begin_ns < 0)
		return -EBADMSG;
	record->begin_ns = h->begin_ns;
	if (h->begin_ns > c->now_ns) {
		/* One reading of the clock serves a run of records, and it was made before the last of them. */
		c->now_ns = clock_mono_ns();
		if (h->begin_ns > c->now_ns + CLOCK_SLACK_NS)
			return -EBADMSG;
		if (h->begin_ns > c->now_ns)
			record->begin_ns = c->now_ns;
	}
	record->wall_s = h->wall_s;
	record->cpu_s = h->cpu_s < h->wall_s ? h->cpu_s : h->wall_s;
	record->runq_s = runq_s < h->wall_s - record->cpu_s ? runq_s : h->wall_s - record->cpu_s;
	return 0;
}

/* Does the header name a task that this runner may still complete? */
static inline bool names_open_task(const struct collecting *c, const struct shared_record *h)
{
	const struct chunk_meta *chunk;

	if (h->chunk >= c->ring->geometry.n_chunks || h->index >= RING_CHUNK_TASKS)
		return false;
	chunk = &c->ring->chunks[h->chunk];
	return chunk->use == CHUNK_SUBMITTED && h->generation == chunk->generation && h->index < chunk->end &&
	       !(chunk->done >> h->index & 1) && (chunk->recorder == 0 || chunk->recorder == c->runner + 1);
}

/* What a header says of a task that its runner may complete, checked. The payload is the caller's to fill in. */
static inline int take_end(struct collecting *c, const struct shared_record *h, const struct shared_extra *extra,
			   struct ring_record *record)
{
	if (h->status >= RING_STATUS_COUNT || take_times(c, h, extra, record) < 0)
		return -EBADMSG;
	record->retry_after_ns = -1;
	if (h->status == RING_FAILED_RETRY && extra) {
		if (extra->retry_after_ns < -1)
			return -EBADMSG;
		record->retry_after_ns = extra->retry_after_ns;
	}
	record->status = h->status;
	record->index = h->index;
	return 0;
}

/* Results of consecutive tasks of the chunk have come. */
static void hand_on(struct collecting *c, uint32_t chunk, struct ring_run *run)
{
	struct chunk_meta *meta = &c->ring->chunks[chunk];

	run->kind = RING_RECORD_RESULT;
	run->runner = c->runner;
	run->chunk = chunk;
	run->user = meta->user;
	meta->done |= task_bits(run->n) << run->records[0].index;
	meta->recorder = (uint16_t)(c->runner + 1);
	if (meta->done == task_bits(meta->end)) {
		run->chunk_done = true;
		chunk_free(c->ring, chunk);
	}
	c->fn(c->arg, run);
}

/* A result put together from its parts. */
static int take_result(struct collecting *c, const struct shared_record *h, const struct shared_extra *extra,
		       const uint8_t *data, size_t len)
{
	struct ring_record record;
	struct ring_run run = { .records = &record, .n = 1, .all_done = h->status == RING_DONE };

	if (!names_open_task(c, h) || take_end(c, h, extra, &record) < 0)
		return -EBADMSG;
	record.data = data;
	record.len = len;
	run.wall_s = (double)record.wall_s;
	run.cpu_s = (double)record.cpu_s;
	run.runq_s = (double)record.runq_s;
	hand_on(c, h->chunk, &run);
	return 1;
}

/* A fragment, or the record that ends a run of them. The parts of a result follow each other without anything between
 * them. 1: a record was handed on; 0; -EBADMSG. */
static int take_part(struct collecting *c, const struct shared_record *h, const struct shared_extra *extra,
		     const uint8_t *data, size_t len)
{
	static const char no_memory[] = "the daemon has no memory for a result of this size";
	struct runner_meta *meta = c->meta;
	struct shared_record last = *h;
	int r;

	if (!meta->in_parts) {
		if (!names_open_task(c, h))
			return -EBADMSG;
		meta->parts_of = *h;
		meta->in_parts = true;
		meta->parts_lost = false;
	}
	if (h->chunk != meta->parts_of.chunk || h->generation != meta->parts_of.generation ||
	    h->index != meta->parts_of.index || h->status != meta->parts_of.status || len == 0)
		return -EBADMSG;
	if (meta->parts.len + len > c->ring->max_result_bytes)
		return -EBADMSG; /* the worker knows the limit and says TOO_LARGE in one record */
	if (!meta->parts_lost && buffer_add(&meta->parts, data, len) < 0) {
		meta->parts_lost = true;
		buffer_fini(&meta->parts);
	}
	if (h->flags & SHARED_MORE)
		return 0;
	meta->in_parts = false;
	if (meta->parts_lost) {
		last.status = RING_TOO_LARGE;
		return take_result(c, &last, extra, (const uint8_t *)no_memory, sizeof(no_memory) - 1);
	}
	r = take_result(c, &last, extra, meta->parts.data, meta->parts.len);
	buffer_fini(&meta->parts); /* large results are rare: do not keep the memory */
	return r;
}

static int take_log(struct collecting *c, const struct shared_record *h, const uint8_t *data)
{
	const struct ring_record record = { .status = h->status, .retry_after_ns = -1, .data = data, .len = h->len };
	const struct ring_run run = { .kind = RING_RECORD_LOG, .n = 1, .records = &record, .runner = c->runner };

	if (h->flags != 0 || h->status >= RING_LOG_LEVELS || c->meta->in_parts)
		return -EBADMSG;
	c->fn(c->arg, &run);
	return 1;
}

/* A header, copied, and how far its record goes; false: more than the `left` bytes that may be read in one piece. */
static inline bool read_header(const struct collecting *c, uint64_t offset, uint64_t left, struct shared_record *ret_h,
			       uint32_t *ret_bytes)
{
	if (left < sizeof(*ret_h))
		return false;
	memcpy(ret_h, c->bytes + offset, sizeof(*ret_h));
	/* It lies in the runner's cache: ask for what comes soon. Beyond the ring's end it is a hint that says nothing. */
	__builtin_prefetch(c->bytes + offset + AHEAD_BYTES);
	if (ret_h->len > c->ring->geometry.ring_bytes || (ret_h->flags & ~(SHARED_MORE | SHARED_EXTRA)) != 0)
		return false;
	*ret_bytes = record_bytes(ret_h->len, ret_h->flags);
	return *ret_bytes <= left;
}

/* Results of consecutive tasks of a chunk, each of one record. It ends before the first record that does not continue it,
 * whatever that is: it is looked at by itself. Returns how many, and is -EBADMSG where that is the first. */
static int take_run(struct collecting *c, uint64_t offset, uint64_t left, uint32_t most, uint32_t *ret_bytes)
{
	const uint64_t first_offset = offset, most_bytes = c->ring->geometry.ring_bytes / RUN_SHARE;
	const struct chunk_meta *meta = NULL;
	struct shared_record h;
	struct shared_extra extra;
	struct ring_run run = { .records = c->records };
	unsigned int statuses = RING_DONE;
	uint32_t chunk = 0, next = 0, bytes;
	double wall_s = 0, cpu_s = 0, runq_s = 0; /* of the run; in registers, while it is in memory */

	while (run.n < most && read_header(c, offset, left, &h, &bytes) && h.kind == SHARED_RESULT && !(h.flags & SHARED_MORE)) {
		struct ring_record *record = &c->records[run.n];
		const uint8_t *data = c->bytes + offset + sizeof(h);

		if (run.n == 0) {
			if (!names_open_task(c, &h))
				break;
			chunk = h.chunk;
			meta = &c->ring->chunks[chunk];
		} else if (h.chunk != chunk || h.generation != meta->generation || h.index != next || next >= meta->end ||
			   (meta->done >> next & 1)) {
			break;
		}
		if (h.flags & SHARED_EXTRA) {
			memcpy(&extra, data, sizeof(extra));
			data += sizeof(extra);
		}
		if (take_end(c, &h, h.flags & SHARED_EXTRA ? &extra : NULL, record) < 0)
			break;
		record->data = data;
		record->len = h.len;
		statuses |= h.status;
		next = h.index + 1u;
		run.n++;
		wall_s += (double)record->wall_s; /* no sum of floats is too large for a double */
		cpu_s += (double)record->cpu_s;
		runq_s += (double)record->runq_s;
		offset += bytes;
		left -= bytes;
		if (offset - first_offset >= most_bytes)
			break;
	}
	if (run.n == 0)
		return -EBADMSG;
	*ret_bytes = (uint32_t)(offset - first_offset);
	run.all_done = statuses == RING_DONE;
	run.wall_s = wall_s;
	run.cpu_s = cpu_s;
	run.runq_s = runq_s;
	hand_on(c, chunk, &run);
	return (int)run.n;
}

/* What begins at `offset`, of which `left` bytes lie before the end of what may be read in one piece. Returns how many
 * records were handed on, at most `most`, or -EBADMSG. */
static inline int take_records(struct collecting *c, uint64_t offset, uint64_t left, uint32_t most, uint32_t *ret_bytes)
{
	const uint8_t *payload = c->bytes + offset + sizeof(struct shared_record);
	struct shared_extra extra;
	const struct shared_extra *with_extra = NULL;
	struct shared_record h;

	if (!read_header(c, offset, left, &h, ret_bytes))
		return -EBADMSG;
	switch (h.kind) {
	case SHARED_RESULT:
		if (!(h.flags & SHARED_MORE) && !c->meta->in_parts)
			return take_run(c, offset, left, most, ret_bytes);
		if (h.flags & SHARED_EXTRA) {
			memcpy(&extra, payload, sizeof(extra));
			payload += sizeof(extra);
			with_extra = &extra;
		}
		return take_part(c, &h, with_extra, payload, h.len);
	case SHARED_LOG:
		return take_log(c, &h, payload);
	case SHARED_PAD:
		return h.flags == 0 ? 0 : -EBADMSG;
	default:
		return -EBADMSG;
	}
}

/* Read on to `limit`. The number handed on, or -EBADMSG, after which the runner is broken. */
static int collect_to(struct ring *ring, uint32_t runner, uint64_t limit, uint32_t max_records, ring_run_fn fn,
		      void *arg)
{
	struct runner_meta *meta = &ring->runners[runner];
	uint32_t ring_bytes = ring->geometry.ring_bytes, bytes, n = 0;
	struct ring_record records[RING_CHUNK_TASKS];
	struct collecting c = {
		.ring = ring,
		.meta = meta,
		.bytes = ring->map + ring->layout.rings + (size_t)runner * ring_bytes,
		.runner = runner,
		.fn = fn,
		.arg = arg,
		.records = records,
	};

	while (meta->head < limit && n < max_records) {
		uint64_t offset = meta->head & (ring_bytes - 1);
		uint64_t left = limit - meta->head, to_end = ring_bytes - offset;
		int r;

		if (to_end < sizeof(struct shared_record)) { /* nothing was put there */
			if (to_end > left)
				goto broken;
			meta->head += to_end;
			continue;
		}
		r = take_records(&c, offset, left < to_end ? left : to_end, max_records - n, &bytes);
		if (r < 0)
			goto broken;
		n += (uint32_t)r;
		meta->head += bytes;
		/* Give room back early: a runner that waits for it can go on while we read the rest. */
		if (meta->head - meta->shown_head >= ring_bytes / 4)
			show_head(ring, runner);
	}
	if (meta->head != meta->shown_head)
		show_head(ring, runner);
	return (int)n;
broken:
	meta->broken = true;
	buffer_fini(&meta->parts);
	return -EBADMSG;
}

/* May a tail be where the runner says it is? */
static inline bool tail_is_sane(const struct ring *ring, const struct runner_meta *meta, uint64_t tail)
{
	return tail % 8 == 0 && (tail <= meta->head || tail - meta->head <= ring->geometry.ring_bytes);
}

int ring_collect(struct ring *ring, uint32_t runner, uint32_t max_records, ring_run_fn fn, void *arg)
{
	struct runner_meta *meta = &ring->runners[runner];
	struct shared_runner *shared = &ring->shared_runners[runner];
	uint64_t limit, precise;

	assert(runner < ring->geometry.n_runners);
	if (meta->broken)
		return -EBADMSG;
	/* acquire: the records before it */
	limit = atomic_load_explicit(&shared->advertised_tail, memory_order_acquire);
	if (limit == meta->advertised && meta->head >= limit && !meta->look_precise)
		return 0;
	if (limit < meta->advertised || !tail_is_sane(ring, meta, limit)) {
		meta->broken = true;
		return -EBADMSG;
	}
	meta->advertised = limit;
	if (meta->look_precise) {
		/* acquire: the records before it */
		precise = atomic_load_explicit(&shared->precise_tail, memory_order_acquire);
		if (precise < limit || precise < meta->head || !tail_is_sane(ring, meta, precise)) {
			meta->broken = true;
			return -EBADMSG;
		}
		limit = precise;
		meta->look_precise = false;
	}
	return collect_to(ring, runner, limit, max_records, fn, arg);
}

int ring_collect_all(struct ring *ring, uint32_t max_records, ring_run_fn fn, void *arg, uint32_t *ret_runner)
{
	uint32_t n_runners = ring->geometry.n_runners, n = 0;

	for (uint32_t i = 0; i < n_runners && n < max_records; i++) {
		uint32_t runner = ring->next_runner;
		int r;

		ring->next_runner = runner + 1 < n_runners ? runner + 1 : 0;
		if (ring->runners[runner].broken)
			continue;
		r = ring_collect(ring, runner, max_records - n, fn, arg);
		if (r < 0) {
			*ret_runner = runner;
			return r;
		}
		n += (uint32_t)r;
	}
	return (int)n;
}

int ring_collect_dead(struct ring *ring, uint32_t runner, ring_run_fn fn, void *arg)
{
	struct runner_meta *meta = &ring->runners[runner];
	uint64_t precise;
	int r;

	assert(runner < ring->geometry.n_runners);
	if (meta->broken)
		return 0;
	/* acquire: the records before it; its writer is gone, but did not say so to this memory */
	precise = atomic_load_explicit(&ring->shared_runners[runner].precise_tail, memory_order_acquire);
	if (precise < meta->head || !tail_is_sane(ring, meta, precise)) {
		meta->broken = true;
		return -EBADMSG;
	}
	r = collect_to(ring, runner, precise, INT32_MAX, fn, arg);
	return r;
}
