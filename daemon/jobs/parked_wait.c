/* What parked jobs wait for, and those of them that are to end. */
#include "jobs/parked_wait.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "jobs/job.h"
#include "jobs/park_lane.h"
#include "store/store.h"

#define DATES_SLICE 1024 /* dates that are looked at before the loop gets a turn */
#define DUE_LOAD 64 /* jobs read at once */

/* ---- Making one ---- */

static struct parked_wait *wait_new(uint32_t n)
{
	struct parked_wait *wait = calloc(1, sizeof(*wait) + n * sizeof(struct follower));

	if (wait)
		wait->n = (uint16_t)n; /* PARK_AFTER_MAX at most */
	return wait;
}

static int wait_for_next_date(struct jobs *jobs, struct parked_wait *wait, int64_t begins_unix_us)
{
	int64_t next = wait->delayed ? begins_unix_us : wait->expires_unix_us;

	return next > 0 ? dates_put(&jobs->parked_dates, &wait->date, next) : 0;
}

static int await(struct jobs *jobs, struct parked_wait *wait, uint64_t id)
{
	struct follower *follower = &wait->followers[wait->n_awaited];
	int r = follower_wait(jobs, follower, id);

	follower->wait = wait;
	wait->n_awaited = (uint16_t)(wait->n_awaited + (r == 0));
	return r;
}

int parked_wait_new(struct job *job, struct parked_wait **ret_wait)
{
	const struct afters *afters = job->begin.afters;
	uint32_t n = after_is_over(job) ? 0 : afters->n_awaited;
	struct parked_wait *wait;
	int r = 0;

	if (n == 0 && !job->begin.delayed && job->begin.expires_unix_us == 0) {
		*ret_wait = NULL;
		return 0;
	}
	wait = wait_new(n);
	if (!wait)
		return -ENOMEM;
	wait->delayed = job->begin.delayed;
	wait->expires_unix_us = job->begin.expires_unix_us;
	wait->after_any = n > 0 && afters->any;
	for (uint32_t i = 0; n > 0 && r == 0 && i < afters->n; i++)
		if (!afters->at[i].ended)
			r = await(job->jobs, wait, afters->at[i].id);
	if (r == 0)
		r = wait_for_next_date(job->jobs, wait, job->begin.begins_unix_us);
	if (r < 0) {
		parked_wait_free(job->jobs, wait);
		return r;
	}
	*ret_wait = wait;
	return 0;
}

void parked_wait_free(struct jobs *jobs, struct parked_wait *wait)
{
	if (!wait)
		return;
	dates_remove(&jobs->parked_dates, &wait->date);
	for (uint32_t i = 0; i < wait->n; i++)
		follower_leave(jobs, &wait->followers[i]);
	if (wait->is_due)
		STAILQ_REMOVE(&jobs->parked_due, wait, parked_wait, due_link);
	if (wait->broken_by > 0)
		breaking_end(jobs, wait->broken_by);
	free(wait);
}

/* ---- At recovery ---- */

static void break_by(struct jobs *jobs, struct parked_wait *wait, uint64_t id, uint8_t state)
{
	if (wait->broken_by > 0)
		return;
	wait->broken_by = id;
	wait->broken_state = state;
	breaking_begin(jobs, id);
}

/* Of job `id`. Most predecessors have lower numbers and were recovered before; those that it was made to follow later need not. */
static int recover_after(struct jobs *jobs, struct parked_wait *wait, uint64_t id, const struct park_after *after)
{
	struct job *job;
	uint8_t state;
	int r;

	job = jobs_find(jobs, after->id);
	if (job || parked_find(jobs, after->id))
		return await(jobs, wait, after->id);
	r = store_job_ended(jobs->store, after->id, &state);
	if (r == 0 && after->id > id)
		return await(jobs, wait, after->id);
	if (r == 0 || (r < 0 && r != -ENOENT))
		return -EAGAIN; /* it could not be recovered */
	if (r == -ENOENT)
		state = after->forgotten ? JOB_OPEN : JOB_DONE; /* removed: else it would have ended this one */
	if (!wait->after_any && state != JOB_DONE)
		break_by(jobs, wait, after->id, state);
	return 0;
}

int parked_wait_recover(struct jobs *jobs, uint64_t id, const struct park_lane *lane, struct parked_wait **ret_wait)
{
	const char *text = lane->after_text;
	struct parked_wait *wait = NULL;
	struct park_after after;
	int r = 0;

	if (lane->begins_unix_us > 0 || lane->expires_unix_us > 0 || lane->n_after > 0) {
		wait = wait_new(lane->n_after);
		if (!wait)
			return -ENOMEM;
		wait->delayed = lane->begins_unix_us > clock_unix_us();
		wait->expires_unix_us = lane->expires_unix_us;
		wait->after_any = lane->after_any;
		for (uint32_t i = 0; r == 0 && i < lane->n_after; i++)
			r = park_lane_next_after(&text, &after) ? recover_after(jobs, wait, id, &after) : -EAGAIN; /* parsed before */
		if (r == 0)
			r = wait_for_next_date(jobs, wait, lane->begins_unix_us);
	}
	if (r < 0) {
		parked_wait_free(jobs, wait);
		return r;
	}
	*ret_wait = wait;
	return 0;
}

/* ---- What keeps it ---- */

bool parked_wait_keeps(const struct parked_wait *wait)
{
	return wait && (wait->delayed || wait->n_awaited > 0 || wait->broken_by > 0 || wait->is_due);
}

bool parked_wait_awaits(const struct parked_wait *wait, uint64_t id)
{
	for (uint32_t i = 0; wait && i < wait->n; i++)
		if (wait->followers[i].followed && wait->followers[i].followed->id == id)
			return true;
	return false;
}

static void now_due(struct jobs *jobs, struct parked_wait *wait)
{
	if (wait->is_due)
		return;
	wait->is_due = true;
	STAILQ_INSERT_TAIL(&jobs->parked_due, wait, due_link);
	parked_leaves_line(wait->parked);
	parked_due_go_on(jobs);
}

void parked_predecessor_ended(struct jobs *jobs, struct follower *follower, enum job_state state)
{
	struct parked_wait *wait = follower->wait;
	uint64_t id = follower->followed->id;

	follower_leave(jobs, follower);
	wait->n_awaited--;
	if (state != JOB_DONE && !wait->after_any) {
		break_by(jobs, wait, id, (uint8_t)state);
		now_due(jobs, wait);
	} else {
		parked_lines_up(jobs, wait->parked);
	}
}

static void date_has_come(struct jobs *jobs, struct parked_wait *wait, int64_t now)
{
	if (wait->expires_unix_us > 0 && wait->expires_unix_us <= now) {
		now_due(jobs, wait);
		return;
	}
	wait->delayed = false;
	(void)wait_for_next_date(jobs, wait, 0); /* the place of its last one is free */
	parked_lines_up(jobs, wait->parked);
}

void parked_on_alarm(struct jobs *jobs)
{
	int64_t now = clock_unix_us();
	struct date *date;

	for (int i = 0; i < DATES_SLICE && (date = dates_take_due(&jobs->parked_dates, now)); i++)
		date_has_come(jobs, container_of(date, struct parked_wait, date), now);
}

void parked_wait_start(struct jobs *jobs, struct parked_wait *wait)
{
	if (!wait)
		return;
	if (wait->broken_by > 0)
		now_due(jobs, wait);
	if (wait->date.place == 1)
		begin_set_alarm(jobs);
}

/* ---- A live job again ---- */

void parked_wait_describe(const struct parked_wait *wait, struct job *job)
{
	job->begin.delayed = wait && wait->delayed;
	after_unparked(job, wait);
}

void parked_wait_hand_over(struct parked_wait *wait, struct job *job)
{
	parked_wait_describe(wait, job);
	if (wait && wait->broken_by > 0)
		after_broken_by(job, wait->broken_by, (enum job_state)wait->broken_state);
	begin_unparked(job);
}

/* ---- Those that are due ---- */

struct due_load {
	struct store_read read;
	struct jobs *jobs;
	uint64_t ids[DUE_LOAD];
};

/* One whose row is not to be found is damaged; it is not asked for again. */
static void forget_missing(struct due_load *load)
{
	for (uint32_t i = 0; i < load->read.n_ids; i++) {
		struct parked *parked = parked_find(load->jobs, load->ids[i]);

		if (!parked || !parked->wait || !parked->wait->is_due)
			continue;
		log_error("jobs: job %" PRIu64 " is not on disk any more: it does not run", load->ids[i]);
		STAILQ_REMOVE(&load->jobs->parked_due, parked->wait, parked_wait, due_link);
		parked->wait->is_due = false;
	}
}

static void on_due_loaded(struct store_read *read, int status)
{
	static const struct timeval later = { .tv_sec = 1 };
	struct due_load *load = container_of(read, struct due_load, read);
	struct jobs *jobs = load->jobs;

	jobs->due_loading = false;
	if (status < 0) {
		log_warning("jobs: jobs that are to end cannot be read back, tried again: %s", strerror(-status));
		(void)event_add(jobs->lots_event, &later); /* without memory the next one that is due tries again */
		jobs->due_failed = true;
	}
	for (size_t i = 0; status == 0 && i < read->n_jobs && !jobs->stopping; i++) {
		struct parked *parked = parked_find(jobs, read->jobs[i].job.id);

		if (parked && parked->wait && parked->wait->is_due)
			job_unref(parked_take(parked, jobs, &read->jobs[i]));
	}
	if (status == 0 && !jobs->stopping)
		forget_missing(load);
	store_read_fini(read);
	free(load);
	jobs_op_done(jobs); /* goes on with the next ones */
}

void parked_due_go_on(struct jobs *jobs)
{
	struct due_load *load;
	struct parked_wait *wait;

	if (STAILQ_EMPTY(&jobs->parked_due) || jobs->due_loading || jobs->due_failed || jobs->stopping ||
	    jobs->starting || jobs->ops_out > STORE_BACKLOG / 2)
		return;
	load = calloc(1, sizeof(*load));
	if (!load)
		return; /* the next operation that is done tries again */
	load->jobs = jobs;
	STAILQ_FOREACH(wait, &jobs->parked_due, due_link) {
		if (load->read.n_ids == DUE_LOAD)
			break;
		load->ids[load->read.n_ids++] = wait->parked->turn.id;
	}
	load->read.type = STORE_READ_LIST;
	load->read.ids = load->ids;
	load->read.on_done = on_due_loaded;
	jobs->due_loading = true;
	jobs_op_submitted(jobs);
	store_read(jobs->store, &load->read);
}
