/* identity: returns the bytes of its input, whatever they are. */
#include <concd/plugin.h>

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len);

	return concd_result(task, input, len);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "identity",
	.version = "1.0",
	.summary = "test: returns its input, byte for byte",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.run = run,
};
CONCD_PLUGIN(plugin)
