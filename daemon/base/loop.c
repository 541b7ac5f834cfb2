/* The control loop: an event base and an eventfd behind which posted calls queue.
 *
 * The queue is a lock-free stack that the loop takes whole and turns round. A poster writes to the eventfd only when it
 * finds the stack empty: the write and the taking meet at the head's exchange, so no call is left behind unseen.
 */
#include "loop.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"

/* Where yielding takes longer, others have work for the processor: for a while the loop sleeps rather, because who wakes up goes
 * ahead of them and who yields does not. */
#define BUSY_NS (200 * NS_PER_US)
#define BUSY_REST_NS (100 * NS_PER_MS)

struct loop {
	struct event_base *base;
	struct event *wake_event;
	int wake_fd;
	bool stopped;
	int64_t awake_until_ns; /* 0: it may sleep */
	int64_t busy_until_ns; /* until then it does not stay awake */

	/* Posted by any thread, taken by the loop thread. */
	_Atomic(struct loop_call *) posted;
};

static void run_posted(struct loop *loop)
{
	/* acquire: what the poster wrote before its release exchange is seen by fn */
	struct loop_call *call = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
	struct loop_call *first = NULL;

	while (call) { /* newest first: turn round */
		struct loop_call *next = call->next;

		call->next = first;
		first = call;
		call = next;
	}
	while (first) {
		call = first;
		first = call->next;
		call->fn(call);
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what; /* only ever readable */
	(void)!read(fd, &count, sizeof(count)); /* the count says nothing that the stack does not */
	run_posted(arg);
}

int loop_open(struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int r = -ENOMEM;

	if (!loop)
		return -ENOMEM;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		r = -errno;
		goto fail;
	}
	loop->base = event_base_new();
	if (!loop->base)
		goto fail;
	loop->wake_event = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
	if (!loop->wake_event || event_add(loop->wake_event, NULL) < 0)
		goto fail;
	*ret_loop = loop;
	return 0;
fail:
	loop_close(loop);
	return r;
}

void loop_close(struct loop *loop)
{
	if (!loop)
		return;
	run_posted(loop);
	if (loop->wake_event)
		event_free(loop->wake_event);
	if (loop->base)
		event_base_free(loop->base);
	if (loop->wake_fd >= 0)
		(void)close(loop->wake_fd); /* an eventfd has nothing to lose */
	free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

static bool is_over(const struct loop *loop)
{
	return loop->stopped || event_base_got_exit(loop->base);
}

bool loop_is_busy(const struct loop *loop, int64_t now_ns)
{
	return now_ns < loop->busy_until_ns;
}

/* Turn after turn without sleep, while that is wanted. */
static int run_awake(struct loop *loop)
{
	int r = 0;

	while (r >= 0 && !is_over(loop) && loop->awake_until_ns > 0) {
		int64_t before_ns = clock_mono_ns(), after_ns;

		(void)sched_yield(); /* never fails */
		after_ns = clock_mono_ns();
		if (after_ns - before_ns > BUSY_NS)
			loop->busy_until_ns = after_ns + BUSY_REST_NS;
		if (after_ns >= loop->awake_until_ns || loop_is_busy(loop, after_ns))
			loop->awake_until_ns = 0;
		/* Sooner than by way of the eventfd; relaxed: only whether to look. */
		if (atomic_load_explicit(&loop->posted, memory_order_relaxed))
			run_posted(loop);
		r = event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_NONBLOCK);
	}
	return r;
}

int loop_run(struct loop *loop)
{
	int r;

	loop->stopped = false;
	do {
		r = event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
		if (r >= 0)
			r = run_awake(loop);
	} while (r >= 0 && !is_over(loop));
	return r < 0 ? -EIO : 0;
}

void loop_stay_awake(struct loop *loop, int64_t ns)
{
	int64_t now_ns = clock_mono_ns();

	if (loop_is_busy(loop, now_ns))
		return;
	if (loop->awake_until_ns == 0)
		(void)event_base_loopbreak(loop->base); /* out of the loop that sleeps, into the other one */
	loop->awake_until_ns = now_ns + ns;
}

void loop_may_sleep(struct loop *loop)
{
	loop->awake_until_ns = 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
	(void)event_base_loopbreak(loop->base); /* fails only for a NULL base */
}

void loop_post(struct loop *loop, struct loop_call *call)
{
	const uint64_t one = 1;
	/* relaxed: only compared; the exchange below publishes */
	struct loop_call *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);

	do {
		call->next = head;
		/* release: pairs with the acquire in run_posted() */
	} while (!atomic_compare_exchange_weak_explicit(&loop->posted, &head, call, memory_order_release,
							memory_order_relaxed));
	if (!head)
		(void)!write(loop->wake_fd, &one, sizeof(one)); /* full only if a wake-up is pending anyway */
}
