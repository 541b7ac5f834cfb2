/* onelock: computing under one lock of the whole process, which is what Python's global interpreter lock is to threads.
 *
 * The input is a number of milliseconds of processor time. A task computes it in slices, each under the one lock, as an
 * interpreter runs byte code, and lets go in between. Threads of one process then take turns however many processors
 * there are: 8 tasks of 100 ms take 800 ms under `pool -j 8` as they do under `sync`. Processes have a lock each, and
 * 2 processors do it in 400 ms under `process`: that is why the Python articles send computing to processes. With
 * `lock=false` threads are as fast as processes: C has no such lock.
 *
 * The lock is fair (first come, first served), so that tasks really take turns. The time spent waiting for it shows as
 * waiting in the task's record: wall_s well above cpu_s.
 *
 * The result says how many other tasks of the process were computing at the same moment, at most, over all slices:
 * always 0 under the lock.
 */
#include <concd/plugin.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_MS 3600000
#define SLICE_NS 1000000

/* A lock with tickets. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t next_turn = PTHREAD_COND_INITIALIZER;
static uint64_t next_ticket, turn; /* under mutex */

static _Atomic unsigned int computing; /* relaxed: a count that publishes nothing */

static void take_lock(void)
{
	uint64_t ticket;

	(void)pthread_mutex_lock(&mutex); /* neither call fails on a default mutex */
	ticket = next_ticket++;
	while (turn != ticket)
		(void)pthread_cond_wait(&next_turn, &mutex);
	(void)pthread_mutex_unlock(&mutex);
}

static void release_lock(void)
{
	(void)pthread_mutex_lock(&mutex);
	turn++;
	(void)pthread_cond_broadcast(&next_turn);
	(void)pthread_mutex_unlock(&mutex);
}

static int64_t cpu_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* cannot fail for this clock */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Compute for ns of processor time; how many others did at its begin. */
static unsigned int compute(int64_t ns)
{
	unsigned int others = atomic_fetch_add_explicit(&computing, 1, memory_order_relaxed);
	int64_t end_ns = cpu_ns() + ns;

	while (cpu_ns() < end_ns)
		;
	(void)atomic_fetch_sub_explicit(&computing, 1, memory_order_relaxed);
	return others;
}

static int run(struct concd_task *task)
{
	unsigned int most = 0;
	size_t len;
	const char *input = concd_input(task, &len);
	int64_t lock;
	char *end, text[64];
	long ms;
	int r;

	r = concd_param_int(task, "lock", &lock);
	if (r < 0)
		return r;
	errno = 0;
	ms = strtol(input, &end, 10);
	if (len == 0 || input[0] < '0' || input[0] > '9' || end != input + len || errno != 0 || ms > MAX_MS)
		return concd_fail(task, CONCD_FAIL_INPUT, "not a number of milliseconds up to %d", MAX_MS);
	for (long i = 0; i < ms; i++) {
		unsigned int others;

		if (concd_cancelled(task))
			return -ECANCELED;
		if (lock)
			take_lock();
		others = compute(SLICE_NS);
		if (lock)
			release_lock();
		most = others > most ? others : most;
	}
	(void)snprintf(text, sizeof(text), "%u", most);
	return concd_result(task, text, strlen(text));
}

static const struct concd_param params[] = {
	{.name = "lock", .type = CONCD_PARAM_BOOL, .value = "true", .help = "false: compute without the lock"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "onelock",
	.version = "1.0",
	.summary = "example: computes under one lock of its process, as under Python's global interpreter lock",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
