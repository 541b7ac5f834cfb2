/* One worker process: from its spawn to its death.
 *
 *	proc_start ── HELLO, JOB... ── READY ── tasks ── STOP ── exit 0
 *	     │                           │                 │
 *	     └── INIT_FAILED, death      └── death         └── killed at the end of grace
 *
 * Only the pidfd says that it has ended; end of file on the socketpair is the early sign, upon which it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/spawn.h"
#include "config.h"
#include "crew/crew_private.h"
#include "crew/wire.h"
#include "crew/workload.h"

#define STARTS_PER_TURN 4 /* a spawn takes a third of a millisecond: control requests get their turn between */
#define INIT_SLACK_NS NS_PER_S /* the process watches start_timeout itself; this is for one that cannot */
#define DEFAULT_START_TIMEOUT_NS (30 * NS_PER_S)
#define QUICK_DEATH_NS NS_PER_S
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 5000
#define SHORTAGE_S 1 /* between tries while the daemon lacks what a process takes */

static struct timeval to_timeval(int64_t ns)
{
	if (ns < 0)
		ns = 0;
	return (struct timeval){ .tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US) };
}

bool proc_is_ready(const struct proc *proc)
{
	return proc->ready_runners == proc->crew->shape.threads;
}

/* ---- Events ---- */

static void on_sock(evutil_socket_t fd, short what, void *arg)
{
	struct proc *proc = arg;
	struct crew *crew = proc->crew;

	(void)fd; /* it is in the struct */
	(void)what;
	crew_enter(crew);
	proc_receive(proc);
	crew_exit(crew);
}

static void on_init_timer(evutil_socket_t fd, short what, void *arg)
{
	struct proc *proc = arg;

	(void)fd; /* a timer has none */
	(void)what;
	if (proc->stopping) { /* it was to make room */
		proc_room_is_due(proc);
		return;
	}
	log_warning("crew: worker process %d of '%s' is not ready after start_timeout: killed", (int)proc->pid,
		    proc->crew->workload->name);
	if (!proc->init_message)
		proc->init_message = strdup("worker_init took longer than start_timeout");
	proc_kill(proc, ORDER_INIT);
}

static const char *signal_name(int sig)
{
	const char *name = sigabbrev_np(sig);

	return name ? name : "?";
}

static void say_death(struct proc *proc, int sig, int status)
{
	const char *name = proc->crew->workload->name;

	/* One that said why it could not start is told of with its words: start_failed(). */
	if (proc->killed || (proc->stopping && sig == 0 && status == 0) || (proc->init_message && sig == 0)) {
		log_debug("crew: worker process %d of '%s' has ended", (int)proc->pid, name);
		return;
	}
	if (sig)
		log_warning("crew: worker process %d of '%s' was ended by signal %d (SIG%s)", (int)proc->pid, name, sig,
			    signal_name(sig));
	else
		log_warning("crew: worker process %d of '%s' ended by itself with status %d", (int)proc->pid, name,
			    status);
}

/* Did it die of its start? A process that dies at once without having done a task counts as one whose init failed. */
static bool died_of_start(const struct proc *proc)
{
	if (proc->stopping || (proc->killed && proc->killed != ORDER_INIT && proc->killed != ORDER_GARBAGE))
		return false;
	return !proc_is_ready(proc) ||
	       (proc->crew->ended == proc->ended_before && clock_mono_ns() - proc->started_ns < QUICK_DEATH_NS);
}

static void story_of_start(struct proc *proc, int sig, int status, char *text, size_t bytes)
{
	const char *tail = worker_log_tail(&proc->log), *line = strrchr(tail, '\n');

	if (line)
		tail = line + 1; /* the last one says most */
	if (proc->init_message)
		(void)snprintf(text, bytes, "%s", proc->init_message);
	else if (proc->killed == ORDER_GARBAGE)
		(void)snprintf(text, bytes, "worker process wrote what makes no sense, and was killed");
	else if (sig)
		(void)snprintf(text, bytes, "worker process was ended by signal %d (SIG%s) while it started%s%s", sig,
			       signal_name(sig), tail[0] ? ": " : "", tail);
	else
		(void)snprintf(text, bytes, "worker process ended with status %d while it started%s%s", status,
			       tail[0] ? ": " : "", tail);
}

static void on_death(evutil_socket_t fd, short what, void *arg)
{
	struct proc *proc = arg;
	struct crew *crew = proc->crew;
	struct crews *crews = crew->crews;
	char text[1024];
	int sig = 0, status = 0;
	bool of_start, of_task, broken = crew->broken, garbage = proc->killed == ORDER_GARBAGE;

	(void)fd; /* it is in the struct */
	(void)what;
	if (spawn_reap(proc->pidfd, 0, &sig, &status) == -EAGAIN)
		return; /* not yet after all: the event is persistent */
	crew_enter(crew);
	if (!proc->killed && proc->sock >= 0)
		proc_receive(proc); /* why its init failed */
	if (!proc->killed) {
		worker_log_drain(&proc->log);
		say_death(proc, sig, status);
	}
	of_task = blame_death(proc, sig, status);
	of_start = !broken && died_of_start(proc) && !of_task;
	story_of_start(proc, sig, status, text, sizeof(text));
	worker_record(crews, false, proc->pid, proc->start_time);
	proc_free(proc);
	crew->deaths++;
	if (crew->broken && crew->n_procs == 0)
		crew_reset(crew);
	if (of_start)
		crew_init_failed(crew, text);
	else if (garbage && !broken)
		crew_garbage(crew);
	crew_feed(crew);
	crew_settle(crew);
	crew_exit(crew);
	crews_process_ended(crews);
}

/* ---- Start ---- */

/* Everything that the child needs and the parent closes again. */
struct ends {
	int sock, event, log, lock;
};

static void ends_close(const struct ends *ends)
{
	const int fds[] = { ends->sock, ends->log, ends->lock };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]); /* the child has its own */
	}
}

static int open_ends(struct proc *proc, struct ends *ends, int *ret_log_fd)
{
	const int buffer_bytes = 4 * WIRE_MAX_BYTES;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	proc->sock = pair[0];
	ends->sock = pair[1];
	for (int i = 0; i < 2; i++) {
		/* Without the right to force it the kernel's limit holds, which is enough for one message. */
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) < 0)
			(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
	}
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	*ret_log_fd = pair[0];
	ends->log = pair[1];
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return barrier_hold(proc->crew->crews->lock_path, &ends->lock);
}

static int open_events(struct proc *proc)
{
	struct event_base *base = proc->crew->crews->base;
	int64_t limit = proc->crew->workload->config->start_timeout_ns;
	struct timeval init;

	init = to_timeval((limit > 0 ? limit : DEFAULT_START_TIMEOUT_NS) + INIT_SLACK_NS);
	proc->sock_event = event_new(base, proc->sock, EV_READ | EV_PERSIST, on_sock, proc);
	proc->send_event = event_new(base, proc->sock, EV_WRITE | EV_PERSIST, on_proc_send, proc);
	proc->pidfd_event = event_new(base, proc->pidfd, EV_READ | EV_PERSIST, on_death, proc);
	proc->init_timer = evtimer_new(base, on_init_timer, proc);
	if (!proc->sock_event || !proc->send_event || !proc->pidfd_event || !proc->init_timer ||
	    event_add(proc->sock_event, NULL) < 0 || event_add(proc->pidfd_event, NULL) < 0 ||
	    event_add(proc->init_timer, &init) < 0)
		return -ENOMEM;
	return 0;
}

static int run_worker(struct proc *proc, const struct ends *ends)
{
	struct crews *crews = proc->crew->crews;
	char name[] = "concd-worker";
	char *argv[] = { name, NULL };
	const int fds[] = {
		-1,
		ends->log,
		ends->log,
		[WORKER_FD_SOCKET] = ends->sock,
		[WORKER_FD_SEGMENT] = ring_segment_fd(proc->crew->ring),
		[WORKER_FD_EVENT] = ends->event,
		[WORKER_FD_LOCK] = ends->lock,
	};

	return spawn_start(
		&(struct spawn){ .path = crews->worker_path, .argv = argv, .fds = fds, .n_fds = ARRAY_SIZE(fds) },
		&proc->pid, &proc->pidfd);
}

static int greet(struct proc *proc)
{
	_cleanup_buffer_ struct buffer hello = BUFFER_INIT;
	int r = wire_hello(proc, &hello);

	if (r < 0)
		return r;
	if (hello.len > WIRE_MAX_BYTES)
		return -EMSGSIZE;
	proc_send(proc, &hello);
	for (struct crew_seat *seat = proc->crew->seats; seat; seat = seat->next) {
		if (seat->chunk_flags == 0)
			proc_send(proc, &seat->job_message);
		if (seat->cancel == CANCEL_TOLD)
			proc_send_simple(proc, WIRE_CANCEL, seat->job, 2, seat->cancel_reason);
	}
	return 0;
}

static void publish(struct proc *proc)
{
	struct crew *crew = proc->crew;

	for (uint32_t i = 0; i < crew->shape.threads; i++)
		crew->runners[crew_first_runner(proc) + i] =
			(struct runner_of){ proc, (uint32_t)proc->pid, (uint16_t)i };
	crew->procs[proc->slot] = proc;
	crew->n_procs++;
	crew->crews->n_processes++;
	crew->starts++;
	if (crew->short_said)
		log_info("crew: worker processes of '%s' can be started again", crew->workload->name);
	crew->short_said = false;
}

static int start(struct proc *proc)
{
	struct ends ends = { .sock = -1, .event = ring_event_fd(proc->crew->ring), .log = -1, .lock = -1 };
	_cleanup_close_ int log_fd = -1;
	int r = open_ends(proc, &ends, &log_fd);

	if (r == 0)
		r = run_worker(proc, &ends);
	ends_close(&ends);
	if (r < 0)
		return r;
	if (procfs_start_time(proc->pid, &proc->start_time) < 0)
		proc->start_time = 0; /* it is not reaped: only /proc can be at fault */
	proc_peak_open(proc);
	r = open_events(proc);
	if (r == 0)
		r = worker_log_open(&proc->log, proc->crew->crews->base, proc->crew->workload->name,
				    (uint32_t)proc->pid, log_fd);
	if (r < 0)
		return r;
	(void)take_fd(&log_fd); /* the log's now */
	return greet(proc);
}

int proc_start(struct crew *crew, uint32_t slot)
{
	struct proc *proc = calloc(1, sizeof(*proc));
	int r = -ENOMEM;

	if (!proc)
		return r;
	proc->crew = crew;
	proc->slot = slot;
	proc->pidfd = proc->sock = proc->log.fd = proc->status_fd = proc->clear_refs_fd = -1;
	proc->packets_end = &proc->packets;
	proc->sendings_end = &proc->sendings;
	proc->started_ns = clock_mono_ns();
	proc->ended_before = crew->ended;
	proc->runner_fds = malloc(crew->shape.threads * sizeof(int));
	for (uint32_t i = 0; i < crew->shape.threads; i++)
		ring_renew(crew->ring, crew_first_runner(proc) + i);
	if (proc->runner_fds)
		r = start(proc);
	if (r < 0) {
		proc_end_now(proc);
		return r;
	}
	worker_record(crew->crews, true, proc->pid, proc->start_time);
	log_debug("crew: worker process %d of '%s' is started", (int)proc->pid, crew->workload->name);
	publish(proc);
	return 0;
}

/* ---- End ---- */

void proc_free(struct proc *proc)
{
	struct event *const events[] = { proc->sock_event, proc->send_event, proc->pidfd_event, proc->init_timer };
	struct crew *crew = proc->crew;

	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		if (events[i])
			event_free(events[i]);
	}
	for (uint32_t i = 0; i < proc->ready_runners; i++) {
		if (crew->ring)
			ring_set_runner_fd(crew->ring, crew_first_runner(proc) + i, -1);
		(void)close(proc->runner_fds[i]); /* an eventfd has nothing to lose */
	}
	worker_log_close(&proc->log);
	packets_free(proc);
	sendings_fail(proc);
	stall_news_free(proc->stalls);
	if (proc->sock >= 0)
		(void)close(proc->sock); /* nobody reads it any more */
	if (proc->pidfd >= 0)
		(void)close(proc->pidfd);
	proc_peak_close(proc);
	free(proc->runner_fds);
	free(proc->init_message);
	if (proc->stopped_ns > 0)
		crew->n_stopped--;
	if (crew->procs[proc->slot] == proc) {
		for (uint32_t i = 0; i < crew->shape.threads; i++)
			crew->runners[crew_first_runner(proc) + i] = (struct runner_of){ .proc = NULL };
		crew->procs[proc->slot] = NULL;
		crew->n_procs--;
		crew->crews->n_processes--;
	}
	free(proc);
}

void proc_end_now(struct proc *proc)
{
	int sig, status;

	if (proc->pidfd >= 0) {
		(void)spawn_kill(proc->pidfd, SIGKILL); /* -ESRCH: has ended */
		(void)spawn_reap(proc->pidfd, 1, &sig, &status); /* only says how it ended */
		if (proc->crew->procs[proc->slot] == proc)
			worker_record(proc->crew->crews, false, proc->pid, proc->start_time);
	}
	proc_free(proc);
}

void proc_take_back(struct proc *proc)
{
	struct crew *crew = proc->crew;
	uint32_t first = crew_first_runner(proc);
	struct crew_seat *seat;
	struct flight *f, *next;

	for (seat = crew->stirring; seat; seat = seat->stir_next) {
		for (f = seat->flights; f; f = next) {
			struct ring_chunk_state state;

			next = f->next;
			if (ring_chunk_state(crew->ring, f->chunk, &state) < 0 || state.runner < (int32_t)first ||
			    state.runner >= (int32_t)(first + crew->shape.threads))
				continue; /* garbage is met again, and handled, when the chunk is reaped */
			if (flight_take_back(f) < 0)
				return;
		}
	}
}

void proc_drain(struct proc *proc)
{
	if (proc->draining)
		return;
	proc->draining = true;
	proc_send_simple(proc, WIRE_DRAIN, 0, 0, 0);
}

void proc_resume(struct proc *proc)
{
	if (!proc->draining || proc->stopping)
		return;
	proc->draining = false;
	proc_send_simple(proc, WIRE_RESUME, 0, 0, 0);
}

void proc_kill(struct proc *proc, enum proc_order why)
{
	struct crew *crew = proc->crew;

	if (proc->killed)
		return;
	crew_enter(crew);
	if (why != ORDER_GARBAGE && why != ORDER_INIT && !crew->broken)
		proc_take_back(proc);
	proc->killed = why;
	(void)spawn_kill(proc->pidfd, SIGKILL); /* -ESRCH: has ended by itself, the pidfd says so */
	crew_exit(crew);
}

void proc_stop(struct proc *proc)
{
	proc->stopping = true;
	proc_drain(proc);
	proc_send_simple(proc, WIRE_STOP, 0, 0, 0);
}

/* ---- As many as the tasks need ---- */

static uint32_t processes_wanted(const struct crew *crew)
{
	uint64_t wanted = (crew->out + crew->shape.threads - 1) / crew->shape.threads;

	return wanted < crew->shape.processes ? (uint32_t)wanted : crew->shape.processes;
}

void crew_start_needed(struct crew *crew)
{
	uint32_t wanted, started = 0;
	int r;

	if (crew->ending || crew->broken || crew->retry_armed || crew->crews->stopping)
		return;
	wanted = processes_wanted(crew) + crew->n_stopped; /* these do nothing */
	if (crew->n_procs >= (wanted < crew->shape.processes ? wanted : crew->shape.processes))
		return;
	/* Whatever died may have left a segment that its successor cannot use. */
	if (crew->deaths > 0 && crew->ring && ring_check(crew->ring) < 0) {
		crew_break(crew, "a dead process left words that nobody can start with");
		return;
	}
	for (uint32_t slot = 0; slot < crew->shape.processes && crew->n_procs < wanted; slot++) {
		if (crew->procs[slot])
			continue;
		if (crew->crews->n_processes >= crew->crews->max_processes) {
			crews_make_room(crew->crews);
			return; /* crews_process_ended() comes back here */
		}
		if (started++ == STARTS_PER_TURN) {
			crew_turn_soon(crew);
			return;
		}
		r = proc_start(crew, slot);
		if (r < 0) {
			char what[512];

			(void)snprintf(what, sizeof(what), "%.400s could not be started", crew->crews->worker_path);
			crew_start_refused(crew, what, r);
			return;
		}
	}
}

void on_crew_retry(evutil_socket_t fd, short what, void *arg)
{
	struct crew *crew = arg;

	(void)fd; /* a timer has none */
	(void)what;
	crew->retry_armed = false;
	crew_turn_soon(crew);
}

static bool any_ready(const struct crew *crew)
{
	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		if (crew->procs[i] && proc_is_ready(crew->procs[i]) && !crew->procs[i]->killed)
			return true;
	}
	return false;
}

static void give_up(struct crew *crew)
{
	struct crew_seat *seat, *next;

	log_error("crew: '%s': giving up until the next submission, after %u tries in a row that came to nothing", crew->workload->name,
		  crew->init_failures);
	seats_take_back(crew);
	for (seat = crew->seats; seat; seat = next) {
		next = seat->next; /* seats are freed by crew_exit() only */
		if (!seat->left)
			crew->crews->ops->on_init_failed(crew->crews->ctx, crew, seat->user,
							 crew->init_message ? crew->init_message : "out of memory");
	}
	crew->init_failures = INIT_FAILURES_MAX - 1; /* the next submission tries once */
}

/* others_run: as long as another process does, the tasks are its. */
static void start_failed(struct crew *crew, const char *message, bool others_run)
{
	int64_t delay_ms = RETRY_FIRST_MS;
	struct timeval delay;

	if (crew->ending || crew->crews->stopping)
		return;
	free(crew->init_message);
	crew->init_message = strdup(message);
	crew->init_failures++;
	log_warning("crew: '%s' did not start, or got nothing done (try %u): %s", crew->workload->name, crew->init_failures,
		    message);
	if (crew->init_failures >= INIT_FAILURES_MAX && !others_run) {
		give_up(crew);
		return;
	}
	for (uint32_t i = 1; i < crew->init_failures && delay_ms < RETRY_MAX_MS; i++)
		delay_ms *= 2;
	delay = to_timeval((delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS) * NS_PER_MS);
	crew->retry_armed = event_add(crew->retry_timer, &delay) == 0; /* without it the next kick tries again */
}

void crew_init_failed(struct crew *crew, const char *message)
{
	start_failed(crew, message, any_ready(crew));
}

void crew_start_refused(struct crew *crew, const char *what, int error)
{
	static const struct timeval again = { .tv_sec = SHORTAGE_S };
	char text[640];

	(void)snprintf(text, sizeof(text), "%s: %s", what, strerror(-error)); /* fits */
	if (!error_is_shortage(error)) {
		crew_init_failed(crew, text);
		return;
	}
	if (crew->ending || crew->crews->stopping)
		return;
	if (!crew->short_said)
		log_warning("crew: '%s': %s; its tasks wait, and it is tried again each second", crew->workload->name, text);
	crew->short_said = true;
	crew->retry_armed = event_add(crew->retry_timer, &again) == 0; /* without it the next kick tries again */
}

void crew_garbage(struct crew *crew)
{
	bool again = crew->had_garbage && crew->ended == crew->ended_at_garbage;

	crew->had_garbage = true;
	crew->ended_at_garbage = crew->ended;
	if (again)
		start_failed(crew, "its worker process wrote what makes no sense, and was killed, again and again without "
				   "a task done", false); /* a process that runs is the next to do so */
}
