/* What a runner's thread is at: seen from outside while it is blocked, told by its signal handler while it is not. */
#include <assert.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "worker/runner_private.h"
#include "worker/stall_private.h"
#include "worker/symbol.h"

#define STALL_SIGNAL (SIGRTMAX - 2) /* plugin.h says so */
#define SCAN_BYTES (128u << 10) /* of a stack, from its pointer up */
#define CALL_BYTES 7 /* the longest call instruction */

static int64_t held_ns(const struct runner *runner, int64_t now_ns, int schedstat_fd)
{
	/* relaxed, both: since_ns was read before them (acquire), or this is its own thread */
	int64_t from_ns = atomic_load_explicit(&runner->turn.from_ns, memory_order_relaxed);
	int64_t runq_ns = atomic_load_explicit(&runner->turn.runq_ns, memory_order_relaxed);

	runq_ns = task_clock_runq_ns(schedstat_fd) - runq_ns;
	return now_ns - from_ns - (runq_ns > 0 ? runq_ns : 0);
}

int64_t stall_held_ns(const struct runner *runner, int64_t now_ns)
{
	char path[64];
	_cleanup_close_ int fd = -1;

	/* Not the one that the runner has open: it may be closing it. */
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)runner->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return held_ns(runner, now_ns, fd);
}

int64_t stall_cpu_ns(const struct runner *runner)
{
	struct timespec ts;
	clockid_t clock;

	if (pthread_getcpuclockid(runner->thread, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return 0;
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* ---- On the thread ---- */

static void keep_input(const struct slot *slot, struct stall_sample *sample)
{
	size_t n = slot->input_len < STALL_INPUT_BYTES ? slot->input_len : STALL_INPUT_BYTES;

	sample->input_len = slot->input_len;
	memcpy(sample->input, slot->input, n);
}

/* From the frame that was interrupted on. */
static void keep_frames(struct stall_sample *sample, const ucontext_t *context)
{
	void *frames[STALL_FRAMES + 8];
	int n = backtrace(frames, STALL_FRAMES + 8), first = 0;

#if defined(__x86_64__)
	while (first < n && (greg_t)frames[first] != context->uc_mcontext.gregs[REG_RIP])
		first++;
#else
	(void)context; /* the frames of the handler stay */
#endif
	if (first == n)
		first = 0;
	sample->n_frames = n - first < STALL_FRAMES ? n - first : STALL_FRAMES;
	memcpy(sample->frames, frames + first, (size_t)sample->n_frames * sizeof(frames[0]));
}

/* Whatever it interrupted belongs to this thread, so its fields may be read; but the task's time may just be settled,
 * hence only what the turn published counts. Async-signal-safe: backtrace() was called before. */
static void on_stall_signal(int signal, siginfo_t *info, void *context)
{
	struct runner *runner = runner_of_thread();
	struct stall_sample *sample = runner ? &runner->sample : NULL;
	const struct slot *slot = runner ? runner->current : NULL;
	int saved_errno = errno, answer = STALL_DECLINED;
	int64_t since_ns;

	(void)signal; /* there is one */
	(void)info;
	/* acquire: asked_ns and limit_ns */
	if (!runner || atomic_load_explicit(&sample->state, memory_order_acquire) != STALL_ASKED)
		return;
	since_ns = atomic_load_explicit(&runner->turn.since_ns, memory_order_relaxed); /* this thread's own */
	sample->held_ns = 0;
	if (since_ns != 0 && slot && slot->chunk &&
	    since_ns == atomic_load_explicit(&sample->asked_ns, memory_order_relaxed)) { /* ordered by state */
		sample->held_ns = held_ns(runner, clock_mono_ns(), runner->clock.schedstat_fd);
		if (sample->held_ns >= atomic_load_explicit(&sample->limit_ns, memory_order_relaxed)) { /* likewise */
			sample->job = slot->chunk->claim.job;
			sample->task = slot->chunk->claim.first + slot->index;
			keep_input(slot, sample);
			keep_frames(sample, context);
			answer = STALL_TAKEN;
		}
	}
	atomic_store_explicit(&sample->state, answer, memory_order_release); /* see struct stall_sample */
	errno = saved_errno;
}

int stall_install(void)
{
	struct sigaction action = { .sa_sigaction = on_stall_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	void *frame;

	(void)sigemptyset(&action.sa_mask); /* cannot fail */
	(void)backtrace(&frame, 1); /* loads what it needs: not in the handler */
	return sigaction(STALL_SIGNAL, &action, NULL) < 0 ? -errno : 0;
}

void stall_ask(struct runner *runner, int64_t since_ns, int64_t limit_ns)
{
	struct stall_sample *sample = &runner->sample;

	/* relaxed: the release below comes after them */
	atomic_store_explicit(&sample->asked_ns, since_ns, memory_order_relaxed);
	atomic_store_explicit(&sample->limit_ns, limit_ns, memory_order_relaxed);
	atomic_store_explicit(&sample->state, STALL_ASKED, memory_order_release);
	(void)pthread_kill(runner->thread, STALL_SIGNAL); /* the queue of signals is full: no answer, no stack */
}

/* ---- From outside ---- */

static bool peek(void *to, const void *from, size_t bytes)
{
	struct iovec local = { .iov_base = to, .iov_len = bytes };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)from, .iov_len = bytes };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)bytes;
}

static bool same_turn(const struct runner *runner, int64_t since_ns)
{
	/* acquire: as the load that began it. What was copied in between was copied by the kernel, and no load passes a
	 * system call. */
	return atomic_load_explicit(&runner->turn.since_ns, memory_order_acquire) == since_ns;
}

/* Where the kernel says the thread is blocked. The three numbers of a line are consistent: it looks twice. */
static int blocked_at(const struct runner *runner, uintptr_t *ret_sp, uintptr_t *ret_pc)
{
	char path[64], line[256], *at;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)runner->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (fd >= 0)
		(void)close(fd); /* only read */
	if (n <= 0)
		return -ENOSYS;
	line[n] = '\0';
	at = strrchr(line, ' ');
	if (!at) /* "running" */
		return -EBUSY;
	*ret_pc = (uintptr_t)strtoull(at + 1, NULL, 16);
	*at = '\0';
	at = strrchr(line, ' ');
	*ret_sp = at ? (uintptr_t)strtoull(at + 1, NULL, 16) : 0;
	return *ret_pc != 0 && *ret_sp != 0 ? 0 : -ENOSYS;
}

/* Ends a call instruction right before this address? Else the word on the stack is not where somebody returns to. */
static bool follows_call(uintptr_t address)
{
#if defined(__x86_64__)
	uint8_t code[CALL_BYTES];
	const uint8_t *end = code + CALL_BYTES;

	if (!peek(code, (const void *)(address - CALL_BYTES), CALL_BYTES))
		return false;
	return end[-5] == 0xe8 /* call rel32 */ || (end[-2] == 0xff && (end[-1] & 0x38) == 0x10) ||
	       (end[-3] == 0xff && (end[-2] & 0xf8) == 0x50) || (end[-4] == 0xff && end[-3] == 0x54) ||
	       (end[-6] == 0xff && ((end[-5] & 0xf8) == 0x90 || end[-5] == 0x15)) ||
	       (end[-7] == 0xff && end[-6] == 0x94);
#else
	(void)address;
	return true;
#endif
}

/* Text of a stack, innermost frame first. What lies below the plugin, in the program itself, says nothing. */
static void describe_frames(const struct code_map *map, const uintptr_t *frames, size_t n, char *text, size_t bytes)
{
	size_t used = 0;

	while (n > 1 && code_map_is_program(map, frames[n - 1]))
		n--;
	*text = '\0';
	for (size_t i = 0; i < n; i++) {
		char frame[160];
		int len;

		code_map_describe(map, frames[i], i > 0, frame, sizeof(frame));
		len = snprintf(text + used, bytes - used, "%s%s", i > 0 ? "\n" : "", frame);
		if (len < 0 || (size_t)len >= bytes - used) {
			text[used] = '\0'; /* whole frames only */
			return;
		}
		used += (size_t)len;
	}
}

/* Without the frames' sizes, which only the thread itself could follow, every word that can be a return address is taken for
 * one: a stale one may be among them. */
static size_t scan_stack(const struct code_map *map, uintptr_t sp, uintptr_t pc, uintptr_t top, uintptr_t *frames)
{
	size_t bytes = top - sp < SCAN_BYTES ? top - sp : SCAN_BYTES, n = 0;
	_cleanup_free_ uintptr_t *words = malloc(bytes);

	frames[n++] = pc;
	if (!words || !peek(words, (const void *)sp, bytes))
		return n;
	for (size_t i = 0; i < bytes / sizeof(words[0]) && n < STALL_FRAMES; i++)
		if (code_map_has(map, words[i]) && follows_call(words[i]))
			frames[n++] = words[i];
	return n;
}

static bool peek_task(const struct slot *slot, struct stall_find *find)
{
	struct open_chunk chunk;
	size_t n;

	if (!slot->chunk || !peek(&chunk, slot->chunk, sizeof(chunk)))
		return false;
	find->job = chunk.claim.job;
	find->task = chunk.claim.first + slot->index;
	find->input_len = slot->input_len;
	n = slot->input_len < STALL_INPUT_BYTES ? slot->input_len : STALL_INPUT_BYTES;
	return n == 0 || peek(find->input, slot->input, n);
}

int stall_look_blocked(const struct runner *runner, int64_t since_ns, struct stall_find *ret_find)
{
	struct code_map *map;
	const struct slot *current;
	struct slot slot;
	uintptr_t sp = 0, pc = 0, low, top, frames[STALL_FRAMES];
	int r;

	ret_find->stack[0] = '\0';
	if (!peek(&current, &runner->current, sizeof(current)) || !current || !peek(&slot, current, sizeof(slot)) ||
	    !peek_task(&slot, ret_find))
		return same_turn(runner, since_ns) ? -EBUSY : -ESTALE;
	r = blocked_at(runner, &sp, &pc);
	if (r < 0)
		return same_turn(runner, since_ns) ? -EBUSY : -ESTALE;
	low = (uintptr_t)slot.co.self.stack_low;
	top = low + slot.co.self.stack_bytes;
	map = code_map_open();
	if (map) /* a plugin may have stacks of its own: then the place alone */
		describe_frames(map, frames, scan_stack(map, sp, pc, sp >= low && sp < top ? top : sp, frames),
				ret_find->stack, sizeof(ret_find->stack));
	code_map_close(map);
	return same_turn(runner, since_ns) ? 0 : -ESTALE;
}

void stall_take_answer(const struct runner *runner, struct stall_find *ret_find)
{
	const struct stall_sample *sample = &runner->sample;
	struct code_map *map = code_map_open();
	uintptr_t frames[STALL_FRAMES];

	for (int i = 0; i < sample->n_frames; i++)
		frames[i] = (uintptr_t)sample->frames[i];
	ret_find->job = sample->job;
	ret_find->task = sample->task;
	ret_find->input_len = sample->input_len;
	memcpy(ret_find->input, sample->input, sizeof(ret_find->input));
	ret_find->stack[0] = '\0';
	if (map)
		describe_frames(map, frames, (size_t)sample->n_frames, ret_find->stack, sizeof(ret_find->stack));
	code_map_close(map);
}
