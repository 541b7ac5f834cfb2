/* Parked jobs: who is, and when they are loaded. */
#include "jobs/parked.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "jobs/park_lane.h"
#include "jobs/parked_wait.h"
#include "store/store.h"

#define RETRY_S 1 /* after a read that failed */
_Static_assert(JOB_MAX_AFTER <= PARK_AFTER_MAX, "of every job");

/* ---- Lots ---- */

static struct lot *lot_get(struct jobs *jobs, const struct lot_key *key)
{
	struct lot *lot;

	HASH_FIND(hh, jobs->lots, key, sizeof(*key), lot);
	if (lot)
		return lot;
	lot = calloc(1, sizeof(*lot));
	if (!lot)
		return NULL;
	lot->key = *key;
	HASH_ADD(hh, jobs->lots, key, sizeof(lot->key), lot);
	return lot;
}

static void lot_drop(struct jobs *jobs, struct lot *lot)
{
	if (lot->n_live > 0 || lot->n_parked > 0 || lot->loading)
		return;
	if (lot->lane)
		lot->lane->lot = NULL;
	HASH_DEL(jobs->lots, lot);
	turns_fini(&lot->waiting);
	free(lot);
}

/* Not looking at what of it is on its way. */
static bool may_ever_park(const struct job *job)
{
	const struct afters *afters = job->begin.afters;

	return job->durable && job->workload && !job->service && (!afters || afters->n <= PARK_AFTER_MAX);
}

/* Something of its own keeps it from beginning. */
static bool is_idle(const struct job *job)
{
	return job->paused || job->begin.delayed || !after_is_over(job);
}

static void key_of(const struct job *job, struct lot_key *ret_key)
{
	memset(ret_key, 0, sizeof(*ret_key)); /* padding too */
	ret_key->workload = job->workload;
	ret_key->shape = job->choice.crew_shape;
	ret_key->in_order = job->choice.in_order;
	ret_key->dedicated = job->choice.dedicated;
}

void lot_enter(struct job *job)
{
	struct lot_key key;

	if (!may_ever_park(job))
		return;
	key_of(job, &key);
	job->lot = lot_get(job->jobs, &key);
	if (!job->lot)
		return; /* no memory: it is never parked */
	job->lot->n_live++;
	lot_review(job);
}

void lot_review(struct job *job)
{
	bool fresh = job->lot && job->started_ns == 0 && !is_idle(job);

	if (!job->lot || fresh == job->fresh)
		return;
	job->fresh = fresh;
	if (fresh) {
		job->lot->n_fresh++;
		return;
	}
	job->lot->n_fresh--;
	lot_refill(job->jobs, job->lot);
}

void lot_begun(struct job *job)
{
	lot_review(job);
}

void lot_leave(struct job *job)
{
	struct lot *lot = job->lot;

	if (!lot)
		return;
	lot->n_fresh -= job->fresh;
	job->fresh = false;
	lot->n_live--;
	job->lot = NULL;
	lot_refill(job->jobs, lot);
	lot_drop(job->jobs, lot);
}

void lot_seated(struct job *job, struct lane *lane)
{
	if (!job->lot || job->lot->key.dedicated)
		return;
	if (job->lot->lane)
		job->lot->lane->lot = NULL; /* of a crew that is ending */
	job->lot->lane = lane;
	lane->lot = job->lot;
}

static bool is_held(const struct jobs *jobs, const struct lot *lot)
{
	return hold_of_workload(jobs, lot->key.workload->name) != NULL;
}

/* How many jobs in memory come before one of this priority, for all that is known. */
static uint32_t n_before(const struct jobs *jobs, const struct lot *lot, int32_t priority)
{
	if (is_held(jobs, lot))
		return lot->n_live; /* whatever they wait for */
	if (!jobs->crews || lot->key.dedicated)
		return lot->n_fresh;
	return lot->lane ? turns_above(&lot->lane->turns, priority - 1) : 0;
}

/* ---- Parking ---- */

char *park_lane_of(const struct job *job)
{
	const struct afters *afters = job->begin.afters;
	_cleanup_free_ struct park_after *after = NULL; /* as few have any */
	struct park_lane lane = {
		.shape = job->choice.crew_shape,
		.in_order = job->choice.in_order,
		.dedicated = job->choice.dedicated,
		.begins_unix_us = job->begin.begins_unix_us,
		.expires_unix_us = job->begin.expires_unix_us,
		.after_any = afters && afters->any,
		.n_after = afters ? afters->n : 0,
		.unique = unique_key(job),
	};

	if (!may_ever_park(job))
		return strdup("");
	if (lane.n_after > 0 && !(after = calloc(lane.n_after, sizeof(*after))))
		return NULL;
	for (uint32_t i = 0; i < lane.n_after; i++)
		after[i] = (struct park_after){ .id = afters->at[i].id, .forgotten = afters->at[i].forgotten };
	lane.after = after;
	return park_lane_format(&lane);
}

/* Of a new one: all that are there came before it. */
static bool enough_wait(const struct jobs *jobs, const struct lot *lot, const struct turn *turn)
{
	const struct turn *first = turns_first(&lot->waiting);

	return (first && turn_before(first, turn)) || n_before(jobs, lot, turn->priority) >= PARK_WINDOW;
}

/* Ownership of wait moves. NULL: out of memory. */
static struct parked *record_add(struct jobs *jobs, struct lot *lot, const struct turn *turn, bool paused,
				 struct parked_wait *wait)
{
	struct parked *parked = malloc(sizeof(*parked));

	if (!parked || turns_reserve(&lot->waiting, lot->n_parked + 1u) < 0) {
		free(parked);
		return NULL;
	}
	*parked = (struct parked){ .turn = *turn, .lot = lot, .paused = paused, .wait = wait, .number = ++jobs->n_parkings };
	parked->turn.at = 0;
	if (wait)
		wait->parked = parked;
	lot->n_parked++;
	lot->n_paused += paused;
	linear_hash_add(&jobs->parked, &parked->link);
	return parked;
}

/* What it waits for, and its key, are the caller's now. */
static void record_remove(struct jobs *jobs, struct parked *parked)
{
	parked_leaves_line(parked);
	parked->lot->n_parked--;
	parked->lot->n_paused -= parked->paused;
	linear_hash_remove(&jobs->parked, &parked->link);
	free(parked);
}

void parked_lines_up(struct jobs *jobs, struct parked *parked)
{
	if (parked->turn.at > 0 || parked->paused || parked->loading || parked_wait_keeps(parked->wait))
		return;
	turns_add(&parked->lot->waiting, &parked->turn);
	lot_refill(jobs, parked->lot);
}

void parked_leaves_line(struct parked *parked)
{
	if (parked->turn.at > 0)
		turns_remove(&parked->lot->waiting, &parked->turn);
}

static bool may_park(const struct job *job, unsigned int n_own)
{
	return job->lot && job->published && job->refs == n_own + 1 && !job->watches && may_ever_park(job) &&
	       (job->state == JOB_QUEUED || job->state == JOB_PAUSED) && job->ending == JOB_ENDING_NO && !job->open &&
	       !job->adding && !job->finishing && job->started_ns == 0 && job->started_unix_us == 0 && job->total > 0 &&
	       job->done + job->failed + job->cancelled == 0 && job->marking == 0 && job->waiting.n == 0 &&
	       !job->history && !job->error_code && job->main.ready.count == job->total && job->n_groups == 0 && job->halves.count == 0 &&
	       (!job->main.seat || crew_seat_out(job->main.seat) == 0) && !job->jobs->stopping;
}

/* One that was loaded, or that nobody looks at any more, keeps its place: only those before it count. */
static bool enough_before(const struct job *job)
{
	const struct turn *first = turns_first(&job->lot->waiting);

	return first && turn_before(first, &job->turn);
}

bool job_park(struct job *job, unsigned int n_own, bool is_new)
{
	struct jobs *jobs = job->jobs;
	struct lot *lot = job->lot;
	struct parked_wait *wait;
	struct parked *parked;

	if (!may_park(job, n_own) || !(is_idle(job) || (is_new ? enough_wait(jobs, lot, &job->turn) : enough_before(job))))
		return false;
	if (parked_wait_new(job, &wait) < 0)
		return false;
	parked = record_add(jobs, lot, &job->turn, job->paused, wait);
	if (!parked) {
		parked_wait_free(jobs, wait);
		return false;
	}
	parked->unique = unique_park(job);
	parked->input_bytes = job->input_bytes;
	schedule_give_up(job);
	job_unpublish(job);
	parked_wait_start(jobs, wait);
	parked_lines_up(jobs, parked);
	return true;
}

/* NULL: it is none that is parked. */
static struct lot *lot_of_row(struct jobs *jobs, const struct store_recovered_job *row, struct park_lane *ret_lane)
{
	struct lot_key key;

	memset(&key, 0, sizeof(key)); /* padding too */
	if (row->begun || row->state.open || row->state.started_unix_us > 0 || row->state.error_code ||
	    row->state.total == 0 || park_lane_parse(row->job.lane, ret_lane) < 0 ||
	    workloads_find(jobs->workloads, row->job.workload, &key.workload, NULL) < 0)
		return NULL;
	key.shape = ret_lane->shape;
	key.in_order = ret_lane->in_order;
	key.dedicated = ret_lane->dedicated;
	return lot_get(jobs, &key);
}

bool park_row(struct jobs *jobs, const struct store_recovered_job *row)
{
	const struct turn turn = { .id = row->job.id, .since_ns = clock_mono_ns(),
				   .priority = turn_priority(row->state.priority) };
	const struct quota_count count = { .jobs = 1, .tasks = row->state.total, .bytes = row->input_bytes };
	bool paused = row->state.state == JOB_PAUSED;
	struct parked_wait *wait = NULL;
	struct unique *unique = NULL;
	struct parked *parked = NULL;
	struct park_lane lane;
	struct lot *lot = lot_of_row(jobs, row, &lane);

	if (lot && parked_wait_recover(jobs, row->job.id, &lane, &wait) == 0 &&
	    (paused || parked_wait_keeps(wait) || enough_wait(jobs, lot, &turn)) &&
	    (!lane.unique || unique_recover(jobs, row, lane.unique, &unique) == 0) &&
	    quota_add(&jobs->quota, row->job.uid, &count) == 0) {
		parked = record_add(jobs, lot, &turn, paused, wait);
		if (!parked)
			quota_sub(&jobs->quota, row->job.uid, &count);
	}
	if (!parked) {
		unique_drop(jobs, unique);
		parked_wait_free(jobs, wait);
		if (lot)
			lot_drop(jobs, lot);
		return false;
	}
	parked->unique = unique;
	parked->input_bytes = row->input_bytes;
	parked_wait_start(jobs, wait);
	parked_lines_up(jobs, parked);
	return true;
}

/* ---- Loading ---- */

struct parked *parked_find(const struct jobs *jobs, uint64_t id)
{
	for (struct hash_link *link = linear_hash_find(&jobs->parked, hash_number(id)); link; link = link->next)
		if (container_of(link, struct parked, link)->turn.id == id)
			return container_of(link, struct parked, link);
	return NULL;
}

bool parked_since(const struct parked *parked, uint32_t n_parkings)
{
	return (int32_t)(parked->number - n_parkings) > 0; /* the count may begin again at 0 */
}

struct job *parked_take(struct parked *parked, struct jobs *jobs, const struct store_recovered_job *row)
{
	const struct parked was = *parked; /* the truth where the row was read a moment too early */
	const struct quota_count count = { .jobs = 1, .tasks = row->state.total, .bytes = was.input_bytes };
	struct error err = ERROR_INIT;
	struct job *job = job_from_row(jobs, row, &err);

	if (job && ranges_add(&job->main.ready, 0, job->total) < 0) {
		job_unref(job);
		job = NULL;
		(void)error_set(&err, -ENOMEM, "internal", "out of memory");
	}
	record_remove(jobs, parked);
	if (!job) {
		log_error("jobs: job %" PRIu64 " stays on disk and does not run: %s", row->job.id, err.text);
		quota_sub(&jobs->quota, row->job.uid, &count);
		unique_drop(jobs, was.unique);
		parked_wait_free(jobs, was.wait);
		lot_drop(jobs, was.lot);
		return NULL;
	}
	job->turn.priority = was.turn.priority;
	job_publish(job);
	job->turn.since_ns = was.turn.since_ns;
	job->input_bytes = was.input_bytes;
	job->counted_tasks = job->total;
	job->ready_ns = clock_mono_ns();
	job->paused = was.paused;
	if (job->paused)
		job_set_state(job, JOB_PAUSED);
	if (was.unique)
		unique_unpark(job, was.unique);
	parked_wait_hand_over(was.wait, job);
	parked_wait_free(jobs, was.wait);
	lot_review(job);
	schedule_start(job);
	schedule_ready(job);
	job_touch(job);
	lot_drop(jobs, was.lot);
	return job;
}

struct lot_load {
	struct store_read read;
	struct jobs *jobs;
	struct lot *lot;
	uint32_t n_parkings; /* when its reading began */
	uint64_t ids[PARK_WINDOW];
};

/* What was not found there any more was taken meanwhile, or is damaged. */
static void load_failed(struct lot_load *load, int status)
{
	static const struct timeval later = { .tv_sec = RETRY_S };

	load->lot->failed = true;
	for (uint32_t i = 0; i < load->read.n_ids; i++) {
		struct parked *parked = parked_find(load->jobs, load->ids[i]);

		if (!parked || !parked->loading || parked_since(parked, load->n_parkings))
			continue;
		parked->loading = false;
		parked_lines_up(load->jobs, parked);
	}
	log_warning("jobs: jobs that wait cannot be read back, tried again: %s", strerror(-status));
	(void)event_add(load->jobs->lots_event, &later); /* without memory the next news of the lot tries again */
}

static void on_loaded(struct store_read *read, int status)
{
	struct lot_load *load = container_of(read, struct lot_load, read);
	struct jobs *jobs = load->jobs;
	struct lot *lot = load->lot;

	lot->loading = NULL;
	if (status < 0)
		load_failed(load, status);
	for (size_t i = 0; status == 0 && i < read->n_jobs; i++) {
		struct parked *parked = parked_find(jobs, read->jobs[i].job.id);

		/* One that was parked anew meanwhile may be another lot's by now, and its row older than it is. */
		if (parked && parked->loading && !parked_since(parked, load->n_parkings) && !jobs->stopping)
			job_unref(parked_take(parked, jobs, &read->jobs[i]));
	}
	if (!jobs->stopping)
		lot_refill(jobs, lot);
	if (lot->lane && jobs->crews)
		crew_kick(lot->lane->crew); /* it may have waited for them */
	lot_drop(jobs, lot);
	store_read_fini(read);
	jobs_op_done(jobs);
	free(load);
}

static struct lot_load *load_new(struct jobs *jobs, struct lot *lot, uint32_t n)
{
	struct lot_load *load = calloc(1, sizeof(*load));
	struct turn *turn;

	if (!load)
		return NULL;
	load->jobs = jobs;
	load->lot = lot;
	load->n_parkings = jobs->n_parkings;
	lot->next = *turns_first(&lot->waiting);
	lot->next_priority = lot->next.priority;
	while (load->read.n_ids < n && (turn = turns_first(&lot->waiting))) {
		turns_remove(&lot->waiting, turn);
		container_of(turn, struct parked, turn)->loading = true;
		if (turn->priority > lot->next_priority)
			lot->next_priority = turn->priority;
		load->ids[load->read.n_ids++] = turn->id;
	}
	load->read.type = STORE_READ_LIST;
	load->read.ids = load->ids;
	load->read.on_done = on_loaded;
	return load;
}

/* Those in the lane have had their turns since, or came later. */
static bool is_next(const struct lot *lot, const struct turn *first)
{
	const struct turn *next = lot->lane && lot->n_live < PARK_LIVE_MAX ? turns_first(&lot->lane->turns) : NULL;

	return next && turn_before(first, next);
}

void lot_refill(struct jobs *jobs, struct lot *lot)
{
	const struct turn *first = turns_first(&lot->waiting);
	uint32_t before;

	if (!first || lot->loading || lot->failed || !jobs->crews || jobs->stopping || is_held(jobs, lot))
		return;
	before = n_before(jobs, lot, first->priority);
	if (before >= PARK_REFILL && !is_next(lot, first))
		return;
	lot->loading = load_new(jobs, lot, before < PARK_REFILL ? PARK_WINDOW - before : PARK_MORE);
	if (!lot->loading)
		return; /* no memory: the next news of the lot tries again */
	jobs_op_submitted(jobs);
	store_read(jobs->store, &lot->loading->read);
}

/* Of equal priority some may have their turn a little early: no worker idles for the disk's sake. */
bool lot_goes_first(struct jobs *jobs, struct lot *lot, const struct turn *turn)
{
	const struct turn *first;

	lot_refill(jobs, lot);
	if (!lot->loading)
		return false;
	if (lot->next_priority > turn->priority && turn_before(&lot->next, turn))
		return true;
	first = turns_first(&lot->waiting);
	return first && turn_before(first, turn) && turns_above(&lot->waiting, turn->priority) > 0;
}

void lots_count(const struct jobs *jobs, uint64_t *ret_queued, uint64_t *ret_paused)
{
	uint64_t queued = 0, paused = 0;

	for (const struct lot *lot = jobs->lots; lot; lot = lot->hh.next) {
		uint32_t of_these = is_held(jobs, lot) ? lot->n_parked : lot->n_paused;

		paused += of_these;
		queued += lot->n_parked - of_these;
	}
	*ret_queued = queued;
	*ret_paused = paused;
}

void lots_refill(struct jobs *jobs)
{
	struct lot *lot, *next;

	HASH_ITER(hh, jobs->lots, lot, next) {
		lot->failed = false;
		lot_refill(jobs, lot);
	}
	jobs->due_failed = false;
	parked_due_go_on(jobs);
}

static uint64_t hash_parked(const struct hash_link *link)
{
	return hash_number(container_of(link, struct parked, link)->turn.id);
}

void lots_init(struct jobs *jobs)
{
	linear_hash_init(&jobs->parked, hash_parked);
}

void lots_close(struct jobs *jobs)
{
	struct hash_link *left = linear_hash_clear(&jobs->parked);
	struct lot *lot, *next_lot;

	while (left) {
		struct parked *parked = container_of(left, struct parked, link);

		left = left->next;
		unique_drop(jobs, parked->unique);
		parked_wait_free(jobs, parked->wait);
		free(parked);
	}
	HASH_ITER(hh, jobs->lots, lot, next_lot) {
		HASH_DEL(jobs->lots, lot);
		turns_fini(&lot->waiting);
		free(lot);
	}
}
