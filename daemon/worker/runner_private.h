/* What the files of a runner share: runner.c (the thread and its loop), task.c (begin and end of a task), wait.c (the
 * functions that yield), resume.c (handles), offload.c, receive.c, services.c (the rest of the plugin's table), fault.c.
 *
 *	slot:  FREE ── task begins ──> RUNNING <──── enter ──── READY
 *	        ^                       │    └─── slot_wait() ──> WAITING ── slot_wake() ──^
 *	        └──── no further task ──┘
 *
 * A slot is the place of one task: a coroutine with its stack, and what is kept of the task. Slots are used last in,
 * first out, so that few stacks are ever touched. A coroutine runs task after task while nothing else on its thread can
 * run; it leaves when its task waits, or to let the loop have a turn.
 */
#ifndef CONCD_WORKER_RUNNER_PRIVATE_H
#define CONCD_WORKER_RUNNER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "concd/plugin.h"
#include "measure/task_time.h"
#include "measure/tick_clock.h"
#include "ring/worker_ring.h"
#include "worker/coroutine.h"
#include "worker/helpers.h"
#include "worker/jobtable.h"
#include "worker/mail.h"
#include "worker/runner.h"
#include "worker/stack.h"
#include "worker/stall.h"
#include "worker/timers.h"

struct event;
struct event_base;

#define SERVE_NS NS_PER_MS /* the base is served at least this often while tasks run */
#define PUBLISH_NS NS_PER_MS /* records are shown to the daemon at least this often while tasks begin */
#define NO_LIMIT_NS (INT64_MAX / 2) /* in limit_ns, after the task's begin: by the clock it has none */
#define SLOT_INLINE_BYTES 96 /* inputs and results up to this need no heap; whole words */
#define FAILURE_BYTES 512
#define LOG_LINE_BYTES 4096
#define FAIL_TOO_LARGE 100u /* in fail_why, beside CONCD_FAIL_*: parts that were refused */

typedef int (*task_run_fn)(struct concd_task *task);

/* A claimed chunk of which tasks are unfinished or still to begin. */
struct open_chunk {
	struct ring_claim claim;
	struct worker_job *job; /* a reference; NULL until a task of it was begun */
	task_run_fn run; /* the plugin's run, or what stands for it (steps.c) */
	const uint8_t *cursor; /* the next input */
	uint32_t unfinished; /* begun and not ended */
	bool used_up; /* nothing left to begin */
	struct open_chunk *next_free;
};

/* What concd_resumer() handles refer to: one a task, made when first asked for (resume.c). */
struct waker;
struct offload; /* a function on a helper thread (offload.c) */
struct division; /* parts being added or combined (steps.c) */

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_READY, SLOT_WAITING };

struct slot {
	struct concd_task pub; /* what the plugin holds; first */

	/* The runner's thread. */
	struct runner *runner;
	uint32_t number;
	enum slot_state state;
	bool has_coroutine;
	struct slot *next; /* in the list of ready slots */
	struct coroutine co;

	struct open_chunk *chunk;
	uint32_t index; /* in the chunk */
	struct task_time time;
	int64_t ready_ns; /* since when READY */

	uint32_t wait_number; /* tells this wait's timer from those of earlier waits */
	int wait_result;
	struct event *fd_event; /* of concd_wait_fd(), made when first needed */
	bool in_suspend;

	const uint8_t *input;
	size_t input_len;
	size_t result_len;
	bool unusual; /* what stands from here to done_status, or limit_ns, is not as before the task: only then it is reset */
	uint8_t *input_heap; /* owned; NULL: inline */
	uint8_t *result_heap; /* owned; NULL: inline */
	size_t refused_result_len; /* not 0: a result over max_result was given */
	char *fail_text; /* owned */
	uint32_t fail_why; /* 0: concd_fail() was not called */
	int64_t retry_after_ns;
	struct waker *waker;
	bool resumed; /* a resume came that no suspend has taken yet */
	uint8_t done_status; /* enum ring_status where run returns 0: RING_DONE, or RING_SPLIT */
	struct division *division; /* while its input is divided or its parts are combined */

	/* concd_receive(). */
	struct mail_message *message; /* the one the task has now; owned */
	struct mail_waiter mail_waiter;
	_Atomic bool mailed; /* set by the host thread: a message came for the waiting task */

	/* Written by the runner's thread for the host thread, which watches time limits. limit_ns says whose the others
	 * are: it is 0 while they change (a sequence lock), and no two tasks of a slot have the same. */
	_Atomic int64_t limit_ns; /* 0: no limit */
	_Atomic int64_t overdue_ns;
	_Atomic int64_t begin_ns;
	_Atomic uint64_t chunk_generation; /* chunk << 32 | generation */
	_Atomic uint32_t chunk_index;
	/* Written by the host thread: the limit_ns of the task that is to know of it. Relaxed: like a job's cancel. */
	_Atomic int64_t told_limit_ns;
	_Atomic int64_t over_limit_ns; /* likewise, of the task that used more processor time than cpu_timeout */
	int64_t over_ns; /* when that was found; the host thread's own, as are: */
	/* The host thread's own: the limit_ns of the task last reported late, and overdue. */
	int64_t late_limit_ns, reported_limit_ns;

	uint8_t input_inline[SLOT_INLINE_BYTES];
	uint8_t result_inline[SLOT_INLINE_BYTES];
};

/* What the host thread asks of a runner (attention). */
#define LOOK_CANCELS 1u
#define LOOK_DRAIN 2u
#define LOOK_STOP 4u
#define LOOK_MAIL 8u
#define LOOK_RESUME 16u

enum asleep { AWAKE, ASLEEP_IN_BASE, ASLEEP_ON_FUTEX };

struct runner {
	struct concd_worker pub; /* what the plugin holds; first */

	/* Constant. */
	struct runner_options options;
	int wake_fd;
	struct event_base *base;
	struct event *wake_event; /* wake_fd is readable */
	struct event *tick_event; /* the next timer is due */
	struct stack_slab *stacks;
	struct slot *slots; /* coroutines of them, untouched until used */
	struct open_chunk *chunks; /* coroutines + 1, likewise */
	pthread_t thread;
	bool has_thread;

	/* The runner's thread. */
	struct slot *current; /* whose stack this is; NULL: the loop's */
	struct slot *ready_first, *ready_last;
	uint32_t n_ready;
	uint32_t n_begun; /* slots that are not FREE */
	uint32_t *free_slots; /* stack of numbers */
	uint32_t n_free_slots;
	struct open_chunk *free_chunk;
	uint32_t n_used_chunks;
	struct open_chunk *filling; /* the chunk whose tasks are being begun */
	struct timers timers;
	struct task_clock clock;
	struct tick_clock tick_clock;
	int64_t now_ns; /* the last clock read ... */
	bool now_fresh; /* ... since which nothing was waited for */
	int64_t served_ns;
	int64_t unpublished_ns; /* since when records wait for ring_publish(); 0: none do */
	bool draining, stopping, quitting;
	_Atomic bool used_up; /* no task may begin any more: read by the host thread */
	char last_line[FAILURE_BYTES]; /* the last line that worker_init logged */
	char log_line[LOG_LINE_BYTES];

	pid_t tid; /* of the thread; before state becomes READY */

	/* Between the thread and the watch over it (stall.h). */
	struct stall_turn turn;
	struct stall_sample sample;

	/* Any thread writes, the runner's reads. */
	_Atomic uint32_t attention; /* LOOK_* */
	_Atomic(struct waker *) posted; /* stack of wakers that were resumed from elsewhere */
	_Atomic uint32_t resuming; /* threads in host_resume() that are not done with the runner */
	_Atomic(struct offload *) offloaded; /* stack of those whose function has ended */
	_Atomic int asleep; /* enum asleep: written by the runner's thread, read by who wakes it */

	/* The runner's thread writes, the host's reads. */
	_Atomic int state; /* enum runner_state */
	_Atomic uint32_t n_used_slots; /* slots beyond were never used */
	char failure[FAILURE_BYTES]; /* before state becomes FAILED */
};

static inline int64_t runner_read_clock(struct runner *runner)
{
	int64_t now_ns = tick_clock_now(&runner->tick_clock);

	if (now_ns > runner->now_ns) /* see there */
		runner->now_ns = now_ns;
	runner->now_fresh = true;
	return runner->now_ns;
}

/* The last clock read if it is fresh, else a new one. */
static inline int64_t runner_now(struct runner *runner)
{
	return runner->now_fresh ? runner->now_ns : runner_read_clock(runner);
}

/* The loop wants a turn. */
static inline bool runner_due(const struct runner *runner)
{
	/* relaxed: only a hint here, the loop reads it in order */
	return runner->now_ns - runner->served_ns >= SERVE_NS ||
	       atomic_load_explicit(&runner->attention, memory_order_relaxed) != 0 ||
	       atomic_load_explicit(&runner->posted, memory_order_relaxed) != NULL ||
	       atomic_load_explicit(&runner->offloaded, memory_order_relaxed) != NULL;
}

/* A task comes on the thread at since_ns: to be seen by the watch. */
static inline void turn_begin(struct slot *slot, int64_t since_ns)
{
	struct runner *runner = slot->runner;

	/* relaxed, all: ordered by the release below. Since the clock was read last, the thread was on a processor
	 * (task_time.h): so much it had used at since_ns. */
	if (runner->options.cpu_timeout_ns > 0) {
		atomic_store_explicit(&runner->turn.slot, slot->number, memory_order_relaxed);
		atomic_store_explicit(&runner->turn.cpu_credit_ns,
				      slot->time.cpu_ns - (runner->clock.read_cpu_ns + since_ns - runner->clock.read_wall_ns),
				      memory_order_relaxed);
	}
	atomic_store_explicit(&runner->turn.runq_ns, runner->clock.read_runq_ns, memory_order_relaxed);
	/* Read just now, it was read after since_ns, and perhaps long after: the thread may have lost its processor between. */
	atomic_store_explicit(&runner->turn.from_ns,
			      runner->clock.read_wall_ns == since_ns ? clock_mono_ns() : since_ns, memory_order_relaxed);
	atomic_store_explicit(&runner->turn.since_ns, since_ns, memory_order_release); /* see struct stall_turn */
}

/* It leaves it at now_ns. */
static inline void turn_end(struct runner *runner, int64_t now_ns)
{
	/* relaxed, both: our own; and the watch copes with an end that comes just as it names the turn */
	if (atomic_load_explicit(&runner->turn.named_ns, memory_order_relaxed) != 0)
		atomic_store_explicit(&runner->turn.ended_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&runner->turn.since_ns, 0, memory_order_release); /* after ended_ns */
}

extern const struct concd_host host_services; /* services.c */

/* The runner whose thread this is; NULL on other threads. */
struct runner *runner_of_thread(void);

/* runner.c */
void runner_look_mail(struct runner *runner); /* any thread: a slot was marked as mailed */
void runner_wake(struct runner *runner); /* any thread: end its sleep, or keep it from one */

/* task.c */
bool task_next(struct runner *runner, uint32_t *ret_index); /* begin the next task in the rings: of runner->filling */
void task_begin(struct slot *slot, struct open_chunk *chunk, uint32_t index);
void task_run(struct slot *slot); /* on its coroutine: run it and everything that may follow at once */
void task_publish(struct runner *runner);
bool task_cancelled(const struct slot *slot); /* any thread */

/* wait.c */
/* Leave the processor until slot_wake() or the timeout (negative: none). What slot_wake() was given; -ETIMEDOUT;
 * -ECANCELED; -ENOMEM. */
CONCD_YIELDS int slot_wait(struct slot *slot, int64_t timeout_ns);
void slot_wake(struct slot *slot, int result); /* does nothing unless it waits */
void slot_make_ready(struct slot *slot);
bool slot_on_its_stack(const struct slot *slot); /* may it wait here? */
int slot_may_wait(const struct slot *slot); /* now? 0; -EPERM; -ECANCELED */
int host_sleep(struct concd_task *task, int64_t duration_ns);
int host_wait_fd(struct concd_task *task, int fd, int events, int64_t timeout_ns);
int host_yield(struct concd_task *task);

/* resume.c */
struct concd_resumer *host_resumer(struct concd_task *task);
int host_suspend(struct concd_task *task, int64_t timeout_ns);
void host_resume(struct concd_resumer *resumer);
void host_resumer_free(struct concd_resumer *resumer);
void resume_detach(struct slot *slot); /* its task ended */
void resume_take_posted(struct runner *runner);
void resume_settle(const struct runner *runner); /* until no thread is about to wake it; blocks */
bool resume_has_posted(const struct runner *runner);

/* steps.c */
/* What runs the tasks of a chunk that begins with this number. */
task_run_fn steps_run(const struct concd_plugin *plugin, uint64_t first);
int host_part_add(struct concd_task *task, const void *data, size_t len);
uint64_t host_part_count(struct concd_task *task);
const void *host_part_result(struct concd_task *task, uint64_t part, size_t *ret_len);

/* receive.c */
int host_receive(struct concd_task *task, int64_t timeout_ns, const void **ret_data, size_t *ret_len);
void receive_end(struct slot *slot); /* its task ended */

/* offload.c */
int host_offload(struct concd_task *task, void (*fn)(void *arg), void *arg);
void offload_take_ended(struct runner *runner);
bool offload_has_ended(const struct runner *runner);
struct slot *offload_of_thread(void); /* whose function this helper thread runs; NULL: it is none, or idle */

/* fault.c */
/* The canary of the slot's stack is gone: say so and end the process. */
_Noreturn void fault_overrun(struct runner *runner, struct slot *slot);

#endif
