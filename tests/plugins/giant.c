/* giant: a result of as many bytes as its input says. */
#include <concd/plugin.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_BYTES (UINT64_C(1) << 32)

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len);
	char *data, *end;
	unsigned long long n;
	int r;

	n = strtoull(input, &end, 10);
	if (len == 0 || end != input + len || n > SIZE_MAX_BYTES)
		return concd_fail(task, CONCD_FAIL_INPUT, "not a number of bytes up to 4294967296");
	data = malloc(n > 0 ? n : 1);
	if (data == NULL)
		return -ENOMEM;
	for (unsigned long long i = 0; i < n; i++)
		data[i] = (char)('a' + (int)(i % 26));
	r = concd_result(task, data, n);
	free(data);
	return r;
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "giant",
	.version = "1.0",
	.summary = "test: a result of so many bytes: the alphabet, over and over",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.run = run,
};
CONCD_PLUGIN(plugin)
