/* Who comes next among those that wait: higher priority first, and among equals who has waited longest.
 *
 * Waiting raises priority: a point of it outweighs PRIORITY_AGE_NS of waiting, no more. So whoever is D points below
 * the others is served at least every D x PRIORITY_AGE_NS, however many of those keep coming.
 *
 *	served first: the least  since_ns - priority * PRIORITY_AGE_NS
 *
 * A binary heap of entries that are members of what waits, so each can leave from the middle.
 */
#ifndef CONCD_JOBS_TURNS_H
#define CONCD_JOBS_TURNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/protocol.h"

#define PRIORITY_COUNT (PROTOCOL_MAX_PRIORITY - PROTOCOL_MIN_PRIORITY + 1)
#define PRIORITY_AGE_NS INT64_C(1000000000)

struct turn {
	int64_t since_ns; /* CLOCK_MONOTONIC: it was served last, or it came; changed only while it is in no heap */
	uint64_t id; /* decides between those who came together: the lower one is first */
	uint32_t at; /* its place in the heap, from 1 on; 0: it is in none */
	int32_t priority; /* changed only while it is in no heap */
};

struct turns {
	struct turn **heap; /* owned; n of cap */
	size_t n, cap;
	uint32_t n_by_priority[PRIORITY_COUNT];
};

void turns_fini(struct turns *turns); /* entries are the caller's */
int turns_reserve(struct turns *turns, size_t n); /* so many adds, in all, do not fail; 0 or -ENOMEM */
void turns_add(struct turns *turns, struct turn *turn); /* there is room: turns_reserve() */
void turns_remove(struct turns *turns, struct turn *turn);
struct turn *turns_first(const struct turns *turns); /* NULL: nobody waits */
/* It was served at now_ns, and stays for its next turn. */
void turns_served(struct turns *turns, struct turn *turn, int64_t now_ns);
int32_t turn_priority(int32_t recorded); /* within what there is: a damaged row may say anything */
bool turn_before(const struct turn *a, const struct turn *b); /* which of two is first */
uint32_t turns_above(const struct turns *turns, int32_t priority); /* how many have a higher priority */

#endif
