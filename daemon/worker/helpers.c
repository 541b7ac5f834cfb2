/* The helper threads of a process: one lock, one queue. */
#include "helpers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "worker/fault.h"

#define HELPER_STACK_BYTES (8u << 20)

struct helper {
	struct helpers *pool;
	pthread_t thread;
	struct helper *next; /* among the ended */
};

struct helpers {
	/* Constant. */
	uint32_t max;
	int64_t idle_ns;
	pthread_attr_t attr;

	pthread_mutex_t lock;
	pthread_cond_t has_work;
	pthread_cond_t all_gone;

	/* Under the lock. */
	struct helper_work *first, **end;
	uint32_t n_queued;
	uint32_t n_threads; /* that have not ended */
	uint32_t n_idle; /* of these, waiting for work; also those already woken for some */
	struct helper *ended; /* threads to join */
	bool closing;
};

/* ---- A helper ---- */

static struct timespec at(int64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };
}

/* The next work, or NULL: there was none for long, or there will be none. */
static struct helper_work *take_locked(struct helpers *pool)
{
	struct timespec deadline = at(clock_mono_ns() + pool->idle_ns);
	struct helper_work *work;
	int r = 0;

	while (!pool->first && !pool->closing && r != ETIMEDOUT) {
		pool->n_idle++;
		r = pthread_cond_timedwait(&pool->has_work, &pool->lock, &deadline);
		pool->n_idle--;
	}
	work = pool->first;
	if (!work)
		return NULL;
	pool->first = work->next;
	if (!pool->first)
		pool->end = &pool->first;
	pool->n_queued--;
	work->begun = true;
	return work;
}

static void run_work(struct task_clock *clock, struct helper_work *work)
{
	int64_t now_ns = clock_mono_ns();

	task_time_begin(clock, &work->time, now_ns);
	task_time_queued(&work->time, work->queued_ns, now_ns);
	work->fn(work->arg);
	task_time_out(clock, &work->time, clock_mono_ns());
}

static void *helper_main(void *arg)
{
	struct helper *helper = arg;
	struct helpers *pool = helper->pool;
	struct helper_work *work;
	struct task_clock clock;

	(void)fault_thread_open(); /* without it only an overrun of the stack goes unnamed */
	task_clock_open(&clock);
	(void)pthread_mutex_lock(&pool->lock); /* a default mutex does not fail */
	while ((work = take_locked(pool))) {
		(void)pthread_mutex_unlock(&pool->lock);
		run_work(&clock, work);
		(void)pthread_mutex_lock(&pool->lock);
		work->on_end(work); /* the work may be gone after this */
	}
	(void)pthread_mutex_unlock(&pool->lock);
	task_clock_close(&clock);
	fault_thread_close();

	(void)pthread_mutex_lock(&pool->lock);
	helper->next = pool->ended;
	pool->ended = helper; /* ownership moves to who joins */
	if (--pool->n_threads == 0)
		(void)pthread_cond_signal(&pool->all_gone);
	(void)pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static int start_locked(struct helpers *pool)
{
	struct helper *helper = calloc(1, sizeof(*helper));
	int r;

	if (!helper)
		return -EAGAIN;
	helper->pool = pool;
	r = pthread_create(&helper->thread, &pool->attr, helper_main, helper); /* it begins by waiting for the lock */
	if (r != 0) {
		free(helper);
		return -EAGAIN;
	}
	pool->n_threads++;
	return 0;
}

static void join_all(struct helper *helper)
{
	while (helper) {
		struct helper *next = helper->next;

		(void)pthread_join(helper->thread, NULL); /* it is joined once, and by nobody else */
		free(helper);
		helper = next;
	}
}

/* ---- The set ---- */

int helpers_open(uint32_t max, int64_t idle_ns, struct helpers **ret_helpers)
{
	struct helpers *pool = calloc(1, sizeof(*pool));
	pthread_condattr_t attr;

	if (!pool)
		return -ENOMEM;
	pool->max = max;
	pool->idle_ns = idle_ns;
	pool->end = &pool->first;
	/* None of these fails with attributes that exist. */
	(void)pthread_attr_init(&pool->attr);
	(void)pthread_attr_setstacksize(&pool->attr, HELPER_STACK_BYTES);
	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&pool->has_work, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_cond_init(&pool->all_gone, NULL);
	*ret_helpers = pool;
	return 0;
}

void helpers_close(struct helpers *pool)
{
	if (!pool)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	(void)pthread_cond_broadcast(&pool->has_work);
	while (pool->n_threads > 0)
		(void)pthread_cond_wait(&pool->all_gone, &pool->lock);
	(void)pthread_mutex_unlock(&pool->lock);
	join_all(pool->ended);
	(void)pthread_cond_destroy(&pool->all_gone); /* nobody waits */
	(void)pthread_cond_destroy(&pool->has_work);
	(void)pthread_mutex_destroy(&pool->lock);
	(void)pthread_attr_destroy(&pool->attr);
	free(pool);
}

/* Take the work out of the queue. False: it is not there. */
static bool unqueue_locked(struct helpers *pool, struct helper_work *work)
{
	struct helper_work **link = &pool->first;

	while (*link && *link != work)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = work->next;
	if (!work->next)
		pool->end = link;
	pool->n_queued--;
	return true;
}

int helpers_run(struct helpers *pool, struct helper_work *work)
{
	struct helper *ended;
	int r = 0;

	work->next = NULL;
	work->begun = false;
	work->queued_ns = clock_mono_ns();
	(void)pthread_mutex_lock(&pool->lock);
	ended = pool->ended;
	pool->ended = NULL;
	*pool->end = work;
	pool->end = &work->next;
	pool->n_queued++;
	if (pool->n_queued > pool->n_idle && pool->n_threads < pool->max && start_locked(pool) < 0 &&
	    pool->n_threads == 0) {
		(void)unqueue_locked(pool, work); /* it is there, and nobody would ever take it */
		r = -EAGAIN;
	}
	(void)pthread_cond_signal(&pool->has_work);
	(void)pthread_mutex_unlock(&pool->lock);
	join_all(ended); /* at once: they have nothing left to do */
	return r;
}

bool helpers_withdraw(struct helpers *pool, struct helper_work *work)
{
	bool taken;

	(void)pthread_mutex_lock(&pool->lock);
	taken = !work->begun && unqueue_locked(pool, work);
	(void)pthread_mutex_unlock(&pool->lock);
	return taken;
}

void helpers_settle(struct helpers *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
	(void)pthread_mutex_unlock(&pool->lock);
}
