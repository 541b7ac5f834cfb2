/* A set of task numbers as sorted, disjoint ranges: a million fresh tasks cost one entry. */
#ifndef CONCD_JOBS_RANGES_H
#define CONCD_JOBS_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
	uint64_t from, to; /* from <= task < to */
};

struct ranges {
	struct range *at; /* owned; n of cap */
	size_t n, cap;
	uint64_t count; /* tasks in all */
};

#define RANGES_INIT { .at = NULL, .n = 0, .cap = 0, .count = 0 }

void ranges_fini(struct ranges *r);
/* Add tasks that are not in the set. 0 or -ENOMEM. */
int ranges_add(struct ranges *r, uint64_t from, uint64_t count);
/* Remove tasks; those not in the set do not matter. 0 or -ENOMEM (a range split in two), and then unchanged. */
int ranges_remove(struct ranges *r, uint64_t from, uint64_t count);
bool ranges_contain(const struct ranges *r, uint64_t task);
/* The first tasks: up to max consecutive ones from *ret_from. Their number; 0: the set is empty. */
uint64_t ranges_first(const struct ranges *r, uint64_t max, uint64_t *ret_from);
/* The same of those from `from` on. */
uint64_t ranges_first_from(const struct ranges *r, uint64_t from, uint64_t max, uint64_t *ret_from);
/* Remove the first `count` tasks, which lie in the first range. Never fails. */
void ranges_drop_first(struct ranges *r, uint64_t count);

#endif
