/* Crews whose worker processes are stopped by a signal, in the midst of tasks or while they idle. */
#include <signal.h>

#include "base/spawn.h"
#include "crew_world.h"

static const char *const shapes[] = { "1x1x1", "1x1x20", "1x2x1", "2x1x1", "2x2x10" };

/* A stop takes effect when one of the threads runs next: on a busy machine a little later. */
static void send_one(struct proc *proc, int sig)
{
	int64_t until_ns = clock_mono_ns() + 20 * NS_PER_S;

	assert_int_equal(spawn_kill(proc->pidfd, sig), 0);
	while (sig == SIGSTOP && !proc_state_is_stopped(proc_state(proc)))
		assert_true(clock_mono_ns() < until_ns);
}

static void send_all(struct crew *crew, int sig)
{
	for (uint32_t i = 0; i < crew->shape.processes; i++)
		if (crew->procs[i])
			send_one(crew->procs[i], sig);
}

/* ---- Time limits ---- */

static suseconds_t stop_all_when_begun(struct world *w)
{
	struct book *b = w->books[0];

	if (crew_seat_running(b->seat) < b->n)
		return 1000;
	send_all(crew_of(b->seat), SIGSTOP);
	return 0;
}

static void a_time_limit_ends_tasks_of_a_stopped_process(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "hang");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b = world_submit(w, 0, workload, shapes[i], 1,
					      (struct crew_job){ .idempotent = true, .task_timeout_ns = 300 * NS_PER_MS,
								 .grace_ns = 100 * NS_PER_MS });
		int64_t since_ns = clock_mono_ns();

		b->input = "hang";
		world_later(w, 1000, stop_all_when_begun);
		world_run(w);
		assert_int_equal(b->n_overdue, 1);
		assert_true(clock_mono_ns() - since_ns >= 400 * NS_PER_MS);
		world_close_book(w, 0);
	}
}

static void every_task_that_is_over_its_limit_then_has_its_end(void **state)
{
	struct world *w = *state;
	struct book *b = world_submit(w, 0, world_plugin(w, "/sleeper"), "1x1x20", 20,
				      (struct crew_job){ .idempotent = true, .task_timeout_ns = 300 * NS_PER_MS,
							 .grace_ns = 100 * NS_PER_MS });
	struct crew *crew = crew_of(b->seat);

	b->input = "100s";
	world_later(w, 1000, stop_all_when_begun);
	world_run(w);
	assert_int_equal(b->n_overdue, 20);
	assert_int_equal(crew->starts, 1);
}

/* ---- Going on ---- */

static suseconds_t stop_then_go_on(struct world *w)
{
	struct crew *crew = crew_of(w->books[0]->seat);

	w->kills++;
	if (w->kills % 2)
		send_all(crew, crew->n_procs > 0 && proc_is_ready(crew->procs[0]) ? SIGSTOP : SIGCONT);
	else
		send_all(crew, SIGCONT);
	return w->kills < 20 ? 20000 : 0;
}

static void what_goes_on_has_lost_nothing(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "spin");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b = world_submit(w, 0, workload, shapes[i], 4000, (struct crew_job){ .idempotent = true });

		b->input = "50";
		w->kills = 0;
		world_later(w, 5000, stop_then_go_on);
		world_run(w);
		(void)event_del(w->mischief);
		assert_int_equal(b->n_done, b->n);
		assert_int_equal(b->n_innocent + b->n_suspect + b->n_guilty + b->n_overdue, 0);
		send_all(crew_of(b->seat), SIGCONT);
		world_close_book(w, 0);
	}
}

/* ---- Others work meanwhile ---- */

static void stopped_processes_that_idle_keep_no_work_from_others(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "noop");
	struct book *b = world_submit(w, 0, workload, "2x1x1", 100, (struct crew_job){ .idempotent = true });
	struct crew *crew = crew_of(b->seat);

	world_run(w);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t stopped = crew->procs[i] ? i : 1 - i;

		send_one(crew->procs[stopped], SIGSTOP);
		world_close_book(w, 0);
		b = world_submit(w, 0, workload, "2x1x1", 1, (struct crew_job){ .idempotent = true });
		assert_ptr_equal(crew_of(b->seat), crew);
		world_run(w);
		assert_int_equal(b->n_done, 1);
		send_one(crew->procs[stopped], SIGCONT);
	}
}

static suseconds_t stop_the_one_that_has_begun(struct world *w)
{
	struct crew *crew = crew_of(w->books[0]->seat);

	if (crew_seat_running(w->books[0]->seat) < 2)
		return 1000;
	send_one(crew->procs[0], SIGSTOP);
	return 0;
}

static suseconds_t go_on_when_the_rest_is_done(struct world *w)
{
	struct book *b = w->books[0];
	struct crew *crew = crew_of(b->seat);

	if (w->kills == 0) {
		if (stop_the_one_that_has_begun(w) > 0)
			return 1000;
		w->kills = 1;
	}
	if (b->n_finished < b->n - 1 || crew->n_stopped == 0)
		return 5000;
	if (crew_seat_stopped(b->seat) == 0)
		return 5000; /* stopped between two tasks: the last one is another's */
	assert_int_equal(crew_seat_stopped(b->seat), crew->procs[0]->pid);
	send_one(crew->procs[0], SIGCONT);
	return 0;
}

static void what_a_stopped_process_has_not_begun_is_done_by_others(void **state)
{
	struct world *w = *state;
	struct book *b = world_submit(w, 0, world_plugin(w, "/sleeper"), "2x1x1", 200, (struct crew_job){ .idempotent = true });

	b->input = "2ms";
	world_later(w, 1000, go_on_when_the_rest_is_done);
	world_run(w);
	assert_int_equal(b->n_done, b->n);
	assert_int_equal(b->n_innocent + b->n_suspect + b->n_guilty, 0);
	assert_int_equal(crew_of(b->seat)->deaths, 0);
}

static void one_that_idles_and_is_needed_is_replaced(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "noop");
	struct book *b = world_submit(w, 0, workload, "1x1x1", 10, (struct crew_job){ .idempotent = true });
	struct crew *crew = crew_of(b->seat);

	world_run(w);
	send_all(crew, SIGSTOP);
	world_close_book(w, 0);
	b = world_submit(w, 0, workload, "1x1x1", 10, (struct crew_job){ .idempotent = true });
	world_run(w);
	assert_int_equal(b->n_done, 10);
	assert_int_equal(crew->deaths, 1);
	assert_int_equal(crew->n_stopped, 0);
}

/* ---- Messages ---- */

static int sent_status;

static void on_sent(void *arg, int status)
{
	(void)arg;
	sent_status = status;
}

static suseconds_t send_to_a_stopped_one(struct world *w)
{
	struct book *b = w->books[0];
	struct crew *crew = crew_of(b->seat);

	switch (w->kills) {
	case 0:
		if (crew_seat_running(b->seat) < 1)
			return 1000;
		send_all(crew, SIGSTOP);
		sent_status = 1;
		assert_int_equal(crew_send(b->seat, 0, "x", 1, on_sent, NULL), 0);
		w->kills = 1;
		return 5000;
	case 1:
		if (sent_status == 1)
			return 5000;
		assert_int_equal(sent_status, -EHOSTDOWN);
		assert_int_equal(crew_send(b->seat, 0, "x", 1, on_sent, NULL), -EHOSTDOWN);
		send_all(crew, SIGCONT);
		w->kills = 2;
		return 5000;
	default:
		if (crew->n_stopped > 0)
			return 5000;
		b->withdrawn = true;
		crew_kill(b->seat, WIRE_CANCEL_USER);
		return 0;
	}
}

static void a_message_to_a_stopped_process_is_answered_and_the_late_answer_does_no_harm(void **state)
{
	struct world *w = *state;
	struct book *b = world_submit(w, 0, world_plugin(w, "/sleeper"), "1x1x1", 1, (struct crew_job){ .idempotent = true });

	b->input = "100s";
	world_later(w, 1000, send_to_a_stopped_one);
	world_run(w);
	assert_true(b->cancelled);
	assert_int_equal(b->n_overdue + b->n_cancelled, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(a_time_limit_ends_tasks_of_a_stopped_process),
		WORLD_TEST(every_task_that_is_over_its_limit_then_has_its_end),
		WORLD_TEST(what_goes_on_has_lost_nothing),
		WORLD_TEST(stopped_processes_that_idle_keep_no_work_from_others),
		WORLD_TEST(what_a_stopped_process_has_not_begun_is_done_by_others),
		WORLD_TEST(one_that_idles_and_is_needed_is_replaced),
		WORLD_TEST(a_message_to_a_stopped_process_is_answered_and_the_late_answer_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
