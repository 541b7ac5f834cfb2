/* What harness.c and harness_services.c share. */
#ifndef CONCD_TESTS_PLUGINS_HARNESS_PRIVATE_H
#define CONCD_TESTS_PLUGINS_HARNESS_PRIVATE_H

#include "harness.h"

#define PARAMS_MAX 32

struct harness {
	struct concd_worker worker; /* first */
	const struct concd_plugin *plugin;
	void *object;
	struct event_base *base;
	struct event *wake_event;
	int wake_fd;
	const char *names[PARAMS_MAX], *values[PARAMS_MAX];
	size_t n_params;
	struct harness_task *tasks, **last;
	uint64_t n_tasks;
	uint32_t workers;
	bool is_started;

	pthread_mutex_t lock; /* of all that follows, and of the tasks' flags */
	pthread_cond_t loop_turn;
	unsigned n_resumers;
};

extern const struct concd_host harness_services;

/* harness_steps.c */
int harness_run_task(struct harness_task *t); /* run, or split, run_part and combine */
void harness_free_parts(struct harness_task *t);
int host_part_add(struct concd_task *task, const void *data, size_t len);
uint64_t host_part_count(struct concd_task *task);
const void *host_part_result(struct concd_task *task, uint64_t part, size_t *ret_len);

/* Let the loop look at its tasks again. Any thread. */
void harness_wake(struct harness *harness);

#endif
