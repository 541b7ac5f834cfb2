/* Per-task times: the readings that are not worth it for every task. */
#include "task_time.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>
#include <time.h>
#include <unistd.h>

/* To see whether rseq tells. */
#define NAP_FIRST_NS 1000
#define NAP_LAST_NS 512000
#define NAP_GROWS 8

#if defined(__x86_64__)

/* A critical section that no thread is ever in. The kernel checks the signature before the abort address also where
 * the range does not match, and ends the process where it is wrong. */
void task_clock_never(void);
void task_clock_abort(void);
__asm__(".pushsection .text\n"
	".p2align 4\n"
	".hidden task_clock_never\n"
	".globl task_clock_never\n"
	"task_clock_never:\n"
	"	ud2\n"
	"	.long 0x53053053\n" /* RSEQ_SIG */
	".hidden task_clock_abort\n"
	".globl task_clock_abort\n"
	"task_clock_abort:\n"
	"	ud2\n"
	".popsection\n");

static const struct rseq_cs never __attribute__((aligned(32))) = {
	.version = 0,
	.flags = 0,
	.start_ip = (uintptr_t)task_clock_never,
	.post_commit_offset = 1,
	.abort_ip = (uintptr_t)task_clock_abort,
};
const uint64_t *const task_clock_armed = (const uint64_t *)(const void *)&never;

/* The C library's rseq area of this thread, or NULL. */
static uint64_t *find_rseq(void)
{
	char *area;

	if (__rseq_size == 0)
		return NULL;
	area = (char *)__builtin_thread_pointer() + __rseq_offset;
	return (uint64_t *)(void *)(area + offsetof(struct rseq, rseq_cs));
}

static void arm(struct task_clock *clock)
{
	if (clock->rseq_cs) /* relaxed: see task_clock_undisturbed() */
		__atomic_store_n(clock->rseq_cs, (uint64_t)(uintptr_t)task_clock_armed, __ATOMIC_RELAXED);
}

static void disarm(struct task_clock *clock)
{
	if (task_clock_undisturbed(clock)) /* relaxed: see task_clock_undisturbed() */
		__atomic_store_n(clock->rseq_cs, UINT64_C(0), __ATOMIC_RELAXED);
}

#else

const uint64_t *const task_clock_armed = NULL;

static uint64_t *find_rseq(void)
{
	return NULL;
}

static void arm(struct task_clock *clock)
{
	(void)clock; /* nothing to arm without rseq */
}

static void disarm(struct task_clock *clock)
{
	(void)clock; /* nothing to disarm without rseq */
}

#endif

static int64_t thread_cpu_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* cannot fail for this clock */
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* The second field of schedstat. */
int64_t task_clock_runq_ns(int schedstat_fd)
{
	char line[128], *at, *end;
	ssize_t n = schedstat_fd < 0 ? -1 : pread(schedstat_fd, line, sizeof(line) - 1, 0);
	long long value;

	if (n <= 0)
		return 0;
	line[n] = '\0';
	at = strchr(line, ' ');
	if (!at)
		return 0;
	value = strtoll(at + 1, &end, 10);
	return end == at + 1 ? 0 : (int64_t)value;
}

void task_clock_open_plain(struct task_clock *clock)
{
	*clock = (struct task_clock){ .schedstat_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC) };
	task_clock_read(clock, clock_mono_ns());
}

/* Does the kernel tell of the thread's being switched out? Of a short nap the timer may ring before the thread is asleep, and then
 * it was not. */
static bool rseq_tells(struct task_clock *clock)
{
	for (long ns = NAP_FIRST_NS; ns <= NAP_LAST_NS; ns *= NAP_GROWS) {
		const struct timespec nap = { .tv_sec = 0, .tv_nsec = ns };

		arm(clock);
		(void)nanosleep(&nap, NULL); /* being switched out is all that is wanted */
		if (!task_clock_undisturbed(clock))
			return true;
	}
	return false;
}

void task_clock_open(struct task_clock *clock)
{
	task_clock_open_plain(clock);
	clock->rseq_cs = find_rseq();
	if (!clock->rseq_cs)
		return;
	if (!rseq_tells(clock)) {
		disarm(clock);
		clock->rseq_cs = NULL;
		return;
	}
	task_clock_read(clock, clock_mono_ns());
}

void task_clock_close(struct task_clock *clock)
{
	disarm(clock);
	clock->rseq_cs = NULL;
	if (clock->schedstat_fd >= 0)
		(void)close(clock->schedstat_fd); /* only read */
	clock->schedstat_fd = -1;
}

bool task_clock_has_rseq(const struct task_clock *clock)
{
	return clock->rseq_cs != NULL;
}

void task_clock_read(struct task_clock *clock, int64_t now_ns)
{
	/* Armed before reading: a switch in between then only costs one more reading. */
	arm(clock);
	clock->read_cpu_ns = thread_cpu_ns();
	clock->read_runq_ns = task_clock_runq_ns(clock->schedstat_fd);
	clock->read_wall_ns = now_ns;
}

void task_clock_settle(struct task_clock *clock, struct task_time *time, int64_t now_ns)
{
	int64_t span = now_ns - time->in_ns, since_wall = now_ns - clock->read_wall_ns;
	int64_t cpu_before = clock->read_cpu_ns, runq_before = clock->read_runq_ns;
	int64_t off, runq;

	task_clock_read(clock, now_ns);
	/* The thread was not off its processor between the last reading and the begin of this interval, else that begin
	 * had been a reading. */
	off = since_wall - (clock->read_cpu_ns - cpu_before);
	off = off < 0 ? 0 : off > span ? span : off;
	runq = clock->read_runq_ns - runq_before;
	runq = runq < 0 ? 0 : runq > off ? off : runq;
	time->cpu_ns += span - off;
	time->runq_ns += runq;
}
