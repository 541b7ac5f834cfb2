/* Showing the daemon what was recorded, and the runner's sleep. */
#include <unistd.h>

#include "ring/futex.h"
#include "ring/worker_private.h"

/* The daemon naps: is there a reason to wake it before it wakes by itself? All loads relaxed: hints, for which it does not
 * wait longer than that. */
static bool is_pressing(struct worker_ring *ring, struct worker_runner *me, uint32_t flag)
{
	uint64_t head = atomic_load_explicit(&ring->control->submit_head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->control->submit_tail, memory_order_relaxed);

	if (flag < SHARED_NAPPING || tail <= head || tail - head <= flag - SHARED_NAPPING)
		return true;
	return me->tail - me->head_seen > ring->geometry.ring_bytes / 2 &&
	       me->tail - atomic_load_explicit(&me->shared->head, memory_order_relaxed) > ring->geometry.ring_bytes / 2;
}

void ring_publish(struct worker_ring *ring, uint32_t runner)
{
	struct worker_runner *me = &ring->runners[runner];
	uint64_t one = 1;
	uint32_t flag;

	if (me->published == me->tail)
		return;
	me->published = me->tail;
	/* seq_cst: release for the records; and before the look at the flag, which the daemon sets before it looks at
	 * the tails: one of the two sees the other */
	atomic_store_explicit(&me->shared->advertised_tail, me->tail, memory_order_seq_cst);
	flag = atomic_load_explicit(&ring->control->daemon_asleep, memory_order_seq_cst);
	if (flag == 0 || !is_pressing(ring, me, flag))
		return;
	/* Of all runners that see the flag one writes. relaxed: the tail is published already */
	if (atomic_exchange_explicit(&ring->control->daemon_asleep, 0, memory_order_relaxed) != 0)
		(void)!write(ring->event_fd, &one, sizeof(one)); /* full or gone: readable, or nobody to wake */
}

static void clear_idle(struct worker_ring *ring, uint32_t runner)
{
	/* acq_rel: where the daemon cleared it first to wake us, see what it submitted */
	(void)atomic_fetch_and_explicit(&ring->control->idle[runner / 64], ~(UINT64_C(1) << runner % 64),
					memory_order_acq_rel);
}

bool ring_sleep_begin(struct worker_ring *ring, uint32_t runner, bool in_base)
{
	struct worker_runner *me = &ring->runners[runner];
	uint64_t head, entry, word;

	/* acquire: what the waker did before it counted up. Read before the looks below: a wake after them changes
	 * it. */
	me->futex_seen = atomic_load_explicit(&me->shared->futex, memory_order_acquire);
	/* acquire: what the kicker did before */
	if (atomic_exchange_explicit(&me->kicked, 0, memory_order_acquire) != 0)
		return false;
	/* relaxed: the bit publishes it */
	atomic_store_explicit(&me->shared->sleep_kind, in_base ? SHARED_IN_BASE : SHARED_ON_FUTEX,
			      memory_order_relaxed);
	/* seq_cst: before the look at the submission tail, which the daemon moves before it looks at the bits */
	(void)atomic_fetch_or_explicit(&ring->control->idle[runner / 64], UINT64_C(1) << runner % 64,
				       memory_order_seq_cst);
	if (!submission_peek(ring, &head, &entry, &word))
		return true;
	clear_idle(ring, runner);
	return false;
}

void ring_sleep_futex(struct worker_ring *ring, uint32_t runner)
{
	struct worker_runner *me = &ring->runners[runner];

	futex_wait(&me->shared->futex, me->futex_seen, NULL);
}

void ring_sleep_end(struct worker_ring *ring, uint32_t runner)
{
	struct worker_runner *me = &ring->runners[runner];

	clear_idle(ring, runner);
	/* acquire: what the kicker did before. The caller looks at all its work now, so the kick is noticed. */
	(void)atomic_exchange_explicit(&me->kicked, 0, memory_order_acquire);
}

void ring_kick(struct worker_ring *ring, uint32_t runner)
{
	struct worker_runner *me = &ring->runners[runner];

	/* release: what we did before is seen by the runner that notices */
	atomic_store_explicit(&me->kicked, 1, memory_order_release);
	/* release: likewise, for a runner that has looked at the flag already */
	(void)atomic_fetch_add_explicit(&me->shared->futex, 1, memory_order_release); /* only the change counts */
	futex_wake(&me->shared->futex);
}
