/* Offload: functions on helper threads, by a runner on a ring of plain arrays, and the helpers by themselves. */
#include "runner_rig.h"

#include <sched.h>
#include <semaphore.h>
#include <time.h>

static _Atomic int begun, running, peak, ended;
static sem_t go;

static void wait_go(void)
{
	while (sem_wait(&go) < 0)
		;
}

static void reset(void)
{
	begun = running = peak = ended = 0;
	sem_init(&go, 0, 0);
}

/* ---- The service ---- */

struct meeting {
	pthread_t thread;
	struct concd_task *task;
};

static void meet(void *arg)
{
	struct meeting *meeting = arg;
	int now = ++running;

	meeting->thread = pthread_self();
	if (now > peak)
		peak = now;
	assert_int_equal(concd_sleep(meeting->task, 0), -EPERM);
	assert_int_equal(concd_offload(meeting->task, meet, arg), -EPERM);
	concd_progress(meeting->task, 0.5);
	wait_go();
	running--;
}

static int run_meet(struct concd_task *task)
{
	struct meeting meeting = { .task = task };
	int r;

	begun++;
	r = concd_offload(task, meet, &meeting);

	if (r == 0 && pthread_equal(meeting.thread, pthread_self()))
		return -EDEADLK;
	ended++;
	return r;
}

static void others_go_on_while_a_function_runs_elsewhere(void **state)
{
	struct rig rig;

	(void)state;
	reset();
	open_rig(&rig, run_meet, 8);
	fake_ring_submit_many(rig.ring, JOB, 8, "");
	while (running < 2) /* all begun, two have a helper */
		sched_yield();
	assert_int_equal(ended, 0);
	for (int i = 0; i < 8; i++)
		sem_post(&go);
	fake_ring_wait(rig.ring, 8);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 8);
	assert_int_equal(peak, 2);
	close_rig(&rig);
}

static void one_coroutine_just_waits(void **state)
{
	struct rig rig;

	(void)state;
	reset();
	for (int i = 0; i < 20; i++)
		sem_post(&go);
	open_rig(&rig, run_meet, 1);
	fake_ring_submit_many(rig.ring, JOB, 20, "");
	fake_ring_wait(rig.ring, 20);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 20);
	assert_int_equal(peak, 1);
	close_rig(&rig);
}

static void a_cancelled_task_waits_for_its_function(void **state)
{
	struct rig rig;

	(void)state;
	reset();
	open_rig(&rig, run_meet, 4);
	fake_ring_submit_many(rig.ring, JOB, 4, "");
	while (begun < 4 || running < 2)
		sched_yield();
	jobtable_cancel(rig.jobs, JOB, 1);
	runner_look(rig.runner);
	/* the two without a helper are given back at once; those that run are waited for */
	while (ended < 2)
		sched_yield();
	assert_int_equal(running, 2);
	assert_int_equal(ended, 2);
	sem_post(&go);
	sem_post(&go);
	fake_ring_wait(rig.ring, 4);
	assert_int_equal(fake_ring_count(rig.ring, RING_CANCELLED), 4);
	close_rig(&rig);
}

static int64_t cpu_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void burn(void *arg)
{
	int64_t end_ns = cpu_ns() + 30 * NS_PER_MS;

	while (cpu_ns() < end_ns)
		;
	*(int *)arg = 1;
}

static int run_burn(struct concd_task *task)
{
	int burnt = 0, r = concd_offload(task, burn, &burnt);

	return r == 0 && !burnt ? -EPROTO : r;
}

static void its_processor_time_is_the_tasks(void **state)
{
	struct fake_record record;
	struct rig rig;

	(void)state;
	open_rig(&rig, run_burn, 1);
	fake_ring_submit_many(rig.ring, JOB, 1, "");
	fake_ring_wait(rig.ring, 1);
	record = fake_ring_record(rig.ring, 0, 0);
	assert_int_equal(record.status, RING_DONE);
	assert_true(record.cpu_s > 0.02f);
	assert_true(record.cpu_s + record.runq_s <= record.wall_s * 1.000001f);
	close_rig(&rig);
}

static struct concd_task *foreign;

static void nothing(void *arg)
{
	(void)arg;
}

static int run_foreign(struct concd_task *task)
{
	if (*concd_input(task, NULL) == 'a') {
		foreign = task;
		return concd_sleep(task, 20 * NS_PER_MS);
	}
	return concd_offload(foreign, nothing, NULL) == -EPERM ? 0 : -EPROTO;
}

static void off_the_tasks_stack_it_is_refused(void **state)
{
	static const char *const inputs[] = { "a", "b" };
	struct rig rig;

	(void)state;
	open_rig(&rig, run_foreign, 2);
	fake_ring_submit(rig.ring, JOB, 0, 2, inputs);
	fake_ring_wait(rig.ring, 2);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 2);
	close_rig(&rig);
}

static int run_many(struct concd_task *task)
{
	int r = 0;

	for (int i = 0; i < 20 && r == 0; i++)
		r = concd_offload(task, nothing, NULL);
	return r;
}

static void many_short_ones_all_come_back(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, run_many, 50);
	fake_ring_submit_many(rig.ring, JOB, 200, "");
	fake_ring_wait(rig.ring, 200);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 200);
	close_rig(&rig);
}

/* ---- The helpers ---- */

static sem_t told;

static void on_work_end(struct helper_work *work)
{
	(void)work;
	sem_post(&told);
}

static void idle_helpers_end_and_new_ones_start(void **state)
{
	struct helper_work work = { .fn = nothing, .on_end = on_work_end };
	struct helpers *helpers;

	(void)state;
	sem_init(&told, 0, 0);
	assert_int_equal(helpers_open(3, 0, &helpers), 0); /* they end as soon as they are idle */
	for (int i = 0; i < 50; i++) {
		assert_int_equal(helpers_run(helpers, &work), 0);
		while (sem_wait(&told) < 0)
			;
		helpers_settle(helpers);
		assert_false(helpers_withdraw(helpers, &work));
	}
	helpers_close(helpers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(others_go_on_while_a_function_runs_elsewhere),
		cmocka_unit_test(one_coroutine_just_waits),
		cmocka_unit_test(a_cancelled_task_waits_for_its_function),
		cmocka_unit_test(its_processor_time_is_the_tasks),
		cmocka_unit_test(off_the_tasks_stack_it_is_refused),
		cmocka_unit_test(many_short_ones_all_come_back),
		cmocka_unit_test(idle_helpers_end_and_new_ones_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
