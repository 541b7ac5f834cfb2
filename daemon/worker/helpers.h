/* Helper threads: a bounded set for one worker process, on which concd_offload() runs functions.
 *
 *	helpers_run ──> queue ──> a helper: fn(arg) ──> on_end
 *	                  └── helpers_withdraw
 *
 * A helper is started when work waits and none is idle, up to the bound; beyond it work waits in order. One that has had
 * nothing to do for a while ends. Helpers have ordinary stacks of the size that tasks get with C = 1.
 */
#ifndef CONCD_WORKER_HELPERS_H
#define CONCD_WORKER_HELPERS_H

#include <stdbool.h>
#include <stdint.h>

#include "measure/task_time.h"

#define HELPERS_MAX 64u /* of a process */
#define HELPERS_IDLE_NS (10 * NS_PER_S)

struct helpers;

/* The caller's, in place until on_end was called or helpers_withdraw() returned true. */
struct helper_work {
	void (*fn)(void *arg);
	void *arg;
	/* fn has ended. On the helper's thread, under the lock of the helpers: wakes somebody and returns. */
	void (*on_end)(struct helper_work *work);

	/* From on_end on: processor time and run-queue time of fn; waiting for a helper is run-queue time. */
	struct task_time time;

	/* The helpers' own. */
	int64_t queued_ns;
	bool begun;
	struct helper_work *next;
};

int helpers_open(uint32_t max, int64_t idle_ns, struct helpers **ret_helpers); /* 0 or -ENOMEM */
/* Wait for what runs, end all threads, free. Nothing is queued and nobody calls any more. NULL is fine. */
void helpers_close(struct helpers *helpers);

/* Run work on a helper. Any thread; does not wait. 0; -EAGAIN: there is no helper and none can be started. */
int helpers_run(struct helpers *helpers, struct helper_work *work);
/* Take back what no helper has begun. False: it has begun, and on_end follows or was called. */
bool helpers_withdraw(struct helpers *helpers, struct helper_work *work);
/* Once it returns, no on_end that somebody has already heard of is still executing. */
void helpers_settle(struct helpers *helpers);

#endif
