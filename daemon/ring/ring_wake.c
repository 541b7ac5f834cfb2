/* Waking idle runners, and the daemon's own sleep. Neither side spins; a side that sleeps says so first and then
 * looks once more, with sequentially consistent accesses, so that no wake-up is lost. */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#include "ring/futex.h"
#include "ring/ring_private.h"

#define NAP_CHUNKS 4 /* so many for each runner are worth a nap */

static void write_event(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;

	/* The descriptor came from the worker, which could have filled its counter and made it block. Where it cannot
	 * be written now it is readable already, and that is all we want. */
	if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT))
		(void)!write(fd, &one, sizeof(one)); /* fails only for a descriptor that its worker spoilt */
}

/* Wake a runner whose idle bit we cleared. */
static void wake_runner(struct ring *ring, uint32_t runner)
{
	struct shared_runner *shared = &ring->shared_runners[runner];
	/* relaxed: it was written before the bit that we took with acquire; a newer value belongs to a sleep that
	 * begins with a look at the tail after our clearing of the bit, and needs no wake */
	uint32_t kind = atomic_load_explicit(&shared->sleep_kind, memory_order_relaxed);

	/* release: a runner that finds it changed sees the submission */
	(void)atomic_fetch_add_explicit(&shared->futex, 1, memory_order_release); /* only the change counts */
	if (kind == SHARED_IN_BASE)
		write_event(ring->runners[runner].event_fd);
	else
		futex_wake(&shared->futex);
}

static uint64_t runner_bits(const struct ring *ring, uint32_t word)
{
	uint32_t rest = ring->geometry.n_runners - word * 64;

	return task_bits(rest);
}

void ring_wake(struct ring *ring, uint32_t n)
{
	uint32_t words = (ring->geometry.n_runners + 63) / 64;

	for (uint32_t i = 0; i < words && n > 0; i++) {
		/* seq_cst: after the store of the tail, see ring_submit() */
		uint64_t idle = atomic_load_explicit(&ring->control->idle[i], memory_order_seq_cst);

		for (idle &= runner_bits(ring, i); idle && n > 0; idle &= idle - 1) {
			uint64_t bit = idle & -idle;
			uint32_t runner = i * 64 + (uint32_t)__builtin_ctzll(idle);
			uint64_t was;

			/* Its ready message is on the way; ring_set_runner_fd() wakes it. relaxed: a hint, the runner
			 * keeps its bit */
			if (ring->runners[runner].event_fd < 0 &&
			    atomic_load_explicit(&ring->shared_runners[runner].sleep_kind, memory_order_relaxed) ==
				    SHARED_IN_BASE)
				continue;
			/* acq_rel: see what the runner wrote before it set the bit; and let a runner that sets it again
			 * see the submission */
			was = atomic_fetch_and_explicit(&ring->control->idle[i], ~bit, memory_order_acq_rel);
			if (!(was & bit))
				continue; /* awake by itself, and looks */
			wake_runner(ring, runner);
			n--;
		}
	}
}

void ring_wake_all(struct ring *ring)
{
	ring_wake(ring, UINT32_MAX);
}

uint32_t ring_idle_runners(const struct ring *ring)
{
	uint32_t n = 0, words = (ring->geometry.n_runners + 63) / 64;

	for (uint32_t i = 0; i < words; i++) {
		/* relaxed: a hint */
		uint64_t idle = atomic_load_explicit(&ring->control->idle[i], memory_order_relaxed);

		n += (uint32_t)__builtin_popcountll(idle & runner_bits(ring, i));
	}
	return n;
}

void ring_set_runner_fd(struct ring *ring, uint32_t runner, int fd)
{
	assert(runner < ring->geometry.n_runners);
	ring->runners[runner].event_fd = fd;
	/* It may be asleep in its base since before we knew how to wake it. */
	if (fd >= 0)
		write_event(fd);
}

/* Is there something that was not collected? */
static bool has_news(const struct ring *ring, uint32_t runner, bool precisely)
{
	const struct runner_meta *meta = &ring->runners[runner];
	const struct shared_runner *shared = &ring->shared_runners[runner];

	/* seq_cst: after the store of the sleep flag, see prepare() */
	if (atomic_load_explicit(&shared->advertised_tail, memory_order_seq_cst) != meta->advertised)
		return true;
	/* acquire: the records before it */
	return precisely && atomic_load_explicit(&shared->precise_tail, memory_order_acquire) != meta->head;
}

static bool prepare(struct ring *ring, uint32_t flag, bool precisely)
{
	/* seq_cst: before the looks at the tails below; a runner advertises and then looks at this flag, so that one of
	 * the two sees the other */
	atomic_store_explicit(&ring->control->daemon_asleep, flag, memory_order_seq_cst);
	for (uint32_t i = 0; i < ring->geometry.n_runners; i++) {
		struct runner_meta *meta = &ring->runners[i];

		if (meta->broken || !has_news(ring, i, precisely))
			continue;
		meta->look_precise = precisely;
		/* relaxed: a worker that saw the flag set writes to the eventfd once for nothing */
		atomic_store_explicit(&ring->control->daemon_asleep, 0, memory_order_relaxed);
		return false;
	}
	return true;
}

bool ring_prepare_sleep(struct ring *ring)
{
	return prepare(ring, SHARED_ASLEEP, true);
}

bool ring_has_backlog(const struct ring *ring)
{
	return ring_unclaimed_chunks(ring) >= NAP_CHUNKS * ring->geometry.n_runners;
}

bool ring_prepare_nap(struct ring *ring, bool precisely)
{
	bool backlog = ring_has_backlog(ring);

	return prepare(ring, backlog ? SHARED_NAPPING + ring_unclaimed_chunks(ring) / 2 : SHARED_ASLEEP, precisely);
}

void ring_awake(struct ring *ring)
{
	uint64_t count;
	struct iovec into = { .iov_base = &count, .iov_len = sizeof(count) };

	/* relaxed: a worker that still sees it set writes to the eventfd once for nothing */
	atomic_store_explicit(&ring->control->daemon_asleep, 0, memory_order_relaxed);
	/* RWF_NOWAIT: the workers share the open file and could have made it blocking. Nothing there is as good. */
	(void)!preadv2(ring->event_fd, &into, 1, -1, RWF_NOWAIT);
}
