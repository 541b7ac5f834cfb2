/* The heap of time limits. */
#include "timers.h"

#include <errno.h>
#include <stdlib.h>

#define MIN_CAP 64

void timers_init(struct timers *timers, bool (*is_live)(const void *ctx, const struct timer *timer), const void *ctx)
{
	*timers = (struct timers){ .is_live = is_live, .ctx = ctx, .sweep_at = MIN_CAP };
}

void timers_fini(struct timers *timers)
{
	free(timers->heap);
	timers->heap = NULL;
	timers->n = timers->cap = 0;
}

static void sift_up(struct timer *heap, size_t i)
{
	struct timer moving = heap[i];

	while (i > 0) {
		size_t parent = (i - 1) / 2;

		if (heap[parent].at_ns <= moving.at_ns)
			break;
		heap[i] = heap[parent];
		i = parent;
	}
	heap[i] = moving;
}

static void sift_down(struct timer *heap, size_t n, size_t i)
{
	struct timer moving = heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && heap[child + 1].at_ns < heap[child].at_ns)
			child++;
		if (moving.at_ns <= heap[child].at_ns)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = moving;
}

/* Remove what is stale and restore the order. */
static void sweep(struct timers *timers)
{
	size_t kept = 0;

	for (size_t i = 0; i < timers->n; i++)
		if (timers->is_live(timers->ctx, &timers->heap[i]))
			timers->heap[kept++] = timers->heap[i];
	timers->n = kept;
	for (size_t i = kept / 2; i-- > 0;)
		sift_down(timers->heap, kept, i);
	timers->sweep_at = kept * 2 + MIN_CAP; /* as much again may come before the next: constant cost an entry */
}

int timers_add(struct timers *timers, const struct timer *timer)
{
	if (timers->n >= timers->sweep_at)
		sweep(timers);
	if (timers->n == timers->cap) {
		size_t cap = timers->cap ? timers->cap * 2 : MIN_CAP;
		struct timer *heap = realloc(timers->heap, cap * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		timers->heap = heap;
		timers->cap = cap;
	}
	timers->heap[timers->n] = *timer;
	sift_up(timers->heap, timers->n++);
	return 0;
}

static void remove_first(struct timers *timers)
{
	timers->heap[0] = timers->heap[--timers->n];
	if (timers->n > 0)
		sift_down(timers->heap, timers->n, 0);
}

int64_t timers_next_ns(struct timers *timers)
{
	while (timers->n > 0 && !timers->is_live(timers->ctx, &timers->heap[0]))
		remove_first(timers);
	return timers->n > 0 ? timers->heap[0].at_ns : INT64_MAX;
}

bool timers_pop(struct timers *timers, int64_t now_ns, struct timer *ret_timer)
{
	if (timers_next_ns(timers) > now_ns)
		return false;
	*ret_timer = timers->heap[0];
	remove_first(timers);
	return true;
}
