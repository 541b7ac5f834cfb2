/* The ring of runner tests. */
#include "fake_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"

struct worker_ring *fake_ring_new(void)
{
	struct worker_ring *ring = calloc(1, sizeof(*ring));

	ring->chunks = calloc(FAKE_MAX_CHUNKS, sizeof(ring->chunks[0]));
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->changed, NULL);
	for (int i = 0; i < FAKE_MAX_RUNNERS; i++)
		ring->runners[i].event_fd = -1;
	return ring;
}

void fake_ring_free(struct worker_ring *ring)
{
	for (uint32_t i = 0; i < ring->n_chunks; i++) {
		free(ring->chunks[i].packed);
		free(ring->chunks[i].records);
	}
	free(ring->chunks);
	pthread_cond_destroy(&ring->changed);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

static void lock(struct worker_ring *ring)
{
	pthread_mutex_lock(&ring->lock);
}

static void unlock(struct worker_ring *ring)
{
	pthread_mutex_unlock(&ring->lock);
}

void fake_ring_set_event_fd(struct worker_ring *ring, uint32_t runner, int fd)
{
	lock(ring);
	ring->runners[runner].event_fd = fd;
	unlock(ring);
}

static uint32_t submit(struct worker_ring *ring, uint64_t job, uint64_t first, uint32_t count, struct buffer *packed,
		       bool big)
{
	const uint64_t one = 1;
	struct fake_chunk *chunk;
	uint32_t number;

	lock(ring);
	number = ring->n_chunks++;
	chunk = &ring->chunks[number];
	chunk->packed = packed->data;
	chunk->records = calloc(count, sizeof(chunk->records[0]));
	chunk->end = count;
	chunk->claim = (struct ring_claim){
		.chunk = number, .generation = number + 7, .count = count, .job = job, .first = first,
		.inputs = packed->data, .inputs_bytes = packed->len, .big = big,
	};
	for (int i = 0; i < FAKE_MAX_RUNNERS; i++)
		if (ring->runners[i].asleep && ring->runners[i].in_base)
			(void)!write(ring->runners[i].event_fd, &one, sizeof(one));
	pthread_cond_broadcast(&ring->changed);
	unlock(ring);
	return number;
}

uint32_t fake_ring_submit(struct worker_ring *ring, uint64_t job, uint64_t first, uint32_t count,
			  const char *const *inputs)
{
	struct buffer packed = BUFFER_INIT;

	for (uint32_t i = 0; i < count; i++)
		buffer_add_text(&packed, inputs[i]);
	return submit(ring, job, first, count, &packed, false);
}

void fake_ring_submit_many(struct worker_ring *ring, uint64_t job, uint64_t n, const char *text)
{
	const char *inputs[RING_CHUNK_TASKS];

	for (int i = 0; i < RING_CHUNK_TASKS; i++)
		inputs[i] = text;
	for (uint64_t at = 0; at < n;) {
		uint32_t count = n - at < RING_CHUNK_TASKS ? (uint32_t)(n - at) : RING_CHUNK_TASKS;

		fake_ring_submit(ring, job, at, count, inputs);
		at += count;
	}
}

uint32_t fake_ring_submit_big(struct worker_ring *ring, uint64_t job, const void *data, size_t len)
{
	struct buffer packed = BUFFER_INIT;

	buffer_add_varint(&packed, len);
	buffer_add(&packed, data, len);
	return submit(ring, job, 0, 1, &packed, true);
}

uint32_t fake_ring_take_back(struct worker_ring *ring, uint32_t chunk)
{
	uint32_t n;

	lock(ring);
	n = ring->chunks[chunk].end - ring->chunks[chunk].begun;
	ring->chunks[chunk].end = ring->chunks[chunk].begun;
	unlock(ring);
	return n;
}

void fake_ring_wait(struct worker_ring *ring, uint64_t n_results)
{
	lock(ring);
	while (ring->n_published < n_results)
		pthread_cond_wait(&ring->changed, &ring->lock);
	unlock(ring);
}

void fake_ring_wait_begun(struct worker_ring *ring, uint32_t chunk, uint32_t begun)
{
	lock(ring);
	while (ring->chunks[chunk].begun < begun)
		pthread_cond_wait(&ring->changed, &ring->lock);
	unlock(ring);
}

struct fake_record fake_ring_record(struct worker_ring *ring, uint32_t chunk, uint32_t index)
{
	struct fake_record record;

	lock(ring);
	record = ring->chunks[chunk].records[index];
	unlock(ring);
	return record;
}

uint64_t fake_ring_count(struct worker_ring *ring, uint8_t status)
{
	uint64_t n = 0;

	lock(ring);
	for (uint32_t i = 0; i < ring->n_chunks; i++)
		for (uint32_t k = 0; k < ring->chunks[i].claim.count; k++)
			n += ring->chunks[i].records[k].there && ring->chunks[i].records[k].status == status;
	unlock(ring);
	return n;
}

/* ---- ring/worker_ring.h ---- */

int ring_claim(struct worker_ring *ring, uint32_t runner, struct ring_claim *ret_claim)
{
	int r = -EAGAIN;

	(void)runner; /* whose it is does not matter here */
	lock(ring);
	if (ring->n_claimed < ring->n_chunks) {
		struct fake_chunk *chunk = &ring->chunks[ring->n_claimed++];

		chunk->claimed = true;
		*ret_claim = chunk->claim;
		r = 0;
	}
	unlock(ring);
	return r;
}

int ring_begin(struct worker_ring *ring, uint32_t runner, const struct ring_claim *claim)
{
	struct fake_chunk *chunk = &ring->chunks[claim->chunk];
	int r = -EAGAIN;

	(void)runner;
	lock(ring);
	if (chunk->begun < chunk->end)
		r = (int)chunk->begun++;
	pthread_cond_broadcast(&ring->changed);
	unlock(ring);
	return r;
}

void ring_release_big(struct worker_ring *ring, const struct ring_claim *claim)
{
	lock(ring);
	memset(ring->chunks[claim->chunk].packed, 0, claim->inputs_bytes); /* somebody else's from now on */
	ring->n_released++;
	unlock(ring);
}

void ring_record(struct worker_ring *ring, uint32_t runner, const struct ring_result *result)
{
	struct fake_chunk *chunk = &ring->chunks[result->chunk];
	size_t kept = result->len < FAKE_KEEP_BYTES ? result->len : FAKE_KEEP_BYTES;
	struct fake_record *record;

	lock(ring);
	record = &chunk->records[result->index];
	if (!chunk->claimed || result->index >= chunk->begun || record->there ||
	    result->generation != chunk->claim.generation)
		ring->n_unexpected++;
	record->there = true;
	record->runner = runner;
	record->status = result->status;
	record->wall_s = result->wall_s;
	record->cpu_s = result->cpu_s;
	record->runq_s = result->runq_s;
	record->begin_ns = result->begin_ns;
	record->retry_after_ns = result->retry_after_ns;
	record->len = result->len;
	if (kept > 0)
		memcpy(record->data, result->data, kept);
	ring->n_recorded++;
	ring->runners[runner].unpublished++;
	unlock(ring);
}

bool ring_log(struct worker_ring *ring, uint32_t runner, uint8_t level, const char *text, size_t len)
{
	bool taken;

	(void)runner;
	(void)level;
	lock(ring);
	taken = !ring->refuse_lines;
	ring->n_lines++;
	len = len < sizeof(ring->last_line) - 1 ? len : sizeof(ring->last_line) - 1;
	memcpy(ring->last_line, text, len);
	ring->last_line[len] = '\0';
	unlock(ring);
	return taken;
}

void ring_publish(struct worker_ring *ring, uint32_t runner)
{
	lock(ring);
	ring->n_published += ring->runners[runner].unpublished;
	ring->runners[runner].unpublished = 0;
	pthread_cond_broadcast(&ring->changed);
	unlock(ring);
}

void ring_on_task(struct worker_ring *ring, uint32_t runner, uint32_t chunk, uint32_t index)
{
	(void)ring; /* no test needs it */
	(void)runner;
	(void)chunk;
	(void)index;
}

void ring_off_task(struct worker_ring *ring, uint32_t runner)
{
	(void)ring; /* no test needs it */
	(void)runner;
}

void ring_fault_of_task(struct worker_ring *ring, uint32_t runner, int signal, uint32_t chunk, uint32_t index)
{
	(void)chunk; /* no test here looks at it */
	(void)index;
	ring_fault(ring, runner, signal);
}

void ring_fault(struct worker_ring *ring, uint32_t runner, int signal)
{
	ring->runners[runner].fault = signal;
}

void ring_set_progress(struct worker_ring *ring, uint32_t chunk, uint32_t index, float fraction)
{
	lock(ring);
	ring->chunks[chunk].progress[index] = fraction;
	unlock(ring);
}

bool ring_sleep_begin(struct worker_ring *ring, uint32_t runner, bool in_base)
{
	bool sleep;

	lock(ring);
	sleep = !ring->runners[runner].kicked && ring->n_claimed == ring->n_chunks;
	ring->runners[runner].kicked = false;
	ring->runners[runner].asleep = sleep;
	ring->runners[runner].in_base = in_base;
	unlock(ring);
	return sleep;
}

void ring_sleep_futex(struct worker_ring *ring, uint32_t runner)
{
	lock(ring);
	while (!ring->runners[runner].kicked && ring->n_claimed == ring->n_chunks)
		pthread_cond_wait(&ring->changed, &ring->lock);
	unlock(ring);
}

void ring_sleep_end(struct worker_ring *ring, uint32_t runner)
{
	lock(ring);
	ring->runners[runner].asleep = false;
	ring->runners[runner].kicked = false;
	unlock(ring);
}

void ring_kick(struct worker_ring *ring, uint32_t runner)
{
	void (*on_kick)(void);

	lock(ring);
	ring->runners[runner].kicked = true;
	pthread_cond_broadcast(&ring->changed);
	on_kick = ring->on_kick;
	unlock(ring);
	if (on_kick)
		on_kick();
}

/* The runner neither opens nor closes its ring, but what links the host needs the names. */
int worker_ring_open(int segment_fd, int event_fd, struct worker_ring **ret_ring)
{
	(void)segment_fd;
	(void)event_fd;
	(void)ret_ring;
	return -ENOSYS;
}

void worker_ring_close(struct worker_ring *ring)
{
	(void)ring;
}
