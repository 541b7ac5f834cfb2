/* A worker of test_ring_threads.c: keeps many begun tasks, ends them in any order, and dies at random points of the
 * protocol.
 *
 * A death is a thread that stops where a process could have been killed: between two calls, or in the middle of one,
 * which then is done by hand through layout.h as far as the instruction at which it dies.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "ring/layout.h"
#include "ring_stress.h"

struct held {
	struct ring_claim claim;
	uint32_t index, task;
	int64_t begin_ns;
};

struct life {
	struct slot *slot;
	struct ring_claim claim; /* of which more can be begun, where `claimed` */
	const uint8_t *at; /* in its inputs */
	bool claimed, at_known;
	uint32_t parsed; /* inputs before `at` */
	struct held held[MAX_HELD];
	uint32_t n_held;
	uint8_t result[LONG_BYTES];
};

/* The points at which a worker may die; each may be done by hand up to the fatal instruction. */
enum point { BEFORE_CLAIM, CLAIMED, BEGUN, BEFORE_RECORD, RECORDED, BEFORE_PUBLISH, PUBLISHED, ASLEEP };

static void die_between_claim_and_head(struct life *l, const struct layout *layout)
{
	struct shared_control *control = (struct shared_control *)(void *)one_mapping();
	_Atomic uint64_t *entries = (_Atomic uint64_t *)(void *)(one_mapping() + layout->entries);
	struct shared_chunk *chunks = (struct shared_chunk *)(void *)(one_mapping() + layout->chunks);
	uint64_t head = atomic_load(&control->submit_head), entry, word;

	if (head >= atomic_load(&control->submit_tail))
		return;
	entry = atomic_load(&entries[head & (layout->n_entries - 1)]);
	word = atomic_load(&chunks[entry_chunk(entry)].word);
	if (word_claimable(word, entry_generation(entry)))
		(void)atomic_compare_exchange_strong(&chunks[entry_chunk(entry)].word, &word,
						     word | (uint64_t)(l->slot->runner + 1) << 20);
}

/* Half a record behind the tail, or a fragment whose successor never comes. */
static void die_in_record(struct life *l, const struct layout *layout, struct shared_runner *me, bool fragment)
{
	uint32_t ring_bytes = ring_geometry(l->slot->stress->ring)->ring_bytes;
	uint8_t *bytes = one_mapping() + layout->rings + (size_t)l->slot->runner * ring_bytes;
	uint64_t tail = atomic_load(&me->precise_tail), offset = tail & (ring_bytes - 1);
	const struct held *h = &l->held[0];
	struct shared_record r = { .len = 1000, .kind = SHARED_RESULT, .flags = SHARED_MORE };

	if (offset + 2000 > ring_bytes || tail + 2000 - atomic_load(&me->head) > ring_bytes || l->n_held == 0)
		return;
	r.chunk = h->claim.chunk;
	r.generation = h->claim.generation;
	r.index = (uint8_t)h->index;
	memcpy(bytes + offset, &r, fragment ? sizeof(r) : sizeof(r) / 2);
	if (fragment)
		atomic_store(&me->precise_tail, tail + record_bytes(r.len, r.flags));
}

static void die(struct life *l, enum point point)
{
	struct shared_control *control = (struct shared_control *)(void *)one_mapping();
	struct shared_runner *me;
	struct layout layout;

	CHECK(layout_compute(ring_geometry(l->slot->stress->ring), &layout));
	me = (struct shared_runner *)(void *)(one_mapping() + layout.runners) + l->slot->runner;
	switch (point) {
	case BEFORE_CLAIM:
		die_between_claim_and_head(l, &layout);
		break;
	case BEFORE_RECORD:
		die_in_record(l, &layout, me, below(&l->slot->seed, 2));
		break;
	case BEFORE_PUBLISH: /* between the tails, or between the flag's clearing and the write that would wake */
		if (below(&l->slot->seed, 2))
			atomic_store(&me->advertised_tail, atomic_load(&me->precise_tail));
		if (below(&l->slot->seed, 2))
			(void)atomic_exchange(&control->daemon_asleep, 0);
		break;
	case RECORDED:
		atomic_store(&me->room_wait, 1);
		break;
	case CLAIMED:
	case BEGUN:
	case PUBLISHED:
	case ASLEEP:
		break;
	}
}

static bool dies(struct life *l, enum point point)
{
	if (l->slot->death_in == 0 || --l->slot->death_in > 0)
		return false;
	die(l, point);
	return true;
}

/* Begin one task more. 0; -EAGAIN: none is there; -EPIPE: died. */
static int take(struct life *l)
{
	struct slot *s = l->slot;
	struct held *h = &l->held[l->n_held];
	const uint8_t *end, *data = NULL;
	size_t len = 0;
	int index;

	if (!l->claimed) {
		if (dies(l, BEFORE_CLAIM))
			return -EPIPE;
		if (ring_claim(s->worker, s->runner, &l->claim) < 0)
			return -EAGAIN;
		l->claimed = true;
		l->at = l->claim.inputs;
		l->parsed = 0;
		if (dies(l, CLAIMED))
			return -EPIPE;
	}
	index = ring_begin(s->worker, s->runner, &l->claim);
	if (index < 0) {
		l->claimed = false;
		return take(l);
	}
	end = l->claim.inputs + l->claim.inputs_bytes;
	for (; l->parsed <= (uint32_t)index; l->parsed++) {
		l->at = packed_next(l->at, end, &data, &len);
		CHECK(l->at);
	}
	h->claim = l->claim;
	h->index = (uint32_t)index;
	h->begin_ns = clock_mono_ns();
	CHECK(len == (l->claim.big ? BIG_BYTES : sizeof(h->task)));
	memcpy(&h->task, data, sizeof(h->task));
	CHECK(h->task == l->claim.first + h->index && l->claim.job == 3);
	if (l->claim.big) {
		CHECK(data[BIG_BYTES - 1] == (uint8_t)h->task);
		ring_release_big(s->worker, &l->claim);
	}
	CHECK(atomic_exchange(&s->stress->running[h->task], 1) == 0);
	l->n_held++;
	ring_on_task(s->worker, s->runner, l->claim.chunk, h->index);
	return dies(l, BEGUN) ? -EPIPE : 0;
}

/* End one of the held tasks. false: died. */
static bool give(struct life *l)
{
	struct slot *s = l->slot;
	struct held *h = &l->held[below(&s->seed, l->n_held)];
	size_t len = result_len(h->task);
	struct ring_result r = {
		.chunk = h->claim.chunk,
		.generation = h->claim.generation,
		.index = h->index,
		.begin_ns = h->begin_ns,
		.wall_s = 0.001f,
		.runq_s = h->task % 3 ? 0 : 0.0001f,
		.data = l->result,
		.len = len,
	};

	if (dies(l, BEFORE_RECORD))
		return false;
	for (size_t i = 0; i < len; i++)
		l->result[i] = (uint8_t)(h->task * 31 + i);
	memcpy(l->result, &h->task, sizeof(h->task));
	CHECK(atomic_exchange(&s->stress->running[h->task], 0) == 1);
	ring_record(s->worker, s->runner, &r);
	*h = l->held[--l->n_held];
	return !dies(l, RECORDED);
}

static bool publish(struct life *l)
{
	if (dies(l, BEFORE_PUBLISH))
		return false;
	ring_publish(l->slot->worker, l->slot->runner);
	return !dies(l, PUBLISHED);
}

static bool sleep_until_woken(struct life *l)
{
	struct slot *s = l->slot;
	bool in_base = s->runner % 2 == 1;
	struct pollfd p = { .fd = s->wake_fd, .events = POLLIN };
	uint64_t count;

	if (!publish(l))
		return false;
	if (!ring_sleep_begin(s->worker, s->runner, in_base))
		return true;
	if (dies(l, ASLEEP))
		return false;
	if (!in_base) {
		ring_sleep_futex(s->worker, s->runner);
	} else {
		CHECK(poll(&p, 1, HANG_MS) == 1);
		(void)!read(s->wake_fd, &count, sizeof(count));
	}
	ring_sleep_end(s->worker, s->runner);
	return true;
}

static void live(struct life *l)
{
	struct slot *s = l->slot;

	while (!atomic_load(&s->stress->stop)) {
		uint32_t want = 1 + below(&s->seed, s->max_held);
		int r = 0;

		while (l->n_held < want && r == 0)
			r = take(l);
		if (r == -EPIPE)
			return;
		if (r == -EAGAIN && l->n_held == 0 && !sleep_until_woken(l))
			return;
		for (want = below(&s->seed, l->n_held + 1) + 1; want > 0 && l->n_held > 0; want--) {
			if (!give(l))
				return;
		}
		if (below(&s->seed, 4) == 0 && !publish(l))
			return;
	}
}

void *stress_worker_main(void *slot)
{
	struct slot *s = slot;
	struct life *l = calloc(1, sizeof(*l));

	CHECK(l);
	l->slot = s;
	live(l);
	free(l);
	atomic_store(&s->dead, true);
	CHECK(eventfd_write(s->stress->death_fd, 1) == 0);
	return NULL;
}
