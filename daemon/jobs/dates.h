/* Dates for which somebody waits: a binary heap that knows where each is, so that one may leave before it has come.
 * Which clock they are of, and what time it is now, the caller says. */
#ifndef CONCD_JOBS_DATES_H
#define CONCD_JOBS_DATES_H

#include <stddef.h>
#include <stdint.h>

/* The waiting one's memory. */
struct date {
	int64_t unix_us;
	uint32_t place; /* in the heap, from 1 on; 0: it is in none */
};

struct dates {
	struct date **at; /* owned, not what it points to; at[0] comes first, the rest in no order */
	size_t n, cap;
};

void dates_fini(struct dates *dates);
int dates_put(struct dates *dates, struct date *date, int64_t unix_us); /* in, or moved; 0 or -ENOMEM (only when new) */
void dates_remove(struct dates *dates, struct date *date); /* fine on one that is in no heap */
/* Take out the first one that has come at this time; NULL: none has. */
struct date *dates_take_due(struct dates *dates, int64_t now_unix_us);
int64_t dates_first(const struct dates *dates); /* when; 0: there are none */

#endif
