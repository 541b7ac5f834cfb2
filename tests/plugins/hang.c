/* hang: on input "hang" it never comes back and never asks whether it is cancelled; else returns its input. */
#include <concd/plugin.h>

#include <string.h>
#include <unistd.h>

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len), *mode;
	int r;

	r = concd_param_text(task, "mode", &mode);
	if (r < 0)
		return r;
	if (len == 4 && memcmp(input, "hang", 4) == 0) {
		int blocks = strcmp(mode, "block") == 0;

		for (;;) {
			if (blocks)
				(void)sleep(1000); /* a signal must not end it */
			__asm__ volatile("");
		}
	}
	return concd_result(task, input, len);
}

static const struct concd_param params[] = {
	{.name = "mode", .type = CONCD_PARAM_TEXT, .value = "block", .choices = "block|spin",
	 .help = "hang in a system call or in a loop"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "hang",
	.version = "1.0",
	.summary = "test: ignores that it is cancelled",
	.kind = CONCD_KIND_MIXED,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
