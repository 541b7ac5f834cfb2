/* hog: takes memory and says what it may use. Inputs: "alloc N": N bytes, written to, and given back; "trust N": the same
 * without asking whether there was any; "where": processors that it may use, and how nice it is; "pid". */
#include <concd/plugin.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int where(struct concd_task *task)
{
	char text[64];
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return -errno;
	snprintf(text, sizeof(text), "%d of them, nice %d", CPU_COUNT(&cpus), getpriority(PRIO_PROCESS, 0));
	return concd_result(task, text, strlen(text));
}

static int run(struct concd_task *task)
{
	char word[16] = "", text[32];
	unsigned long n = 0;
	volatile char *memory;
	size_t len;
	const char *input = concd_input(task, &len);

	sscanf(input, "%15s %lu", word, &n);
	if (strcmp(word, "where") == 0)
		return where(task);
	if (strcmp(word, "pid") == 0) {
		snprintf(text, sizeof(text), "%ld", (long)getpid());
		return concd_result(task, text, strlen(text));
	}
	memory = malloc(n);
	if (!memory && strcmp(word, "trust") != 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i += 4096)
		memory[i] = 1;
	free((void *)memory);
	return concd_result(task, input, len);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "hog",
	.version = "1.0",
	.summary = "test: takes memory, and says what it may use",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT,
	.run = run,
};
CONCD_PLUGIN(plugin)
