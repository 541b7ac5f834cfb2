/* CLOCK_MONOTONIC for one thread that asks for it after every task: from the processor's time stamp counter, at less than
 * half the price of clock_gettime().
 *
 *	now = anchor + ticks since the anchor x nanoseconds a tick
 *
 * The anchor is a reading of the real clock, made anew when it is older than a millisecond; the length of a tick comes
 * from all of the time since the clock was opened, once that is 10 ms. Until then, where the kernel itself does not keep
 * time by this counter, on other architectures, and where the two were found to disagree, every reading is one of
 * the real clock. A reading is within a microsecond of it, and hardly ever lies (by nanoseconds) before the last one: who
 * minds compares.
 */
#ifndef CONCD_MEASURE_TICK_CLOCK_H
#define CONCD_MEASURE_TICK_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

struct tick_clock {
	/* What a reading needs. */
	uint64_t anchor_ticks;
	uint64_t most_ticks; /* so much later a new anchor is due; 0: every reading is one of the real clock */
	uint64_t ns_per_tick_q32; /* fixed point: 32 bits behind the point */
	int64_t anchor_ns;

	uint64_t base_ticks;
	int64_t base_ns; /* 0: to be measured anew */
	uint32_t disagreed; /* how often the counter and the clock did; a few times: it is not used any more */
	bool usable;
};

/* Never fails; reads a file of the kernel's: before a sandbox closes. */
void tick_clock_open(struct tick_clock *clock);

/* The slow way of the function below. */
int64_t tick_clock_read(struct tick_clock *clock);

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline int64_t tick_clock_now(struct tick_clock *clock)
{
#if defined(__x86_64__)
	uint64_t ticks = __rdtsc() - clock->anchor_ticks;

	if (ticks < clock->most_ticks)
		return clock->anchor_ns + (int64_t)(ticks * clock->ns_per_tick_q32 >> 32);
#endif
	return tick_clock_read(clock);
}

#endif
