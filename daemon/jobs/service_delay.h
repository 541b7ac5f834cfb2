/* How long a service stays down after it failed. Pure arithmetic: no clock, no state. */
#ifndef CONCD_JOBS_SERVICE_DELAY_H
#define CONCD_JOBS_SERVICE_DELAY_H

#include <stdint.h>

/* A run that lasted this long proves the service well: a failure after it is the first again. */
#define SERVICE_STEADY_NS (INT64_C(60) * 1000000000)
/* So many failures in a row, each sooner than that, are borne with growing delays; from the next one on the service is
 * failing, and waits as long as it ever does. */
#define SERVICE_QUICK_FAILURES 5
#define SERVICE_BACKOFF_MIN_NS (INT64_C(100) * 1000000) /* whatever `backoff` says: no loop without a pause */

/* How many failures in a row there are with one more, which came ran_ns after the start; `before`: without it. */
uint32_t service_failures(uint32_t before, int64_t ran_ns);

/* The wait after the nth failure in a row (from 1 on): backoff_ns doubled for each one before, and from the
 * (SERVICE_QUICK_FAILURES + 1)th on at the limit that retries have (64 times the first, at most 300 s unless the first is
 * longer); then up to half of it more, by `random`. Never less than retry_after_ns, which the plugin named (-1: none). */
int64_t service_delay_ns(int64_t backoff_ns, uint32_t nth, int64_t retry_after_ns, uint32_t random);

#endif
