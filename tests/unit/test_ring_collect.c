/* The rings: records handed up in runs. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_of_consecutive_tasks_come_as_one_run),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
