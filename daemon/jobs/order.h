/* The published jobs in the order of their numbers, with a place to look from among them: one that comes between others, and a
 * walk that goes on where it stopped, cost the same however many there are.
 *
 * Of every block of ORDER_BLOCK numbers in which there is a job, the newest is known (`marks`, ascending). Marks are a help only:
 * without memory for one, looking takes longer.
 */
#ifndef CONCD_JOBS_ORDER_H
#define CONCD_JOBS_ORDER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct job;

#define ORDER_BLOCK 256

TAILQ_HEAD(job_list, job);

struct order_mark {
	uint64_t block; /* number / ORDER_BLOCK */
	struct job *newest; /* of the block, as far as is known: one of it in any case */
};

struct order {
	struct job_list list; /* by number, ascending */
	struct order_mark *marks;
	size_t n, cap;
};

void order_init(struct order *order);
void order_fini(struct order *order); /* no job is left in it */
void order_add(struct order *order, struct job *job); /* its number is in no other */
void order_remove(struct order *order, struct job *job);
/* The newest with a number below this one (0: of all); NULL: there is none. */
struct job *order_newest_below(const struct order *order, uint64_t below);

#endif
