/* What the two files of the watch share: stall.c (when to look, what to report) and stall_sample.c (what a thread is
 * at). */
#ifndef CONCD_WORKER_STALL_PRIVATE_H
#define CONCD_WORKER_STALL_PRIVATE_H

#include <sys/types.h>

#include "worker/stall.h"

/* What was found out of a turn: the task, and where it was. */
struct stall_find {
	uint64_t job, task;
	size_t input_len;
	uint8_t input[STALL_INPUT_BYTES];
	char stack[STALL_STACK_BYTES];
};

/* How long the runner's turn has held its thread, a wait for a processor that goes on now included. The host thread. */
int64_t stall_held_ns(const struct runner *runner, int64_t now_ns);
int64_t stall_cpu_ns(const struct runner *runner); /* of its thread; 0: unknown */
/* The task of the turn, and the stack of a thread that is blocked in the kernel. 0; -EBUSY: it is not blocked, or cannot be
 * looked at (the task is found all the same); -ESTALE: the turn is over. */
int stall_look_blocked(const struct runner *runner, int64_t since_ns, struct stall_find *ret_find);
void stall_ask(struct runner *runner, int64_t since_ns, int64_t limit_ns); /* signal it */
/* The handler's answer, once `state` is STALL_TAKEN. */
void stall_take_answer(const struct runner *runner, struct stall_find *ret_find);

#endif
