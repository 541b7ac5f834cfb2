/* Tasks that wait to be tried again, by the time they are due: a binary heap, an entry for each. */
#ifndef CONCD_JOBS_RETRIES_H
#define CONCD_JOBS_RETRIES_H

#include <stddef.h>
#include <stdint.h>

struct retry {
	int64_t due_ns; /* CLOCK_MONOTONIC */
	uint64_t task;
};

struct retries {
	struct retry *at; /* owned; n of cap; at[0] is due first, the rest in no order */
	size_t n, cap;
};

void retries_fini(struct retries *r);
int retries_push(struct retries *r, int64_t due_ns, uint64_t task); /* 0 or -ENOMEM */
/* Forget those of tasks [first, end). Their number. */
size_t retries_remove(struct retries *r, uint64_t first, uint64_t end);
struct retry retries_pop(struct retries *r); /* the first one; there is one */

/* How long a task waits before its nth retry (from 1 on): the job's back-off, doubled for each retry before, up to 64
 * times the first and up to RETRY_MAX_NS unless the first is longer; then up to half of it more, by `random`, so
 * that tasks that failed together do not come back together. Never less than retry_after_ns, which the plugin named (-1:
 * none). */
#define RETRY_MAX_NS (INT64_C(300) * 1000000000)
int64_t retry_delay_ns(int64_t backoff_ns, uint32_t nth, int64_t retry_after_ns, uint32_t random);

#endif
