/* Time limits of waits: a binary heap of (time, slot), one a runner.
 *
 * A wait that ends early leaves its entry behind; the owner tells stale entries by the number that each carries
 * (timers_pop gives it back), so the heap needs no way to find an entry, and its moves touch nothing but the heap. When
 * most entries are stale they are swept out. Belongs to the runner's thread.
 */
#ifndef CONCD_WORKER_TIMERS_H
#define CONCD_WORKER_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
	int64_t at_ns; /* CLOCK_MONOTONIC */
	uint32_t slot;
	uint32_t number; /* of the wait in its slot */
};

struct timers {
	struct timer *heap; /* owned */
	size_t n, cap;
	size_t sweep_at; /* sweep when n reaches it */
	bool (*is_live)(const void *ctx, const struct timer *timer);
	const void *ctx;
};

void timers_init(struct timers *timers, bool (*is_live)(const void *ctx, const struct timer *timer), const void *ctx);
void timers_fini(struct timers *timers);
int timers_add(struct timers *timers, const struct timer *timer); /* 0 or -ENOMEM */
/* Take the next live timer that is due at now_ns. false: none is. */
bool timers_pop(struct timers *timers, int64_t now_ns, struct timer *ret_timer);
/* When the next live timer is due; INT64_MAX: there is none. */
int64_t timers_next_ns(struct timers *timers);

#endif
