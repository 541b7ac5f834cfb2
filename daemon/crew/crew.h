/* Crews: the worker processes that serve a workload under one shape, and what the jobs above ask of them.
 *
 *	jobs                            crew
 *	crew_join(job) ───────────────> seat
 *	crew_kick() ──────────────────> pulls batches while runners have room:
 *	   next() <────────────────────    which tasks now?          (feed.c)
 *	   on_ended() <────────────────    records collected         (collect.c)
 *	   on_returned() <─────────────    taken back, never begun
 *	   on_lost() <─────────────────    begun in a process that died, with a verdict (blame.c)
 *	crew_leave(seat) ─────────────>
 *
 * A crew is found or made by crews_get(), starts processes as tasks need them, replaces the dead, and ends idle_timeout
 * after its last seat left (a dedicated crew at once). A task handed out by next() comes back exactly once: ended,
 * returned or lost. Everything here belongs to the control thread, callbacks included; a callback may call
 * crew_kick(), crew_join(), crew_recall(), crew_cancel() and crew_kill(), which act after it returned, but must not leave seats of the crew that
 * calls.
 */
#ifndef CONCD_CREW_CREW_H
#define CONCD_CREW_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "crew/model.h"
#include "ring/ring.h"

struct config_pair;
struct crew;
struct crew_seat;
struct crews;
struct error;
struct loop;
struct store;

/* Tasks for one chunk. What is said of tasks here holds for the steps of divided ones too (ring/step.h): they have numbers
 * of their own, and a batch has either. */
struct crew_batch {
	struct crew_seat *seat; /* whose job they belong to */
	uint64_t first;
	uint32_t count; /* at most crew_seat_room() and the max_tasks asked for */
	const uint8_t *packed; /* valid until next() is called again or the loop is returned to */
	size_t packed_bytes; /* at most RING_CHUNK_INPUT_BYTES unless count is 1 */
};

/* Tasks of one seat that ended one after the other on the same runner. */
struct crew_run {
	void *user; /* of the seat */
	uint64_t first; /* they are first..first + n - 1 */
	uint32_t n;
	bool all_done; /* every one is RING_DONE */
	double wall_s, cpu_s, runq_s; /* sums over them, where all are done */
	uint32_t worker_pid;
	uint16_t worker_thread;
	const struct ring_record *records; /* how each of them ended; valid during the callback */
};

/* One of them by itself. */
struct crew_ended {
	void *user; /* of the seat */
	uint64_t task;
	enum ring_status status;
	int64_t begin_ns;
	float wall_s, cpu_s, runq_s;
	int64_t retry_after_ns;
	uint32_t worker_pid;
	uint16_t worker_thread;
	const uint8_t *data; /* valid during the callback */
	size_t len;
};

static inline struct crew_ended crew_run_at(const struct crew_run *run, uint32_t i)
{
	const struct ring_record *record = &run->records[i];

	return (struct crew_ended){
		.user = run->user,
		.task = run->first + i,
		.status = (enum ring_status)record->status,
		.begin_ns = record->begin_ns,
		.wall_s = record->wall_s,
		.cpu_s = record->cpu_s,
		.runq_s = record->runq_s,
		.retry_after_ns = record->retry_after_ns,
		.worker_pid = run->worker_pid,
		.worker_thread = run->worker_thread,
		.data = record->data,
		.len = record->len,
	};
}

/* What became of a task that was begun in a process that died. */
enum crew_verdict {
	CREW_GUILTY, /* a fault handler named it, or it was the only one begun: a death counts against it */
	CREW_SUSPECT, /* it was on a processor and nobody is named: run it alone in a process of its own */
	CREW_INNOCENT, /* a neighbour: run it again */
	CREW_OVERDUE, /* the process was killed because this task did not come back (its time limit, or a cancel) */
};

struct crew_loss {
	void *user;
	uint64_t task;
	enum crew_verdict verdict;
	bool by_cpu; /* OVERDUE: it used more processor time than cpu_timeout */
	bool unnamed; /* INNOCENT though nobody is guilty: it may have been this one */
	bool others_seen; /* then: but others were on a processor, and are suspected first */
	bool on_crash; /* the death was not ordered by the daemon: counts for GUILTY */
	int signal; /* that ended the process; 0: it exited */
	int exit_status; /* where signal is 0 */
	uint32_t worker_pid;
	uint16_t worker_thread;
	int64_t begin_ns; /* 0: unknown */
	const char *last_log; /* the last lines the process wrote, "" if none; valid during the callback */
};

/* A task that holds its runner for longer than `stall`, or held it for so long. */
struct crew_stall {
	void *user; /* of the seat */
	uint64_t task;
	bool ended; /* told before, and this is all; false: it goes on */
	uint32_t worker_pid;
	uint16_t worker_thread;
	int64_t since_ns; /* CLOCK_MONOTONIC: when it came on its thread */
	int64_t held_ns; /* so far, but for waiting for a processor; or in all */
	uint64_t dropped; /* so many more were not told since the last */
	const uint8_t *input; /* its beginning, as the worker says; valid during the callback, as is stack */
	size_t input_kept, input_len; /* bytes there; of the whole */
	const char *stack; /* taken while it was stuck, a frame a line, innermost first; "": none. The worker's words */
};

/* A line that a plugin logged on a runner's thread. */
struct crew_log {
	unsigned int level; /* CONCD_LOG_ERROR ... DEBUG; from the worker: may be more */
	uint32_t worker_pid;
	const char *text; /* as it came: any bytes; valid during the callback */
	size_t len;
};

/* What the layer above provides; all required, unless said otherwise. `ctx` is the one given to crews_open(). */
struct crew_ops {
	/* Fill *ret_batch with at most max_tasks tasks that this crew may run now. 0; -EAGAIN: nothing to run, or its
	 * inputs are being read (crew_kick() when they are there). The seats' limits (crew_seat_room()) are to be
	 * kept. */
	int (*next)(void *ctx, struct crew *crew, uint32_t max_tasks, struct crew_batch *ret_batch);
	void (*on_ended)(void *ctx, const struct crew_run *run);
	/* Tasks first..first+count-1 come back unbegun, to be handed out before what follows them. */
	void (*on_returned)(void *ctx, void *user, uint64_t first, uint64_t count);
	void (*on_lost)(void *ctx, const struct crew_loss *loss);
	void (*on_stall)(void *ctx, const struct crew_stall *stall);
	/* After a run of the first three above: a good moment to schedule, flush and stream. */
	void (*on_settled)(void *ctx, struct crew *crew);
	/* worker_init failed three times in a row (or no process could be started): every seat's job should fail its
	 * unfinished tasks with code worker-init and this message. Tasks that were out have been returned before. */
	void (*on_init_failed)(void *ctx, struct crew *crew, void *user, const char *message);
	/* The job no longer holds any task of the crew (after crew_cancel() or otherwise), or `grace` has passed and
	 * what held out was killed: told once per crew_cancel(). */
	void (*on_cancelled)(void *ctx, void *user);
	/* A line of the log, which can only be this seat's: nobody else has one in its crew. May be NULL. */
	void (*on_log)(void *ctx, void *user, const struct crew_log *log);
};

struct crews_options {
	const char *worker_path; /* concd-worker */
	const char *state_dir; /* for workers.lock */
	uint32_t max_processes;
	const struct crew_ops *ops;
	void *ctx;
};

/* Starts by waiting, without blocking, for survivors of an earlier daemon: LOCK_EX on workers.lock, after 2 s by
 * killing those the store names. Until then crews_ready() is false and nothing is handed out; ops->on_settled(ctx,
 * NULL) says it is. */
int crews_open(struct loop *loop, struct store *store, const struct crews_options *options, struct crews **ret_crews,
	       struct error *err);
/* Ask every process to finish what it has begun (DRAIN, STOP), kill those that remain after their workload's grace, then
 * call on_stopped. Nothing is handed out any more; unbegun tasks are returned, ends are still reported. */
void crews_stop(struct crews *crews, void (*on_stopped)(void *arg), void *arg);
/* Kills what is left, reaps it, frees; calls nobody but the on_sent of messages not yet answered. NULL is fine. */
void crews_close(struct crews *crews);
bool crews_ready(const struct crews *crews);

struct crew_request {
	const struct workload *workload;
	struct shape shape;
	/* never more chunks out than there are runners: with one runner, tasks run as they were handed out */
	bool in_order;
	uint64_t dedicated; /* 0: shared; else a number of the owner's: the crew serves this owner only */
};

/* Find or make the crew. 0 or -errno with words (no memory, no descriptors; -ESHUTDOWN while stopping). Processes
 * start with the first task. The crew may end when the loop is returned to, unless crew_join() took a seat before. */
int crews_get(struct crews *crews, const struct crew_request *request, struct crew **ret_crew, struct error *err);

/* What a crew needs to know of a job, all copied. */
struct crew_job {
	uint64_t id;
	uint32_t workers; /* tasks of it at once */
	int64_t task_timeout_ns; /* 0: none */
	int64_t grace_ns;
	bool idempotent; /* false: one task a chunk, never more than there are free workers */
	const struct config_pair *params; /* every parameter, resolved */
	size_t n_params;
};

/* Take a seat: the job may now be named in batches. 0, -ENOMEM; -EMSGSIZE: its parameters are longer than one
 * message. */
int crew_join(struct crew *crew, const struct crew_job *job, void *user, struct crew_seat **ret_seat);
/* Give it up. Only while none of its tasks is out. */
void crew_leave(struct crew_seat *seat);
/* The job's tasks have another time limit from now on, those that wait in the ring too; what has begun keeps the one it has. `job` as at
 * crew_join(), of which only the limits and parameters count. 0; -ENOMEM, -EMSGSIZE: nothing is changed. */
int crew_set_task_timeout(struct crew_seat *seat, const struct crew_job *job);
void crew_kick(struct crew *crew); /* tasks may be ready: pull (from the loop's next turn) */

struct crew *crew_of(const struct crew_seat *seat);
/* How many tasks the next batch of this job may have: its -j, what it has out, and the size that its measured task
 * time calls for where n_ready tasks are left to hand out; 0: none now. parts: of a batch of parts, which are measured by
 * themselves. */
uint32_t crew_seat_room(const struct crew_seat *seat, uint64_t n_ready, bool parts);
bool crew_takes(const struct crew_seat *seat); /* false: that there is no room is the crew's doing, not the job's own */
uint64_t crew_seat_out(const struct crew_seat *seat); /* tasks handed out and not back */
uint64_t crew_seat_holds(const struct crew_seat *seat); /* workers that these may keep busy at once, begun or not */
/* Of these, whole tasks (no parts) that are begun: a walk over its chunks. */
uint64_t crew_seat_running(const struct crew_seat *seat);
/* The seat's tasks that are begun now, where, and how far: for `show`. While fn returns 0; its last value is
 * returned. */
struct crew_task_view {
	uint64_t task;
	uint32_t worker_pid;
	uint16_t worker_thread;
	float progress; /* negative: none reported */
};
int crew_seat_walk(const struct crew_seat *seat, int (*fn)(void *arg, const struct crew_task_view *view), void *arg);
uint64_t crew_holds(const struct crew *crew); /* workers that all tasks handed out to it may keep busy at once */
/* And how many more a chunk of so many tasks would. */
uint64_t crew_holds_more(const struct crew *crew, uint32_t tasks);
/* A worker process that is stopped, by a signal or a debugger, and that tasks of this seat wait for; 0: none. As of the last look,
 * half a second ago at most. */
pid_t crew_seat_stopped(const struct crew_seat *seat);
void crew_set_workers(struct crew_seat *seat, uint32_t workers);

/* Cancel the job's tasks: unbegun ones are returned at once, begun ones told (reason WIRE_CANCEL_*); what has not come
 * back after grace is killed with its process, whose other tasks are lost as innocent. on_cancelled follows. */
void crew_cancel(struct crew_seat *seat, uint32_t reason);
/* The same without grace: the processes that hold begun ones are killed in the crew's next turn. Also while a crew_cancel()
 * is under way. */
void crew_kill(struct crew_seat *seat, uint32_t reason);
/* Take back what is unbegun, without telling the begun ones (pause). */
void crew_recall(struct crew_seat *seat);
void crew_recall_all(struct crew *crew); /* of every seat: somebody is to come first */

/* Put a message of at most CREW_MESSAGE_BYTES into the inbox of a task that is begun; the bytes are copied. 0: on_sent
 * follows once, never from inside the call: status 0 (it is there), -EBUSY (the inbox is full), -ESRCH (the process
 * ended first), -EHOSTDOWN (the process is stopped: it may get there when that goes on). Else -ENOENT: the task is not out;
 * -EAGAIN: it is out, but not begun; -ESRCH: its process is ending; -EHOSTDOWN: it is stopped; -EMSGSIZE, -ENOMEM. */
#define CREW_MESSAGE_BYTES (64u << 10)
typedef void (*crew_sent_fn)(void *arg, int status);
int crew_send(struct crew_seat *seat, uint64_t task, const void *data, size_t len, crew_sent_fn on_sent, void *arg);

/* Peak memory of the crew's processes since this seat was taken; 0: unknown, or the crew served another job too. */
uint64_t crew_seat_peak_rss_bytes(const struct crew_seat *seat);

/* What is worse than usual about how the stacks of the seat's crew are guarded; "": nothing, or no process of it was ready yet.
 * Valid until the loop is returned to. */
const char *crew_seat_stack_note(const struct crew_seat *seat);

struct crew_view {
	const char *workload;
	struct shape shape;
	bool dedicated;
	uint32_t processes; /* alive now */
	uint32_t stopped; /* of them, by a signal or a debugger */
	pid_t stopped_pid; /* one of these */
	uint32_t idle_runners;
	uint32_t seats;
	uint64_t tasks_out;
	uint64_t starts, deaths; /* processes so far */
	uint64_t rss_bytes; /* now */
	const char *stack_note; /* what is worse than usual about how its stacks are guarded; "": nothing */
};
/* For `status`: every crew in turn, while fn returns 0. */
int crews_walk(const struct crews *crews, int (*fn)(void *arg, const struct crew_view *view), void *arg);

#endif
