/* The rings under load: the daemon and several worker processes as threads of one process, so that a sanitizer sees
 * both sides. Workers (ring_stress_worker.c) keep many begun tasks and end them in any order, the daemon takes back and
 * fills anew at random, and workers die at random points of the protocol; each task must come back with its result
 * exactly once, and must never run twice at the same time.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "ring_stress.h"

static void start_worker(struct stress *st, uint32_t runner, uint32_t max_held, bool mortal)
{
	struct slot *s = &st->slots[runner];

	s->stress = st;
	s->runner = runner;
	s->max_held = max_held;
	s->seed = next_random(&st->seed) | 1;
	s->death_in = mortal ? 1 + below(&st->seed, 3000) : 0;
	atomic_store(&s->dead, false);
	CHECK(worker_ring_open(ring_segment_fd(st->ring), ring_event_fd(st->ring), &s->worker) == 0);
	ring_set_runner_fd(st->ring, runner, s->wake_fd);
	CHECK(pthread_create(&s->thread, NULL, stress_worker_main, s) == 0);
}

static void give_back(struct stress *st, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		CHECK(st->out[i] == 1 && st->done[i] == 0);
		st->out[i] = 0;
	}
	if (count > 0)
		st->ranges[st->n_ranges++] = (struct range){ first, count };
}

static void on_run(void *arg, const struct ring_run *run)
{
	struct stress *st = arg;
	const struct range *chunk = run->user;

	CHECK(run->kind == RING_RECORD_RESULT && run->n >= 1 && run->n <= RING_CHUNK_TASKS && run->all_done);
	for (uint32_t i = 0; i < run->n; i++) {
		const struct ring_record *r = &run->records[i];
		uint32_t task = chunk->first + r->index, said;

		CHECK(r->status == RING_DONE && r->len == result_len(task));
		memcpy(&said, r->data, sizeof(said));
		CHECK(said == task);
		for (size_t k = sizeof(said); k < r->len; k++)
			CHECK(r->data[k] == (uint8_t)(task * 31 + k));
		CHECK(st->out[task] == 1 && st->done[task] == 0);
		st->done[task] = 1;
		st->n_done++;
	}
}

static void on_left(void *arg, const struct ring_left *left)
{
	struct stress *st = arg;
	const struct range *chunk = left->user;

	for (uint32_t i = 0; i < 64; i++) {
		if (!(left->begun_lost >> i & 1))
			continue;
		/* Begun and lost; where it died between the end of the work and the record, it is not running. */
		atomic_store(&st->running[chunk->first + i], 0);
		give_back(st, chunk->first + i, 1);
		st->n_lost++;
	}
	give_back(st, chunk->first + left->unbegun_first, left->unbegun_end - left->unbegun_first);
}

static void bury(struct stress *st, uint32_t runner, uint32_t max_held)
{
	struct slot *s = &st->slots[runner];

	CHECK(pthread_join(s->thread, NULL) == 0);
	CHECK(ring_collect_dead(st->ring, runner, on_run, st) >= 0);
	CHECK(ring_reap(st->ring, runner, on_left, st) == 0);
	worker_ring_close(s->worker);
	st->n_deaths++;
	start_worker(st, runner, max_held, true);
}

/* Fill and offer one chunk. false: nothing to do, or no room. */
static bool feed(struct stress *st)
{
	static uint8_t packed[RING_CHUNK_TASKS * 8 + BIG_BYTES + 8];
	struct ring_batch batch = { .job = 3, .packed = packed };
	uint32_t count = 0, most, place = 0, chunk;
	struct range *range, *user;
	uint8_t *at = packed;
	int r;

	if (st->n_ranges == 0)
		return false;
	range = &st->ranges[st->n_ranges - 1];
	most = below(&st->seed, 3) ? 1 + below(&st->seed, RING_CHUNK_TASKS) : 1;
	while (count < range->count && count < most && !(count > 0 && (range->first + count) % N_BIG_EVERY == 0)) {
		uint32_t task = range->first + count;
		size_t len = task % N_BIG_EVERY == 0 ? BIG_BYTES : sizeof(task);

		at = varint_put(at, len);
		memset(at, (int)(task & 0xff), len);
		memcpy(at, &task, sizeof(task));
		at += len;
		count++;
		if (len == BIG_BYTES)
			break;
	}
	batch.first = range->first;
	batch.count = count;
	batch.packed_bytes = (size_t)(at - packed);
	while (place < ARRAY_SIZE(st->chunks) && st->chunks[place].count > 0)
		place++;
	CHECK(place < ARRAY_SIZE(st->chunks)); /* more than there are chunks, and those of free chunks are swept */
	user = &st->chunks[place];
	r = ring_fill(st->ring, &batch, user, &chunk);
	CHECK(r == 0 || r == -EAGAIN);
	if (r < 0)
		return false;
	*user = (struct range){ range->first, count };
	for (uint32_t i = 0; i < count; i++) {
		CHECK(st->out[range->first + i] == 0 && st->done[range->first + i] == 0);
		st->out[range->first + i] = 1;
	}
	range->first += count;
	range->count -= count;
	if (range->count == 0)
		st->n_ranges--;
	ring_submit(st->ring, chunk);
	return true;
}

static void take_something_back(struct stress *st)
{
	uint32_t chunk = below(&st->seed, ring_geometry(st->ring)->n_chunks), begun, end;
	struct ring_chunk_state state;
	bool freed;

	if (ring_chunk_state(st->ring, chunk, &state) < 0)
		return;
	CHECK(ring_take_back(st->ring, chunk, &begun, &end, &freed) == 0);
	CHECK(end == state.end && begun >= state.begun);
	st->n_back += end - begun;
	give_back(st, ((struct range *)state.user)->first + begun, end - begun);
	if (freed)
		((struct range *)state.user)->count = 0;
}

/* Which of the users' places are free: those that no chunk in flight names. */
static void sweep_users(struct stress *st)
{
	bool used[64] = { false };
	struct ring_chunk_state state;

	for (uint32_t i = 0; i < ring_geometry(st->ring)->n_chunks; i++) {
		if (ring_chunk_state(st->ring, i, &state) == 0)
			used[(struct range *)state.user - st->chunks] = true;
	}
	for (uint32_t i = 0; i < 64; i++) {
		if (!used[i])
			st->chunks[i].count = 0;
	}
}

static void wait_for_news(struct stress *st)
{
	struct pollfd p[2] = { { .fd = ring_event_fd(st->ring), .events = POLLIN },
			       { .fd = st->death_fd, .events = POLLIN } };

	if (!ring_prepare_sleep(st->ring))
		return;
	CHECK(poll(p, 2, HANG_MS) > 0); /* a wake-up was lost */
	ring_awake(st->ring);
}

static void run_daemon(struct stress *st, uint32_t max_held)
{
	uint64_t count;
	uint32_t bad;

	while (st->n_done < N_TASKS) {
		uint32_t fed = 0, burst = below(&st->seed, 8);
		int r;

		sweep_users(st);
		while (fed < burst && feed(st))
			fed++;
		if (fed > 0)
			ring_wake(st->ring, fed);
		r = ring_collect_all(st->ring, 1 + below(&st->seed, 500), on_run, st, &bad);
		CHECK(r >= 0);
		if (below(&st->seed, 8) == 0)
			take_something_back(st);
		if (eventfd_read(st->death_fd, &count) == 0) {
			for (uint32_t i = 0; i < N_SLOTS; i++) {
				if (atomic_load(&st->slots[i].dead))
					bury(st, i, max_held);
			}
		} else if (r == 0 && fed == 0 && burst > 0) {
			wait_for_news(st);
		}
	}
	CHECK(ring_check(st->ring) == 0);
}

static void check_exactly_once(uint64_t seed, uint32_t max_held, bool mortal)
{
	struct ring_geometry g = { .n_runners = N_SLOTS, .n_chunks = 24, .ring_bytes = 16384, .n_big = 2 };
	struct stress *st = calloc(1, sizeof(*st));

	CHECK(st);
	st->seed = seed;
	st->death_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(ring_open(&g, &st->ring), 0);
	st->ranges[st->n_ranges++] = (struct range){ 0, N_TASKS };
	for (uint32_t i = 0; i < N_SLOTS; i++) {
		st->slots[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		start_worker(st, i, max_held, mortal);
	}
	run_daemon(st, max_held);
	atomic_store(&st->stop, true);
	for (uint32_t i = 0; i < N_SLOTS; i++) {
		struct slot *s = &st->slots[i];

		ring_kick(s->worker, i);
		CHECK(eventfd_write(s->wake_fd, 1) == 0);
		CHECK(pthread_join(s->thread, NULL) == 0);
		worker_ring_close(s->worker);
		CHECK(close(s->wake_fd) == 0);
	}
	for (uint32_t i = 0; i < N_TASKS; i++)
		assert_int_equal(st->done[i], 1);
	print_message("# %u tasks, %u deaths, %u begun again, %u taken back\n", st->n_done, st->n_deaths, st->n_lost,
		      st->n_back);
	assert_true(one_mapping_shared() > 0);
	assert_true(st->n_back > 0 && (!mortal || st->n_deaths > 0));
	ring_close(st->ring);
	CHECK(close(st->death_fd) == 0);
	free(st);
}

static void every_task_comes_back_once_whatever_is_taken_back(void **state)
{
	(void)state;
	check_exactly_once(1, 1, false);
	check_exactly_once(2, 40, false);
}

static void every_task_comes_back_once_whoever_dies(void **state)
{
	(void)state;
	check_exactly_once(3, 1, true);
	check_exactly_once(4, 8, true);
	check_exactly_once(5, MAX_HELD, true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_task_comes_back_once_whatever_is_taken_back),
		cmocka_unit_test(every_task_comes_back_once_whoever_dies),
	};

	if (argc > 1) { /* one more seed, by hand */
		check_exactly_once(strtoull(argv[1], NULL, 0) | 1, MAX_HELD, true);
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
