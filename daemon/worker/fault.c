/* Faults: a plugin that crashes is named before it takes the process down.
 *
 * The handler runs on an alternate stack of its runner or helper thread, since the fault may be the overrun of a coroutine's
 * stack. It marks the runner in the segment, writes one line to standard error, puts back the action that was there
 * before and lets the fault happen again. Everything it calls is async-signal-safe.
 */
#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ring/step.h"
#include "worker/runner_private.h"

#define FAULT_STACK_BYTES (64 * 1024) /* SIGSTKSZ is no constant any more, and AVX-512 state alone takes 3 KiB */

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static struct sigaction old_actions[ARRAY_SIZE(fault_signals)];

/* The alternate stack of this thread, and what was there before: a sanitizer unmaps its own at the thread's end. */
static _Thread_local void *fault_stack;
static _Thread_local stack_t old_stack;

/* A line put together without stdio. */
struct line {
	char text[512];
	size_t len;
};

static void line_text(struct line *line, const char *text)
{
	while (*text && line->len < sizeof(line->text) - 1)
		line->text[line->len++] = *text++;
}

static void line_number(struct line *line, uint64_t value)
{
	char digits[24];
	size_t n = sizeof(digits);

	digits[--n] = '\0';
	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	line_text(line, digits + n);
}

static void line_write(struct line *line)
{
	line->text[line->len++] = '\n';
	(void)!write(STDERR_FILENO, line->text, line->len); /* nowhere left to complain to */
}

static const char *signal_name(int signal)
{
	switch (signal) {
	case SIGSEGV:
		return "SIGSEGV";
	case SIGBUS:
		return "SIGBUS";
	case SIGFPE:
		return "SIGFPE";
	case SIGILL:
		return "SIGILL";
	default:
		return "SIGABRT";
	}
}

static void describe_task(struct line *line, uint64_t number)
{
	if (step_is(number) && step_of(number) == STEP_COMBINE) {
		line_text(line, "the combining of ");
	} else if (step_is(number)) {
		line_text(line, "part ");
		line_number(line, step_of(number) - STEP_FIRST_PART);
		line_text(line, " of ");
	}
	line_text(line, "task ");
	line_number(line, step_task(number));
}

static void describe(struct line *line, const struct runner *runner, const struct slot *slot)
{
	line_text(line, "worker: ");
	if (!runner) {
		line_text(line, "a thread that is no runner");
		return;
	}
	if (slot && slot->chunk) {
		describe_task(line, slot->chunk->claim.first + slot->index);
		line_text(line, " of job ");
		line_number(line, slot->chunk->claim.job);
		line_text(line, " on ");
	}
	line_text(line, slot && slot == offload_of_thread() ? "a helper of runner " : "runner ");
	line_number(line, runner->options.number);
}

static void overran(struct line *line, const struct runner *runner)
{
	line_text(line, ": overran its stack of ");
	line_number(line, stack_slab_stack_bytes(runner->stacks));
	line_text(line, " bytes (stack_size sets it)");
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	const struct slot *offloaded = offload_of_thread();
	const struct runner *runner = offloaded ? offloaded->runner : runner_of_thread();
	const struct slot *slot = offloaded ? offloaded : runner ? runner->current : NULL;
	struct line line = { .len = 0 };
	size_t i = 0;

	(void)context; /* the address says enough */
	if (offloaded)
		ring_fault_of_task(runner->options.ring, runner->options.number, signal, offloaded->chunk->claim.chunk,
				   offloaded->index);
	else if (runner)
		ring_fault(runner->options.ring, runner->options.number, signal);
	describe(&line, runner, slot);
	line_text(&line, ": ");
	line_text(&line, signal_name(signal));
	if (slot && !offloaded && (signal == SIGSEGV || signal == SIGBUS) &&
	    stack_in_guard(runner->stacks, slot->number, info->si_addr))
		overran(&line, runner);
	line_write(&line);

	while (i < ARRAY_SIZE(fault_signals) - 1 && fault_signals[i] != signal)
		i++;
	(void)sigaction(signal, &old_actions[i], NULL); /* cannot fail: it was in force before */
	if (info->si_code <= 0 || signal == SIGABRT)
		(void)raise(signal); /* sent, so no instruction will fault again; blocked until we return */
}

int fault_install(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	(void)sigemptyset(&action.sa_mask); /* cannot fail */
	for (size_t i = 0; i < ARRAY_SIZE(fault_signals); i++)
		if (sigaction(fault_signals[i], &action, &old_actions[i]) < 0)
			return -errno;
	return 0;
}

int fault_thread_open(void)
{
	stack_t stack = { .ss_size = FAULT_STACK_BYTES };

	stack.ss_sp = fault_stack = malloc(FAULT_STACK_BYTES);
	if (!fault_stack)
		return -ENOMEM;
	if (sigaltstack(&stack, &old_stack) < 0) {
		free(fault_stack);
		fault_stack = NULL;
		return -ENOMEM;
	}
	return 0;
}

void fault_thread_close(void)
{
	if (!fault_stack)
		return;
	(void)sigaltstack(&old_stack, NULL); /* it was in force before */
	free(fault_stack);
	fault_stack = NULL;
}

_Noreturn void fault_overrun(struct runner *runner, struct slot *slot)
{
	struct line line = { .len = 0 };

	describe(&line, runner, slot);
	overran(&line, runner);
	line_write(&line);
	runner->current = slot; /* for the handler, which names it once more in the segment */
	abort();
}
