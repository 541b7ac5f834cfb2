/* Receive: a task takes its messages, or waits for one. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "worker/runner_private.h"

/* On the host thread, under the lock of the mail. */
static void on_mail(struct mail_waiter *waiter)
{
	struct slot *slot = container_of(waiter, struct slot, mail_waiter);

	/* relaxed: runner_look_mail() orders it */
	atomic_store_explicit(&slot->mailed, true, memory_order_relaxed);
	runner_look_mail(slot->runner);
}

static uint64_t task_number(const struct slot *slot)
{
	return slot->chunk->claim.first + slot->index;
}

void receive_end(struct slot *slot)
{
	free(slot->message);
	slot->message = NULL;
	mail_end(slot->runner->options.mail, slot->chunk->claim.job, task_number(slot));
}

/* Until there is a message or no time is left. */
static int take_or_wait(struct slot *slot, int64_t deadline_ns, struct mail_message **ret_message)
{
	struct mail *mail = slot->runner->options.mail;
	uint64_t job = slot->chunk->claim.job, task = task_number(slot);
	int64_t now_ns;
	int r;

	*ret_message = mail_take(mail, job, task, &slot->mail_waiter, &r);
	if (*ret_message || r < 0)
		return r;
	now_ns = runner_read_clock(slot->runner);
	r = slot_wait(slot, deadline_ns == INT64_MAX ? -1 : deadline_ns > now_ns ? deadline_ns - now_ns : 0);
	mail_stop_waiting(mail, job, task);
	/* relaxed: on_mail() is not called any more, and was ordered by the lock */
	atomic_store_explicit(&slot->mailed, false, memory_order_relaxed);
	if (r == -ECANCELED || r == -ENOMEM)
		return r;
	*ret_message = mail_take(mail, job, task, NULL, &(int){ 0 }); /* also one that came as the time was over */
	return *ret_message ? 0 : r;
}

int host_receive(struct concd_task *task, int64_t timeout_ns, const void **ret_data, size_t *ret_len)
{
	struct slot *slot = (struct slot *)task;
	struct mail_message *message = NULL;
	int64_t deadline_ns = INT64_MAX;
	int r = slot_may_wait(slot);

	if (r < 0)
		return r;
	if (timeout_ns >= 0 && __builtin_add_overflow(runner_now(slot->runner), timeout_ns, &deadline_ns))
		deadline_ns = INT64_MAX;
	slot->mail_waiter.on_mail = on_mail;
	free(slot->message);
	slot->message = NULL;
	while (!message) {
		r = take_or_wait(slot, deadline_ns, &message);
		if (r < 0)
			return r;
	}
	slot->message = message;
	*ret_data = message->data;
	if (ret_len)
		*ret_len = message->len;
	return 0;
}
