/* The watch over tasks that hold their runner. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "runner_rig.h"

#define LIMIT_NS (20 * NS_PER_MS)
#define DEADLINE_NS (30 * NS_PER_S)

static struct {
	unsigned int begins, ends;
	uint64_t dropped;
	struct stall_report begin, end;
	char input[STALL_INPUT_BYTES + 1], stack[STALL_STACK_BYTES];
} told;

static void on_report(void *arg, const struct stall_report *report)
{
	size_t n = report->input_len < STALL_INPUT_BYTES ? report->input_len : STALL_INPUT_BYTES;

	(void)arg;
	told.dropped += report->dropped;
	if (report->ended) {
		told.ends++;
		told.end = *report;
		return;
	}
	told.begins++;
	told.begin = *report;
	memcpy(told.input, report->input, n);
	told.input[n] = '\0';
	(void)snprintf(told.stack, sizeof(told.stack), "%s", report->stack);
}

static bool over;

struct watched {
	struct rig rig;
	struct stall_watch *watch;
	int wake_fd;
};

static void open_watched(struct watched *w, int (*run)(struct concd_task *task), uint32_t coroutines)
{
	memset(&told, 0, sizeof(told));
	assert_int_equal(stall_install(), 0);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(w->wake_fd >= 0);
	assert_int_equal(stall_watch_new(1, LIMIT_NS, 0, w->wake_fd, on_report, w, &w->watch), 0);
	rig_watch = w->watch;
	open_rig(&w->rig, run, coroutines);
	rig_watch = NULL;
	while (runner_state(w->rig.runner) != RUNNER_READY)
		(void)poll(NULL, 0, 1);
}

static void close_watched(struct watched *w)
{
	close_rig(&w->rig);
	stall_watch_free(w->watch);
	(void)close(w->wake_fd);
}

/* Look, as the host thread does, until the number is there. */
static void look_until(struct watched *w, const unsigned int *number, unsigned int wanted)
{
	int64_t deadline_ns = clock_mono_ns() + DEADLINE_NS;

	while (*number < wanted) {
		(void)stall_watch_look(w->watch, &w->rig.runner, clock_mono_ns(), &over);
		assert_true(clock_mono_ns() < deadline_ns);
		(void)poll(NULL, 0, 1);
	}
}

static _Atomic unsigned int entered;
static int gate = -1; /* an eventfd that counts: how many tasks may go on */

static void let_go(void)
{
	const uint64_t one = 1;

	assert_int_equal(write(gate, &one, sizeof(one)), sizeof(one));
}

static void close_gate(void)
{
	if (gate >= 0)
		(void)close(gate);
	gate = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	assert_true(gate >= 0);
	entered = 0;
}

/* One wait, which a signal would cut short. */
static int run_block(struct concd_task *task)
{
	struct pollfd pfd = { .fd = gate, .events = POLLIN };
	uint64_t count;

	(void)task;
	entered++;
	if (poll(&pfd, 1, -1) < 0)
		return -errno;
	return read(gate, &count, sizeof(count)) == sizeof(count) ? 0 : -errno;
}

static void a_task_that_blocks_is_named_and_not_disturbed(void **state)
{
	static const char *const inputs[] = { "a", "the input" };
	struct watched w;

	(void)state;
	close_gate();
	open_watched(&w, run_block, 2);
	fake_ring_submit(w.rig.ring, JOB, 5, 2, inputs);
	look_until(&w, &told.begins, 1);
	let_go();
	look_until(&w, &told.begins, 2);
	assert_int_equal(told.begin.job, JOB);
	assert_int_equal(told.begin.task, 6);
	assert_int_equal(told.begin.runner, 1);
	assert_string_equal(told.input, "the input");
	assert_int_equal(told.begin.input_len, 9);
	assert_true(told.begin.held_ns >= LIMIT_NS);
	assert_non_null(strstr(told.stack, "poll"));
	let_go();
	look_until(&w, &told.ends, 2);
	assert_int_equal(told.end.task, 6);
	assert_true(told.end.held_ns >= LIMIT_NS);
	assert_int_equal(told.begins, 2);
	fake_ring_wait(w.rig.ring, 2);
	assert_int_equal(fake_ring_count(w.rig.ring, RING_DONE), 2); /* no EINTR */
	close_watched(&w);
}

static volatile unsigned int turns;
static _Atomic bool enough;

static int run_compute(struct concd_task *task)
{
	struct timespec ts;

	(void)task;
	do {
		turns++;
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* cannot fail; what others use does not count */
	} while (!enough && ts.tv_sec < DEADLINE_NS / NS_PER_S);
	return 0;
}

static void a_task_that_computes_is_named_with_its_stack(void **state)
{
	static const char *const inputs[] = { "n" };
	struct watched w;

	(void)state;
	enough = false;
	open_watched(&w, run_compute, 2);
	fake_ring_submit(w.rig.ring, JOB, 0, 1, inputs);
	look_until(&w, &told.begins, 1);
	enough = true;
	assert_string_equal(told.input, "n");
#ifndef __SANITIZE_THREAD__ /* which holds signals back until the next system call */
	assert_true(strstr(told.stack, "run_compute") || strstr(told.stack, "clock"));
#endif
	look_until(&w, &told.ends, 1);
	fake_ring_wait(w.rig.ring, 1);
	close_watched(&w);
}

static int run_sleep(struct concd_task *task)
{
	return concd_sleep(task, 200 * NS_PER_MS);
}

static void a_task_that_gives_way_is_not_named(void **state)
{
	struct watched w;

	(void)state;
	open_watched(&w, run_sleep, 100);
	fake_ring_submit_many(w.rig.ring, JOB, 300, "");
	while (fake_ring_count(w.rig.ring, RING_DONE) < 300) {
		(void)stall_watch_look(w.watch, &w.rig.runner, clock_mono_ns(), &over);
		(void)poll(NULL, 0, 2);
	}
	assert_int_equal(told.begins, 0);
	close_watched(&w);
}

static void nothing_is_looked_at_while_every_runner_sleeps(void **state)
{
	static const char *const inputs[] = { "x" };
	int64_t deadline_ns = clock_mono_ns() + DEADLINE_NS;
	struct pollfd pfd;
	struct watched w;

	(void)state;
	close_gate();
	open_watched(&w, run_block, 2);
	while (stall_watch_look(w.watch, &w.rig.runner, clock_mono_ns(), &over) != INT64_MAX) {
		assert_true(clock_mono_ns() < deadline_ns);
		(void)poll(NULL, 0, 5);
	}
	pfd = (struct pollfd){ .fd = w.wake_fd, .events = POLLIN };
	assert_int_equal(poll(&pfd, 1, 0), 0);
	fake_ring_submit(w.rig.ring, JOB, 0, 1, inputs);
	assert_int_equal(poll(&pfd, 1, (int)(DEADLINE_NS / NS_PER_MS)), 1); /* the runner that wakes up says so */
	look_until(&w, &told.begins, 1);
	let_go();
	look_until(&w, &told.ends, 1);
	fake_ring_wait(w.rig.ring, 1);
	close_watched(&w);
}

/* The clock it looks by is ahead, so that a task needs not hold its thread for long. */
static void of_very_many_some_are_told_by_number_only(void **state)
{
	int64_t deadline_ns = clock_mono_ns() + DEADLINE_NS;
	struct watched w;
	uint32_t n = 0;

	(void)state;
	close_gate();
	open_watched(&w, run_block, 1);
	while (told.dropped == 0) {
		assert_true(clock_mono_ns() < deadline_ns);
		if (n % 64 == 0)
			fake_ring_submit_many(w.rig.ring, JOB, 64, "");
		n++;
		while (entered < n)
			(void)sched_yield();
		(void)stall_watch_look(w.watch, &w.rig.runner, clock_mono_ns() + 2 * LIMIT_NS, &over);
		let_go();
	}
	assert_true(told.begins >= 20); /* the burst */
	for (uint32_t i = n % 64; i > 0 && i < 64; i++)
		let_go();
	fake_ring_wait(w.rig.ring, (n + 63) / 64 * 64);
	close_watched(&w);
}

/* Waits for longer than the limit, then uses a processor until it is told. */
static int run_use(struct concd_task *task)
{
	int64_t deadline_ns;
	int r = concd_sleep(task, 100 * NS_PER_MS);

	if (r < 0)
		return r; /* waiting is no use of a processor */
	deadline_ns = clock_mono_ns() + DEADLINE_NS;
	while (!concd_cancelled(task) && clock_mono_ns() < deadline_ns)
		turns++;
	return concd_cancelled(task) ? -ECANCELED : 0;
}

static void on_overdue(void *arg, const struct runner_overdue *overdue)
{
	(void)arg;
	assert_true(overdue->late); /* on a busy machine; its grace is minutes */
	assert_true(overdue->by_cpu);
}

static void a_task_that_uses_too_much_processor_time_is_told(void **state)
{
	static const char *const inputs[] = { "" };
	const int64_t limit_ns = 50 * NS_PER_MS;
	struct fake_record record;
	struct stall_watch *watch;
	struct rig rig;

	(void)state;
	assert_int_equal(stall_watch_new(1, 0, limit_ns, -1, on_report, NULL, &watch), 0);
	rig_watch = watch;
	rig_cpu_timeout_ns = limit_ns;
	open_rig(&rig, run_use, 2);
	rig_watch = NULL;
	rig_cpu_timeout_ns = 0;
	while (runner_state(rig.runner) != RUNNER_READY)
		(void)poll(NULL, 0, 1);
	add_job(&rig, JOB + 1, 0, 10 * DEADLINE_NS);
	fake_ring_submit(rig.ring, JOB + 1, 0, 1, inputs);
	while (fake_ring_count(rig.ring, RING_TIMEOUT) + fake_ring_count(rig.ring, RING_DONE) == 0) {
		(void)stall_watch_look(watch, &rig.runner, clock_mono_ns(), &over);
		(void)runner_watch(rig.runner, clock_mono_ns(), on_overdue, NULL);
		(void)poll(NULL, 0, 1);
	}
	record = fake_ring_record(rig.ring, 0, 0);
	assert_int_equal(record.status, RING_TIMEOUT);
	assert_true(record.cpu_s >= 0.02f); /* on a busy machine the sum of its turns is no better */
	assert_true(record.wall_s >= 0.1f);
	close_rig(&rig);
	stall_watch_free(watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_task_that_blocks_is_named_and_not_disturbed),
		cmocka_unit_test(a_task_that_computes_is_named_with_its_stack),
		cmocka_unit_test(a_task_that_gives_way_is_not_named),
		cmocka_unit_test(nothing_is_looked_at_while_every_runner_sleeps),
		cmocka_unit_test(of_very_many_some_are_told_by_number_only),
		cmocka_unit_test(a_task_that_uses_too_much_processor_time_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
