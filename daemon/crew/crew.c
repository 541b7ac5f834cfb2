/* Crews: found, made, turned, ended. The story is in crew.h, the parts in crew_private.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "config.h"
#include "crew/crew_private.h"
#include "crew/workload.h"

#define LOCK_NAME "workers.lock"
#define MIN_GRACE_NS (5 * NS_PER_S) /* for worker_exit of an idle process */
#define MAX_CHUNKS 4096u

static const struct timeval at_once = { .tv_sec = 0, .tv_usec = 0 };

static struct timeval to_timeval(int64_t ns)
{
	if (ns < 0)
		ns = 0;
	return (struct timeval){ .tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US) };
}

/* ---- A crew's turns ---- */

void crew_turn_soon(struct crew *crew)
{
	if (crew->turn_pending)
		return;
	/* A timer rather than an active event: those would run before the loop looks at its descriptors again. */
	crew->turn_pending = event_add(crew->turn, &at_once) == 0; /* fails only without memory for the timer heap */
}

void crew_kick(struct crew *crew)
{
	crew_turn_soon(crew);
}

bool crew_may_feed(const struct crew *crew)
{
	return crew->crews->ready && !crew->crews->stopping && !crew->ending && !crew->broken && !crew->blocked;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct crew *crew = arg;

	(void)fd; /* a timer has none */
	(void)what;
	crew_enter(crew);
	crew->turn_pending = false;
	if (crew->broken && crew->n_procs == 0)
		crew_reset(crew);
	seats_act(crew);
	if (crew->collect_again) {
		crew->collect_again = false;
		crew_collect(crew);
	}
	crew_feed(crew); /* also then: there may be nothing to collect, and somebody kicked for new tasks meanwhile */
	crew_settle(crew);
	crew_exit(crew);
}

void crew_settle(struct crew *crew)
{
	seats_settle(crew);
	crew->crews->ops->on_settled(crew->crews->ctx, crew);
	crew_tick_arm(crew);
}

void crew_enter(struct crew *crew)
{
	crew->busy++;
}

static void crew_free(struct crew *crew);

static int64_t grace_to_end(const struct crew *crew)
{
	int64_t grace_ns = crew->workload->config->grace_ns;

	return grace_ns > MIN_GRACE_NS ? grace_ns : MIN_GRACE_NS;
}

/* Tell its processes to end; the timer kills those that do not. */
static void crew_end(struct crew *crew)
{
	struct timeval grace = to_timeval(grace_to_end(crew));

	crew->ending = true;
	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		if (crew->procs[i])
			proc_stop(crew->procs[i]);
	}
	crew->idle_armed = event_add(crew->idle_timer, &grace) == 0; /* it was armed before: no memory is needed */
}

void crew_exit(struct crew *crew)
{
	struct crew_seat *seat, *next;
	struct timeval idle;

	if (--crew->busy > 0)
		return;
	for (seat = crew->stirring; seat; seat = next) {
		next = seat->stir_next;
		if (seat->left)
			seat_free(seat);
	}
	if (crew->n_seats > 0)
		return;
	/* After garbage a new submission gets a new crew: nothing that was left behind in this one's segment, and no count of
	 * failures that are not its own. */
	if (!crew->ending && (crew->dedicated != 0 || crew->had_garbage)) {
		crew_end(crew);
	} else if (!crew->idle_armed) {
		idle = to_timeval(crew->workload->config->idle_timeout_ns);
		crew->idle_armed = event_add(crew->idle_timer, &idle) == 0; /* else it stays until the daemon's end */
	}
	if (crew->ending && crew->n_procs == 0)
		crew_free(crew);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct crew *crew = arg;

	(void)fd; /* a timer has none */
	(void)what;
	crew_enter(crew);
	crew->idle_armed = false;
	if (crew->ending) {
		for (uint32_t i = 0; i < crew->shape.processes; i++) {
			if (crew->procs[i])
				proc_kill(crew->procs[i], ORDER_STOP);
		}
	} else if (crew->n_seats == 0) {
		crew_end(crew);
	}
	crew_exit(crew);
}

/* ---- The ring ---- */

/* What the shape asks for, and with coroutines enough chunks that single tasks can fill most workers. */
static struct ring_geometry geometry_for(const struct crew *crew)
{
	struct ring_geometry g = ring_geometry_for(crew->shape.processes, crew->shape.threads, crew->shape.coroutines);
	uint64_t want = crew->n_workers < MAX_CHUNKS ? crew->n_workers : MAX_CHUNKS;

	if (crew->shape.coroutines > 1 && g.n_chunks < want)
		g.n_chunks = (uint32_t)want;
	return g;
}

static int fill_free_list(struct crew *crew, uint32_t n)
{
	crew->flight_memory = calloc(n, sizeof(*crew->flight_memory));
	if (!crew->flight_memory)
		return -ENOMEM;
	crew->free_flights = NULL;
	for (uint32_t i = n; i > 0; i--) {
		crew->flight_memory[i - 1].next = crew->free_flights;
		crew->free_flights = &crew->flight_memory[i - 1];
	}
	return 0;
}

int crew_open_ring(struct crew *crew)
{
	struct ring_geometry geometry = geometry_for(crew);
	int r = ring_open(&geometry, &crew->ring);

	if (r < 0)
		return r;
	if (crew->workload->config->max_result_bytes > 0)
		ring_set_max_result(crew->ring, crew->workload->config->max_result_bytes);
	r = fill_free_list(crew, geometry.n_chunks);
	if (r == 0)
		r = lefts_new(geometry.n_chunks, crew->shape.threads, &crew->lefts);
	if (r == 0) {
		crew->ring_event = event_new(crew->crews->base, ring_event_fd(crew->ring), EV_READ | EV_PERSIST,
					     on_crew_ring, crew);
		if (!crew->ring_event || event_add(crew->ring_event, NULL) < 0)
			r = -ENOMEM;
	}
	if (r < 0) {
		crew_close_ring(crew);
		return r;
	}
	crew->asleep = ring_prepare_sleep(crew->ring);
	return 0;
}

void crew_close_ring(struct crew *crew)
{
	if (crew->ring_event)
		event_free(crew->ring_event);
	crew->ring_event = NULL;
	lefts_free(crew->lefts);
	crew->lefts = NULL;
	free(crew->flight_memory);
	crew->flight_memory = crew->free_flights = NULL;
	ring_close(crew->ring);
	crew->ring = NULL;
}

/* ---- Life of a crew ---- */

static void crew_free(struct crew *crew)
{
	struct event *const events[] = { crew->turn, crew->hold_timer, crew->tick, crew->doze,
					 crew->check, crew->idle_timer, crew->retry_timer };

	if (crew->prev) {
		*crew->prev = crew->next;
		if (crew->next)
			crew->next->prev = crew->prev;
	}
	crew_close_ring(crew);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		if (events[i])
			event_free(events[i]);
	}
	free(crew->runners);
	free(crew->procs);
	free(crew->init_message);
	free(crew->stack_note);
	free(crew);
}

static int crew_new(struct crews *crews, const struct crew_request *request, struct crew **ret_crew)
{
	struct crew *crew = calloc(1, sizeof(*crew));
	struct timeval idle;

	if (!crew)
		return -ENOMEM;
	crew->crews = crews;
	crew->workload = request->workload;
	crew->shape = request->shape;
	crew->in_order = request->in_order;
	crew->dedicated = request->dedicated;
	crew->n_runners = request->shape.processes * request->shape.threads;
	crew->n_workers = shape_workers(&request->shape);
	crew->runners = calloc(crew->n_runners, sizeof(*crew->runners));
	crew->procs = calloc(crew->shape.processes, sizeof(struct proc *));
	crew->turn = evtimer_new(crews->base, on_turn, crew);
	crew->hold_timer = evtimer_new(crews->base, on_crew_hold, crew);
	crew->tick = evtimer_new(crews->base, on_crew_tick, crew);
	crew->doze = evtimer_new(crews->base, on_crew_doze, crew);
	crew->check = evtimer_new(crews->base, on_crew_check, crew);
	crew->idle_timer = evtimer_new(crews->base, on_idle, crew);
	crew->retry_timer = evtimer_new(crews->base, on_crew_retry, crew);
	if (!crew->runners || !crew->procs || !crew->turn || !crew->hold_timer || !crew->tick || !crew->doze || !crew->check ||
	    !crew->idle_timer || !crew->retry_timer) {
		crew_free(crew);
		return -ENOMEM;
	}
	crew->next = crews->list;
	crew->prev = &crews->list;
	if (crew->next)
		crew->next->prev = &crew->next;
	crews->list = crew;
	idle = to_timeval(crew->workload->config->idle_timeout_ns);
	crew->idle_armed = event_add(crew->idle_timer, &idle) == 0; /* where nobody takes a seat */
	*ret_crew = crew;
	return 0;
}

static bool crew_fits(const struct crew *crew, const struct crew_request *request)
{
	return !crew->ending && crew->workload == request->workload && crew->dedicated == request->dedicated &&
	       crew->in_order == request->in_order && crew->shape.processes == request->shape.processes &&
	       crew->shape.threads == request->shape.threads && crew->shape.coroutines == request->shape.coroutines;
}

int crews_get(struct crews *crews, const struct crew_request *request, struct crew **ret_crew, struct error *err)
{
	uint64_t runners = (uint64_t)request->shape.processes * request->shape.threads;
	struct crew *crew;
	int r;

	if (crews->stopping)
		return error_set(err, -ESHUTDOWN, "stopping", "the daemon is stopping");
	for (crew = crews->list; crew; crew = crew->next) {
		if (crew_fits(crew, request)) {
			*ret_crew = crew;
			return 0;
		}
	}
	if (shape_workers(&request->shape) == 0 || runners > RING_MAX_RUNNERS)
		return error_set(err, -EINVAL, "bad-shape", "a crew has 1 to %d threads in all", RING_MAX_RUNNERS);
	r = crew_new(crews, request, ret_crew);
	if (r < 0)
		return error_set(err, r, "busy", "no memory for a crew of '%s'", request->workload->name);
	return 0;
}

/* ---- All of them ---- */

void crews_kick_all(struct crews *crews)
{
	for (struct crew *crew = crews->list; crew; crew = crew->next)
		crew_turn_soon(crew);
}

bool crews_ready(const struct crews *crews)
{
	return crews->ready;
}

int crews_open(struct loop *loop, struct store *store, const struct crews_options *options, struct crews **ret_crews,
	       struct error *err)
{
	struct crews *crews = calloc(1, sizeof(*crews));
	int r = -ENOMEM;

	if (!crews)
		return error_set(err, r, "internal", "out of memory");
	crews->loop = loop;
	crews->base = loop_base(loop);
	crews->store = store;
	crews->max_processes = options->max_processes ? options->max_processes : UINT32_MAX;
	crews->ops = options->ops;
	crews->ctx = options->ctx;
	crews->worker_path = strdup(options->worker_path);
	if (asprintf(&crews->lock_path, "%s/" LOCK_NAME, options->state_dir) < 0)
		crews->lock_path = NULL; /* asprintf leaves it undefined */
	if (!crews->worker_path || !crews->lock_path) {
		crews_close(crews);
		return error_set(err, r, "internal", "out of memory");
	}
	r = barrier_open(crews, err);
	if (r < 0) {
		crews_close(crews);
		return r;
	}
	*ret_crews = crews;
	return 0;
}

static void kill_at_stop(struct crew *crew)
{
	uint32_t killed = 0;

	for (uint32_t i = 0; i < crew->shape.processes; i++) {
		if (!crew->procs[i] || crew->procs[i]->killed)
			continue;
		killed++;
		proc_kill(crew->procs[i], ORDER_STOP);
	}
	if (killed > 0)
		log_warning("crew: %" PRIu32 " worker process%s of '%s' did not end within the grace time and %s killed%s", killed,
			    killed == 1 ? "" : "es", crew->workload->config->name, killed == 1 ? "is" : "are",
			    crew->out > 0 ? ": what they had begun is not done" : "");
}

/* Each crew has the grace of its workload, from the order to stop on. */
static void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	struct crews *crews = arg;
	int64_t passed_ns = clock_mono_ns() - crews->stopped_ns, next_ns = INT64_MAX;
	struct timeval next;

	(void)fd; /* a timer has none */
	(void)what;
	if (crews->n_processes == 0) {
		crews_process_ended(crews);
		return;
	}
	for (struct crew *crew = crews->list; crew; crew = crew->next) {
		int64_t grace_ns = crew->out > 0 ? crew->workload->config->grace_ns : grace_to_end(crew);
		int64_t left_ns = grace_ns - passed_ns;

		if (left_ns <= 0)
			kill_at_stop(crew);
		else if (crew->n_procs > 0 && left_ns < next_ns)
			next_ns = left_ns;
	}
	next = to_timeval(next_ns);
	if (next_ns < INT64_MAX && event_add(crews->stop_timer, &next) < 0)
		log_error("crew: out of memory: who does not end is not killed"); /* a second signal ends it all */
}

void crews_process_ended(struct crews *crews)
{
	void (*on_stopped)(void *arg) = crews->on_stopped;

	if (!crews->stopping) {
		if (crews->n_processes + 1 >= crews->max_processes)
			crews_kick_all(crews); /* one may have waited for the place */
		return;
	}
	if (crews->n_processes > 0 || !on_stopped)
		return;
	crews->on_stopped = NULL;
	(void)event_del(crews->stop_timer); /* fails only for an event that is none */
	on_stopped(crews->stopped_arg);
}

void crews_stop(struct crews *crews, void (*on_stopped)(void *arg), void *arg)
{
	crews->stopping = true;
	crews->stopped_ns = clock_mono_ns();
	crews->on_stopped = on_stopped;
	crews->stopped_arg = arg;
	barrier_close(crews->barrier);
	crews->barrier = NULL;
	for (struct crew *crew = crews->list; crew; crew = crew->next) {
		crew_enter(crew); /* kept: crews_close() frees it, the walk goes on */
		seats_take_back(crew);
		for (uint32_t i = 0; i < crew->shape.processes; i++) {
			if (crew->procs[i])
				proc_stop(crew->procs[i]);
		}
		crew_turn_soon(crew);
	}
	crews->stop_timer = evtimer_new(crews->base, on_stop_timer, crews);
	if (!crews->stop_timer || event_add(crews->stop_timer, &at_once) < 0) {
		log_error("crew: out of memory: worker processes are killed without grace");
		crews->stopped_ns = 0;
		on_stop_timer(-1, 0, crews);
	}
}

void crews_close(struct crews *crews)
{
	if (!crews)
		return;
	barrier_close(crews->barrier);
	while (crews->list) {
		struct crew *crew = crews->list;

		for (uint32_t i = 0; i < crew->shape.processes; i++) {
			if (crew->procs[i])
				proc_end_now(crew->procs[i]);
		}
		while (crew->seats)
			seat_free(crew->seats);
		crew_free(crew);
	}
	if (crews->stop_timer)
		event_free(crews->stop_timer);
	free(crews->worker_path);
	free(crews->lock_path);
	free(crews);
}

int crews_walk(const struct crews *crews, int (*fn)(void *arg, const struct crew_view *view), void *arg)
{
	int r = 0;

	for (const struct crew *crew = crews->list; crew && r == 0; crew = crew->next) {
		struct crew_view view = {
			.workload = crew->workload->name,
			.shape = crew->shape,
			.dedicated = crew->dedicated != 0,
			.processes = crew->n_procs,
			.idle_runners = crew->ring ? ring_idle_runners(crew->ring) : 0,
			.seats = crew->n_seats,
			.tasks_out = crew->out,
			.starts = crew->starts,
			.deaths = crew->deaths,
			.stack_note = crew->stack_note ? crew->stack_note : "",
		};

		for (uint32_t i = 0; i < crew->shape.processes; i++) {
			const struct proc *proc = crew->procs[i];

			if (!proc)
				continue;
			view.rss_bytes += procfs_rss_bytes(proc->pid);
			if (proc_state_is_stopped(proc_state(proc))) {
				view.stopped++;
				view.stopped_pid = proc->pid;
			}
		}
		r = fn(arg, &view);
	}
	return r;
}
