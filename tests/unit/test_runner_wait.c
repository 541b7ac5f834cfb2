/* The runner: tasks that wait. On a ring of plain arrays, with tiny plugins. */
#include "runner_rig.h"

#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define MANY 1000 /* its runtime ends at 8,128 fibers, and takes a millisecond for each */
#else
#define MANY 10000
#endif

/* ---- Waiting ---- */

static _Atomic int running, peak;

static int run_sleep(struct concd_task *task)
{
	int r;

	if (++running > peak)
		peak = running;
	r = concd_sleep(task, 100 * NS_PER_MS);
	running--;
	return r;
}

/* Sleeps on until all are there. */
static int run_sleep_together(struct concd_task *task)
{
	int r = 0;

	running++;
	for (int i = 0; r == 0 && (i == 0 || running < MANY); i++)
		r = concd_sleep(task, 100 * NS_PER_MS);
	return r;
}

static void many_sleepers_sleep_at_once(void **state)
{
	struct fake_record record;
	struct rig rig;

	(void)state;
	running = peak = 0;
	open_rig(&rig, run_sleep_together, MANY);
	fake_ring_submit_many(rig.ring, JOB, MANY, "");
	fake_ring_wait(rig.ring, MANY);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), MANY);
	record = fake_ring_record(rig.ring, 0, 0);
	assert_true(record.wall_s >= 0.0999f);
	assert_true(record.cpu_s + record.runq_s <= record.wall_s * 1.000001f);
	close_rig(&rig);
}

static void one_coroutine_runs_tasks_strictly_in_order(void **state)
{
	struct rig rig;

	(void)state;
	running = peak = 0;
	open_rig(&rig, run_sleep, 1);
	fake_ring_submit_many(rig.ring, JOB, 3, "");
	fake_ring_wait(rig.ring, 3);
	assert_int_equal(peak, 1);
	for (uint32_t i = 1; i < 3; i++)
		assert_true(fake_ring_record(rig.ring, 0, i).begin_ns - fake_ring_record(rig.ring, 0, i - 1).begin_ns >=
			    100 * NS_PER_MS);
	close_rig(&rig);
}

static void ignore_overdue(void *arg, const struct runner_overdue *overdue)
{
	(void)arg;
	(void)overdue;
}

static _Atomic bool held, let_go;

static int run_held(struct concd_task *task)
{
	const char *input = concd_input(task, NULL);

	if (*input != 'h')
		return concd_sleep(task, *input == 's' ? NS_PER_MS : 3600 * NS_PER_S);
	held = true;
	while (!let_go)
		sched_yield();
	return 0;
}

static void who_held_the_loop_costs_no_other_its_time_limit(void **state)
{
	static const char *const inputs[] = { "short sleep", "long sleep", "hold" };
	struct rig rig;
	int64_t end_ns;

	(void)state;
	held = let_go = false;
	open_rig(&rig, run_held, 3);
	add_job(&rig, 9, 1000 * NS_PER_S, 50 * NS_PER_S);
	fake_ring_submit(rig.ring, 9, 0, 3, inputs);
	while (!held)
		sched_yield();
	for (end_ns = clock_mono_ns() + 2 * NS_PER_MS; clock_mono_ns() < end_ns;)
		sched_yield(); /* the short sleep is over, and nobody is there to see it */
	(void)runner_watch(rig.runner, clock_mono_ns() + 1001 * NS_PER_S, ignore_overdue, NULL);
	let_go = true;
	fake_ring_wait(rig.ring, 3);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 2);
	assert_int_equal(fake_ring_count(rig.ring, RING_TIMEOUT), 1);
	close_rig(&rig);
}

static char turns[64];
static size_t n_turns, n_present;

static int run_turns(struct concd_task *task)
{
	const char *input = concd_input(task, NULL);

	n_present++;
	while (n_present < 3)
		assert_int_equal(concd_yield(task), 0);
	for (int i = 0; i < 3; i++) {
		turns[n_turns++] = *input;
		assert_int_equal(concd_yield(task), 0);
	}
	return 0;
}

static void yield_gives_the_others_a_turn(void **state)
{
	static const char *const inputs[] = { "a", "b", "c" };
	struct rig rig;

	(void)state;
	n_turns = n_present = 0;
	open_rig(&rig, run_turns, 3);
	fake_ring_submit(rig.ring, JOB, 0, 3, inputs);
	fake_ring_wait(rig.ring, 3);
	assert_int_equal(n_turns, 9);
	for (int i = 0; i < 7; i++)
		assert_true(turns[i] != turns[i + 1] && turns[i] != turns[i + 2] && turns[i + 1] != turns[i + 2]);
	close_rig(&rig);
}

static int pipe_fds[2];

static int run_wait_fd(struct concd_task *task)
{
	const char *input = concd_input(task, NULL);
	char c;

	if (*input == 'w') {
		assert_int_equal(concd_sleep(task, 5 * NS_PER_MS), 0);
		assert_int_equal(write(pipe_fds[1], "x", 1), 1);
		return 0;
	}
	assert_int_equal(concd_wait_fd(task, pipe_fds[0], CONCD_READ, NS_PER_MS), -ETIMEDOUT);
	assert_int_equal(concd_wait_fd(task, pipe_fds[1], CONCD_READ | CONCD_WRITE, CONCD_NO_TIMEOUT), CONCD_WRITE);
	assert_int_equal(concd_wait_fd(task, pipe_fds[0], CONCD_READ, CONCD_NO_TIMEOUT), CONCD_READ);
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	assert_int_equal(concd_wait_fd(task, -1, CONCD_READ, 0), -EBADF);
	assert_int_equal(concd_wait_fd(task, pipe_fds[0], 0, 0), -EINVAL);
	return 0;
}

static void wait_fd_returns_what_is_ready(void **state)
{
	static const char *const inputs[] = { "r", "w" };
	struct rig rig;

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	open_rig(&rig, run_wait_fd, 2);
	fake_ring_submit(rig.ring, JOB, 0, 2, inputs);
	fake_ring_wait(rig.ring, 2);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 2);
	close_rig(&rig);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void swallow_line(int severity, const char *text)
{
	(void)severity; /* libevent says what the test expects */
	(void)text;
}

static int run_wait_file(struct concd_task *task)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_int_equal(concd_wait_fd(task, fd, CONCD_READ, CONCD_NO_TIMEOUT), -EPERM);
	close(fd);
	return 0;
}

static void a_regular_file_cannot_be_waited_for(void **state)
{
	struct rig rig;

	(void)state;
	event_set_log_callback(swallow_line);
	open_rig(&rig, run_wait_file, 1);
	fake_ring_submit_many(rig.ring, JOB, 1, "");
	fake_ring_wait(rig.ring, 1);
	close_rig(&rig);
	event_set_log_callback(NULL);
}

/* ---- Suspend and resume ---- */

#define HAMMERERS 3
#define ROUNDS 300

static _Atomic(struct concd_resumer *) hammered;
static _Atomic bool hammering;

static void *hammer(void *arg)
{
	const struct concd_host *host = arg;

	while (hammering) {
		struct concd_resumer *resumer = atomic_exchange(&hammered, NULL);

		if (!resumer) {
			sched_yield();
			continue;
		}
		concd_resume(host, resumer);
		concd_resume(host, resumer);
		concd_resumer_free(host, resumer);
	}
	return NULL;
}

/* Each round hands a handle to the other threads and waits until one resumed it. */
static int run_suspend(struct concd_task *task)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct concd_resumer *expected = NULL, *resumer = concd_resumer(task);

		while (!atomic_compare_exchange_strong(&hammered, &expected, resumer)) {
			expected = NULL;
			assert_int_equal(concd_yield(task), 0);
		}
		assert_int_equal(concd_suspend(task, CONCD_NO_TIMEOUT), 0);
		if (i % 16 == 0) /* a second resume may still be under way: then this one does not wait */
			assert_true(concd_suspend(task, 1000) <= 0);
	}
	return 0;
}

extern const struct concd_host host_services;

static void resumes_from_other_threads_are_never_lost(void **state)
{
	static const uint32_t shapes[] = { 1, 8 };
	pthread_t threads[HAMMERERS];

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		struct concd_resumer *resumer;
		struct rig rig;

		open_rig(&rig, run_suspend, shapes[s]);
		hammering = true;
		for (int i = 0; i < HAMMERERS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, hammer,
								(void *)(uintptr_t)&host_services), 0);
		fake_ring_submit_many(rig.ring, JOB, shapes[s], "");
		fake_ring_wait(rig.ring, shapes[s]);
		hammering = false;
		for (int i = 0; i < HAMMERERS; i++)
			pthread_join(threads[i], NULL);
		resumer = atomic_exchange(&hammered, NULL);
		if (resumer) { /* its task was resumed once more by an earlier one, and has ended: this one does nothing */
			concd_resume(&host_services, resumer);
			concd_resumer_free(&host_services, resumer);
		}
		assert_int_equal(fake_ring_count(rig.ring, RING_DONE), shapes[s]);
		close_rig(&rig);
	}
}

/* The other side has a copy of the one handle: the task may free it, and end, before concd_resume() has returned. */
static struct rig *woken_rig;
static _Atomic(struct concd_resumer *) copied;
static _Thread_local bool resumes;
static _Atomic bool rig_closed, runner_outlived;

static void stay_in_resume(void)
{
	int64_t end_ns = clock_mono_ns() + 100 * NS_PER_MS;

	if (!resumes)
		return;
	while (!rig_closed && clock_mono_ns() < end_ns)
		sched_yield();
	runner_outlived = !rig_closed;
}

static void *resume_sleeper(void *arg)
{
	struct worker_ring *ring = woken_rig->ring;
	bool sleeps = false;

	resumes = true;
	while (!sleeps) {
		sched_yield();
		pthread_mutex_lock(&ring->lock);
		sleeps = copied && ring->runners[1].asleep && !ring->runners[1].in_base;
		pthread_mutex_unlock(&ring->lock);
	}
	concd_resume(arg, copied);
	return NULL;
}

static int run_freed_at_once(struct concd_task *task)
{
	struct concd_resumer *resumer = concd_resumer(task);

	copied = resumer;
	assert_int_equal(concd_suspend(task, CONCD_NO_TIMEOUT), 0);
	concd_resumer_free(task->host, resumer);
	return 0;
}

static void a_runner_outlives_whoever_is_about_to_wake_it(void **state)
{
	pthread_t thread;
	struct rig rig;

	(void)state;
	open_rig(&rig, run_freed_at_once, 2);
	rig.ring->on_kick = stay_in_resume;
	woken_rig = &rig;
	assert_int_equal(pthread_create(&thread, NULL, resume_sleeper, (void *)(uintptr_t)&host_services), 0);
	fake_ring_submit_many(rig.ring, JOB, 1, "");
	fake_ring_wait(rig.ring, 1);
	close_rig(&rig);
	rig_closed = true;
	pthread_join(thread, NULL);
	assert_true(runner_outlived);
}

static struct concd_resumer *kept;

static int run_resume_first(struct concd_task *task)
{
	const struct concd_host *host = task->host;

	if (*concd_input(task, NULL) == 'e') { /* the handle's task has ended */
		concd_resume(host, kept);
		concd_resumer_free(host, kept);
		return 0;
	}
	kept = concd_resumer(task);
	concd_resume(host, kept);
	assert_int_equal(concd_suspend(task, CONCD_NO_TIMEOUT), 0); /* does not wait */
	assert_int_equal(concd_suspend(task, NS_PER_MS), -ETIMEDOUT); /* it counted once */
	return 0;
}

static void a_resume_before_its_suspend_counts_and_after_the_end_does_nothing(void **state)
{
	static const char *const inputs[] = { "", "e" };
	struct rig rig;

	(void)state;
	open_rig(&rig, run_resume_first, 1);
	fake_ring_submit(rig.ring, JOB, 0, 2, inputs);
	fake_ring_wait(rig.ring, 2);
	assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 2);
	close_rig(&rig);
}

/* A timer of the plugin's own on the base resumes its task, under every model. */
static void on_plugin_timer(evutil_socket_t fd, short what, void *arg)
{
	struct concd_task *task = arg;

	(void)fd;
	(void)what;
	assert_int_equal(concd_sleep(task, 1), -EPERM);
	assert_int_equal(concd_yield(task), -EPERM);
	assert_int_equal(concd_suspend(task, 1), -EPERM);
	assert_int_equal(concd_wait_fd(task, 0, CONCD_READ, 1), -EPERM);
	concd_resume(task->host, kept);
}

static int run_on_base(struct concd_task *task)
{
	const struct timeval tv = { .tv_usec = 1000 };
	struct event_base *base = concd_event_base(task->worker);

	kept = concd_resumer(task);
	assert_int_equal(event_base_once(base, -1, EV_TIMEOUT, on_plugin_timer, task, &tv), 0);
	assert_int_equal(concd_suspend(task, CONCD_NO_TIMEOUT), 0);
	concd_resumer_free(task->host, kept);
	return 0;
}

static void callbacks_on_the_base_resume_tasks_and_may_not_wait(void **state)
{
	(void)state;
	for (uint32_t c = 1; c < 3; c++) {
		struct rig rig;

		open_rig(&rig, run_on_base, c);
		fake_ring_submit_many(rig.ring, JOB, 1, "");
		fake_ring_wait(rig.ring, 1);
		assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 1);
		close_rig(&rig);
	}
}

static void *wait_elsewhere(void *arg)
{
	struct concd_task *task = arg;

	assert_int_equal(concd_sleep(task, 1), -EPERM);
	assert_int_equal(concd_suspend(task, 1), -EPERM);
	assert_null(concd_resumer(task));
	assert_int_equal(concd_cancelled(task), 0);
	return NULL;
}

static int run_foreign(struct concd_task *task)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wait_elsewhere, task), 0);
	pthread_join(thread, NULL);
	return 0;
}

static void other_threads_may_not_wait(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, run_foreign, 1);
	fake_ring_submit_many(rig.ring, JOB, 1, "");
	fake_ring_wait(rig.ring, 1);
	close_rig(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_sleepers_sleep_at_once),
		cmocka_unit_test(one_coroutine_runs_tasks_strictly_in_order),
		cmocka_unit_test(who_held_the_loop_costs_no_other_its_time_limit),
		cmocka_unit_test(yield_gives_the_others_a_turn),
		cmocka_unit_test(wait_fd_returns_what_is_ready),
		cmocka_unit_test(a_regular_file_cannot_be_waited_for),
		cmocka_unit_test(resumes_from_other_threads_are_never_lost),
		cmocka_unit_test(a_runner_outlives_whoever_is_about_to_wake_it),
		cmocka_unit_test(a_resume_before_its_suspend_counts_and_after_the_end_does_nothing),
		cmocka_unit_test(callbacks_on_the_base_resume_tasks_and_may_not_wait),
		cmocka_unit_test(other_threads_may_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
