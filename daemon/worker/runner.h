/* A runner: one thread of a worker process that takes tasks from the rings and keeps up to C of them going.
 *
 *	runner_new ── runner_start ──> [worker_init] ── READY ── runs tasks ── runner_stop ──> [worker_exit] ── ENDED
 *	                                     └── FAILED
 *
 * The thread's own loop claims chunks, begins tasks and resumes coroutines; the event base is served from it whenever
 * no task can run, and between tasks when a millisecond has passed. Never the other way round: callbacks on the base
 * only mark tasks as ready. Everything here is called by the host thread unless it says otherwise.
 */
#ifndef CONCD_WORKER_RUNNER_H
#define CONCD_WORKER_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct concd_plugin;
struct error;
struct helpers;
struct jobtable;
struct log_gate;
struct mail;
struct params;
struct runner;
struct stall_watch;
struct worker_ring;

enum runner_state { RUNNER_STARTING, RUNNER_READY, RUNNER_FAILED, RUNNER_ENDED };

/* What is pointed to stays the caller's and must outlive the runner. */
struct runner_options {
	struct worker_ring *ring;
	uint32_t number; /* in the segment */
	uint32_t coroutines; /* C */
	size_t stack_bytes; /* 0: by C */
	size_t max_result_bytes;
	const struct concd_plugin *plugin;
	const struct params *params; /* of the stanza, for worker_init and callbacks */
	struct jobtable *jobs;
	struct log_gate *gate;
	struct helpers *helpers; /* for concd_offload() */
	struct mail *mail; /* for concd_receive() */
	uint64_t memory_max_bytes; /* of the process, for messages; 0: no limit */
	/* How many tasks the process may still begin, shared by its runners; NULL: no limit. Relaxed: a count. */
	_Atomic int64_t *may_begin;
	int64_t cpu_timeout_ns; /* processor time of a task; 0: no limit. Needs `watch` */
	struct stall_watch *watch; /* told when the runner wakes up; NULL: nobody watches */
	void (*on_state)(void *arg); /* the state changed; on the runner's thread; may be NULL */
	void *arg;
};

/* Address space that a runner takes: its stacks and tables, and its thread's stack. */
uint64_t runner_address_bytes(uint32_t coroutines, size_t stack_bytes);
int runner_new(const struct runner_options *options, struct runner **ret_runner, struct error *err); /* 0 or -errno */
int runner_start(struct runner *runner); /* the thread; 0 or -errno */
/* Waits for the thread, which must have been stopped, and frees. NULL is fine. Handles of concd_resumer() must not be
 * resumed any more. */
void runner_free(struct runner *runner);

enum runner_state runner_state(const struct runner *runner); /* any thread */
/* Why the state is FAILED. */
const char *runner_failure(const struct runner *runner);
bool runner_is_used_up(const struct runner *runner); /* it found that no task may begin any more */
int runner_event_fd(const struct runner *runner); /* the daemon wakes the runner's base by it */

void runner_drain(struct runner *runner); /* claim and begin nothing more */
void runner_resume(struct runner *runner); /* go on after a drain */
void runner_stop(struct runner *runner); /* the same, and end once no task is begun */
void runner_look(struct runner *runner); /* a job was cancelled: make the waits of its tasks return */

/* A begun task whose time limit and grace have passed; or, `late`, the limit and the first part of the grace
 * (wire_late_ns()). */
struct runner_overdue {
	bool late;
	bool by_cpu; /* of its limit of processor time */
	int64_t begin_ns;
	uint32_t runner;
	uint32_t chunk;
	uint32_t generation;
	uint32_t index;
};
/* Tell tasks whose time limit has passed by now_ns (their waits return -ECANCELED), and report those that are late
 * and those whose grace has passed as well, each once. Returns when to look again for the tasks begun so far; INT64_MAX: never. */
int64_t runner_watch(struct runner *runner, int64_t now_ns,
		     void (*on_overdue)(void *arg, const struct runner_overdue *overdue), void *arg);

#endif
