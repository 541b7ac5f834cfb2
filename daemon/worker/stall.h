/* The watch over tasks that hold their runner too long, so that no other task of its thread goes on.
 *
 * A runner publishes when its task came on the thread (struct stall_turn: two plain stores a switch). The host thread
 * looks twice in `limit` while some runner is awake, and not at all a second after the last of them went to sleep; the first
 * that wakes up tells it. A turn is named when the task has held its thread for `limit`: wall time less the time the
 * thread waited for a processor, so that a busy machine blames no task.
 *
 *	turn older than limit ── blocked in the kernel ──> the host thread reads what is on its stack
 *	                     └── on a processor ─────────> a signal; its handler takes the stack and answers
 *
 * A thread that is blocked is not disturbed: its system call goes on as if nobody had looked. The signal goes only to
 * a thread that is ready to run; where it meets a system call after all (it blocked between the look and the signal),
 * SA_RESTART restarts it, but for those that never are (signal(7): nanosleep, poll and their kin say EINTR).
 *
 * What is read of a slot while its thread goes on may be torn: it is copied by process_vm_readv(2), which fails where
 * nothing is mapped, and believed only if the turn was still the same afterwards.
 */
#ifndef CONCD_WORKER_STALL_H
#define CONCD_WORKER_STALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crew/wire.h"

struct runner;
struct stall_watch;

#define STALL_INPUT_BYTES WIRE_STALL_INPUT_BYTES /* of an input that is reported */
#define STALL_FRAMES 24
#define STALL_STACK_BYTES WIRE_STALL_STACK_BYTES /* of a stack's text */

/* Published by a runner. All relaxed but since_ns: the others are read after it (acquire), and it is looked at again
 * where they matter. */
struct stall_turn {
	_Atomic int64_t since_ns; /* when the task on the thread came there, CLOCK_MONOTONIC; 0: none is */
	_Atomic int64_t from_ns; /* then, or a little later: ... */
	_Atomic int64_t runq_ns; /* ... time that the thread had waited for a processor at that moment, or a little before */
	/* Where there is a cpu_timeout: the task's slot, and what is to be added to the thread's processor time for its own. */
	_Atomic uint32_t slot;
	_Atomic int64_t cpu_credit_ns;
	_Atomic int64_t ended_ns; /* when the turn that was named ended */
	_Atomic int64_t named_ns; /* written by the host thread: the since_ns of the turn that is named; 0: none is */
};

/* What the signal's handler answers, on the runner's thread. The host thread asks, and reads when `state` says so. */
enum stall_answer { STALL_NONE, STALL_ASKED, STALL_TAKEN, STALL_DECLINED };
struct stall_sample {
	_Atomic int state; /* enum stall_answer; release after what is below, acquire before it */
	_Atomic int64_t asked_ns; /* the since_ns of the turn asked for */
	_Atomic int64_t limit_ns;
	int64_t held_ns;
	uint64_t job, task;
	size_t input_len;
	uint8_t input[STALL_INPUT_BYTES]; /* its beginning */
	int n_frames;
	void *frames[STALL_FRAMES]; /* the first is where it was interrupted */
};

struct stall_report {
	bool ended; /* false: it goes on; true: it was reported before, and this is all */
	uint32_t runner;
	uint64_t job, task;
	int64_t since_ns; /* CLOCK_MONOTONIC */
	int64_t held_ns; /* so far, without waiting for a processor; at the end: in all */
	uint64_t dropped; /* so many were not reported since the last report */
	const uint8_t *input; /* the beginning; at the end: nothing */
	size_t input_len; /* of the whole */
	const char *stack; /* a frame a line, innermost first; "": could not be taken */
};

/* Once, before threads start: the handler. 0 or -errno. */
int stall_install(void);

/* limit_ns: of a turn; cpu_timeout_ns: of a task's processor time; 0: none. One of them is not 0. wake_fd: an eventfd of the host thread's loop. on_report is called from stall_watch_look(). 0 or -ENOMEM. */
int stall_watch_new(uint32_t n_runners, int64_t limit_ns, int64_t cpu_timeout_ns, int wake_fd,
		    void (*on_report)(void *arg, const struct stall_report *report), void *arg,
		    struct stall_watch **ret_watch);
void stall_watch_free(struct stall_watch *watch); /* NULL is fine */
/* A runner has woken up. Any thread, cheap. */
void stall_watch_wake(struct stall_watch *watch);
/* Look at the runners, all of which are ready. *ret_over (else untouched): a task was found to have used too much processor
 * time, so runner_watch() has something to do. Returns when to look again; INT64_MAX: when wake_fd is readable. The host
 * thread. */
int64_t stall_watch_look(struct stall_watch *watch, struct runner *const *runners, int64_t now_ns, bool *ret_over);

#endif
