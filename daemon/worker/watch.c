/* The host thread's eye on the tasks of a runner: whose time is up is told, whose grace is over is reported. */
#include <limits.h>

#include "crew/wire.h"
#include "worker/runner_private.h"

/* When to look at this slot again. *ret_told: its task has been told that its time is up. */
static int64_t watch_slot(struct runner *runner, struct slot *slot, int64_t now_ns, bool *ret_told,
			  void (*on_overdue)(void *arg, const struct runner_overdue *overdue), void *arg)
{
	/* acquire, all of them: see limit_begin(); the last load then finds limit_ns changed if anything else was */
	int64_t limit_ns = atomic_load_explicit(&slot->limit_ns, memory_order_acquire);
	uint64_t chunk = atomic_load_explicit(&slot->chunk_generation, memory_order_acquire);
	uint32_t index = atomic_load_explicit(&slot->chunk_index, memory_order_acquire);
	int64_t overdue_ns = atomic_load_explicit(&slot->overdue_ns, memory_order_acquire);
	int64_t begin_ns = atomic_load_explicit(&slot->begin_ns, memory_order_acquire);
	int64_t limit_at_ns = limit_ns; /* limit_ns stays its name */
	struct runner_overdue overdue = { .begin_ns = begin_ns, .runner = runner->options.number, .chunk = (uint32_t)(chunk >> 32),
					  .generation = (uint32_t)chunk, .index = index };

	if (limit_ns == 0 || slot->reported_limit_ns == limit_ns)
		return INT64_MAX;
	if (atomic_load_explicit(&slot->limit_ns, memory_order_relaxed) != limit_ns)
		return now_ns; /* the slot just changed hands */
	/* relaxed: only this thread writes it */
	if (atomic_load_explicit(&slot->over_limit_ns, memory_order_relaxed) == limit_ns && slot->over_ns < limit_at_ns) {
		overdue_ns = slot->over_ns + (overdue_ns - limit_ns);
		limit_at_ns = slot->over_ns;
		overdue.by_cpu = true;
	}
	if (now_ns < limit_at_ns)
		return limit_at_ns;
	if (atomic_load_explicit(&slot->told_limit_ns, memory_order_relaxed) != limit_ns) { /* only we write it */
		atomic_store_explicit(&slot->told_limit_ns, limit_ns, memory_order_relaxed); /* see struct slot */
		*ret_told = true;
	}
	if (now_ns < overdue_ns) {
		int64_t late_ns = limit_at_ns + wire_late_ns(overdue_ns - limit_at_ns);

		if (slot->late_limit_ns == limit_ns)
			return overdue_ns;
		if (now_ns < late_ns)
			return late_ns;
		slot->late_limit_ns = limit_ns;
		overdue.late = true;
		on_overdue(arg, &overdue);
		return overdue_ns;
	}
	slot->reported_limit_ns = limit_ns;
	on_overdue(arg, &overdue);
	return INT64_MAX;
}

int64_t runner_watch(struct runner *runner, int64_t now_ns,
		     void (*on_overdue)(void *arg, const struct runner_overdue *overdue), void *arg)
{
	/* acquire: slots below it are prepared */
	uint32_t used = atomic_load_explicit(&runner->n_used_slots, memory_order_acquire);
	int64_t next_ns = INT64_MAX;
	bool told = false;

	for (uint32_t i = 0; i < used; i++) {
		int64_t at_ns = watch_slot(runner, &runner->slots[i], now_ns, &told, on_overdue, arg);

		if (at_ns < next_ns)
			next_ns = at_ns;
	}
	if (told)
		runner_look(runner);
	return next_ns;
}
