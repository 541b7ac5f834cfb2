/* counter: a counter that all tasks of a process share and that nobody locks.
 *
 * Each task adds one to it, as many times as its input says, and returns the value it saw last. `counter++` is a load, an
 * addition and a store; another thread that stores in between is overwritten, and its additions are lost. On a real
 * machine that happens once in a while, so that a test passes and the program is wrong. Here a forced preemption
 * (sched_yield, and now and then a short nap) stands between load and store, so that it shows every time.
 *
 * What to expect of 8 tasks of 1000 each:
 *	sync, async, thread -j 1	the last result is 8000: one thread, and a coroutine is only left where it waits
 *	pool -j 4			less than 8000: additions were lost
 *	process				each process has a counter of its own: nothing is lost, and nothing is shared
 * With `locked=true` a mutex makes load and store one step, and pool gives 8000 as well.
 *
 * The counter is an atomic that is loaded and stored relaxed: C calls a race on a plain integer undefined, and would be
 * free to break more than this example wants to show. The additions are lost just the same.
 *
 * The counter lives as long as its process: run it with --dedicated to begin at 0. A real plugin has no such state: that
 * it says it is thread-safe is the lie this example is about.
 */
#include <concd/plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ADDITIONS 10000000
#define NAP_EVERY 64

static _Atomic uint64_t counter; /* relaxed throughout: see above */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t add_one(unsigned long round)
{
	const struct timespec nap = {.tv_nsec = 1000};
	uint64_t seen = atomic_load_explicit(&counter, memory_order_relaxed);

	if (round % NAP_EVERY == 0)
		(void)nanosleep(&nap, NULL); /* being switched out is all that is wanted */
	else
		(void)sched_yield();
	atomic_store_explicit(&counter, seen + 1, memory_order_relaxed);
	return seen + 1;
}

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len);
	int64_t locked;
	uint64_t seen = 0;
	unsigned long n;
	char *end, text[24];
	int r;

	r = concd_param_int(task, "locked", &locked);
	if (r < 0)
		return r;
	errno = 0;
	n = strtoul(input, &end, 10);
	if (len == 0 || input[0] < '0' || input[0] > '9' || end != input + len || errno != 0 || n > MAX_ADDITIONS)
		return concd_fail(task, CONCD_FAIL_INPUT, "not a number of additions up to %d", MAX_ADDITIONS);
	for (unsigned long i = 0; i < n; i++) {
		if (concd_cancelled(task))
			return -ECANCELED;
		if (locked)
			(void)pthread_mutex_lock(&lock); /* a default mutex does not fail */
		seen = add_one(i);
		if (locked)
			(void)pthread_mutex_unlock(&lock);
	}
	(void)snprintf(text, sizeof(text), "%" PRIu64, seen);
	return concd_result(task, text, strlen(text));
}

static const struct concd_param params[] = {
	{.name = "locked", .type = CONCD_PARAM_BOOL, .value = "false", .help = "add under a lock, as one should"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "counter",
	.version = "1.0",
	.summary = "example: adds to a shared counter without a lock, and loses additions under threads",
	.kind = CONCD_KIND_MIXED,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
