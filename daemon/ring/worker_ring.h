/* The worker's half of the rings (ring.h has the story). A runner's calls belong to its own thread; the segment may be
 * mapped once per process and shared by its runners. */
#ifndef CONCD_RING_WORKER_RING_H
#define CONCD_RING_WORKER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker_ring;

#define RING_LOG_BYTES 4096 /* longer log lines are cut */

/* Map the segment (not inherited by forked children: MADV_DONTFORK) and check that its geometry is one this program
 * can follow. event_fd is the daemon's. Both descriptors stay the caller's and may be closed after the call
 * (segment) or when the process ends (event). 0, -EINVAL, -ENOMEM. */
int worker_ring_open(int segment_fd, int event_fd, struct worker_ring **ret_ring);
/* Only these runners' completion rings can be read and written from here on: what a wild pointer of this process hits is none of
 * another one's results. 0, -EINVAL: there are no such runners; -ENOMEM. */
int worker_ring_own(struct worker_ring *ring, uint32_t first, uint32_t count);
void worker_ring_close(struct worker_ring *ring);

/* A chunk that this runner has claimed. Plain data: the runner keeps as many as it likes. */
struct ring_claim {
	uint32_t chunk;
	uint32_t generation;
	uint32_t count;
	uint32_t flags;
	uint64_t job;
	uint64_t first; /* number of the chunk's first task in its job */
	/* Packed. To be read only after a ring_begin() that succeeded, and while tasks begun are unfinished: until then
	 * the daemon may take all back and fill the chunk anew. */
	const uint8_t *inputs;
	size_t inputs_bytes;
	bool big; /* one input in the arena: copy it, then ring_release_big() */
};

/* Claim the next submitted chunk. 0; -EAGAIN: none is there; -EBADMSG: the segment has been scribbled over, the process
 * should end. */
int ring_claim(struct worker_ring *ring, uint32_t runner, struct ring_claim *ret_claim);
/* Begin the next task of a claimed chunk. Its index; -EAGAIN: nothing left to begin (all begun, or taken back): the
 * claim is used up. */
int ring_begin(struct worker_ring *ring, uint32_t runner, const struct ring_claim *claim);
void ring_release_big(struct worker_ring *ring, const struct ring_claim *claim);

/* What is said of a task that ended. */
struct ring_result {
	uint32_t chunk;
	uint32_t generation;
	uint32_t index;
	uint8_t status; /* enum ring_status */
	int64_t begin_ns; /* CLOCK_MONOTONIC */
	float wall_s, cpu_s, runq_s;
	int64_t retry_after_ns; /* for RING_FAILED_RETRY; -1: no wish */
	const void *data; /* copied */
	size_t len; /* any length up to max_result; long ones travel in fragments */
	bool whole_words; /* up to 7 bytes behind `data` may be read as well */
};

/* Write the record and advance the precise tail. Where the daemon has not read enough it publishes and waits (blocks)
 * until there is room. Never fails. */
void ring_record(struct worker_ring *ring, uint32_t runner, const struct ring_result *result);
/* A line for the daemon's log. Dropped where there is no room: false. */
bool ring_log(struct worker_ring *ring, uint32_t runner, uint8_t level, const char *text, size_t len);
/* Advertise what was recorded and wake the daemon if it sleeps: at the end of a chunk, before the runner sleeps, and
 * at least every millisecond while records wait (a result never stays unseen while its runner works on). */
void ring_publish(struct worker_ring *ring, uint32_t runner);

/* The task on the processor, for blame: one plain store. ring_idle_task() says none. */
void ring_on_task(struct worker_ring *ring, uint32_t runner, uint32_t chunk, uint32_t index);
void ring_off_task(struct worker_ring *ring, uint32_t runner);
/* From the fault handler of this runner's thread (async-signal-safe). */
void ring_fault(struct worker_ring *ring, uint32_t runner, int signal);
/* The same from a helper thread, which works for a task of this runner that waits. */
void ring_fault_of_task(struct worker_ring *ring, uint32_t runner, int signal, uint32_t chunk, uint32_t index);
void ring_set_progress(struct worker_ring *ring, uint32_t chunk, uint32_t index, float fraction);

/* Sleeping. ring_sleep_begin() announces that this runner is idle, in its event base (in_base: the daemon will write
 * to the runner's eventfd) or on its futex, and looks once more: false: a chunk is there, or the host thread called
 * ring_kick(); claim instead. After true the runner either serves its base until the eventfd is readable, or calls
 * ring_sleep_futex(). ring_sleep_end() after either.
 *
 * Only for a runner that would claim a chunk: one that does not (draining, or its tasks are as many as it can keep)
 * must not announce itself, or a wake-up meant for another is lost on it. */
bool ring_sleep_begin(struct worker_ring *ring, uint32_t runner, bool in_base);
void ring_sleep_futex(struct worker_ring *ring, uint32_t runner);
void ring_sleep_end(struct worker_ring *ring, uint32_t runner);
/* Wake this runner from a futex sleep, or keep it from beginning one: from the host thread (stop, cancel) and from
 * ring-free code such as a foreign thread's resume. */
void ring_kick(struct worker_ring *ring, uint32_t runner);

#endif
