/* After a death: what the process had finished is collected, what it had not begun is returned, and of what it had
 * begun each task gets a verdict.
 *
 *	ended by us (time limit, cancel) ── the tasks that were the reason: OVERDUE, their neighbours: INNOCENT, also one that
 *					    is as late because such a task held its loop
 *	ended by us (stop, garbage) ─────── INNOCENT
 *	a fault handler named tasks ─────── these GUILTY, the others INNOCENT
 *	one task begun ──────────────────── GUILTY; SUSPECT where a runner was starting, or another one had the fault
 *	running words name tasks ────────── these SUSPECT, the others INNOCENT, and said to be unnamed
 *	nothing known ───────────────────── INNOCENT, and said to be unnamed: the jobs count these
 */
#include <assert.h>
#include <errno.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crew/crew_private.h"
#include "crew/workload.h"

/* What a runner left of one chunk; the flight is free already. */
struct left {
	struct crew_seat *seat;
	uint64_t first, lost, overdue, overdue_cpu;
	int64_t overdue_begin_ns;
	uint32_t chunk, unbegun_first, unbegun_end;
	uint32_t runner;
};

struct lefts {
	struct left *list;
	size_t n, cap;
	uint32_t runner; /* whose are being gathered */
	struct ring_running *running; /* of each thread of the process */
};

int lefts_new(uint32_t n_chunks, uint32_t n_threads, struct lefts **ret_lefts)
{
	struct lefts *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->cap = n_chunks;
	l->list = calloc(n_chunks, sizeof(*l->list));
	l->running = calloc(n_threads, sizeof(*l->running));
	if (!l->list || !l->running) {
		lefts_free(l);
		return -ENOMEM;
	}
	*ret_lefts = l;
	return 0;
}

void lefts_free(struct lefts *l)
{
	if (!l)
		return;
	free(l->list);
	free(l->running);
	free(l);
}

static void on_left(void *arg, const struct ring_left *left)
{
	struct lefts *l = arg;
	struct flight *f = left->user;

	assert(l->n < l->cap); /* a chunk is left by one runner */
	l->list[l->n++] = (struct left){
		.seat = f->seat,
		.first = f->first,
		.lost = left->begun_lost,
		.overdue = f->overdue,
		.overdue_cpu = f->overdue_cpu,
		.overdue_begin_ns = f->overdue_begin_ns,
		.chunk = left->chunk,
		.unbegun_first = left->unbegun_first,
		.unbegun_end = left->unbegun_end,
		.runner = l->runner,
	};
	flight_free(f);
}

static bool is_at(const struct ring_running *at, const struct left *left, uint32_t index)
{
	return at->running && at->chunk == left->chunk && at->index == index;
}

/* What is known of a death as a whole. */
struct death {
	struct proc *proc; /* NULL: of the whole crew */
	enum proc_order order;
	bool garbage;
	bool named; /* a fault handler named a task that was lost */
	bool seen; /* a running word did */
	bool starting; /* perhaps not every runner had ended its worker_init */
	bool outside; /* a runner's thread had a fault while no task was on it: in worker_init, worker_exit, a callback */
	uint32_t outside_runner;
	uint32_t n_lost;
	int signal, exit_status;
	const char *last_log;
};

static const struct ring_running *running_of(const struct lefts *l, const struct death *d, const struct left *left)
{
	return &l->running[left->runner - crew_first_runner(d->proc)];
}

static void look_at_evidence(const struct lefts *l, struct death *d)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct left *left = &l->list[i];
		const struct ring_running *at = d->proc ? running_of(l, d, left) : NULL;

		d->n_lost += (uint32_t)__builtin_popcountll(left->lost);
		if (at && at->running && at->chunk == left->chunk && at->index < RING_CHUNK_TASKS &&
		    (left->lost >> at->index & 1)) {
			d->seen = true;
			d->named = d->named || at->faulted;
		}
	}
	for (uint32_t i = 0; d->proc && i < d->proc->crew->shape.threads; i++) {
		if (!l->running[i].faulted || l->running[i].running)
			continue;
		d->outside = true;
		d->outside_runner = crew_first_runner(d->proc) + i;
	}
}

/* The only one begun. Something else may have been the reason: run alone it will show. */
static enum crew_verdict judge_lone(const struct death *d, const struct left *left)
{
	return d->starting || (d->outside && d->outside_runner != left->runner) ? CREW_SUSPECT : CREW_GUILTY;
}

/* Was it late because another task, itself overdue, held their runner? */
static bool was_held_up(const struct lefts *l, const struct death *d, const struct left *left, uint32_t index)
{
	const struct ring_running *at = running_of(l, d, left);

	if (!at->running || at->index >= RING_CHUNK_TASKS || is_at(at, left, index))
		return false;
	for (size_t i = 0; i < l->n; i++) {
		const struct left *other = &l->list[i];

		if (other->runner == left->runner && other->chunk == at->chunk)
			return other->lost & other->overdue & UINT64_C(1) << at->index;
	}
	return false;
}

static enum crew_verdict judge(const struct lefts *l, const struct death *d, const struct left *left, uint32_t index)
{
	const struct ring_running *at;

	if (!d->proc || d->garbage)
		return CREW_INNOCENT;
	switch (d->order) {
	case ORDER_NONE:
		break;
	case ORDER_OVERDUE:
		return left->overdue >> index & 1 && !was_held_up(l, d, left, index) ? CREW_OVERDUE : CREW_INNOCENT;
	case ORDER_CANCEL:
		return left->seat->cancel == CANCEL_TOLD ? CREW_OVERDUE : CREW_INNOCENT;
	default:
		return CREW_INNOCENT;
	}
	at = running_of(l, d, left);
	if (d->named)
		return at->faulted && is_at(at, left, index) ? CREW_GUILTY : CREW_INNOCENT;
	if (d->n_lost == 1)
		return judge_lone(d, left);
	return d->seen && is_at(at, left, index) ? CREW_SUSPECT : CREW_INNOCENT;
}

static void tell(struct crew *crew, const struct lefts *l, const struct death *d)
{
	struct crews *crews = crew->crews;

	for (size_t i = 0; i < l->n; i++) {
		const struct left *left = &l->list[i];
		uint32_t n = left->unbegun_end > left->unbegun_first ? left->unbegun_end - left->unbegun_first : 0;
		struct crew_loss loss = {
			.user = left->seat->user,
			.on_crash = d->proc && d->order == ORDER_NONE && !d->garbage,
			.unnamed = d->proc && d->order == ORDER_NONE && !d->garbage && !d->named && d->n_lost > 1,
			.others_seen = d->seen,
			.signal = d->signal,
			.exit_status = d->exit_status,
			.worker_pid = d->proc ? (uint32_t)d->proc->pid : 0,
			.worker_thread = d->proc ? (uint16_t)(left->runner - crew_first_runner(d->proc)) : 0,
			.last_log = d->last_log,
		};

		left->seat->out -= n;
		crew->out -= n;
		if (n > 0)
			crews->ops->on_returned(crews->ctx, left->seat->user, left->first + left->unbegun_first, n);
		for (uint64_t bits = left->lost; bits; bits &= bits - 1) {
			uint32_t index = (uint32_t)__builtin_ctzll(bits);

			loss.task = left->first + index;
			loss.verdict = judge(l, d, left, index);
			loss.by_cpu = left->overdue_cpu >> index & 1;
			loss.begin_ns = left->overdue >> index & 1 ? left->overdue_begin_ns : 0;
			left->seat->out--;
			crew->out--;
			crews->ops->on_lost(crews->ctx, &loss);
		}
	}
}

/* Gather what the runners of the process had finished and left. */
static void gather(struct proc *proc, struct death *d)
{
	struct crew *crew = proc->crew;
	struct lefts *l = crew->lefts;

	l->n = 0;
	for (uint32_t i = 0; i < crew->shape.threads; i++) {
		uint32_t runner = crew_first_runner(proc) + i;

		if (!d->garbage && ring_collect_dead(crew->ring, runner, crew_records, crew) == -EBADMSG) {
			log_error("crew: worker process %d of '%s' left garbage in its ring: no task is blamed",
				  (int)proc->pid, crew->workload->name);
			d->garbage = true;
		}
		ring_running(crew->ring, runner, &l->running[i]);
		if (d->signal == 0 && l->running[i].faulted)
			d->signal = l->running[i].signal; /* it was caught, and the process exited upon it */
		l->runner = runner;
		if (ring_reap(crew->ring, runner, on_left, l) < 0) {
			d->garbage = true; /* also for what was gathered before */
			crew_break(crew, "a dead process left a chunk's word out of range");
			return;
		}
	}
}

bool blame_death(struct proc *proc, int signal, int exit_status)
{
	struct crew *crew = proc->crew;
	struct death d = {
		.proc = proc,
		.order = proc->killed,
		.garbage = proc->killed == ORDER_GARBAGE,
		.signal = signal,
		.exit_status = exit_status,
		.starting = crew->shape.threads > 1 && !proc_is_ready(proc), /* the only one has, where a task is begun */
	};

	if (!crew->ring || crew->broken)
		return true; /* crew_reset() sorts it all, after the last one */
	gather(proc, &d);
	look_at_evidence(crew->lefts, &d);
	d.last_log = worker_log_tail(&proc->log);
	crew->blocked = false;
	tell(crew, crew->lefts, &d);
	crew->lefts->n = 0;
	return d.named || (d.n_lost > 0 && !(d.starting && d.outside));
}

void crew_break(struct crew *crew, const char *why)
{
	if (crew->broken)
		return;
	crew->broken = true;
	log_error("crew: garbage in the shared memory of '%s' (%s): its processes are killed and started anew, no task "
		  "is "
		  "blamed",
		  crew->workload->name, why);
	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		if (crew->procs[i])
			proc_kill(crew->procs[i], ORDER_GARBAGE);
	}
	if (crew->n_procs == 0)
		crew_turn_soon(crew); /* which resets it */
}

void crew_reset(struct crew *crew)
{
	struct death d = { .proc = NULL, .last_log = "" };
	struct ring *ring = take_ptr(crew->ring);

	crew->lefts->n = 0;
	crew->lefts->runner = 0;
	ring_reap_all(ring, on_left, crew->lefts);
	look_at_evidence(crew->lefts, &d);
	tell(crew, crew->lefts, &d);
	crew->lefts->n = 0;
	ring_close(ring);
	crew_close_ring(crew);
	crew->broken = crew->blocked = crew->collect_again = false;
	crew_garbage(crew);
}
