/* Offload: a task waits while its function runs on a helper thread.
 *
 * What is said of the function lies on the task's stack, so the task never goes on before it has ended: a cancelled one
 * waits on, and only work that no helper has begun is taken back. The helper pushes what has ended on the runner's
 * stack of such, as resume.c does with wakers; the runner takes the stack whole.
 */
#include <errno.h>

#include "worker/runner_private.h"

struct offload {
	struct helper_work work; /* first */
	struct slot *slot;
	void (*fn)(void *arg);
	void *arg;
	struct offload *next; /* in the runner's stack */
	bool ended; /* the runner's thread */
};

static _Thread_local struct slot *served; /* by this helper */

struct slot *offload_of_thread(void)
{
	return served;
}

static void run_offloaded(void *arg)
{
	struct offload *offload = arg;

	served = offload->slot;
	offload->fn(offload->arg);
	served = NULL;
}

static void on_end(struct helper_work *work)
{
	struct offload *offload = (struct offload *)work;
	struct runner *runner = offload->slot->runner;
	struct offload *head = atomic_load_explicit(&runner->offloaded, memory_order_relaxed); /* only compared */

	do {
		offload->next = head;
		/* seq_cst: before the look at `asleep` in runner_wake(), and publishes what fn has done */
	} while (!atomic_compare_exchange_weak_explicit(&runner->offloaded, &head, offload, memory_order_seq_cst,
							memory_order_relaxed));
	/* The offload may be gone; the runner stays until helpers_settle() has passed our lock. */
	runner_wake(runner);
}

bool offload_has_ended(const struct runner *runner)
{
	/* seq_cst: after `asleep` was stored, where the runner is about to sleep */
	return atomic_load_explicit(&runner->offloaded, memory_order_seq_cst) != NULL;
}

void offload_take_ended(struct runner *runner)
{
	struct offload *offload;

	if (!offload_has_ended(runner))
		return;
	/* acquire: next, and what fn has done */
	offload = atomic_exchange_explicit(&runner->offloaded, NULL, memory_order_acquire);
	while (offload) {
		struct offload *next = offload->next;

		offload->ended = true;
		slot_wake(offload->slot, 0);
		offload = next;
	}
}

/* The helper may have begun before the task left its thread: of two processors at once, one counts, so that cpu and runq
 * never exceed wall. */
static void add_time(struct task_time *time, const struct task_time *helper)
{
	int64_t room = time->in_ns - time->begin_ns - time->cpu_ns - time->runq_ns;
	int64_t cpu = helper->cpu_ns < room ? helper->cpu_ns : room, runq;

	cpu = cpu > 0 ? cpu : 0;
	runq = helper->runq_ns < room - cpu ? helper->runq_ns : room - cpu;
	time->cpu_ns += cpu;
	time->runq_ns += runq > 0 ? runq : 0;
}

int host_offload(struct concd_task *task, void (*fn)(void *arg), void *arg)
{
	struct slot *slot = (struct slot *)task;
	struct helpers *helpers;
	struct offload offload = {
		.work = { .fn = run_offloaded, .on_end = on_end }, .slot = slot, .fn = fn, .arg = arg,
	};
	int r = slot_may_wait(slot);

	if (r < 0)
		return r;
	helpers = slot->runner->options.helpers;
	offload.work.arg = &offload;
	r = helpers_run(helpers, &offload.work);
	if (r < 0)
		return r;
	while (!offload.ended) {
		(void)slot_wait(slot, -1); /* woken by the end, or by a cancel, which is asked for below */
		if (!offload.ended && task_cancelled(slot) && helpers_withdraw(helpers, &offload.work))
			return -ECANCELED;
	}
	add_time(&slot->time, &offload.work.time);
	return task_cancelled(slot) ? -ECANCELED : 0;
}
