/* Groups of suspects, halved. */
#include "halves.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"

struct half {
	struct ranges tasks;
	STAILQ_ENTRY(half) link;
};

void halves_init(struct halves *h)
{
	*h = (struct halves){ .met = RANGES_INIT };
	STAILQ_INIT(&h->list);
}

static void drop_first(struct halves *h)
{
	struct half *half = STAILQ_FIRST(&h->list);

	STAILQ_REMOVE_HEAD(&h->list, link);
	ranges_fini(&half->tasks);
	free(half);
}

void halves_fini(struct halves *h)
{
	ranges_fini(&h->met);
	ranges_fini(&h->lone);
	while (!STAILQ_EMPTY(&h->list))
		drop_first(h);
	h->count = 0;
}

int halves_add_lone(struct halves *h, uint64_t task)
{
	int r = ranges_add(&h->lone, task, 1);

	h->count += r == 0;
	return r;
}

int halves_meet(struct halves *h, uint64_t death, uint64_t task)
{
	int r;

	if (h->met.count > 0 && h->death != death)
		(void)halves_split(h); /* without memory the two deaths are one set: found later, but found */
	h->death = death;
	r = ranges_add(&h->met, task, 1);
	h->count += r == 0;
	return r;
}

/* Move the lower half of `from` to `lower`, which has room for as many ranges. */
static void move_half(struct ranges *from, struct ranges *lower)
{
	uint64_t left = from->count / 2, first, n;

	while (left > 0 && (n = ranges_first(from, left, &first)) > 0) {
		(void)ranges_add(lower, first, n); /* has room: see above */
		ranges_drop_first(from, n);
		left -= n;
	}
}

int halves_split(struct halves *h)
{
	_cleanup_free_ struct half *lower = NULL, *upper = NULL;

	if (h->met.count == 0)
		return 0;
	lower = calloc(1, sizeof(*lower));
	upper = calloc(1, sizeof(*upper));
	if (lower)
		lower->tasks.at = reallocarray(NULL, h->met.n, sizeof(*lower->tasks.at));
	if (!upper || !lower || !lower->tasks.at) {
		if (lower)
			ranges_fini(&lower->tasks);
		return -ENOMEM;
	}
	lower->tasks.cap = h->met.n;
	move_half(&h->met, &lower->tasks);
	upper->tasks = h->met;
	h->met = (struct ranges)RANGES_INIT;
	if (lower->tasks.count > 0) {
		STAILQ_INSERT_TAIL(&h->list, lower, link);
		(void)take_ptr(lower); /* the list's now */
	} else {
		ranges_fini(&lower->tasks); /* of one task there is no half */
	}
	STAILQ_INSERT_TAIL(&h->list, upper, link);
	(void)take_ptr(upper);
	return 0;
}

int64_t halves_next(struct halves *h, struct ranges *ret_tasks)
{
	struct half *half = STAILQ_FIRST(&h->list);
	struct ranges tasks = RANGES_INIT;
	uint64_t task;

	if (ranges_first(&h->lone, 1, &task) > 0) {
		int r = ranges_add(&tasks, task, 1);

		if (r < 0)
			return r;
		ranges_drop_first(&h->lone, 1);
	} else if (half) {
		tasks = half->tasks;
		half->tasks = (struct ranges)RANGES_INIT;
		drop_first(h);
	} else {
		return 0;
	}
	h->count -= tasks.count;
	*ret_tasks = tasks;
	return (int64_t)tasks.count;
}

uint64_t halves_take(struct halves *h, uint64_t max, uint64_t *ret_from)
{
	struct half *half = STAILQ_FIRST(&h->list);
	struct ranges *set = h->lone.count > 0 ? &h->lone : h->met.count > 0 ? &h->met : half ? &half->tasks : NULL;
	uint64_t n = set ? ranges_first(set, max, ret_from) : 0;

	if (n == 0)
		return 0;
	ranges_drop_first(set, n);
	h->count -= n;
	if (half && half->tasks.count == 0)
		drop_first(h);
	return n;
}

static uint64_t remove_from(struct ranges *set, uint64_t from, uint64_t count)
{
	uint64_t before = set->count;

	(void)ranges_remove(set, from, count); /* no range crosses an end: none is split */
	return before - set->count;
}

uint64_t halves_remove(struct halves *h, uint64_t from, uint64_t count)
{
	uint64_t n = remove_from(&h->lone, from, count) + remove_from(&h->met, from, count);
	struct half *half, *next;

	for (half = STAILQ_FIRST(&h->list); half; half = next) {
		next = STAILQ_NEXT(half, link);
		n += remove_from(&half->tasks, from, count);
		if (half->tasks.count > 0)
			continue;
		STAILQ_REMOVE(&h->list, half, half, link);
		ranges_fini(&half->tasks);
		free(half);
	}
	h->count -= n;
	return n;
}

bool halves_contain(const struct halves *h, uint64_t task)
{
	const struct half *half;

	if (ranges_contain(&h->lone, task) || ranges_contain(&h->met, task))
		return true;
	STAILQ_FOREACH(half, &h->list, link) {
		if (ranges_contain(&half->tasks, task))
			return true;
	}
	return false;
}

uint64_t halves_next_count(const struct halves *h, uint32_t groups)
{
	uint64_t n = h->lone.count < groups ? h->lone.count : groups;
	uint32_t left = groups - (uint32_t)n;
	const struct half *half;

	STAILQ_FOREACH(half, &h->list, link) {
		if (left == 0)
			return n;
		left--;
		n += half->tasks.count;
	}
	return left > 0 ? n + h->met.count : n; /* about to be groups */
}
