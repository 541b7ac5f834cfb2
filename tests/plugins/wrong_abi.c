/* wrong_abi: a plugin that was built for another version of the interface. */
#include <concd/plugin.h>

static int run(struct concd_task *task)
{
	return concd_result(task, "", 0);
}

static const struct concd_plugin plugin = {
	.size = sizeof(struct concd_plugin),
	.abi = CONCD_ABI + 1,
	.name = "wrong_abi",
	.version = "1.0",
	.summary = "test: must be refused",
	.run = run,
};
CONCD_PLUGIN(plugin)
