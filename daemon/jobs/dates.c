/* The heap of dates. */
#include "jobs/dates.h"

#include <errno.h>
#include <stdlib.h>

void dates_fini(struct dates *dates)
{
	free(dates->at);
	*dates = (struct dates){ .at = NULL };
}

static void set(struct dates *dates, size_t i, struct date *date)
{
	dates->at[i] = date;
	date->place = (uint32_t)(i + 1);
}

/* Move what is at i to where it belongs. */
static void settle(struct dates *dates, size_t i)
{
	struct date *date = dates->at[i];
	size_t child;

	while (i > 0 && date->unix_us < dates->at[(i - 1) / 2]->unix_us) {
		set(dates, i, dates->at[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	while ((child = 2 * i + 1) < dates->n) {
		if (child + 1 < dates->n && dates->at[child + 1]->unix_us < dates->at[child]->unix_us)
			child++;
		if (dates->at[child]->unix_us >= date->unix_us)
			break;
		set(dates, i, dates->at[child]);
		i = child;
	}
	set(dates, i, date);
}

int dates_put(struct dates *dates, struct date *date, int64_t unix_us)
{
	if (date->place == 0 && dates->n == dates->cap) {
		size_t cap = dates->cap ? dates->cap * 2 : 16;
		struct date **at = cap < UINT32_MAX ? reallocarray(dates->at, cap, sizeof(struct date *)) : NULL;

		if (!at)
			return -ENOMEM;
		dates->at = at;
		dates->cap = cap;
	}
	date->unix_us = unix_us;
	if (date->place == 0)
		set(dates, dates->n++, date);
	settle(dates, date->place - 1);
	return 0;
}

void dates_remove(struct dates *dates, struct date *date)
{
	size_t i = date->place;

	if (i == 0)
		return;
	date->place = 0;
	dates->n--;
	if (i - 1 == dates->n)
		return;
	set(dates, i - 1, dates->at[dates->n]);
	settle(dates, i - 1);
}

struct date *dates_take_due(struct dates *dates, int64_t now_unix_us)
{
	struct date *first = dates->n > 0 ? dates->at[0] : NULL;

	if (!first || first->unix_us > now_unix_us)
		return NULL;
	dates_remove(dates, first);
	return first;
}

int64_t dates_first(const struct dates *dates)
{
	return dates->n > 0 ? dates->at[0]->unix_us : 0;
}
