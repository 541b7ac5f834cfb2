/* How many log lines pass. */
#include "log_gate.h"

#include <unistd.h>

#include "base/clock.h"

void log_gate_drop(struct log_gate *gate)
{
	const uint64_t one = 1;

	if (atomic_fetch_add_explicit(&gate->dropped, 1, memory_order_relaxed) == 0 && gate->wake_fd >= 0)
		(void)!write(gate->wake_fd, &one, sizeof(one)); /* full only if a wake-up is pending anyway */
}

bool log_gate_pass(struct log_gate *gate, int64_t now_ns)
{
	uint64_t second = (uint64_t)(now_ns / NS_PER_S) & UINT32_MAX;
	uint64_t window = atomic_load_explicit(&gate->window, memory_order_relaxed), next;

	do {
		next = window >> 32 == second ? window + 1 : (second << 32) + 1;
		if ((next & UINT32_MAX) > LOG_GATE_LINES_PER_S) {
			log_gate_drop(gate);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(&gate->window, &window, next, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

uint64_t log_gate_take_dropped(struct log_gate *gate)
{
	return atomic_exchange_explicit(&gate->dropped, 0, memory_order_relaxed);
}
