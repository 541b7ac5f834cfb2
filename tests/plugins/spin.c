/* spin: uses so many microseconds of processor time and returns its input. */
#include <concd/plugin.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int64_t cpu_ns(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) < 0)
		return 0;
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int run(struct concd_task *task)
{
	int64_t start_ns = cpu_ns();
	size_t len;
	const char *input = concd_input(task, &len);
	char *end;
	unsigned long us;

	errno = 0;
	us = strtoul(input, &end, 10);
	if (len == 0 || input[0] < '0' || input[0] > '9' || end != input + len || errno != 0 || us > 3600000000UL)
		return concd_fail(task, CONCD_FAIL_INPUT, "not a number of microseconds up to 3600000000");
	while (cpu_ns() - start_ns < (int64_t)us * 1000)
		if (concd_cancelled(task))
			return -ECANCELED;
	return concd_result(task, input, len);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "spin",
	.version = "1.0",
	.summary = "test: uses the given microseconds of processor time",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.run = run,
};
CONCD_PLUGIN(plugin)
