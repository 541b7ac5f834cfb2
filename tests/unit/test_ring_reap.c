/* The rings: taking back what is not begun, and what the dead leave. */
#include "test_ring_fixture.h"

#include "ring/worker_private.h"

#include <math.h>

static int user_a, user_b; /* only their addresses */

static void what_is_not_begun_can_be_taken_back(void **state)
{
	uint32_t chunk, begun, end, i;
	struct ring_claim claim, stale;
	struct ring_chunk_state s;
	struct fixture f;
	bool freed;

	(void)state;
	fixture_open(&f, &small_geometry);
	assert_int_equal(ring_take_back(f.ring, 0, &begun, &end, &freed), -ENOENT);
	assert_int_equal(ring_take_back(f.ring, 99, &begun, &end, &freed), -ENOENT);
	/* Filled only. */
	assert_int_equal(fill_numbers(&f, 0, 5, NULL, &chunk), 0);
	assert_int_equal(ring_take_back(f.ring, chunk, &begun, &end, &freed), 0);
	assert_true(begun == 0 && end == 5 && freed);
	/* Submitted, nobody took it. */
	chunk = submit_numbers(&f, 0, 5, NULL);
	assert_int_equal(ring_take_back(f.ring, chunk, &begun, &end, &freed), 0);
	assert_true(begun == 0 && end == 5 && freed);
	assert_int_equal(ring_unclaimed_chunks(f.ring), 0);
	assert_int_equal(ring_claim(f.worker, 0, &claim), -EAGAIN);
	/* Begun in part. */
	chunk = submit_numbers(&f, 0, 5, &user_b);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	do_next(&f, 0, &claim);
	assert_int_equal(ring_begin(f.worker, 0, &claim), 1);
	ring_publish(f.worker, 0);
	assert_int_equal(collect(&f, 0), 1);
	assert_int_equal(ring_take_back(f.ring, chunk, &begun, &end, &freed), 0);
	assert_true(begun == 2 && end == 5 && !freed);
	assert_int_equal(ring_begin(f.worker, 0, &claim), -EAGAIN);
	assert_int_equal(ring_chunk_state(f.ring, chunk, &s), 0);
	assert_true(s.done == 1 && s.begun == 2 && s.end == 2 && s.count == 5 && s.runner == 0 && s.user == &user_b);
	struct ring_result r = result_of(&claim, 1, "y", 1);
	ring_record(f.worker, 0, &r);
	ring_publish(f.worker, 0);
	f.n_got = 0;
	assert_int_equal(collect(&f, 0), 1);
	assert_true(f.got[0].run.chunk_done);
	assert_int_equal(ring_chunk_state(f.ring, chunk, &s), -ENOENT);
	/* Claimed, nothing begun, filled anew: the old claim is worth nothing, whoever has the chunk now. */
	chunk = submit_numbers(&f, 0, 5, NULL);
	assert_int_equal(ring_claim(f.worker, 0, &stale), 0);
	assert_int_equal(ring_take_back(f.ring, chunk, &begun, &end, &freed), 0);
	assert_true(freed);
	for (i = 0; submit_numbers(&f, 10 + i, 1, NULL) != chunk; i++)
		assert_true(i < 8);
	assert_int_equal(ring_begin(f.worker, 0, &stale), -EAGAIN);
	do {
		assert_int_equal(ring_claim(f.worker, 1, &claim), 0);
	} while (claim.chunk != chunk);
	assert_int_equal(ring_begin(f.worker, 0, &stale), -EAGAIN);
	/* All that was begun is done: free at once. */
	do_next(&f, 1, &claim);
	ring_publish(f.worker, 1);
	assert_int_equal(collect(&f, 1), 1);
	assert_int_equal(ring_check(f.ring), 0);
	fixture_close(&f);
}

static void a_chunk_whose_begun_tasks_are_done_is_free_when_the_rest_is_taken_back(void **state)
{
	uint32_t chunk, begun, end;
	struct ring_claim claim;
	struct fixture f;
	bool freed;

	(void)state;
	fixture_open(&f, &small_geometry);
	chunk = submit_numbers(&f, 0, 64, NULL);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	do_next(&f, 0, &claim);
	ring_publish(f.worker, 0);
	assert_int_equal(collect(&f, 0), 1);
	assert_false(f.got[0].run.chunk_done);
	assert_int_equal(ring_take_back(f.ring, chunk, &begun, &end, &freed), 0);
	assert_true(begun == 1 && end == 64 && freed);
	assert_int_equal(ring_free_chunks(f.ring), 8);
	fixture_close(&f);
}

static void dead_entries_never_stop_the_feed_for_good(void **state)
{
	uint32_t chunk, begun, end, n = 0;
	struct ring_claim claim;
	struct fixture f;
	bool freed;

	(void)state;
	fixture_open(&f, &small_geometry);
	for (uint32_t i = 0; i < 1000; i++) { /* nobody looks: the daemon itself moves the head */
		chunk = submit_numbers(&f, i, 1, NULL);
		assert_int_equal(ring_take_back(f.ring, chunk, &begun, &end, &freed), 0);
	}
	(void)submit_numbers(&f, 5000, 1, NULL); /* a live one, and dead ones behind it */
	while (fill_numbers(&f, n, 1, NULL, &chunk) == 0) {
		ring_submit(f.ring, chunk);
		assert_int_equal(ring_take_back(f.ring, chunk, &begun, &end, &freed), 0);
		assert_int_equal(ring_unclaimed_chunks(f.ring), 1);
		assert_true(n++ < 1000);
	}
	assert_int_equal(fill_numbers(&f, n, 1, NULL, &chunk), -EAGAIN);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	assert_int_equal(claim.first, 5000);
	assert_int_equal(fill_numbers(&f, n, 1, NULL, &chunk), 0);
	ring_submit(f.ring, chunk);
	do_chunk(&f, 1);
	fixture_close(&f);
}

static void a_dead_runner_leaves_every_task_accounted_for(void **state)
{
	struct ring_claim mine, other;
	struct ring_result r;
	struct fixture f;
	uint32_t a;

	(void)state;
	fixture_open(&f, &small_geometry);
	a = submit_numbers(&f, 100, 10, &user_a);
	(void)submit_numbers(&f, 200, 10, &user_b);
	assert_int_equal(ring_claim(f.worker, 0, &mine), 0);
	assert_int_equal(ring_claim(f.worker, 1, &other), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(ring_begin(f.worker, 0, &mine), i);
	do_next(&f, 1, &other);
	r = result_of(&mine, 2, "two", 3);
	ring_record(f.worker, 0, &r);
	ring_publish(f.worker, 0);
	assert_int_equal(collect(&f, 0), 1);
	r = result_of(&mine, 1, "one", 3);
	ring_record(f.worker, 0, &r); /* not published */
	assert_true(ring_sleep_begin(f.worker, 0, false)); /* and dies asleep */
	assert_int_equal(ring_collect_dead(f.ring, 0, on_run, &f), 1);
	assert_string_equal(f.got[1].text, "one");
	assert_int_equal(ring_reap(f.ring, 0, on_left, &f), 0);
	assert_int_equal(f.n_left, 1);
	assert_int_equal(f.left[0].chunk, a);
	assert_ptr_equal(f.left[0].user, &user_a);
	assert_int_equal(f.left[0].begun_lost, 1u << 0 | 1u << 3);
	assert_int_equal(f.left[0].unbegun_first, 4);
	assert_int_equal(f.left[0].unbegun_end, 10);
	assert_int_equal(ring_idle_runners(f.ring), 0);
	assert_int_equal(ring_free_chunks(f.ring), 7);
	/* The neighbour goes on, and a successor takes the place. */
	for (int i = 1; i < 10; i++)
		do_next(&f, 1, &other);
	ring_publish(f.worker, 1);
	assert_int_equal(collect(&f, 1), 10);
	fixture_new_worker(&f);
	(void)submit_numbers(&f, 104, 6, &user_a);
	do_chunk(&f, 0);
	assert_int_equal(ring_free_chunks(f.ring), 8);
	assert_int_equal(ring_check(f.ring), 0);
	fixture_close(&f);
}

static void a_death_inside_a_fragmented_result_leaves_the_task_lost(void **state)
{
	struct shared_record part = { .len = 4096, .kind = SHARED_RESULT, .flags = SHARED_MORE };
	struct ring_claim claim;
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	(void)submit_numbers(&f, 0, 1, NULL);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	assert_int_equal(ring_begin(f.worker, 0, &claim), 0);
	part.chunk = claim.chunk;
	part.generation = claim.generation;
	memcpy(f.map + f.layout.rings, &part, sizeof(part));
	f.runners[0].precise_tail = record_bytes(part.len, part.flags);
	assert_int_equal(ring_collect_dead(f.ring, 0, on_run, &f), 0);
	assert_int_equal(ring_reap(f.ring, 0, on_left, &f), 0);
	assert_int_equal(f.left[0].begun_lost, 1);
	fixture_new_worker(&f);
	(void)submit_numbers(&f, 0, 1, NULL);
	do_chunk(&f, 0);
	assert_string_equal(f.got[0].text, "done 0");
	fixture_close(&f);
}

static void a_runner_that_died_between_claim_and_head_blocks_nobody(void **state)
{
	struct fixture f;
	uint32_t a;

	(void)state;
	fixture_open(&f, &small_geometry);
	a = submit_numbers(&f, 100, 10, NULL);
	(void)submit_numbers(&f, 200, 10, NULL);
	f.chunks[a].word = word_make(word_generation(f.chunks[a].word), 1, 10, 0);
	assert_int_equal(f.control->submit_head, 0);
	do_chunk(&f, 1);
	assert_string_equal(f.got[0].text, "done 200");
	assert_int_equal(ring_reap(f.ring, 0, on_left, &f), 0);
	assert_int_equal(f.left[0].begun_lost, 0);
	assert_int_equal(f.left[0].unbegun_end, 10);
	fixture_close(&f);
}

static void reaping_everything_frees_every_chunk(void **state)
{
	struct ring_claim claim;
	struct fixture f;
	uint32_t chunk;

	(void)state;
	fixture_open(&f, &small_geometry);
	(void)submit_numbers(&f, 0, 10, NULL);
	(void)submit_numbers(&f, 10, 10, NULL);
	assert_int_equal(fill_numbers(&f, 20, 10, NULL, &chunk), 0);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	assert_int_equal(ring_begin(f.worker, 0, &claim), 0);
	ring_reap_all(f.ring, on_left, &f);
	assert_int_equal(f.n_left, 3);
	assert_int_equal(f.left[0].begun_lost, 1);
	assert_int_equal(f.left[0].unbegun_first, 1);
	assert_int_equal(f.left[2].unbegun_end, 10);
	assert_int_equal(ring_free_chunks(f.ring), 8);
	assert_int_equal(ring_unclaimed_chunks(f.ring), 0);
	assert_int_equal(ring_check(f.ring), 0);
	fixture_new_worker(&f);
	(void)submit_numbers(&f, 30, 10, NULL);
	do_chunk(&f, 0);
	assert_string_equal(f.got[9].text, "done 39");
	fixture_close(&f);
}

static void the_task_on_a_processor_is_named(void **state)
{
	struct ring_running running;
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	ring_running(f.ring, 1, &running);
	assert_true(!running.running && !running.faulted);
	ring_on_task(f.worker, 1, 5, 63);
	ring_running(f.ring, 1, &running);
	assert_true(running.running && running.chunk == 5 && running.index == 63 && !running.faulted);
	ring_fault(f.worker, 1, 11);
	ring_running(f.ring, 1, &running);
	assert_true(running.running && running.faulted && running.signal == 11);
	ring_off_task(f.worker, 1);
	ring_running(f.ring, 1, &running);
	assert_true(!running.running && running.faulted);
	ring_on_task(f.worker, 1, 5, 63);
	ring_fault_of_task(f.worker, 1, 7, 4, 2);
	ring_running(f.ring, 1, &running);
	assert_true(running.running && running.faulted && running.signal == 7 && running.chunk == 4);
	assert_int_equal(running.index, 2);
	assert_int_equal(ring_reap(f.ring, 1, on_left, &f), 0);
	ring_running(f.ring, 1, &running);
	assert_false(running.faulted || running.running);
	fixture_close(&f);
}

static void progress_is_of_the_task_that_is_in_the_place_now(void **state)
{
	struct ring_claim claim;
	struct fixture f;
	uint32_t chunk;

	(void)state;
	fixture_open(&f, &small_geometry);
	chunk = submit_numbers(&f, 0, 2, NULL);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	assert_int_equal(ring_begin(f.worker, 0, &claim), 0);
	assert_true(ring_progress(f.ring, chunk, 0) < 0);
	ring_set_progress(f.worker, chunk, 0, 0.5f);
	assert_true(ring_progress(f.ring, chunk, 0) == 0.5f);
	assert_true(ring_progress(f.ring, chunk, 1) < 0);
	ring_set_progress(f.worker, chunk, 0, NAN);
	assert_true(ring_progress(f.ring, chunk, 0) < 0);
	ring_set_progress(f.worker, chunk, 0, 1);
	assert_int_equal(ring_reap(f.ring, 0, on_left, &f), 0);
	assert_true(ring_progress(f.ring, chunk, 0) < 0);
	assert_int_equal(submit_numbers(&f, 0, 2, NULL), chunk);
	assert_true(ring_progress(f.ring, chunk, 0) < 0);
	assert_true(ring_progress(f.ring, 99, 0) < 0);
	fixture_close(&f);
}

/* A pipe tells whether memory can be read without a fault. */
static bool can_read(const void *at)
{
	int fds[2];
	bool can;

	assert_int_equal(pipe(fds), 0);
	can = write(fds[1], at, 1) == 1;
	assert_int_equal(close(fds[0]) + close(fds[1]), 0);
	return can;
}

static void a_process_reaches_the_completion_rings_of_its_own_runners_only(void **state)
{
	const uint32_t each = small_geometry.ring_bytes;
	struct worker_ring *worker;
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	for (uint32_t first = 0; first < 3; first++) {
		for (uint32_t count = 1; count <= 3 - first; count++) {
			assert_int_equal(worker_ring_open(ring_segment_fd(f.ring), 0, &worker), 0);
			assert_int_equal(worker_ring_own(worker, first, count), 0);
			for (uint32_t i = 0; i < 3; i++) {
				const uint8_t *ring = worker->map + f.layout.rings + i * each;
				bool own = i >= first && i < first + count;

				assert_true(can_read(ring) == own && can_read(ring + each - 1) == own);
			}
			assert_true(can_read(worker->map + f.layout.rings - 1));
			assert_true(can_read(worker->map + f.layout.arena));
			worker_ring_close(worker);
		}
	}
	assert_int_equal(worker_ring_own(f.worker, 2, 2), -EINVAL);
	assert_int_equal(worker_ring_own(f.worker, 4, 0), -EINVAL);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_reaches_the_completion_rings_of_its_own_runners_only),
		cmocka_unit_test(what_is_not_begun_can_be_taken_back),
		cmocka_unit_test(a_chunk_whose_begun_tasks_are_done_is_free_when_the_rest_is_taken_back),
		cmocka_unit_test(dead_entries_never_stop_the_feed_for_good),
		cmocka_unit_test(a_dead_runner_leaves_every_task_accounted_for),
		cmocka_unit_test(a_death_inside_a_fragmented_result_leaves_the_task_lost),
		cmocka_unit_test(a_runner_that_died_between_claim_and_head_blocks_nobody),
		cmocka_unit_test(reaping_everything_frees_every_chunk),
		cmocka_unit_test(the_task_on_a_processor_is_named),
		cmocka_unit_test(progress_is_of_the_task_that_is_in_the_place_now),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
