/* The messages of the socketpair between the daemon and a worker process: SOCK_SEQPACKET, one message a packet, fields
 * written with base/buffer.h in the order listed here. Both ends come from one build; the version in HELLO catches a
 * daemon that outlived an upgrade. Messages from the worker are untrusted.
 *
 *	daemon                                              worker process
 *	spawn with fds 3 (socket), 4 (segment), 5 (daemon's eventfd), 6 (workers.lock)
 *	HELLO ─────────────────────────────────────────────> load the plugin, start runners, worker_init on each
 *	      <─────────────────────────────────── READY with one eventfd per runner (SCM_RIGHTS), or INIT_FAILED
 *	JOB (before its first chunk is submitted) ─────────> parameters, limits: not of a plain job
 *	CANCEL ────────────────────────────────────────────> begun tasks of the job are told
 *	      <──────────────────────────────────── LATE: a task did not come back soon after its time limit
 *	DRAIN ─────────────────────────────────────────────> claim and begin nothing more ...
 *	RESUME ────────────────────────────────────────────> ... go on
 *	      <──────────────────────────────────── OVERDUE: a task did not come back within its grace
 *	      <──────────────────────────────────── STALL: a task holds its runner, or held it so long in all
 *	      <──────────────────────────────────── USED_UP: max_tasks were begun; STOP follows
 *	SEND ──────────────────────────────────────────────> into the inbox of a begun task
 *	      <──────────────────────────────────── SENT: it is there, or the inbox is full
 *	STOP ──────────────────────────────────────────────> finish begun tasks, worker_exit, exit 0
 *	end of file = the other side died
 */
#ifndef CONCD_CREW_WIRE_H
#define CONCD_CREW_WIRE_H

#include <stdint.h>

#define WIRE_VERSION 4
#define WIRE_MAX_BYTES (128 * 1024) /* the socket buffers are raised to hold a few of these */
#define WIRE_FDS_PER_MESSAGE 250 /* SCM_RIGHTS allows 253; a process with more threads sends several READYs */

/* Descriptors a worker process is started with; 0 is /dev/null, 1 and 2 are the pipe that the daemon logs. */
#define WORKER_FD_SOCKET 3
#define WORKER_FD_SEGMENT 4
#define WORKER_FD_EVENT 5
#define WORKER_FD_LOCK 6

enum wire_type {
	/* To the worker. Every message begins with its type as a varint.
	 * HELLO: version; text workload; text plugin path; first runner; threads; coroutines; stack bytes (0: by C);
	 *        max_result bytes; start_timeout ns; stall ns; memory_max bytes (0: none); nice; max_tasks (0: none); cpu_timeout ns (0:
	 *        none);
	 *        text affinity ("": any); n params, then n x (text name, text value). */
	WIRE_HELLO = 1,
	/* JOB: job; workers; task_timeout ns (0: none); grace ns; flags (WIRE_JOB_*); n params, n x (text, text): all
	 * parameters of the job, resolved. Sent to every process of the crew, also again to one that joins later. */
	WIRE_JOB,
	/* FORGET: job. No chunk of it is in flight. */
	WIRE_FORGET,
	/* CANCEL: job; reason (WIRE_CANCEL_*). All begun tasks of the job, and those that still begin. */
	WIRE_CANCEL,
	WIRE_DRAIN,
	WIRE_STOP,
	/* SEND: number of the message; job; task (in its job); bytes. Answered by SENT, in order. */
	WIRE_SEND,
	WIRE_RESUME, /* undoes DRAIN, unless STOP came */

	/* From the worker.
	 * READY: first runner of this message; n; how many of the process's stacks can have no guard, only a canary; with n
	 * eventfds. */
	WIRE_READY,
	/* INIT_FAILED: text message. The process ends by itself. */
	WIRE_INIT_FAILED,
	/* OVERDUE: runner; chunk; generation; index; begin ns (CLOCK_MONOTONIC); 0 its time limit, 1 its limit of processor time. Its
	 * grace has passed after that: the daemon kills. */
	WIRE_OVERDUE,
	/* DROPPED: lines. That many log lines were dropped since the last message. */
	WIRE_DROPPED,
	/* SENT: number of the message; WIRE_SENT_*. */
	WIRE_SENT,
	/* LATE: as OVERDUE. It was told that its time is up and is still begun: an OVERDUE may
	 * follow, so the daemon lets the process take no new task until it has come back. */
	WIRE_LATE,
	/* USED_UP: max_tasks tasks were begun: it begins no more. */
	WIRE_USED_UP,
	/* STALL: 0 it goes on, 1 that is all; runner; job; task (in its job); since ns (CLOCK_MONOTONIC); held ns; how many
	 * were not told since the last; length of the input; its beginning, at most WIRE_STALL_INPUT_BYTES; text stack, a
	 * frame a line. A task holds its runner for longer than `stall`, or held it for so long in all. */
	WIRE_STALL,
};

/* How much of its grace a task has before its process takes no new task: most tasks that are told come back at once,
 * and their neighbours should not pay for those. */
#define WIRE_LATE_MAX_NS INT64_C(50000000)
static inline int64_t wire_late_ns(int64_t grace_ns)
{
	return grace_ns / 8 < WIRE_LATE_MAX_NS ? grace_ns / 8 : WIRE_LATE_MAX_NS;
}

#define WIRE_JOB_NOT_IDEMPOTENT 1u

#define WIRE_STALL_INPUT_BYTES 160u
#define WIRE_STALL_STACK_BYTES 2048u

/* In the flags of a chunk, with the job's workers in the bits below: its job is plain. It has the parameters of HELLO,
 * and its tasks no limit of time, so most jobs, and all that are asked for by the thousand, need no JOB; and no FORGET unless
 * CANCEL or SEND named it. 0: the job was announced by JOB. */
#define WIRE_CHUNK_PLAIN 0x80000000u

#define WIRE_SENT_OK 0u
#define WIRE_SENT_BUSY 1u /* the inbox is full, or there is no memory */

#define WIRE_CANCEL_USER 1u /* cancelled */
#define WIRE_CANCEL_TIMEOUT 2u /* the job's time limit */

#endif
