/* A worker process that writes anything into the segment. Honest work goes first: chunks are filled, claimed, begun and
 * in part recorded, as the first bytes say. The rest of the input is a script of writes into the segment and of calls of
 * the daemon, whose books must balance whatever is there: each task handed out comes back once at most, and those of a
 * chunk that is freed all do. */
#include "fuzz.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "ring/layout.h"
#include "ring/ring.h"
#include "ring/worker_ring.h"

#define N_CHUNKS 6
#define N_RUNNERS 3
#define MAX_RESULT 20000
#define MAX_STEPS 64

static const struct ring_geometry geometry = { .n_runners = N_RUNNERS, .n_chunks = N_CHUNKS, .ring_bytes = 16384,
					       .n_big = 1 };

/* What the daemon is owed of a chunk. */
struct book {
	bool live;
	uint64_t out; /* bit i: task i is handed out */
};

struct world {
	struct ring *ring;
	struct worker_ring *worker;
	uint8_t *map;
	struct layout layout;
	struct shared_runner *runners;
	struct shared_chunk *chunks;
	struct book books[N_CHUNKS];
	bool garbage; /* the whole segment is given up */
};

static void world_open(struct world *w)
{
	void *map;

	*w = (struct world){ .garbage = false };
	FUZZ_CHECK(ring_open(&geometry, &w->ring) == 0 && layout_compute(&geometry, &w->layout));
	map = mmap(NULL, w->layout.total, PROT_READ | PROT_WRITE, MAP_SHARED, ring_segment_fd(w->ring), 0);
	FUZZ_CHECK(map != MAP_FAILED);
	FUZZ_CHECK(worker_ring_open(ring_segment_fd(w->ring), ring_event_fd(w->ring), &w->worker) == 0);
	ring_set_max_result(w->ring, MAX_RESULT);
	w->map = map;
	w->runners = (struct shared_runner *)(void *)(w->map + w->layout.runners);
	w->chunks = (struct shared_chunk *)(void *)(w->map + w->layout.chunks);
}

static void world_close(struct world *w)
{
	worker_ring_close(w->worker);
	ring_close(w->ring);
	FUZZ_CHECK(munmap(w->map, w->layout.total) == 0);
}

/* ---- The daemon's books ---- */

static uint64_t below(uint32_t end)
{
	return end == 64 ? UINT64_MAX : (UINT64_C(1) << end) - 1;
}

static uint64_t bits(uint32_t first, uint32_t end)
{
	FUZZ_CHECK(first <= end && end <= RING_CHUNK_TASKS);
	return below(end) & ~below(first);
}

static void give_back(struct book *book, uint64_t tasks)
{
	FUZZ_CHECK(book->live && (book->out & tasks) == tasks);
	book->out &= ~tasks;
}

static void check_record(struct world *w, const struct ring_run *run, const struct ring_record *r)
{
	volatile uint8_t sum = 0; /* so that the payload is read */

	FUZZ_CHECK(r->len <= MAX_RESULT);
	for (size_t i = 0; i < r->len; i++)
		sum = (uint8_t)(sum + r->data[i]);
	if (run->kind == RING_RECORD_LOG) {
		FUZZ_CHECK(r->status < 4);
		return;
	}
	FUZZ_CHECK(r->status < RING_STATUS_COUNT && r->index < RING_CHUNK_TASKS);
	FUZZ_CHECK(!run->all_done || r->status == RING_DONE);
	FUZZ_CHECK(isfinite(r->wall_s) && r->cpu_s >= 0 && r->runq_s >= 0 && r->cpu_s <= r->wall_s);
	FUZZ_CHECK(r->begin_ns >= 0 && r->begin_ns <= clock_mono_ns() && r->retry_after_ns >= -1);
	give_back(&w->books[run->chunk], UINT64_C(1) << r->index);
}

static void on_run(void *arg, const struct ring_run *run)
{
	struct world *w = arg;

	FUZZ_CHECK(run->runner < N_RUNNERS && run->n >= 1 && run->n <= RING_CHUNK_TASKS);
	FUZZ_CHECK(run->kind == RING_RECORD_LOG ? run->n == 1 : run->kind == RING_RECORD_RESULT && run->user == w);
	FUZZ_CHECK(run->kind == RING_RECORD_LOG || run->chunk < N_CHUNKS);
	for (uint32_t i = 0; i < run->n; i++) {
		FUZZ_CHECK(run->records[i].index == run->records[0].index + i);
		check_record(w, run, &run->records[i]);
	}
	if (run->chunk_done) {
		FUZZ_CHECK(w->books[run->chunk].out == 0);
		w->books[run->chunk].live = false;
	}
}

static void on_left(void *arg, const struct ring_left *left)
{
	struct world *w = arg;
	struct book *book;

	FUZZ_CHECK(left->chunk < N_CHUNKS && left->user == w);
	book = &w->books[left->chunk];
	give_back(book, left->begun_lost);
	give_back(book, bits(left->unbegun_first, left->unbegun_end));
	FUZZ_CHECK(book->out == 0);
	book->live = false;
}

static bool fill(struct world *w, uint32_t count, bool submit)
{
	struct ring_batch batch = { .job = 9, .first = 1000, .count = count };
	uint8_t packed[RING_CHUNK_TASKS * 2], *at = packed;
	struct book book = { .live = true, .out = bits(0, count) };
	uint32_t chunk;
	int r;

	for (uint32_t i = 0; i < count; i++) {
		*at++ = 1;
		*at++ = (uint8_t)i;
	}
	batch.packed = packed;
	batch.packed_bytes = (size_t)(at - packed);
	r = ring_fill(w->ring, &batch, w, &chunk);
	if (r == -EAGAIN)
		return false;
	if (r < 0) {
		FUZZ_CHECK(r == -EBADMSG);
		w->garbage = true;
		return false;
	}
	FUZZ_CHECK(chunk < N_CHUNKS && !w->books[chunk].live);
	w->books[chunk] = book;
	if (submit)
		ring_submit(w->ring, chunk);
	return true;
}

static void take_back(struct world *w, uint32_t chunk)
{
	uint32_t begun, end;
	bool freed;
	int r = ring_take_back(w->ring, chunk, &begun, &end, &freed);

	if (r == -EBADMSG)
		w->garbage = true;
	FUZZ_CHECK(r == -EBADMSG || (r == -ENOENT) == !w->books[chunk].live);
	if (r < 0)
		return;
	give_back(&w->books[chunk], bits(begun, end));
	FUZZ_CHECK(!freed || w->books[chunk].out == 0);
	w->books[chunk].live = !freed;
}

/* The runner's process is killed. */
static void bury(struct world *w, uint32_t runner)
{
	int r = ring_collect_dead(w->ring, runner, on_run, w);

	FUZZ_CHECK(r >= 0 || r == -EBADMSG);
	r = ring_reap(w->ring, runner, on_left, w);
	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	if (r < 0)
		w->garbage = true;
}

static void look(struct world *w, uint32_t chunk, uint32_t runner)
{
	struct ring_chunk_state state;
	struct ring_running running;
	float progress = ring_progress(w->ring, chunk, runner);
	int r = ring_chunk_state(w->ring, chunk, &state);

	FUZZ_CHECK(r == 0 || r == -ENOENT || r == -EBADMSG);
	if (r == 0)
		FUZZ_CHECK(state.begun <= state.end && state.end <= state.count && state.runner < N_RUNNERS);
	if (r == -EBADMSG || ring_check(w->ring) < 0)
		w->garbage = true;
	ring_running(w->ring, runner, &running);
	FUZZ_CHECK(running.chunk < N_CHUNKS && running.index < RING_CHUNK_TASKS && running.signal >= 0);
	FUZZ_CHECK(progress <= 1 && !isnan(progress));
	(void)ring_idle_runners(w->ring); /* a hint */
	(void)ring_unclaimed_chunks(w->ring); /* a hint */
}

static void collect(struct world *w, uint32_t max_records)
{
	uint32_t bad;
	int r;

	while ((r = ring_collect_all(w->ring, max_records, on_run, w, &bad)) < 0) {
		FUZZ_CHECK(r == -EBADMSG && bad < N_RUNNERS);
		bury(w, bad);
		if (w->garbage)
			return;
	}
	FUZZ_CHECK(r <= (int)max_records);
}

/* ---- The worker ---- */

static void record(struct world *w, uint32_t runner, const struct ring_claim *claim, int index, size_t len)
{
	static const uint8_t zeros[MAX_RESULT];
	struct ring_result result = {
		.chunk = claim->chunk,
		.generation = claim->generation,
		.index = (uint32_t)index,
		.status = RING_DONE,
		.begin_ns = clock_mono_ns(),
		.wall_s = 0.5f,
		.runq_s = len % 2 ? 0.1f : 0,
		.retry_after_ns = -1,
		.data = zeros,
		.len = len,
	};

	ring_record(w->worker, runner, &result);
}

static void work_honestly(struct world *w, const uint8_t **data, size_t *size)
{
	uint8_t plan = fuzz_byte(data, size);

	for (uint32_t i = 0; i < 2 + (plan & 3u); i++) {
		uint8_t how = fuzz_byte(data, size);
		uint32_t runner = how % N_RUNNERS, count = 1 + (how >> 2) % RING_CHUNK_TASKS;
		struct ring_claim claim;

		if (!fill(w, count, !(how & 0x80)) || (how & 0x80) || (how & 0x40) ||
		    ring_claim(w->worker, runner, &claim) < 0)
			continue;
		/* Few and short enough for the ring: nobody reads it yet. */
		for (uint32_t k = 0; k < 1 + how % count && k < 16; k++) {
			int index = ring_begin(w->worker, runner, &claim);

			ring_on_task(w->worker, runner, claim.chunk, (uint32_t)(index < 0 ? 0 : index));
			if (index >= 0 && k % 2 == 0)
				record(w, runner, &claim, index, i == 0 && k == 0 && (plan & 4) ? 9000 : k);
		}
		ring_set_progress(w->worker, claim.chunk, 0, 0.5f);
		if (plan & 8)
			(void)ring_log(w->worker, runner, 1, "line", 4); /* there is room */
		if (plan & 16)
			ring_publish(w->worker, runner);
	}
}

/* Bytes into the segment, where the daemon looks. */
static void scribble(struct world *w, uint8_t what, uint32_t runner, uint32_t chunk, const uint8_t **data, size_t *size)
{
	struct shared_runner *r = &w->runners[runner];
	uint8_t *ring = w->map + w->layout.rings + (size_t)runner * geometry.ring_bytes;
	struct shared_control *control = (struct shared_control *)(void *)w->map;
	uint32_t at = (uint32_t)fuzz_number(data, size, 2) % (geometry.ring_bytes - 8);
	uint64_t value = fuzz_number(data, size, what & 8 ? 8 : 2);
	uint64_t word = atomic_load(&w->chunks[chunk].word);

	switch (what & 7) {
	case 0: /* of a record */
		memcpy(ring + at % (what & 8 ? geometry.ring_bytes - 8 : 256), &value, what & 8 ? 8 : 1);
		break;
	case 1: /* both tails a few records on, with what was there */
		atomic_fetch_add(&r->precise_tail, what & 8 ? value : value & ~UINT64_C(7));
		atomic_store(&r->advertised_tail, atomic_load(&r->precise_tail));
		break;
	case 2:
		atomic_store(what & 8 ? &r->precise_tail : &r->advertised_tail, value);
		break;
	case 3: /* fields of the word, the generation right */
		atomic_store(&w->chunks[chunk].word, (word & ~UINT64_C(0xffffffff)) | (uint32_t)(value << at % 32));
		break;
	case 4:
		atomic_store(&w->chunks[chunk].word, what & 8 ? value : word + value);
		break;
	case 5:
		atomic_store(at & 1 ? &control->submit_head : &control->idle[at % LAYOUT_IDLE_WORDS], value);
		break;
	case 6:
		atomic_store(at & 1 ? &r->running : &w->chunks[chunk].progress[at % RING_CHUNK_TASKS], value);
		atomic_store(&r->fault, (uint32_t)value);
		break;
	default: /* anywhere, geometry and submission ring included */
		memcpy(w->map + (at * 8u) % (w->layout.rings - 8), &value, 8);
	}
}

static void step(struct world *w, const uint8_t **data, size_t *size)
{
	uint8_t what = fuzz_byte(data, size), which = fuzz_byte(data, size);
	uint32_t runner = which % N_RUNNERS, chunk = (which >> 2) % N_CHUNKS;

	switch (what >> 4) {
	case 0:
	case 1:
		collect(w, 1 + (which & 15u));
		break;
	case 2:
		collect(w, UINT32_MAX >> 1);
		break;
	case 3:
		take_back(w, chunk);
		break;
	case 4:
		(void)fill(w, 1 + which % RING_CHUNK_TASKS, true);
		break;
	case 5:
		bury(w, runner);
		break;
	case 6:
		look(w, chunk, runner);
		break;
	case 7:
		if (ring_prepare_sleep(w->ring))
			ring_awake(w->ring);
		ring_wake(w->ring, 1u + which);
		break;
	default:
		scribble(w, what & 15, runner, chunk, data, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w;

	world_open(&w);
	work_honestly(&w, &data, &size);
	for (int i = 0; i < MAX_STEPS && size > 0 && !w.garbage; i++)
		step(&w, &data, &size);
	/* The end: every process is killed. */
	if (!w.garbage)
		collect(&w, UINT32_MAX >> 1);
	for (uint32_t i = 0; i < N_RUNNERS && !w.garbage; i++)
		bury(&w, i);
	ring_reap_all(w.ring, on_left, &w);
	for (uint32_t i = 0; i < N_CHUNKS; i++)
		FUZZ_CHECK(!w.books[i].live && w.books[i].out == 0);
	FUZZ_CHECK(ring_free_chunks(w.ring) == N_CHUNKS);
	world_close(&w);
	return 0;
}
