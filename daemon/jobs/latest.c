/* A heap of those that are left. */
#include "jobs/latest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

void latest_init(struct latest *latest, size_t max)
{
	*latest = (struct latest){ .max = max };
}

void latest_fini(struct latest *latest)
{
	free(latest->at);
	*latest = (struct latest){ .at = NULL };
}

static bool is_before(const struct latest_end *a, const struct latest_end *b)
{
	return a->unix_us < b->unix_us || (a->unix_us == b->unix_us && a->id < b->id);
}

static void move_up(struct latest *latest, size_t i, struct latest_end end)
{
	for (; i > 0 && is_before(&end, &latest->at[(i - 1) / 2]); i = (i - 1) / 2)
		latest->at[i] = latest->at[(i - 1) / 2];
	latest->at[i] = end;
}

static void replace_first(struct latest *latest, struct latest_end end)
{
	size_t i = 0, child;

	while ((child = 2 * i + 1) < latest->n) {
		if (child + 1 < latest->n && is_before(&latest->at[child + 1], &latest->at[child]))
			child++;
		if (!is_before(&latest->at[child], &end))
			break;
		latest->at[i] = latest->at[child];
		i = child;
	}
	latest->at[i] = end;
}

static int grow(struct latest *latest)
{
	size_t cap = latest->cap ? latest->cap * 2 : 64;
	struct latest_end *at = reallocarray(latest->at, cap, sizeof(*at));

	if (!at)
		return -ENOMEM;
	latest->at = at;
	latest->cap = cap;
	return 0;
}

int latest_add(struct latest *latest, int64_t ended_unix_us, uint64_t id, uint64_t *ret_id)
{
	struct latest_end end = { .unix_us = ended_unix_us, .id = id };

	if (latest->n < latest->max) {
		if (latest->n == latest->cap && grow(latest) < 0)
			return -ENOMEM;
		move_up(latest, latest->n++, end);
		return 0;
	}
	if (is_before(&end, &latest->at[0])) {
		*ret_id = id;
		return 1;
	}
	*ret_id = latest->at[0].id;
	replace_first(latest, end);
	return 1;
}
