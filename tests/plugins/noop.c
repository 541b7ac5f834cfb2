/* noop: parses a decimal number and returns it: what a task costs when it does nothing. */
#include <concd/plugin.h>

static int run(struct concd_task *task)
{
	size_t len, n = 0;
	const char *input = concd_input(task, &len);
	uint64_t value = 0;
	char digits[24], text[24];

	if (len == 0)
		return concd_fail(task, CONCD_FAIL_INPUT, "the input is empty: expected a number");
	for (size_t i = 0; i < len; i++) {
		if (input[i] < '0' || input[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(input[i] - '0'), &value))
			return concd_fail(task, CONCD_FAIL_INPUT, "not a number of at most 64 bits");
	}
	do {
		digits[n++] = (char)('0' + (int)(value % 10));
		value /= 10;
	} while (value != 0);
	for (size_t i = 0; i < n; i++)
		text[i] = digits[n - 1 - i];
	return concd_result(task, text, n);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "noop",
	.version = "1.0",
	.summary = "test: returns the number it is given",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.run = run,
};
CONCD_PLUGIN(plugin)
