/* describe_crash: dies while it is loaded. */
#include <concd/plugin.h>

#include <signal.h>

__attribute__((constructor)) static void die_early(void)
{
	(void)signal(SIGSEGV, SIG_DFL); /* whatever handler the process has: it is to die of the signal */
	(void)raise(SIGSEGV);
}

static int run(struct concd_task *task)
{
	return concd_result(task, "", 0);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "describe_crash",
	.version = "1.0",
	.summary = "test: dies while it is loaded",
	.run = run,
};
CONCD_PLUGIN(plugin)
