/* The rings: what a hostile or broken worker writes into the segment, field by field and at random. */
#include "test_ring_fixture.h"

#include <math.h>
#include <stdlib.h>

/* ---- Records ---- */

enum {
	VICTIM_CHUNK, /* claimed by runner 0 with 4 tasks begun, 6 in all; task 0 is done, 4 and 5 were taken back */
	FREE_CHUNK = 7,
};

struct spoilt {
	struct fixture f;
	struct ring_claim claim;
	struct shared_record good; /* would complete task 1 */
	struct shared_extra extra;
};

static void spoilt_open(struct spoilt *s)
{
	uint32_t begun, end;
	bool freed;

	fixture_open(&s->f, &small_geometry);
	assert_int_equal(submit_numbers(&s->f, 0, 6, NULL), VICTIM_CHUNK);
	assert_int_equal(ring_claim(s->f.worker, 0, &s->claim), 0);
	do_next(&s->f, 0, &s->claim);
	for (int i = 1; i < 4; i++)
		assert_int_equal(ring_begin(s->f.worker, 0, &s->claim), i);
	ring_publish(s->f.worker, 0);
	assert_int_equal(collect(&s->f, 0), 1);
	assert_int_equal(ring_take_back(s->f.ring, VICTIM_CHUNK, &begun, &end, &freed), 0);
	s->good = (struct shared_record){
		.len = 8,
		.chunk = VICTIM_CHUNK,
		.generation = s->claim.generation,
		.kind = SHARED_RESULT,
		.flags = SHARED_EXTRA,
		.status = RING_FAILED_RETRY,
		.index = 1,
		.begin_ns = clock_mono_ns(),
		.wall_s = 1,
	};
	s->extra = (struct shared_extra){ .retry_after_ns = 5 };
}

/* Put the record behind what runner `runner` wrote, `written` bytes of it, and advertise it. */
static void put_raw(struct spoilt *s, uint32_t runner, uint64_t *tail, uint32_t written)
{
	uint8_t *bytes = s->f.map + s->f.layout.rings + (size_t)runner * small_geometry.ring_bytes;

	memcpy(bytes + *tail, &s->good, sizeof(s->good));
	if (s->good.flags & SHARED_EXTRA)
		memcpy(bytes + *tail + sizeof(s->good), &s->extra, sizeof(s->extra));
	*tail += written;
	s->f.runners[runner].precise_tail = *tail;
	s->f.runners[runner].advertised_tail = *tail;
}

static void check_put(struct spoilt *s, uint32_t runner, uint32_t written, int expected)
{
	uint64_t tail = s->f.runners[runner].precise_tail;
	uint32_t bad = 99;

	put_raw(s, runner, &tail, written);
	assert_int_equal(ring_collect_all(s->f.ring, UINT32_MAX, on_run, &s->f, &bad), expected);
	if (expected != -EBADMSG)
		return;
	assert_int_equal(bad, runner);
	/* It stays broken, holds nobody up, and its place can be used again. */
	assert_int_equal(collect(&s->f, runner), -EBADMSG);
	assert_int_equal(ring_collect_all(s->f.ring, UINT32_MAX, on_run, &s->f, &bad), 0);
	assert_true(ring_prepare_sleep(s->f.ring));
	assert_int_equal(ring_collect_dead(s->f.ring, runner, on_run, &s->f), 0);
	assert_int_equal(s->f.n_got, 1);
	assert_int_equal(ring_reap(s->f.ring, runner, on_left, &s->f), 0);
	if (runner == 0) {
		assert_int_equal(s->f.n_left, 1);
		assert_int_equal(s->f.left[0].begun_lost, 0xe);
	}
	fixture_new_worker(&s->f);
	(void)submit_numbers(&s->f, 8, 1, NULL);
	do_chunk(&s->f, runner);
}

#define ASSERT_RECORD(expected, ...) \
	do { \
		static struct spoilt s; \
		uint32_t written; \
\
		spoilt_open(&s); \
		written = record_bytes(s.good.len, s.good.flags); \
		__VA_ARGS__; \
		check_put(&s, 0, written, expected); \
		fixture_close(&s.f); \
	} while (0)

static void a_record_with_garbage_in_any_field_breaks_its_runner(void **state)
{
	(void)state;
	ASSERT_RECORD(1, (void)0);
	ASSERT_RECORD(-EBADMSG, s.good.kind = SHARED_KIND_COUNT);
	ASSERT_RECORD(-EBADMSG, s.good.kind = 255);
	ASSERT_RECORD(-EBADMSG, s.good.flags |= 4);
	ASSERT_RECORD(-EBADMSG, s.good.kind = SHARED_PAD);
	ASSERT_RECORD(-EBADMSG, s.good.len = UINT32_MAX);
	ASSERT_RECORD(-EBADMSG, s.good.len = small_geometry.ring_bytes);
	ASSERT_RECORD(-EBADMSG, s.good.len += 8);
	ASSERT_RECORD(-EBADMSG, s.good.chunk = small_geometry.n_chunks);
	ASSERT_RECORD(-EBADMSG, s.good.chunk = UINT32_MAX);
	ASSERT_RECORD(-EBADMSG, s.good.chunk = FREE_CHUNK);
	ASSERT_RECORD(-EBADMSG, s.good.generation++);
	ASSERT_RECORD(-EBADMSG, s.good.generation = 0);
	ASSERT_RECORD(-EBADMSG, s.good.index = 0); /* done */
	ASSERT_RECORD(-EBADMSG, s.good.index = 4); /* taken back */
	ASSERT_RECORD(-EBADMSG, s.good.index = 6); /* none */
	ASSERT_RECORD(-EBADMSG, s.good.index = 64);
	ASSERT_RECORD(-EBADMSG, s.good.index = 255);
	ASSERT_RECORD(-EBADMSG, s.good.status = RING_STATUS_COUNT);
	ASSERT_RECORD(-EBADMSG, s.good.begin_ns = -1);
	ASSERT_RECORD(-EBADMSG, s.good.begin_ns += 60 * NS_PER_S);
	ASSERT_RECORD(-EBADMSG, s.good.wall_s = NAN);
	ASSERT_RECORD(-EBADMSG, s.good.wall_s = INFINITY);
	ASSERT_RECORD(-EBADMSG, s.good.wall_s = -1);
	ASSERT_RECORD(-EBADMSG, s.good.cpu_s = -1);
	ASSERT_RECORD(-EBADMSG, s.good.cpu_s = NAN);
	ASSERT_RECORD(-EBADMSG, s.extra.runq_s = -INFINITY);
	ASSERT_RECORD(-EBADMSG, s.extra.retry_after_ns = -2);
	ASSERT_RECORD(-EBADMSG, s.good.kind = SHARED_LOG); /* with a flag */
	ASSERT_RECORD(-EBADMSG, { s.good.kind = SHARED_LOG; s.good.flags = 0; s.good.status = 4; });
	ASSERT_RECORD(-EBADMSG, written = 24); /* the tail is within the header */
}

/* A good record before the bad one counts. */
/* What comes behind a good record and does not continue its run is looked at by itself. */
static void garbage_behind_a_good_record_does_not_cost_it(void **state)
{
	static const struct shared_record bad[] = {
		{ .index = 2, .status = RING_STATUS_COUNT }, { .index = 2, .begin_ns = -1 }, { .index = 2, .generation = 1 },
		{ .index = 1 }, { .index = 0 }, { .index = 4 }, { .index = 255 }, { .index = 2, .chunk = 1 },
		{ .index = 2, .flags = 0x80 }, { .index = 2, .len = 1u << 20 }, { .index = 2, .kind = SHARED_KIND_COUNT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct spoilt s;
		uint64_t tail;

		spoilt_open(&s);
		s.good.flags = 0;
		s.good.status = RING_DONE;
		tail = s.f.runners[0].precise_tail;
		put_raw(&s, 0, &tail, sizeof(s.good) + 8);
		s.good.index = bad[i].index;
		s.good.status = bad[i].status;
		s.good.generation += bad[i].generation;
		s.good.chunk += bad[i].chunk;
		s.good.flags = bad[i].flags;
		s.good.kind = bad[i].kind;
		s.good.len = bad[i].len;
		s.good.begin_ns = bad[i].begin_ns;
		put_raw(&s, 0, &tail, sizeof(s.good));
		assert_int_equal(collect(&s.f, 0), -EBADMSG);
		assert_int_equal(s.f.n_got, 2); /* one before, and the good one */
		assert_int_equal(s.f.got[1].record.index, 1);
		fixture_close(&s.f);
	}
}

static void a_second_result_of_a_task_is_refused(void **state)
{
	struct spoilt s;
	uint64_t tail;

	(void)state;
	spoilt_open(&s);
	tail = s.f.runners[0].precise_tail;
	put_raw(&s, 0, &tail, record_bytes(s.good.len, s.good.flags));
	put_raw(&s, 0, &tail, record_bytes(s.good.len, s.good.flags));
	assert_int_equal(collect(&s.f, 0), -EBADMSG);
	assert_int_equal(s.f.n_got, 2); /* the first of the two counts */
	assert_int_equal(ring_reap(s.f.ring, 0, on_left, &s.f), 0);
	assert_int_equal(s.f.left[0].begun_lost, 0xc);
	fixture_close(&s.f);
}

static void a_record_for_another_runners_chunk_is_refused(void **state)
{
	struct spoilt s;

	(void)state;
	spoilt_open(&s);
	check_put(&s, 1, record_bytes(s.good.len, s.good.flags), -EBADMSG);
	fixture_close(&s.f);
}

#define ASSERT_TAILS(precise, advertised) \
	do { \
		static struct spoilt s; \
\
		spoilt_open(&s); \
		s.f.runners[0].precise_tail = precise; \
		s.f.runners[0].advertised_tail = advertised; \
		assert_int_equal(collect(&s.f, 0), -EBADMSG); \
		assert_int_equal(ring_collect_dead(s.f.ring, 0, on_run, &s.f), 0); \
		assert_int_equal(s.f.n_got, 1); \
		fixture_close(&s.f); \
	} while (0)

static void a_tail_out_of_place_breaks_its_runner(void **state)
{
	(void)state;
	ASSERT_TAILS(0, 0);
	ASSERT_TAILS(44, 44);
	ASSERT_TAILS(1 << 20, 1 << 20);
	ASSERT_TAILS(UINT64_MAX & ~UINT64_C(7), UINT64_MAX & ~UINT64_C(7));
}

static void a_precise_tail_out_of_place_is_found_before_the_sleep_and_after_a_death(void **state)
{
	const uint64_t tails[] = { 0, 44, 1 << 20, UINT64_MAX };
	struct spoilt s;
	uint32_t bad;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		spoilt_open(&s);
		s.f.runners[0].precise_tail = tails[i];
		assert_int_equal(collect(&s.f, 0), 0);
		assert_false(ring_prepare_sleep(s.f.ring));
		assert_int_equal(ring_collect_all(s.f.ring, 9, on_run, &s.f, &bad), -EBADMSG);
		assert_true(ring_prepare_sleep(s.f.ring));
		fixture_close(&s.f);
		spoilt_open(&s);
		s.f.runners[0].precise_tail = tails[i];
		assert_int_equal(ring_collect_dead(s.f.ring, 0, on_run, &s.f), -EBADMSG);
		assert_int_equal(ring_collect_dead(s.f.ring, 0, on_run, &s.f), 0);
		fixture_close(&s.f);
	}
}

/* ---- Fragments ---- */

#define ASSERT_PARTS(...) \
	do { \
		static struct spoilt s; \
		uint64_t tail; \
\
		spoilt_open(&s); \
		tail = s.f.runners[0].precise_tail; \
		s.good.flags = SHARED_MORE; \
		put_raw(&s, 0, &tail, record_bytes(s.good.len, s.good.flags)); \
		assert_int_equal(collect(&s.f, 0), 0); \
		__VA_ARGS__; \
		put_raw(&s, 0, &tail, record_bytes(s.good.len, s.good.flags)); \
		assert_int_equal(collect(&s.f, 0), -EBADMSG); \
		assert_int_equal(s.f.n_got, 1); \
		assert_int_equal(ring_reap(s.f.ring, 0, on_left, &s.f), 0); \
		assert_int_equal(s.f.left[0].begun_lost, 0xe); \
		fixture_close(&s.f); \
	} while (0)

static void fragments_that_do_not_belong_together_break_their_runner(void **state)
{
	(void)state;
	ASSERT_PARTS(s.good.index = 2);
	ASSERT_PARTS(s.good.status = RING_DONE);
	ASSERT_PARTS(s.good.generation++);
	ASSERT_PARTS(s.good.chunk = 1);
	ASSERT_PARTS(s.good.len = 0);
	ASSERT_PARTS({ s.good.kind = SHARED_LOG; s.good.flags = 0; s.good.status = 0; });
	ASSERT_PARTS({ s.good.flags = 0; s.good.wall_s = -1; });
	ASSERT_PARTS(ring_set_max_result(s.f.ring, 15));
}

static void a_result_over_the_limit_is_not_put_together(void **state)
{
	struct spoilt s;
	uint64_t tail, sent = 0;
	int r = 0;

	(void)state;
	spoilt_open(&s);
	ring_set_max_result(s.f.ring, 100000);
	s.good.flags = SHARED_MORE;
	s.good.len = 1000;
	tail = s.f.runners[0].precise_tail;
	while (r == 0) {
		if (tail + 2 * record_bytes(1000, 0) > small_geometry.ring_bytes)
			break; /* once around is enough to see that parts add up */
		put_raw(&s, 0, &tail, record_bytes(1000, 0));
		sent += 1000;
		if (sent == 10000)
			ring_set_max_result(s.f.ring, 10999);
		r = collect(&s.f, 0);
	}
	assert_int_equal(r, -EBADMSG);
	assert_int_equal(sent, 11000);
	fixture_close(&s.f);
}

/* ---- Words that all share ---- */

#define ASSERT_SHARED(...) \
	do { \
		static struct spoilt s; \
\
		spoilt_open(&s); \
		(void)submit_numbers(&s.f, 50, 2, NULL); \
		assert_int_equal(ring_check(s.f.ring), 0); \
		__VA_ARGS__; \
		assert_int_equal(ring_check(s.f.ring), -EBADMSG); \
		ring_reap_all(s.f.ring, on_left, &s.f); \
		assert_int_equal(s.f.n_left, 2); \
		assert_int_equal(ring_free_chunks(s.f.ring), small_geometry.n_chunks); \
		fixture_close(&s.f); \
	} while (0)

static void garbage_in_words_that_all_share_is_found(void **state)
{
	(void)state;
	ASSERT_SHARED(s.f.control->submit_head = 3);
	ASSERT_SHARED(s.f.control->submit_head = UINT64_MAX);
	ASSERT_SHARED(s.f.control->submit_tail = 1);
	ASSERT_SHARED(s.f.control->submit_tail = 1000);
	ASSERT_SHARED(s.f.control->idle[0] |= 8);
	ASSERT_SHARED(s.f.control->idle[63] = 1);
	ASSERT_SHARED(s.f.control->geometry.asked.ring_bytes *= 2);
	ASSERT_SHARED(s.f.control->geometry.magic = 0);
	ASSERT_SHARED(s.f.control->geometry.total_bytes = 1);
	ASSERT_SHARED(s.f.entries[1] = UINT64_MAX);
	ASSERT_SHARED(s.f.runners[2].head = 8);
}

#define ASSERT_WORD(...) \
	do { \
		static struct spoilt s; \
		struct ring_chunk_state chunk; \
		uint32_t begun, end, generation; \
		bool freed; \
\
		spoilt_open(&s); \
		generation = s.claim.generation; \
		s.f.chunks[VICTIM_CHUNK].word = __VA_ARGS__; \
		assert_int_equal(ring_chunk_state(s.f.ring, VICTIM_CHUNK, &chunk), -EBADMSG); \
		assert_int_equal(ring_take_back(s.f.ring, VICTIM_CHUNK, &begun, &end, &freed), -EBADMSG); \
		assert_int_equal(ring_check(s.f.ring), -EBADMSG); \
		assert_int_equal(ring_reap(s.f.ring, 0, on_left, &s.f), -EBADMSG); \
		assert_int_equal(s.f.n_left, 0); \
		ring_reap_all(s.f.ring, on_left, &s.f); \
		assert_int_equal(s.f.n_left, 1); \
		assert_int_equal(s.f.left[0].begun_lost, 0xe); /* whatever the word says: nothing twice */ \
		assert_int_equal(ring_free_chunks(s.f.ring), small_geometry.n_chunks); \
		(void)generation; \
		fixture_close(&s.f); \
	} while (0)

static void garbage_in_a_chunks_word_is_found_by_whoever_reads_it(void **state)
{
	(void)state;
	ASSERT_WORD(0);
	ASSERT_WORD(UINT64_MAX);
	ASSERT_WORD(word_make(generation + 1, 1, 4, 4));
	ASSERT_WORD(word_make(generation, 4, 4, 4)); /* no such runner */
	ASSERT_WORD(word_make(generation, 1, 6, 4)); /* the daemon alone sets the end */
	ASSERT_WORD(word_make(generation, 1, 4, 5));
	ASSERT_WORD(word_make(generation, 0, 4, 4)); /* begun by nobody */
	ASSERT_WORD(word_make(generation, 1, 4, 0)); /* task 0 is done and was never begun */
}

static void the_sleep_flag_and_the_idle_bits_cannot_hurt(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	f.control->daemon_asleep = UINT32_MAX;
	memset((void *)f.control->idle, 0xff, sizeof(f.control->idle));
	memset((void *)&f.runners[0].sleep_kind, 0xff, sizeof(f.runners[0].sleep_kind));
	f.runners[1].sleep_kind = SHARED_IN_BASE;
	f.runners[2].room_wait = UINT32_MAX;
	assert_int_equal(ring_idle_runners(f.ring), 3);
	(void)submit_numbers(&f, 0, 1, NULL);
	ring_wake_all(f.ring);
	do_chunk(&f, 2);
	assert_true(ring_prepare_sleep(f.ring));
	ring_awake(f.ring);
	fixture_close(&f);
}

static void what_names_the_running_task_is_checked(void **state)
{
	struct ring_running running;
	struct fixture f;
	uint32_t bits;
	float half = 1.5f;

	(void)state;
	fixture_open(&f, &small_geometry);
	f.runners[0].running = SHARED_RUNNING_SET | (uint64_t)small_geometry.n_chunks << 8;
	ring_running(f.ring, 0, &running);
	assert_false(running.running);
	f.runners[0].running = SHARED_RUNNING_SET | 64;
	ring_running(f.ring, 0, &running);
	assert_false(running.running);
	f.runners[0].fault = UINT32_MAX;
	ring_running(f.ring, 0, &running);
	assert_in_range(running.signal, 0, 127);
	(void)submit_numbers(&f, 0, 1, NULL);
	memcpy(&bits, &half, sizeof(bits));
	f.chunks[0].progress[0] = f.chunks[0].word >> 32 << 32 | bits;
	assert_true(ring_progress(f.ring, 0, 0) < 0);
	fixture_close(&f);
}

static void a_worker_follows_no_segment_that_it_does_not_understand(void **state)
{
	struct worker_ring *worker = NULL;
	struct ring_claim claim;
	struct fixture f;
	FILE *file;

	(void)state;
	fixture_open(&f, &small_geometry);
	f.entries[0] = UINT64_MAX; /* scribbled by a neighbour */
	f.control->submit_tail = 1;
	assert_int_equal(ring_claim(f.worker, 0, &claim), -EAGAIN);
	f.control->submit_tail = 0;
	f.control->submit_head = 0;
	(void)submit_numbers(&f, 0, 1, NULL);
	f.chunks[0].count_flags = UINT64_MAX;
	assert_int_equal(ring_claim(f.worker, 0, &claim), -EBADMSG);
	(void)submit_numbers(&f, 0, 1, NULL);
	f.chunks[1].bytes_big = 100u << 16 | 3; /* of two places */
	assert_int_equal(ring_claim(f.worker, 0, &claim), -EBADMSG);
	(void)submit_numbers(&f, 0, 1, NULL);
	f.chunks[2].bytes_big = (uint64_t)(RING_CHUNK_INPUT_BYTES + 1) << 32;
	assert_int_equal(ring_claim(f.worker, 0, &claim), -EBADMSG);
	f.control->geometry.asked.n_chunks = 16;
	assert_int_equal(worker_ring_open(ring_segment_fd(f.ring), 0, &worker), -EINVAL);
	f.control->geometry.asked.n_chunks = 8;
	f.control->geometry.version++;
	assert_int_equal(worker_ring_open(ring_segment_fd(f.ring), 0, &worker), -EINVAL);
	file = tmpfile();
	assert_non_null(file);
	assert_int_equal(worker_ring_open(fileno(file), 0, &worker), -EINVAL);
	assert_int_equal(ftruncate(fileno(file), 4096), 0);
	assert_int_equal(worker_ring_open(fileno(file), 0, &worker), -EINVAL);
	assert_int_equal(worker_ring_open(-1, 0, &worker), -EINVAL);
	assert_int_equal(fclose(file), 0);
	assert_null(worker);
	worker_ring_close(NULL);
	fixture_close(&f);
}

/* ---- At random ---- */

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void noise(void *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)at)[i] = (uint8_t)next_random();
}

/* A record that is wrong in one random byte, so that it is refused late rather than at once. */
static void near_record(struct fixture *f, uint32_t runner, uint64_t tail)
{
	uint64_t offset = tail % (small_geometry.ring_bytes - 64) & ~UINT64_C(7);
	uint8_t *at = f->map + f->layout.rings + (size_t)runner * small_geometry.ring_bytes + offset;
	struct shared_record r = { .len = (uint32_t)(next_random() % 64), .kind = (uint8_t)(next_random() % 3) };

	r.chunk = (uint32_t)(next_random() % 8);
	r.generation = (uint32_t)(f->chunks[r.chunk].word >> 32);
	r.index = (uint8_t)(next_random() % 8);
	r.flags = (uint8_t)(next_random() % 4);
	memcpy(at, &r, sizeof(r));
	if (next_random() % 2)
		noise(at + next_random() % 32, 1);
}

static void no_noise_in_the_segment_harms_the_daemon(void **state)
{
	struct ring_chunk_state s;
	uint32_t begun, end, bad, chunk;
	struct fixture f;
	bool freed;

	(void)state;
	for (int round = 0; round < 300; round++) {
		fixture_open(&f, &small_geometry);
		for (int step = 0; step < 40; step++) {
			uint32_t runner = (uint32_t)(next_random() % 3);

			if (fill_numbers(&f, 0, 1 + (uint32_t)(next_random() % 8), NULL, &chunk) == 0)
				ring_submit(f.ring, chunk);
			if (next_random() % 4 == 0) {
				noise(f.map + next_random() % (f.layout.arena - 64), 1 + next_random() % 64);
			} else {
				uint64_t tail = f.runners[runner].precise_tail;

				near_record(&f, runner, tail);
				f.runners[runner].precise_tail = tail + next_random() % 128 / 8 * 8;
				f.runners[runner].advertised_tail = f.runners[runner].precise_tail;
			}
			(void)ring_collect_all(f.ring, 100, on_run, &f, &bad);
			(void)ring_prepare_sleep(f.ring);
			ring_awake(f.ring);
			(void)ring_chunk_state(f.ring, (uint32_t)(next_random() % 9), &s);
			(void)ring_unclaimed_chunks(f.ring);
			(void)ring_check(f.ring);
			ring_wake(f.ring, 2);
			if (next_random() % 8 == 0)
				(void)ring_take_back(f.ring, (uint32_t)(next_random() % 8), &begun, &end, &freed);
			if (next_random() % 8 == 0) {
				(void)ring_collect_dead(f.ring, runner, on_run, &f);
				(void)ring_reap(f.ring, runner, on_left, &f);
			}
		}
		ring_reap_all(f.ring, on_left, &f);
		assert_int_equal(ring_free_chunks(f.ring), small_geometry.n_chunks);
		fixture_close(&f);
	}
}

/* What has no process has nobody to be killed for it: its place is made good when it gets one. */
static void garbage_where_no_process_is_does_not_wait_for_the_next(void **state)
{
	struct spoilt s;
	uint32_t bad = 99;

	(void)state;
	spoilt_open(&s);
	assert_int_equal(ring_reap(s.f.ring, 1, on_left, &s.f), 0);
	s.f.runners[1].precise_tail = s.f.runners[1].advertised_tail = UINT64_C(1) << 40;
	assert_int_equal(ring_collect_all(s.f.ring, UINT32_MAX, on_run, &s.f, &bad), -EBADMSG);
	assert_int_equal(bad, 1);
	ring_renew(s.f.ring, 1);
	fixture_new_worker(&s.f);
	(void)submit_numbers(&s.f, 8, 1, NULL);
	do_chunk(&s.f, 1);
	fixture_close(&s.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_with_garbage_in_any_field_breaks_its_runner),
		cmocka_unit_test(garbage_behind_a_good_record_does_not_cost_it),
		cmocka_unit_test(a_second_result_of_a_task_is_refused),
		cmocka_unit_test(a_record_for_another_runners_chunk_is_refused),
		cmocka_unit_test(a_tail_out_of_place_breaks_its_runner),
		cmocka_unit_test(a_precise_tail_out_of_place_is_found_before_the_sleep_and_after_a_death),
		cmocka_unit_test(garbage_where_no_process_is_does_not_wait_for_the_next),
		cmocka_unit_test(fragments_that_do_not_belong_together_break_their_runner),
		cmocka_unit_test(a_result_over_the_limit_is_not_put_together),
		cmocka_unit_test(garbage_in_words_that_all_share_is_found),
		cmocka_unit_test(garbage_in_a_chunks_word_is_found_by_whoever_reads_it),
		cmocka_unit_test(the_sleep_flag_and_the_idle_bits_cannot_hurt),
		cmocka_unit_test(what_names_the_running_task_is_checked),
		cmocka_unit_test(a_worker_follows_no_segment_that_it_does_not_understand),
		cmocka_unit_test(no_noise_in_the_segment_harms_the_daemon),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
