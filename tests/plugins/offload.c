/* offload: does what the input says on a helper thread. "crash" faults there, "wait" blocks until the task is cancelled,
 * a number N blocks for N milliseconds; "= TEXT" does nothing there. The result is the input. */
#include <concd/plugin.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct work {
	struct concd_task *task;
	const char *input;
	int begun, ended; /* the task goes on after the helper, so these need no lock */
};

static void block(long ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static void work(void *arg)
{
	struct work *w = arg;

	w->begun = 1;
	if (strcmp(w->input, "crash") == 0) {
		volatile char *nowhere = (volatile char *)(uintptr_t)64;

		__asm__("" : "+r"(nowhere)); /* hidden from the compiler */
		*nowhere = 1;
	} else if (strcmp(w->input, "wait") == 0) {
		while (!concd_cancelled(w->task))
			block(1);
		block(20); /* the task must not be back before this */
	} else {
		block(atol(w->input));
	}
	w->ended = 1;
}

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len);
	struct work w = {.task = task, .input = input};
	int r;

	if (*input != '=') {
		r = concd_offload(task, work, &w);
		if (w.begun != w.ended || (r == 0 && !w.ended))
			abort(); /* it came back too early */
		if (r < 0)
			return r;
	}
	return concd_result(task, input, len);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "offload",
	.version = "1.0",
	.summary = "test: works on helper threads",
	.kind = CONCD_KIND_MIXED,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.run = run,
};
CONCD_PLUGIN(plugin)
