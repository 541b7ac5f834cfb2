/* A thread's quick clock: finding out whether the counter can be trusted, and the anchors. */
#include "tick_clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANCHOR_NS NS_PER_MS
#define BASE_NS (10 * NS_PER_MS) /* measured over so long a tick's length is right to some millionths */
#define PAIR_NS (2 * NS_PER_US) /* a clock and a counter read longer apart are no pair: the thread was switched out */
#define SLACK_NS (10 * NS_PER_US) /* more than this they do not differ after ANCHOR_NS */
#define DISAGREED_MOST 8

#if defined(__x86_64__)

/* Does the kernel keep time by the counter? Then it is the same on all processors and does not change its pace. */
static bool kernel_uses_it(void)
{
	int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
	char name[16] = "";

	if (fd < 0)
		return false;
	if (read(fd, name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	(void)close(fd); /* only read */
	return strcmp(name, "tsc\n") == 0;
}

static void measure_tick(struct tick_clock *clock, uint64_t ticks, int64_t ns)
{
	double ns_per_tick;

	if (clock->base_ns == 0) {
		clock->base_ns = ns;
		clock->base_ticks = ticks;
	}
	clock->most_ticks = 0;
	if (ns - clock->base_ns < BASE_NS || ticks - clock->base_ticks < (uint64_t)BASE_NS / 100)
		return; /* a tick is not 100 ns long */
	ns_per_tick = (double)(ns - clock->base_ns) / (double)(ticks - clock->base_ticks);
	clock->ns_per_tick_q32 = (uint64_t)(ns_per_tick * 4294967296.0);
	clock->most_ticks = (uint64_t)((double)ANCHOR_NS / ns_per_tick);
}

/* Where the last anchor says something about now: is that true? */
static bool agrees(const struct tick_clock *clock, uint64_t ticks, int64_t ns)
{
	uint64_t since = ticks - clock->anchor_ticks;
	int64_t foretold_ns;

	if (clock->most_ticks == 0)
		return true;
	foretold_ns = clock->anchor_ns + (int64_t)((double)since * (double)clock->ns_per_tick_q32 / 4294967296.0);
	return llabs(foretold_ns - ns) <= SLACK_NS + (ns - clock->anchor_ns) / 1000;
}

/* Read both. false: the thread was switched out between, so that they are no pair; *ret_ns is right all the same. */
static bool read_pair(const struct tick_clock *clock, uint64_t *ret_ticks, int64_t *ret_ns)
{
	uint64_t before, took;
	int64_t before_ns;

	if (clock->most_ticks == 0) { /* how long a tick is, is not known: only the clock can tell */
		before_ns = clock_mono_ns();
		*ret_ticks = __rdtsc();
		*ret_ns = clock_mono_ns();
		return *ret_ns - before_ns <= PAIR_NS;
	}
	before = __rdtsc();
	*ret_ns = clock_mono_ns();
	took = __rdtsc() - before;
	*ret_ticks = before + took / 2;
	return took <= clock->most_ticks / (uint64_t)(ANCHOR_NS / PAIR_NS);
}

int64_t tick_clock_read(struct tick_clock *clock)
{
	uint64_t ticks;
	int64_t ns;

	if (!clock->usable)
		return clock_mono_ns();
	if (!read_pair(clock, &ticks, &ns))
		return ns; /* the old anchor stays, and its age brings us here again */
	if (!agrees(clock, ticks, ns)) { /* the machine slept, or was moved to another one */
		clock->base_ns = 0;
		clock->usable = ++clock->disagreed < DISAGREED_MOST;
	}
	measure_tick(clock, ticks, ns);
	clock->anchor_ticks = ticks;
	clock->anchor_ns = ns;
	return ns;
}

#else

static bool kernel_uses_it(void)
{
	return false;
}

int64_t tick_clock_read(struct tick_clock *clock)
{
	(void)clock; /* never usable */
	return clock_mono_ns();
}

#endif

void tick_clock_open(struct tick_clock *clock)
{
	*clock = (struct tick_clock){ .usable = kernel_uses_it() };
	(void)tick_clock_read(clock); /* the base */
}
