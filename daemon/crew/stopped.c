/* Worker processes that are stopped: by SIGSTOP, by a terminal, by a debugger. Nothing of such a process answers, also not its host
 * thread, which otherwise keeps the tasks' time limits; and a runner that was asleep swallows the wake-up it is sent. So, looked at
 * while tasks are out,
 * - the crew keeps the time limits itself, a little later than a process that runs would;
 * - what the process has claimed and not begun goes to others, who are woken, and others are started in its place while there are
 *   fewer than the shape has;
 * - messages to its tasks are answered;
 * - what it has begun waits until it goes on (or a limit, a cancel or a kill ends it), which is said.
 * A process that has nothing begun is not waited for: it is replaced when there is work for it.
 */
#include <signal.h>

#include <event2/event.h>

#include "base/log.h"
#include "crew/crew_private.h"
#include "crew/workload.h"

#define LOOKS 32u /* processes looked at each time */
#define SLACK_NS (500 * NS_PER_MS) /* for a process that is not stopped to say so itself */
#define REPLACE_NS (5 * NS_PER_S)
#define STATE_TRACED 't'

/* ---- Time limits ---- */

/* Is there a begun task in the process? overdue: one that was found to be overdue? */
static bool has_begun(const struct proc *proc, bool overdue)
{
	const struct crew *crew = proc->crew;
	int32_t first = (int32_t)crew_first_runner(proc), end = first + (int32_t)crew->shape.threads;

	for (const struct crew_seat *seat = crew->stirring; seat; seat = seat->stir_next) {
		for (const struct flight *f = seat->flights; f; f = f->next) {
			struct ring_chunk_state state;

			if (ring_chunk_state(crew->ring, f->chunk, &state) < 0 || state.runner < first || state.runner >= end)
				continue;
			if (seat_begun_bits(&state) & (overdue ? f->overdue : UINT64_MAX))
				return true;
		}
	}
	return false;
}

/* Tasks of the chunk that should have come back, though nobody says so. *ret_proc: who has them. */
static uint64_t overdue_bits(struct flight *f, int64_t now_ns, struct proc **ret_proc)
{
	const struct crew_seat *seat = f->seat;
	struct ring_chunk_state state;
	int64_t over_ns;

	if (ring_chunk_state(seat->crew->ring, f->chunk, &state) < 0 || state.runner < 0)
		return 0; /* garbage is found by the check that follows */
	if (state.begun != f->check_begun) {
		f->check_begun = state.begun;
		f->check_begun_ns = now_ns; /* no task of it has begun since */
	}
	*ret_proc = seat->crew->runners[state.runner].proc;
	over_ns = now_ns - f->check_begun_ns - seat->task_timeout_ns;
	if (!*ret_proc || (*ret_proc)->killed || over_ns < 0 ||
	    over_ns - ((*ret_proc)->stopped_ns > 0 ? 0 : SLACK_NS) < seat->grace_ns)
		return 0;
	f->overdue_begin_ns = f->check_begun_ns; /* about then */
	return seat_begun_bits(&state);
}

/* Note which chunks have such tasks. */
static bool find_overdue(struct crew *crew, int64_t now_ns)
{
	struct proc *proc;
	bool found = false;

	for (struct crew_seat *seat = crew->stirring; seat; seat = seat->stir_next) {
		for (struct flight *f = seat->task_timeout_ns > 0 ? seat->flights : NULL; f; f = f->next) {
			uint64_t bits = overdue_bits(f, now_ns, &proc);

			f->overdue |= bits;
			found = found || bits;
		}
	}
	return found;
}

static void kill_overdue(struct crew *crew)
{
	for (uint32_t i = 0; i < crew->shape.processes && !crew->broken; i++) {
		struct proc *proc = crew->procs[i];

		if (!proc || proc->killed || !has_begun(proc, true))
			continue;
		log_warning("crew: a task of '%s' did not come back within its time limit and grace, and its worker process %d %s: "
			    "killed", crew->workload->name, (int)proc->pid, proc->stopped_ns > 0 ? "is stopped" : "does not say so");
		proc_kill(proc, ORDER_OVERDUE);
	}
}

/* ---- Who is stopped ---- */

static void on_stopped(struct proc *proc, char state, int64_t now_ns)
{
	struct crew *crew = proc->crew;

	proc->stopped_ns = now_ns;
	crew->n_stopped++;
	log_warning("crew: worker process %d of '%s' is stopped (%s): what it has begun waits until it goes on (kill -CONT %d)",
		    (int)proc->pid, crew->workload->name, state == STATE_TRACED ? "by a debugger" : "by a signal", (int)proc->pid);
	sendings_give_up(proc);
	if (crew->shape.processes > 1)
		proc_take_back(proc);
}

static void on_goes_on(struct proc *proc, int64_t now_ns)
{
	log_info("crew: worker process %d of '%s' goes on after %.1f s", (int)proc->pid, proc->crew->workload->name,
		 (double)(now_ns - proc->stopped_ns) / 1e9);
	proc->stopped_ns = 0;
	proc->crew->n_stopped--;
}

static void look_at(struct proc *proc, int64_t now_ns)
{
	char state = proc->killed ? 0 : proc_state(proc);
	bool stopped = proc_state_is_stopped(state);

	if (state == 0)
		return; /* its end is on the way */
	if (stopped && proc->stopped_ns == 0) {
		on_stopped(proc, state, now_ns);
	} else if (!stopped && proc->stopped_ns > 0) {
		on_goes_on(proc, now_ns);
	} else if (stopped && state != STATE_TRACED && proc->crew->dedicated == 0 && now_ns - proc->stopped_ns >= REPLACE_NS &&
		   !has_begun(proc, false)) {
		log_warning("crew: worker process %d of '%s' is stopped, has begun nothing, and there is work: replaced",
			    (int)proc->pid, proc->crew->workload->name);
		proc_kill(proc, ORDER_STOP);
	}
}

void crew_look_stopped(struct crew *crew)
{
	int64_t now_ns = clock_mono_ns();
	uint32_t n = crew->shape.processes < LOOKS ? crew->shape.processes : LOOKS, unclaimed;

	for (uint32_t i = 0; i < n && !crew->broken; i++) {
		crew->look_slot = crew->look_slot + 1 < crew->shape.processes ? crew->look_slot + 1 : 0;
		if (crew->procs[crew->look_slot])
			look_at(crew->procs[crew->look_slot], now_ns);
	}
	if (!crew->broken && find_overdue(crew, now_ns)) {
		crew_collect(crew); /* what has ended meanwhile is not killed for it */
		if (!crew->collect_again)
			kill_overdue(crew);
	}
	if (crew->broken)
		return;
	unclaimed = ring_unclaimed_chunks(crew->ring);
	if (unclaimed > 0)
		ring_wake(crew->ring, unclaimed);
	if (crew->n_stopped > 0)
		crew_feed(crew);
}

pid_t crew_seat_stopped(const struct crew_seat *seat)
{
	const struct crew *crew = seat->crew;

	if (crew->n_stopped == 0)
		return 0;
	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		const struct proc *proc = crew->procs[i];

		if (proc && proc->stopped_ns > 0 && (crew->n_stopped == crew->n_procs || has_begun(proc, false)))
			return proc->pid;
	}
	return 0;
}
