/* deep: on input "deep" it recurses until its stack is overrun; a number: so many frames of about 1 KiB. */
#include <concd/plugin.h>

#include <stdlib.h>
#include <string.h>

static __attribute__((noinline)) unsigned descend(unsigned long depth)
{
	volatile char frame[1024];

	memset((void *)(uintptr_t)frame, (int)(depth & 0x7f), sizeof(frame));
	if (depth == 0)
		return (unsigned)frame[0];
	return descend(depth - 1) + (unsigned)frame[depth % sizeof(frame)];
}

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len);
	unsigned long depth;
	char *end;

	if (len == 4 && memcmp(input, "deep", 4) == 0) {
		(void)descend(1UL << 40); /* ends long before */
		return concd_fail(task, CONCD_FAIL_PERMANENT, "the stack did not end");
	}
	depth = strtoul(input, &end, 10);
	if (len == 0 || end != input + len)
		return concd_fail(task, CONCD_FAIL_INPUT, "neither 'deep' nor a number of frames");
	(void)descend(depth);
	return concd_result(task, input, len);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "deep",
	.version = "1.0",
	.summary = "test: overruns its stack",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.run = run,
};
CONCD_PLUGIN(plugin)
