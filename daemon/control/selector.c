/* Reading selectors, and whether a job fits one. */
#include "control/selector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "control/server.h"
#include "jobs/jobs.h"

#define SEPARATORS " \t\r\n,"
#define MAX_AGE_S 1e10
#define NUMBER_BYTES 24 /* a 64-bit number, and some more to see that it is none */

void selector_fini(struct selector *selector)
{
	free(selector->named);
	free(selector->workload);
	free(selector->label);
	*selector = (struct selector)SELECTOR_INIT;
}

static int parse_state(const char *text, size_t len, unsigned int *states, struct error *err)
{
	for (unsigned int state = JOB_OPEN; state <= JOB_CANCELLED; state++) {
		const char *name = job_state_name((enum job_state)state);

		if (strlen(name) == len && memcmp(name, text, len) == 0) {
			*states |= 1u << state;
			return 0;
		}
	}
	return error_set(err, -EINVAL, "bad-request",
			 "'%.*s' is no state of a job: open, queued, running, paused, done, failed and cancelled are",
			 len < 40 ? (int)len : 40, text);
}

static int parse_states(const char *text, unsigned int *states, struct error *err)
{
	for (;;) {
		size_t len = strcspn(text, ",");
		int r = parse_state(text, len, states, err);

		if (r < 0 || !text[len])
			return r;
		text += len + 1;
	}
}

static int copy_text(const char *text, char **ret_copy)
{
	*ret_copy = text ? strdup(text) : NULL;
	return text && !*ret_copy ? -ENOMEM : 0;
}

int selector_parse_query(const struct query *query, struct selector *selector, struct error *err)
{
	const char *states = query_get(query, "state"), *age = query_get(query, "older_than_s");
	double age_s = 0;
	int r = query_get_bool(query, "all", &selector->all, err);

	if (r == 0 && states)
		r = parse_states(states, &selector->states, err);
	if (r == 0 && age && (text_parse_double(age, &age_s) < 0 || age_s < 0 || age_s > MAX_AGE_S))
		return error_set(err, -EINVAL, "bad-request",
				 "query: older_than_s: '%.40s' is not a number of seconds from 0 on", age);
	if (r == 0)
		r = copy_text(query_get(query, "workload"), &selector->workload);
	if (r == 0)
		r = copy_text(query_get(query, "label"), &selector->label);
	if (r == 0 && age)
		/* Of no age at all: also what ended while the clock was ahead. */
		selector->ended_before_unix_us = age_s > 0 ? clock_unix_us() - (int64_t)(age_s * 1e6) : INT64_MAX;
	return r;
}

/* The words of the body: numbers and @last. */
static int parse_names(const uint8_t *body, size_t len, struct selector *selector, struct error *err)
{
	const char *at = (const char *)body, *end = at + len;
	size_t cap = 0;

	while (at < end) {
		char word[NUMBER_BYTES];
		size_t n = 0;
		uint64_t id = SELECTOR_LAST;

		while (at + n < end && !(at[n] && strchr(SEPARATORS, at[n])))
			n++;
		if (n == 0) {
			at++;
			continue;
		}
		(void)snprintf(word, sizeof(word), "%.*s", n < sizeof(word) ? (int)n : NUMBER_BYTES - 1, at);
		if (strcmp(word, "@last") != 0 && (n >= sizeof(word) || text_parse_u64(word, &id) < 0 || id == 0))
			return error_set(err, -EINVAL, "bad-selector", "'%s' is no job: jobs have numbers, or are @last", word);
		if (selector->n_named == cap) {
			uint64_t *more = reallocarray(selector->named, cap = cap ? 2 * cap : 8, sizeof(*more));

			if (!more)
				return -ENOMEM;
			selector->named = more;
		}
		selector->named[selector->n_named++] = id;
		at += n;
	}
	return 0;
}

int selector_parse(const struct query *query, const uint8_t *body, size_t len, struct selector *selector,
		   struct error *err)
{
	bool filters;
	int r = selector_parse_query(query, selector, err);

	if (r == 0)
		r = parse_names(body, len, selector, err);
	if (r < 0)
		return r;
	filters = selector->states || selector->workload || selector->label;
	if (selector->n_named > 0 && (filters || selector->all || selector->ended_before_unix_us > 0))
		return error_set(err, -EINVAL, "bad-selector",
				 "jobs are named and described at once: name them, or use workload, state, label or all");
	if (selector->all && filters)
		return error_set(err, -EINVAL, "bad-selector",
				 "all, and only some of them: leave out 'all', or workload, state and label");
	if (selector->n_named == 0 && !filters && !selector->all)
		return error_set(err, -EINVAL, "bad-selector",
				 "nothing is selected: name jobs, or use workload, state, label or all");
	return 0;
}

bool selector_fits(const struct selector *selector, const struct job_view *view)
{
	if (selector->states && !(selector->states & 1u << view->state))
		return false;
	if (selector->label && strcmp(selector->label, view->label ? view->label : "") != 0)
		return false;
	if (selector->ended_before_unix_us > 0 &&
	    (view->ended_unix_us == 0 || view->ended_unix_us > selector->ended_before_unix_us))
		return false;
	return !selector->workload || strcmp(selector->workload, view->workload) == 0;
}

const struct jobs_filter *selector_filter(const struct selector *selector, struct jobs_filter *filter)
{
	*filter = (struct jobs_filter){ .states = selector->states, .workload = selector->workload };
	return filter->states || filter->workload ? filter : NULL;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Where the numbers from `from` on no longer rise, or fall; then they rise. */
static size_t straighten(uint64_t *ids, size_t from, size_t n)
{
	size_t end = from + 1;
	bool falls = end < n && ids[end] < ids[from];

	while (end < n && (ids[end] < ids[end - 1]) == falls)
		end++;
	for (size_t low = from, high = end; falls && low + 1 < high; low++) {
		uint64_t id = ids[low];

		ids[low] = ids[--high];
		ids[high] = id;
	}
	return end;
}

/* Two rising parts, the second from `at` on. false: out of memory. */
static bool merge(uint64_t *ids, size_t at, size_t n)
{
	_cleanup_free_ uint64_t *first = calloc(at, sizeof(*ids));
	size_t i = 0, k = at;

	if (!first)
		return false;
	memcpy(first, ids, at * sizeof(*ids));
	for (size_t to = 0; i < at; to++)
		ids[to] = k < n && ids[k] < first[i] ? ids[k++] : first[i++];
	return true;
}

size_t selector_sort(uint64_t *ids, size_t n)
{
	size_t left = 0, end = n > 0 ? straighten(ids, 0, n) : 0;

	/* Looks at what is live, and at rows, give each a part in order: a million of them need not be sorted in one go. */
	if (end < n && (straighten(ids, end, n) < n || !merge(ids, end, n)))
		qsort(ids, n, sizeof(*ids), by_id);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || ids[i] != ids[left - 1])
			ids[left++] = ids[i];
	return left;
}
