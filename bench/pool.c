/* pool: the yardstick for tasks: what most programs would write. A pool of threads in one process, one mutex, one
 * condition variable, a queue.
 *
 *	pool [-w MICROSECONDS] TASKS THREADS	nanoseconds of wall time per task
 *	pool -r TASKS				microseconds from submitting one task to its result: median, 99th percentile
 *
 * A task without work adds one to a number. With -w it uses so much processor time, as the plugin `spin` does. Tasks come
 * from malloc() and go to free(), results into an array, as a pool does that does not know its tasks beforehand. A
 * worker takes the lock to take a task and again to count it as done.
 *
 * Without work its figure depends on how the scheduler lets its threads meet at the lock: 50 to 300 ns were seen on two
 * processors, and on busy ones they meet less. run.sh takes the median of five.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define THREADS_MAX 256

struct task {
	struct task *next;
	uint64_t input, *result;
};

static struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct task *first, **last; /* queued */
	uint64_t pending; /* submitted and not done */
	bool stop;
	int64_t work_ns; /* of each task; constant while threads run */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER };

static int64_t cpu_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* cannot fail */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void task_run(struct task *task)
{
	if (pool.work_ns > 0) {
		int64_t start_ns = cpu_ns();

		while (cpu_ns() - start_ns < pool.work_ns)
			;
	}
	*task->result = task->input + 1;
}

static struct task *take_locked(void)
{
	struct task *task;

	while (!pool.first && !pool.stop)
		(void)pthread_cond_wait(&pool.work, &pool.lock);
	if (!pool.first)
		return NULL;
	task = pool.first;
	pool.first = task->next;
	if (!pool.first)
		pool.last = &pool.first;
	return task;
}

static void *worker(void *arg)
{
	(void)arg;
	for (;;) {
		struct task *task;

		(void)pthread_mutex_lock(&pool.lock);
		task = take_locked();
		(void)pthread_mutex_unlock(&pool.lock);
		if (!task)
			return NULL;
		task_run(task);
		free(task);
		(void)pthread_mutex_lock(&pool.lock);
		if (--pool.pending == 0)
			(void)pthread_cond_signal(&pool.idle);
		(void)pthread_mutex_unlock(&pool.lock);
	}
}

static void submit(uint64_t input, uint64_t *result)
{
	struct task *task = malloc(sizeof(*task));

	if (!task)
		bench_die("pool: out of memory");
	*task = (struct task){ .input = input, .result = result };
	(void)pthread_mutex_lock(&pool.lock);
	*pool.last = task;
	pool.last = &task->next;
	pool.pending++;
	(void)pthread_cond_signal(&pool.work);
	(void)pthread_mutex_unlock(&pool.lock);
}

static void wait_idle(void)
{
	(void)pthread_mutex_lock(&pool.lock);
	while (pool.pending > 0)
		(void)pthread_cond_wait(&pool.idle, &pool.lock);
	(void)pthread_mutex_unlock(&pool.lock);
}

static void start(pthread_t *threads, size_t n)
{
	pool.last = &pool.first;
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, worker, NULL) != 0)
			bench_die("cannot start a thread");
}

static void stop(pthread_t *threads, size_t n)
{
	(void)pthread_mutex_lock(&pool.lock);
	pool.stop = true;
	(void)pthread_cond_broadcast(&pool.work);
	(void)pthread_mutex_unlock(&pool.lock);
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
}

static double throughput(size_t n, size_t n_threads)
{
	uint64_t *results = bench_alloc(n, sizeof(*results));
	pthread_t threads[THREADS_MAX];
	int64_t start_ns, wall_ns;

	for (size_t i = 0; i < n; i++)
		results[i] = i; /* so that its memory is there */
	start(threads, n_threads);
	start_ns = bench_now_ns();
	for (size_t i = 0; i < n; i++)
		submit(i, &results[i]);
	wait_idle();
	wall_ns = bench_now_ns() - start_ns;
	stop(threads, n_threads);
	for (size_t i = 0; i < n; i++)
		if (results[i] != i + 1)
			bench_die("pool: task %zu is wrong", i);
	free(results);
	return (double)wall_ns / (double)n;
}

static void round_trips(size_t n)
{
	double *us = bench_alloc(n, sizeof(*us));
	pthread_t threads[2];

	start(threads, 2);
	for (size_t i = 0; i < n; i++) {
		int64_t start_ns = bench_now_ns();
		uint64_t result;

		submit(i, &result);
		wait_idle();
		us[i] = (double)(bench_now_ns() - start_ns) / 1000;
	}
	stop(threads, 2);
	(void)printf("%.2f %.2f\n", bench_share(us, n, 0.5), bench_share(us, n, 0.99));
	free(us);
}

int main(int argc, char **argv)
{
	bool trips = false;
	int c;

	while ((c = getopt(argc, argv, "rw:")) != -1) {
		if (c == 'r')
			trips = true;
		else if (c == 'w')
			pool.work_ns = (int64_t)bench_number(optarg, "-w", 0, 1000000) * 1000;
		else
			return 2;
	}
	if (argc - optind != (trips ? 1 : 2))
		bench_die("usage: pool [-w MICROSECONDS] TASKS THREADS | pool -r TASKS");
	if (trips)
		round_trips(bench_number(argv[optind], "TASKS", 1, 100000000));
	else
		(void)printf("%.1f\n", throughput(bench_number(argv[optind], "TASKS", 1, 100000000),
						  bench_number(argv[optind + 1], "THREADS", 1, THREADS_MAX)));
	return 0;
}
