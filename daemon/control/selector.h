/* Which jobs a request means: those it names, or those that fit what it says of them.
 *
 *	?all=1  ?workload=W  ?state=S,S  ?label=L  ?older_than_s=N      and in the body: 7 8 @last
 *
 * A selector's texts are its own: it outlives its request. The control thread's.
 */
#ifndef CONCD_CONTROL_SELECTOR_H
#define CONCD_CONTROL_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct job_view;
struct jobs_filter;
struct query;

#define SELECTOR_KEYS "all workload state label older_than_s" /* of a query */
#define SELECTOR_LAST 0 /* among named ids: the job that this user submitted last */

struct selector {
	uint64_t *named; /* in the order given */
	size_t n_named;
	bool all;
	unsigned int states; /* bit n: enum job_state n; 0: any */
	char *workload, *label; /* NULL: any */
	int64_t ended_before_unix_us; /* 0: any */
};

#define SELECTOR_INIT { .named = NULL }
void selector_fini(struct selector *selector);
/* Only what the query says (`state` also as a list with commas): for those who take no names. 0 or -errno with words. */
int selector_parse_query(const struct query *query, struct selector *selector, struct error *err);
/* The same, and the names in the body. Exactly one of names, filters and `all` is to be there: else bad-selector. */
int selector_parse(const struct query *query, const uint8_t *body, size_t len, struct selector *selector,
		   struct error *err);
/* Jobs ascending, each once. How many are left. */
size_t selector_sort(uint64_t *ids, size_t n);
/* Does a job fit what is said of it? Names are not looked at. */
bool selector_fits(const struct selector *selector, const struct job_view *view);
/* What of it jobs_list_ended() can look for, in *filter; NULL: nothing. It has the selector's texts. */
const struct jobs_filter *selector_filter(const struct selector *selector, struct jobs_filter *filter);

#endif
