/* Where a task's time went. */
#include "unit.h"

#include <time.h>

#include "measure/task_time.h"

static void spin(int64_t ns)
{
	int64_t end_ns = clock_mono_ns() + ns;

	while (clock_mono_ns() < end_ns)
		;
}

static void nap(int64_t ns)
{
	const struct timespec ts = { .tv_nsec = ns };

	nanosleep(&ts, NULL);
}

/* One task in one interval; returns its wall time. */
static int64_t measure(struct task_clock *clock, struct task_time *time, int64_t spin_ns, int64_t nap_ns)
{
	int64_t end_ns;

	task_time_begin(clock, time, clock_mono_ns());
	spin(spin_ns);
	if (nap_ns > 0)
		nap(nap_ns);
	end_ns = clock_mono_ns();
	task_time_out(clock, time, end_ns);
	return end_ns - time->begin_ns;
}

static void check_sum(const struct task_time *time, int64_t wall_ns)
{
	assert_true(time->cpu_ns >= 0 && time->runq_ns >= 0);
	assert_true(time->cpu_ns + time->runq_ns <= wall_ns);
}

static void check_clock(struct task_clock *clock)
{
	struct task_time time;
	int64_t wall_ns;

	for (int i = 0; i < 20; i++) {
		wall_ns = measure(clock, &time, 200 * NS_PER_US, 0);
		check_sum(&time, wall_ns);
		wall_ns = measure(clock, &time, 0, 5 * NS_PER_MS);
		check_sum(&time, wall_ns);
		assert_true(time.cpu_ns < 3 * NS_PER_MS);
		wall_ns = measure(clock, &time, NS_PER_MS, 3 * NS_PER_MS);
		check_sum(&time, wall_ns);
		assert_true(wall_ns - time.cpu_ns >= 2 * NS_PER_MS);
	}
}

/* A thread without it costs each of its tasks two system calls. */
static void rseq_that_tells_of_one_clock_tells_of_each(void **state)
{
	struct task_clock clock;
	int with = 0, n = 5000;

	(void)state;
	for (int i = 0; i < n; i++) {
		task_clock_open(&clock);
		with += task_clock_has_rseq(&clock);
		task_clock_close(&clock);
	}
	assert_true(with == 0 || with == n);
}

static void a_nap_is_no_processor_time_and_the_parts_never_exceed_the_whole(void **state)
{
	struct task_clock clock;

	(void)state;
	task_clock_open(&clock);
	check_clock(&clock);
	task_clock_close(&clock);
	task_clock_open_plain(&clock);
	assert_false(task_clock_has_rseq(&clock));
	check_clock(&clock);
	task_clock_close(&clock);
}

static void an_undisturbed_task_was_on_a_processor_all_the_time(void **state)
{
	struct task_clock clock;
	int undisturbed = 0;

	(void)state;
	task_clock_open(&clock);
	for (int i = 0; i < 1000 && task_clock_has_rseq(&clock); i++) {
		struct task_time time;
		int64_t end_ns;

		task_time_begin(&clock, &time, clock_mono_ns());
		spin(5 * NS_PER_US);
		end_ns = clock_mono_ns();
		if (task_clock_undisturbed(&clock)) {
			task_time_out(&clock, &time, end_ns);
			assert_int_equal(time.cpu_ns, end_ns - time.begin_ns);
			assert_int_equal(time.runq_ns, 0);
			undisturbed++;
		}
	}
	assert_true(undisturbed > 500 || !task_clock_has_rseq(&clock));
	task_clock_close(&clock);
}

static void intervals_add_up_and_waits_between_them_count_as_neither(void **state)
{
	struct task_time time;
	struct task_clock clock;
	int64_t now_ns;

	(void)state;
	task_clock_open(&clock);
	task_time_begin(&clock, &time, clock_mono_ns());
	for (int i = 0; i < 5; i++) {
		spin(NS_PER_MS / 2);
		task_time_out(&clock, &time, clock_mono_ns());
		nap(2 * NS_PER_MS);
		now_ns = clock_mono_ns();
		task_time_queued(&time, now_ns - 1000, now_ns);
		task_time_in(&clock, &time, now_ns);
	}
	now_ns = clock_mono_ns();
	task_time_out(&clock, &time, now_ns);
	check_sum(&time, now_ns - time.begin_ns);
	assert_true(time.runq_ns >= 5000);
	assert_true(now_ns - time.begin_ns - time.cpu_ns >= 9 * NS_PER_MS);
	task_clock_close(&clock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rseq_that_tells_of_one_clock_tells_of_each),
		cmocka_unit_test(a_nap_is_no_processor_time_and_the_parts_never_exceed_the_whole),
		cmocka_unit_test(an_undisturbed_task_was_on_a_processor_all_the_time),
		cmocka_unit_test(intervals_add_up_and_waits_between_them_count_as_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
