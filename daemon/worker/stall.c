/* When to look at the runners, and what becomes of a turn that lasts too long. The header has the story. */
#include "worker/stall.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/runner_private.h"
#include "worker/stall_private.h"

#define LINGER_NS NS_PER_S /* looked at for so long after the last runner went to sleep */
#define ANSWER_NS NS_PER_MS /* a handler that was asked is looked after so often ... */
#define PATIENCE 2 /* ... for so many times the limit: then the stack goes missing */
#define CPU_LOOK_MAX_NS (100 * NS_PER_MS) /* between looks at processor time */
#define CPU_LOOK_MIN_NS (2 * NS_PER_MS)
#define REPORTS_BURST 20u
#define REPORTS_PER_S 10

/* What is known of a runner's turn. */
enum look { LOOK_NEW, LOOK_ASKED, LOOK_NAMED, LOOK_DROPPED };

struct looked {
	int64_t since_ns; /* of the turn; 0: none was seen */
	enum look look;
	int64_t next_ns; /* when the turn may have held its thread for the limit; ASKED: when the handler was asked */
	int64_t cpu_ns; /* of the thread, when its handler was asked */
	int64_t held_ns; /* when it was named */
	int64_t lost_ns; /* of it the process was stopped */
	uint64_t job, task; /* then */
};

struct stall_watch {
	int64_t limit_ns; /* 0: none */
	int64_t cpu_timeout_ns; /* 0: none */
	int64_t every_ns; /* looked at so often */
	int wake_fd;
	void (*on_report)(void *arg, const struct stall_report *report);
	void *arg;
	int64_t busy_ns; /* when a runner was last seen awake */
	/* Where a look comes much later than it was meant to, and not for want of a processor, the process was stopped (SIGSTOP, a
	 * debugger, the freezer): that time is nobody's. */
	int64_t planned_ns; /* when to look next; INT64_MAX: when somebody wakes up */
	_Atomic int64_t woken_ns; /* when somebody did: stored before, read after the wake-up, whose read orders it */
	int64_t lost_ns; /* found by this look */
	int64_t runq_ns; /* of this thread, at the last look */
	int schedstat_fd; /* -1: not there */
	int64_t refilled_ns;
	uint32_t tokens; /* reports that may be made now */
	uint64_t dropped;
	/* Nothing is looked at until a runner wakes up. seq_cst, as the runners' `asleep`: either we see one awake, or the
	 * one that wakes up sees this. */
	_Atomic bool asleep;
	uint32_t n;
	struct looked looked[];
};

/* Often enough for the limits to be kept. */
static int64_t interval_ns(int64_t limit_ns, int64_t cpu_timeout_ns)
{
	int64_t every_ns = cpu_timeout_ns / 4 < CPU_LOOK_MAX_NS ? cpu_timeout_ns / 4 : CPU_LOOK_MAX_NS;

	return limit_ns > 0 && (cpu_timeout_ns == 0 || limit_ns / 2 < every_ns) ? limit_ns / 2 : every_ns;
}

int stall_watch_new(uint32_t n_runners, int64_t limit_ns, int64_t cpu_timeout_ns, int wake_fd,
		    void (*on_report)(void *arg, const struct stall_report *report), void *arg,
		    struct stall_watch **ret_watch)
{
	struct stall_watch *watch = calloc(1, sizeof(*watch) + n_runners * sizeof(watch->looked[0]));

	if (!watch)
		return -ENOMEM;
	watch->n = n_runners;
	watch->limit_ns = limit_ns;
	watch->cpu_timeout_ns = cpu_timeout_ns;
	watch->every_ns = interval_ns(limit_ns, cpu_timeout_ns);
	watch->wake_fd = wake_fd;
	watch->on_report = on_report;
	watch->arg = arg;
	watch->tokens = REPORTS_BURST;
	watch->planned_ns = INT64_MAX;
	watch->schedstat_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	watch->busy_ns = watch->refilled_ns = clock_mono_ns();
	*ret_watch = watch;
	return 0;
}

void stall_watch_free(struct stall_watch *watch)
{
	if (watch && watch->schedstat_fd >= 0)
		(void)close(watch->schedstat_fd); /* only read */
	free(watch);
}

void stall_watch_wake(struct stall_watch *watch)
{
	const uint64_t one = 1;

	if (!atomic_load_explicit(&watch->asleep, memory_order_seq_cst)) /* see there */
		return;
	atomic_store_explicit(&watch->woken_ns, clock_mono_ns(), memory_order_relaxed); /* see there; others store much the same */
	if (atomic_exchange_explicit(&watch->asleep, false, memory_order_seq_cst))
		(void)!write(watch->wake_fd, &one, sizeof(one)); /* full only if a wake-up is pending anyway */
}

/* ---- Reporting ---- */

static bool take_token(struct stall_watch *watch, int64_t now_ns)
{
	int64_t more = (now_ns - watch->refilled_ns) / (NS_PER_S / REPORTS_PER_S);

	if (more > 0) {
		watch->refilled_ns = now_ns;
		watch->tokens = more > REPORTS_BURST - watch->tokens ? REPORTS_BURST : watch->tokens + (uint32_t)more;
	}
	if (watch->tokens == 0) {
		watch->dropped++;
		return false;
	}
	watch->tokens--;
	return true;
}

static void report(struct stall_watch *watch, uint32_t i, const struct runner *runner, const struct stall_find *find)
{
	const struct looked *looked = &watch->looked[i];
	struct stall_report report = {
		.ended = !find,
		.runner = runner->options.number,
		.job = looked->job,
		.task = looked->task,
		.since_ns = looked->since_ns,
		.held_ns = looked->held_ns,
		.dropped = watch->dropped,
		.input = find ? find->input : NULL,
		.input_len = find ? find->input_len : 0,
		.stack = find ? find->stack : "",
	};

	watch->dropped = 0;
	watch->on_report(watch->arg, &report);
}

static void name(struct stall_watch *watch, uint32_t i, struct runner *runner, const struct stall_find *find,
		 int64_t held_ns, int64_t now_ns)
{
	struct looked *looked = &watch->looked[i];

	looked->look = LOOK_DROPPED;
	looked->held_ns = held_ns;
	looked->job = find->job;
	looked->task = find->task;
	if (!take_token(watch, now_ns))
		return;
	looked->look = LOOK_NAMED;
	/* relaxed: the runner that ends this turn may not see it yet; see total_ns() */
	atomic_store_explicit(&runner->turn.ended_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&runner->turn.named_ns, looked->since_ns, memory_order_relaxed);
	report(watch, i, runner, find);
}

/* How long the turn was in all: the runner says it, unless it ended just as it was named. */
static int64_t total_ns(const struct runner *runner, const struct looked *looked, int64_t now_ns)
{
	/* relaxed: the next turn's since_ns was read before (acquire) */
	int64_t ended_ns = atomic_load_explicit(&runner->turn.ended_ns, memory_order_relaxed);

	return (ended_ns > looked->since_ns ? ended_ns : now_ns) - looked->since_ns - looked->lost_ns;
}

static void end(struct stall_watch *watch, uint32_t i, struct runner *runner, int64_t now_ns)
{
	struct looked *looked = &watch->looked[i];
	int64_t all_ns = total_ns(runner, looked, now_ns);

	if (all_ns > looked->held_ns)
		looked->held_ns = all_ns;
	atomic_store_explicit(&runner->turn.named_ns, 0, memory_order_relaxed); /* as in name() */
	report(watch, i, runner, NULL);
}

/* ---- Looking ---- */

/* Without the time that the process was stopped. */
static int64_t turn_held_ns(const struct runner *runner, const struct looked *looked, int64_t now_ns)
{
	return stall_held_ns(runner, now_ns) - looked->lost_ns;
}

/* It was asked for its stack. When to look again. */
static int64_t look_for_answer(struct stall_watch *watch, uint32_t i, struct runner *runner, int64_t now_ns)
{
	struct looked *looked = &watch->looked[i];
	struct stall_sample *sample = &runner->sample;
	struct stall_find find;
	int64_t held_ns;
	int r;

	switch (atomic_load_explicit(&sample->state, memory_order_acquire)) { /* see struct stall_sample */
	case STALL_TAKEN:
		stall_take_answer(runner, &find);
		name(watch, i, runner, &find, sample->held_ns - looked->lost_ns, now_ns);
		return now_ns + watch->limit_ns / 2;
	case STALL_DECLINED:
		looked->look = LOOK_NEW;
		looked->next_ns = now_ns + watch->limit_ns - (sample->held_ns > looked->lost_ns ? sample->held_ns - looked->lost_ns : 0);
		return looked->next_ns;
	default:
		break;
	}
	if (now_ns - looked->next_ns < PATIENCE * watch->limit_ns)
		return now_ns + ANSWER_NS;
	/* It waits for a processor, runs with this signal blocked, or is blocked by now and can be looked at. */
	r = stall_look_blocked(runner, looked->since_ns, &find);
	held_ns = turn_held_ns(runner, looked, now_ns);
	if ((r == 0 && held_ns >= watch->limit_ns) ||
	    (r == -EBUSY && stall_cpu_ns(runner) - looked->cpu_ns >= watch->limit_ns))
		name(watch, i, runner, &find, held_ns, now_ns);
	return now_ns + watch->limit_ns / 2;
}

/* Its turn may be too long. When to look again. */
static int64_t look_closer(struct stall_watch *watch, uint32_t i, struct runner *runner, int64_t now_ns)
{
	struct looked *looked = &watch->looked[i];
	int64_t held_ns = turn_held_ns(runner, looked, now_ns);
	struct stall_find find;
	int r;

	if (held_ns < watch->limit_ns) {
		looked->next_ns = now_ns + watch->limit_ns - held_ns;
		return looked->next_ns;
	}
	r = stall_look_blocked(runner, looked->since_ns, &find);
	if (r == 0) {
		name(watch, i, runner, &find, held_ns, now_ns);
	} else if (r == -EBUSY) {
		looked->look = LOOK_ASKED;
		looked->next_ns = now_ns;
		looked->cpu_ns = stall_cpu_ns(runner);
		stall_ask(runner, looked->since_ns, watch->limit_ns + looked->lost_ns);
		return now_ns + ANSWER_NS;
	}
	return now_ns + watch->limit_ns / 2;
}

static int64_t look_at(struct stall_watch *watch, uint32_t i, struct runner *runner, int64_t now_ns)
{
	struct looked *looked = &watch->looked[i];
	/* acquire: what belongs to this turn, and what was said at the end of the one before */
	int64_t since_ns = atomic_load_explicit(&runner->turn.since_ns, memory_order_acquire);

	if (since_ns != looked->since_ns) {
		if (looked->look == LOOK_NAMED)
			end(watch, i, runner, now_ns);
		*looked = (struct looked){ .since_ns = since_ns, .next_ns = since_ns + watch->limit_ns };
	}
	if (watch->lost_ns > 0 && since_ns != 0)
		looked->lost_ns += watch->lost_ns < now_ns - since_ns ? watch->lost_ns : now_ns - since_ns;
	if (since_ns == 0 || looked->look >= LOOK_NAMED)
		return now_ns + watch->limit_ns / 2;
	if (looked->look == LOOK_ASKED)
		return look_for_answer(watch, i, runner, now_ns);
	return now_ns < looked->next_ns ? looked->next_ns : look_closer(watch, i, runner, now_ns);
}

/* Has the task on this runner's thread used more processor time than it may? When to look again. */
static int64_t look_at_cpu(struct stall_watch *watch, struct runner *runner, int64_t now_ns, bool *ret_over)
{
	int64_t since_ns = atomic_load_explicit(&runner->turn.since_ns, memory_order_acquire); /* see struct stall_turn */
	uint32_t number = atomic_load_explicit(&runner->turn.slot, memory_order_relaxed);
	int64_t credit_ns = atomic_load_explicit(&runner->turn.cpu_credit_ns, memory_order_relaxed), limit_ns, left_ns;
	struct slot *slot;

	if (since_ns == 0 || number >= runner->options.coroutines)
		return INT64_MAX;
	slot = &runner->slots[number];
	limit_ns = atomic_load_explicit(&slot->limit_ns, memory_order_acquire); /* as in watch.c */
	left_ns = watch->cpu_timeout_ns - (stall_cpu_ns(runner) + credit_ns);
	if (limit_ns == 0 || atomic_load_explicit(&runner->turn.since_ns, memory_order_acquire) != since_ns)
		return now_ns + CPU_LOOK_MIN_NS; /* the next one's turn */
	if (atomic_load_explicit(&slot->over_limit_ns, memory_order_relaxed) == limit_ns) /* only we write it */
		return INT64_MAX;
	if (left_ns > 0)
		return now_ns + (left_ns > CPU_LOOK_MIN_NS ? left_ns : CPU_LOOK_MIN_NS);
	slot->over_ns = now_ns;
	atomic_store_explicit(&slot->over_limit_ns, limit_ns, memory_order_relaxed); /* see struct slot */
	*ret_over = true;
	return INT64_MAX;
}

static bool any_awake(const struct stall_watch *watch, struct runner *const *runners)
{
	for (uint32_t i = 0; i < watch->n; i++)
		if (atomic_load_explicit(&runners[i]->asleep, memory_order_seq_cst) == AWAKE) /* see `asleep` */
			return true;
	return false;
}

/* How long the process was stopped before this look. */
static int64_t lost_ns(struct stall_watch *watch, int64_t now_ns)
{
	int64_t runq_ns = task_clock_runq_ns(watch->schedstat_fd), waited_ns = runq_ns - watch->runq_ns, late_ns;

	if (watch->planned_ns == INT64_MAX) /* relaxed: see there */
		watch->planned_ns = atomic_load_explicit(&watch->woken_ns, memory_order_relaxed);
	late_ns = now_ns - watch->planned_ns - (waited_ns > 0 ? waited_ns : 0);
	watch->runq_ns = runq_ns;
	return watch->planned_ns > 0 && late_ns >= watch->every_ns ? late_ns : 0;
}

static int64_t look_at_all(struct stall_watch *watch, struct runner *const *runners, int64_t now_ns, bool *ret_over)
{
	int64_t next_ns = now_ns + watch->every_ns;

	watch->lost_ns = lost_ns(watch, now_ns);
	for (uint32_t i = 0; i < watch->n; i++) {
		int64_t turn_ns = watch->limit_ns > 0 ? look_at(watch, i, runners[i], now_ns) : INT64_MAX;
		int64_t cpu_ns = watch->cpu_timeout_ns > 0 ? look_at_cpu(watch, runners[i], now_ns, ret_over) : INT64_MAX;

		if (turn_ns < next_ns)
			next_ns = turn_ns;
		if (cpu_ns < next_ns)
			next_ns = cpu_ns;
	}
	if (any_awake(watch, runners))
		watch->busy_ns = now_ns;
	if (now_ns - watch->busy_ns < LINGER_NS)
		return next_ns;
	atomic_store_explicit(&watch->asleep, true, memory_order_seq_cst); /* see there */
	if (!any_awake(watch, runners))
		return INT64_MAX;
	atomic_store_explicit(&watch->asleep, false, memory_order_seq_cst);
	watch->busy_ns = now_ns;
	return next_ns;
}

int64_t stall_watch_look(struct stall_watch *watch, struct runner *const *runners, int64_t now_ns, bool *ret_over)
{
	watch->planned_ns = look_at_all(watch, runners, now_ns, ret_over);
	return watch->planned_ns;
}
