/* The heap of tasks that wait, and how long they do. */
#include "jobs/retries.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define MAX_DOUBLINGS 6 /* 64 times the first */
#define RETRY_AFTER_MAX_NS (INT64_C(86400) * 1000000000) /* what a plugin may ask for: a day */

void retries_fini(struct retries *r)
{
	free(r->at);
	*r = (struct retries){ .at = NULL };
}

static bool before(const struct retry *a, const struct retry *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->task < b->task;
}

/* Put one into the place behind the first n, and from there where it belongs. */
static void insert(struct retries *r, const struct retry new)
{
	size_t i = r->n++;

	while (i > 0 && before(&new, &r->at[(i - 1) / 2])) {
		r->at[i] = r->at[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	r->at[i] = new;
}

int retries_push(struct retries *r, int64_t due_ns, uint64_t task)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 16;
		struct retry *at = reallocarray(r->at, cap, sizeof(*at));

		if (!at)
			return -ENOMEM;
		r->at = at;
		r->cap = cap;
	}
	insert(r, (struct retry){ .due_ns = due_ns, .task = task });
	return 0;
}

size_t retries_remove(struct retries *r, uint64_t first, uint64_t end)
{
	const size_t n = r->n;

	r->n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct retry retry = r->at[i];

		if (retry.task < first || retry.task >= end)
			insert(r, retry); /* into a place that was looked at before */
	}
	return n - r->n;
}

struct retry retries_pop(struct retries *r)
{
	const struct retry first = r->at[0], last = r->at[--r->n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->n) {
		if (child + 1 < r->n && before(&r->at[child + 1], &r->at[child]))
			child++;
		if (!before(&r->at[child], &last))
			break;
		r->at[i] = r->at[child];
		i = child;
	}
	r->at[i] = last;
	return first;
}

int64_t retry_delay_ns(int64_t backoff_ns, uint32_t nth, int64_t retry_after_ns, uint32_t random)
{
	const int64_t most = backoff_ns > RETRY_MAX_NS ? backoff_ns : RETRY_MAX_NS;
	int64_t delay = backoff_ns;

	for (uint32_t i = 1; i < nth && i <= MAX_DOUBLINGS && delay < most; i++)
		delay *= 2;
	if (delay > most)
		delay = most;
	delay += (int64_t)((double)delay / 2 * ((double)random / (double)UINT32_MAX));
	if (retry_after_ns > RETRY_AFTER_MAX_NS)
		retry_after_ns = RETRY_AFTER_MAX_NS;
	return delay > retry_after_ns ? delay : retry_after_ns;
}
