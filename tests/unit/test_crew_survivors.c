/* The barrier at start with a store: survivors of an earlier daemon, and what is recorded of worker processes. */
#include <errno.h>

#include "base/spawn.h"
#include "crew_world.h"
#include "store/store.h"

static struct store *open_store(struct world *w)
{
	struct error err = ERROR_INIT;
	struct store *store = NULL;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/store", w->dir);
	if (store_open(w->loop, &(struct store_options){ .path = path }, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

static int count_worker(void *arg, int32_t pid, uint64_t start_time)
{
	unsigned int *n = arg;

	assert_true(pid > 0 && start_time > 0);
	(*n)++;
	return 0;
}

static unsigned int recorded(struct store *store)
{
	unsigned int n = 0;

	assert_int_equal(store_recover_workers(store, count_worker, &n), 0);
	return n;
}

/* A process that holds a shared lock as worker processes do. */
static int start_holder(struct world *w, pid_t *ret_pid)
{
	char *argv[] = { (char *)"sleep", (char *)"1000", NULL };
	char path[128];
	int lock, pidfd;

	(void)snprintf(path, sizeof(path), "%s/workers.lock", w->dir);
	assert_int_equal(barrier_hold(path, &lock), 0);
	assert_int_equal(spawn_start(&(struct spawn){ .path = "/bin/sleep",
						      .argv = argv,
						      .fds = (int[]){ -1, -1, -1, lock },
						      .n_fds = 4 },
				     ret_pid, &pidfd),
			 0);
	(void)close(lock);
	return pidfd;
}

static void a_survivor_is_killed_only_where_pid_and_start_time_agree(void **state)
{
	struct world *w = *state;
	struct store *store;
	uint64_t start_time;
	int survivor, other, sig, status;
	pid_t pid, other_pid;

	crews_close(w->crews);
	w->crews = NULL;
	store = open_store(w);
	survivor = start_holder(w, &pid);
	assert_int_equal(procfs_start_time(pid, &start_time), 0);
	{
		struct crews recorder = { .store = store };
		char *argv[] = { (char *)"sleep", (char *)"1000", NULL };

		worker_record(&recorder, true, pid, start_time);
		/* A number that now means another process: its start time differs. */
		assert_int_equal(spawn_start(&(struct spawn){ .path = "/bin/sleep",
							      .argv = argv,
							      .fds = (int[]){ -1, -1, -1 },
							      .n_fds = 3 },
					     &other_pid, &other),
				 0);
		assert_int_equal(procfs_start_time(other_pid, &start_time), 0);
		worker_record(&recorder, true, other_pid, start_time + 1);
	}
	store_close(store);
	store = open_store(w);
	assert_int_equal(recorded(store), 2);
	world_open_crews(w, store);
	assert_false(crews_ready(w->crews));
	world_run(w);
	assert_true(crews_ready(w->crews));
	assert_int_equal(spawn_reap(survivor, 1, &sig, &status), 0);
	assert_int_equal(sig, SIGKILL);
	assert_int_equal(spawn_reap(other, 0, &sig, &status), -EAGAIN);
	(void)spawn_kill(other, SIGKILL);
	assert_int_equal(spawn_reap(other, 1, &sig, &status), 0);
	crews_close(w->crews);
	w->crews = NULL;
	store_close(store);
	store = open_store(w);
	assert_int_equal(recorded(store), 0);
	store_close(store);
	(void)close(survivor);
	(void)close(other);
}

static void worker_processes_are_recorded_while_they_live(void **state)
{
	struct world *w = *state;
	struct store *store;
	struct book *b;

	crews_close(w->crews);
	store = open_store(w);
	world_open_crews(w, store);
	world_run(w);
	b = world_submit(w, 0, world_plugin(w, "noop"), "2x1x1", 1000, (struct crew_job){ .idempotent = true });
	world_run(w);
	assert_int_equal(b->n_done, b->n);
	while (store_queued(store) > 0)
		assert_true(event_base_loop(loop_base(w->loop), EVLOOP_ONCE) >= 0);
	assert_int_equal(recorded(store), w->crews->n_processes);
	world_close_book(w, 0);
	crews_close(w->crews);
	w->crews = NULL;
	store_close(store);
	store = open_store(w);
	assert_int_equal(recorded(store), 0);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(a_survivor_is_killed_only_where_pid_and_start_time_agree),
		WORLD_TEST(worker_processes_are_recorded_while_they_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
