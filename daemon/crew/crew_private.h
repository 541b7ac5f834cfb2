/* What the files of a crew share. All of it belongs to the control thread.
 *
 *	crews ──< crew ──< proc (a worker process, one per slot)
 *	            │  ──< seat (a job) ──< flight (a chunk in the ring: tasks that are out)
 *	            └─ ring
 *
 * Every event handler of a crew stands between crew_enter() and crew_exit(). Inside, callbacks of the layer above may
 * ask for anything; what would change the lists under a walk is noted and done in the crew's next turn or in
 * crew_exit().
 */
#ifndef CONCD_CREW_CREW_PRIVATE_H
#define CONCD_CREW_CREW_PRIVATE_H

#include <sys/types.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "crew/crew.h"
#include "crew/worker_log.h"
#include "ring/step.h"

struct event;
struct event_base;
struct barrier;

#define INIT_FAILURES_MAX 3

struct crews {
	struct loop *loop;
	struct event_base *base;
	struct store *store; /* NULL: nothing is recorded */
	char *worker_path, *lock_path;
	uint32_t max_processes;
	uint32_t n_processes;
	const struct crew_ops *ops;
	void *ctx;
	struct crew *list;
	struct barrier *barrier; /* NULL once it is passed */
	bool ready;
	bool stopping;
	int64_t stopped_ns; /* when it was told to stop */
	struct event *stop_timer; /* the kills at the ends of graces, or the answer where nothing runs */
	void (*on_stopped)(void *arg);
	void *stopped_arg;
};

/* A chunk in the ring. */
struct flight {
	struct crew_seat *seat;
	struct flight *next, **prev; /* the seat's flights; next: also of the free list */
	uint64_t first;
	uint64_t late; /* bit i: the worker says that task i did not come back soon after its time limit */
	uint64_t overdue; /* bit i: nor within its grace */
	uint64_t overdue_cpu; /* of these: after using too much processor time */
	int64_t overdue_begin_ns; /* when the last of these began; 0: unknown */
	int64_t submitted_ns;
	int64_t cost_ns; /* of runner time, as estimated when it was submitted */
	uint32_t count, chunk;
	uint32_t tick_begun; /* as the last tick saw it */
	uint32_t check_begun; /* as the last check did, for tasks with a time limit ... */
	int64_t check_begun_ns; /* ... and when it first did */
	bool multi; /* may hold tasks to take back: counted in crew->n_multi */
};

/* Times of a job's tasks, as moving averages: of one task after the other, or of runs of them. */
struct estimate {
	float wall_s, cpu_s;
	uint32_t samples; /* 0: nothing is known */
};

enum cancel_state { CANCEL_NONE, CANCEL_PENDING, CANCEL_TOLD };

struct crew_seat {
	struct crew *crew;
	struct crew_seat *next, **prev;
	void *user;
	uint64_t job;
	uint32_t workers;
	int64_t task_timeout_ns; /* the least that it has had, as begun tasks keep theirs; 0: none */
	int64_t grace_ns;
	bool idempotent;
	uint32_t chunk_flags; /* 0, or WIRE_CHUNK_PLAIN and what goes with it: there is no message then */
	struct buffer job_message; /* WIRE_JOB, for processes that join later */
	bool told; /* processes were sent something about it, which they are to forget */

	struct flight *flights;
	uint32_t n_flights;
	uint64_t out;
	struct estimate estimates[2]; /* of whole tasks; of parts */

	enum cancel_state cancel;
	uint32_t cancel_reason;
	struct event *cancel_timer; /* the hold soon after the cancel, then the kill at the end of grace */
	int64_t cancel_ns; /* when its begun tasks were told */
	bool cancel_held;
	bool recall; /* asked for, done in the next turn */
	bool kill; /* as well */
	bool left; /* given up inside a callback: freed by crew_exit() */

	struct crew_seat *stir_next, **stir_prev; /* in crew->stirring; stir_prev NULL: it is not */

	bool served;
	uint64_t peak_rss_bytes; /* where it was frozen before another job was served */
};

/* Why the daemon ended a process. */
enum proc_order { ORDER_NONE, ORDER_STOP, ORDER_INIT, ORDER_CANCEL, ORDER_OVERDUE, ORDER_GARBAGE };

struct packet;
struct sending; /* a message to a task, not yet answered (send.c) */
struct stall_news; /* of tasks that hold their runner (stall.c) */

struct proc {
	struct crew *crew;
	uint32_t slot; /* its runners are slot * threads .. + threads - 1 */
	pid_t pid;
	int pidfd, sock;
	int status_fd, clear_refs_fd; /* of /proc; -1: none */
	uint64_t start_time; /* with the pid it names the process beyond doubt; 0: unknown */
	int64_t started_ns;
	int64_t stopped_ns; /* it was seen to be stopped then; 0: it runs (stopped.c) */
	uint32_t ready_runners;
	bool draining; /* was told to claim nothing more */
	bool held; /* draining while a task of it is about to be killed: hold.c */
	bool stopping; /* was told to end */
	enum proc_order killed; /* ORDER_NONE: not by us */
	uint64_t ended_before; /* crew->ended when it was started */
	int *runner_fds;
	char *init_message;
	struct event *sock_event, *send_event, *pidfd_event, *init_timer;
	struct packet *packets, **packets_end; /* messages that the socket had no room for */
	size_t packet_bytes;
	struct sending *sendings, **sendings_end; /* in the order they were sent */
	struct stall_news *stalls; /* NULL: there was none yet */
	struct worker_log log;
};

/* Whose a runner number is, at hand for each record. */
struct runner_of {
	struct proc *proc;
	uint32_t pid;
	uint16_t thread;
};

struct crew {
	struct crews *crews;
	struct crew *next, **prev;
	const struct workload *workload;
	struct shape shape;
	bool in_order;
	uint64_t dedicated;
	uint32_t n_runners;
	uint64_t n_workers;

	struct ring *ring; /* NULL before the first task, and while it is made anew */
	struct event *ring_event;
	struct runner_of *runners;
	struct proc **procs; /* by slot; NULL: none */
	uint32_t n_procs, n_stopped;
	uint32_t look_slot; /* the last that was looked at: stopped.c */

	struct crew_seat *seats;
	uint32_t n_seats;
	/* Those of which a task is out, or something is asked: all that a turn has to look at, of perhaps very many that wait. */
	struct crew_seat *stirring;
	struct crew_seat *last_served, *sole; /* sole: the processes grew for its job only; NULL: for several */

	struct flight *flight_memory; /* one per chunk */
	struct flight *free_flights;
	uint32_t n_flights, n_multi;
	uint64_t out;
	int64_t cost_ns; /* sum over the flights */
	struct lefts *lefts; /* what a dead process left, while it is sorted */

	struct event *turn; /* work for the loop's next turn */
	bool turn_pending;
	bool asleep; /* the ring was told: a worker that completes a chunk writes to its eventfd */
	bool collect_again; /* records wait: the turn goes on with them */
	struct event *doze; /* looks for records that no worker wakes the daemon for */
	int64_t looked_ns; /* when the precise tails were last looked at */
	bool blocked; /* the ring had no place: feed when something has come back */
	struct event *hold_timer; /* looks after processes that are held */
	bool hold_armed;
	struct event *tick;
	bool tick_armed;
	struct event *check; /* for garbage in shared words, while chunks are out */
	bool check_armed;
	struct event *idle_timer; /* the end after idle_timeout; while ending: the kill */
	bool idle_armed;
	struct event *retry_timer; /* armed: no process is started before it fires */
	bool retry_armed;
	bool short_said; /* that processes cannot be started for want of something; until one is */

	uint32_t init_failures; /* in a row, with no task done in between */
	char *init_message; /* of the last */
	uint64_t ended; /* tasks, so far */
	uint64_t ended_at_garbage; /* when its workers last wrote garbage; had_garbage: they did */
	bool had_garbage;
	uint64_t starts, deaths;
	uint64_t unguarded_stacks; /* in each process: with a canary and no guard, as the last one said */
	char *stack_note; /* then: the same in words */
	bool ending; /* its processes were told to end; found by nobody any more */
	bool broken; /* shared words were garbage: every process is being killed */
	uint32_t busy; /* depth of crew_enter() */
};

/* crew.c */
void crew_enter(struct crew *crew);
void crew_exit(struct crew *crew); /* may free the crew: return after it */
void crew_turn_soon(struct crew *crew);
void crew_settle(struct crew *crew); /* after records, returns and losses: tell the layer above, see what is due */
int crew_open_ring(struct crew *crew); /* 0 or -errno */
void crew_close_ring(struct crew *crew); /* frees what belongs to it; the ring itself where it is still there */
void crews_kick_all(struct crews *crews);
void crews_process_ended(struct crews *crews); /* one fewer: the end of a stop, room for another crew */
bool crew_may_feed(const struct crew *crew);

/* seat.c */
uint64_t seat_begun_bits(const struct ring_chunk_state *state); /* of a chunk: begun, and no record yet */
void seat_free(struct crew_seat *seat);
void seat_stir(struct crew_seat *seat); /* turns look at it from now on, until nothing of it is out or asked for */
void seats_act(struct crew *crew); /* cancels and recalls that were asked for */
void seats_settle(struct crew *crew); /* cancels whose last task has come back */
void seats_take_back(struct crew *crew); /* everything unbegun, for a stop */
void seat_note_served(struct crew_seat *seat);

/* hold.c */
bool proc_hold(struct proc *proc); /* false: it already takes no new task */
void on_crew_hold(int fd, short what, void *arg);

/* feed.c */
void crew_feed(struct crew *crew); /* pull and submit while there is room; start processes */
struct flight *flight_take(struct crew_seat *seat, uint64_t first, uint32_t count);
void flight_free(struct flight *flight); /* its tasks have come back */
void flight_return(struct flight *flight, uint32_t begin, uint32_t end); /* tell that these come back unbegun */
/* Take back what is unbegun. 0; -EBADMSG: crew_break() was called and every pointer to a flight may be stale. */
int flight_take_back(struct flight *flight);
/* Of what this number names. */
static inline struct estimate *seat_estimate(struct crew_seat *seat, uint64_t number)
{
	return &seat->estimates[step_is(number)];
}
/* So many tasks more, with these times on average. */
void estimate_add(struct estimate *estimate, uint32_t n, float wall_s, float cpu_s);
void crew_tick_arm(struct crew *crew);
void on_crew_tick(int fd, short what, void *arg);
void on_crew_check(int fd, short what, void *arg);

/* collect.c */
void crew_collect(struct crew *crew);
void crew_bad_runner(struct crew *crew, uint32_t runner); /* it wrote garbage into its own ring */
void on_crew_ring(int fd, short what, void *arg);
void on_crew_doze(int fd, short what, void *arg);
void crew_records(void *arg, const struct ring_run *run);

/* blame.c */
int lefts_new(uint32_t n_chunks, uint32_t n_threads, struct lefts **ret_lefts);
void lefts_free(struct lefts *lefts);
/* The process has ended and was reaped: what it had is reported. true: it may have been a task's doing; false: it had begun
 * none, or a runner that was starting had the fault. */
bool blame_death(struct proc *proc, int signal, int exit_status);
void crew_break(struct crew *crew, const char *why); /* garbage in shared words: kill all, start anew */
void crew_reset(struct crew *crew); /* after the last process of a broken crew ended */

/* process.c */
int proc_start(struct crew *crew, uint32_t slot); /* 0 or -errno */
void proc_free(struct proc *proc);
void proc_kill(struct proc *proc, enum proc_order why); /* its unbegun tasks are returned first */
void proc_stop(struct proc *proc); /* finish what is begun, then end */
void proc_drain(struct proc *proc);
void proc_resume(struct proc *proc); /* undo it */
void proc_take_back(struct proc *proc); /* return what it has claimed and not begun */
void proc_end_now(struct proc *proc); /* kill and reap, blocking, without telling anybody */
bool proc_is_ready(const struct proc *proc);
void crew_start_needed(struct crew *crew);
void crew_init_failed(struct crew *crew, const char *message); /* takes a copy */
/* A process, or its shared memory, could not be made: as crew_init_failed(), but for want of what others may give back (memory,
 * processes, descriptors) it is tried again for as long as it takes, and no job fails. */
void crew_start_refused(struct crew *crew, const char *what, int error);
/* What its workers wrote was garbage, and they are gone. Where no task was done since the last time, the next start waits, and after
 * INIT_FAILURES_MAX such deaths there is none, as after failures of worker_init. */
void crew_garbage(struct crew *crew);
void on_crew_retry(int fd, short what, void *arg);

/* stack_note.c */
void crew_stacks_unguarded(struct crew *crew, uint64_t stacks); /* a process of it says so; the first time it is logged */

/* room.c */
void crews_make_room(struct crews *crews); /* for one more process than there may be */
void proc_room_is_due(struct proc *proc); /* it was told to end for that, and has not */

/* wire.c */
int wire_hello(const struct proc *proc, struct buffer *message);
int wire_job(const struct crew_job *job, struct buffer *message);
uint32_t wire_chunk_flags(const struct crew *crew, const struct crew_job *job); /* 0: it needs a JOB message */
void proc_send(struct proc *proc, const struct buffer *message);
void proc_send_simple(struct proc *proc, uint64_t type, uint64_t a, size_t n_args, uint64_t b);
void crew_send_all(struct crew *crew, const struct buffer *message);
void proc_receive(struct proc *proc); /* everything that waits on its socket */
void on_proc_send(int fd, short what, void *arg);
void packets_free(struct proc *proc);

/* send.c */
bool proc_sent(struct proc *proc, uint64_t number, uint64_t status); /* false: it makes no sense */
void sendings_fail(struct proc *proc); /* the process has ended */
void sendings_give_up(struct proc *proc); /* it is stopped: nobody waits for its answers any more */

/* stopped.c */
/* Look for processes that are stopped, and for tasks whose time limits nobody keeps. Every CHECK_MS while chunks are out; the crew has
 * its ring. May break the crew. */
void crew_look_stopped(struct crew *crew);

/* stall.c */
bool proc_stall(struct proc *proc, struct reader *r); /* WIRE_STALL; false: it makes no sense */
void stall_news_free(struct stall_news *news); /* NULL is fine */

/* barrier.c: survivors of an earlier daemon */
int barrier_open(struct crews *crews, struct error *err);
void barrier_close(struct barrier *barrier); /* NULL is fine */
int barrier_hold(const char *lock_path, int *ret_fd); /* a new descriptor with a shared lock, for a worker process */
void worker_record(struct crews *crews, bool add, pid_t pid, uint64_t start_time);

/* procfs.c */
int procfs_start_time(pid_t pid, uint64_t *ret_start_time);
uint64_t procfs_rss_bytes(pid_t pid); /* 0: unknown */
/* The state of a process as /proc names it, a letter; 0: unknown. */
char proc_state(const struct proc *proc);
bool proc_state_is_stopped(char state); /* by a signal or a debugger */
/* Peak memory of a process since the last reset. Its files stay open: it is asked for with every job. */
void proc_peak_open(struct proc *proc);
void proc_peak_close(struct proc *proc);
uint64_t proc_peak_rss_bytes(const struct proc *proc); /* 0: unknown */
void proc_peak_reset(const struct proc *proc);

static inline uint32_t crew_first_runner(const struct proc *proc)
{
	return proc->slot * proc->crew->shape.threads;
}

#endif
