/* A host for one plugin inside a test: one runner, many tasks, no daemon.
 *
 * Tasks are threads of which only one runs at a time, the loop or one task, handing over to each other: to the plugin
 * that is the same as coroutines, with stacks of 64 KiB, and every sanitizer understands it. Where the plugin divides an
 * input, its steps run one after the other.
 *
 *	h = harness_open("plugins/squares");
 *	harness_param(h, "simd", "scalar");
 *	harness_start(h);
 *	t = harness_add(h, "10");			any number of them
 *	harness_run(h);					until all have ended
 *	assert_string_equal(t->result, "285");
 *	harness_close(h);
 */
#ifndef CONCD_TESTS_PLUGINS_HARNESS_H
#define CONCD_TESTS_PLUGINS_HARNESS_H

#include <concd/plugin.h>

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>

struct harness;
struct harness_part;

/* What became of a task. Valid until harness_close(). */
struct harness_task {
	struct concd_task task; /* first, so that services find the rest */
	struct harness *harness;
	struct harness_task *next; /* all tasks, in order of addition */
	char *input;
	size_t input_len;
	uint64_t index;
	bool has_ended;
	int returned; /* by run */
	char *result; /* NUL-terminated; NULL: none set */
	size_t result_len;
	char *failure; /* concd_fail's words; NULL: not called */
	uint32_t why;
	int64_t retry_after_ns; /* -1: not said */
	double progress;
	uint32_t n_parts; /* that its input was divided into; 0: it was not */
	unsigned n_cancelled; /* how often it asked */
	int64_t cancel_at; /* concd_cancelled() says 1 from that time it is asked on; -1: never */
	/* The harness's own. */
	pthread_t thread;
	pthread_cond_t turn;
	struct harness_part *parts;
	bool is_splitting, is_combining;
	bool is_started, has_turn, is_cancelled, is_resumed, is_timed_out;
	int ready_events;
	struct event *timer;
};

/* Load a plugin from the build tree: `name` is its path without .libs and suffix. Ends the test where it cannot. */
struct harness *harness_open(const char *name);
/* The same for a plugin that is part of the test. */
struct harness *harness_open_plugin(const struct concd_plugin *plugin);
const struct concd_plugin *harness_plugin(struct harness *harness);
void harness_param(struct harness *harness, const char *name, const char *value); /* before harness_start */
void harness_workers(struct harness *harness, uint32_t workers); /* what concd_workers() says; else 1 */
int harness_start(struct harness *harness); /* worker_init: what it returned */
struct harness_task *harness_add(struct harness *harness, const char *input);
struct harness_task *harness_add_bytes(struct harness *harness, const void *input, size_t len);
void harness_run(struct harness *harness);
/* Give every task that can go on one turn, and serve the event base once if `wait` (until something happens). True:
 * some task has not ended. */
bool harness_turn(struct harness *harness, bool wait);
void harness_cancel(struct harness_task *task);
/* worker_exit, where worker_init went well. Checks that all tasks have ended and all resumers are freed. */
void harness_close(struct harness *harness);

#endif
