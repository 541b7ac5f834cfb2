/* Where the time of one task went, as its runner thread sees it.
 *
 *	wall = from its begin to its end
 *	cpu  = on a processor
 *	runq = ready to run, but waiting for a processor: the thread in the kernel's run queue, or the coroutine
 *	       behind others of its thread
 *	wait = wall - cpu - runq: waiting for something else
 *
 * A task holds its thread in *intervals*: one from begin to end where it never waits, more where it does (C > 1, or a
 * wait with C = 1). The end of one interval is the begin of the next where the runner does nothing in between, so a
 * task costs one clock read.
 *
 * Was the thread switched out during the interval? Reading the CPU clock costs eight times the wall clock, so it is
 * only read when it was: a restartable-sequence descriptor whose range never matches lies in the thread's rseq area,
 * and the kernel clears the pointer to it whenever it takes the processor away. Still there: cpu = wall and nothing
 * else is to be read. Cleared: CLOCK_THREAD_CPUTIME_ID and the run-queue delay of /proc/thread-self/schedstat say how
 * much of the time since the last reading was spent off the processor (its first field lags by up to a tick, and is
 * not used). Where there is no rseq (old C library, other architecture, taken by someone else) both are read at the end
 * of each interval. The cpu and runq of a task are clamped so that together they never exceed its wall time.
 *
 * All of it belongs to one thread. Times are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef CONCD_MEASURE_TASK_TIME_H
#define CONCD_MEASURE_TASK_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* The clock of one thread. */
struct task_clock {
	/* Where the kernel looks for a descriptor; NULL: no rseq. Only this thread, and the kernel on its behalf. */
	uint64_t *rseq_cs;
	int schedstat_fd; /* -1: not there; runq is then 0 */

	/* The last reading of all three clocks. Since then the thread was on a processor, or the pointer is gone. */
	int64_t read_wall_ns;
	int64_t read_cpu_ns;
	int64_t read_runq_ns;
};

/* Of one task. */
struct task_time {
	int64_t begin_ns;
	int64_t in_ns; /* when its current interval began */
	int64_t cpu_ns; /* of ended intervals */
	int64_t runq_ns;
};

/* Open and close the clock of the calling thread. Opening takes a nap of a microsecond, or a few longer ones, to see
 * whether rseq tells. Never fails. */
void task_clock_open(struct task_clock *clock);
void task_clock_close(struct task_clock *clock);
/* Do without rseq: for tests. */
void task_clock_open_plain(struct task_clock *clock);

bool task_clock_has_rseq(const struct task_clock *clock);

/* Time a thread spent in the run queue, from its schedstat file; 0 where it cannot be read. Async-signal-safe. */
int64_t task_clock_runq_ns(int schedstat_fd);

/* The slow ways of the two functions below. */
void task_clock_read(struct task_clock *clock, int64_t now_ns);
void task_clock_settle(struct task_clock *clock, struct task_time *time, int64_t now_ns);

extern const uint64_t *const task_clock_armed; /* address of the descriptor that never matches */

static inline bool task_clock_undisturbed(const struct task_clock *clock)
{
	/* relaxed: the kernel writes it on this thread's behalf, between two of its instructions */
	return clock->rseq_cs &&
	       __atomic_load_n(clock->rseq_cs, __ATOMIC_RELAXED) == (uint64_t)(uintptr_t)task_clock_armed;
}

/* The task goes on its processor at now_ns. */
static inline void task_time_in(struct task_clock *clock, struct task_time *time, int64_t now_ns)
{
	time->in_ns = now_ns;
	if (!task_clock_undisturbed(clock) && clock->read_wall_ns != now_ns)
		task_clock_read(clock, now_ns);
}

/* The task begins at now_ns: task_time_in() for the first time. */
static inline void task_time_begin(struct task_clock *clock, struct task_time *time, int64_t now_ns)
{
	*time = (struct task_time){ .begin_ns = now_ns };
	task_time_in(clock, time, now_ns);
}

/* The task leaves its processor at now_ns: it waits, or it ended. */
static inline void task_time_out(struct task_clock *clock, struct task_time *time, int64_t now_ns)
{
	if (task_clock_undisturbed(clock))
		time->cpu_ns += now_ns - time->in_ns;
	else
		task_clock_settle(clock, time, now_ns);
}

/* The task was ready from ready_ns to now_ns, behind others of its thread. Before task_time_in(). */
static inline void task_time_queued(struct task_time *time, int64_t ready_ns, int64_t now_ns)
{
	if (now_ns > ready_ns)
		time->runq_ns += now_ns - ready_ns;
}

#endif
