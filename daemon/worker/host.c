/* The host thread: one loop over the socket, the runners' news and the clock. */
#include "host.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "crew/wire.h"
#include "ring/ring.h"
#include "ring/worker_ring.h"
#include "worker/fault.h"
#include "worker/helpers.h"
#include "worker/jobtable.h"
#include "worker/limits.h"
#include "worker/loader.h"
#include "worker/log_gate.h"
#include "worker/mail.h"
#include "worker/params.h"
#include "worker/runner.h"
#include "worker/stack.h"
#include "worker/stall.h"

#define MAX_COROUTINES (1u << 20)
#define WATCH_MIN_NS (2 * NS_PER_MS) /* time limits are kept to within this */
#define DROPPED_EVERY_NS NS_PER_S

struct host {
	const struct host_fds *fds;
	int news_fd; /* eventfd: a runner changed its state, or the log gate dropped a line */
	uint8_t *message; /* WIRE_MAX_BYTES */

	/* From HELLO. */
	struct worker_ring *ring;
	struct loaded_plugin loaded;
	struct params *params;
	struct jobtable *jobs;
	struct log_gate gate;
	struct helpers *helpers;
	struct mail *mail;
	struct runner **runners;
	uint32_t first_runner, n_runners;
	uint32_t coroutines;
	size_t stack_bytes, max_result_bytes;
	uint64_t unguarded_stacks; /* of the whole process */
	struct limits limits;
	char *affinity; /* limits' */
	_Atomic int64_t may_begin; /* tasks; while limited */
	bool limited, used_up;
	int64_t start_deadline_ns; /* INT64_MAX: worker_init has no time limit */

	int64_t stall_limit_ns; /* 0: tasks may hold their runner as long as they like */
	int64_t cpu_timeout_ns; /* 0: no limit */
	struct stall_watch *watch; /* NULL where both are 0 */

	bool greeted, ready, stopping;
	int64_t watch_ns; /* when to look at time limits again */
	int64_t stall_ns; /* when to look at the runners again */
	int64_t dropped_ns; /* when to report dropped lines again */
	int status; /* of the process, once `done` */
	bool done;
};

static void fail(struct host *host, const char *text)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	if (buffer_add_varint(&b, WIRE_INIT_FAILED) < 0 || buffer_add_text(&b, text) < 0 ||
	    send(host->fds->socket, b.data, b.len, MSG_NOSIGNAL) < 0)
		(void)fprintf(stderr, "worker: %s\n", text); /* the daemon logs it too */
	host->status = 1;
	host->done = true;
}

/* Send a message; the descriptors, if any, go with it. A daemon that is gone is seen by the next poll. */
static void send_message(struct host *host, const struct buffer *b, const int *fds, uint32_t n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(WIRE_FDS_PER_MESSAGE * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = b->data, .iov_len = b->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		header = CMSG_FIRSTHDR(&msg);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
	}
	while (sendmsg(host->fds->socket, &msg, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* ---- Start ---- */

static void on_runner_state(void *arg)
{
	const uint64_t one = 1;
	struct host *host = arg;

	(void)!write(host->news_fd, &one, sizeof(one)); /* full only if a wake-up is pending anyway */
}

static int start_runners(struct host *host, struct error *err)
{
	struct runner_options options = {
		.ring = host->ring,
		.coroutines = host->coroutines,
		.stack_bytes = host->stack_bytes,
		.max_result_bytes = host->max_result_bytes,
		.plugin = &host->loaded.plugin,
		.params = host->params,
		.jobs = host->jobs,
		.gate = &host->gate,
		.helpers = host->helpers,
		.mail = host->mail,
		.memory_max_bytes = host->limits.memory_max_bytes,
		.may_begin = host->limited ? &host->may_begin : NULL,
		.cpu_timeout_ns = host->cpu_timeout_ns,
		.watch = host->watch,
		.on_state = on_runner_state,
		.arg = host,
	};

	host->runners = calloc(host->n_runners, sizeof(host->runners[0]));
	if (!host->runners)
		return error_set(err, -ENOMEM, "no-memory", "no memory for %u runners", host->n_runners);
	for (uint32_t i = 0; i < host->n_runners; i++) {
		int r;

		options.number = host->first_runner + i;
		r = runner_new(&options, &host->runners[i], err);
		if (r < 0)
			return r;
	}
	host->unguarded_stacks = stack_unguarded((uint64_t)host->n_runners * host->coroutines);
	/* All are made before the first runs: what fails above leaves no thread behind. */
	for (uint32_t i = 0; i < host->n_runners; i++) {
		int r = runner_start(host->runners[i]);

		if (r < 0)
			return error_set(err, r, "worker-init", "thread %u cannot be started: %s", i, strerror(-r));
	}
	return 0;
}

/* The numbers of HELLO behind the texts. 0 or -EBADMSG. */
static int read_numbers(struct host *host, struct reader *r, struct error *err)
{
	uint64_t first = reader_varint(r), threads = reader_varint(r), coroutines = reader_varint(r);
	uint64_t stack_bytes = reader_varint(r), max_result_bytes = reader_varint(r);
	uint64_t start_timeout_ns = reader_varint(r), stall_ns, max_tasks, cpu_ns;

	stall_ns = reader_varint(r);
	host->limits.memory_max_bytes = reader_varint(r);
	host->limits.nice = reader_varint(r);
	max_tasks = reader_varint(r);
	cpu_ns = reader_varint(r);
	host->affinity = reader_text(r);
	if (r->failed || !host->affinity || host->limits.nice > 19 || max_tasks > INT64_MAX || stall_ns > INT64_MAX / 2 || cpu_ns > INT64_MAX / 2 || threads == 0 || first + threads > RING_MAX_RUNNERS + UINT64_C(1) || coroutines == 0 ||
	    coroutines > MAX_COROUTINES || stack_bytes > UINT32_MAX)
		return error_set(err, -EBADMSG, "bad-message", "HELLO with values out of range");
	host->limits.affinity = host->affinity;
	host->limits.reserved_bytes = threads * runner_address_bytes((uint32_t)coroutines, (size_t)stack_bytes);
	host->limited = max_tasks > 0;
	atomic_init(&host->may_begin, (int64_t)max_tasks);
	host->stall_limit_ns = (int64_t)stall_ns;
	host->cpu_timeout_ns = (int64_t)cpu_ns;
	host->first_runner = (uint32_t)first;
	host->n_runners = (uint32_t)threads;
	host->coroutines = (uint32_t)coroutines;
	host->stack_bytes = (size_t)stack_bytes;
	host->max_result_bytes = (size_t)max_result_bytes;
	host->start_deadline_ns = start_timeout_ns == 0 || start_timeout_ns > INT64_MAX / 2 ?
					  INT64_MAX :
					  clock_mono_ns() + (int64_t)start_timeout_ns;
	return 0;
}

static void on_stall(void *arg, const struct stall_report *report)
{
	const uint64_t numbers[] = { WIRE_STALL, report->ended, report->runner, report->job, report->task,
				     (uint64_t)report->since_ns, (uint64_t)report->held_ns, report->dropped,
				     report->input_len };
	size_t kept = report->input_len < STALL_INPUT_BYTES ? report->input_len : STALL_INPUT_BYTES;
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(numbers) && r == 0; i++)
		r = buffer_add_varint(&b, numbers[i]);
	if (r == 0)
		r = buffer_add_varint(&b, kept);
	if (r == 0)
		r = buffer_add(&b, report->input, kept);
	if (r == 0)
		r = buffer_add_text(&b, report->stack);
	if (r == 0)
		send_message(arg, &b, NULL, 0);
}

static int greet(struct host *host, struct reader *r, struct error *err)
{
	uint64_t version = reader_varint(r);
	_cleanup_free_ char *workload = reader_text(r);
	_cleanup_free_ char *path = reader_text(r);
	int e;

	if (version != WIRE_VERSION)
		return error_set(err, -EBADMSG, "bad-message",
				 "the daemon speaks version %llu of the worker protocol, this concd-worker version %d: "
				 "restart the daemon", (unsigned long long)version, WIRE_VERSION);
	e = read_numbers(host, r, err);
	if (e < 0)
		return e;
	e = worker_ring_open(host->fds->segment, host->fds->event, &host->ring);
	if (e == 0)
		e = worker_ring_own(host->ring, host->first_runner, host->n_runners);
	if (e < 0)
		return error_set(err, e, "bad-message", "the segment cannot be mapped: %s", strerror(-e));
	(void)close(host->fds->segment); /* mapped; an open descriptor could only be inherited by somebody */
	e = limits_apply(&host->limits, err);
	if (e < 0)
		return e;
	e = loader_open(path, &host->loaded, err);
	if (e < 0)
		return e;
	e = params_read(&host->loaded.plugin, r, &host->params, err);
	if (e < 0)
		return error_set(err, e, "bad-message", "HELLO with malformed parameters");
	e = jobtable_open(host->params, &host->jobs);
	if (e == 0)
		e = helpers_open(HELPERS_MAX, HELPERS_IDLE_NS, &host->helpers);
	if (e == 0)
		e = mail_open(&host->mail);
	if (e < 0)
		return error_set(err, e, "no-memory", "no memory");
	if ((host->stall_limit_ns > 0 || host->cpu_timeout_ns > 0) &&
	    stall_watch_new(host->n_runners, host->stall_limit_ns, host->cpu_timeout_ns, host->news_fd, on_stall, host,
			    &host->watch) < 0)
		return error_set(err, -ENOMEM, "no-memory", "no memory");
	return start_runners(host, err);
}

static void tell_ready(struct host *host)
{
	int fds[WIRE_FDS_PER_MESSAGE];

	for (uint32_t at = 0; at < host->n_runners;) {
		_cleanup_buffer_ struct buffer b = BUFFER_INIT;
		uint32_t n = host->n_runners - at < WIRE_FDS_PER_MESSAGE ? host->n_runners - at : WIRE_FDS_PER_MESSAGE;

		for (uint32_t i = 0; i < n; i++)
			fds[i] = runner_event_fd(host->runners[at + i]);
		if (buffer_add_varint(&b, WIRE_READY) < 0 || buffer_add_varint(&b, host->first_runner + at) < 0 ||
		    buffer_add_varint(&b, n) < 0 || buffer_add_varint(&b, host->unguarded_stacks) < 0) {
			fail(host, "no memory");
			return;
		}
		send_message(host, &b, fds, n);
		at += n;
	}
	host->ready = true;
}

/* ---- Messages ---- */

/* false: malformed or no memory. */
static bool learn_job(struct host *host, struct reader *r)
{
	struct worker_job job = { .id = reader_varint(r) };
	struct error err = ERROR_INIT;
	uint64_t workers = reader_varint(r), timeout_ns = reader_varint(r), grace_ns = reader_varint(r);

	job.workers = workers > UINT32_MAX ? UINT32_MAX : (uint32_t)workers;
	job.task_timeout_ns = timeout_ns > INT64_MAX ? INT64_MAX : (int64_t)timeout_ns;
	job.grace_ns = grace_ns > INT64_MAX ? INT64_MAX : (int64_t)grace_ns;
	job.flags = (uint32_t)reader_varint(r);
	if (params_read(&host->loaded.plugin, r, &job.params, &err) < 0) {
		(void)fprintf(stderr, "worker: job %llu: %s\n", (unsigned long long)job.id,
			      err.code ? err.text : "malformed message"); /* the daemon logs it */
		return false;
	}
	if (jobtable_add(host->jobs, &job) < 0) {
		params_free(job.params);
		return false;
	}
	if (job.task_timeout_ns > 0) {
		int64_t now_ns = clock_mono_ns();

		if (now_ns < host->watch_ns - job.task_timeout_ns)
			host->watch_ns = now_ns + job.task_timeout_ns;
	}
	return true;
}

/* A message for a task: into its inbox, and say so. The daemon has seen that the task is begun. */
static bool deliver(struct host *host, struct reader *r)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	uint64_t id = reader_varint(r), job = reader_varint(r), task = reader_varint(r), status;
	const uint8_t *data;
	size_t len;

	data = reader_bytes(r, &len);
	if (r->failed)
		return false;
	status = mail_put(host->mail, job, task, data, len) < 0 ? WIRE_SENT_BUSY : WIRE_SENT_OK;
	if (buffer_add_varint(&b, WIRE_SENT) < 0 || buffer_add_varint(&b, id) < 0 || buffer_add_varint(&b, status) < 0)
		return false; /* the daemon waits for it: the end of the process is an answer too */
	send_message(host, &b, NULL, 0);
	return true;
}

static void tell_runners(struct host *host, void (*what)(struct runner *runner))
{
	for (uint32_t i = 0; i < host->n_runners; i++)
		what(host->runners[i]);
}

/* false: the daemon sent what no daemon sends. */
static bool take_message(struct host *host, size_t len)
{
	struct reader r = READER_INIT(host->message, len);
	struct error err = ERROR_INIT;
	uint64_t type = reader_varint(&r), job;

	if (host->greeted == (type == WIRE_HELLO))
		return false; /* HELLO comes first, and once */
	switch (type) {
	case WIRE_HELLO:
		host->greeted = true;
		if (greet(host, &r, &err) < 0)
			fail(host, err.text);
		return true;
	case WIRE_JOB:
		return learn_job(host, &r);
	case WIRE_FORGET:
		job = reader_varint(&r);
		jobtable_forget(host->jobs, job);
		mail_forget(host->mail, job);
		return !r.failed;
	case WIRE_CANCEL:
		job = reader_varint(&r);
		if (jobtable_cancel(host->jobs, job, (uint32_t)reader_varint(&r)) < 0)
			return false;
		tell_runners(host, runner_look);
		return !r.failed;
	case WIRE_DRAIN:
		tell_runners(host, runner_drain);
		return true;
	case WIRE_RESUME:
		tell_runners(host, runner_resume);
		return true;
	case WIRE_STOP:
		host->stopping = true;
		tell_runners(host, runner_stop);
		return true;
	case WIRE_SEND:
		return deliver(host, &r);
	default:
		return false;
	}
}

static void take_messages(struct host *host)
{
	while (!host->done) {
		ssize_t n = recv(host->fds->socket, host->message, WIRE_MAX_BYTES, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			_exit(1); /* the daemon is gone: its successor must not meet what the runners still do */
		if ((size_t)n > WIRE_MAX_BYTES || !take_message(host, (size_t)n)) {
			/* The daemon logs it. A process that missed a message would run tasks by the wrong rules. */
			(void)fprintf(stderr, "worker: a message from the daemon that cannot be understood\n");
			_exit(1);
		}
	}
}

/* ---- News of the runners ---- */

/* Have the runners begun all that this process may begin? */
static void look_for_use(struct host *host)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	for (uint32_t i = 0; i < host->n_runners; i++)
		host->used_up = host->used_up || runner_is_used_up(host->runners[i]);
	if (host->used_up && buffer_add_varint(&b, WIRE_USED_UP) == 0)
		send_message(host, &b, NULL, 0);
}

static void look_at_runners(struct host *host)
{
	uint32_t starting = 0, ended = 0;

	for (uint32_t i = 0; i < host->n_runners; i++) {
		switch (runner_state(host->runners[i])) {
		case RUNNER_STARTING:
			starting++;
			break;
		case RUNNER_FAILED:
			fail(host, runner_failure(host->runners[i]));
			return;
		case RUNNER_ENDED:
			ended++;
			break;
		case RUNNER_READY:
			break;
		}
	}
	if (starting == 0 && !host->ready && !host->done)
		tell_ready(host);
	if (host->limited && !host->used_up)
		look_for_use(host);
	if (host->stopping && ended == host->n_runners)
		host->done = true;
}

static void on_overdue(void *arg, const struct runner_overdue *overdue)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	if (buffer_add_varint(&b, overdue->late ? WIRE_LATE : WIRE_OVERDUE) == 0 && buffer_add_varint(&b, overdue->runner) == 0 &&
	    buffer_add_varint(&b, overdue->chunk) == 0 && buffer_add_varint(&b, overdue->generation) == 0 &&
	    buffer_add_varint(&b, overdue->index) == 0 &&
	    buffer_add_varint(&b, (uint64_t)overdue->begin_ns) == 0 && buffer_add_varint(&b, overdue->by_cpu) == 0)
		send_message(arg, &b, NULL, 0);
}

/* Look at time limits, and say when next: at the earliest limit of a task that runs, and no later than the shortest
 * limit of a task that begins now. */
static void watch_limits(struct host *host, int64_t now_ns)
{
	int64_t shortest_ns = jobtable_shortest_timeout_ns(host->jobs);
	int64_t next_ns = INT64_MAX;

	if (shortest_ns > 0 && shortest_ns < INT64_MAX - now_ns)
		next_ns = now_ns + shortest_ns;
	for (uint32_t i = 0; i < host->n_runners; i++) {
		int64_t at_ns = runner_watch(host->runners[i], now_ns, on_overdue, host);

		if (at_ns < next_ns)
			next_ns = at_ns;
	}
	host->watch_ns = next_ns < now_ns + WATCH_MIN_NS ? now_ns + WATCH_MIN_NS : next_ns;
}

static void report_dropped(struct host *host, int64_t now_ns)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	uint64_t lines = log_gate_take_dropped(&host->gate);

	host->dropped_ns = now_ns + DROPPED_EVERY_NS;
	if (lines > 0 && buffer_add_varint(&b, WIRE_DROPPED) == 0 && buffer_add_varint(&b, lines) == 0)
		send_message(host, &b, NULL, 0);
}

/* ---- The loop ---- */

static int64_t next_time_ns(const struct host *host)
{
	int64_t next_ns = host->watch_ns;

	if (host->ready && host->stall_ns < next_ns)
		next_ns = host->stall_ns;
	if (host->greeted && !host->ready && host->start_deadline_ns < next_ns)
		next_ns = host->start_deadline_ns;
	if (atomic_load_explicit(&host->gate.dropped, memory_order_relaxed) > 0 && host->dropped_ns < next_ns)
		next_ns = host->dropped_ns; /* relaxed: a count */
	return next_ns;
}

static void wait_for_news(struct host *host)
{
	struct pollfd fds[] = { { .fd = host->fds->socket, .events = POLLIN },
				{ .fd = host->news_fd, .events = POLLIN } };
	int64_t next_ns = next_time_ns(host), left_ns;
	struct timespec timeout;
	uint64_t count;

	left_ns = next_ns == INT64_MAX ? -1 : next_ns - clock_mono_ns();
	if (next_ns != INT64_MAX && left_ns < 0)
		left_ns = 0;
	timeout.tv_sec = (time_t)(left_ns / NS_PER_S);
	timeout.tv_nsec = (long)(left_ns % NS_PER_S);
	if (ppoll(fds, ARRAY_SIZE(fds), left_ns < 0 ? NULL : &timeout, NULL) < 0)
		return; /* interrupted: everything is looked at anyway */
	if (fds[1].revents)
		(void)!read(host->news_fd, &count, sizeof(count)); /* the count says nothing */
	if (fds[0].revents)
		take_messages(host);
}

static void serve(struct host *host)
{
	while (!host->done) {
		bool over = false;
		int64_t now_ns;

		wait_for_news(host);
		if (host->done || !host->greeted)
			continue;
		look_at_runners(host);
		now_ns = clock_mono_ns();
		if (!host->ready && now_ns >= host->start_deadline_ns && !host->done)
			fail(host, "worker_init did not return within start_timeout");
		if (host->watch && host->ready && (host->stall_ns == INT64_MAX || now_ns >= host->stall_ns)) /* it was woken */
			host->stall_ns = stall_watch_look(host->watch, host->runners, now_ns, &over);
		if (over || now_ns >= host->watch_ns)
			watch_limits(host, now_ns);
		if (now_ns >= host->dropped_ns)
			report_dropped(host, now_ns);
	}
}

int host_run(const struct host_fds *fds)
{
	struct host host = { .fds = fds, .watch_ns = INT64_MAX, .stall_ns = INT64_MAX, .news_fd = -1 };

	host.message = malloc(WIRE_MAX_BYTES);
	host.news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	host.gate.wake_fd = host.news_fd;
	if (!host.message || host.news_fd < 0 || fault_install() < 0 || stall_install() < 0) {
		fail(&host, "no memory or no descriptors left");
		return 1;
	}
	serve(&host);
	if (host.status != 0)
		_exit(host.status); /* runners may be anywhere in the plugin */
	for (uint32_t i = 0; i < host.n_runners; i++)
		runner_free(host.runners[i]);
	stall_watch_free(host.watch);
	helpers_close(host.helpers);
	mail_close(host.mail);
	free(host.runners);
	jobtable_close(host.jobs);
	params_free(host.params);
	worker_ring_close(host.ring);
	loader_close(&host.loaded);
	(void)close(host.news_fd); /* an eventfd has nothing to lose */
	free(host.affinity);
	free(host.message);
	return 0;
}
