/* Messages to tasks: what `concctl send` addressed to a task of this process and the task has not received yet.
 *
 * The host thread puts messages in while the task may be computing; concd_receive() takes them out. An inbox exists only
 * while it holds a message or its task waits for one, so a task that nobody writes to costs nothing but a look at one
 * counter when it ends. What its task has not received by then is dropped; so is, with its job, a message that came
 * just as its task ended. One lock; nothing is called under it but runner-side flags are set.
 */
#ifndef CONCD_WORKER_MAIL_H
#define CONCD_WORKER_MAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAIL_MAX_MESSAGES 64u /* in one inbox */
#define MAIL_MAX_BYTES (256u << 10) /* likewise */
#define MAIL_MAX_ALL_BYTES (16u << 20) /* in all inboxes of the process */

struct mail;

struct mail_message {
	struct mail_message *next;
	size_t len;
	uint8_t data[]; /* and a NUL behind it */
};

/* Whom to tell of a message. Its owner's; flags are set under the lock. */
struct mail_waiter {
	void (*on_mail)(struct mail_waiter *waiter); /* on the host thread, under the lock: wakes somebody and returns */
};

int mail_open(struct mail **ret_mail); /* 0 or -ENOMEM */
void mail_close(struct mail *mail); /* NULL is fine */

/* Host thread. Put a copy into the task's inbox. 0; -EBUSY: the inbox is full; -ENOMEM. */
int mail_put(struct mail *mail, uint64_t job, uint64_t task, const void *data, size_t len);
/* Drop what tasks of the job have not received. */
void mail_forget(struct mail *mail, uint64_t job);

/* Runners. Take the oldest message (free() it). NULL: there is none, and where waiter is given it is told of the next
 * one, once; mail_stop_waiting() before it goes. -ENOMEM in *ret_error (0 else) where it could not be remembered. */
struct mail_message *mail_take(struct mail *mail, uint64_t job, uint64_t task, struct mail_waiter *waiter,
			       int *ret_error);
void mail_stop_waiting(struct mail *mail, uint64_t job, uint64_t task);
/* The task has ended: drop what it has not received. */
void mail_end(struct mail *mail, uint64_t job, uint64_t task);

#endif
