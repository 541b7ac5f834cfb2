/* Crews against a worker program that breaks every rule of the socketpair. */
#include <errno.h>

#include "crew_world.h"

/* The job fails after its start, the third in a row, with these words, and no process is left over. */
static void assert_start_fails(struct world *w, const struct workload *workload, const char *what, const char *words)
{
	struct book *b;

	assert_int_equal(setenv("HOSTILE", what, 1), 0);
	b = world_submit(w, 0, workload, "1x1x1", 5, (struct crew_job){ .idempotent = true });
	crew_of(b->seat)->init_failures = INIT_FAILURES_MAX - 1; /* no waiting between attempts */
	world_run(w);
	if (b->init_failures != 1 || !strstr(b->init_message, words))
		fail_msg("%s: %u failures, '%s'", what, b->init_failures, b->init_message);
	assert_int_equal(b->n_finished, 0);
	assert_int_equal(w->crews->n_processes, 0);
	world_close_book(w, 0);
	crews_close(w->crews);
	world_open_crews(w, NULL);
	world_run(w);
	free(w->crews->worker_path);
	assert_true(asprintf(&w->crews->worker_path, "%s/tests/unit/hostile_worker", world_build_dir()) > 0);
}

static const struct workload *use_hostile_worker(struct world *w)
{
	const struct workload *workload = world_plugin(w, "noop");

	free(w->crews->worker_path);
	assert_true(asprintf(&w->crews->worker_path, "%s/tests/unit/hostile_worker", world_build_dir()) > 0);
	return workload;
}

static void messages_that_make_no_sense_end_the_process(void **state)
{
	static const char *const wrongs[] = {
		"unknown-type",	      "nothing",	 "to-worker-type", "ready-without-fd",
		"ready-other-runner", "ready-too-many",	 "ready-pipe",	   "overdue-range",
		"dropped-cut",	      "init-failed-cut", "too-long",	   "hang-up",
		"ready-unguarded",
	};
	struct world *w = *state;
	const struct workload *workload = use_hostile_worker(w);

	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++)
		assert_start_fails(w, workload, wrongs[i], "");
}

static void an_early_death_is_told_with_the_last_words(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_hostile_worker(w);

	assert_start_fails(w, workload, "exit", "no licence");
	assert_start_fails(w, workload, "exit", "status 5");
	assert_start_fails(w, workload, "ready-then-die", "status 6");
	assert_start_fails(w, workload, "flood", "[2Jflood");
}

static void a_process_that_is_never_ready_is_killed(void **state)
{
	struct world *w = *state;
	const struct workload *workload;

	w->stanza.start_timeout_ns = NS_PER_MS;
	workload = use_hostile_worker(w);
	assert_start_fails(w, workload, "never-ready", "start_timeout");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(messages_that_make_no_sense_end_the_process),
		WORLD_TEST(an_early_death_is_told_with_the_last_words),
		WORLD_TEST(a_process_that_is_never_ready_is_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
