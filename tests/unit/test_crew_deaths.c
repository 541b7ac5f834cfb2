/* Crews whose worker processes die: killed from outside, by their tasks, by order, at their start. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/spawn.h"
#include "crew_world.h"

static const char *const shapes[] = { "1x1x1", "1x1x100", "1x2x1", "2x1x1", "2x2x10" };

static struct proc *some_process(struct world *w)
{
	struct crew *crew = w->books[0] && w->books[0]->seat ? crew_of(w->books[0]->seat) : NULL;
	uint32_t at = crew ? (uint32_t)rand_r(&w->random) % crew->shape.processes : 0;

	return crew && crew->procs[at] && proc_is_ready(crew->procs[at]) ? crew->procs[at] : NULL;
}

static suseconds_t kill_some(struct world *w)
{
	struct proc *proc = some_process(w);

	if (proc && w->kills < 10) {
		assert_true(spawn_kill(proc->pidfd, SIGKILL) <= 0);
		w->kills++;
	}
	return 1000 + rand_r(&w->random) % 20000;
}

static void killed_processes_lose_and_double_nothing(void **state)
{
	static const char *const of[] = { "1x1x1", "1x1x20", "1x2x1", "2x1x1", "2x2x10" };
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "spin");

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		struct book *b = world_submit(w, 0, workload, of[i], 4000, (struct crew_job){ .idempotent = true });

		b->input = "50";
		w->kills = 0;
		world_later(w, 5000, kill_some);
		world_run(w);
		(void)event_del(w->mischief);
		assert_int_equal(b->n_done, b->n);
		assert_true(w->kills > 0);
		world_close_book(w, 0);
	}
}

static void a_crashing_input_is_guilty_and_only_it(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "crash");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b = world_submit(w, 0, workload, shapes[i], 1000, (struct crew_job){ .idempotent = true });

		b->special = 500;
		b->special_input = "crash";
		world_run(w);
		assert_int_equal(b->n_done, b->n - 1);
		assert_int_equal(b->n_guilty, 1);
		assert_int_equal(b->state[500], GUILTY);
		if (!getenv("SANITIZER") || getenv("SANITIZER")[0] == '\0')
			assert_int_equal(b->guilty_signal, SIGSEGV);
		world_close_book(w, 0);
	}
}

static void a_death_by_exit_is_blamed_on_the_only_task(void **state)
{
	struct config_pair params[] = { { (char *)"signal", (char *)"exit" } };
	struct world *w = *state;
	struct book *b;

	w->stanza.params = params;
	w->stanza.n_params = 1;
	b = world_submit(w, 0, world_plugin(w, "crash"), "1x1x1", 10, (struct crew_job){ .idempotent = true });
	b->special = 3;
	b->special_input = "crash";
	world_run(w);
	assert_int_equal(b->n_done, 9);
	assert_int_equal(b->n_guilty, 1);
	assert_int_equal(b->guilty_signal, 0);
}

static suseconds_t cancel_when_begun(struct world *w)
{
	struct book *b = w->books[0];

	if (crew_seat_running(b->seat) == 0 || b->seen_running++ < 20)
		return 2000; /* begun is not yet in its function: that one would just be cancelled */
	b->withdrawn = true;
	crew_cancel(b->seat, WIRE_CANCEL_USER);
	return 0;
}

static void what_ignores_its_cancel_is_killed_after_grace(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "hang");
	static const char *const of[] = { "1x1x1", "1x1x10", "1x2x1", "2x1x1" };

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		struct book *b = world_submit(w, 0, workload, of[i], 4,
					      (struct crew_job){ .idempotent = true, .grace_ns = 100 * NS_PER_MS });

		b->input = "hang";
		world_later(w, 20000, cancel_when_begun);
		world_run(w);
		assert_true(b->cancelled);
		assert_true(b->n_overdue + b->n_cancelled >= 1); /* where it was too slow to begin */
		assert_int_equal(b->n_guilty + b->n_suspect, 0);
		world_close_book(w, 0);
	}
}

static void a_task_over_its_time_limit_is_ended_and_its_neighbours_run_again(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "hang");
	struct book *b = world_submit(
		w, 0, workload, "1x2x1", 50,
		(struct crew_job){ .idempotent = true, .task_timeout_ns = 50 * NS_PER_MS, .grace_ns = 50 * NS_PER_MS });

	b->special = 7;
	b->special_input = "hang";
	world_run(w);
	assert_int_equal(b->n_overdue, 1);
	assert_int_equal(b->state[7], OVERDUE);
	assert_int_equal(b->n_done, 49);
	assert_int_equal(b->n_guilty + b->n_suspect, 0);
}

/* Busy elsewhere, the daemon finds all three reports at once. */
static suseconds_t be_busy(struct world *w)
{
	(void)w;
	(void)usleep(400000);
	return 0;
}

/* The first is told before the others, and lets nobody onto the loop from then on: in the end all three are late. */
static void who_is_late_because_another_held_the_loop_is_not_the_reason(void **state)
{
	struct world *w = *state;
	struct config_pair params[] = { { (char *)"dir", w->dir },
					{ (char *)"us", (char *)"60000000" },
					{ (char *)"sleep", (char *)"true" } };
	const struct workload *workload = world_plugin(w, "exec_log");
	struct book *holder, *others;
	char other_dir[80];

	(void)snprintf(other_dir, sizeof(other_dir), "%s/other", w->dir); /* each job locks its tasks by their numbers */
	assert_int_equal(mkdir(other_dir, 0700), 0);
	w->stanza.params = params;
	w->stanza.n_params = ARRAY_SIZE(params);
	holder = world_submit(w, 0, workload, "1x1x3", 1,
			      (struct crew_job){ .idempotent = true, .task_timeout_ns = 100 * NS_PER_MS, .grace_ns = 400 * NS_PER_MS });
	holder->input = "hang";
	params[0].value = other_dir;
	others = world_submit(w, 1, workload, "1x1x3", 2,
			      (struct crew_job){ .idempotent = true, .task_timeout_ns = 300 * NS_PER_MS, .grace_ns = 200 * NS_PER_MS });
	world_later(w, 400000, be_busy);
	world_run(w);
	w->stanza.n_params = 0;
	assert_int_equal(holder->n_overdue, 1);
	assert_int_equal(others->n_overdue, 0);
	assert_int_equal(others->n_failed, 2); /* in the second process, by their own limits */
	assert_int_equal(others->n_guilty + others->n_suspect, 0);
}

static void three_failed_starts_in_a_row_fail_the_jobs_and_the_next_submission_tries_once(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "init_fail");
	struct book *b = world_submit(w, 0, workload, "1x1x1", 5, (struct crew_job){ .idempotent = true });
	struct crew *crew = crew_of(b->seat);

	world_run(w);
	assert_int_equal(b->init_failures, 1);
	assert_int_equal(b->n_finished, 0);
	assert_true(strlen(b->init_message) > 0);
	assert_int_equal(crew->starts, 3);
	b->withdrawn = false;
	crew_kick(crew);
	world_run(w);
	assert_int_equal(b->init_failures, 2);
	assert_int_equal(crew->starts, 4);
}

static void a_worker_program_that_is_missing_fails_the_jobs(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "noop");
	struct book *b;

	free(w->crews->worker_path);
	w->crews->worker_path = strdup("/nonexistent/concd-worker");
	b = world_submit(w, 0, workload, "2x1x1", 5, (struct crew_job){ .idempotent = true });
	world_run(w);
	assert_int_equal(b->init_failures, 1);
	assert_non_null(strstr(b->init_message, "/nonexistent/concd-worker"));
}

static void on_stopped(void *arg)
{
	struct world *w = arg;

	w->stopped = true;
	loop_stop(w->loop);
}

static suseconds_t stop_when_begun(struct world *w)
{
	if (crew_seat_running(w->books[0]->seat) == 0)
		return 2000;
	crews_stop(w->crews, on_stopped, w);
	return 0;
}

static void a_stop_brings_every_task_back(void **state)
{
	struct world *w = *state;
	struct book *b =
		world_submit(w, 0, world_plugin(w, "hang"), "2x1x1", 100, (struct crew_job){ .idempotent = true });

	b->input = "hang";
	world_later(w, 20000, stop_when_begun);
	world_run(w);
	assert_true(w->stopped);
	assert_int_equal(crew_seat_out(b->seat), 0);
	assert_int_equal(b->n_finished, 0);
	assert_true(b->n_innocent >= 1 && b->n_returned >= 1);
}

static suseconds_t tell_to_make_room(struct world *w)
{
	static const struct timeval soon = { .tv_usec = 20000 };
	struct proc *proc = crew_of(w->books[0]->seat)->procs[0];

	if (crew_seat_running(w->books[0]->seat) == 0)
		return 2000;
	proc_stop(proc); /* as limits.max_processes has it do, but for the time */
	assert_int_equal(event_add(proc->init_timer, &soon), 0);
	w->kills++;
	return 0;
}

static void a_task_that_was_begun_ends_before_its_process_makes_room(void **state)
{
	struct world *w = *state;
	struct book *b =
		world_submit(w, 0, world_plugin(w, "/sleeper"), "1x1x1", 1, (struct crew_job){ .idempotent = false });

	b->input = "300ms";
	world_later(w, 2000, tell_to_make_room);
	world_run(w);
	assert_int_equal(w->kills, 1);
	assert_int_equal(b->n_done, 1);
	assert_int_equal(b->n_innocent, 0);
}

static suseconds_t scribble(struct world *w)
{
	struct crew *crew = crew_of(w->books[0]->seat);
	struct stat st;
	void *p;

	if (!crew->ring || crew_seat_running(w->books[0]->seat) == 0)
		return 2000;
	assert_int_equal(fstat(ring_segment_fd(crew->ring), &st), 0);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring_segment_fd(crew->ring), 0);
	assert_true(p != MAP_FAILED);
	memset(p, 0x5a, (size_t)st.st_size);
	(void)munmap(p, (size_t)st.st_size);
	w->kills++;
	return 0;
}

static void garbage_in_the_shared_memory_costs_processes_and_no_task(void **state)
{
	struct world *w = *state;
	struct book *b =
		world_submit(w, 0, world_plugin(w, "/sleeper"), "2x1x1", 200, (struct crew_job){ .idempotent = true });

	b->input = "2ms";
	world_later(w, 50000, scribble);
	world_run(w);
	assert_int_equal(w->kills, 1);
	assert_int_equal(b->n_done, b->n);
	assert_int_equal(b->n_guilty + b->n_suspect, 0);
}

static void a_job_after_garbage_does_not_pay_for_it(void **state)
{
	struct world *w = *state;
	const struct workload *sleeper = world_plugin(w, "/sleeper");
	struct book *b = world_submit(w, 0, sleeper, "2x1x1", 100, (struct crew_job){ .idempotent = true });
	struct crew *spoilt = crew_of(b->seat);

	b->input = "2ms";
	world_later(w, 50000, scribble);
	world_run(w);
	assert_int_equal(w->kills, 1);
	spoilt->init_failures = INIT_FAILURES_MAX - 1; /* its workers did so before */
	world_close_book(w, 0);
	b = world_submit(w, 0, sleeper, "2x1x1", 10, (struct crew_job){ .idempotent = true });
	b->input = "1ms";
	assert_int_equal(crew_of(b->seat)->init_failures, 0);
	assert_false(crew_of(b->seat)->had_garbage);
	world_run(w);
	assert_int_equal(b->n_done, b->n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(killed_processes_lose_and_double_nothing),
		WORLD_TEST(a_crashing_input_is_guilty_and_only_it),
		WORLD_TEST(a_death_by_exit_is_blamed_on_the_only_task),
		WORLD_TEST(what_ignores_its_cancel_is_killed_after_grace),
		WORLD_TEST(a_task_over_its_time_limit_is_ended_and_its_neighbours_run_again),
		WORLD_TEST(who_is_late_because_another_held_the_loop_is_not_the_reason),
		WORLD_TEST(three_failed_starts_in_a_row_fail_the_jobs_and_the_next_submission_tries_once),
		WORLD_TEST(a_worker_program_that_is_missing_fails_the_jobs),
		WORLD_TEST(a_stop_brings_every_task_back),
		WORLD_TEST(a_task_that_was_begun_ends_before_its_process_makes_room),
		WORLD_TEST(garbage_in_the_shared_memory_costs_processes_and_no_task),
		WORLD_TEST(a_job_after_garbage_does_not_pay_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
