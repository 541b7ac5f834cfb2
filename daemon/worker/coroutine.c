/* Coroutines: the switch, in assembly on x86-64 and by ucontext elsewhere, and what the sanitizers must be told.
 *
 * Both switches run in functions of their own that are not instrumented, since the sanitizers' call stacks are one a
 * fiber. The last switch of a finished coroutine is in a function that never returns: a sanitizer that pops its call
 * stack after the switch would pop the other side's.
 */
#include "coroutine.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#ifndef __has_feature
#define __has_feature(x) 0 /* gcc says it by macros */
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#include <sanitizer/common_interface_defs.h>
#else
#define ADDRESS_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#include <sanitizer/tsan_interface.h>
#else
#define THREAD_SANITIZER 0
#endif

#define NOT_INSTRUMENTED __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

#if COROUTINE_ASSEMBLY

/* void coroutine_switch_stacks(void **save_sp, void *sp)
 *
 * Saves the callee-saved registers on the stack and its pointer in *save_sp, takes the other stack and pops the same.
 * It ends in pop and jmp, not ret: the processor predicts a return to where the last call came from, and here it
 * never goes there. MXCSR and the x87 control word are left alone (16 times the price of the rest). */
void coroutine_switch_stacks(void **save_sp, void *sp);
void coroutine_first_entry(void);

__asm__(".pushsection .text\n"
	".p2align 4\n"
	".hidden coroutine_switch_stacks\n"
	".globl coroutine_switch_stacks\n"
	".type coroutine_switch_stacks, @function\n"
	"coroutine_switch_stacks:\n"
	".cfi_startproc\n"
	"	endbr64\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	popq %rcx\n"
	"	notrack jmp *%rcx\n"
	".cfi_endproc\n"
	".size coroutine_switch_stacks, . - coroutine_switch_stacks\n"
	/* Where a new coroutine begins: r12 holds the argument, r13 the function, which does not return. Unwinders stop
	 * here, because the caller is said to be unknown. */
	".p2align 4\n"
	".hidden coroutine_first_entry\n"
	".globl coroutine_first_entry\n"
	".type coroutine_first_entry, @function\n"
	"coroutine_first_entry:\n"
	".cfi_startproc\n"
	".cfi_undefined rip\n"
	"	endbr64\n"
	"	xorl %ebp, %ebp\n"
	"	movq %r12, %rdi\n"
	"	call *%r13\n"
	"	ud2\n"
	".cfi_endproc\n"
	".size coroutine_first_entry, . - coroutine_first_entry\n"
	".popsection\n");

static void prepare_side(struct coroutine_side *side, void (*entry)(struct coroutine *co), struct coroutine *co)
{
	uintptr_t top = ((uintptr_t)side->stack_low + side->stack_bytes) & ~(uintptr_t)15;
	uintptr_t *frame = (uintptr_t *)top - 9; /* seven words to pop; behind them it is aligned to 16 bytes */

	frame[0] = 0; /* r15 */
	frame[1] = 0; /* r14 */
	frame[2] = (uintptr_t)entry; /* r13 */
	frame[3] = (uintptr_t)co; /* r12 */
	frame[4] = 0; /* rbx */
	frame[5] = 0; /* rbp */
	frame[6] = (uintptr_t)coroutine_first_entry;
	frame[7] = 0; /* where unwinders might look for a caller */
	frame[8] = 0;
	side->sp = frame;
}

#define jump_sides(from, to) coroutine_switch_stacks(&(from)->sp, (to)->sp)

#else

static void ucontext_entry(unsigned int high, unsigned int low)
{
	struct coroutine *co = (struct coroutine *)((uintptr_t)high << 32 | low); /* makecontext passes ints only */
	extern void coroutine_main(struct coroutine *) __attribute__((visibility("hidden")));

	coroutine_main(co);
}

static void prepare_side(struct coroutine_side *side, void (*entry)(struct coroutine *co), struct coroutine *co)
{
	(void)entry; /* ucontext_entry() knows it */
	if (getcontext(&side->context) < 0)
		abort(); /* fails on no system that has it */
	side->context.uc_stack.ss_sp = (void *)(uintptr_t)side->stack_low;
	side->context.uc_stack.ss_size = side->stack_bytes;
	side->context.uc_link = NULL;
	makecontext(&side->context, (void (*)(void))ucontext_entry, 2, (unsigned int)((uintptr_t)co >> 32),
		    (unsigned int)(uintptr_t)co);
}

#define jump_sides(from, to) (void)swapcontext(&(from)->context, &(to)->context)

#endif

/* Switch from one side to the other and return when this side is entered again. */
NOT_INSTRUMENTED static void switch_sides(struct coroutine_side *from, struct coroutine_side *to)
{
#if ADDRESS_SANITIZER
	__sanitizer_start_switch_fiber(&from->fake_stack, to->stack_low, to->stack_bytes);
#endif
#if THREAD_SANITIZER
	__tsan_switch_to_fiber(to->fiber, 0);
#endif
	jump_sides(from, to);
#if ADDRESS_SANITIZER
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

/* The last switch of a finished coroutine. */
NOT_INSTRUMENTED _Noreturn static void switch_away(struct coroutine_side *from, struct coroutine_side *to)
{
#if ADDRESS_SANITIZER
	__sanitizer_start_switch_fiber(NULL, to->stack_low, to->stack_bytes); /* NULL: free its fake stack */
#endif
#if THREAD_SANITIZER
	__tsan_switch_to_fiber(to->fiber, 0);
#endif
	jump_sides(from, to);
	abort(); /* a finished coroutine was entered: coroutine_enter() asserts against it */
}

void coroutine_main(struct coroutine *co) __attribute__((visibility("hidden")));

void coroutine_main(struct coroutine *co)
{
#if ADDRESS_SANITIZER
	/* The loop's stack becomes known here; each coroutine of a thread learns it anew. */
	__sanitizer_finish_switch_fiber(NULL, &co->loop.stack_low, &co->loop.stack_bytes);
#endif
	co->fn(co->arg);
	co->finished = true;
	switch_away(&co->self, &co->loop);
}

void coroutine_start(struct coroutine *co, void *stack_low, size_t stack_bytes, void (*fn)(void *arg), void *arg)
{
	*co = (struct coroutine){
		.self = { .stack_low = stack_low, .stack_bytes = stack_bytes }, .fn = fn, .arg = arg
	};
	prepare_side(&co->self, coroutine_main, co);
#if THREAD_SANITIZER
	co->self.fiber = __tsan_create_fiber(0);
#endif
}

void coroutine_enter(struct coroutine *co)
{
	assert(!co->finished);
	co->started = true;
#if THREAD_SANITIZER
	co->loop.fiber = __tsan_get_current_fiber();
#endif
	switch_sides(&co->loop, &co->self);
}

void coroutine_leave(struct coroutine *co)
{
	switch_sides(&co->self, &co->loop);
}

void coroutine_finish(struct coroutine *co)
{
	assert(co->finished || !co->started);
#if THREAD_SANITIZER
	__tsan_destroy_fiber(co->self.fiber);
#endif
	co->self.fiber = NULL;
}
