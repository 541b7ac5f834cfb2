/* The rings: records handed up in runs, and the naps between them. */
#include "test_ring_fixture.h"

static int user_a; /* only its address */

/* Record the next task of the claim, of which `index` is wanted, with this status. */
static void record_next(struct fixture *f, const struct ring_claim *claim, uint32_t index, uint8_t status)
{
	struct ring_result r = result_of(claim, index, "x", 1);

	assert_int_equal(ring_begin(f->worker, 0, claim), index);
	r.status = status;
	ring_record(f->worker, 0, &r);
}

static void results_of_consecutive_tasks_come_as_one_run(void **state)
{
	struct ring_claim first, second;
	struct ring_result late;
	struct fixture f;

	(void)state;
	fixture_open(&f, &small_geometry);
	(void)submit_numbers(&f, 0, 40, &user_a);
	(void)submit_numbers(&f, 40, 9, &user_a);
	do_chunk(&f, 0);
	assert_int_equal(f.n_runs, 1);
	assert_int_equal(f.got[0].run.n, 40);
	assert_true(f.got[0].run.all_done && f.got[39].run.chunk_done);
	assert_int_equal(ring_claim(f.worker, 0, &first), 0);
	record_next(&f, &first, 0, RING_DONE);
	record_next(&f, &first, 1, RING_FAILED);
	(void)submit_numbers(&f, 49, 2, NULL);
	assert_int_equal(ring_claim(f.worker, 0, &second), 0);
	record_next(&f, &second, 0, RING_DONE); /* another chunk */
	assert_true(ring_log(f.worker, 0, 2, "hello", 5));
	record_next(&f, &second, 1, RING_DONE); /* behind a line of the log */
	record_next(&f, &first, 2, RING_DONE);
	assert_int_equal(ring_begin(f.worker, 0, &first), 3); /* takes longer than those after it */
	record_next(&f, &first, 4, RING_DONE);
	record_next(&f, &first, 5, RING_DONE);
	late = result_of(&first, 3, "x", 1);
	ring_record(f.worker, 0, &late);
	ring_publish(f.worker, 0);
	f.n_got = f.n_runs = 0;
	assert_int_equal(collect(&f, 0), 9);
	assert_int_equal(f.n_runs, 7); /* 0-1; 0; log; 1; 2; 4-5; 3 */
	assert_int_equal(f.got[0].run.n, 2);
	assert_false(f.got[0].run.all_done);
	assert_true(f.got[4].run.chunk_done && f.got[4].run.user == NULL);
	assert_int_equal(f.got[6].run.n, 2);
	assert_int_equal(f.got[8].record.index, 3);
	record_next(&f, &first, 6, RING_DONE);
	record_next(&f, &first, 7, RING_DONE);
	ring_publish(f.worker, 0);
	assert_int_equal(ring_collect(f.ring, 0, 1, on_run, &f), 1); /* no more than was asked for */
	assert_int_equal(collect(&f, 0), 1);
	fixture_close(&f);
}

static const struct ring_geometry one_runner = { .n_runners = 1, .n_chunks = 16, .ring_bytes = 16384, .n_big = 1 };

static void do_chunk_unseen(struct fixture *f)
{
	struct ring_claim claim;

	assert_int_equal(ring_claim(f->worker, 0, &claim), 0);
	for (uint32_t i = 0; i < claim.count; i++)
		do_next(f, 0, &claim);
	ring_publish(f->worker, 0);
}

static void a_nap_ends_when_half_of_what_waits_is_claimed(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, &one_runner);
	for (uint64_t i = 0; i < 8; i++)
		(void)submit_numbers(&f, 2 * i, 2, NULL);
	assert_true(ring_has_backlog(f.ring));
	assert_true(ring_prepare_nap(f.ring, true));
	for (int i = 0; i < 3; i++)
		do_chunk_unseen(&f);
	assert_false(readable(ring_event_fd(f.ring)));
	do_chunk_unseen(&f); /* four wait */
	assert_true(readable(ring_event_fd(f.ring)));
	ring_awake(f.ring);
	assert_int_equal(collect(&f, 0), 8);
	do_chunk_unseen(&f);
	assert_false(ring_has_backlog(f.ring));
	assert_false(ring_prepare_nap(f.ring, false)); /* it was advertised */
	assert_int_equal(collect(&f, 0), 2);
	assert_true(ring_prepare_nap(f.ring, false)); /* with little that waits it is a sleep */
	do_chunk_unseen(&f);
	assert_true(readable(ring_event_fd(f.ring)));
	fixture_close(&f);
}

static void a_nap_ends_when_a_ring_fills_up(void **state)
{
	static const uint8_t large[3000];
	struct ring_claim claim;
	struct ring_result r;
	struct fixture f;

	(void)state;
	fixture_open(&f, &one_runner);
	for (uint64_t i = 0; i < 16; i++)
		(void)submit_numbers(&f, i, 1, NULL);
	assert_true(ring_prepare_nap(f.ring, true));
	for (int i = 0; i < 3; i++) {
		assert_false(readable(ring_event_fd(f.ring)));
		assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
		assert_int_equal(ring_begin(f.worker, 0, &claim), 0);
		r = result_of(&claim, 0, large, sizeof(large));
		ring_record(f.worker, 0, &r);
		ring_publish(f.worker, 0);
	}
	assert_true(readable(ring_event_fd(f.ring))); /* more than half of 16 KiB */
	fixture_close(&f);
}

static void precise_tails_are_looked_at_where_asked_for(void **state)
{
	struct ring_claim claim;
	struct fixture f;

	(void)state;
	fixture_open(&f, &one_runner);
	for (uint64_t i = 0; i < 6; i++)
		(void)submit_numbers(&f, 2 * i, 2, NULL);
	assert_int_equal(ring_claim(f.worker, 0, &claim), 0);
	do_next(&f, 0, &claim); /* and is not published */
	assert_true(ring_prepare_nap(f.ring, false));
	ring_awake(f.ring);
	assert_int_equal(collect(&f, 0), 0);
	assert_false(ring_prepare_nap(f.ring, true));
	assert_int_equal(collect(&f, 0), 1);
	assert_true(ring_prepare_nap(f.ring, true));
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_of_consecutive_tasks_come_as_one_run),
		cmocka_unit_test(a_nap_ends_when_half_of_what_waits_is_claimed),
		cmocka_unit_test(a_nap_ends_when_a_ring_fills_up),
		cmocka_unit_test(precise_tails_are_looked_at_where_asked_for),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
