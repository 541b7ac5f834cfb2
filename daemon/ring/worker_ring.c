/* The worker's half: mapping the segment, claiming chunks and beginning tasks. */
#include "ring/worker_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "ring/worker_private.h"

/* Copy the geometry out of the segment and check it against the file's size. */
static int read_geometry(struct worker_ring *ring, const struct shared_control *control, uint64_t size)
{
	struct shared_geometry shared = control->geometry;

	if (shared.magic != LAYOUT_MAGIC || shared.version != LAYOUT_VERSION)
		return -EINVAL;
	ring->geometry = shared.asked;
	if (!layout_compute(&ring->geometry, &ring->layout) || ring->layout.n_entries != shared.n_entries ||
	    ring->layout.total != shared.total_bytes || ring->layout.total != size)
		return -EINVAL;
	return 0;
}

static int make_runners(struct worker_ring *ring)
{
	struct shared_runner *shared = (struct shared_runner *)(void *)(ring->map + ring->layout.runners);
	uint32_t n = ring->geometry.n_runners;

	ring->runners = aligned_alloc(LAYOUT_LINE, n * sizeof(*ring->runners));
	if (!ring->runners)
		return -ENOMEM;
	memset(ring->runners, 0, n * sizeof(*ring->runners));
	for (uint32_t i = 0; i < n; i++) {
		struct worker_runner *runner = &ring->runners[i];

		runner->shared = &shared[i];
		runner->bytes = ring->map + ring->layout.rings + (size_t)i * ring->geometry.ring_bytes;
		/* relaxed: of this process's runners nobody writes them now, of the others they are never used */
		runner->tail = atomic_load_explicit(&shared[i].precise_tail, memory_order_relaxed);
		runner->published = atomic_load_explicit(&shared[i].advertised_tail, memory_order_relaxed);
		runner->head_seen = atomic_load_explicit(&shared[i].head, memory_order_relaxed);
	}
	return 0;
}

static int map_segment(struct worker_ring *ring, int segment_fd)
{
	struct stat st;
	void *map;
	int r;

	if (fstat(segment_fd, &st) < 0 || st.st_size < (off_t)sizeof(struct shared_control))
		return -EINVAL;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, segment_fd, 0);
	if (map == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	r = read_geometry(ring, map, (uint64_t)st.st_size);
	/* A child that a plugin forks would keep the mapping and could write after this process is dead. */
	if (r == 0 && madvise(map, (size_t)st.st_size, MADV_DONTFORK) < 0)
		r = -EINVAL;
	if (r < 0) {
		(void)munmap(map, (size_t)st.st_size); /* our own mapping */
		return r;
	}
	ring->map = map;
	return 0;
}

int worker_ring_open(int segment_fd, int event_fd, struct worker_ring **ret_ring)
{
	struct worker_ring *ring = calloc(1, sizeof(*ring));
	int r;

	if (!ring)
		return -ENOMEM;
	ring->event_fd = event_fd;
	r = map_segment(ring, segment_fd);
	if (r == 0)
		r = make_runners(ring);
	if (r < 0) {
		worker_ring_close(ring);
		return r;
	}
	ring->control = (struct shared_control *)(void *)ring->map;
	ring->entries = (_Atomic uint64_t *)(void *)(ring->map + ring->layout.entries);
	ring->releases = (_Atomic uint64_t *)(void *)(ring->map + ring->layout.releases);
	ring->chunks = (struct shared_chunk *)(void *)(ring->map + ring->layout.chunks);
	*ret_ring = ring;
	return 0;
}

int worker_ring_own(struct worker_ring *ring, uint32_t first, uint32_t count)
{
	const size_t each = ring->geometry.ring_bytes; /* a multiple of the page's size */
	const uint32_t n = ring->geometry.n_runners;
	uint8_t *rings = ring->map + ring->layout.rings;

	if (first > n || count > n - first)
		return -EINVAL;
	if ((first > 0 && mprotect(rings, first * each, PROT_NONE) < 0) ||
	    (first + count < n && mprotect(rings + (first + count) * each, (n - first - count) * each, PROT_NONE) < 0))
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	return 0;
}

void worker_ring_close(struct worker_ring *ring)
{
	if (!ring)
		return;
	if (ring->map)
		(void)munmap(ring->map, ring->layout.total); /* our own mapping */
	free(ring->runners);
	free(ring);
}

bool submission_peek(struct worker_ring *ring, uint64_t *ret_head, uint64_t *ret_entry, uint64_t *ret_word)
{
	/* acquire: a head that another runner moved has the taking before it */
	uint64_t head = atomic_load_explicit(&ring->control->submit_head, memory_order_acquire);

	for (;;) {
		/* seq_cst: acquire for the entries; and after the setting of our idle bit in ring_sleep_begin() */
		uint64_t tail = atomic_load_explicit(&ring->control->submit_tail, memory_order_seq_cst);
		uint64_t entry, word;
		uint32_t chunk;

		if (head >= tail)
			return false;
		/* relaxed: the tail published it. Where the head has moved on, the daemon may have put a newer entry
		 * here: it is as good as the one meant, and the swap of the head below fails. */
		entry = atomic_load_explicit(&ring->entries[head & (ring->layout.n_entries - 1)], memory_order_relaxed);
		chunk = entry_chunk(entry);
		if (chunk < ring->geometry.n_chunks) {
			/* acquire: the header and the inputs of this generation */
			word = atomic_load_explicit(&ring->chunks[chunk].word, memory_order_acquire);
			if (word_claimable(word, entry_generation(entry))) {
				*ret_head = head;
				*ret_entry = entry;
				*ret_word = word;
				return true;
			}
		}
		/* Taken, perhaps by a runner that died before it moved the head; or taken back. acq_rel: what we read
		 * of the entry is over before the daemon may overwrite it; a failed swap loads the newer head. */
		if (atomic_compare_exchange_strong_explicit(&ring->control->submit_head, &head, head + 1,
							    memory_order_acq_rel, memory_order_acquire))
			head++;
	}
}

/* Read the header of the chunk that we have just claimed. false: all of it was taken back and it is being filled
 * anew. */
static bool read_header(struct worker_ring *ring, uint32_t runner, uint32_t chunk, uint32_t generation,
			struct ring_claim *claim)
{
	struct shared_chunk *shared = &ring->chunks[chunk];
	uint64_t count_flags, bytes_big, word;
	uint32_t place;

	/* acquire: keeps the look at the word behind them, see write_chunk() in ring_feed.c */
	claim->job = atomic_load_explicit(&shared->job, memory_order_acquire);
	claim->first = atomic_load_explicit(&shared->first, memory_order_acquire);
	count_flags = atomic_load_explicit(&shared->count_flags, memory_order_acquire);
	bytes_big = atomic_load_explicit(&shared->bytes_big, memory_order_acquire);
	/* relaxed: the loads above are before it */
	word = atomic_load_explicit(&shared->word, memory_order_relaxed);
	if (word_generation(word) != generation || word_owner(word) != runner + 1)
		return false;
	place = (uint32_t)bytes_big;
	claim->chunk = chunk;
	claim->generation = generation;
	claim->count = (uint32_t)(count_flags >> 32);
	claim->flags = (uint32_t)count_flags;
	claim->inputs_bytes = (size_t)(bytes_big >> 32);
	claim->big = place > 0;
	claim->inputs = shared->inputs;
	if (claim->big)
		claim->inputs = ring->map + ring->layout.arena + (size_t)(place - 1) * LAYOUT_BIG_PLACE_BYTES;
	return true;
}

/* Another process of the crew may have scribbled over it. */
static bool claim_is_sane(const struct worker_ring *ring, const struct ring_claim *claim)
{
	const uint8_t *arena = ring->map + ring->layout.arena;

	if (claim->count < 1 || claim->count > RING_CHUNK_TASKS)
		return false;
	if (!claim->big)
		return claim->inputs_bytes <= RING_CHUNK_INPUT_BYTES;
	return claim->inputs_bytes <= LAYOUT_BIG_PLACE_BYTES &&
	       (size_t)(claim->inputs - arena) / LAYOUT_BIG_PLACE_BYTES < ring->geometry.n_big;
}

int ring_claim(struct worker_ring *ring, uint32_t runner, struct ring_claim *ret_claim)
{
	struct ring_claim claim;
	uint64_t head, entry, word;

	while (submission_peek(ring, &head, &entry, &word)) {
		uint32_t chunk = entry_chunk(entry), generation = entry_generation(entry);

		/* acq_rel: the inputs; and the claim is before the move of the head. relaxed on failure: looked at
		 * anew */
		if (!atomic_compare_exchange_strong_explicit(&ring->chunks[chunk].word, &word,
							     word | (uint64_t)(runner + 1) << (2 * WORD_FIELD_BITS),
							     memory_order_acq_rel, memory_order_relaxed))
			continue;
		/* acq_rel: as in submission_peek(). A failed swap: another runner moved it for us. */
		(void)atomic_compare_exchange_strong_explicit(&ring->control->submit_head, &head, head + 1,
							      memory_order_acq_rel, memory_order_relaxed);
		if (!read_header(ring, runner, chunk, generation, &claim))
			continue;
		if (!claim_is_sane(ring, &claim))
			return -EBADMSG;
		*ret_claim = claim;
		return 0;
	}
	return -EAGAIN;
}

int ring_begin(struct worker_ring *ring, uint32_t runner, const struct ring_claim *claim)
{
	_Atomic uint64_t *shared = &ring->chunks[claim->chunk].word;
	/* relaxed: the swap below orders; the claim has seen the inputs */
	uint64_t word = atomic_load_explicit(shared, memory_order_relaxed);

	do {
		/* Also after a failed swap: the daemon may have taken all back, freed the chunk and filled it anew, and
		 * somebody else may own it. */
		if (word_generation(word) != claim->generation || word_owner(word) != runner + 1 ||
		    word_begun(word) >= word_end(word) || word_begun(word) >= claim->count)
			return -EAGAIN;
		/* acq_rel: begun before any of the task's work is seen */
	} while (!atomic_compare_exchange_weak_explicit(shared, &word, word + 1, memory_order_acq_rel,
							memory_order_relaxed));
	return (int)word_begun(word);
}

void ring_release_big(struct worker_ring *ring, const struct ring_claim *claim)
{
	size_t place;

	if (!claim->big)
		return;
	place = (size_t)(claim->inputs - (ring->map + ring->layout.arena)) / LAYOUT_BIG_PLACE_BYTES;
	/* release: our reading of the input is over */
	atomic_store_explicit(&ring->releases[place], release_token(claim->generation, claim->chunk),
			      memory_order_release);
}
