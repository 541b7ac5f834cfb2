/* Which task runs next: schedule.c, its lanes and throttles. */
#include "schedule_world.h"

/* One worker takes task after task, each of this length: how many of each job. */
static void run_alone(struct crew *crew, uint32_t tasks, int64_t task_ns, uint32_t *ret_counts)
{
	for (uint32_t i = 0; i < tasks; i++) {
		struct job *job = hand_out(crew);

		assert_non_null(job);
		ret_counts[job->id - 1]++;
		now_ns += task_ns;
		end_task(job);
	}
}

static void equal_jobs_take_turns_task_by_task(void **state)
{
	uint32_t counts[3] = { 0 };

	(void)state;
	crews[1].workers = 1;
	for (int i = 0; i < 3; i++)
		(void)add_job(1, 0, 1000, 1, false);
	settle();
	run_alone(&crews[1], 3, MS, counts);
	for (int i = 0; i < 3; i++)
		assert_int_equal(counts[i], 1);
	run_alone(&crews[1], 297, MS, counts);
	for (int i = 0; i < 3; i++)
		assert_int_equal(counts[i], 100);
}

static void higher_priority_comes_first(void **state)
{
	struct job *low, *high;
	uint32_t counts[2] = { 0 };
	char words[256];

	(void)state;
	crews[1].workers = 1;
	low = add_job(1, 0, 1000, 1, false);
	settle();
	run_alone(&crews[1], 5, MS, counts);
	high = add_job(1, 10, 50, 1, false);
	settle();
	assert_string_equal(schedule_waiting(low, words, sizeof(words)), "behind 1 job of higher priority");
	run_alone(&crews[1], 50, MS, counts);
	assert_int_equal(counts[0], 5);
	assert_int_equal(high->main.ready.count, 0);
	run_alone(&crews[1], 5, MS, counts);
	assert_int_equal(counts[0], 10);
}

static void a_low_one_gets_on_while_high_ones_keep_coming(void **state)
{
	uint32_t counts[MAX_JOBS] = { 0 };

	(void)state;
	crews[1].workers = 1;
	(void)add_job(1, -10, 1000, 1, false);
	for (int i = 0; i < 30; i++) { /* each second another one, with more work than there is time */
		(void)add_job(1, 10, 1000, 1, false);
		settle();
		run_alone(&crews[1], 10, 100 * MS, counts);
	}
	/* Twenty points below: every 20 s. */
	assert_in_range(counts[0], 1, 2);
	run_alone(&crews[1], 2000, 100 * MS, counts);
	assert_in_range(counts[0], 9, 13);
}

static void a_new_priority_holds_at_once(void **state)
{
	struct job *a, *b;

	(void)state;
	crews[1].workers = 1;
	a = add_job(1, 0, 10, 1, false);
	b = add_job(1, 0, 10, 1, false);
	settle();
	lane_set_priority(b, 5);
	for (int i = 0; i < 10; i++) {
		assert_ptr_equal(hand_out(&crews[1]), b);
		if (i == 4)
			lane_set_priority(b, 6); /* while it runs */
		end_task(b);
	}
	assert_ptr_equal(hand_out(&crews[1]), a);
}

static void in_order_jobs_run_whole_and_by_priority(void **state)
{
	struct job *order[4];
	char words[256];

	(void)state;
	crews[1].workers = 1;
	order[0] = add_job(1, 0, 5, 1, true);
	settle();
	assert_ptr_equal(hand_out(&crews[1]), order[0]);
	order[2] = add_job(1, 0, 5, 1, true);
	order[3] = add_job(1, 0, 5, 1, true);
	order[1] = add_job(1, 1, 5, 1, true);
	settle();
	assert_string_equal(schedule_waiting(order[1], words, sizeof(words)),
			    "job 1 is before it, and these run one after another");
	assert_string_equal(schedule_waiting(order[2], words, sizeof(words)), "behind 1 job of higher priority");
	end_task(order[0]);
	for (int i = 0; i < 4; i++)
		for (int task = i == 0 ? 1 : 0; task < 5; task++) {
			assert_ptr_equal(hand_out(&crews[1]), order[i]);
			assert_null(hand_out(&crews[1]));
			end_task(order[i]);
		}
}

static void what_must_be_on_disk_first_keeps_nobody_waiting(void **state)
{
	struct job *a, *b;

	(void)state;
	crews[1].workers = 2;
	a = add_job(1, 5, 10, 2, false);
	a->begin.recording = true;
	settle();
	assert_null(hand_out(&crews[1]));
	b = add_job(1, 0, 10, 2, false);
	settle();
	assert_ptr_equal(hand_out(&crews[1]), b);
	a->begin.recording = false;
	schedule_ready(a); /* it is there */
	assert_ptr_equal(hand_out(&crews[1]), a);
}

static void a_job_whose_input_is_being_read_keeps_nobody_waiting(void **state)
{
	struct job *a, *b;

	(void)state;
	crews[1].workers = 2;
	a = add_job(1, 5, 10, 2, false);
	settle();
	input_missing = true;
	assert_null(hand_out(&crews[1]));
	input_missing = false;
	b = add_job(1, 0, 10, 2, false);
	settle();
	assert_ptr_equal(hand_out(&crews[1]), b);
	schedule_ready(a); /* it is there */
	assert_ptr_equal(hand_out(&crews[1]), a);
}

static void so_many_run_at_once_and_it_says_so(void **state)
{
	struct job *a, *b;
	char words[256];

	(void)state;
	workload_config.max_running = 3;
	crews[1].workers = crews[2].workers = 8;
	a = add_job(1, 0, 10, 8, false);
	b = add_job(2, 0, 10, 8, false);
	settle();
	assert_ptr_equal(hand_out(&crews[1]), a);
	assert_ptr_equal(hand_out(&crews[1]), a);
	assert_ptr_equal(hand_out(&crews[1]), a);
	assert_null(hand_out(&crews[1]));
	crews[2].kicked = false;
	assert_null(hand_out(&crews[2]));
	assert_string_equal(schedule_waiting(b, words, sizeof(words)),
			    "3 of 3 tasks of workload 'w' are running (max_running)");
	end_task(a);
	assert_true(crews[2].kicked);
	throttle_init(&jobs.throttle, 2); /* in all: two do run */
	jobs.throttle.running = 2;
	assert_null(hand_out(&crews[2]));
	assert_string_equal(schedule_waiting(b, words, sizeof(words)),
			    "2 of 2 tasks in all are running (limits.max_running)");
	end_task(a);
	assert_ptr_equal(hand_out(&crews[2]), b);
}

static void so_many_begin_in_a_second_evenly_and_in_all_jobs(void **state)
{
	const struct throttle *a_line;
	struct job *a, *b;
	uint32_t begun = 0;
	char words[256];

	(void)state;
	workload_config.rate = 20;
	crews[1].workers = crews[2].workers = 1000;
	a = add_job(1, 0, 1000, 1000, false);
	b = add_job(2, 0, 1000, 1000, false);
	settle();
	a_line = throttle_get(&jobs, &workload);
	for (int64_t end = now_ns + 10 * S; now_ns < end;) {
		uint32_t together = 0;

		/* The first in line is asked first. */
		while (hand_out(TAILQ_FIRST(&a_line->line) ? TAILQ_FIRST(&a_line->line)->crew : &crews[1]))
			together++;
		(void)hand_out(&crews[1]);
		(void)hand_out(&crews[2]);
		assert_in_range(together, 1, 2); /* a tenth of a second's worth */
		begun += together;
		assert_true(timer_due_ns > 0);
		now_ns = timer_due_ns > now_ns ? timer_due_ns : now_ns;
		timer_due_ns = 0;
		crews[1].kicked = crews[2].kicked = false;
		on_timer(-1, EV_TIMEOUT, timer_arg);
		assert_true(crews[1].kicked || crews[2].kicked);
	}
	assert_in_range(begun, 200, 203);
	assert_in_range(a->main.seat->out, 90, 110); /* neither crew keeps the other waiting */
	while (hand_out(&crews[1]) || hand_out(&crews[2]))
		;
	a->main.seat->out = 0; /* else it would be said to run */
	assert_string_equal(schedule_waiting(a, words, sizeof(words)),
			    "workload 'w' begins 20 tasks a second (rate): the next is not due yet");
	schedule_returned(&b->main, 1);
	assert_non_null(hand_out(&crews[2])); /* one that did not begin has left its place to the next */
}

/* ---- Work is conserved ---- */

static uint64_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % sides;
}

/* No task may wait while a worker that could run it idles, within the limits. */
static void check_conserved(void)
{
	uint64_t limit_all = jobs.throttle.max_running;

	assert_true(limit_all == 0 || crews[1].out + crews[2].out + crews[3].out <= limit_all);
	assert_true(workload_config.max_running == 0 || crews[1].out + crews[2].out <= workload_config.max_running);
	for (size_t i = 0; i < n_jobs; i++) {
		const struct crew_seat *seat = all[i].main.seat;

		if (!seat || all[i].paused || all[i].main.ready.count == 0 || seat->out >= seat->workers)
			continue;
		if (limit_all > 0 && crews[1].out + crews[2].out + crews[3].out == limit_all)
			continue;
		if (all[i].workload == &workload && workload_config.max_running > 0 &&
		    crews[1].out + crews[2].out == workload_config.max_running)
			continue;
		assert_int_equal(seat->crew->out, seat->crew->workers);
	}
}

/* Only those that were told: a crew asks for tasks when it is kicked and when it had news. */
static void feed_all(void)
{
	for (size_t c = 1; c < 4; c++) {
		if (!crews[c].kicked)
			continue;
		crews[c].kicked = false;
		while (hand_out(&crews[c]))
			;
	}
	for (size_t c = 1; c < 4; c++)
		if (crews[c].kicked)
			feed_all();
}

static void random_step(void)
{
	struct job *job = n_jobs > 0 ? &all[dice((uint32_t)n_jobs)] : NULL;

	now_ns += dice(1000) * MS;
	switch (dice(8)) {
	case 0:
		if (n_jobs < MAX_JOBS)
			(void)add_job(1 + dice(3), (int32_t)dice(21) - 10, dice(30), 1 + dice(5), false);
		break;
	case 1:
		if (job)
			lane_set_priority(job, (int32_t)dice(201) - 100);
		break;
	case 2:
		if (job && job->paused) {
			job->paused = false;
			job_touch(job);
		} else if (job) {
			job->paused = true;
			lane_forget(job);
		}
		break;
	case 3: /* a task comes back unbegun; any number will do */
		if (job && job->main.seat && job->main.seat->out > 0) {
			assert_int_equal(ranges_add(&job->main.ready, 1000 + dice(1 << 30) * 2ul, 1), 0);
			schedule_returned(&job->main, 1);
			end_task(job);
		}
		break;
	default:
		if (job && job->main.seat && job->main.seat->out > 0)
			end_task(job);
		break;
	}
	settle();
}

static void no_task_waits_while_a_worker_that_could_run_it_idles(void **state)
{
	for (uint64_t i = 1; i <= 60; i++) {
		assert_int_equal(make_world(state), 0);
		seed = i;
		for (size_t c = 1; c < 4; c++)
			crews[c].workers = 1 + dice(8);
		if (i % 3 > 0)
			workload_config.max_running = 1 + dice(8);
		if (i % 2 > 0)
			throttle_init(&jobs.throttle, 1 + dice(10));
		for (int step = 0; step < 600; step++) {
			random_step();
			feed_all();
			check_conserved();
		}
		assert_int_equal(end_world(state), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(equal_jobs_take_turns_task_by_task, make_world, end_world),
		cmocka_unit_test_setup_teardown(higher_priority_comes_first, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_low_one_gets_on_while_high_ones_keep_coming, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_new_priority_holds_at_once, make_world, end_world),
		cmocka_unit_test_setup_teardown(in_order_jobs_run_whole_and_by_priority, make_world, end_world),
		cmocka_unit_test_setup_teardown(what_must_be_on_disk_first_keeps_nobody_waiting, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_job_whose_input_is_being_read_keeps_nobody_waiting, make_world, end_world),
		cmocka_unit_test_setup_teardown(so_many_run_at_once_and_it_says_so, make_world, end_world),
		cmocka_unit_test_setup_teardown(so_many_begin_in_a_second_evenly_and_in_all_jobs, make_world, end_world),
		cmocka_unit_test(no_task_waits_while_a_worker_that_could_run_it_idles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
