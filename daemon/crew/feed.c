/* Feeding a crew: how many tasks make a chunk, how many chunks are in the ring, and what is taken back.
 *
 * A chunk should hold its runner for CHUNK_MOST: less, and the daemon is woken too often, which takes a processor from
 * the tasks; more, and tasks wait behind each other. Towards the job's end chunks shrink, down to CHUNK_LEAST, so that
 * its runners end together. Enough chunks are out to keep every runner busy for AHEAD while the daemon is woken; where tasks are
 * longer than that, hardly more than there are runners. A chunk that turns out long while others idle gives its tasks
 * back.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include <event2/event.h>

#include "base/log.h"
#include "crew/crew_private.h"
#include "crew/workload.h"

#define CHUNK_MOST_S 1e-3f
#define CHUNK_LEAST_S 150e-6f /* several wake-ups */
#define AHEAD_NS (5 * NS_PER_MS) /* for each runner */
#define SPARE_CHUNKS 2u /* ready for the next runner that is free, where tasks are long */
#define SHORTEST_S 50e-9f /* what a task costs at least, whatever the clocks say */
#define UNKNOWN_NS NS_PER_S /* a task of which nothing is known may be long */
#define ESTIMATE_WEIGHT 16u
#define TICK_MS 2
#define CHECK_MS 500

/* ---- What is known of a job's tasks ---- */

void estimate_add(struct estimate *e, uint32_t n, float wall_s, float cpu_s)
{
	float weight;

	/* The mean of the first, then a moving average in which one task weighs a sixteenth, and many nearly all. */
	weight = (float)n / (float)(n + (e->samples < ESTIMATE_WEIGHT ? e->samples : ESTIMATE_WEIGHT - 1));
	e->samples = e->samples + n < ESTIMATE_WEIGHT ? e->samples + n : ESTIMATE_WEIGHT;
	e->wall_s += (wall_s - e->wall_s) * weight;
	e->cpu_s += (cpu_s - e->cpu_s) * weight;
}

/* How long a task holds its runner: with coroutines only while it computes. */
static float hold_s(const struct crew_seat *seat, const struct estimate *e)
{
	float s = seat->crew->shape.coroutines > 1 ? e->cpu_s : e->wall_s;

	return s > SHORTEST_S ? s : SHORTEST_S;
}

/* What one more task costs a runner before it can take another: its share of the coroutines, or its computing. */
static int64_t task_cost_ns(const struct crew_seat *seat, const struct estimate *e)
{
	float share = e->wall_s / (float)seat->crew->shape.coroutines;
	float s = hold_s(seat, e);

	if (e->samples == 0)
		return UNKNOWN_NS;
	return (int64_t)((share > s ? share : s) * 1e9f);
}

static bool crew_is_ahead(const struct crew *crew)
{
	return crew->cost_ns >= (int64_t)crew->n_runners * AHEAD_NS;
}

static uint64_t free_workers(const struct crew *crew)
{
	return crew->out < crew->n_workers ? crew->n_workers - crew->out : 0;
}

/* With many more workers than chunks, single tasks would use the chunks up: wait until a few workers are free. */
static uint64_t smallest_refill(const struct crew *crew)
{
	uint32_t n_chunks = ring_geometry(crew->ring)->n_chunks;

	if (crew->n_workers <= n_chunks || crew->n_flights < n_chunks / 2)
		return 1;
	return 4 * crew->n_workers / n_chunks;
}

/* Of tasks that hold a runner for so long each, while so many are ready. */
static uint64_t tasks_by_time(const struct crew *crew, float each_s, uint64_t n_ready)
{
	float share_s = (float)n_ready * each_s / (2.0f * (float)crew->n_runners);
	float n = (share_s < CHUNK_LEAST_S ? CHUNK_LEAST_S : share_s < CHUNK_MOST_S ? share_s : CHUNK_MOST_S) / each_s;

	return n < 1.0f ? 1 : n < (float)RING_CHUNK_TASKS ? (uint64_t)n : RING_CHUNK_TASKS;
}

static uint32_t chunk_tasks(const struct crew_seat *seat, const struct estimate *e, uint64_t n_ready)
{
	const struct crew *crew = seat->crew;
	uint64_t n = RING_CHUNK_TASKS, most;

	if (!seat->idempotent)
		return 1;
	if (e->samples > 0) {
		n = tasks_by_time(crew, hold_s(seat, e), n_ready);
	} else if (crew->shape.coroutines == 1) {
		return 1;
	}
	if (crew->shape.coroutines > 1) {
		/* Unknown ones are spread over the runners; long ones fill the free workers and no more. */
		most = e->samples == 0 ? free_workers(crew) / crew->n_runners : free_workers(crew);
		if (most < n && (e->samples == 0 || crew_is_ahead(crew)))
			n = most;
	}
	return n > 0 ? (uint32_t)n : 1;
}

bool crew_takes(const struct crew_seat *seat)
{
	return crew_may_feed(seat->crew) && (seat->idempotent || free_workers(seat->crew) > 0);
}

uint32_t crew_seat_room(const struct crew_seat *seat, uint64_t n_ready, bool parts)
{
	const struct crew *crew = seat->crew;
	uint32_t room;
	uint64_t left;

	if (!crew_takes(seat) || seat->cancel != CANCEL_NONE || seat->left)
		return 0;
	room = chunk_tasks(seat, &seat->estimates[parts], n_ready);
	if (seat->workers >= crew->n_workers)
		return room;
	if (crew->shape.coroutines == 1)
		return seat->n_flights < seat->workers ? room : 0;
	left = seat->out < seat->workers ? seat->workers - seat->out : 0;
	return left < room ? (uint32_t)left : room;
}

/* May one more chunk be submitted? */
static bool crew_has_room(const struct crew *crew)
{
	if (!crew_may_feed(crew))
		return false;
	if (!crew->ring)
		return !crew->retry_armed; /* it could not be made */
	if (ring_free_chunks(crew->ring) == 0)
		return false;
	if (crew->in_order)
		return crew->n_flights < crew->n_runners;
	if (crew->shape.coroutines > 1) {
		if (free_workers(crew) > 0 && free_workers(crew) >= smallest_refill(crew))
			return true;
		return !crew_is_ahead(crew);
	}
	return crew->n_flights < crew->n_runners + (crew->n_runners < SPARE_CHUNKS ? crew->n_runners : SPARE_CHUNKS) ||
	       !crew_is_ahead(crew);
}

/* ---- Flights ---- */

struct flight *flight_take(struct crew_seat *seat, uint64_t first, uint32_t count)
{
	struct crew *crew = seat->crew;
	struct flight *f = crew->free_flights;

	assert(f); /* there is one for each chunk */
	crew->free_flights = f->next;
	*f = (struct flight){
		.seat = seat,
		.next = seat->flights,
		.prev = &seat->flights,
		.first = first,
		.count = count,
		.multi = count > 1,
		.submitted_ns = clock_mono_ns(),
		.cost_ns = task_cost_ns(seat, seat_estimate(seat, first)) * count,
	};
	if (f->next)
		f->next->prev = &f->next;
	seat->flights = f;
	seat->n_flights++;
	seat_stir(seat);
	crew->n_flights++;
	crew->n_multi += f->multi;
	crew->cost_ns += f->cost_ns;
	return f;
}

static void flight_settle(struct flight *f)
{
	if (f->multi)
		f->seat->crew->n_multi--;
	f->multi = false;
}

void flight_free(struct flight *f)
{
	struct crew_seat *seat = f->seat;
	struct crew *crew = seat->crew;

	flight_settle(f);
	*f->prev = f->next;
	if (f->next)
		f->next->prev = f->prev;
	seat->n_flights--;
	crew->n_flights--;
	crew->cost_ns -= f->cost_ns;
	f->seat = NULL;
	f->next = crew->free_flights;
	crew->free_flights = f;
}

static void return_tasks(struct crew_seat *seat, uint64_t first, uint32_t count)
{
	if (count == 0)
		return;
	seat->out -= count;
	seat->crew->out -= count;
	seat->crew->crews->ops->on_returned(seat->crew->crews->ctx, seat->user, first, count);
}

void flight_return(struct flight *f, uint32_t begin, uint32_t end)
{
	return_tasks(f->seat, f->first + begin, end - begin);
}

int flight_take_back(struct flight *f)
{
	struct crew *crew = f->seat->crew;
	struct crew_seat *seat = f->seat;
	uint64_t first = f->first;
	uint32_t begin = 0, end = 0;
	bool is_free = false;
	int r = ring_take_back(crew->ring, f->chunk, &begin, &end, &is_free);

	if (r == -EBADMSG) {
		crew_break(crew, "a chunk's word is out of range");
		return r;
	}
	if (r < 0)
		return 0; /* not in flight any more: nothing is unbegun */
	if (is_free)
		flight_free(f);
	else
		flight_settle(f);
	return_tasks(seat, first + begin, end > begin ? end - begin : 0);
	return 0;
}

/* ---- Feeding ---- */

/* An input that no chunk and no arena holds: the layer above should have refused it. */
static void end_too_large(const struct crew_batch *batch)
{
	static const char words[] = "the input is too large";
	struct crews *crews = batch->seat->crew->crews;
	const struct ring_record record = {
		.status = RING_FAILED_INPUT,
		.retry_after_ns = -1,
		.data = (const uint8_t *)words,
		.len = sizeof(words) - 1,
	};
	const struct crew_run run = { .user = batch->seat->user, .first = batch->first, .n = 1, .records = &record };

	batch->seat->out--;
	batch->seat->crew->out--;
	crews->ops->on_ended(crews->ctx, &run);
}

/* Put a batch into the ring. 0; else its tasks were given back, or ended, and -errno says why. */
static int submit(struct crew *crew, const struct crew_batch *batch)
{
	struct crew_seat *seat = batch->seat;
	const struct ring_batch fill = {
		.job = seat->job,
		.flags = seat->chunk_flags,
		.first = batch->first,
		.count = batch->count,
		.packed = batch->packed,
		.packed_bytes = batch->packed_bytes,
	};
	struct flight *f;
	int r = crew->ring ? 0 : crew_open_ring(crew);

	assert(seat->crew == crew && batch->count >= 1 && batch->count <= RING_CHUNK_TASKS);
	seat->out += batch->count;
	crew->out += batch->count;
	if (r < 0) {
		return_tasks(seat, batch->first, batch->count);
		return r;
	}
	seat_note_served(seat);
	f = flight_take(seat, batch->first, batch->count);
	r = ring_fill(crew->ring, &fill, f, &f->chunk);
	if (r == 0) {
		ring_submit(crew->ring, f->chunk);
		return 0;
	}
	flight_free(f);
	if (r == -EMSGSIZE && batch->count == 1) {
		end_too_large(batch);
		return 0;
	}
	return_tasks(seat, batch->first, batch->count);
	return r;
}

static void on_submit_failed(struct crew *crew, int r)
{
	if (r == -EAGAIN && crew->ring) {
		crew->blocked = crew->n_flights > 0; /* until something has come back */
		return;
	}
	if (r == -EBADMSG) {
		crew_break(crew, "the submission ring is out of range");
		return;
	}
	crew_start_refused(crew, "its shared memory could not be made", r);
}

void crew_feed(struct crew *crew)
{
	struct crews *crews = crew->crews;
	uint32_t submitted = 0;
	struct crew_batch batch;
	int r;

	while (crew_has_room(crew) && crews->ops->next(crews->ctx, crew, RING_CHUNK_TASKS, &batch) >= 0) {
		r = submit(crew, &batch);
		if (r < 0) {
			on_submit_failed(crew, r);
			break;
		}
		submitted++;
	}
	if (submitted > 0 && crew->ring && !crew->broken)
		ring_wake(crew->ring, submitted);
	crew_start_needed(crew);
	crew_tick_arm(crew);
}

/* ---- The tick: no task waits behind a long one while a runner idles ---- */

void crew_tick_arm(struct crew *crew)
{
	static const struct timeval tick = { .tv_sec = 0, .tv_usec = TICK_MS * 1000 };
	static const struct timeval check = { .tv_sec = 0, .tv_usec = CHECK_MS * 1000 };

	if (!crew->check_armed && crew->n_flights > 0 && !crew->broken)
		crew->check_armed = event_add(crew->check, &check) == 0; /* as below */
	if (crew->tick_armed || crew->n_runners == 1 || crew->n_multi == 0 || crew->broken)
		return;
	crew->tick_armed = event_add(crew->tick, &tick) == 0; /* without it the next settling tries again */
}

/* A claimed chunk in which nothing was begun for a whole tick. */
static bool is_stuck(struct crew *crew, struct flight *f)
{
	struct ring_chunk_state state;
	bool stuck;

	if (!f->multi || ring_chunk_state(crew->ring, f->chunk, &state) < 0 || state.runner < 0)
		return false;
	if (state.begun >= state.end) {
		flight_settle(f); /* nothing left to take */
		return false;
	}
	stuck = state.begun > 0 && state.begun == f->tick_begun;
	f->tick_begun = state.begun;
	return stuck;
}

/* A chunk whose word no runner can claim would wait for ever, and so would its job; the same where its process is stopped. */
void on_crew_check(evutil_socket_t fd, short what, void *arg)
{
	struct crew *crew = arg;

	(void)fd; /* a timer has none */
	(void)what;
	crew_enter(crew);
	crew->check_armed = false;
	if (crew->ring && !crew->broken && ring_check(crew->ring) < 0)
		crew_break(crew, "a word that only the daemon writes was changed, or one is out of range");
	if (crew->ring && !crew->broken)
		crew_look_stopped(crew);
	crew_settle(crew);
	crew_exit(crew);
}

void on_crew_tick(evutil_socket_t fd, short what, void *arg)
{
	struct crew *crew = arg;
	struct flight *f, *next;
	bool idle;

	(void)fd; /* a timer has none */
	(void)what;
	crew_enter(crew);
	crew->tick_armed = false;
	idle = crew->ring && !crew->broken && ring_idle_runners(crew->ring) > 0 &&
	       ring_unclaimed_chunks(crew->ring) == 0;
	for (struct crew_seat *seat = crew->stirring; seat && idle && !crew->broken; seat = seat->stir_next) {
		for (f = seat->flights; f && !crew->broken; f = next) {
			next = f->next;
			if (is_stuck(crew, f) && flight_take_back(f) < 0)
				break;
		}
	}
	if (idle)
		crew_feed(crew);
	crew_settle(crew);
	crew_exit(crew);
}
