/* The rings: every call of both sides, one thread unless a runner must wait for room. */
#include "test_ring_fixture.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sys/eventfd.h>

static int user_a; /* only its address */

static void a_task_goes_round_with_all_that_is_said_of_it(void **state)
{
	struct ring_claim claim;
	struct fixture f;
	const uint8_t *at, *data;
	uint32_t chunk;
	size_t len;

	(void)state;
	fixture_open(&f, &small_geometry);
	chunk = submit_numbers(&f, 41, 3, &user_a);
	assert_int_equal(ring_free_chunks(f.ring), 7);
	assert_int_equal(ring_unclaimed_chunks(f.ring), 1);
	assert_int_equal(ring_claim(f.worker, 2, &claim), 0);
	assert_int_equal(ring_claim(f.worker, 1, &claim), -EAGAIN);
	assert_int_equal(ring_unclaimed_chunks(f.ring), 0);
	assert_int_equal(claim.chunk, chunk);
	assert_int_equal(claim.job, 7);
	assert_int_equal(claim.first, 41);
	assert_int_equal(claim.count, 3);
	assert_int_equal(claim.flags, 5);
	assert_false(claim.big);
	for (uint32_t i = 0; i < 3; i++)
		do_next(&f, 2, &claim);
	assert_int_equal(ring_begin(f.worker, 2, &claim), -EAGAIN);
	at = packed_next(claim.inputs, claim.inputs + claim.inputs_bytes, &data, &len);
	assert_int_equal(len, 2);
	assert_memory_equal(data, "41", 2);
	at = packed_next(at, claim.inputs + claim.inputs_bytes, &data, &len);
	assert_memory_equal(data, "42", 2);
	at = packed_next(at, claim.inputs + claim.inputs_bytes, &data, &len);
	assert_ptr_equal(at, claim.inputs + claim.inputs_bytes);
	ring_publish(f.worker, 2);
	assert_int_equal(collect(&f, 2), 3);
	assert_int_equal(f.got[1].run.kind, RING_RECORD_RESULT);
	assert_int_equal(f.got[1].record.status, RING_DONE);
	assert_int_equal(f.got[1].run.runner, 2);
	assert_int_equal(f.got[1].run.chunk, chunk);
	assert_int_equal(f.got[1].record.index, 1);
	assert_ptr_equal(f.got[1].run.user, &user_a);
	assert_string_equal(f.got[1].text, "done 42");
	assert_false(f.got[1].run.chunk_done);
	assert_true(f.got[2].run.chunk_done);
	assert_ptr_equal(f.got[2].run.user, &user_a);
	assert_int_equal(ring_free_chunks(f.ring), 8);
	assert_int_equal(ring_check(f.ring), 0);
	fixture_close(&f);
}

static void times_and_wishes_arrive_and_never_contradict(void **state)
{
	struct ring_claim claim;
	struct ring_result r;
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	(void)submit_numbers(&f, 0, 4, &user_a);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(ring_begin(f.worker, 0, &claim), i);
		r = result_of(&claim, i, NULL, 0);
		r.runq_s = i == 1 ? 0.125f : 0;
		r.status = i == 2 ? RING_FAILED_RETRY : RING_DONE;
		r.retry_after_ns = 99;
		if (i == 3) {
			r.cpu_s = 7; /* of 0.5 s wall */
			r.runq_s = NAN;
			r.begin_ns = clock_mono_ns() + 10 * NS_PER_MS; /* another clock, a little ahead */
		}
		ring_record(f.worker, 0, &r);
	}
	ring_publish(f.worker, 0);
	assert_int_equal(collect(&f, 0), 4);
	assert_true(f.got[0].record.begin_ns > 0 && f.got[0].record.begin_ns <= clock_mono_ns());
	assert_true(f.got[1].record.wall_s == 0.5f && f.got[1].record.cpu_s == 0.25f);
	assert_true(f.got[1].record.runq_s == 0.125f && f.got[0].record.runq_s == 0);
	assert_int_equal(f.got[1].record.retry_after_ns, -1);
	assert_int_equal(f.got[2].record.status, RING_FAILED_RETRY);
	assert_int_equal(f.got[2].record.retry_after_ns, 99);
	assert_true(f.got[3].record.cpu_s == 0.5f && f.got[3].record.runq_s == 0);
	assert_true(f.got[3].record.begin_ns <= clock_mono_ns());
	fixture_close(&f);
}

static void a_geometry_out_of_range_is_refused_and_a_shape_gets_one_in_range(void **state)
{
	static const struct ring_geometry bad[] = {
		{ 0, 8, 16384, 1 }, { 4096, 8, 16384, 1 }, { 1, 0, 16384, 1 }, { 1, 8, 16385, 1 },
		{ 1, 8, 8192, 1 }, { 1, 8, 16384, 0 }, { 1, 65537, 16384, 1 }, { 1, 8, 1u << 25, 1 },
	};
	struct ring_geometry g;
	struct layout layout;
	struct ring *ring = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ring_open(&bad[i], &ring), -EINVAL);
	assert_null(ring);
	ring_close(NULL);
	g = ring_geometry_for(1, 2, 1);
	assert_int_equal(g.n_runners, 2);
	assert_int_equal(g.n_chunks, 256);
	g = ring_geometry_for(1, 1, 30000);
	assert_int_equal(g.n_chunks, 1875);
	g = ring_geometry_for(65, 63, 1);
	assert_int_equal(g.n_runners, 4095);
	assert_int_equal(g.n_chunks, 4 * 4095);
	assert_true(layout_compute(&g, &layout));
	assert_int_equal(ring_open(&g, &ring), 0);
	assert_int_equal(ring_geometry(ring)->n_runners, 4095);
	ring_wake_all(ring);
	assert_int_equal(ring_check(ring), 0);
	ring_close(ring);
	g = ring_geometry_for(UINT32_MAX, UINT32_MAX, UINT32_MAX);
	assert_true(layout_compute(&g, &layout));
}

static void the_last_runner_of_the_largest_crew_works(void **state)
{
	struct ring_geometry g = { .n_runners = RING_MAX_RUNNERS, .n_chunks = 4, .ring_bytes = 16384, .n_big = 1 };
	struct ring_chunk_state s;
	static struct fixture fixture;
	struct fixture *f = &fixture;
	struct ring_claim claim;
	uint32_t last = RING_MAX_RUNNERS - 1, bad;

	(void)state;
	fixture_open(f, &g);
	assert_true(ring_sleep_begin(f->worker, last, false));
	assert_int_equal(ring_idle_runners(f->ring), 1);
	(void)submit_numbers(f, 0, 1, NULL);
	ring_wake(f->ring, 1);
	assert_int_equal(ring_idle_runners(f->ring), 0);
	ring_sleep_futex(f->worker, last);
	ring_sleep_end(f->worker, last);
	assert_int_equal(ring_claim(f->worker, last, &claim), 0);
	assert_int_equal(ring_chunk_state(f->ring, claim.chunk, &s), 0);
	assert_int_equal(s.runner, last);
	do_next(f, last, &claim);
	assert_true(ring_prepare_sleep(f->ring) == false);
	assert_int_equal(ring_collect_all(f->ring, 10, on_run, f, &bad), 1);
	assert_int_equal(f->got[0].run.runner, last);
	fixture_close(f);
}

static void a_batch_that_cannot_travel_is_refused(void **state)
{
	static uint8_t bytes[RING_BIG_INPUT_BYTES + 64];
	struct ring_batch batch = { .packed = bytes };
	uint32_t chunk = 77;
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	assert_int_equal(ring_fill(f.ring, &batch, NULL, &chunk), -EINVAL);
	batch.count = RING_CHUNK_TASKS + 1;
	assert_int_equal(ring_fill(f.ring, &batch, NULL, &chunk), -EINVAL);
	batch.count = 2;
	batch.packed_bytes = RING_CHUNK_INPUT_BYTES + 1;
	assert_int_equal(ring_fill(f.ring, &batch, NULL, &chunk), -EMSGSIZE);
	batch.count = 1;
	batch.packed_bytes = sizeof(bytes);
	assert_int_equal(ring_fill(f.ring, &batch, NULL, &chunk), -EMSGSIZE);
	assert_int_equal(chunk, 77);
	batch.packed_bytes = RING_BIG_INPUT_BYTES + VARINT_MAX_BYTES;
	assert_int_equal(ring_fill(f.ring, &batch, NULL, &chunk), 0);
	batch.packed_bytes = RING_CHUNK_INPUT_BYTES;
	batch.count = RING_CHUNK_TASKS;
	assert_int_equal(ring_fill(f.ring, &batch, NULL, &chunk), 0);
	fixture_close(&f);
}

static void chunks_run_out_and_come_back_with_their_last_record(void **state)
{
	struct fixture f;
	uint32_t chunk;

	(void)state;
	fixture_open(&f, &small_geometry);
	for (uint32_t i = 0; i < 8; i++)
		(void)submit_numbers(&f, i, 1, NULL);
	assert_int_equal(ring_free_chunks(f.ring), 0);
	assert_int_equal(fill_numbers(&f, 9, 1, NULL, &chunk), -EAGAIN);
	do_chunk(&f, 1);
	assert_int_equal(ring_free_chunks(f.ring), 1);
	(void)submit_numbers(&f, 9, 1, NULL);
	for (uint32_t i = 0; i < 8; i++)
		do_chunk(&f, i % 3);
	assert_int_equal(f.n_got, 9);
	assert_int_equal(ring_free_chunks(f.ring), 8);
	fixture_close(&f);
}

static void records_wrap_around_the_ring_whole(void **state)
{
	struct ring_claim claim;
	struct fixture f;
	uint8_t data[3000];
	uint32_t seed = 12345;

	(void)state;
	fixture_open(&f, &small_geometry);
	for (uint32_t i = 0; i < 4000; i++) {
		struct ring_result r;

		(void)submit_numbers(&f, i, 1, NULL);
		assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
		assert_int_equal(ring_begin(f.worker, 0, &claim), 0);
		seed = seed * 1103515245 + 12345;
		r = result_of(&claim, 0, data, (seed >> 8) % (i % 3 ? 60 : sizeof(data)));
		r.runq_s = seed & 0x10000 ? 0.01f : 0;
		memset(data, (int)i & 0xff, sizeof(data));
		ring_record(f.worker, 0, &r);
		ring_publish(f.worker, 0);
		assert_int_equal(collect(&f, 0), 1);
		assert_int_equal(f.last.len, r.len);
		assert_memory_equal(f.last.data, data, r.len);
	}
	assert_int_equal(ring_check(f.ring), 0);
	fixture_close(&f);
}

/* A runner on a thread of its own, for what waits for room. */
struct writing {
	struct fixture *f;
	uint32_t n;
	size_t len;
};

static void *write_results(void *arg)
{
	struct writing *w = arg;
	struct ring_claim claim;
	uint8_t *data = malloc(w->len);

	for (uint32_t i = 0; data && i < w->n; i++) {
		if (i % RING_CHUNK_TASKS == 0 && ring_claim(w->f->worker, 0, &claim) < 0)
			break;
		int index = ring_begin(w->f->worker, 0, &claim);
		struct ring_result r = result_of(&claim, (uint32_t)index, data, w->len);

		for (size_t k = 0; k < w->len; k++)
			data[k] = (uint8_t)(k * 7 + i);
		ring_record(w->f->worker, 0, &r);
	}
	ring_publish(w->f->worker, 0);
	free(data);
	return NULL;
}

static void check_results_through_a_small_ring(uint32_t n, size_t len)
{
	struct fixture f;
	struct writing w = { .f = &f, .n = n, .len = len };
	pthread_t thread;

	fixture_open(&f, &small_geometry);
	for (uint32_t i = 0; i < n; i += RING_CHUNK_TASKS)
		(void)submit_numbers(&f, i, n - i < RING_CHUNK_TASKS ? n - i : RING_CHUNK_TASKS, NULL);
	assert_int_equal(pthread_create(&thread, NULL, write_results, &w), 0);
	while (f.n_got < n) {
		struct pollfd p = { .fd = ring_event_fd(f.ring), .events = POLLIN };
		int got = collect(&f, 0);

		assert_true(got >= 0);
		if (got > 0) {
			assert_int_equal(f.last.len, len);
			for (size_t k = 0; k < len; k += len / 13)
				assert_int_equal(f.last.data[k], (uint8_t)(k * 7 + f.n_got - 1));
		}
		if (got == 0 && ring_prepare_sleep(f.ring)) {
			assert_int_equal(poll(&p, 1, 10000), 1);
			ring_awake(f.ring);
		}
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(f.got[i].record.index, i % RING_CHUNK_TASKS);
	assert_int_equal(ring_free_chunks(f.ring), 8);
	fixture_close(&f);
}

static void a_runner_whose_ring_is_full_waits_for_room(void **state)
{
	(void)state;
	check_results_through_a_small_ring(500, 1000);
	check_results_through_a_small_ring(50, 8144); /* as long as goes in one piece */
	check_results_through_a_small_ring(50, 8145);
}

static void a_long_result_travels_in_fragments(void **state)
{
	(void)state;
	check_results_through_a_small_ring(3, 1000000);
	check_results_through_a_small_ring(70, 20001);
}

static void log_lines_come_in_order_are_cut_and_leave_room_for_results(void **state)
{
	char line[RING_LOG_BYTES + 100];
	uint32_t kept = 0;
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	memset(line, 'x', sizeof(line));
	(void)submit_numbers(&f, 3, 1, NULL);
	assert_true(ring_log(f.worker, 0, 2, "hello", 5));
	assert_true(ring_log(f.worker, 0, 0, line, sizeof(line)));
	ring_publish(f.worker, 0);
	assert_int_equal(collect(&f, 0), 2);
	assert_int_equal(f.got[0].run.kind, RING_RECORD_LOG);
	assert_int_equal(f.got[0].record.status, 2);
	assert_string_equal(f.got[0].text, "hello");
	assert_null(f.got[0].run.user);
	assert_int_equal(f.got[1].record.len, RING_LOG_BYTES);
	while (ring_log(f.worker, 0, 1, line, 100))
		kept++;
	assert_in_range(kept, 50, 150);
	do_chunk(&f, 1);
	(void)submit_numbers(&f, 4, 1, NULL);
	f.n_got = 0;
	struct ring_claim claim;
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	do_next(&f, 0, &claim);
	ring_publish(f.worker, 0);
	assert_int_equal(collect(&f, 0), kept + 1);
	assert_string_equal(f.got[kept].text, "done 4");
	assert_true(ring_log(f.worker, 0, 1, line, 100));
	fixture_close(&f);
}

static int fill_big(struct fixture *f, uint8_t fill, uint32_t *ret_chunk)
{
	_cleanup_buffer_ struct buffer packed = BUFFER_INIT;
	struct ring_batch batch = { .job = 1, .count = 1 };

	assert_int_equal(buffer_add_varint(&packed, 500000), 0);
	assert_int_equal(buffer_reserve(&packed, 500000), 0);
	memset(packed.data + packed.len, fill, 500000);
	packed.len += 500000;
	batch.packed = packed.data;
	batch.packed_bytes = packed.len;
	return ring_fill(f->ring, &batch, NULL, ret_chunk);
}

static void a_large_input_has_a_place_until_it_is_copied_done_or_taken_back(void **state)
{
	uint32_t a, b, c, begun, end;
	struct ring_claim claim;
	const uint8_t *data = NULL;
	struct fixture f;
	size_t len = 0;
	bool freed;

	(void)state;
	fixture_open(&f, &small_geometry);
	assert_int_equal(fill_big(&f, 'a', &a), 0);
	assert_int_equal(fill_big(&f, 'b', &b), 0);
	assert_int_equal(fill_big(&f, 'c', &c), -EAGAIN);
	assert_int_equal(ring_free_chunks(f.ring), 6);
	ring_submit(f.ring, a);
	ring_submit(f.ring, b);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	assert_true(claim.big);
	assert_int_equal(ring_begin(f.worker, 0, &claim), 0);
	assert_non_null(packed_next(claim.inputs, claim.inputs + claim.inputs_bytes, &data, &len));
	assert_int_equal(len, 500000);
	assert_int_equal(data[0], 'a');
	assert_int_equal(data[499999], 'a');
	ring_release_big(f.worker, &claim);
	assert_int_equal(fill_big(&f, 'c', &c), 0); /* copied: its place is free before it is done */
	assert_int_equal(ring_take_back(f.ring, b, &begun, &end, &freed), 0);
	assert_true(freed);
	assert_int_equal(fill_big(&f, 'd', &b), 0); /* taken back */
	assert_int_equal(fill_big(&f, 'e', &b), -EAGAIN);
	ring_submit(f.ring, c);
	struct ring_result r = result_of(&claim, 0, "x", 1);
	ring_record(f.worker, 0, &r);
	ring_publish(f.worker, 0);
	assert_int_equal(collect(&f, 0), 1);
	assert_int_equal(fill_big(&f, 'e', &b), -EAGAIN); /* a's place is c's now */
	do_chunk(&f, 1); /* c, never released */
	assert_int_equal(fill_big(&f, 'e', &b), 0);
	fixture_close(&f);
}

static void records_are_seen_when_published_or_when_the_daemon_goes_to_sleep(void **state)
{
	struct ring_claim claim;
	struct fixture f;
	uint64_t count;

	(void)state;
	fixture_open(&f, &small_geometry);
	(void)submit_numbers(&f, 0, 10, NULL);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	do_next(&f, 0, &claim);
	assert_int_equal(collect(&f, 0), 0);
	assert_false(ring_prepare_sleep(f.ring));
	assert_int_equal(collect(&f, 0), 1);
	assert_true(ring_prepare_sleep(f.ring));
	assert_false(readable(ring_event_fd(f.ring)));
	do_next(&f, 0, &claim);
	ring_publish(f.worker, 0);
	do_next(&f, 0, &claim);
	ring_publish(f.worker, 0); /* one wake-up is enough */
	assert_int_equal(read(ring_event_fd(f.ring), &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	assert_int_equal(collect(&f, 0), 2);
	assert_true(ring_prepare_sleep(f.ring));
	do_next(&f, 0, &claim);
	ring_publish(f.worker, 0);
	assert_true(readable(ring_event_fd(f.ring)));
	/* Not even a worker that made the descriptor blocking can stop the daemon here. */
	assert_int_equal(fcntl(ring_event_fd(f.ring), F_SETFL, 0), 0);
	ring_awake(f.ring);
	ring_awake(f.ring);
	assert_false(readable(ring_event_fd(f.ring)));
	assert_int_equal(collect(&f, 0), 1);
	do_next(&f, 0, &claim);
	ring_publish(f.worker, 0); /* awake: no system call */
	assert_false(readable(ring_event_fd(f.ring)));
	ring_publish(f.worker, 0);
	assert_int_equal(collect(&f, 0), 1);
	fixture_close(&f);
}

static void collecting_goes_in_turn_and_stops_at_the_limit(void **state)
{
	struct ring_claim claim;
	struct fixture f;
	uint32_t bad;

	(void)state;
	fixture_open(&f, &small_geometry);
	for (uint32_t runner = 0; runner < 3; runner++) {
		(void)submit_numbers(&f, 0, 4, NULL);
		assert_int_equal(ring_claim(f.worker, runner, &claim), 0);
		for (uint32_t i = 0; i < 4; i++)
			do_next(&f, runner, &claim);
		ring_publish(f.worker, runner);
	}
	assert_int_equal(ring_collect_all(f.ring, 3, on_run, &f, &bad), 3);
	assert_false(ring_prepare_sleep(f.ring));
	assert_int_equal(ring_collect_all(f.ring, 4, on_run, &f, &bad), 4);
	assert_int_equal(f.got[2].run.runner, 0);
	assert_int_equal(f.got[3].run.runner, 1);
	assert_int_equal(ring_collect_all(f.ring, 100, on_run, &f, &bad), 5);
	assert_int_equal(f.n_got, 12);
	assert_int_equal(ring_collect_all(f.ring, 100, on_run, &f, &bad), 0);
	assert_true(ring_prepare_sleep(f.ring));
	fixture_close(&f);
}

static void an_idle_runner_is_woken_and_never_sleeps_past_a_chunk(void **state)
{
	int base = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct ring_claim claim;
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	assert_true(ring_sleep_begin(f.worker, 0, false));
	assert_true(ring_sleep_begin(f.worker, 1, true));
	assert_int_equal(ring_idle_runners(f.ring), 2);
	(void)submit_numbers(&f, 0, 1, NULL);
	ring_wake(f.ring, 1);
	assert_int_equal(ring_idle_runners(f.ring), 1);
	ring_sleep_futex(f.worker, 0); /* returns */
	ring_sleep_end(f.worker, 0);
	ring_wake(f.ring, 5); /* only runner 1 is left, and its descriptor is not known yet */
	assert_int_equal(ring_idle_runners(f.ring), 1);
	ring_set_runner_fd(f.ring, 1, base);
	assert_true(readable(base));
	assert_int_equal(eventfd_read(base, &(eventfd_t){ 0 }), 0);
	ring_wake(f.ring, 5);
	assert_true(readable(base));
	assert_int_equal(ring_idle_runners(f.ring), 0);
	ring_sleep_end(f.worker, 1);
	assert_false(ring_sleep_begin(f.worker, 1, true));
	assert_int_equal(ring_idle_runners(f.ring), 0);
	assert_int_equal(ring_claim(f.worker, 1, &claim), 0);
	assert_true(ring_sleep_begin(f.worker, 2, false));
	ring_sleep_end(f.worker, 2);
	assert_int_equal(ring_idle_runners(f.ring), 0);
	fixture_close(&f);
	assert_int_equal(close(base), 0);
}

static void a_kick_ends_a_sleep_or_prevents_it(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	ring_kick(f.worker, 0);
	assert_false(ring_sleep_begin(f.worker, 0, false));
	assert_true(ring_sleep_begin(f.worker, 0, false));
	ring_kick(f.worker, 0);
	ring_sleep_futex(f.worker, 0); /* returns */
	ring_sleep_end(f.worker, 0);
	assert_true(ring_sleep_begin(f.worker, 0, false)); /* noticed: the caller looked at its work in between */
	ring_sleep_end(f.worker, 0);
	fixture_close(&f);
}

static void the_segment_cannot_be_resized(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	assert_int_equal(ftruncate(ring_segment_fd(f.ring), 0), -1);
	assert_int_equal(ftruncate(ring_segment_fd(f.ring), (off_t)f.layout.total + 4096), -1);
	assert_int_equal(fcntl(ring_segment_fd(f.ring), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_task_goes_round_with_all_that_is_said_of_it),
		cmocka_unit_test(times_and_wishes_arrive_and_never_contradict),
		cmocka_unit_test(a_geometry_out_of_range_is_refused_and_a_shape_gets_one_in_range),
		cmocka_unit_test(the_last_runner_of_the_largest_crew_works),
		cmocka_unit_test(a_batch_that_cannot_travel_is_refused),
		cmocka_unit_test(chunks_run_out_and_come_back_with_their_last_record),
		cmocka_unit_test(records_wrap_around_the_ring_whole),
		cmocka_unit_test(a_runner_whose_ring_is_full_waits_for_room),
		cmocka_unit_test(a_long_result_travels_in_fragments),
		cmocka_unit_test(log_lines_come_in_order_are_cut_and_leave_room_for_results),
		cmocka_unit_test(a_large_input_has_a_place_until_it_is_copied_done_or_taken_back),
		cmocka_unit_test(records_are_seen_when_published_or_when_the_daemon_goes_to_sleep),
		cmocka_unit_test(collecting_goes_in_turn_and_stops_at_the_limit),
		cmocka_unit_test(an_idle_runner_is_woken_and_never_sleeps_past_a_chunk),
		cmocka_unit_test(a_kick_ends_a_sleep_or_prevents_it),
		cmocka_unit_test(the_segment_cannot_be_resized),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
