/* How the stacks of a crew are guarded, for people: said where the kernel gave its processes fewer guards than stacks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "crew_private.h"
#include "workload.h"

void crew_stacks_unguarded(struct crew *crew, uint64_t stacks)
{
	uint64_t all = (uint64_t)crew->shape.threads * crew->shape.coroutines;
	char *note = NULL;

	if (stacks == crew->unguarded_stacks)
		return;
	if (stacks > 0 && asprintf(&note, "%" PRIu64 " of the %" PRIu64 " stacks of a worker process have no guard page, only a canary "
				   "that is checked at each switch: raise vm.max_map_count (sysctl), or use Linux 6.13 or later",
				   stacks, all) < 0)
		return; /* no memory: the next process says it again */
	free(crew->stack_note);
	crew->stack_note = note;
	crew->unguarded_stacks = stacks;
	if (note)
		log_warning("crew: '%s': %s", crew->workload->name, note);
}

const char *crew_seat_stack_note(const struct crew_seat *seat)
{
	return seat->crew->stack_note ? seat->crew->stack_note : "";
}
