/* The runner's thread and its loop. runner_private.h has the picture. */
#include "runner.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/error.h"
#include "worker/fault.h"
#include "worker/runner_private.h"

static _Thread_local struct runner *thread_runner;

struct runner *runner_of_thread(void)
{
	return thread_runner;
}

/* ---- Being woken ---- */

void runner_wake(struct runner *runner)
{
	const uint64_t one = 1;

	/* seq_cst: after what it is woken for was stored. Either we see that it sleeps, or it sees that
	 * (go_to_sleep()). */
	switch (atomic_load_explicit(&runner->asleep, memory_order_seq_cst)) {
	case ASLEEP_IN_BASE:
		(void)!write(runner->wake_fd, &one, sizeof(one)); /* full only if a wake-up is pending anyway */
		break;
	case ASLEEP_ON_FUTEX:
		ring_kick(runner->options.ring, runner->options.number);
		break;
	default:
		break; /* it looks before it sleeps */
	}
}

static void ask(struct runner *runner, uint32_t what)
{
	(void)atomic_fetch_or_explicit(&runner->attention, what, memory_order_seq_cst); /* see runner_wake() */
	runner_wake(runner);
}

void runner_drain(struct runner *runner)
{
	/* relaxed: only the host thread sets it, and ask() orders */
	(void)atomic_fetch_and_explicit(&runner->attention, ~LOOK_RESUME, memory_order_relaxed);
	ask(runner, LOOK_DRAIN);
}

void runner_resume(struct runner *runner)
{
	(void)atomic_fetch_and_explicit(&runner->attention, ~LOOK_DRAIN, memory_order_relaxed); /* likewise */
	ask(runner, LOOK_RESUME);
}

void runner_stop(struct runner *runner)
{
	ask(runner, LOOK_DRAIN | LOOK_STOP);
}

void runner_look(struct runner *runner)
{
	ask(runner, LOOK_CANCELS);
}

void runner_look_mail(struct runner *runner)
{
	ask(runner, LOOK_MAIL);
}

/* ---- Slots ---- */

static void slot_main(void *arg)
{
	struct slot *slot = arg;
	struct runner *runner = slot->runner;

	while (!runner->quitting) {
		task_run(slot);
		slot->state = SLOT_FREE;
		runner->n_begun--;
		runner->free_slots[runner->n_free_slots++] = slot->number;
		coroutine_leave(&slot->co);
	}
}

static struct slot *slot_take(struct runner *runner)
{
	uint32_t number;
	struct slot *slot;
	size_t bytes;
	void *stack;

	runner->n_begun++;
	if (runner->n_free_slots > 0)
		return &runner->slots[runner->free_slots[--runner->n_free_slots]];
	number = atomic_load_explicit(&runner->n_used_slots, memory_order_relaxed); /* only we write it */
	slot = &runner->slots[number];
	slot->pub.host = &host_services;
	slot->pub.worker = &runner->pub;
	slot->runner = runner;
	slot->number = number;
	slot->retry_after_ns = -1;
	stack = stack_get(runner->stacks, number, &bytes);
	coroutine_start(&slot->co, stack, bytes, slot_main, slot);
	slot->has_coroutine = true;
	/* release: the host thread reads slots below it */
	atomic_store_explicit(&runner->n_used_slots, number + 1, memory_order_release);
	return slot;
}

static void slot_enter(struct slot *slot)
{
	struct runner *runner = slot->runner;

	slot->state = SLOT_RUNNING;
	runner->current = slot;
	ring_on_task(runner->options.ring, runner->options.number, slot->chunk->claim.chunk, slot->index);
	coroutine_enter(&slot->co);
	ring_off_task(runner->options.ring, runner->options.number);
	runner->current = NULL;
	if (!stack_canary_ok(runner->stacks, slot->number))
		fault_overrun(runner, slot);
}

static bool timer_is_live(const void *ctx, const struct timer *timer)
{
	const struct runner *runner = ctx;
	const struct slot *slot = &runner->slots[timer->slot];

	return slot->state == SLOT_WAITING && slot->wait_number == timer->number;
}

/* Did its wait end before it was to? Where a task held the loop, both are found at once, and what came first counts: the
 * others do not pay for that task. */
static bool ended_in_time(const struct slot *slot, int64_t end_ns)
{
	/* relaxed, both: see struct worker_job; and our own */
	return atomic_load_explicit(&slot->chunk->job->cancel, memory_order_relaxed) == 0 &&
	       end_ns <= atomic_load_explicit(&slot->limit_ns, memory_order_relaxed);
}

static void wake_expired(struct runner *runner)
{
	struct timer timer;

	if (runner->timers.n == 0)
		return;
	while (timers_pop(&runner->timers, runner_now(runner), &timer)) {
		struct slot *slot = &runner->slots[timer.slot];

		slot_wake(slot, task_cancelled(slot) && !ended_in_time(slot, timer.at_ns) ? -ECANCELED : -ETIMEDOUT);
	}
}

static void pay_attention(struct runner *runner)
{
	uint32_t what, used;

	if (atomic_load_explicit(&runner->attention, memory_order_relaxed) == 0) /* the exchange orders */
		return;
	/* acquire: what the host thread stored before it asked */
	what = atomic_exchange_explicit(&runner->attention, 0, memory_order_acquire);
	if (what & LOOK_DRAIN)
		runner->draining = true;
	if (what & LOOK_RESUME)
		runner->draining = runner->stopping;
	if (what & LOOK_STOP)
		runner->draining = runner->stopping = true;
	if (!(what & (LOOK_CANCELS | LOOK_MAIL)))
		return;
	if (what & LOOK_CANCELS)
		wake_expired(runner);
	used = atomic_load_explicit(&runner->n_used_slots, memory_order_relaxed); /* our own */
	for (uint32_t i = 0; i < used; i++) {
		struct slot *slot = &runner->slots[i];

		if (slot->state != SLOT_WAITING)
			continue;
		if ((what & LOOK_CANCELS) && task_cancelled(slot))
			slot_wake(slot, -ECANCELED);
		else if (atomic_load_explicit(&slot->mailed, memory_order_relaxed)) /* ordered by the exchange above */
			slot_wake(slot, 0);
	}
}

/* ---- A turn of the loop ---- */

/* Enter what is ready now; what becomes ready meanwhile waits for the next turn, so that new tasks get theirs. */
static void run_ready(struct runner *runner)
{
	for (uint32_t n = runner->n_ready; n > 0; n--) {
		struct slot *slot = runner->ready_first;
		int64_t now_ns = runner_now(runner);

		runner->ready_first = slot->next;
		if (!runner->ready_first)
			runner->ready_last = NULL;
		runner->n_ready--;
		task_time_queued(&slot->time, slot->ready_ns, now_ns);
		task_time_in(&runner->clock, &slot->time, now_ns);
		turn_begin(slot, now_ns);
		slot_enter(slot);
		if (runner->now_ns - runner->served_ns >= SERVE_NS)
			return;
	}
}

/* true: there may be more to begin, but the loop wants a turn. */
static bool begin_tasks(struct runner *runner)
{
	uint32_t index;

	while (runner->n_begun < runner->options.coroutines) {
		struct open_chunk *chunk;
		struct slot *slot;

		if (runner_due(runner))
			return true;
		if (!task_next(runner, &index))
			return false;
		chunk = runner->filling;
		slot = slot_take(runner);
		task_begin(slot, chunk, index);
		slot_enter(slot);
	}
	return false;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what; /* only ever readable */
	(void)arg; /* the loop looks at everything after it served the base */
	(void)!read(fd, &count, sizeof(count)); /* the count says nothing */
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* a timer has none; the loop looks at its heap after it served the base */
	(void)what;
	(void)arg;
}

/* Does anything but the runner itself wait on the base? */
static bool base_is_used(const struct runner *runner)
{
	return event_base_get_num_events(runner->base, EVENT_BASE_COUNT_ADDED | EVENT_BASE_COUNT_ACTIVE) > 1;
}

static void serve(struct runner *runner, int flags)
{
	runner->now_fresh = false;
	(void)event_base_loop(runner->base, flags); /* fails only where epoll_wait does: nothing that a retry changes */
	runner->served_ns = runner_read_clock(runner);
}

static void serve_if_due(struct runner *runner)
{
	if (runner_now(runner) - runner->served_ns < SERVE_NS)
		return;
	task_publish(runner);
	if (base_is_used(runner))
		serve(runner, EVLOOP_NONBLOCK);
	runner->served_ns = runner_now(runner);
}

/* Block in the base until an event, the next timer, or a wake-up. */
static void sleep_in_base(struct runner *runner, int64_t next_ns)
{
	if (next_ns != INT64_MAX) {
		int64_t left_us = (next_ns - clock_mono_ns() + NS_PER_US - 1) / NS_PER_US;
		struct timeval tv;

		left_us = left_us < 0 ? 0 : left_us;
		tv.tv_sec = (time_t)(left_us / 1000000);
		tv.tv_usec = (suseconds_t)(left_us % 1000000);
		(void)event_add(runner->tick_event, &tv); /* out of memory: the wait would be longer, below */
	}
	serve(runner, EVLOOP_ONCE);
	(void)event_del(runner->tick_event); /* fails for no event that was made */
}

static bool is_wanted(const struct runner *runner)
{
	/* seq_cst: after `asleep` was stored; see runner_wake() */
	return atomic_load_explicit(&runner->attention, memory_order_seq_cst) != 0 || resume_has_posted(runner) ||
	       offload_has_ended(runner);
}

/* Nothing can run: sleep until something can. On the futex only while nothing is pending on the base. A runner that
 * could take a task says in the segment that it is idle; one that is full or draining sleeps by itself. */
static void go_to_sleep(struct runner *runner)
{
	bool open = !runner->draining && runner->n_begun < runner->options.coroutines;
	int64_t next_ns = timers_next_ns(&runner->timers);
	bool in_base = !open || next_ns != INT64_MAX || base_is_used(runner);

	task_publish(runner);
	/* seq_cst: before the look at what it might be woken for */
	atomic_store_explicit(&runner->asleep, in_base ? ASLEEP_IN_BASE : ASLEEP_ON_FUTEX, memory_order_seq_cst);
	if (!is_wanted(runner) &&
	    (!open || ring_sleep_begin(runner->options.ring, runner->options.number, in_base))) {
		if (in_base)
			sleep_in_base(runner, next_ns);
		else
			ring_sleep_futex(runner->options.ring, runner->options.number);
		if (open)
			ring_sleep_end(runner->options.ring, runner->options.number);
		runner->served_ns = runner_read_clock(runner);
	}
	if (!runner->options.watch) {
		/* relaxed: a wake-up too many does no harm */
		atomic_store_explicit(&runner->asleep, AWAKE, memory_order_relaxed);
		return;
	}
	/* seq_cst: either the watch sees that this runner is awake, or we see that it sleeps (stall.c) */
	atomic_store_explicit(&runner->asleep, AWAKE, memory_order_seq_cst);
	stall_watch_wake(runner->options.watch);
}

static void run_loop(struct runner *runner)
{
	for (;;) {
		bool more;

		pay_attention(runner);
		resume_take_posted(runner);
		offload_take_ended(runner);
		wake_expired(runner);
		run_ready(runner);
		more = begin_tasks(runner);
		serve_if_due(runner);
		if (runner->stopping && runner->n_begun == 0)
			break;
		if (!more && !runner->ready_first)
			go_to_sleep(runner);
	}
	task_publish(runner);
}

/* ---- The thread ---- */

static void set_state(struct runner *runner, enum runner_state state)
{
	/* release: `failure` is seen by who reads the state (acquire) */
	atomic_store_explicit(&runner->state, (int)state, memory_order_release);
	if (runner->options.on_state)
		runner->options.on_state(runner->options.arg);
}

static int init_worker(struct runner *runner)
{
	int (*init)(struct concd_worker *worker) = runner->options.plugin->worker_init;
	int r = init ? init(&runner->pub) : 0;
	const char *name = r < 0 ? strerrordesc_np(-r) : NULL;

	if (r == 0)
		return 0;
	(void)snprintf(runner->failure, sizeof(runner->failure), "%s",
		       runner->last_line[0] ? runner->last_line : name ? name : "worker_init failed");
	return -ECANCELED;
}

/* Let idle coroutines return, so that sanitizers see every stack ended. */
static void end_coroutines(struct runner *runner)
{
	uint32_t used = atomic_load_explicit(&runner->n_used_slots, memory_order_relaxed); /* our own */

	runner->quitting = true;
	for (uint32_t i = 0; i < used; i++) {
		struct slot *slot = &runner->slots[i];

		coroutine_enter(&slot->co);
		coroutine_finish(&slot->co);
		slot->has_coroutine = false;
		if (slot->fd_event)
			event_free(slot->fd_event);
	}
}

static void *runner_main(void *arg)
{
	struct runner *runner = arg;
	int r;

	thread_runner = runner;
	runner->tid = gettid();
	r = fault_thread_open();
	if (r < 0) {
		(void)snprintf(runner->failure, sizeof(runner->failure), "no memory for the runner's fault stack");
		set_state(runner, RUNNER_FAILED);
		return NULL;
	}
	r = init_worker(runner);
	task_publish(runner); /* what it logged */
	if (r == 0) {
		task_clock_open(&runner->clock);
		tick_clock_open(&runner->tick_clock);
		runner->served_ns = runner_read_clock(runner);
		set_state(runner, RUNNER_READY);
		run_loop(runner);
		if (runner->options.plugin->worker_exit)
			runner->options.plugin->worker_exit(&runner->pub);
		end_coroutines(runner);
		task_publish(runner); /* what worker_exit logged */
		task_clock_close(&runner->clock);
	}
	fault_thread_close();
	thread_runner = NULL;
	set_state(runner, r == 0 ? RUNNER_ENDED : RUNNER_FAILED);
	return NULL;
}

#define RUNNER_OTHER_BYTES (1u << 20) /* the base, the alternate stack, guard pages */

static void *map_zeros(size_t n, size_t size)
{
	void *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int open_base(struct runner *runner)
{
	struct event_config *config = event_config_new();

	if (!config)
		return -ENOMEM;
	(void)event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER); /* else sleeps end milliseconds late */
	runner->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!runner->base)
		return -ENOMEM;
	runner->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (runner->wake_fd < 0)
		return -errno;
	runner->wake_event = event_new(runner->base, runner->wake_fd, EV_READ | EV_PERSIST, on_wake, runner);
	runner->tick_event = event_new(runner->base, -1, 0, on_tick, runner);
	if (!runner->wake_event || !runner->tick_event || event_add(runner->wake_event, NULL) < 0)
		return -ENOMEM;
	return 0;
}

uint64_t runner_address_bytes(uint32_t coroutines, size_t stack_bytes)
{
	uint64_t c = coroutines, thread_bytes = 8 << 20;
	pthread_attr_t attr;
	size_t bytes;

	if (pthread_attr_init(&attr) == 0) {
		if (pthread_attr_getstacksize(&attr, &bytes) == 0)
			thread_bytes = bytes;
		(void)pthread_attr_destroy(&attr); /* never fails */
	}
	return stack_slab_address_bytes(coroutines, stack_bytes_for(coroutines, stack_bytes)) +
	       c * (sizeof(struct slot) + sizeof(struct open_chunk) + 2 * sizeof(uint64_t)) + thread_bytes +
	       RUNNER_OTHER_BYTES;
}

int runner_new(const struct runner_options *options, struct runner **ret_runner, struct error *err)
{
	struct runner *runner = calloc(1, sizeof(*runner));
	size_t c = options->coroutines;
	int r;

	if (!runner)
		return error_set(err, -ENOMEM, "no-memory", "no memory for a runner");
	runner->options = *options;
	runner->wake_fd = -1;
	runner->pub.host = &host_services;
	runner->slots = map_zeros(c, sizeof(struct slot));
	runner->chunks = map_zeros(c + 1, sizeof(struct open_chunk));
	runner->free_slots = calloc(c, sizeof(runner->free_slots[0]));
	timers_init(&runner->timers, timer_is_live, runner);
	r = runner->slots && runner->chunks && runner->free_slots ? open_base(runner) : -ENOMEM;
	if (r == 0)
		r = stack_slab_open((uint32_t)c, stack_bytes_for((uint32_t)c, options->stack_bytes), &runner->stacks);
	if (r < 0) {
		runner_free(runner);
		return error_set(err, r, "no-memory", "a runner with %zu coroutines: %s", c, strerror(-r));
	}
	*ret_runner = runner;
	return 0;
}

int runner_start(struct runner *runner)
{
	int r = pthread_create(&runner->thread, NULL, runner_main, runner);

	runner->has_thread = r == 0;
	return -r;
}

void runner_free(struct runner *runner)
{
	if (!runner)
		return;
	if (runner->has_thread)
		(void)pthread_join(runner->thread, NULL); /* it is joined once, and by nobody else */
	resume_take_posted(runner); /* what came after its end */
	resume_settle(runner);
	if (runner->has_thread)
		helpers_settle(runner->options.helpers); /* the last one that woke it may still be at it */
	timers_fini(&runner->timers);
	stack_slab_close(runner->stacks);
	if (runner->wake_event)
		event_free(runner->wake_event);
	if (runner->tick_event)
		event_free(runner->tick_event);
	if (runner->base)
		event_base_free(runner->base);
	if (runner->wake_fd >= 0)
		(void)close(runner->wake_fd); /* an eventfd has nothing to lose */
	if (runner->slots)
		(void)munmap(runner->slots, runner->options.coroutines * sizeof(struct slot)); /* mapped as a whole */
	if (runner->chunks)
		(void)munmap(runner->chunks, (runner->options.coroutines + (size_t)1) * sizeof(struct open_chunk));
	free(runner->free_slots);
	free(runner);
}

/* ---- For the host thread ---- */

enum runner_state runner_state(const struct runner *runner)
{
	return (enum runner_state)atomic_load_explicit(&runner->state, memory_order_acquire); /* see set_state() */
}

const char *runner_failure(const struct runner *runner)
{
	return runner->failure;
}

bool runner_is_used_up(const struct runner *runner)
{
	return atomic_load_explicit(&runner->used_up, memory_order_relaxed); /* see take_turn() */
}

int runner_event_fd(const struct runner *runner)
{
	return runner->wake_fd;
}
