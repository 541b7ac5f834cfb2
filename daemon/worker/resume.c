/* Suspend and resume: handles that outlive their task, posted from any thread.
 *
 * A task has one waker, made when the first handle is asked for; every handle is a counted reference to it, and the
 * task holds one itself. resume() marks the waker as posted and pushes it on its runner's stack; only the one who marks it
 * pushes, so a waker is in the stack once at most. The runner takes the stack whole, unmarks each (before it looks at
 * the task, so a resume from then on pushes again) and wakes the task if it is still there. Once a waker is pushed the
 * task may go on, end and free every handle: from there on host_resume() looks at the runner only, which counts it.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "worker/runner_private.h"

struct waker {
	_Atomic uint32_t refs; /* handles, the task, and one while posted */
	_Atomic bool posted;
	struct waker *next; /* in the stack of posted wakers, owned by who marked it */
	struct runner *runner;
	struct slot *slot; /* the runner's thread only; NULL: the task ended */
};

static void waker_ref(struct waker *waker)
{
	/* relaxed: the caller holds a reference already */
	(void)atomic_fetch_add_explicit(&waker->refs, 1, memory_order_relaxed);
}

static void waker_unref(struct waker *waker)
{
	/* acq_rel: whoever frees has seen what all others did with it */
	if (atomic_fetch_sub_explicit(&waker->refs, 1, memory_order_acq_rel) == 1)
		free(waker);
}

struct concd_resumer *host_resumer(struct concd_task *task)
{
	struct slot *slot = (struct slot *)task;

	if (runner_of_thread() != slot->runner)
		return NULL;
	if (!slot->waker) {
		struct waker *waker = calloc(1, sizeof(*waker));

		if (!waker)
			return NULL;
		waker->refs = 1; /* the task's */
		waker->runner = slot->runner;
		waker->slot = slot;
		slot->waker = waker;
		slot->unusual = true;
	}
	waker_ref(slot->waker);
	return (struct concd_resumer *)(void *)slot->waker;
}

void host_resumer_free(struct concd_resumer *resumer)
{
	if (resumer)
		waker_unref((struct waker *)(void *)resumer);
}

/* On the runner's thread: what a resume does. */
static void deliver(struct waker *waker)
{
	struct slot *slot = waker->slot;

	if (!slot)
		return;
	slot->resumed = true;
	if (slot->in_suspend)
		slot_wake(slot, 0);
}

void host_resume(struct concd_resumer *resumer)
{
	struct waker *waker = (struct waker *)(void *)resumer;
	struct runner *runner = waker->runner;
	struct waker *head;

	if (runner_of_thread() == runner) {
		deliver(waker);
		return;
	}
	/* acq_rel: what the caller wrote before is seen by the task, also where an earlier resume is still posted: the
	 * runner's exchange reads the last of these */
	if (atomic_exchange_explicit(&waker->posted, true, memory_order_acq_rel))
		return;
	waker_ref(waker);
	/* relaxed: before the push, whose taker's thread runner_free() joins */
	(void)atomic_fetch_add_explicit(&runner->resuming, 1, memory_order_relaxed);
	head = atomic_load_explicit(&runner->posted, memory_order_relaxed); /* only compared */
	do {
		waker->next = head;
		/* seq_cst: before the look at `asleep` in runner_wake(), and publishes next */
	} while (!atomic_compare_exchange_weak_explicit(&runner->posted, &head, waker, memory_order_seq_cst,
							memory_order_relaxed));
	if (!head) /* else whoever posted on the empty stack wakes the runner */
		runner_wake(runner);
	/* release: the last that is done to the runner here; see resume_settle() */
	(void)atomic_fetch_sub_explicit(&runner->resuming, 1, memory_order_release);
}

/* Who pushed may still be about to wake a runner that found the waker by itself, and has ended since. */
void resume_settle(const struct runner *runner)
{
	while (atomic_load_explicit(&runner->resuming, memory_order_acquire) > 0) /* all they did to it is done */
		(void)sched_yield(); /* never fails here; they are a system call from the end */
}

bool resume_has_posted(const struct runner *runner)
{
	/* seq_cst: after `asleep` was stored, where the runner is about to sleep */
	return atomic_load_explicit(&runner->posted, memory_order_seq_cst) != NULL;
}

void resume_take_posted(struct runner *runner)
{
	struct waker *waker, *first = NULL;

	if (!resume_has_posted(runner))
		return;
	/* acquire: next and what lies behind it */
	waker = atomic_exchange_explicit(&runner->posted, NULL, memory_order_acquire);
	while (waker) { /* newest first: turn round, so that tasks go on in the order of their resumes */
		struct waker *next = waker->next;

		waker->next = first;
		first = waker;
		waker = next;
	}
	while (first) {
		waker = first;
		first = waker->next; /* before it may be pushed again */
		(void)atomic_exchange_explicit(&waker->posted, false, memory_order_acq_rel); /* see host_resume() */
		deliver(waker);
		waker_unref(waker);
	}
}

void resume_detach(struct slot *slot)
{
	slot->waker->slot = NULL;
	waker_unref(slot->waker);
	slot->waker = NULL;
}

int host_suspend(struct concd_task *task, int64_t timeout_ns)
{
	struct slot *slot = (struct slot *)task;
	int r;

	if (!slot_on_its_stack(slot))
		return -EPERM;
	if (task_cancelled(slot))
		return -ECANCELED;
	if (!slot->resumed) {
		slot->in_suspend = true;
		r = slot_wait(slot, timeout_ns);
		slot->in_suspend = false;
		if (r < 0)
			return r;
	}
	slot->resumed = false;
	return 0;
}
