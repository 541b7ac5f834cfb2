/* A set of numbers as sorted, disjoint ranges: which tasks of a job were passed on already, of which jobs something was said. Both
 * come nearly in order, so there are few. */
#ifndef CONCD_CTL_SEEN_H
#define CONCD_CTL_SEEN_H

#include <stddef.h>
#include <stdint.h>

struct buffer;

struct seen {
	struct seen_range {
		uint64_t first, last;
	} *at; /* owned; n of cap */
	size_t n, cap;
};

void seen_fini(struct seen *seen); /* zeroed memory is an empty set */
int seen_add(struct seen *seen, uint64_t first, uint64_t last); /* 0 or -ENOMEM */
/* The first range that ends at `number` or later, until the set is changed; NULL: there is none. */
const struct seen_range *seen_from(const struct seen *seen, uint64_t number);
/* Add what a text names, such as "0-63,70". 0; -EPROTO: it is no such text; -ENOMEM. */
int seen_add_text(struct seen *seen, const char *text);
/* The same text of the whole set behind what b has. 0 or -ENOMEM. */
int seen_format(const struct seen *seen, struct buffer *b);

#endif
