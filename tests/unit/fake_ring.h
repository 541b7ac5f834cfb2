/* A ring for tests of the runner: the functions of ring/worker_ring.h over plain arrays, one lock around everything. It
 * remembers what was recorded and how it was called. */
#ifndef CONCD_TESTS_FAKE_RING_H
#define CONCD_TESTS_FAKE_RING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/ring.h"
#include "ring/worker_ring.h"

#define FAKE_MAX_CHUNKS 16384
#define FAKE_MAX_RUNNERS 4
#define FAKE_KEEP_BYTES 96 /* of each payload */

struct fake_record {
	bool there;
	bool published;
	uint32_t runner;
	uint8_t status;
	float wall_s, cpu_s, runq_s;
	int64_t begin_ns, retry_after_ns;
	size_t len;
	char data[FAKE_KEEP_BYTES + 1]; /* with a NUL behind it */
};

struct fake_chunk {
	struct ring_claim claim;
	uint8_t *packed; /* owned */
	uint32_t begun, end;
	bool claimed;
	struct fake_record *records; /* owned; count of them */
	float progress[RING_CHUNK_TASKS];
};

struct worker_ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fake_chunk *chunks;
	uint32_t n_chunks, n_claimed;
	uint64_t n_recorded; /* results */
	uint64_t n_published;
	uint64_t n_unexpected; /* records twice, of a chunk not claimed, of a task not begun */
	uint64_t n_lines;
	uint64_t n_released; /* large inputs */
	bool refuse_lines;
	char last_line[256];
	void (*on_kick)(void); /* NULL: nothing; on the thread that kicked, without the lock */
	struct {
		bool kicked, asleep, in_base;
		int event_fd;
		uint64_t unpublished;
		int fault;
	} runners[FAKE_MAX_RUNNERS];
};

struct worker_ring *fake_ring_new(void);
void fake_ring_free(struct worker_ring *ring);
void fake_ring_set_event_fd(struct worker_ring *ring, uint32_t runner, int fd);
/* Submit `count` tasks with these inputs; returns the chunk. */
uint32_t fake_ring_submit(struct worker_ring *ring, uint64_t job, uint64_t first, uint32_t count,
			  const char *const *inputs);
/* The same input `text` for n tasks, in chunks of 64. */
void fake_ring_submit_many(struct worker_ring *ring, uint64_t job, uint64_t n, const char *text);
/* One large input. */
uint32_t fake_ring_submit_big(struct worker_ring *ring, uint64_t job, const void *data, size_t len);
uint32_t fake_ring_take_back(struct worker_ring *ring, uint32_t chunk); /* how many had not begun */
/* Wait until so many results have been published. */
void fake_ring_wait(struct worker_ring *ring, uint64_t n_results);
void fake_ring_wait_begun(struct worker_ring *ring, uint32_t chunk, uint32_t begun);
/* A copy of what was recorded of a task. */
struct fake_record fake_ring_record(struct worker_ring *ring, uint32_t chunk, uint32_t index);
/* How many results have this status. */
uint64_t fake_ring_count(struct worker_ring *ring, uint8_t status);

#endif
