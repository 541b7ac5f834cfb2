/* How long a service stays down after it failed. */
#include "jobs/service_delay.h"

#include "jobs/retries.h"

uint32_t service_failures(uint32_t before, int64_t ran_ns)
{
	if (ran_ns >= SERVICE_STEADY_NS)
		return 1;
	return before < UINT32_MAX ? before + 1 : before;
}

int64_t service_delay_ns(int64_t backoff_ns, uint32_t nth, int64_t retry_after_ns, uint32_t random)
{
	int64_t first = backoff_ns > SERVICE_BACKOFF_MIN_NS ? backoff_ns : SERVICE_BACKOFF_MIN_NS;

	/* retry_delay_ns() stops doubling by itself: the largest count is its limit. */
	return retry_delay_ns(first, nth > SERVICE_QUICK_FAILURES ? UINT32_MAX : nth, retry_after_ns, random);
}
