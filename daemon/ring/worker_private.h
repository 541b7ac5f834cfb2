/* The worker's private side of the rings, shared by the files of libworkerring.la. */
#ifndef CONCD_RING_WORKER_PRIVATE_H
#define CONCD_RING_WORKER_PRIVATE_H

#include "ring/layout.h"
#include "ring/worker_ring.h"

/* One runner's own state, on its own lines. */
struct worker_runner {
	_Alignas(LAYOUT_LINE) uint64_t tail; /* as last stored in precise_tail */
	uint64_t head_seen; /* an older value of the daemon's head, which only grows */
	uint64_t published; /* as last stored in advertised_tail */
	struct shared_runner *shared;
	uint8_t *bytes; /* its completion ring */
	uint32_t futex_seen; /* value of the futex word before the last look for work */
	/* Other threads: ring_kick() was called and not yet noticed. */
	_Alignas(LAYOUT_LINE) _Atomic uint32_t kicked;
};

struct worker_ring {
	struct ring_geometry geometry; /* private copy */
	struct layout layout;
	uint8_t *map;
	int event_fd;

	struct shared_control *control;
	_Atomic uint64_t *entries;
	_Atomic uint64_t *releases;
	struct shared_chunk *chunks;
	struct worker_runner *runners;
};

/* The next entry that can be claimed, after moving the head past those that cannot. true: *ret_head is its position,
 * *ret_entry the entry, *ret_word the word of its chunk. */
bool submission_peek(struct worker_ring *ring, uint64_t *ret_head, uint64_t *ret_entry, uint64_t *ret_word);

#endif
