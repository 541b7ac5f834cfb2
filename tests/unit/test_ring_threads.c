/* The rings under load: the daemon and several worker processes as threads of one process, so that a sanitizer sees
 * both sides. Workers keep many begun tasks and end them in any order, the daemon takes back and fills anew at random,
 * and workers die at random points of the protocol; each task must come back with its result exactly once, and must
 * never run twice at the same time.
 *
 * A death is a thread that stops where a process could have been killed: between two calls, or in the middle of one,
 * which then is done by hand through layout.h as far as the instruction at which it dies.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "ring/layout.h"
#include "ring/ring.h"
#include "ring/worker_ring.h"

#define N_SLOTS 4
#define N_TASKS 30000u
#define N_BIG_EVERY 499u /* tasks with an input for the arena */
#define N_LONG_EVERY 307u /* tasks with a result in fragments */
#define BIG_BYTES 5000
#define LONG_BYTES 20000
#define MAX_HELD 64
#define HANG_MS 20000

#define CHECK(what) \
	do { \
		if (!(what)) { \
			(void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what); \
			abort(); \
		} \
	} while (0)

/* ---- One address for every mapping of the segment ---- */

void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t len);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t len);

static pthread_mutex_t mapping_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	void *at;
	ino_t inode;
	uint32_t users, shared; /* now, and how often a second user got the first one's address */
} mapping;

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	struct stat st = { .st_ino = 0 };
	void *at;

	if (fd < 0 || fstat(fd, &st) < 0)
		return __real_mmap(addr, len, prot, flags, fd, offset);
	(void)pthread_mutex_lock(&mapping_lock);
	if (mapping.users > 0 && mapping.inode == st.st_ino) {
		mapping.shared++;
	} else {
		CHECK(mapping.users == 0);
		mapping.at = __real_mmap(addr, len, prot, flags, fd, offset);
		mapping.inode = st.st_ino;
	}
	mapping.users++;
	at = mapping.at;
	(void)pthread_mutex_unlock(&mapping_lock);
	return at;
}

int __wrap_munmap(void *addr, size_t len)
{
	bool ours;

	(void)pthread_mutex_lock(&mapping_lock);
	ours = mapping.users > 0 && addr == mapping.at;
	if (ours && --mapping.users > 0) {
		(void)pthread_mutex_unlock(&mapping_lock);
		return 0;
	}
	(void)pthread_mutex_unlock(&mapping_lock);
	return __real_munmap(addr, len);
}

/* ---- What both sides know ---- */

struct slot {
	pthread_t thread;
	struct worker_ring *worker; /* opened and closed by the daemon's thread, before and after its worker's life */
	struct stress *stress;
	uint32_t runner;
	uint32_t max_held;
	uint32_t death_in; /* points from now; 0: lives on */
	uint64_t seed;
	int wake_fd; /* odd runners sleep on it */
	_Atomic bool dead;
};

struct range {
	uint32_t first, count;
};

struct stress {
	struct ring *ring;
	struct slot slots[N_SLOTS];
	int death_fd; /* the pidfd of this world */
	_Atomic bool stop;
	_Atomic uint8_t running[N_TASKS]; /* set by whoever has begun the task */
	/* The daemon's. */
	uint64_t seed;
	uint8_t out[N_TASKS], done[N_TASKS];
	uint32_t n_done, n_deaths, n_back, n_lost;
	struct range ranges[N_TASKS]; /* to be handed out */
	uint32_t n_ranges;
	struct range chunks[64];
};

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint32_t below(uint64_t *seed, uint32_t n)
{
	return (uint32_t)(next_random(seed) >> 33) % n;
}

static size_t result_len(uint32_t task)
{
	return task % N_LONG_EVERY == 0 ? LONG_BYTES : 4 + task % 50;
}

/* ---- A worker ---- */

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

static uint8_t *segment(void)
{
	return mapping.at;
}

static void die_between_claim_and_head(struct life *l, const struct layout *layout)
{
	struct shared_control *control = (struct shared_control *)(void *)segment();
	_Atomic uint64_t *entries = (_Atomic uint64_t *)(void *)(segment() + layout->entries);
	struct shared_chunk *chunks = (struct shared_chunk *)(void *)(segment() + layout->chunks);
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
	uint8_t *bytes = segment() + layout->rings + (size_t)l->slot->runner * ring_bytes;
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
	struct shared_control *control = (struct shared_control *)(void *)segment();
	struct shared_runner *me;
	struct layout layout;

	CHECK(layout_compute(ring_geometry(l->slot->stress->ring), &layout));
	me = (struct shared_runner *)(void *)(segment() + layout.runners) + l->slot->runner;
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

static void *worker_main(void *arg)
{
	struct slot *s = arg;
	struct life *l = calloc(1, sizeof(*l));

	CHECK(l);
	l->slot = s;
	live(l);
	free(l);
	atomic_store(&s->dead, true);
	CHECK(eventfd_write(s->stress->death_fd, 1) == 0);
	return NULL;
}

/* ---- The daemon ---- */

static void start_worker(struct stress *st, uint32_t runner, uint32_t max_held, bool mortal)
{
	struct slot *s = &st->slots[runner];

	s->stress = st;
	s->runner = runner;
	s->max_held = max_held;
	s->seed = next_random(&st->seed) | 1;
	s->death_in = mortal ? 1 + below(&st->seed, 3000) : 0;
	atomic_store(&s->dead, false);
	CHECK(worker_ring_open(ring_segment_fd(st->ring), ring_event_fd(st->ring), &s->worker) == 0);
	ring_set_runner_fd(st->ring, runner, s->wake_fd);
	CHECK(pthread_create(&s->thread, NULL, worker_main, s) == 0);
}

static void give_back(struct stress *st, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		CHECK(st->out[i] == 1 && st->done[i] == 0);
		st->out[i] = 0;
	}
	if (count > 0)
		st->ranges[st->n_ranges++] = (struct range){ first, count };
}

static void on_record(void *arg, const struct ring_record *r)
{
	struct stress *st = arg;
	const struct range *chunk = r->user;
	uint32_t task = chunk->first + r->index, said;

	CHECK(r->kind == RING_RECORD_RESULT && r->status == RING_DONE && r->len == result_len(task));
	memcpy(&said, r->data, sizeof(said));
	CHECK(said == task);
	for (size_t i = sizeof(said); i < r->len; i++)
		CHECK(r->data[i] == (uint8_t)(task * 31 + i));
	CHECK(st->out[task] == 1 && st->done[task] == 0);
	st->done[task] = 1;
	st->n_done++;
}

static void on_left(void *arg, const struct ring_left *left)
{
	struct stress *st = arg;
	const struct range *chunk = left->user;

	for (uint32_t i = 0; i < 64; i++) {
		if (!(left->begun_lost >> i & 1))
			continue;
		/* Begun and lost; where it died between the end of the work and the record, it is not running. */
		atomic_store(&st->running[chunk->first + i], 0);
		give_back(st, chunk->first + i, 1);
		st->n_lost++;
	}
	give_back(st, chunk->first + left->unbegun_first, left->unbegun_end - left->unbegun_first);
}

static void bury(struct stress *st, uint32_t runner, uint32_t max_held)
{
	struct slot *s = &st->slots[runner];

	CHECK(pthread_join(s->thread, NULL) == 0);
	CHECK(ring_collect_dead(st->ring, runner, on_record, st) >= 0);
	CHECK(ring_reap(st->ring, runner, on_left, st) == 0);
	worker_ring_close(s->worker);
	st->n_deaths++;
	start_worker(st, runner, max_held, true);
}

/* Fill and offer one chunk. false: nothing to do, or no room. */
static bool feed(struct stress *st)
{
	static uint8_t packed[RING_CHUNK_TASKS * 8 + BIG_BYTES + 8];
	struct ring_batch batch = { .job = 3, .packed = packed };
	uint32_t count = 0, most, place = 0, chunk;
	struct range *range, *user;
	uint8_t *at = packed;
	int r;

	if (st->n_ranges == 0)
		return false;
	range = &st->ranges[st->n_ranges - 1];
	most = below(&st->seed, 3) ? 1 + below(&st->seed, RING_CHUNK_TASKS) : 1;
	while (count < range->count && count < most && !(count > 0 && (range->first + count) % N_BIG_EVERY == 0)) {
		uint32_t task = range->first + count;
		size_t len = task % N_BIG_EVERY == 0 ? BIG_BYTES : sizeof(task);

		at = varint_put(at, len);
		memset(at, (int)(task & 0xff), len);
		memcpy(at, &task, sizeof(task));
		at += len;
		count++;
		if (len == BIG_BYTES)
			break;
	}
	batch.first = range->first;
	batch.count = count;
	batch.packed_bytes = (size_t)(at - packed);
	while (place < ARRAY_SIZE(st->chunks) && st->chunks[place].count > 0)
		place++;
	CHECK(place < ARRAY_SIZE(st->chunks)); /* more than there are chunks, and those of free chunks are swept */
	user = &st->chunks[place];
	r = ring_fill(st->ring, &batch, user, &chunk);
	CHECK(r == 0 || r == -EAGAIN);
	if (r < 0)
		return false;
	*user = (struct range){ range->first, count };
	for (uint32_t i = 0; i < count; i++) {
		CHECK(st->out[range->first + i] == 0 && st->done[range->first + i] == 0);
		st->out[range->first + i] = 1;
	}
	range->first += count;
	range->count -= count;
	if (range->count == 0)
		st->n_ranges--;
	ring_submit(st->ring, chunk);
	return true;
}

static void take_something_back(struct stress *st)
{
	uint32_t chunk = below(&st->seed, ring_geometry(st->ring)->n_chunks), begun, end;
	struct ring_chunk_state state;
	bool freed;

	if (ring_chunk_state(st->ring, chunk, &state) < 0)
		return;
	CHECK(ring_take_back(st->ring, chunk, &begun, &end, &freed) == 0);
	CHECK(end == state.end && begun >= state.begun);
	st->n_back += end - begun;
	give_back(st, ((struct range *)state.user)->first + begun, end - begun);
	if (freed)
		((struct range *)state.user)->count = 0;
}

/* Which of the users' places are free: those that no chunk in flight names. */
static void sweep_users(struct stress *st)
{
	bool used[64] = { false };
	struct ring_chunk_state state;

	for (uint32_t i = 0; i < ring_geometry(st->ring)->n_chunks; i++) {
		if (ring_chunk_state(st->ring, i, &state) == 0)
			used[(struct range *)state.user - st->chunks] = true;
	}
	for (uint32_t i = 0; i < 64; i++) {
		if (!used[i])
			st->chunks[i].count = 0;
	}
}

static void wait_for_news(struct stress *st)
{
	struct pollfd p[2] = { { .fd = ring_event_fd(st->ring), .events = POLLIN },
			       { .fd = st->death_fd, .events = POLLIN } };

	if (!ring_prepare_sleep(st->ring))
		return;
	CHECK(poll(p, 2, HANG_MS) > 0); /* a wake-up was lost */
	ring_awake(st->ring);
}

static void run_daemon(struct stress *st, uint32_t max_held)
{
	uint64_t count;
	uint32_t bad;

	while (st->n_done < N_TASKS) {
		uint32_t fed = 0, burst = below(&st->seed, 8);
		int r;

		sweep_users(st);
		while (fed < burst && feed(st))
			fed++;
		if (fed > 0)
			ring_wake(st->ring, fed);
		r = ring_collect_all(st->ring, 1 + below(&st->seed, 500), on_record, st, &bad);
		CHECK(r >= 0);
		if (below(&st->seed, 8) == 0)
			take_something_back(st);
		if (eventfd_read(st->death_fd, &count) == 0) {
			for (uint32_t i = 0; i < N_SLOTS; i++) {
				if (atomic_load(&st->slots[i].dead))
					bury(st, i, max_held);
			}
		} else if (r == 0 && fed == 0 && burst > 0) {
			wait_for_news(st);
		}
	}
	CHECK(ring_check(st->ring) == 0);
}

static void check_exactly_once(uint64_t seed, uint32_t max_held, bool mortal)
{
	struct ring_geometry g = { .n_runners = N_SLOTS, .n_chunks = 24, .ring_bytes = 16384, .n_big = 2 };
	struct stress *st = calloc(1, sizeof(*st));

	CHECK(st);
	st->seed = seed;
	st->death_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(ring_open(&g, &st->ring), 0);
	st->ranges[st->n_ranges++] = (struct range){ 0, N_TASKS };
	for (uint32_t i = 0; i < N_SLOTS; i++) {
		st->slots[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		start_worker(st, i, max_held, mortal);
	}
	run_daemon(st, max_held);
	atomic_store(&st->stop, true);
	for (uint32_t i = 0; i < N_SLOTS; i++) {
		struct slot *s = &st->slots[i];

		ring_kick(s->worker, i);
		CHECK(eventfd_write(s->wake_fd, 1) == 0);
		CHECK(pthread_join(s->thread, NULL) == 0);
		worker_ring_close(s->worker);
		CHECK(close(s->wake_fd) == 0);
	}
	for (uint32_t i = 0; i < N_TASKS; i++)
		assert_int_equal(st->done[i], 1);
	print_message("# %u tasks, %u deaths, %u begun again, %u taken back\n", st->n_done, st->n_deaths, st->n_lost,
		      st->n_back);
	assert_true(mapping.shared > 0);
	assert_true(st->n_back > 0 && (!mortal || st->n_deaths > 0));
	ring_close(st->ring);
	CHECK(close(st->death_fd) == 0);
	free(st);
}

static void every_task_comes_back_once_whatever_is_taken_back(void **state)
{
	(void)state;
	check_exactly_once(1, 1, false);
	check_exactly_once(2, 40, false);
}

static void every_task_comes_back_once_whoever_dies(void **state)
{
	(void)state;
	check_exactly_once(3, 1, true);
	check_exactly_once(4, 8, true);
	check_exactly_once(5, MAX_HELD, true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_task_comes_back_once_whatever_is_taken_back),
		cmocka_unit_test(every_task_comes_back_once_whoever_dies),
	};

	if (argc > 1) { /* one more seed, by hand */
		check_exactly_once(strtoull(argv[1], NULL, 0) | 1, MAX_HELD, true);
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
