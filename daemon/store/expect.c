/* Who stays awake for whom. A processor that sleeps takes 25 microseconds to wake up, as long as the work that a submission
 * is for a thread; so a thread looks for what is about to come instead of sleeping:
 *
 *	submission --parse--> op --commit--> answer --the client--> next submission
 *	   writer, for the op  |   control thread,  |  both, where the last one came as fast
 *	                       |   for the commit   |
 *
 * Each for a bounded time, and yielding the processor with each look, so that whoever has work goes first.
 */
#include "private.h"

#include <sched.h>

#include "base/clock.h"

#define EXPECT_NS (100 * NS_PER_US) /* parsing a request takes 20 on an idle machine, waking a thread 25 */
#define COMMIT_NS (250 * NS_PER_US) /* that of a small job takes half of it on a fast disk; on a slow one waking up does not matter */
#define NEXT_NS (100 * NS_PER_US) /* a client that only waited for the answer takes 50 */

void store_expect(struct store *store)
{
	int64_t now_ns = clock_mono_ns();
	bool wake;

	pthread_mutex_lock(&store->lock);
	store->in_a_row = store->answered_ns > 0 && now_ns - store->answered_ns < NEXT_NS && !loop_is_busy(store->loop, now_ns);
	wake = store->writer_waits;
	if (wake) {
		store->writer_waits = false;
		store->expected_ns = now_ns + EXPECT_NS;
	}
	pthread_mutex_unlock(&store->lock);
	store->answered_ns = 0;
	if (wake)
		pthread_cond_signal(&store->writer_wake);
}

void expect_commit(struct store *store, bool lone)
{
	store->answered_ns = 0;
	if (lone)
		loop_stay_awake(store->loop, COMMIT_NS); /* who submitted it waits; to wake up takes longer than to answer */
	else
		loop_may_sleep(store->loop); /* there is enough to do */
}

void expect_answered(struct store *store)
{
	store->answered_ns = clock_mono_ns();
	if (store->in_a_row) /* written by this thread only */
		loop_stay_awake(store->loop, NEXT_NS);
}

void expect_next(struct store *store)
{
	if (store->in_a_row)
		store->expected_ns = clock_mono_ns() + NEXT_NS;
}

void expect_over(struct store *store)
{
	/* relaxed: only a reason to look, which is done with the lock */
	atomic_fetch_add_explicit(&store->n_calls, 1, memory_order_relaxed);
}

void expect_await(struct store *store)
{
	while (!store->ops.first && !store->stop && !store->closing && clock_mono_ns() < store->expected_ns) {
		unsigned int seen = atomic_load_explicit(&store->n_calls, memory_order_relaxed); /* raised with the lock */
		int64_t until_ns = store->expected_ns;

		pthread_mutex_unlock(&store->lock);
		while (atomic_load_explicit(&store->n_calls, memory_order_relaxed) == seen && clock_mono_ns() < until_ns)
			(void)sched_yield(); /* never fails; who has work goes first */
		pthread_mutex_lock(&store->lock);
	}
	store->expected_ns = 0;
}
