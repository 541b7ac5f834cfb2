/* Feeding: filling chunks and offering them to the runners. */
#include <errno.h>
#include <string.h>

#include "ring/ring_private.h"

uint32_t ring_free_chunks(const struct ring *ring)
{
	return ring->n_free;
}

/* Move the submission head past entries that nobody can claim any more, for runners that died before they did or have
 * not looked since the chunks were taken back. */
static int skip_dead_entries(struct ring *ring)
{
	uint64_t head;

	if (submit_head(ring, &head) < 0)
		return -EBADMSG;
	while (head < ring->submit_tail) {
		uint64_t entry = ring->entries[head & (ring->layout.n_entries - 1)];
		uint32_t chunk = entry_chunk(entry);
		/* acquire: what was seen as taken stays taken */
		uint64_t word = atomic_load_explicit(&ring->shared_chunks[chunk].word, memory_order_acquire);

		if (ring->chunks[chunk].use == CHUNK_SUBMITTED && word_claimable(word, entry_generation(entry)))
			break;
		/* acq_rel: the head passes on what its last mover had read; a failed swap loads the newer head */
		if (atomic_compare_exchange_strong_explicit(&ring->control->submit_head, &head, head + 1,
							    memory_order_acq_rel, memory_order_acquire))
			head++;
		else if (head < ring->submit_head_seen || head > ring->submit_tail)
			return -EBADMSG;
	}
	ring->submit_head_seen = head;
	return 0;
}

/* Is there an entry for one chunk more? 0, -EAGAIN, -EBADMSG. */
static int reserve_entry(struct ring *ring)
{
	uint64_t want = ring->submit_tail + ring->n_filled;
	uint64_t head;

	if (want - ring->submit_head_seen < ring->layout.n_entries)
		return 0;
	if (submit_head(ring, &head) < 0)
		return -EBADMSG;
	ring->submit_head_seen = head;
	if (want - head < ring->layout.n_entries)
		return 0;
	if (skip_dead_entries(ring) < 0)
		return -EBADMSG;
	return want - ring->submit_head_seen < ring->layout.n_entries ? 0 : -EAGAIN;
}

/* A place in the arena: one that is free, or whose worker said that it has copied the input. -1: none. */
static int32_t find_place(struct ring *ring)
{
	for (uint32_t i = 0; i < ring->geometry.n_big; i++) {
		uint32_t chunk = ring->place_users[i] - 1;
		uint64_t token;

		if (ring->place_users[i] == 0)
			return (int32_t)i;
		/* acquire: the worker's reading of the place is over before we write to it */
		token = atomic_load_explicit(&ring->releases[i], memory_order_acquire);
		if (token == release_token(ring->chunks[chunk].generation, chunk)) {
			ring->chunks[chunk].place = 0;
			ring->place_users[i] = 0;
			return (int32_t)i;
		}
	}
	return -1;
}

static void write_chunk(struct ring *ring, uint32_t chunk, const struct ring_batch *batch)
{
	struct shared_chunk *shared = &ring->shared_chunks[chunk];
	const struct chunk_meta *meta = &ring->chunks[chunk];
	uint8_t *to = shared->inputs;

	/* A runner that claimed the chunk in an earlier life, of which all was taken back, may be reading the header.
	 * The release stores below come after this one, so that whoever reads a new field finds the word changed.
	 * relaxed: nothing before it is passed on. */
	atomic_store_explicit(&shared->word, word_make(meta->generation, 0, 0, 0), memory_order_relaxed);
	atomic_store_explicit(&shared->job, batch->job, memory_order_release);
	atomic_store_explicit(&shared->first, batch->first, memory_order_release);
	atomic_store_explicit(&shared->count_flags, (uint64_t)batch->count << 32 | batch->flags, memory_order_release);
	atomic_store_explicit(&shared->bytes_big, (uint64_t)batch->packed_bytes << 32 | meta->place,
			      memory_order_release);
	if (meta->place > 0)
		to = ring->map + ring->layout.arena + (size_t)(meta->place - 1) * LAYOUT_BIG_PLACE_BYTES;
	if (batch->packed_bytes > 0)
		memcpy(to, batch->packed, batch->packed_bytes);
	/* release: the claimer's acquire sees header and inputs */
	atomic_store_explicit(&shared->word, word_make(meta->generation, 0, batch->count, 0), memory_order_release);
}

int ring_fill(struct ring *ring, const struct ring_batch *batch, void *user, uint32_t *ret_chunk)
{
	bool big = batch->packed_bytes > RING_CHUNK_INPUT_BYTES;
	struct chunk_meta *meta;
	int32_t place = -1;
	uint32_t chunk;
	int r;

	if (batch->count < 1 || batch->count > RING_CHUNK_TASKS)
		return -EINVAL;
	if (big && (batch->count > 1 || batch->packed_bytes > RING_BIG_INPUT_BYTES + VARINT_MAX_BYTES))
		return -EMSGSIZE;
	if (ring->n_free == 0)
		return -EAGAIN;
	r = reserve_entry(ring);
	if (r < 0)
		return r;
	if (big) {
		place = find_place(ring);
		if (place < 0)
			return -EAGAIN;
	}
	chunk = ring->free_list[--ring->n_free];
	meta = &ring->chunks[chunk];
	meta->user = user;
	meta->done = 0;
	meta->generation = meta->generation == UINT32_MAX ? 1 : meta->generation + 1;
	meta->place = (uint32_t)(place + 1);
	meta->recorder = 0;
	meta->count = meta->end = (uint8_t)batch->count;
	meta->use = CHUNK_FILLED;
	if (big)
		ring->place_users[place] = chunk + 1;
	ring->n_filled++;
	write_chunk(ring, chunk, batch);
	*ret_chunk = chunk;
	return 0;
}

void ring_submit(struct ring *ring, uint32_t chunk)
{
	uint32_t at = (uint32_t)ring->submit_tail & (ring->layout.n_entries - 1);
	struct chunk_meta *meta;

	assert(chunk < ring->geometry.n_chunks && ring->chunks[chunk].use == CHUNK_FILLED && ring->n_filled > 0);
	meta = &ring->chunks[chunk];
	meta->use = CHUNK_SUBMITTED;
	ring->n_filled--;
	ring->entries[at] = entry_make(meta->generation, chunk);
	ring->submit_tail++;
	/* relaxed: the tail below publishes it */
	atomic_store_explicit(&ring->shared_entries[at], ring->entries[at], memory_order_relaxed);
	/* seq_cst: release for the entry, and before the look at the idle mask in ring_wake(): a runner sets its bit
	 * and then looks at this tail, so that one of the two sees the other. */
	atomic_store_explicit(&ring->control->submit_tail, ring->submit_tail, memory_order_seq_cst);
}

uint32_t ring_unclaimed_chunks(const struct ring *ring)
{
	uint32_t n = 0;
	uint64_t head;

	if (submit_head(ring, &head) < 0)
		return 0; /* a hint; ring_fill() and ring_check() report it */
	if (head >= ring->withdrawn_tail)
		return (uint32_t)(ring->submit_tail - head);
	for (; head < ring->submit_tail; head++) {
		uint64_t entry = ring->entries[head & (ring->layout.n_entries - 1)];
		const struct chunk_meta *meta = &ring->chunks[entry_chunk(entry)];

		if (meta->use == CHUNK_SUBMITTED && meta->generation == entry_generation(entry))
			n++;
	}
	return n;
}
