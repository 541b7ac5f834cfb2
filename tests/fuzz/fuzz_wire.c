/* What a worker process sends over its socketpair, to a crew of one process whose runner 0 has begun two tasks. The
 * input is a script of packets: a byte that says how many descriptors go along, what they are and which type of message it
 * is, one with the length of the rest, the rest. */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/loop.h"
#include "config.h"
#include "crew/crew_private.h"
#include "crew/wire.h"
#include "crew/workload.h"
#include "ring/worker_ring.h"

#define MAX_FDS 5
#define THREADS 3

static struct {
	unsigned int kills, breaks, turns;
	uint64_t stalled; /* the task, and one */
} told;

/* ---- The neighbours of wire.c ---- */

void log_write(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

void proc_kill(struct proc *proc, enum proc_order why)
{
	proc->killed = why;
	told.kills++;
}

bool proc_is_ready(const struct proc *proc)
{
	return proc->ready_runners == proc->crew->shape.threads;
}

void proc_take_back(struct proc *proc)
{
	(void)proc;
}

void proc_stop(struct proc *proc)
{
	proc->stopping = true;
}

bool proc_hold(struct proc *proc)
{
	if (proc->held)
		return false;
	proc->held = true;
	return true;
}

void crew_collect(struct crew *crew)
{
	(void)crew;
}

void crew_break(struct crew *crew, const char *why)
{
	FUZZ_CHECK(!why); /* nothing here writes into the segment */
	crew->broken = true;
	told.breaks++;
}

void crew_turn_soon(struct crew *crew)
{
	crew->turn_pending = true;
	told.turns++;
}

static void on_stall(void *ctx, const struct crew_stall *stall)
{
	(void)ctx;
	FUZZ_CHECK(stall->task < 2); /* what has begun */
	FUZZ_CHECK(stall->worker_thread < THREADS && stall->input_kept <= stall->input_len);
	FUZZ_CHECK(stall->since_ns <= clock_mono_ns() && stall->held_ns >= 0);
	FUZZ_CHECK(!stall->ended || told.stalled == stall->task + 1); /* the begin was told */
	told.stalled = stall->ended ? 0 : stall->task + 1;
}

static const struct crew_ops ops = { .on_stall = on_stall };

/* ---- The crew ---- */

struct world {
	struct event_base *base;
	struct ring *ring;
	struct worker_ring *worker;
	struct workload workload;
	struct crews crews;
	struct crew crew;
	struct crew_seat seat;
	struct flight flight;
	struct proc proc;
	int runner_fds[THREADS];
	int peer;
};

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void begin_tasks(struct world *w)
{
	static const uint8_t packed[] = { 1, 'a', 1, 'b', 1, 'c' };
	struct ring_batch batch = { .job = 1, .count = 3, .packed = packed, .packed_bytes = sizeof(packed) };
	struct ring_claim claim;
	uint32_t chunk;

	FUZZ_CHECK(ring_fill(w->ring, &batch, &w->flight, &chunk) == 0);
	ring_submit(w->ring, chunk);
	FUZZ_CHECK(ring_claim(w->worker, 0, &claim) == 0);
	FUZZ_CHECK(ring_begin(w->worker, 0, &claim) == 0 && ring_begin(w->worker, 0, &claim) == 1);
}

static void world_open(struct world *w)
{
	static const struct workload_config config = { .cpu_timeout_ns = 1 };
	static const struct ring_geometry geometry = { .n_runners = THREADS, .n_chunks = 2, .ring_bytes = 16384,
						       .n_big = 1 };
	int fds[2];

	*w = (struct world){ .base = event_base_new() };
	FUZZ_CHECK(w->base && ring_open(&geometry, &w->ring) == 0);
	FUZZ_CHECK(worker_ring_open(ring_segment_fd(w->ring), ring_event_fd(w->ring), &w->worker) == 0);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	w->peer = fds[1];
	w->workload.name = "w";
	w->workload.config = &config;
	w->crews.ops = &ops;
	told.stalled = 0;
	w->crew = (struct crew){ .crews = &w->crews, .seats = &w->seat, .workload = &w->workload, .shape = { 1, THREADS, 1 }, .ring = w->ring };
	w->seat = (struct crew_seat){ .crew = &w->crew, .job = 1, .flights = &w->flight, .task_timeout_ns = 1 };
	w->flight = (struct flight){ .seat = &w->seat, .count = 3 };
	for (int i = 0; i < THREADS; i++)
		w->runner_fds[i] = -1;
	w->proc = (struct proc){ .crew = &w->crew, .sock = fds[0], .pidfd = -1, .runner_fds = w->runner_fds };
	w->proc.packets_end = &w->proc.packets;
	w->proc.sock_event = event_new(w->base, fds[0], EV_READ, on_event, NULL);
	w->proc.init_timer = event_new(w->base, -1, 0, on_event, NULL);
	FUZZ_CHECK(w->proc.sock_event && w->proc.init_timer);
	begin_tasks(w);
}

static void world_close(struct world *w)
{
	event_free(w->proc.sock_event);
	event_free(w->proc.init_timer);
	for (int i = 0; i < THREADS; i++) {
		if (w->runner_fds[i] >= 0)
			(void)close(w->runner_fds[i]); /* an eventfd */
	}
	(void)close(w->proc.sock); /* a socket: nothing to lose */
	if (w->peer >= 0)
		(void)close(w->peer); /* the same */
	free(w->proc.init_message);
	free(w->crew.stack_note);
	stall_news_free(w->proc.stalls);
	worker_ring_close(w->worker);
	ring_close(w->ring);
	event_base_free(w->base);
}

/* ---- The script ---- */

static unsigned int open_descriptors(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 128; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int make_fd(bool is_event)
{
	int fd = is_event ? eventfd(0, EFD_CLOEXEC) : dup(STDERR_FILENO);

	FUZZ_CHECK(fd >= 0);
	return fd;
}

static void send_packet(struct world *w, const uint8_t **data, size_t *size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	} control = { .bytes = "" };
	uint8_t kind = fuzz_byte(data, size), len = fuzz_byte(data, size), type = WIRE_READY + kind / 16 % 8;
	bool raw = kind & 0x80; /* the type is in the rest */
	size_t rest = len < *size ? len : *size;
	struct iovec iov[2] = { { .iov_base = &type, .iov_len = 1 },
				{ .iov_base = (void *)(uintptr_t)*data, .iov_len = rest } };
	struct msghdr head = { .msg_iov = raw ? iov + 1 : iov, .msg_iovlen = raw ? 1 : 2 };
	size_t n = (kind & 7u) % (MAX_FDS + 1u);
	int fds[MAX_FDS];

	for (size_t i = 0; i < n; i++)
		fds[i] = make_fd(!(kind & 8) || i > 0);
	if (n > 0) {
		struct cmsghdr *c = &control.align;

		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * n), .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	FUZZ_CHECK(sendmsg(w->peer, &head, MSG_NOSIGNAL) == (ssize_t)rest + !raw);
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]); /* sent */
	*data += rest;
	*size -= rest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w;
	unsigned int before = open_descriptors();

	world_open(&w);
	for (int i = 0; i < 16 && size > 0 && !w.proc.killed; i++) {
		told.kills = 0;
		send_packet(&w, &data, &size);
		proc_receive(&w.proc);
		FUZZ_CHECK(told.kills <= 1 && told.breaks == 0);
		FUZZ_CHECK(w.proc.ready_runners <= THREADS);
		FUZZ_CHECK(w.flight.overdue == 0 || w.proc.killed == ORDER_OVERDUE);
		FUZZ_CHECK(w.flight.overdue <= 3 && w.flight.late <= 3); /* only what has begun */
		for (uint32_t k = 0; k < THREADS; k++)
			FUZZ_CHECK((w.runner_fds[k] >= 0) == (k < w.proc.ready_runners));
	}
	(void)close(w.peer); /* the worker's end: it has died */
	w.peer = -1;
	proc_receive(&w.proc);
	world_close(&w);
	FUZZ_CHECK(open_descriptors() == before);
	return 0;
}
