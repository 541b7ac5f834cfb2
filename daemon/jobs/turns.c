/* The heap of those who wait for their turn. */
#include "jobs/turns.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void turns_fini(struct turns *turns)
{
	free(turns->heap);
	*turns = (struct turns){ .heap = NULL };
}

int turns_reserve(struct turns *turns, size_t n)
{
	size_t cap = turns->cap ? turns->cap : 16;
	struct turn **heap;

	if (n <= turns->cap)
		return 0;
	if (n >= UINT32_MAX)
		return -ENOMEM;
	while (cap < n)
		cap *= 2;
	heap = reallocarray(turns->heap, cap, sizeof(struct turn *));
	if (!heap)
		return -ENOMEM;
	turns->heap = heap;
	turns->cap = cap;
	return 0;
}

static int64_t key_of(const struct turn *turn)
{
	return turn->since_ns - turn->priority * PRIORITY_AGE_NS;
}

int32_t turn_priority(int32_t recorded)
{
	return recorded < PROTOCOL_MIN_PRIORITY ? PROTOCOL_MIN_PRIORITY :
	       recorded > PROTOCOL_MAX_PRIORITY ? PROTOCOL_MAX_PRIORITY : recorded;
}

bool turn_before(const struct turn *a, const struct turn *b)
{
	int64_t x = key_of(a), y = key_of(b);

	return x != y ? x < y : a->id < b->id;
}

static void put(struct turns *turns, size_t i, struct turn *turn)
{
	turns->heap[i] = turn;
	turn->at = (uint32_t)(i + 1);
}

static void sift_up(struct turns *turns, size_t i, struct turn *turn)
{
	while (i > 0 && turn_before(turn, turns->heap[(i - 1) / 2])) {
		put(turns, i, turns->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(turns, i, turn);
}

static void sift_down(struct turns *turns, size_t i, struct turn *turn)
{
	size_t child;

	while ((child = 2 * i + 1) < turns->n) {
		if (child + 1 < turns->n && turn_before(turns->heap[child + 1], turns->heap[child]))
			child++;
		if (!turn_before(turns->heap[child], turn))
			break;
		put(turns, i, turns->heap[child]);
		i = child;
	}
	put(turns, i, turn);
}

void turns_add(struct turns *turns, struct turn *turn)
{
	assert(turn->at == 0 && turns->n < turns->cap);
	turns->n_by_priority[turn->priority - PROTOCOL_MIN_PRIORITY]++;
	sift_up(turns, turns->n++, turn);
}

void turns_remove(struct turns *turns, struct turn *turn)
{
	size_t i = turn->at - 1;
	struct turn *last = turns->heap[--turns->n];

	assert(turn->at > 0 && i <= turns->n);
	turns->n_by_priority[turn->priority - PROTOCOL_MIN_PRIORITY]--;
	turn->at = 0;
	if (last == turn)
		return;
	if (i > 0 && turn_before(last, turns->heap[(i - 1) / 2]))
		sift_up(turns, i, last);
	else
		sift_down(turns, i, last);
}

struct turn *turns_first(const struct turns *turns)
{
	return turns->n > 0 ? turns->heap[0] : NULL;
}

void turns_served(struct turns *turns, struct turn *turn, int64_t now_ns)
{
	turn->since_ns = now_ns; /* never earlier than before: it only goes back */
	sift_down(turns, turn->at - 1, turn);
}

uint32_t turns_above(const struct turns *turns, int32_t priority)
{
	uint32_t n = 0;

	for (int32_t p = priority + 1; p <= PROTOCOL_MAX_PRIORITY; p++)
		n += turns->n_by_priority[p - PROTOCOL_MIN_PRIORITY];
	return n;
}
