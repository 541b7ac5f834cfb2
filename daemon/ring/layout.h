/* The segment that the daemon and the worker processes of a crew map.
 *
 *	control    geometry; submission tail, head; the daemon's sleep flag; idle mask
 *	entries    submission ring: {generation, chunk}, a hint only; the truth is the chunk's word
 *	runners    4 lines each: tails, head, futex
 *	releases   one word per place in the arena
 *	chunks     4 KiB each: word and header, packed inputs, progress
 *	rings      ring_bytes each: completion records of one runner; mapped by the daemon and by the runner's own process
 *	arena      n_big places for an input larger than a chunk
 *
 * A chunk's word {generation 32, owner 12, end 10, begun 10} changes by compare-and-swap only while it is in flight:
 *
 *	ring_fill       {g, 0, n, 0}            g is new, so that every older claim on the chunk fails
 *	ring_claim      {g, r + 1, n, 0}        then head + 1; whoever finds a taken entry at the head moves the head
 *	ring_begin      {g, r + 1, n, b + 1}    after a failed swap generation and owner are compared again
 *	ring_take_back  {g, owner, b, b}        nothing more begins
 *
 * Positions in rings are byte or entry counts since the runner (or segment) began; they never wrap in 64 bits.
 *
 * Who writes is noted at each field; fields of different writers lie on different cache lines. The daemon believes
 * nothing here: it has the geometry, generations, counts and done bits in private memory.
 */
#ifndef CONCD_RING_LAYOUT_H
#define CONCD_RING_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/ring.h"

#define LAYOUT_MAGIC UINT32_C(0x676e7263)
#define LAYOUT_VERSION 1
#define LAYOUT_LINE 64
#define LAYOUT_PAGE 4096
#define LAYOUT_IDLE_WORDS 64
#define LAYOUT_ENTRIES_PER_CHUNK 4 /* chunks taken back leave dead entries behind a live one: room for some */
#define LAYOUT_BIG_PLACE_BYTES (RING_BIG_INPUT_BYTES + LAYOUT_PAGE) /* the packed form has a length in front */

#define LAYOUT_MIN_RING_BYTES (UINT32_C(16) << 10)
#define LAYOUT_MAX_RING_BYTES (UINT32_C(16) << 20)
#define LAYOUT_MAX_CHUNKS UINT32_C(65536)
#define LAYOUT_MAX_BIG UINT32_C(4096)

struct shared_geometry {
	uint32_t magic, version;
	struct ring_geometry asked;
	uint32_t n_entries; /* a power of two */
	uint32_t reserved;
	uint64_t total_bytes;
};

struct shared_control {
	_Alignas(LAYOUT_LINE) struct shared_geometry geometry; /* daemon, once */
	_Alignas(LAYOUT_LINE) _Atomic uint64_t submit_tail; /* daemon */
	_Alignas(LAYOUT_LINE) _Atomic uint64_t submit_head; /* workers; the daemon past dead entries */
	/* The daemon sets it, the worker that will wake it clears it. SHARED_NAPPING + n: it wakes by itself soon, and is to be
	 * woken only where n chunks or fewer wait to be claimed, or a ring fills up. */
	_Alignas(LAYOUT_LINE) _Atomic uint32_t daemon_asleep;
	_Alignas(LAYOUT_LINE) _Atomic uint64_t idle[LAYOUT_IDLE_WORDS]; /* runner sets, whoever wakes it clears */
};

enum { SHARED_AWAKE, SHARED_ON_FUTEX, SHARED_IN_BASE };

#define SHARED_ASLEEP 1u /* in daemon_asleep; 0: awake */
#define SHARED_NAPPING 2u

#define SHARED_RUNNING_SET (UINT64_C(1) << 63)
#define SHARED_FAULT_SET UINT32_C(0x100) /* | signal */

struct shared_runner {
	/* The runner, for every record and task; the daemon looks after a death and before it sleeps. */
	_Alignas(LAYOUT_LINE) _Atomic uint64_t precise_tail;
	_Atomic uint64_t running; /* SHARED_RUNNING_SET | chunk << 8 | index; 0: none */
	_Atomic uint32_t fault;
	_Atomic uint64_t fault_task; /* like running: whose fault it is where it was not on the runner's thread; 0: that */
	/* The runner, once a chunk; the daemon polls it. */
	_Alignas(LAYOUT_LINE) _Atomic uint64_t advertised_tail;
	/* The daemon; the runner reads it where its ring seems full, and then sets room_wait and sleeps on it. */
	_Alignas(LAYOUT_LINE) _Atomic uint64_t head;
	_Atomic uint32_t room_wait;
	/* Whoever wakes the runner counts `futex` up; sleep_kind is the runner's. */
	_Alignas(LAYOUT_LINE) _Atomic uint32_t futex;
	_Atomic uint32_t sleep_kind;
};

struct shared_chunk {
	_Alignas(LAYOUT_LINE) _Atomic uint64_t word;
	/* The daemon, at filling. Atomic because a claimer may read them while the chunk, taken back, is filled anew;
	 * it then finds another generation in the word. */
	_Atomic uint64_t job;
	_Atomic uint64_t first;
	_Atomic uint64_t count_flags; /* count << 32 | flags */
	_Atomic uint64_t bytes_big; /* bytes << 32 | place in the arena + 1, 0: in the chunk */
	_Alignas(LAYOUT_LINE) uint8_t inputs[RING_CHUNK_INPUT_BYTES];
	_Alignas(LAYOUT_LINE) _Atomic uint64_t progress[RING_CHUNK_TASKS]; /* worker: generation << 32 | float bits */
	_Alignas(LAYOUT_LINE) uint8_t reserved[LAYOUT_PAGE - LAYOUT_LINE - RING_CHUNK_INPUT_BYTES -
					       RING_CHUNK_TASKS * sizeof(uint64_t)];
};

enum { SHARED_RESULT, SHARED_LOG, SHARED_PAD, SHARED_KIND_COUNT };

#define SHARED_MORE 1u /* a fragment; the task's next one follows at once */
#define SHARED_EXTRA 2u /* a struct shared_extra is in front of the payload */

/* A record, at a multiple of 8 and never across the ring's end: a PAD record fills up what is left there, or nothing
 * does where not even a header fits. */
struct shared_record {
	uint32_t len; /* of the payload */
	uint32_t chunk;
	uint32_t generation;
	uint8_t kind, flags, status, index;
	int64_t begin_ns;
	float wall_s, cpu_s;
};

struct shared_extra {
	int64_t retry_after_ns;
	float runq_s;
	uint32_t reserved;
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "a lock would not be shared");
_Static_assert(sizeof(struct shared_geometry) == 40, "layout of geometry");
_Static_assert(offsetof(struct shared_control, submit_tail) == 1 * LAYOUT_LINE, "layout of control");
_Static_assert(offsetof(struct shared_control, submit_head) == 2 * LAYOUT_LINE, "layout of control");
_Static_assert(offsetof(struct shared_control, daemon_asleep) == 3 * LAYOUT_LINE, "layout of control");
_Static_assert(offsetof(struct shared_control, idle) == 4 * LAYOUT_LINE, "layout of control");
_Static_assert(sizeof(struct shared_control) == 12 * LAYOUT_LINE, "layout of control");
_Static_assert(LAYOUT_IDLE_WORDS * 64 > RING_MAX_RUNNERS, "a bit for every runner");
_Static_assert(offsetof(struct shared_runner, advertised_tail) == 1 * LAYOUT_LINE, "layout of runner");
_Static_assert(offsetof(struct shared_runner, head) == 2 * LAYOUT_LINE, "layout of runner");
_Static_assert(offsetof(struct shared_runner, futex) == 3 * LAYOUT_LINE, "layout of runner");
_Static_assert(sizeof(struct shared_runner) == 4 * LAYOUT_LINE, "layout of runner");
_Static_assert(offsetof(struct shared_chunk, inputs) == LAYOUT_LINE, "the word shares its line with the header only");
_Static_assert(offsetof(struct shared_chunk, progress) % LAYOUT_LINE == 0, "layout of chunk");
_Static_assert(sizeof(struct shared_chunk) == LAYOUT_PAGE, "layout of chunk");
_Static_assert(sizeof(struct shared_record) == 32 && sizeof(struct shared_extra) == 16, "layout of record");

#define WORD_FIELD_BITS 10
#define WORD_FIELD_MASK UINT32_C(0x3ff)
#define WORD_OWNER_MASK UINT32_C(0xfff)
_Static_assert(RING_MAX_RUNNERS <= WORD_OWNER_MASK && RING_CHUNK_TASKS <= WORD_FIELD_MASK, "fields of the word");

/* owner: 0 none, else runner + 1 */
static inline uint64_t word_make(uint32_t generation, uint32_t owner, uint32_t end, uint32_t begun)
{
	return (uint64_t)generation << 32 | owner << (2 * WORD_FIELD_BITS) | end << WORD_FIELD_BITS | begun;
}

static inline uint32_t word_generation(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline uint32_t word_owner(uint64_t word)
{
	return (uint32_t)word >> (2 * WORD_FIELD_BITS);
}

static inline uint32_t word_end(uint64_t word)
{
	return (uint32_t)word >> WORD_FIELD_BITS & WORD_FIELD_MASK;
}

static inline uint32_t word_begun(uint64_t word)
{
	return (uint32_t)word & WORD_FIELD_MASK;
}

/* May somebody still claim what this entry of the submission ring names? */
static inline bool word_claimable(uint64_t word, uint32_t generation)
{
	return word_generation(word) == generation && word_owner(word) == 0 && word_begun(word) < word_end(word);
}

static inline uint64_t entry_make(uint32_t generation, uint32_t chunk)
{
	return (uint64_t)generation << 32 | chunk;
}

static inline uint32_t entry_generation(uint64_t entry)
{
	return (uint32_t)(entry >> 32);
}

static inline uint32_t entry_chunk(uint64_t entry)
{
	return (uint32_t)entry;
}

/* What a worker leaves in a place's release word: the use of the place that has ended. */
static inline uint64_t release_token(uint32_t generation, uint32_t chunk)
{
	return (uint64_t)generation << 32 | chunk;
}

/* Bytes of a record with its payload in the ring. `len` is at most LAYOUT_MAX_RING_BYTES. */
static inline uint32_t record_bytes(uint32_t len, unsigned int flags)
{
	uint32_t extra = flags & SHARED_EXTRA ? (uint32_t)sizeof(struct shared_extra) : 0;

	return ((uint32_t)sizeof(struct shared_record) + extra + len + 7) & ~UINT32_C(7);
}

/* The longest payload of one record: it can always be placed in an empty ring, whatever is left at the end. */
static inline uint32_t record_max_len(uint32_t ring_bytes)
{
	return ring_bytes / 2 - (uint32_t)(sizeof(struct shared_record) + sizeof(struct shared_extra));
}

/* What the parts of a longer one hold: small enough that the two sides work at the same time. */
static inline uint32_t record_fragment_len(uint32_t ring_bytes)
{
	return ring_bytes / 4 - (uint32_t)(sizeof(struct shared_record) + sizeof(struct shared_extra));
}

struct layout {
	uint32_t n_entries;
	size_t entries, runners, releases, chunks, rings, arena, total; /* offsets of the parts */
};

static inline size_t layout_part(size_t *at, size_t bytes)
{
	size_t offset = *at;

	*at += (bytes + LAYOUT_PAGE - 1) & ~(size_t)(LAYOUT_PAGE - 1);
	return offset;
}

/* Where the parts lie. false: a geometry out of range. */
static inline bool layout_compute(const struct ring_geometry *g, struct layout *ret_layout)
{
	struct layout l = { .n_entries = LAYOUT_ENTRIES_PER_CHUNK };
	size_t at = 0;

	if (g->n_runners < 1 || g->n_runners > RING_MAX_RUNNERS || g->n_chunks < 1 || g->n_chunks > LAYOUT_MAX_CHUNKS)
		return false;
	if (g->ring_bytes < LAYOUT_MIN_RING_BYTES || g->ring_bytes > LAYOUT_MAX_RING_BYTES ||
	    (g->ring_bytes & (g->ring_bytes - 1)) != 0)
		return false;
	if (g->n_big < 1 || g->n_big > LAYOUT_MAX_BIG)
		return false;
	while (l.n_entries < LAYOUT_ENTRIES_PER_CHUNK * g->n_chunks)
		l.n_entries *= 2;
	(void)layout_part(&at, sizeof(struct shared_control)); /* always at 0 */
	l.entries = layout_part(&at, l.n_entries * sizeof(uint64_t));
	l.runners = layout_part(&at, g->n_runners * sizeof(struct shared_runner));
	l.releases = layout_part(&at, g->n_big * sizeof(uint64_t));
	l.chunks = layout_part(&at, g->n_chunks * sizeof(struct shared_chunk));
	l.rings = layout_part(&at, (size_t)g->n_runners * g->ring_bytes);
	l.arena = layout_part(&at, (size_t)g->n_big * LAYOUT_BIG_PLACE_BYTES);
	l.total = at;
	*ret_layout = l;
	return true;
}

#endif
