/* Making the segment, and the checks of its shared words. */
#include "ring/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "ring/ring_private.h"

/* Enough that a busy runner's ring holds several chunks' results; with many runners less, or the rings of a thousand
 * threads would fill memory by themselves. */
#define RING_BYTES_LARGE (UINT32_C(256) << 10)
#define RINGS_BYTES_IN_ALL (UINT32_C(32) << 20)

#define MIN_CHUNKS 256
#define CHUNKS_PER_RUNNER 4
#define TASKS_PER_CHUNK 32 /* so many of them hold twice what runs at once */
#define MIN_BIG 4
#define MAX_BIG 64

struct ring_geometry ring_geometry_for(uint32_t processes, uint32_t threads, uint32_t coroutines)
{
	uint64_t runners = (uint64_t)processes * threads;
	uint64_t chunks = MIN_CHUNKS, big = 2 * runners;
	struct ring_geometry g = { .ring_bytes = RING_BYTES_LARGE };

	if (runners > RING_MAX_RUNNERS)
		runners = RING_MAX_RUNNERS; /* shapes beyond it are refused where they are parsed */
	if (chunks < CHUNKS_PER_RUNNER * runners)
		chunks = CHUNKS_PER_RUNNER * runners;
	if (chunks < 2 * runners * coroutines / TASKS_PER_CHUNK)
		chunks = 2 * runners * coroutines / TASKS_PER_CHUNK;
	if (chunks > LAYOUT_MAX_CHUNKS)
		chunks = LAYOUT_MAX_CHUNKS;
	while (g.ring_bytes > LAYOUT_MIN_RING_BYTES && g.ring_bytes * runners > RINGS_BYTES_IN_ALL)
		g.ring_bytes /= 2;
	if (big < MIN_BIG)
		big = MIN_BIG;
	if (big > MAX_BIG)
		big = MAX_BIG;
	g.n_runners = (uint32_t)runners;
	g.n_chunks = (uint32_t)chunks;
	g.n_big = (uint32_t)big;
	return g;
}

static int segment_create(struct ring *ring)
{
	void *map;

	ring->segment_fd = memfd_create("concd-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ring->segment_fd < 0)
		return -errno;
	if (ftruncate(ring->segment_fd, (off_t)ring->layout.total) < 0)
		return -errno;
	/* A worker that cut the file would send the daemon SIGBUS. */
	if (fcntl(ring->segment_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	map = mmap(NULL, ring->layout.total, PROT_READ | PROT_WRITE, MAP_SHARED, ring->segment_fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	ring->map = map;
	if (madvise(map, ring->layout.total, MADV_DONTFORK) < 0)
		return -errno;
	return 0;
}

static int private_create(struct ring *ring)
{
	const struct ring_geometry *g = &ring->geometry;

	ring->chunks = calloc(g->n_chunks, sizeof(*ring->chunks));
	ring->runners = calloc(g->n_runners, sizeof(*ring->runners));
	ring->entries = calloc(ring->layout.n_entries, sizeof(*ring->entries));
	ring->free_list = calloc(g->n_chunks, sizeof(*ring->free_list));
	ring->place_users = calloc(g->n_big, sizeof(*ring->place_users));
	if (!ring->chunks || !ring->runners || !ring->entries || !ring->free_list || !ring->place_users)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->n_runners; i++)
		ring->runners[i].event_fd = -1;
	while (ring->n_free < g->n_chunks) { /* the lowest number is given out first */
		ring->free_list[ring->n_free] = g->n_chunks - 1 - ring->n_free;
		ring->n_free++;
	}
	return 0;
}

int ring_open(const struct ring_geometry *geometry, struct ring **ret_ring)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	int r;

	if (!ring)
		return -ENOMEM;
	ring->geometry = *geometry;
	ring->max_result_bytes = RING_MAX_RESULT_BYTES;
	ring->segment_fd = ring->event_fd = -1;
	r = layout_compute(geometry, &ring->layout) ? 0 : -EINVAL;
	if (r == 0)
		r = segment_create(ring);
	if (r == 0)
		r = private_create(ring);
	if (r == 0) {
		ring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (ring->event_fd < 0)
			r = -errno;
	}
	if (r < 0) {
		ring_close(ring);
		return r;
	}
	ring->control = (struct shared_control *)(void *)ring->map;
	ring->shared_entries = (_Atomic uint64_t *)(void *)(ring->map + ring->layout.entries);
	ring->shared_runners = (struct shared_runner *)(void *)(ring->map + ring->layout.runners);
	ring->releases = (_Atomic uint64_t *)(void *)(ring->map + ring->layout.releases);
	ring->shared_chunks = (struct shared_chunk *)(void *)(ring->map + ring->layout.chunks);
	ring->control->geometry = (struct shared_geometry){
		.magic = LAYOUT_MAGIC,
		.version = LAYOUT_VERSION,
		.asked = *geometry,
		.n_entries = ring->layout.n_entries,
		.total_bytes = ring->layout.total,
	};
	*ret_ring = ring;
	return 0;
}

void ring_close(struct ring *ring)
{
	if (!ring)
		return;
	for (uint32_t i = 0; ring->runners && i < ring->geometry.n_runners; i++)
		buffer_fini(&ring->runners[i].parts);
	if (ring->map)
		(void)munmap(ring->map, ring->layout.total); /* our own mapping */
	if (ring->segment_fd >= 0)
		(void)close(ring->segment_fd); /* memory only */
	if (ring->event_fd >= 0)
		(void)close(ring->event_fd); /* nothing is written */
	free(ring->chunks);
	free(ring->runners);
	free(ring->entries);
	free(ring->free_list);
	free(ring->place_users);
	free(ring);
}

int ring_segment_fd(const struct ring *ring)
{
	return ring->segment_fd;
}

int ring_event_fd(const struct ring *ring)
{
	return ring->event_fd;
}

const struct ring_geometry *ring_geometry(const struct ring *ring)
{
	return &ring->geometry;
}

void ring_set_max_result(struct ring *ring, uint64_t bytes)
{
	ring->max_result_bytes = bytes;
}

int chunk_word(const struct ring *ring, uint32_t chunk, uint64_t *ret_word)
{
	const struct chunk_meta *meta = &ring->chunks[chunk];
	/* acquire: pairs with the runner's begin, so that what it did before is seen with it */
	uint64_t word = atomic_load_explicit(&ring->shared_chunks[chunk].word, memory_order_acquire);
	uint32_t owner = word_owner(word), begun = word_begun(word);

	if (word_generation(word) != meta->generation || word_end(word) != meta->end || begun > meta->end)
		return -EBADMSG;
	if (owner > ring->geometry.n_runners || (owner == 0 && begun > 0))
		return -EBADMSG;
	if (meta->use != CHUNK_SUBMITTED && owner != 0)
		return -EBADMSG;
	/* The record of a task was published after its begin. */
	if ((meta->done & ~task_bits(begun)) != 0)
		return -EBADMSG;
	*ret_word = word;
	return 0;
}

int submit_head(const struct ring *ring, uint64_t *ret_head)
{
	/* acquire: a head that passed an entry allows to overwrite it */
	uint64_t head = atomic_load_explicit(&ring->control->submit_head, memory_order_acquire);

	if (head < ring->submit_head_seen || head > ring->submit_tail)
		return -EBADMSG;
	*ret_head = head;
	return 0;
}

static bool control_is_ours(const struct ring *ring)
{
	const struct shared_control *control = ring->control;
	struct shared_geometry geometry = control->geometry; /* copied: a worker may change it meanwhile */
	uint32_t last_bits = ring->geometry.n_runners % 64, words = (ring->geometry.n_runners + 63) / 64;

	if (geometry.magic != LAYOUT_MAGIC || geometry.version != LAYOUT_VERSION ||
	    memcmp(&geometry.asked, &ring->geometry, sizeof(ring->geometry)) != 0 ||
	    geometry.n_entries != ring->layout.n_entries || geometry.total_bytes != ring->layout.total)
		return false;
	/* relaxed: only the daemon writes it */
	if (atomic_load_explicit(&control->submit_tail, memory_order_relaxed) != ring->submit_tail)
		return false;
	for (uint32_t i = words - 1; i < LAYOUT_IDLE_WORDS; i++) {
		uint64_t none = i == words - 1 ? (last_bits ? ~task_bits(last_bits) : 0) : UINT64_MAX;

		/* relaxed: bits of no runner are never set, at no time */
		if (atomic_load_explicit(&control->idle[i], memory_order_relaxed) & none)
			return false;
	}
	return true;
}

int ring_check(const struct ring *ring)
{
	uint64_t head, word;

	if (!control_is_ours(ring) || submit_head(ring, &head) < 0)
		return -EBADMSG;
	for (; head < ring->submit_tail; head++) {
		uint32_t at = (uint32_t)head & (ring->layout.n_entries - 1);

		/* relaxed: only the daemon writes entries */
		if (atomic_load_explicit(&ring->shared_entries[at], memory_order_relaxed) != ring->entries[at])
			return -EBADMSG;
	}
	for (uint32_t i = 0; i < ring->geometry.n_runners; i++) {
		/* relaxed: only the daemon writes heads */
		if (atomic_load_explicit(&ring->shared_runners[i].head, memory_order_relaxed) !=
		    ring->runners[i].shown_head)
			return -EBADMSG;
	}
	for (uint32_t i = 0; i < ring->geometry.n_chunks; i++) {
		if (ring->chunks[i].use != CHUNK_FREE && chunk_word(ring, i, &word) < 0)
			return -EBADMSG;
	}
	return 0;
}
