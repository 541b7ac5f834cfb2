/* Jobs by number: a list, and marks on it. */
#include "jobs/order.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/job.h"

void order_init(struct order *order)
{
	*order = (struct order){ .marks = NULL };
	TAILQ_INIT(&order->list);
}

void order_fini(struct order *order)
{
	assert(TAILQ_EMPTY(&order->list));
	free(order->marks);
	order_init(order);
}

/* The place of the first mark that is not below this block. */
static size_t find_mark(const struct order *order, uint64_t block)
{
	size_t low = 0, high = order->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (order->marks[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add_mark(struct order *order, size_t at, uint64_t block, struct job *job)
{
	if (order->n == order->cap) {
		size_t cap = order->cap ? 2 * order->cap : 16;
		struct order_mark *marks = reallocarray(order->marks, cap, sizeof(*marks));

		if (!marks)
			return; /* looking takes longer */
		order->marks = marks;
		order->cap = cap;
	}
	memmove(&order->marks[at + 1], &order->marks[at], (order->n - at) * sizeof(order->marks[0]));
	order->marks[at] = (struct order_mark){ .block = block, .newest = job };
	order->n++;
}

struct job *order_newest_below(const struct order *order, uint64_t below)
{
	struct job *job, *next;
	size_t at;

	if (below == 0)
		return TAILQ_LAST(&order->list, job_list);
	at = find_mark(order, (below - 1) / ORDER_BLOCK);
	if (at < order->n && order->marks[at].block == (below - 1) / ORDER_BLOCK)
		job = order->marks[at].newest;
	else
		job = at > 0 ? order->marks[at - 1].newest : NULL;
	for (; job && job->id >= below; job = TAILQ_PREV(job, job_list, link))
		;
	/* Only what has no mark is behind it. */
	for (next = job ? TAILQ_NEXT(job, link) : TAILQ_FIRST(&order->list); next && next->id < below; next = TAILQ_NEXT(next, link))
		job = next;
	return job;
}

void order_add(struct order *order, struct job *job)
{
	struct job *newest = TAILQ_LAST(&order->list, job_list);
	struct job *before = !newest || newest->id < job->id ? newest : order_newest_below(order, job->id);
	uint64_t block = job->id / ORDER_BLOCK;
	size_t at = find_mark(order, block);

	if (before)
		TAILQ_INSERT_AFTER(&order->list, before, job, link);
	else
		TAILQ_INSERT_HEAD(&order->list, job, link);
	if (at == order->n || order->marks[at].block != block)
		add_mark(order, at, block, job);
	else if (order->marks[at].newest->id < job->id)
		order->marks[at].newest = job;
}

void order_remove(struct order *order, struct job *job)
{
	size_t at = find_mark(order, job->id / ORDER_BLOCK);
	struct job *before = TAILQ_PREV(job, job_list, link);

	TAILQ_REMOVE(&order->list, job, link);
	if (at == order->n || order->marks[at].newest != job)
		return;
	if (before && before->id / ORDER_BLOCK == job->id / ORDER_BLOCK) {
		order->marks[at].newest = before;
		return;
	}
	order->n--;
	memmove(&order->marks[at], &order->marks[at + 1], (order->n - at) * sizeof(order->marks[0]));
}
