/* Crews that do as they are told: shapes, limits, cancelling, ends. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "crew_world.h"

static const char *const shapes[] = { "1x1x1", "1x1x100", "1x2x1", "2x1x1", "2x2x10" };

static void every_task_comes_back_once_under_every_shape(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "noop");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b =
			world_submit(w, 0, workload, shapes[i], 20000, (struct crew_job){ .idempotent = true });

		world_run(w);
		assert_int_equal(b->n_done, b->n);
		assert_int_equal(crew_seat_out(b->seat), 0);
		assert_true(crew_seat_peak_rss_bytes(b->seat) > 0);
		assert_int_equal(b->n_guilty + b->n_innocent + b->n_suspect, 0);
		world_close_book(w, 0);
	}
}

/* The runners have milliseconds of work before them: no worker wakes the daemon, it looks by itself. */
static void short_tasks_come_back_while_the_daemon_dozes(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "spin");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b = world_submit(w, 0, workload, shapes[i], 3000, (struct crew_job){ .idempotent = true });

		b->input = "20";
		world_run(w);
		assert_int_equal(b->n_done, b->n);
		assert_int_equal(crew_seat_out(b->seat), 0);
		world_close_book(w, 0);
	}
}

static suseconds_t cancel_when_begun(struct world *w)
{
	struct book *b = w->books[0];

	if (crew_seat_running(b->seat) == 0)
		return 2000;
	b->withdrawn = true;
	crew_cancel(b->seat, WIRE_CANCEL_USER);
	return 0;
}

static void cancelled_tasks_end_by_themselves_within_grace(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "/sleeper");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b = world_submit(w, 0, workload, shapes[i], 300,
					      (struct crew_job){ .idempotent = true, .grace_ns = 30 * NS_PER_S });

		b->input = "1000s";
		world_later(w, 20000, cancel_when_begun);
		world_run(w);
		assert_true(b->cancelled);
		assert_true(b->n_cancelled > 0);
		assert_int_equal(b->n_overdue + b->n_innocent, 0);
		world_close_book(w, 0);
	}
}

static void a_short_task_does_not_wait_behind_a_long_one(void **state)
{
	struct world *w = *state;
	struct book *b =
		world_submit(w, 0, world_plugin(w, "/sleeper"), "1x2x1", 3000, (struct crew_job){ .idempotent = true });

	b->input = "0";
	b->special = 1500;
	b->special_input = "700ms";
	world_run(w);
	assert_int_equal(b->n_done, b->n);
	assert_int_equal(b->finished_before_special, b->n - 1);
}

static void a_limit_of_workers_is_kept(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "/sleeper");
	static const char *const of[] = { "1x4x1", "1x1x100" };

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		struct book *b =
			world_submit(w, 0, workload, of[i], 60, (struct crew_job){ .idempotent = true, .workers = 2 });

		b->input = "2ms";
		world_run(w);
		assert_int_equal(b->n_done, b->n);
		assert_true(b->most_out <= 2);
		world_close_book(w, 0);
	}
}

/* A job at its limit of workers is kicked again when some of its tasks have ended, which may be while the crew has still
 * to look at its rings once more. */
static void a_kick_is_heard_while_records_are_to_be_collected(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "noop");
	struct book *b = world_submit(w, 0, workload, "1x1x1", 100, (struct crew_job){ .idempotent = true });

	world_run(w);
	b = world_submit(w, 1, workload, "1x1x1", 100, (struct crew_job){ .idempotent = true });
	w->crews->list->collect_again = true;
	world_run(w);
	assert_int_equal(b->n_done, b->n);
}

static void tasks_that_must_not_run_twice_go_to_free_workers_only(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "noop");
	static const char *const of[] = { "1x2x1", "1x1x5" };
	static const uint64_t workers[] = { 2, 5 };

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		struct book *b = world_submit(w, 0, workload, of[i], 500, (struct crew_job){ .idempotent = false });

		world_run(w);
		assert_int_equal(b->n_done, b->n);
		assert_true(b->most_out <= workers[i]);
		world_close_book(w, 0);
	}
}

static void two_jobs_share_a_crew(void **state)
{
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "noop");
	struct book *a = world_submit(w, 0, workload, "1x2x1", 3000, (struct crew_job){ .idempotent = true });
	struct book *b = world_submit(w, 1, workload, "1x2x1", 3000, (struct crew_job){ .idempotent = true });

	assert_ptr_equal(crew_of(a->seat), crew_of(b->seat));
	world_run(w);
	assert_int_equal(a->n_done + b->n_done, 6000);
	assert_int_equal(crew_of(a->seat)->starts, 1);
}

static suseconds_t count_stirring(struct world *w)
{
	unsigned int n = 0;

	for (const struct crew_seat *seat = crew_of(w->books[0]->seat)->stirring; seat; seat = seat->stir_next)
		n++;
	assert_in_range(n, 0, 1); /* none where all that was out has just come back */
	return w->books[0]->n_finished < w->books[0]->n ? 500 : 0;
}

static void a_turn_looks_only_at_those_that_have_something_out_or_asked_for(void **state)
{
	struct crew_job job = { .id = 1000, .workers = 2, .idempotent = true };
	struct world *w = *state;
	const struct workload *workload = world_plugin(w, "noop");
	struct book *a = world_submit(w, 0, workload, "1x2x1", 3000, (struct crew_job){ .idempotent = true });
	struct book *b = world_submit(w, 1, workload, "1x2x1", 0, (struct crew_job){ .idempotent = true });
	struct crew *crew = crew_of(a->seat);
	struct crew_seat *waiting[999];

	for (size_t i = 0; i < 999; i++, job.id++)
		assert_int_equal(crew_join(crew, &job, b, &waiting[i]), 0);
	world_later(w, 500, count_stirring);
	world_run(w);
	assert_int_equal(a->n_done, 3000);
	crew_cancel(b->seat, WIRE_CANCEL_USER);
	crew_recall(a->seat);
	while (!b->cancelled)
		assert_int_equal(event_base_loop(loop_base(w->loop), EVLOOP_ONCE), 0);
	for (size_t i = 0; i < 999; i++)
		crew_leave(waiting[i]);
	for (int i = 0; i < 10000 && crew->stirring; i++)
		assert_int_equal(event_base_loop(loop_base(w->loop), EVLOOP_ONCE), 0);
	assert_null(crew->stirring);
	assert_int_equal(crew->n_seats, 2);
}

static suseconds_t recall_all(struct world *w)
{
	struct book *b = w->books[0];

	if (b->n_finished < 60)
		return 1000; /* the long one is not begun yet */
	crew_recall(b->seat);
	return 0;
}

static void what_is_unbegun_can_be_recalled(void **state)
{
	struct world *w = *state;
	struct book *b =
		world_submit(w, 0, world_plugin(w, "/sleeper"), "1x1x1", 100, (struct crew_job){ .idempotent = true });

	b->input = "0";
	b->special = 60;
	b->special_input = "200ms";
	world_later(w, 100000, recall_all);
	world_run(w);
	assert_int_equal(b->n_done, b->n);
	assert_true(b->n_returned > 0);
}

static void on_stopped(void *arg)
{
	struct world *w = arg;

	w->stopped = true;
	loop_stop(w->loop);
}

static void a_stop_with_nothing_to_do_is_answered(void **state)
{
	struct world *w = *state;

	crews_stop(w->crews, on_stopped, w);
	world_run(w);
	assert_true(w->stopped);
}

static void nothing_is_handed_out_while_a_survivor_holds_the_lock(void **state)
{
	const struct timeval soon = { .tv_usec = 50000 };
	struct world *w = *state;
	char path[128];
	int fd;

	crews_close(w->crews);
	(void)snprintf(path, sizeof(path), "%s/workers.lock", w->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	world_open_crews(w, NULL);
	assert_int_equal(event_base_loopexit(loop_base(w->loop), &soon), 0);
	assert_int_equal(loop_run(w->loop), 0);
	assert_false(crews_ready(w->crews));
	(void)close(fd);
	world_run(w);
	assert_true(crews_ready(w->crews));
}

static void an_idle_crew_ends_after_its_time(void **state)
{
	struct world *w = *state;
	const struct workload *workload;
	struct book *b;

	w->stanza.idle_timeout_ns = 10 * NS_PER_MS;
	workload = world_plugin(w, "noop");
	b = world_submit(w, 0, workload, "2x1x1", 100, (struct crew_job){ .idempotent = true });
	world_run(w);
	assert_int_equal(b->n_done, b->n);
	world_close_book(w, 0);
	for (int i = 0; i < 10000 && w->crews->list; i++)
		assert_true(event_base_loop(loop_base(w->loop), EVLOOP_ONCE) >= 0);
	assert_null(w->crews->list);
	assert_int_equal(w->crews->n_processes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(every_task_comes_back_once_under_every_shape),
		WORLD_TEST(short_tasks_come_back_while_the_daemon_dozes),
		WORLD_TEST(cancelled_tasks_end_by_themselves_within_grace),
		WORLD_TEST(a_short_task_does_not_wait_behind_a_long_one),
		WORLD_TEST(a_limit_of_workers_is_kept),
		WORLD_TEST(a_kick_is_heard_while_records_are_to_be_collected),
		WORLD_TEST(tasks_that_must_not_run_twice_go_to_free_workers_only),
		WORLD_TEST(two_jobs_share_a_crew),
		WORLD_TEST(a_turn_looks_only_at_those_that_have_something_out_or_asked_for),
		WORLD_TEST(what_is_unbegun_can_be_recalled),
		WORLD_TEST(a_stop_with_nothing_to_do_is_answered),
		WORLD_TEST(nothing_is_handed_out_while_a_survivor_holds_the_lock),
		WORLD_TEST(an_idle_crew_ends_after_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
