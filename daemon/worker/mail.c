/* Inboxes, found by job and task. */
#include "mail.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct address {
	uint64_t job, task;
};

struct inbox {
	struct address address;
	struct mail_message *first, **end;
	uint32_t n;
	size_t bytes;
	struct mail_waiter *waiter; /* NULL: nobody waits, or was told */
	UT_hash_handle hh;
};

struct mail {
	_Atomic uint32_t n_inboxes; /* written under the lock; 0: mail_end() has nothing to look for */
	pthread_mutex_t lock;

	/* Under the lock. */
	struct inbox *inboxes;
	size_t bytes;
};

int mail_open(struct mail **ret_mail)
{
	struct mail *mail = calloc(1, sizeof(*mail));

	if (!mail)
		return -ENOMEM;
	(void)pthread_mutex_init(&mail->lock, NULL); /* cannot fail with default attributes */
	*ret_mail = mail;
	return 0;
}

static void count_locked(struct mail *mail)
{
	/* relaxed: whoever put a message for a task, or waits as that task, is ordered with the task's end by other
	 * means, or the message is one that came as the task ended */
	atomic_store_explicit(&mail->n_inboxes, HASH_COUNT(mail->inboxes), memory_order_relaxed);
}

static struct inbox *find_locked(struct mail *mail, uint64_t job, uint64_t task)
{
	const struct address address = { .job = job, .task = task };
	struct inbox *inbox;

	HASH_FIND(hh, mail->inboxes, &address, sizeof(address), inbox);
	return inbox;
}

static struct inbox *get_locked(struct mail *mail, uint64_t job, uint64_t task)
{
	struct inbox *inbox = find_locked(mail, job, task);

	if (inbox)
		return inbox;
	inbox = calloc(1, sizeof(*inbox));
	if (!inbox)
		return NULL;
	inbox->address = (struct address){ .job = job, .task = task };
	inbox->end = &inbox->first;
	HASH_ADD(hh, mail->inboxes, address, sizeof(inbox->address), inbox);
	count_locked(mail);
	return inbox;
}

static void drop_locked(struct mail *mail, struct inbox *inbox)
{
	while (inbox->first) {
		struct mail_message *message = inbox->first;

		inbox->first = message->next;
		free(message);
	}
	mail->bytes -= inbox->bytes;
	HASH_DEL(mail->inboxes, inbox);
	free(inbox);
	count_locked(mail);
}

static void drop_if_unused_locked(struct mail *mail, struct inbox *inbox)
{
	if (!inbox->first && !inbox->waiter)
		drop_locked(mail, inbox);
}

void mail_close(struct mail *mail)
{
	if (!mail)
		return;
	while (mail->inboxes)
		drop_locked(mail, mail->inboxes);
	(void)pthread_mutex_destroy(&mail->lock); /* nobody holds it */
	free(mail);
}

static int put_locked(struct mail *mail, uint64_t job, uint64_t task, struct mail_message *message)
{
	struct inbox *inbox;

	if (mail->bytes + message->len > MAIL_MAX_ALL_BYTES)
		return -EBUSY;
	inbox = get_locked(mail, job, task);
	if (!inbox)
		return -ENOMEM;
	if (inbox->n >= MAIL_MAX_MESSAGES || inbox->bytes + message->len > MAIL_MAX_BYTES)
		return -EBUSY;
	*inbox->end = message;
	inbox->end = &message->next;
	inbox->n++;
	inbox->bytes += message->len;
	mail->bytes += message->len;
	if (inbox->waiter) {
		struct mail_waiter *waiter = inbox->waiter;

		inbox->waiter = NULL;
		waiter->on_mail(waiter);
	}
	return 0;
}

int mail_put(struct mail *mail, uint64_t job, uint64_t task, const void *data, size_t len)
{
	struct mail_message *message = malloc(sizeof(*message) + len + 1);
	int r;

	if (!message)
		return -ENOMEM;
	message->next = NULL;
	message->len = len;
	if (len > 0)
		memcpy(message->data, data, len);
	message->data[len] = '\0';
	(void)pthread_mutex_lock(&mail->lock); /* a default mutex does not fail */
	r = put_locked(mail, job, task, message); /* the message is the inbox's where it is 0 */
	(void)pthread_mutex_unlock(&mail->lock);
	if (r < 0)
		free(message);
	return r;
}

void mail_forget(struct mail *mail, uint64_t job)
{
	struct inbox *inbox, *next;

	(void)pthread_mutex_lock(&mail->lock);
	HASH_ITER(hh, mail->inboxes, inbox, next) {
		if (inbox->address.job == job && !inbox->waiter)
			drop_locked(mail, inbox);
	}
	(void)pthread_mutex_unlock(&mail->lock);
}

static struct mail_message *take_locked(struct mail *mail, struct inbox *inbox)
{
	struct mail_message *message = inbox->first;

	inbox->first = message->next;
	if (!inbox->first)
		inbox->end = &inbox->first;
	inbox->n--;
	inbox->bytes -= message->len;
	mail->bytes -= message->len;
	drop_if_unused_locked(mail, inbox);
	return message;
}

struct mail_message *mail_take(struct mail *mail, uint64_t job, uint64_t task, struct mail_waiter *waiter,
			       int *ret_error)
{
	struct mail_message *message = NULL;
	struct inbox *inbox;
	int r = 0;

	(void)pthread_mutex_lock(&mail->lock);
	inbox = waiter ? get_locked(mail, job, task) : find_locked(mail, job, task);
	if (inbox && inbox->first)
		message = take_locked(mail, inbox);
	else if (inbox && waiter)
		inbox->waiter = waiter;
	else if (waiter)
		r = -ENOMEM;
	(void)pthread_mutex_unlock(&mail->lock);
	*ret_error = r;
	return message;
}

void mail_stop_waiting(struct mail *mail, uint64_t job, uint64_t task)
{
	struct inbox *inbox;

	(void)pthread_mutex_lock(&mail->lock);
	inbox = find_locked(mail, job, task);
	if (inbox) {
		inbox->waiter = NULL;
		drop_if_unused_locked(mail, inbox);
	}
	(void)pthread_mutex_unlock(&mail->lock);
}

void mail_end(struct mail *mail, uint64_t job, uint64_t task)
{
	struct inbox *inbox;

	if (atomic_load_explicit(&mail->n_inboxes, memory_order_relaxed) == 0) /* see count_locked() */
		return;
	(void)pthread_mutex_lock(&mail->lock);
	inbox = find_locked(mail, job, task);
	if (inbox)
		drop_locked(mail, inbox);
	(void)pthread_mutex_unlock(&mail->lock);
}
