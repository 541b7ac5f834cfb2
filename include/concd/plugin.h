/* The concd plugin interface: the one header that a plugin includes.
 *
 * A plugin implements a *workload*: it turns one input into one result, as straight-line code. concd decides how many
 * of its tasks run at once and on what: one by one, as coroutines on an event loop, on threads, in processes. The same
 * shared object runs under every model without a change.
 *
 *	static int run(struct concd_task *task)
 *	{
 *		size_t len;
 *		const char *input = concd_input(task, &len);
 *
 *		return concd_result(task, input, len);
 *	}
 *
 *	static const struct concd_plugin plugin = {
 *		CONCD_PLUGIN_HEADER,
 *		.name = "echo", .version = "1.0", .summary = "gives its input back",
 *		.kind = CONCD_KIND_CPU,
 *		.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
 *		.run = run,
 *	};
 *	CONCD_PLUGIN(plugin)
 *
 * Life of a plugin in a worker process
 *
 *	load ── worker_init ── run, run, run ... ── worker_exit ── unload
 *	        (once per runner thread)          (same thread)
 *
 * A runner thread keeps 1..C tasks going. With C > 1 each task is a coroutine, and the functions marked (y) below let
 * the other tasks of the same thread go on while this one waits; with C = 1 they just wait. A task never moves to
 * another thread. Between two (y) calls it runs alone on its thread, so state kept per thread needs no lock.
 *
 * Cancelling makes the (y) call in progress, and every later one, return -ECANCELED. The task then frees what it holds
 * and returns; it is never torn down from outside, unless it does not return within its grace time: then its process
 * is killed. Code that computes for long without a (y) call asks concd_cancelled() every few milliseconds.
 *
 * Rules: no global mutable state unless the plugin is not CONCD_THREAD_SAFE; never block a (y)-capable thread in a call
 * that waits (that is what (y) calls and concd_offload() are for); restore rounding modes and signal masks that you
 * change; stacks are 64 KiB - 256 KiB with C > 1, so large arrays go to the heap; retrying is the host's work
 * (CONCD_FAIL_RETRY), never the plugin's.
 *
 * A task that holds its thread for longer than `stall` of the configuration is named together with its stack. A thread that is blocked
 * in the kernel is looked at from outside and notices nothing. One that computes gets a signal (SIGRTMAX - 2, SA_RESTART) whose
 * handler takes the stack; should it enter, at that very moment, a call that is never restarted (nanosleep, poll, and
 * what else signal(7) lists), that call returns EINTR, as every program must expect of them. Leave this signal alone.
 *
 * Errors are negative errno values. Every struct begins with its size and only grows at its end.
 */
#ifndef CONCD_PLUGIN_H
#define CONCD_PLUGIN_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CONCD_ABI 1u

/* Marks a function that may let other tasks of the same thread run before it returns. */
#define CONCD_YIELDS

/* What the time of a task goes to: a hint for model "auto" and for advice. */
#define CONCD_KIND_MIXED 0u
#define CONCD_KIND_CPU 1u
#define CONCD_KIND_IO 2u

/* What the host may rely on (concd_plugin.flags). Configuration can take a promise back, never add one. */
#define CONCD_THREAD_SAFE (1u << 0) /* run may execute on several threads of one process at once */
#define CONCD_IDEMPOTENT (1u << 1) /* a task may run twice, for example after a crash */
#define CONCD_DETERMINISTIC (1u << 2) /* the same input gives the same result, under every model */

/* What tasks need (concd_plugin.needs); what is not named may be denied by the sandbox. */
#define CONCD_NEEDS_NETWORK (1u << 0)
#define CONCD_NEEDS_FILES (1u << 1) /* writes outside its own temporary directory */
#define CONCD_NEEDS_PROCESSES (1u << 2)
#define CONCD_NEEDS_THREADS (1u << 3) /* starts threads of its own */

/* Types of parameters. Their values are text in configuration and on the command line. */
#define CONCD_PARAM_TEXT 0u
#define CONCD_PARAM_INT 1u /* int64 */
#define CONCD_PARAM_NUMBER 2u /* double */
#define CONCD_PARAM_BOOL 3u
#define CONCD_PARAM_DURATION 4u /* "500ms", "10s", "2m": nanoseconds in int64 */
#define CONCD_PARAM_SIZE 5u /* "64M": bytes in int64 */

#define CONCD_PARAM_SECRET (1u << 0) /* never shown, logged or stored in clear listings */

/* One parameter of a workload. All strings are static. Its layout is fixed for an ABI number: tables have no sizes. */
struct concd_param {
	const char *name; /* lower-case letters, digits, '_' */
	uint32_t type; /* CONCD_PARAM_TEXT ... */
	uint32_t flags; /* CONCD_PARAM_SECRET */
	const char *value; /* the default, as text; NULL: "" or 0 */
	const char *min; /* smallest value as text, for INT, NUMBER, DURATION, SIZE; NULL: no limit */
	const char *max; /* largest value, likewise */
	const char *choices; /* for TEXT: the words allowed, separated by '|'; NULL: any text */
	const char *help; /* one line for people, with the unit where the type does not say it */
};

/* Severity of concd_log(). */
#define CONCD_LOG_ERROR 0
#define CONCD_LOG_WARNING 1
#define CONCD_LOG_INFO 2
#define CONCD_LOG_DEBUG 3

/* Why a task fails (concd_fail()). */
#define CONCD_FAIL_INPUT 1u /* the input is not acceptable: code invalid-input; never tried again */
#define CONCD_FAIL_PERMANENT 2u /* trying again cannot help: code failed */
#define CONCD_FAIL_RETRY 3u /* trying again may help: the host decides, by the job's retries and back-off */

/* Events of concd_wait_fd(). */
#define CONCD_READ 1
#define CONCD_WRITE 2

#define CONCD_NO_TIMEOUT INT64_C(-1)

struct concd_host;
struct concd_resumer;

/* A runner thread, as its plugin sees it. Made and freed by the host; valid from worker_init to worker_exit. */
struct concd_worker {
	const struct concd_host *host;
	void *state; /* what worker_init stored; the plugin's own, one per runner thread */
};

/* A task in progress. Made and freed by the host; valid until run returns. */
struct concd_task {
	const struct concd_host *host;
	struct concd_worker *worker;
};

/* The services of the host. Plugins call them through the concd_*() functions below, which say what they do. */
struct concd_host {
	uint32_t size; /* of this struct as the host knows it */
	uint32_t abi;

	const void *(*input)(struct concd_task *task, size_t *ret_len);
	uint64_t (*index)(struct concd_task *task);
	int (*param_text)(struct concd_task *task, const char *name, const char **ret_value);
	int (*param_int)(struct concd_task *task, const char *name, int64_t *ret_value);
	int (*param_number)(struct concd_task *task, const char *name, double *ret_value);
	int (*worker_param_text)(struct concd_worker *worker, const char *name, const char **ret_value);
	int (*worker_param_int)(struct concd_worker *worker, const char *name, int64_t *ret_value);
	int (*worker_param_number)(struct concd_worker *worker, const char *name, double *ret_value);

	int (*result)(struct concd_task *task, const void *data, size_t len);
	int (*vfail)(struct concd_task *task, uint32_t why, int64_t retry_after_ns, const char *format, va_list ap);
	void (*vlog)(struct concd_worker *worker, int level, const char *format, va_list ap);
	void (*progress)(struct concd_task *task, double fraction);
	int (*cancelled)(struct concd_task *task);

	int (*sleep)(struct concd_task *task, int64_t duration_ns);
	int (*wait_fd)(struct concd_task *task, int fd, int events, int64_t timeout_ns);
	int (*yield)(struct concd_task *task);
	int (*receive)(struct concd_task *task, int64_t timeout_ns, const void **ret_data, size_t *ret_len);
	int (*offload)(struct concd_task *task, void (*fn)(void *arg), void *arg);

	struct concd_resumer *(*resumer)(struct concd_task *task);
	int (*suspend)(struct concd_task *task, int64_t timeout_ns);
	void (*resume)(struct concd_resumer *resumer);
	void (*resumer_free)(struct concd_resumer *resumer);
	void *(*event_base)(struct concd_worker *worker);

	int (*part_add)(struct concd_task *task, const void *data, size_t len);
	uint64_t (*part_count)(struct concd_task *task);
	const void *(*part_result)(struct concd_task *task, uint64_t part, size_t *ret_len);
	uint32_t (*workers)(struct concd_task *task);
};

/* What a plugin exports. Static and constant. Functions that may be NULL say so. A host takes a smaller struct of its
 * own ABI as an older plugin, which leaves what it does not have at NULL, and ignores what a larger one adds. */
struct concd_plugin {
	uint32_t size; /* CONCD_PLUGIN_HEADER fills these two; the host checks them before anything else */
	uint32_t abi;

	const char *name; /* lower-case letters, digits, '-', '_'; at most 32 */
	const char *version;
	const char *summary; /* one line for people */
	uint32_t kind; /* CONCD_KIND_* */
	uint32_t flags; /* CONCD_THREAD_SAFE ... */
	uint32_t needs; /* CONCD_NEEDS_* */
	uint32_t n_params;
	const struct concd_param *params; /* NULL where n_params is 0 */

	/* Prepare a runner thread: open the session, the connection, the scratch memory that its tasks share, and store
	 * it in worker->state. Runs on the thread's own stack before its first task; must finish within start_timeout.
	 * 0, or -errno after logging why: the process ends and no task is blamed. May be NULL. */
	int (*worker_init)(struct concd_worker *worker);
	/* Undo worker_init on the same thread. Not called where the process is killed. May be NULL. */
	void (*worker_exit)(struct concd_worker *worker);

	/* Run one task. 0: done, with what concd_result() was given, or an empty result. Negative: failed, with what
	 * concd_fail() was told, else with the errno's text; -ECANCELED of a cancelled task: cancelled. */
	int (*run)(struct concd_task *task);

	/* Divide a big input: call concd_part_add() for each part, at best a few per concd_workers(), and return 0. No
	 * part at all: the input is not worth dividing, and run follows at once. Called for every task before run, so
	 * it should be quick to see that. A service's input is not divided. May be NULL: inputs are never divided. "Dividing big inputs" below has more. */
	int (*split)(struct concd_task *task);
	/* Run one part, like run; its input is what split added. NULL: run serves parts too. */
	int (*run_part)(struct concd_task *task);
	/* Put the parts' results (concd_part_result) together into the task's. Required where split is given. */
	int (*combine)(struct concd_task *task);
};

#define CONCD_PLUGIN_HEADER .size = sizeof(struct concd_plugin), .abi = CONCD_ABI
#define CONCD_PLUGIN_SYMBOL "concd_plugin_v1"

/* Export the plugin: once, at the end of its source. */
#define CONCD_PLUGIN(plugin) \
	__attribute__((visibility("default"))) const struct concd_plugin *const concd_plugin_v1 = &(plugin);

/* ---- The task and its data. Any time within run, on the task's own thread. None of these blocks or yields. ---- */

/* The input's bytes, valid until run returns. A NUL stands behind them, so text can be used as a string. */
static inline const char *concd_input(struct concd_task *task, size_t *ret_len)
{
	return (const char *)task->host->input(task, ret_len);
}

/* The task's number in its job, from 0. */
static inline uint64_t concd_index(struct concd_task *task)
{
	return task->host->index(task);
}

/* A parameter as this job has it (command line, stanza, plugin's default, in this order). 0; -ENOENT: the plugin
 * declares no such parameter; -EINVAL: declared with another type. Text is valid until run returns. DURATION is in
 * nanoseconds, SIZE in bytes, BOOL 0 or 1, all three through concd_param_int(). */
static inline int concd_param_text(struct concd_task *task, const char *name, const char **ret_value)
{
	return task->host->param_text(task, name, ret_value);
}

static inline int concd_param_int(struct concd_task *task, const char *name, int64_t *ret_value)
{
	return task->host->param_int(task, name, ret_value);
}

static inline int concd_param_number(struct concd_task *task, const char *name, double *ret_value)
{
	return task->host->param_number(task, name, ret_value);
}

/* The same as the workload's stanza has it, for worker_init and callbacks: a runner serves many jobs. */
static inline int concd_worker_param_text(struct concd_worker *worker, const char *name, const char **ret_value)
{
	return worker->host->worker_param_text(worker, name, ret_value);
}

static inline int concd_worker_param_int(struct concd_worker *worker, const char *name, int64_t *ret_value)
{
	return worker->host->worker_param_int(worker, name, ret_value);
}

static inline int concd_worker_param_number(struct concd_worker *worker, const char *name, double *ret_value)
{
	return worker->host->worker_param_number(worker, name, ret_value);
}

/* Set the result; the bytes are copied, and a later call replaces them. 0; -ENOMEM; -EMSGSIZE over the daemon's
 * max_result: the task then fails with code too-large whatever run returns. */
static inline int concd_result(struct concd_task *task, const void *data, size_t len)
{
	return task->host->result(task, data, len);
}

/* Say why the task fails, in words for its user, and return -EBADMSG for run to return: `return concd_fail(...)`.
 * The first call counts. */
__attribute__((format(printf, 3, 4))) static inline int concd_fail(struct concd_task *task, uint32_t why,
								    const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = task->host->vfail(task, why, -1, format, ap);
	va_end(ap);
	return r;
}

/* The same with CONCD_FAIL_RETRY, not before retry_after_ns have passed (a server's Retry-After). */
__attribute__((format(printf, 3, 4))) static inline int concd_fail_retry_after(struct concd_task *task,
										int64_t retry_after_ns,
										const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = task->host->vfail(task, CONCD_FAIL_RETRY, retry_after_ns, format, ap);
	va_end(ap);
	return r;
}

/* A line in the daemon's log, named after the workload, and for those who follow the job (`concctl follow`) where its
 * workers serve no other: so a service reports what it sees. Rate-limited per process; what is dropped is counted and said.
 * Also from worker_init, worker_exit and callbacks on the event base. The last line of a worker_init that fails is the
 * reason that people are given. */
__attribute__((format(printf, 3, 4))) static inline void concd_log(struct concd_worker *worker, int level,
								    const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	worker->host->vlog(worker, level, format, ap);
	va_end(ap);
}

/* How far the task is, 0.0 to 1.0. One store to memory: call it as often as you like. */
static inline void concd_progress(struct concd_task *task, double fraction)
{
	task->host->progress(task, fraction);
}

/* 1 once the task is to end early: cancelled, over its time limit, or the daemon stops. One load from memory. */
static inline int concd_cancelled(struct concd_task *task)
{
	return task->host->cancelled(task);
}

/* ---- Waiting (y). Only within run, on the task's own stack: elsewhere -EPERM. All return -ECANCELED when the task is
 * cancelled before or while they wait. ---- */

/* Wait for a time. 0. */
CONCD_YIELDS static inline int concd_sleep(struct concd_task *task, int64_t duration_ns)
{
	return task->host->sleep(task, duration_ns);
}

/* Wait until the descriptor is ready for one of `events` (CONCD_READ | CONCD_WRITE). The ready ones; -ETIMEDOUT;
 * -EBADF, -EPERM (a regular file cannot be waited for). timeout_ns: CONCD_NO_TIMEOUT for none. */
CONCD_YIELDS static inline int concd_wait_fd(struct concd_task *task, int fd, int events, int64_t timeout_ns)
{
	return task->host->wait_fd(task, fd, events, timeout_ns);
}

/* Let the thread's other tasks, and the event base, have a turn. 0. */
CONCD_YIELDS static inline int concd_yield(struct concd_task *task)
{
	return task->host->yield(task);
}

/* Wait for the next message that `concctl send` addressed to this task; those sent since the task began are kept for it,
 * up to 64 or 256 KiB. Its bytes, with a NUL behind them, are valid until the next call. 0; -ETIMEDOUT; -ENOSYS from a host that cannot deliver messages. */
CONCD_YIELDS static inline int concd_receive(struct concd_task *task, int64_t timeout_ns, const void **ret_data,
					     size_t *ret_len)
{
	return task->host->receive(task, timeout_ns, ret_data, ret_len);
}

/* Run fn(arg) on a helper thread and wait until it has ended, for a blocking call or a long computation inside an event
 * loop. fn may use the task's memory, but of the services only concd_cancelled(), concd_progress(), concd_log() and
 * concd_resume(). Returns only when fn has ended, also when cancelled meanwhile. A process has at most 64 helpers; while
 * all are busy, fn waits for one. Its processor time counts as the task's, and the loop is not blocked by it.
 * 0; -ECANCELED: fn has ended, or never began; -EAGAIN: no helper could be started; -ENOSYS from a host without
 * helpers. */
CONCD_YIELDS static inline int concd_offload(struct concd_task *task, void (*fn)(void *arg), void *arg)
{
	return task->host->offload(task, fn, arg);
}

/* Suspend and resume join the task to anything that calls back: a library on the event base, another thread.
 *
 *	struct concd_resumer *r = concd_resumer(task);		one handle, may be copied to the callback
 *	start(library, r);					... callback: concd_resume(host, r)
 *	err = concd_suspend(task, CONCD_NO_TIMEOUT);		0 once resumed; also when resumed before this call
 *	concd_resumer_free(host, r);
 *
 * concd_resumer() gives a new counted handle (NULL: out of memory, or not on the task's own thread); each is freed once,
 * by any thread, also after the task ended, but before worker_exit returns. Nobody may use a handle that was freed: where
 * concd_suspend() may return before the callback has come (a timeout, a cancel), the callback gets a handle of its own and
 * frees it. host is task->host, which outlives all.
 * concd_resume() may be called by any thread and from callbacks: it only posts, and the task goes on after
 * the callback has returned; several calls before the task runs count as one; on an ended task it does nothing.
 * concd_suspend(): 0; -ETIMEDOUT; -ECANCELED, after which the other side may still call concd_resume(). */
static inline struct concd_resumer *concd_resumer(struct concd_task *task)
{
	return task->host->resumer(task);
}

CONCD_YIELDS static inline int concd_suspend(struct concd_task *task, int64_t timeout_ns)
{
	return task->host->suspend(task, timeout_ns);
}

static inline void concd_resume(const struct concd_host *host, struct concd_resumer *resumer)
{
	host->resume(resumer);
}

static inline void concd_resumer_free(const struct concd_host *host, struct concd_resumer *resumer)
{
	host->resumer_free(resumer);
}

/* The runner's libevent base (struct event_base *), never NULL: put a library's sockets and timers on it in
 * worker_init or run, and it is served under every model. Never run or free it. Callbacks execute on the loop's stack
 * between tasks: they may log, read parameters and resume tasks, and must not wait. */
static inline void *concd_event_base(struct concd_worker *worker)
{
	return worker->host->event_base(worker);
}

/* ---- Dividing big inputs ---- *
 *
 *	static int split(struct concd_task *task)		the task's input, cut up
 *	{
 *		for each piece
 *			r = concd_part_add(task, piece, piece_len);
 *		return r;
 *	}
 *	static int run_part(struct concd_task *task)		concd_input() is one piece
 *	static int combine(struct concd_task *task)
 *	{
 *		for (i = 0; i < concd_part_count(task); i++)
 *			add up concd_part_result(task, i, &len);
 *		return concd_result(task, ...);
 *	}
 *
 * Each of these is a step of the task, on any worker of the job: steps wait, yield, log, fail and are cancelled like run,
 * concd_index() is the task's number in all of them, and only combine's result is the task's. The parts are on disk
 * before the first begins; a daemon that was killed goes on with those that are missing. A part that asks for another try,
 * or dies with its process, is tried again by itself, within the limits that the job has for tasks. One that fails
 * fails the task, under its own error code: parts that have not begun are dropped, those that have end by themselves. A
 * task time limit bounds each step. The task's times are the sums over its steps. */

/* In split: add a part; its input bytes are copied. 0; -ENOMEM; -E2BIG over 65,536 parts; -EMSGSIZE: a part over 1 MiB, or all
 * of them over 4 MiB (or max_result, where that is less). After these two the task fails with code too-large whatever
 * split returns. -EPERM outside split: a part is not divided again. */
static inline int concd_part_add(struct concd_task *task, const void *data, size_t len)
{
	return task->host->part_add(task, data, len);
}

/* In combine: the number of parts (elsewhere 0), and a part's result, in the order in which they were added, valid until
 * combine returns (NULL: no such part). Together the results are at most 1 MiB, each with a length of 1 to 3 bytes;
 * more fails the task with code too-large. combine has no input: what it needs to know, a part can carry. */
static inline uint64_t concd_part_count(struct concd_task *task)
{
	return task->host->part_count(task);
}

static inline const void *concd_part_result(struct concd_task *task, uint64_t part, size_t *ret_len)
{
	return task->host->part_result(task, part, ret_len);
}

/* How many tasks of this job run at once in all. */
static inline uint32_t concd_workers(struct concd_task *task)
{
	return task->host->workers(task);
}

#ifdef __cplusplus
}
#endif

#endif
