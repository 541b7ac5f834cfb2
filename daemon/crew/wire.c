/* The daemon's end of the socketpair: messages written, queued while the socket is full, and what comes back decoded as
 * input from an untrusted process. */
#include "crew/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/spawn.h"
#include "config.h"
#include "crew/crew_private.h"
#include "crew/workload.h"

#define MAX_QUEUED_BYTES (4u << 20) /* a process that reads nothing of this much does not live */
#define MESSAGES_PER_TURN 64
#define MAX_INIT_MESSAGE_BYTES 512u

struct packet {
	struct packet *next;
	size_t len;
	uint8_t data[];
};

/* ---- Writing ---- */

static const char *stanza_value(const struct workload_config *config, const struct plugin_param *param)
{
	for (size_t i = 0; i < config->n_params; i++) {
		if (strcmp(config->params[i].name, param->name) == 0)
			return config->params[i].value;
	}
	return param->value;
}

static int add_numbers(struct buffer *b, const uint64_t *values, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = buffer_add_varint(b, values[i]);
	return r;
}

static uint64_t positive(int64_t ns)
{
	return ns > 0 ? (uint64_t)ns : 0;
}

int wire_hello(const struct proc *proc, struct buffer *message)
{
	const struct crew *crew = proc->crew;
	const struct workload *w = crew->workload;
	const struct workload_config *config = w->config;
	const uint64_t head[] = { WIRE_HELLO, WIRE_VERSION };
	const uint64_t numbers[] = {
		crew_first_runner(proc),    crew->shape.threads,      crew->shape.coroutines,
		config->stack_bytes,	    config->max_result_bytes, positive(config->start_timeout_ns),
		config->stall_alone || crew->shape.coroutines > 1 ? positive(config->stall_ns) : 0, config->memory_max_bytes, config->nice,
		config->max_tasks,	    positive(config->cpu_timeout_ns),
	};
	int r = add_numbers(message, head, ARRAY_SIZE(head));

	if (r == 0)
		r = buffer_add_text(message, w->name);
	if (r == 0)
		r = buffer_add_text(message, w->plugin_path);
	if (r == 0)
		r = add_numbers(message, numbers, ARRAY_SIZE(numbers));
	if (r == 0)
		r = buffer_add_text(message, config->affinity ? config->affinity : "");
	if (r == 0)
		r = buffer_add_varint(message, w->info->n_params);
	for (size_t i = 0; i < w->info->n_params && r == 0; i++) {
		r = buffer_add_text(message, w->info->params[i].name);
		if (r == 0)
			r = buffer_add_text(message, stanza_value(config, &w->info->params[i]));
	}
	return r;
}

int wire_job(const struct crew_job *job, struct buffer *message)
{
	const uint64_t numbers[] = {
		WIRE_JOB,
		job->id,
		job->workers,
		positive(job->task_timeout_ns),
		positive(job->grace_ns),
		job->idempotent ? 0 : WIRE_JOB_NOT_IDEMPOTENT,
		job->n_params,
	};
	int r = add_numbers(message, numbers, ARRAY_SIZE(numbers));

	for (size_t i = 0; i < job->n_params && r == 0; i++) {
		r = buffer_add_text(message, job->params[i].name);
		if (r == 0)
			r = buffer_add_text(message, job->params[i].value);
	}
	return r;
}

/* What HELLO said, and nothing else? Whoever adds a field to JOB decides here what its usual value is. */
static bool is_plain(const struct crew *crew, const struct crew_job *job)
{
	const struct workload *w = crew->workload;

	/* With a limit the worker must know of the grace after it, too. */
	if (job->task_timeout_ns > 0 || w->config->cpu_timeout_ns > 0 || job->workers >= WIRE_CHUNK_PLAIN ||
	    job->n_params != w->info->n_params)
		return false;
	for (size_t i = 0; i < job->n_params; i++) {
		const struct plugin_param *param = &w->info->params[i];

		if (strcmp(job->params[i].name, param->name) != 0 ||
		    strcmp(job->params[i].value, stanza_value(w->config, param)) != 0)
			return false;
	}
	return true;
}

uint32_t wire_chunk_flags(const struct crew *crew, const struct crew_job *job)
{
	return is_plain(crew, job) ? WIRE_CHUNK_PLAIN | job->workers : 0;
}

/* ---- Sending ---- */

void packets_free(struct proc *proc)
{
	while (proc->packets) {
		struct packet *p = proc->packets;

		proc->packets = p->next;
		free(p);
	}
	proc->packets_end = &proc->packets;
	proc->packet_bytes = 0;
}

static int send_now(struct proc *proc, const void *data, size_t len)
{
	ssize_t n;

	do
		n = send(proc->sock, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static bool must_wait(int r)
{
	return r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM;
}

void on_proc_send(evutil_socket_t fd, short what, void *arg)
{
	struct proc *proc = arg;

	(void)fd; /* it is in the struct */
	(void)what;
	while (proc->packets) {
		struct packet *p = proc->packets;
		int r = send_now(proc, p->data, p->len);

		if (must_wait(r))
			return;
		/* Any other failure means that the other side is gone, which its pidfd tells. */
		proc->packets = p->next;
		if (!proc->packets)
			proc->packets_end = &proc->packets;
		proc->packet_bytes -= p->len;
		free(p);
	}
	(void)event_del(proc->send_event); /* fails only for an event that is none */
}

void proc_send(struct proc *proc, const struct buffer *message)
{
	struct packet *p;
	int r;

	if (proc->sock < 0 || proc->killed)
		return;
	if (!proc->packets) {
		r = send_now(proc, message->data, message->len);
		if (r == -EMSGSIZE)
			log_error("crew: a message of %zu bytes is too long for a worker process", message->len);
		if (!must_wait(r))
			return;
	}
	p = proc->packet_bytes + message->len > MAX_QUEUED_BYTES ? NULL : malloc(sizeof(*p) + message->len);
	if (!p || event_add(proc->send_event, NULL) < 0) {
		free(p);
		log_error("crew: worker process %d does not read its messages: killed", (int)proc->pid);
		proc_kill(proc, ORDER_GARBAGE);
		return;
	}
	p->next = NULL;
	p->len = message->len;
	memcpy(p->data, message->data, message->len);
	*proc->packets_end = p;
	proc->packets_end = &p->next;
	proc->packet_bytes += p->len;
}

void proc_send_simple(struct proc *proc, uint64_t type, uint64_t a, size_t n_args, uint64_t b)
{
	uint8_t data[3 * VARINT_MAX_BYTES];
	uint8_t *at = varint_put(data, type);

	if (n_args > 0)
		at = varint_put(at, a);
	if (n_args > 1)
		at = varint_put(at, b);
	proc_send(proc, &(struct buffer){ .data = data, .len = (size_t)(at - data), .cap = sizeof(data) });
}

void crew_send_all(struct crew *crew, const struct buffer *message)
{
	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		if (crew->procs[i])
			proc_send(crew->procs[i], message);
	}
}

/* ---- Receiving ---- */

struct received {
	int fds[WIRE_FDS_PER_MESSAGE];
	size_t n_fds;
};

static void received_fini(struct received *in)
{
	for (size_t i = 0; i < in->n_fds; i++) {
		if (in->fds[i] >= 0)
			(void)close(in->fds[i]); /* not wanted: nothing of ours is in it */
	}
	in->n_fds = 0;
}

static void take_fds(struct msghdr *head, struct received *in)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (in->n_fds < WIRE_FDS_PER_MESSAGE)
				in->fds[in->n_fds++] = fd;
			else
				(void)close(fd); /* more than any message has */
		}
	}
}

/* Only an eventfd is ever written to: anything else could block the daemon. */
static bool is_eventfd(int fd)
{
	char path[64], target[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

static bool take_ready(struct proc *proc, struct reader *r, struct received *in)
{
	struct crew *crew = proc->crew;
	uint64_t first = reader_varint(r), n = reader_varint(r), unguarded = reader_varint(r);

	if (r->failed || unguarded > (uint64_t)crew->shape.threads * crew->shape.coroutines || proc->ready_runners == crew->shape.threads || n == 0 || n != in->n_fds ||
	    first != (uint64_t)crew_first_runner(proc) + proc->ready_runners ||
	    n > crew->shape.threads - proc->ready_runners)
		return false;
	for (size_t i = 0; i < in->n_fds; i++) {
		if (!is_eventfd(in->fds[i]))
			return false;
	}
	for (size_t i = 0; i < in->n_fds; i++) {
		proc->runner_fds[proc->ready_runners] = take_fd(&in->fds[i]);
		ring_set_runner_fd(crew->ring, crew_first_runner(proc) + proc->ready_runners,
				   proc->runner_fds[proc->ready_runners]);
		proc->ready_runners++;
	}
	crew_stacks_unguarded(crew, unguarded);
	if (proc_is_ready(proc)) {
		(void)event_del(proc->init_timer); /* fails only for an event that is none */
		crew_turn_soon(crew);
	}
	return true;
}

static bool take_init_failed(struct proc *proc, struct reader *r)
{
	_cleanup_free_ char *text = reader_text(r);

	if (!text)
		return false;
	if (strlen(text) > MAX_INIT_MESSAGE_BYTES)
		text[MAX_INIT_MESSAGE_BYTES] = '\0';
	free(proc->init_message);
	proc->init_message = take_ptr(text);
	return true;
}

/* A task's own time limit and some or all of its grace have passed. Late news of a chunk that was filled again since is not believed:
 * its tasks have not been out long enough. */
static bool take_overdue(struct proc *proc, bool late, struct reader *r)
{
	struct crew *crew = proc->crew;
	uint64_t runner = reader_varint(r), chunk = reader_varint(r), index, by_cpu;
	int64_t limit_ns;
	struct ring_chunk_state state;
	struct flight *flight;
	int64_t begin_ns;
	int e;

	(void)reader_varint(r); /* generation: known to the ring alone; the checks below stand in for it */
	index = reader_varint(r);
	begin_ns = (int64_t)(reader_varint(r) & INT64_MAX);
	by_cpu = reader_varint(r);
	if (r->failed || by_cpu > 1 || runner < crew_first_runner(proc) || runner >= crew_first_runner(proc) + crew->shape.threads ||
	    chunk > UINT32_MAX || index >= RING_CHUNK_TASKS)
		return false;
	crew_collect(crew); /* it may have ended just now, or while the daemon itself was stopped */
	if (crew->broken)
		return true;
	e = ring_chunk_state(crew->ring, (uint32_t)chunk, &state);
	if (e == -EBADMSG) {
		crew_break(crew, "a chunk's word is out of range");
		return true;
	}
	if (e < 0 || state.runner != (int32_t)runner || index >= state.begun || (state.done >> index & 1))
		return true; /* has ended meanwhile */
	flight = state.user;
	/* A thread cannot have used more time than has passed. */
	limit_ns = by_cpu ? crew->workload->config->cpu_timeout_ns : flight->seat->task_timeout_ns;
	if (limit_ns <= 0 || clock_mono_ns() - flight->submitted_ns < limit_ns)
		return true;
	if (late) {
		flight->late |= UINT64_C(1) << index;
		(void)proc_hold(proc); /* false: it takes no new task already */
		return true;
	}
	flight->overdue |= UINT64_C(1) << index;
	if (by_cpu)
		flight->overdue_cpu |= UINT64_C(1) << index;
	if (begin_ns >= flight->submitted_ns && begin_ns <= clock_mono_ns())
		flight->overdue_begin_ns = begin_ns;
	log_warning(
		"crew: a task of '%s' did not come back within %s and grace: worker process %d is killed",
		crew->workload->name, by_cpu ? "its cpu_timeout" : "its time limit", (int)proc->pid);
	proc_kill(proc, ORDER_OVERDUE);
	return true;
}

static bool take_message(struct proc *proc, const uint8_t *data, size_t len, struct received *in)
{
	struct reader r = READER_INIT(data, len);
	uint64_t lines, type = reader_varint(&r);

	if (r.failed)
		return false;
	switch (type) {
	case WIRE_READY:
		return take_ready(proc, &r, in);
	case WIRE_INIT_FAILED:
		return take_init_failed(proc, &r);
	case WIRE_LATE:
	case WIRE_OVERDUE:
		return take_overdue(proc, type == WIRE_LATE, &r);
	case WIRE_SENT: {
		uint64_t number = reader_varint(&r), status = reader_varint(&r);

		return !r.failed && proc_sent(proc, number, status);
	}
	case WIRE_USED_UP:
		if (!proc->stopping) {
			proc_take_back(proc);
			proc_stop(proc); /* replaced when it has ended */
		}
		return true;
	case WIRE_STALL:
		return proc_stall(proc, &r);
	case WIRE_DROPPED:
		lines = reader_varint(&r);
		if (!r.failed)
			worker_log_count_dropped(&proc->log, lines);
		return !r.failed;
	default:
		return false;
	}
}

/* One message. false: there is none now, or never again. */
static bool receive_one(struct proc *proc)
{
	static uint8_t data[WIRE_MAX_BYTES]; /* the control thread's alone */
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 253)]; /* what the kernel passes at most */
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr head = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	struct received in = { .n_fds = 0 };
	ssize_t n = recvmsg(proc->sock, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n == 0) { /* an empty packet looks like the end, and may still bring descriptors */
		take_fds(&head, &in);
		received_fini(&in);
	}
	if (n <= 0) { /* the other side is gone: make its death certain, its pidfd tells it */
		(void)event_del(proc->sock_event); /* fails only for an event that is none */
		(void)spawn_kill(proc->pidfd, SIGKILL); /* -ESRCH: has ended */
		return false;
	}
	take_fds(&head, &in);
	if ((head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !take_message(proc, data, (size_t)n, &in)) {
		log_error("crew: worker process %d of '%s' sent a message that makes no sense: killed", (int)proc->pid,
			  proc->crew->workload->name);
		proc_kill(proc, ORDER_GARBAGE);
	}
	received_fini(&in);
	return true;
}

void proc_receive(struct proc *proc)
{
	for (int i = 0; i < MESSAGES_PER_TURN && receive_one(proc); i++) {
		if (proc->killed)
			return; /* nothing it says counts any more */
	}
}
