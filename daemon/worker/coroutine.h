/* Stackful coroutines: straight-line code that can be left in the middle and entered again.
 *
 *	loop's stack                       coroutine's stack
 *	coroutine_start(co, stack, fn, arg)
 *	coroutine_enter(co) ─────────────> fn(arg)
 *	                    <───────────── coroutine_leave(co)		... any number of times
 *	coroutine_enter(co) ─────────────> goes on behind coroutine_leave()
 *	                    <───────────── fn returns
 *	coroutine_finish(co)
 *
 * A coroutine belongs to one thread for life: compilers keep addresses of thread-local variables in registers across a
 * switch. It is entered from the thread's own stack only, never from another coroutine, and always runs to its end:
 * there is no way to tear one down half-way. The switch keeps what the ABI calls callee-saved registers and nothing
 * else: a task that changes rounding modes restores them before it waits.
 */
#ifndef CONCD_WORKER_COROUTINE_H
#define CONCD_WORKER_COROUTINE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__) && !defined(COROUTINE_UCONTEXT)
#define COROUTINE_ASSEMBLY 1
#else
#define COROUTINE_ASSEMBLY 0
#include <ucontext.h>
#endif

/* Room for what the sanitizers want to know of a stack; unused without them. */
struct coroutine_side {
#if COROUTINE_ASSEMBLY
	void *sp; /* while this side does not run */
#else
	ucontext_t context;
#endif
	const void *stack_low;
	size_t stack_bytes;
	void *fake_stack; /* address sanitizer */
	void *fiber; /* thread sanitizer */
};

struct coroutine {
	struct coroutine_side self;
	struct coroutine_side loop; /* who entered it */
	void (*fn)(void *arg);
	void *arg;
	bool started, finished;
};

/* Prepare fn(arg) to run on the stack from `stack_low` upwards; nothing runs yet. The stack stays the caller's, and so
 * does the struct, which must not move until coroutine_finish(). */
void coroutine_start(struct coroutine *co, void *stack_low, size_t stack_bytes, void (*fn)(void *arg), void *arg);

/* Run it until it leaves or its function returns. From the thread's own stack. */
void coroutine_enter(struct coroutine *co);

/* From inside: back to whoever entered, until entered again. */
void coroutine_leave(struct coroutine *co);

/* Give back what a sanitizer keeps for it. Only where its function has returned or was never entered. */
void coroutine_finish(struct coroutine *co);

#endif
