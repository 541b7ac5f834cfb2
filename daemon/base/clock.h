/* Clocks. Intervals and time limits use the monotonic clock, dates the realtime clock. Any thread. */
#ifndef CONCD_BASE_CLOCK_H
#define CONCD_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

/* CLOCK_MONOTONIC in nanoseconds: the same clock in every process of this boot. */
static inline int64_t clock_mono_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* Microseconds since 1970, UTC. */
static inline int64_t clock_unix_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail for this clock */
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#define CLOCK_TEXT_BYTES 32

/* RFC 3339 in UTC with milliseconds, such as 2026-11-21T09:30:00.125Z. */
void clock_format_unix_us(int64_t unix_us, char ret_text[CLOCK_TEXT_BYTES]);

#endif
