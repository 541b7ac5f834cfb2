/* Room for a process where limits.max_processes is reached: one of a crew that has nothing to do ends, one at a time. Its own
 * crew starts another when tasks come. */
#include <event2/event.h>

#include "base/log.h"
#include "crew/crew_private.h"
#include "crew/workload.h"

static const struct timeval stop_grace = { .tv_sec = 5 }; /* for its worker_exit */

static bool has_begun(const struct proc *proc)
{
	const struct crew *crew = proc->crew;

	for (const struct crew_seat *seat = crew->stirring; seat; seat = seat->stir_next) {
		for (const struct flight *f = seat->flights; f; f = f->next) {
			struct ring_chunk_state state;

			if (ring_chunk_state(crew->ring, f->chunk, &state) == 0 && state.runner >= 0 &&
			    crew->runners[state.runner].proc == proc && seat_begun_bits(&state))
				return true;
		}
	}
	return false;
}

static void arm(struct proc *proc)
{
	(void)event_add(proc->init_timer, &stop_grace); /* not waited for otherwise; it was armed before: no memory is needed */
}

void crews_make_room(struct crews *crews)
{
	struct proc *idle = NULL;

	for (struct crew *crew = crews->list; crew; crew = crew->next) {
		for (uint32_t i = 0; i < crew->shape.processes; i++) {
			struct proc *proc = crew->procs[i];

			if (proc && (proc->killed || (proc->stopping && !has_begun(proc))))
				return; /* one is on its way out */
			if (proc && !proc->stopping && crew->out == 0 && !crew->broken && proc_is_ready(proc))
				idle = proc;
		}
	}
	if (!idle)
		return;
	proc_stop(idle);
	arm(idle);
}

void proc_room_is_due(struct proc *proc)
{
	if (has_begun(proc)) { /* a task, before it read that it is to end: when that has ended */
		arm(proc);
		return;
	}
	log_warning("crew: worker process %d of '%s' was told to end and did not: killed", (int)proc->pid,
		    proc->crew->workload->name);
	proc_kill(proc, ORDER_STOP);
}
