/* A ring with both of its sides in one process, and what came out of it; for test_ring*.c. */
#ifndef TESTS_UNIT_TEST_RING_FIXTURE_H
#define TESTS_UNIT_TEST_RING_FIXTURE_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "ring/layout.h"
#include "ring/ring.h"
#include "ring/worker_ring.h"

#define MAX_GOT 512
#define MAX_LEFT 16
#define GOT_BYTES 32

struct got {
	struct ring_run run; /* that it came in; its records are void, and chunk_done is the last one's */
	struct ring_record record; /* its data is void; the first bytes are kept here */
	char text[GOT_BYTES];
};

struct fixture {
	struct ring *ring;
	struct worker_ring *worker;
	/* The segment once more, to look at it and to spoil it. */
	uint8_t *map;
	struct layout layout;
	struct shared_control *control;
	struct shared_runner *runners;
	struct shared_chunk *chunks;
	_Atomic uint64_t *entries;
	/* What came. */
	struct got got[MAX_GOT];
	uint32_t n_got, n_runs;
	struct buffer last; /* the last payload whole */
	struct ring_left left[MAX_LEFT];
	uint32_t n_left;
};

static inline void on_run(void *arg, const struct ring_run *run)
{
	struct fixture *f = arg;

	assert_in_range(run->n, 1, RING_CHUNK_TASKS);
	f->n_runs++;
	for (uint32_t i = 0; i < run->n; i++) {
		struct got *got = &f->got[f->n_got++ % MAX_GOT];
		const struct ring_record *record = &run->records[i];
		size_t len = record->len < GOT_BYTES - 1 ? record->len : GOT_BYTES - 1;

		assert_int_equal(record->index, run->records[0].index + i);
		assert_true(record->status == RING_DONE || !run->all_done);
		got->run = *run;
		got->run.chunk_done = run->chunk_done && i + 1 == run->n;
		got->record = *record;
		if (len > 0)
			memcpy(got->text, record->data, len);
		got->text[len] = '\0';
		f->last.len = 0;
		assert_int_equal(buffer_add(&f->last, record->data, record->len), 0);
	}
}

static inline void on_left(void *arg, const struct ring_left *left)
{
	struct fixture *f = arg;

	f->left[f->n_left++ % MAX_LEFT] = *left;
}

static inline void fixture_open(struct fixture *f, const struct ring_geometry *geometry)
{
	void *map;

	memset(f, 0, sizeof(*f));
	assert_int_equal(ring_open(geometry, &f->ring), 0);
	assert_true(layout_compute(geometry, &f->layout));
	map = mmap(NULL, f->layout.total, PROT_READ | PROT_WRITE, MAP_SHARED, ring_segment_fd(f->ring), 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	f->map = map;
	f->control = map;
	f->entries = (_Atomic uint64_t *)(void *)(f->map + f->layout.entries);
	f->runners = (struct shared_runner *)(void *)(f->map + f->layout.runners);
	f->chunks = (struct shared_chunk *)(void *)(f->map + f->layout.chunks);
	assert_int_equal(worker_ring_open(ring_segment_fd(f->ring), ring_event_fd(f->ring), &f->worker), 0);
}

static inline void fixture_close(struct fixture *f)
{
	assert_int_equal(munmap(f->map, f->layout.total), 0);
	worker_ring_close(f->worker);
	ring_close(f->ring);
	buffer_fini(&f->last);
}

static const struct ring_geometry small_geometry = { .n_runners = 3, .n_chunks = 8, .ring_bytes = 16384, .n_big = 2 };

/* Another process in the place of one that died. */
static inline void fixture_new_worker(struct fixture *f)
{
	worker_ring_close(f->worker);
	assert_int_equal(worker_ring_open(ring_segment_fd(f->ring), ring_event_fd(f->ring), &f->worker), 0);
}

/* Fill a chunk with `count` tasks whose inputs are "first", "first + 1", ... 0 or what ring_fill() said. */
static inline int fill_numbers(struct fixture *f, uint64_t first, uint32_t count, void *user, uint32_t *ret_chunk)
{
	_cleanup_buffer_ struct buffer packed = BUFFER_INIT;
	struct ring_batch batch = { .job = 7, .first = first, .count = count, .flags = 5 };
	char text[24];

	for (uint32_t i = 0; i < count; i++) {
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)(first + i));
		assert_int_equal(buffer_add_text(&packed, text), 0);
	}
	batch.packed = packed.data;
	batch.packed_bytes = packed.len;
	return ring_fill(f->ring, &batch, user, ret_chunk);
}

static inline uint32_t submit_numbers(struct fixture *f, uint64_t first, uint32_t count, void *user)
{
	uint32_t chunk;

	assert_int_equal(fill_numbers(f, first, count, user, &chunk), 0);
	ring_submit(f->ring, chunk);
	return chunk;
}

static inline struct ring_result result_of(const struct ring_claim *claim, uint32_t index, const void *data, size_t len)
{
	return (struct ring_result){
		.chunk = claim->chunk,
		.generation = claim->generation,
		.index = index,
		.begin_ns = clock_mono_ns(),
		.wall_s = 0.5f,
		.cpu_s = 0.25f,
		.retry_after_ns = -1,
		.data = data,
		.len = len,
	};
}

/* Begin the next task of the claim and record "done N". */
static inline void do_next(struct fixture *f, uint32_t runner, const struct ring_claim *claim)
{
	int index = ring_begin(f->worker, runner, claim);
	struct ring_result result;
	char text[GOT_BYTES];

	assert_true(index >= 0);
	(void)snprintf(text, sizeof(text), "done %llu", (unsigned long long)claim->first + (unsigned int)index);
	result = result_of(claim, (uint32_t)index, text, strlen(text));
	ring_record(f->worker, runner, &result);
}

static inline int collect(struct fixture *f, uint32_t runner)
{
	return ring_collect(f->ring, runner, UINT32_MAX, on_run, f);
}

/* Claim the next chunk, do all of it and collect. */
static inline void do_chunk(struct fixture *f, uint32_t runner)
{
	struct ring_claim claim;

	assert_int_equal(ring_claim(f->worker, runner, &claim), 0);
	for (uint32_t i = 0; i < claim.count; i++)
		do_next(f, runner, &claim);
	ring_publish(f->worker, runner);
	assert_int_equal(collect(f, runner), claim.count);
}

static inline bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

#endif
