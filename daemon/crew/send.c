/* Messages to tasks: sent to the process that runs the task, answered by its host thread. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "crew/crew_private.h"
#include "crew/wire.h"

struct sending {
	struct sending *next;
	uint64_t number;
	crew_sent_fn on_sent; /* NULL: it was told already */
	void *arg;
};

/* The process that runs the task now. 0, -ENOENT, -EAGAIN, -ESRCH, -EHOSTDOWN. */
static int find_process(const struct crew_seat *seat, uint64_t task, struct proc **ret_proc)
{
	const struct crew *crew = seat->crew;
	const struct flight *f = seat->flights;
	struct ring_chunk_state state;
	struct proc *proc;
	uint64_t index;

	while (f && (task < f->first || task - f->first >= f->count))
		f = f->next;
	if (!f || !crew->ring || crew->broken || ring_chunk_state(crew->ring, f->chunk, &state) < 0)
		return -ENOENT;
	index = task - f->first;
	if (index < 64 && (state.done >> index & 1))
		return -ENOENT;
	if (state.runner < 0 || index >= state.begun)
		return -EAGAIN;
	proc = crew->runners[state.runner].proc;
	if (!proc || proc->killed)
		return -ESRCH;
	if (proc->stopped_ns > 0)
		return -EHOSTDOWN;
	*ret_proc = proc;
	return 0;
}

int crew_send(struct crew_seat *seat, uint64_t task, const void *data, size_t len, crew_sent_fn on_sent, void *arg)
{
	static uint64_t last_number; /* the control thread's */
	_cleanup_buffer_ struct buffer message = BUFFER_INIT;
	const uint64_t head[] = { WIRE_SEND, last_number + 1, seat->job, task, len };
	struct sending *sending;
	struct proc *proc;
	int r;

	if (len > CREW_MESSAGE_BYTES)
		return -EMSGSIZE;
	r = find_process(seat, task, &proc);
	for (size_t i = 0; i < ARRAY_SIZE(head) && r == 0; i++)
		r = buffer_add_varint(&message, head[i]);
	if (r == 0)
		r = buffer_add(&message, data, len);
	if (r < 0)
		return r;
	sending = calloc(1, sizeof(*sending));
	if (!sending)
		return -ENOMEM;
	*sending = (struct sending){ .number = ++last_number, .on_sent = on_sent, .arg = arg };
	*proc->sendings_end = sending;
	proc->sendings_end = &sending->next;
	seat->told = true;
	proc_send(proc, &message); /* where that ends the process, its end is the answer */
	return 0;
}

static void take_first(struct proc *proc, int status)
{
	struct sending *sending = proc->sendings;

	proc->sendings = sending->next;
	if (!proc->sendings)
		proc->sendings_end = &proc->sendings;
	if (sending->on_sent)
		sending->on_sent(sending->arg, status);
	free(sending);
}

bool proc_sent(struct proc *proc, uint64_t number, uint64_t status)
{
	if (!proc->sendings || proc->sendings->number != number || status > WIRE_SENT_BUSY)
		return false;
	take_first(proc, status == WIRE_SENT_OK ? 0 : -EBUSY);
	return true;
}

void sendings_fail(struct proc *proc)
{
	while (proc->sendings)
		take_first(proc, -ESRCH);
}

/* They stay in the list: the answers come when it goes on. */
void sendings_give_up(struct proc *proc)
{
	for (struct sending *sending = proc->sendings; sending; sending = sending->next) {
		crew_sent_fn on_sent = sending->on_sent;

		sending->on_sent = NULL;
		if (on_sent)
			on_sent(sending->arg, -EHOSTDOWN);
	}
}
