/* blocker: blocks inside a coroutine.
 *
 * The input is a number of milliseconds, spent in nanosleep(), which stands for every library call that waits without
 * telling the event loop: a database client, getaddrinfo(), a lock, a slow disk. Under `async` all tasks of a loop share one
 * thread, so while one blocks none goes on: 20 tasks of 60 ms take 1.2 s, one after another, and each that takes longer than
 * `stall` (50 ms) is named by `concctl show` with the stack it was stuck in. With `offload=true` the same call runs on a
 * helper thread (concd_offload) and the loop is free: the 20 take about 60 ms together. Under `pool` and `process` each
 * task blocks a worker of its own, and it is `-j` that counts.
 *
 * A wait that has a (y) function, such as concd_sleep() here, needs neither: see plugins/sleeper.
 */
#include <concd/plugin.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define MAX_MS 3600000
#define SLICE_MS 100 /* between looks whether the task is cancelled */

struct work {
	struct concd_task *task;
	long ms;
};

static void block(void *arg)
{
	const struct work *work = arg;

	for (long left = work->ms; left > 0 && !concd_cancelled(work->task); left -= SLICE_MS) {
		long ms = left < SLICE_MS ? left : SLICE_MS;
		struct timespec ts = {.tv_sec = 0, .tv_nsec = ms * 1000000};

		while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
			;
	}
}

static int run(struct concd_task *task)
{
	struct work work = {.task = task};
	size_t len;
	const char *input = concd_input(task, &len);
	int64_t offload;
	char *end;
	int r;

	r = concd_param_int(task, "offload", &offload);
	if (r < 0)
		return r;
	errno = 0;
	work.ms = strtol(input, &end, 10);
	if (len == 0 || input[0] < '0' || input[0] > '9' || end != input + len || errno != 0 || work.ms > MAX_MS)
		return concd_fail(task, CONCD_FAIL_INPUT, "not a number of milliseconds up to %d", MAX_MS);
	if (offload) {
		r = concd_offload(task, block, &work);
		if (r < 0)
			return r;
	} else {
		block(&work);
	}
	return concd_cancelled(task) ? -ECANCELED : concd_result(task, input, len);
}

static const struct concd_param params[] = {
	{.name = "offload", .type = CONCD_PARAM_BOOL, .value = "false", .help = "block on a helper thread instead"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "blocker",
	.version = "1.0",
	.summary = "example: blocks its event loop for so many milliseconds, or a helper thread with offload=true",
	.kind = CONCD_KIND_IO,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
