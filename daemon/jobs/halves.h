/* Tasks that are to run apart after a death, each group of them in a process of its own, until it is known which of them
 * ends its process. Of one job; only the bookkeeping, nothing here runs.
 *
 *	one suspect ────────────────────────────────────────> lone
 *	begun in deaths that name nobody ──> met ──split──> two groups
 *	                                      ^                 │ halves_next(): to be run
 *	                                      └── it dies ──────┤
 *	                                                        └── nothing dies: they have ended, and that clears them
 *
 * So one guilty task among n is alone after log2 n deaths, and k of them after at most k log2 n; each death costs two
 * processes.
 */
#ifndef CONCD_JOBS_HALVES_H
#define CONCD_JOBS_HALVES_H

#include <sys/queue.h>

#include "jobs/ranges.h"

struct half;
STAILQ_HEAD(half_list, half);

struct halves {
	struct ranges met; /* begun in the death that is being told */
	uint64_t death; /* which one */
	struct ranges lone; /* each is a group */
	struct half_list list; /* groups, in the order they came */
	uint64_t count; /* tasks in all */
};

void halves_init(struct halves *h);
void halves_fini(struct halves *h);
/* A group of its own. 0 or -ENOMEM, as the next. */
int halves_add_lone(struct halves *h, uint64_t task);
/* Begun in this death (a number that no other one has so soon), which names nobody. A death ends where the next one's first
 * task is told, or halves_split() says so. */
int halves_meet(struct halves *h, uint64_t death, uint64_t task);
/* The death has been told: its tasks are two groups now. 0; -ENOMEM: not yet, and halves_next() does not give them. */
int halves_split(struct halves *h);
/* Take the next group to be run, lone ones first: its tasks, the caller's now. Their number; 0: there is none; -ENOMEM. */
int64_t halves_next(struct halves *h, struct ranges *ret_tasks);
/* Take up to max consecutive ones of any, from *ret_from on. Their number; 0: there is none. */
uint64_t halves_take(struct halves *h, uint64_t max, uint64_t *ret_from);
/* Remove those from..from+count-1 that are there: how many were. No group's range may cross either end. */
uint64_t halves_remove(struct halves *h, uint64_t from, uint64_t count);
bool halves_contain(const struct halves *h, uint64_t task);
/* How many tasks the next so many groups have. */
uint64_t halves_next_count(const struct halves *h, uint32_t groups);

#endif
