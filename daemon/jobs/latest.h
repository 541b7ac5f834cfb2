/* The so many that ended last, of those that are told one by one, in any order. */
#ifndef CONCD_JOBS_LATEST_H
#define CONCD_JOBS_LATEST_H

#include <stddef.h>
#include <stdint.h>

struct latest_end {
	int64_t unix_us;
	uint64_t id;
};

struct latest {
	struct latest_end *at; /* a binary heap, the earliest end first; owned */
	size_t n, cap, max; /* max: the number */
};

void latest_init(struct latest *latest, size_t max); /* not 0 */
void latest_fini(struct latest *latest);
/* One more, each once. 1: *ret_id is none of them for certain: this one, or one that was told before, is passed over for good;
 * 0: it may be one of them; -ENOMEM. Of those that ended at the same time the one with the higher number counts as later. */
int latest_add(struct latest *latest, int64_t ended_unix_us, uint64_t id, uint64_t *ret_id);

#endif
