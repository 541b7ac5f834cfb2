/* Holding a process: between the moment a task does not come back after its cancel or its time limit and its kill at the
 * end of grace, its process takes no new task, so that the neighbours that it has begun can end within that grace and no
 * further ones are lost with it. If the task comes back after all, the process goes on.
 *
 *	told ──(most come back)── WIRE_LATE, cancel timer ──> held ── came back ──> RESUME
 *	                                                       └───── end of grace ──> killed, replaced
 */
#include <event2/event.h>

#include "base/log.h"
#include "crew/crew_private.h"
#include "crew/wire.h"
#include "crew/workload.h"

#define LOOK_MS 5

static void arm(struct crew *crew)
{
	static const struct timeval look = { .tv_sec = 0, .tv_usec = LOOK_MS * 1000 };

	if (!crew->hold_armed)
		crew->hold_armed = event_add(crew->hold_timer, &look) == 0; /* else the kill frees the process */
}

bool proc_hold(struct proc *proc)
{
	struct crew *crew = proc->crew;

	if (proc->held || proc->draining || proc->killed || crew->broken)
		return false;
	log_debug("crew: worker process %d of '%s' takes no task while one of its own is late", (int)proc->pid,
		  crew->workload->name);
	proc->held = true;
	proc_drain(proc);
	proc_take_back(proc);
	arm(crew);
	return true;
}

/* Tasks of the chunk that may bring their process a kill. */
static uint64_t waited_for(const struct flight *f, const struct ring_chunk_state *state)
{
	uint64_t begun = seat_begun_bits(state);

	return f->seat->cancel == CANCEL_TOLD ? begun : begun & f->late;
}

static bool is_waited_for(const struct proc *proc)
{
	const struct crew *crew = proc->crew;
	int32_t first = (int32_t)crew_first_runner(proc), end = first + (int32_t)crew->shape.threads;

	for (const struct crew_seat *seat = crew->stirring; seat; seat = seat->stir_next) {
		for (const struct flight *f = seat->flights; f; f = f->next) {
			struct ring_chunk_state state;

			if (ring_chunk_state(crew->ring, f->chunk, &state) < 0 || state.runner < first ||
			    state.runner >= end)
				continue;
			if (waited_for(f, &state))
				return true;
		}
	}
	return false;
}

static void look_at(struct proc *proc)
{
	if (!proc->held || proc->killed || proc->stopping)
		return;
	if (is_waited_for(proc)) {
		proc_take_back(proc); /* what it claimed before it knew */
		arm(proc->crew);
		return;
	}
	proc->held = false;
	proc_resume(proc);
}

void on_crew_hold(evutil_socket_t fd, short what, void *arg)
{
	struct crew *crew = arg;
	uint32_t unclaimed;

	(void)fd; /* a timer has none */
	(void)what;
	crew_enter(crew);
	crew->hold_armed = false;
	for (uint32_t i = 0; i < crew->shape.processes && crew->ring && !crew->broken; i++) {
		if (crew->procs[i])
			look_at(crew->procs[i]);
	}
	/* A wake-up may have gone to a runner that was just told to take nothing. */
	unclaimed = crew->ring && !crew->broken ? ring_unclaimed_chunks(crew->ring) : 0;
	if (unclaimed > 0)
		ring_wake(crew->ring, unclaimed);
	crew_feed(crew);
	crew_settle(crew);
	crew_exit(crew);
}
