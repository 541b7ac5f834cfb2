/* Sets of task numbers. */
#include "ranges.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void ranges_fini(struct ranges *r)
{
	free(r->at);
	*r = (struct ranges)RANGES_INIT;
}

/* Index of the first range that ends after `task`: the one that holds it, or the next. */
static size_t ranges_search(const struct ranges *r, uint64_t task)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->at[mid].to <= task)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int ranges_insert(struct ranges *r, size_t i, uint64_t from, uint64_t to)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 4;
		struct range *at = reallocarray(r->at, cap, sizeof(*at));

		if (!at)
			return -ENOMEM;
		r->at = at;
		r->cap = cap;
	}
	memmove(r->at + i + 1, r->at + i, (r->n - i) * sizeof(*r->at));
	r->at[i] = (struct range){ from, to };
	r->n++;
	return 0;
}

static void ranges_delete(struct ranges *r, size_t i)
{
	r->n--;
	memmove(r->at + i, r->at + i + 1, (r->n - i) * sizeof(*r->at));
}

int ranges_add(struct ranges *r, uint64_t from, uint64_t count)
{
	uint64_t to = from + count;
	size_t i = ranges_search(r, from);
	bool joins_left = i > 0 && r->at[i - 1].to == from;
	bool joins_right = i < r->n && r->at[i].from == to;

	if (count == 0)
		return 0;
	assert(i == r->n || r->at[i].from >= to);
	if (joins_left && joins_right) {
		r->at[i - 1].to = r->at[i].to;
		ranges_delete(r, i);
	} else if (joins_left) {
		r->at[i - 1].to = to;
	} else if (joins_right) {
		r->at[i].from = from;
	} else if (ranges_insert(r, i, from, to) < 0) {
		return -ENOMEM;
	}
	r->count += count;
	return 0;
}

int ranges_remove(struct ranges *r, uint64_t from, uint64_t count)
{
	uint64_t to = from + count;
	size_t i = ranges_search(r, from);

	while (i < r->n && r->at[i].from < to) {
		struct range *at = &r->at[i];

		if (at->from < from && at->to > to) {
			uint64_t end = at->to;

			if (ranges_insert(r, i + 1, to, end) < 0)
				return -ENOMEM;
			r->at[i].to = from;
			r->count -= count;
			return 0;
		}
		if (at->from < from) {
			r->count -= at->to - from;
			at->to = from;
			i++;
		} else if (at->to > to) {
			r->count -= to - at->from;
			at->from = to;
		} else {
			r->count -= at->to - at->from;
			ranges_delete(r, i);
		}
	}
	return 0;
}

bool ranges_contain(const struct ranges *r, uint64_t task)
{
	size_t i = ranges_search(r, task);

	return i < r->n && r->at[i].from <= task;
}

uint64_t ranges_first(const struct ranges *r, uint64_t max, uint64_t *ret_from)
{
	uint64_t n;

	if (r->n == 0)
		return 0;
	n = r->at[0].to - r->at[0].from;
	*ret_from = r->at[0].from;
	return n < max ? n : max;
}

uint64_t ranges_first_from(const struct ranges *r, uint64_t from, uint64_t max, uint64_t *ret_from)
{
	size_t i = ranges_search(r, from);
	uint64_t n;

	if (i == r->n)
		return 0;
	if (r->at[i].from > from)
		from = r->at[i].from;
	n = r->at[i].to - from;
	*ret_from = from;
	return n < max ? n : max;
}

void ranges_drop_first(struct ranges *r, uint64_t count)
{
	assert(r->n > 0 && r->at[0].to - r->at[0].from >= count);
	r->at[0].from += count;
	r->count -= count;
	if (r->at[0].from == r->at[0].to)
		ranges_delete(r, 0);
}
