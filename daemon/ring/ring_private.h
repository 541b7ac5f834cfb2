/* The daemon's private side of the rings, shared by the files of libring.la. Everything that decides is in here and
 * not in the segment. */
#ifndef CONCD_RING_RING_PRIVATE_H
#define CONCD_RING_RING_PRIVATE_H

#include <assert.h>

#include "base/buffer.h"
#include "ring/layout.h"
#include "ring/ring.h"

enum chunk_use {
	CHUNK_FREE, /* on the free list */
	CHUNK_FILLED, /* not yet offered */
	CHUNK_SUBMITTED, /* in flight */
};

struct chunk_meta {
	void *user;
	uint64_t done; /* bit i: a record of task i has come */
	uint32_t generation; /* never 0, so that a zeroed word matches nothing */
	uint32_t place; /* in the arena, + 1; 0: none */
	uint16_t recorder; /* runner + 1 whose records came; 0: none yet */
	uint8_t count;
	uint8_t end; /* what the word must say */
	uint8_t use; /* enum chunk_use */
};

struct runner_meta {
	uint64_t head; /* read up to here */
	uint64_t shown_head; /* what the runner was told of it */
	uint64_t advertised; /* the tail it last showed */
	bool look_precise; /* records beyond the advertised tail were seen: read those as well, once */
	bool broken; /* wrote garbage: nothing of it is read until it is reaped */
	bool in_parts; /* a result's fragments are being put together */
	bool parts_lost; /* no memory for them: the task fails */
	int event_fd; /* not owned; -1: none */
	struct shared_record parts_of; /* the fragments' common header */
	struct buffer parts;
};

struct ring {
	struct ring_geometry geometry; /* private copy: the one in the segment is never read */
	struct layout layout;
	uint64_t max_result_bytes;
	uint8_t *map;
	int segment_fd, event_fd;

	struct shared_control *control;
	_Atomic uint64_t *shared_entries;
	struct shared_runner *shared_runners;
	_Atomic uint64_t *releases;
	struct shared_chunk *shared_chunks;

	struct chunk_meta *chunks;
	struct runner_meta *runners;
	uint64_t *entries; /* private copy of the submission ring */
	uint32_t *free_list;
	uint32_t *place_users; /* chunk + 1 that has the place; 0: free */
	uint32_t n_free;
	uint32_t n_filled; /* filled and not yet submitted: each will need an entry */
	uint64_t submit_tail;
	uint64_t submit_head_seen; /* an older value of the shared head, which only grows */
	uint64_t withdrawn_tail; /* entries before this position may name chunks taken back */
	uint32_t next_runner; /* where ring_collect_all() goes on */
};

static inline uint64_t task_bits(uint32_t n)
{
	return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* Put a chunk back on the free list; its user pointer is void. */
static inline void chunk_free(struct ring *ring, uint32_t chunk)
{
	struct chunk_meta *meta = &ring->chunks[chunk];

	assert(meta->use != CHUNK_FREE && ring->n_free < ring->geometry.n_chunks);
	if (meta->place > 0)
		ring->place_users[meta->place - 1] = 0;
	meta->place = 0;
	meta->use = CHUNK_FREE;
	meta->user = NULL;
	ring->free_list[ring->n_free++] = chunk;
}

/* The chunk's word, checked against the private state. 0 or -EBADMSG. */
int chunk_word(const struct ring *ring, uint32_t chunk, uint64_t *ret_word);

/* The head of the submission ring, checked. 0 or -EBADMSG. */
int submit_head(const struct ring *ring, uint64_t *ret_head);

#endif
