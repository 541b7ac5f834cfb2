/* Seats: what a crew knows of the jobs it serves, and how a job's tasks are cancelled. */
#include <assert.h>
#include <errno.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crew/crew_private.h"
#include "crew/wire.h"
#include "crew/workload.h"

static void on_cancel_timer(evutil_socket_t fd, short what, void *arg);

/* ---- Life ---- */

static void link_seat(struct crew_seat *seat)
{
	struct crew *crew = seat->crew;

	seat->next = crew->seats;
	seat->prev = &crew->seats;
	if (seat->next)
		seat->next->prev = &seat->next;
	crew->seats = seat;
	crew->n_seats++;
	(void)event_del(crew->idle_timer); /* fails only for an event that is none */
	crew->idle_armed = false;
}

int crew_join(struct crew *crew, const struct crew_job *job, void *user, struct crew_seat **ret_seat)
{
	struct crew_seat *seat = calloc(1, sizeof(*seat));
	int r = -ENOMEM;

	if (!seat)
		return r;
	seat->crew = crew;
	seat->user = user;
	seat->job = job->id;
	seat->workers = job->workers;
	seat->task_timeout_ns = job->task_timeout_ns;
	seat->grace_ns = job->grace_ns > 0 ? job->grace_ns : 0;
	seat->idempotent = job->idempotent;
	seat->cancel_timer = evtimer_new(crew->crews->base, on_cancel_timer, seat);
	seat->chunk_flags = wire_chunk_flags(crew, job);
	if (seat->cancel_timer)
		r = seat->chunk_flags != 0 ? 0 : wire_job(job, &seat->job_message);
	if (r == 0 && seat->job_message.len > WIRE_MAX_BYTES)
		r = -EMSGSIZE;
	if (r < 0) {
		seat_free(seat);
		return r;
	}
	link_seat(seat);
	if (seat->chunk_flags == 0) {
		crew_send_all(crew, &seat->job_message);
		seat->told = true;
	}
	*ret_seat = seat;
	return 0;
}

void seat_stir(struct crew_seat *seat)
{
	struct crew *crew = seat->crew;

	if (seat->stir_prev)
		return;
	seat->stir_next = crew->stirring;
	seat->stir_prev = &crew->stirring;
	if (seat->stir_next)
		seat->stir_next->stir_prev = &seat->stir_next;
	crew->stirring = seat;
}

static void seat_rest(struct crew_seat *seat)
{
	if (!seat->stir_prev)
		return;
	*seat->stir_prev = seat->stir_next;
	if (seat->stir_next)
		seat->stir_next->stir_prev = seat->stir_prev;
	seat->stir_prev = NULL;
}

static bool is_quiet(const struct crew_seat *seat)
{
	return seat->out == 0 && !seat->flights && !seat->recall && !seat->kill && seat->cancel == CANCEL_NONE &&
	       !seat->left;
}

void seat_free(struct crew_seat *seat)
{
	struct crew *crew = seat->crew;

	seat_rest(seat);
	if (seat->prev) {
		*seat->prev = seat->next;
		if (seat->next)
			seat->next->prev = seat->prev;
		crew->n_seats--;
		if (crew->last_served == seat)
			crew->last_served = NULL;
		if (crew->sole == seat)
			crew->sole = NULL;
	}
	if (seat->cancel_timer)
		event_free(seat->cancel_timer);
	buffer_fini(&seat->job_message);
	free(seat);
}

void crew_leave(struct crew_seat *seat)
{
	struct crew *crew = seat->crew;

	assert(seat->out == 0 && !seat->left);
	crew_enter(crew);
	seat->left = true;
	seat_stir(seat); /* crew_exit() finds it */
	for (uint32_t i = 0; i < crew->shape.processes && seat->told; i++) {
		if (crew->procs[i])
			proc_send_simple(crew->procs[i], WIRE_FORGET, seat->job, 1, 0);
	}
	crew_exit(crew); /* frees the seat, perhaps the crew */
}

/* ---- Looking ---- */

struct crew *crew_of(const struct crew_seat *seat)
{
	return seat->crew;
}

uint64_t crew_seat_out(const struct crew_seat *seat)
{
	return seat->out;
}

uint64_t crew_seat_holds(const struct crew_seat *seat)
{
	return seat->crew->shape.coroutines > 1 ? seat->out : seat->n_flights; /* a runner has one chunk at a time */
}

uint64_t crew_holds(const struct crew *crew)
{
	uint64_t holds = crew->shape.coroutines > 1 ? crew->out : crew->n_flights;

	return holds < crew->n_workers ? holds : crew->n_workers;
}

uint64_t crew_holds_more(const struct crew *crew, uint32_t tasks)
{
	uint64_t idle = crew->n_workers - crew_holds(crew), busy = crew->shape.coroutines > 1 ? tasks : 1;

	return busy < idle ? busy : idle;
}

uint64_t seat_begun_bits(const struct ring_chunk_state *state)
{
	uint64_t begun = state->begun >= 64 ? UINT64_MAX : (UINT64_C(1) << state->begun) - 1;

	return begun & ~state->done;
}

uint64_t crew_seat_running(const struct crew_seat *seat)
{
	uint64_t n = 0;

	for (const struct flight *f = seat->flights; f; f = f->next) {
		struct ring_chunk_state state;

		if (!step_is(f->first) && ring_chunk_state(seat->crew->ring, f->chunk, &state) == 0)
			n += (uint64_t)__builtin_popcountll(seat_begun_bits(&state));
	}
	return n;
}

int crew_seat_walk(const struct crew_seat *seat, int (*fn)(void *arg, const struct crew_task_view *view), void *arg)
{
	const struct crew *crew = seat->crew;
	int r = 0;

	for (const struct flight *f = seat->flights; f && r == 0; f = f->next) {
		struct ring_chunk_state state;

		if (ring_chunk_state(crew->ring, f->chunk, &state) < 0 || state.runner < 0)
			continue;
		for (uint64_t bits = seat_begun_bits(&state); bits && r == 0; bits &= bits - 1) {
			uint32_t index = (uint32_t)__builtin_ctzll(bits);
			const struct runner_of *who = &crew->runners[state.runner];

			r = fn(arg, &(struct crew_task_view){
					    .task = f->first + index,
					    .worker_pid = who->pid,
					    .worker_thread = who->thread,
					    .progress = ring_progress(crew->ring, f->chunk, index),
				    });
		}
	}
	return r;
}

void crew_set_workers(struct crew_seat *seat, uint32_t workers)
{
	seat->workers = workers;
	crew_turn_soon(seat->crew);
}

int crew_set_task_timeout(struct crew_seat *seat, const struct crew_job *job)
{
	struct crew_job now = *job;
	struct buffer message = BUFFER_INIT;
	int r;

	now.workers = seat->workers > 0 ? seat->workers : 1;
	now.idempotent = seat->idempotent;
	r = wire_job(&now, &message);
	if (r == 0 && message.len > WIRE_MAX_BYTES)
		r = -EMSGSIZE;
	if (r < 0) {
		buffer_fini(&message);
		return r;
	}
	buffer_fini(&seat->job_message);
	seat->job_message = message; /* the seat's now */
	seat->chunk_flags = 0; /* its next chunks are of an announced job, and stay so */
	seat->told = true;
	if (job->task_timeout_ns > 0 && (seat->task_timeout_ns <= 0 || job->task_timeout_ns < seat->task_timeout_ns))
		seat->task_timeout_ns = job->task_timeout_ns;
	crew_send_all(seat->crew, &seat->job_message);
	return 0;
}

/* ---- Peak memory ---- */

static uint64_t sum_of_peaks(const struct crew *crew)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		if (crew->procs[i])
			sum += proc_peak_rss_bytes(crew->procs[i]);
	}
	return sum;
}

/* Another job's turn: the one that had the crew to itself keeps what was reached, if it has nothing out any more. */
void seat_note_served(struct crew_seat *seat)
{
	struct crew *crew = seat->crew;
	bool alone = crew->out == seat->out; /* nobody else has a task out */

	if (crew->last_served == seat)
		return;
	crew->last_served = seat;
	if (crew->sole && crew->sole != seat && crew->sole->out == 0)
		crew->sole->peak_rss_bytes = sum_of_peaks(crew);
	crew->sole = alone && !seat->served ? seat : NULL;
	seat->served = true;
	if (!crew->sole)
		return;
	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		if (crew->procs[i])
			proc_peak_reset(crew->procs[i]);
	}
}

uint64_t crew_seat_peak_rss_bytes(const struct crew_seat *seat)
{
	return seat->crew->sole == seat ? sum_of_peaks(seat->crew) : seat->peak_rss_bytes;
}

/* ---- Taking back and cancelling ---- */

static void take_back(struct crew_seat *seat)
{
	struct flight *f, *next;

	for (f = seat->flights; f && !seat->crew->broken; f = next) {
		next = f->next;
		if (flight_take_back(f) < 0)
			return;
	}
}

void seats_take_back(struct crew *crew)
{
	for (struct crew_seat *seat = crew->stirring; seat; seat = seat->stir_next)
		take_back(seat);
}

void crew_recall(struct crew_seat *seat)
{
	if (seat->out == 0)
		return; /* there is nothing to take back */
	seat->recall = true;
	seat_stir(seat);
	crew_turn_soon(seat->crew);
}

void crew_recall_all(struct crew *crew)
{
	for (struct crew_seat *seat = crew->stirring; seat; seat = seat->stir_next)
		seat->recall = seat->recall || seat->out > 0;
	crew_turn_soon(crew);
}

void crew_cancel(struct crew_seat *seat, uint32_t reason)
{
	if (seat->cancel != CANCEL_NONE)
		return;
	seat->cancel = CANCEL_PENDING;
	seat->cancel_reason = reason;
	seat_stir(seat);
	crew_turn_soon(seat->crew);
}

void crew_kill(struct crew_seat *seat, uint32_t reason)
{
	seat->kill = true;
	seat_stir(seat);
	crew_cancel(seat, reason);
	crew_turn_soon(seat->crew);
}

/* Hold, or kill, the processes that still have a begun task of the seat. killed_for: what is said of that; NULL: hold. */
static void stop_holders(struct crew_seat *seat, const char *killed_for)
{
	struct crew *crew = seat->crew;
	struct flight *f, *next;

	for (f = seat->flights; f && !crew->broken; f = next) {
		struct ring_chunk_state state;
		struct proc *proc;

		next = f->next;
		if (ring_chunk_state(crew->ring, f->chunk, &state) < 0 || state.runner < 0 || !seat_begun_bits(&state))
			continue;
		proc = crew->runners[state.runner].proc;
		if (!proc || proc->killed)
			continue;
		if (!killed_for) {
			if (!proc->held && proc_hold(proc))
				next = seat->flights; /* others of the list may have been taken back */
			continue;
		}
		log_warning("crew: a task of '%s' %s: worker process %d is killed", crew->workload->name, killed_for,
			    (int)proc->pid);
		proc_kill(proc, ORDER_CANCEL);
		next = seat->flights; /* others of the list may have been taken back */
	}
}

static void arm_cancel(struct crew_seat *seat, int64_t after_ns)
{
	const struct timeval tv = { .tv_sec = (time_t)(after_ns / NS_PER_S),
				    .tv_usec = (suseconds_t)(after_ns % NS_PER_S / NS_PER_US) };

	(void)event_add(seat->cancel_timer, &tv); /* fails only without memory for the first timer of all */
}

/* The rest of the grace. */
static void arm_kill(struct crew_seat *seat)
{
	int64_t left_ns = seat->cancel_ns + seat->grace_ns - clock_mono_ns();

	seat->cancel_held = true;
	arm_cancel(seat, left_ns > 0 ? left_ns : 0);
}

static void on_cancel_timer(evutil_socket_t fd, short what, void *arg)
{
	struct crew_seat *seat = arg;
	struct crew *crew = seat->crew;

	(void)fd; /* a timer has none */
	(void)what;
	crew_enter(crew);
	if (crew->ring && !crew->broken)
		crew_collect(crew); /* what has just ended is not killed for it */
	if (seat->cancel == CANCEL_TOLD && seat->out > 0) {
		stop_holders(seat, seat->cancel_held ? "did not come back within grace after its cancel" : NULL);
		if (!seat->cancel_held)
			arm_kill(seat);
	}
	crew_settle(crew);
	crew_exit(crew);
}

static void act_cancel(struct crew_seat *seat)
{
	struct crew *crew = seat->crew;

	seat->cancel = CANCEL_TOLD;
	seat->cancel_ns = clock_mono_ns();
	seat->cancel_held = seat->grace_ns == 0; /* nothing to hold for */
	take_back(seat);
	if (seat->out == 0)
		return;
	seat->told = true;
	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		if (crew->procs[i])
			proc_send_simple(crew->procs[i], WIRE_CANCEL, seat->job, 2, seat->cancel_reason);
	}
	arm_cancel(seat, wire_late_ns(seat->grace_ns));
}

void seats_act(struct crew *crew)
{
	for (struct crew_seat *seat = crew->stirring; seat; seat = seat->stir_next) {
		if (seat->recall) {
			seat->recall = false;
			take_back(seat);
		}
		if (seat->cancel == CANCEL_PENDING)
			act_cancel(seat);
		if (seat->kill && seat->cancel == CANCEL_TOLD && seat->out > 0)
			stop_holders(seat, "is to be killed");
		seat->kill = false;
	}
}

void seats_settle(struct crew *crew)
{
	struct crew_seat *seat, *next;

	for (seat = crew->stirring; seat; seat = next) {
		if (seat->cancel == CANCEL_TOLD && seat->out == 0) {
			seat->cancel = CANCEL_NONE;
			(void)event_del(seat->cancel_timer); /* fails only for an event that is none */
			if (!seat->left)
				crew->crews->ops->on_cancelled(crew->crews->ctx, seat->user);
		}
		next = seat->stir_next; /* others come in at the front, and none goes but here and in crew_exit() */
		if (is_quiet(seat))
			seat_rest(seat);
	}
}
