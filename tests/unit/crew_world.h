/* A world for tests of crews: real worker processes and test plugins, under a layer above that keeps book of every
 * task and fails the test where one comes back twice. */
#ifndef CONCD_TESTS_UNIT_CREW_WORLD_H
#define CONCD_TESTS_UNIT_CREW_WORLD_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "config.h"
#include "crew/crew_private.h"
#include "crew/wire.h"
#include "crew/workload.h"

enum task_state { PENDING, OUT, ENDED, GUILTY, OVERDUE };

/* A job of the layer above: every move of a task is checked. */
struct book {
	struct world *world;
	struct crew_seat *seat;
	uint64_t n;
	uint8_t *state;
	uint64_t scan; /* nothing below is pending */
	uint64_t n_finished; /* ended, guilty or overdue */
	uint64_t n_done, n_failed, n_cancelled; /* of those that ended */
	uint64_t n_guilty, n_overdue, n_innocent, n_suspect, n_returned;
	uint64_t most_out;
	unsigned int seen_running;
	uint64_t special; /* this task has special_input */
	const char *special_input, *input; /* input NULL: the task's number */
	uint64_t finished_before_special; /* how many had, when it did */
	bool withdrawn; /* hands out nothing more */
	bool cancelled; /* on_cancelled was heard */
	int guilty_signal;
	unsigned int n_stalls, n_stalls_ended;
	struct crew_stall last_stall;
	unsigned int init_failures;
	char init_message[256];
};

struct world {
	char dir[64];
	struct config config;
	struct workload_config stanza;
	struct loop *loop;
	struct workloads *workloads;
	struct crews *crews;
	struct event *time_limit, *mischief;
	suseconds_t (*mischief_fn)(struct world *w);
	struct book *books[2];
	bool stopped;
	unsigned int random;
	unsigned int kills;
};

int world_setup(void **state); /* *state: a new struct world, its crews open and without a store */
int world_teardown(void **state);
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

void world_open_crews(struct world *w, struct store *store);
/* Describe the plugin (of tests/plugins; of plugins where the name begins with "/") under the world's stanza. */
const struct workload *world_plugin(struct world *w, const char *name);
/* Open book i for a job of n tasks and kick its crew. job: workers 0: as many as the shape has; grace 0: a second. */
struct book *world_submit(struct world *w, size_t i, const struct workload *workload, const char *shape, uint64_t n,
			  struct crew_job job);
void world_close_book(struct world *w, size_t i);
/* Until every task has finished, or something else that a test waits for; fails after a time limit. */
void world_run(struct world *w);
/* Run fn(w) after delay_us, and again after each time it returns a number of microseconds; 0: no more. */
void world_later(struct world *w, suseconds_t delay_us, suseconds_t (*fn)(struct world *w));
const char *world_build_dir(void);

#endif
