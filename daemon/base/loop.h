/* The control loop: libevent's base, plus calls posted from other threads.
 *
 * One thread runs loop_run() and owns everything that hangs on the loop. Other threads own nothing of it; they hand
 * over a struct loop_call with loop_post(), and its function runs on the loop thread, in order of posting per thread.
 * A loop is opened and closed by the thread that runs it.
 */
#ifndef CONCD_BASE_LOOP_H
#define CONCD_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;

struct loop_call {
	void (*fn)(struct loop_call *call); /* may free the call */
	struct loop_call *next; /* private while posted */
};

int loop_open(struct loop **ret_loop); /* 0, -ENOMEM, -EMFILE */
/* Runs calls still posted, then frees. NULL is fine. The threads that post must have ended. */
void loop_close(struct loop *loop);

/* The base, for events of the loop thread. Valid until loop_close(). */
struct event_base *loop_base(struct loop *loop);

/* Until loop_stop(), or event_base_loopexit() of its base. 0, or -EIO where libevent gave up. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* from the loop thread: ends loop_run() after the events now active */

/* From the loop thread: something is expected within `ns`; look for it instead of sleeping, and leave the processor to whoever wants it.
 * On a busy machine it sleeps all the same. Ends with the time, or with loop_may_sleep(). */
void loop_stay_awake(struct loop *loop, int64_t ns);
void loop_may_sleep(struct loop *loop);
/* From the loop thread: staying awake found others waiting for the processor, a moment (100 ms) before now_ns at most. */
bool loop_is_busy(const struct loop *loop, int64_t now_ns);

/* Have call->fn run soon on the loop thread. Any thread; never blocks, never fails; the call belongs to the loop until
 * its function runs. Posting from the loop thread itself defers the call to the loop's next turn. */
void loop_post(struct loop *loop, struct loop_call *call);

#endif
