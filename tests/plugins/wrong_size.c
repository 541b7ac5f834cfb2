/* wrong_size: a plugin that says that its description is smaller than any version's. */
#include <concd/plugin.h>

static int run(struct concd_task *task)
{
	return concd_result(task, "", 0);
}

static const struct concd_plugin plugin = {
	.size = 8,
	.abi = CONCD_ABI,
	.name = "wrong_size",
	.version = "1.0",
	.summary = "test: must be refused",
	.run = run,
};
CONCD_PLUGIN(plugin)
