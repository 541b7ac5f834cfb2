/* The functions of a task that let others go on. */
#include <errno.h>
#include <limits.h>

#include <event2/event.h>

#include "worker/runner_private.h"

bool slot_on_its_stack(const struct slot *slot)
{
	struct runner *runner = runner_of_thread();

	return runner && runner == slot->runner && runner->current == slot;
}

void slot_make_ready(struct slot *slot)
{
	struct runner *runner = slot->runner;

	slot->state = SLOT_READY;
	slot->ready_ns = runner_now(runner);
	slot->next = NULL;
	if (runner->ready_last)
		runner->ready_last->next = slot;
	else
		runner->ready_first = slot;
	runner->ready_last = slot;
	runner->n_ready++;
}

void slot_wake(struct slot *slot, int result)
{
	if (slot->state != SLOT_WAITING)
		return;
	slot->wait_result = result;
	slot_make_ready(slot);
}

/* Switch to the loop; back once the loop enters this slot again. */
static void leave(struct slot *slot)
{
	struct runner *runner = slot->runner;
	int64_t now_ns = runner_read_clock(runner);

	task_time_out(&runner->clock, &slot->time, now_ns);
	slot->ready_ns = now_ns; /* of a task that only yields; others become ready later */
	turn_end(runner, now_ns);
	coroutine_leave(&slot->co);
}

int slot_wait(struct slot *slot, int64_t timeout_ns)
{
	struct runner *runner = slot->runner;

	if (timeout_ns >= 0) {
		int64_t now_ns = runner_read_clock(runner);
		struct timer timer = {
			.at_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns,
			.slot = slot->number,
			.number = slot->wait_number,
		};

		if (timers_add(&runner->timers, &timer) < 0)
			return -ENOMEM;
	}
	slot->state = SLOT_WAITING;
	leave(slot);
	slot->wait_number++; /* its timer, if still there, is stale */
	return slot->wait_result;
}

int slot_may_wait(const struct slot *slot)
{
	if (!slot_on_its_stack(slot))
		return -EPERM;
	return task_cancelled(slot) ? -ECANCELED : 0;
}

int host_sleep(struct concd_task *task, int64_t duration_ns)
{
	struct slot *slot = (struct slot *)task;
	int r = slot_may_wait(slot);

	if (r < 0)
		return r;
	r = slot_wait(slot, duration_ns > 0 ? duration_ns : 0);
	return r == -ETIMEDOUT ? 0 : r; /* which is what a sleep waits for */
}

int host_yield(struct concd_task *task)
{
	struct slot *slot = (struct slot *)task;
	int r = slot_may_wait(slot);

	if (r < 0)
		return r;
	slot_make_ready(slot);
	leave(slot);
	return task_cancelled(slot) ? -ECANCELED : 0;
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct slot *slot = arg;
	int ready = (what & EV_READ ? CONCD_READ : 0) | (what & EV_WRITE ? CONCD_WRITE : 0);

	(void)fd; /* the waiting task knows it */
	slot_wake(slot, ready);
}

int host_wait_fd(struct concd_task *task, int fd, int events, int64_t timeout_ns)
{
	struct slot *slot = (struct slot *)task;
	short what = (short)((events & CONCD_READ ? EV_READ : 0) | (events & CONCD_WRITE ? EV_WRITE : 0));
	int r = slot_may_wait(slot);

	if (r < 0)
		return r;
	if (fd < 0)
		return -EBADF;
	if (what == 0)
		return -EINVAL;
	if (!slot->fd_event)
		slot->fd_event = event_new(slot->runner->base, fd, what, on_fd, slot);
	else if (event_assign(slot->fd_event, slot->runner->base, fd, what, on_fd, slot) < 0)
		return -EINVAL; /* cannot happen: the event is not pending */
	if (!slot->fd_event)
		return -ENOMEM;
	errno = 0;
	if (event_add(slot->fd_event, NULL) < 0)
		return errno ? -errno : -ENOMEM;
	r = slot_wait(slot, timeout_ns);
	(void)event_del(slot->fd_event); /* it may have fired already */
	return r;
}
