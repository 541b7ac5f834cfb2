/* Jobs that follow others: they may begin when their predecessors have ended.
 *
 * What a submission follows was accepted before it, and where that is changed later (after_look.h) none comes to wait for
 * itself: no chain comes back to where it began. One that has not ended is waited for by its number (jobs->followed), one that is not in memory is looked up in
 * the store, before the follower is accepted and again after a restart:
 *
 *	looked up ──> awaited ──> ended well, or followed however it ends ──> the last of them: the job may begin
 *	                 └──────> failed, cancelled ──> the job ends as cancelled, with its own error `predecessor`
 *
 * That a predecessor did badly is on disk, as the follower's end, before the predecessor can be removed (after_needs()). So
 * one that is gone after a restart either did well or was not durable; of the latter nobody knows any more how it ended.
 *
 * Followers that are parked (parked_wait.h) wait in the same lists.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "jobs/after_private.h"
#include "jobs/job.h"
#include "store/store.h"

#define TELL_SLICE 256 /* followers that are told before others have their turn */
#define SHOWN 3 /* predecessors that a job's reason for waiting names */

static uint64_t hash_followed(const struct hash_link *link)
{
	return hash_number(container_of(link, struct followed, link)->id);
}

void after_init(struct jobs *jobs)
{
	linear_hash_init(&jobs->followed, hash_followed);
	STAILQ_INIT(&jobs->ended_followed);
}

struct followed *followed_find(const struct jobs *jobs, uint64_t id)
{
	for (struct hash_link *link = linear_hash_find(&jobs->followed, hash_number(id)); link; link = link->next)
		if (container_of(link, struct followed, link)->id == id)
			return container_of(link, struct followed, link);
	return NULL;
}

uint64_t follower_id(const struct follower *follower)
{
	return follower->wait ? follower->wait->parked->turn.id : container_of(follower, struct after, follower)->job->id;
}

void follower_leave(struct jobs *jobs, struct follower *follower)
{
	struct followed *followed = follower->followed;

	if (!followed)
		return;
	LIST_REMOVE(follower, link);
	follower->followed = NULL;
	if (!LIST_EMPTY(&followed->followers))
		return;
	if (followed->has_ended)
		STAILQ_REMOVE(&jobs->ended_followed, followed, followed, next); /* as a rule the first */
	if (followed->breaks)
		breaking_end(jobs, followed->id);
	linear_hash_remove(&jobs->followed, &followed->link);
	free(followed);
}

int follower_wait(struct jobs *jobs, struct follower *follower, uint64_t id)
{
	struct followed *followed = followed_find(jobs, id);

	if (!followed) {
		followed = calloc(1, sizeof(*followed));
		if (!followed)
			return -ENOMEM;
		followed->id = id;
		LIST_INIT(&followed->followers);
		linear_hash_add(&jobs->followed, &followed->link);
	}
	LIST_INSERT_HEAD(&followed->followers, follower, link);
	follower->followed = followed;
	return 0;
}

/* ---- Predecessors that cannot be removed yet ---- */

struct breaking {
	uint64_t id;
	uint64_t n; /* followers whose end is on its way to the disk */
	UT_hash_handle hh; /* jobs->breakings */
};

void breaking_begin(struct jobs *jobs, uint64_t id)
{
	struct breaking *breaking;

	HASH_FIND(hh, jobs->breakings, &id, sizeof(id), breaking);
	if (!breaking) {
		breaking = calloc(1, sizeof(*breaking));
		if (!breaking)
			return; /* only a removal, and then a kill, within moments could tell */
		breaking->id = id;
		HASH_ADD(hh, jobs->breakings, id, sizeof(breaking->id), breaking);
	}
	breaking->n++;
}

void breaking_end(struct jobs *jobs, uint64_t id)
{
	struct breaking *breaking;

	HASH_FIND(hh, jobs->breakings, &id, sizeof(id), breaking);
	if (!breaking || --breaking->n > 0)
		return;
	HASH_DEL(jobs->breakings, breaking);
	free(breaking);
}

bool after_needs(const struct jobs *jobs, uint64_t id)
{
	struct breaking *breaking;

	HASH_FIND(hh, jobs->breakings, &id, sizeof(id), breaking);
	return breaking != NULL;
}

static void let_breaker_go(struct afters *afters, struct jobs *jobs)
{
	if (afters->breaker > 0)
		breaking_end(jobs, afters->breaker);
	afters->breaker = 0;
}

/* ---- How predecessors end ---- */

static const char *how_it_ended(enum job_state state)
{
	return state == JOB_DONE ? NULL : state == JOB_CANCELLED ? "was cancelled" : state == JOB_FAILED ? "failed" :
									  "was not durable and is forgotten";
}

static void break_off(struct job *job, uint64_t predecessor, const char *how)
{
	char text[128];

	job->begin.afters->broken = true;
	if (job->ending != JOB_ENDING_NO)
		return;
	(void)snprintf(text, sizeof(text), "job %" PRIu64 ", which it was to follow, %s", predecessor, how);
	job_fail_self(job, "predecessor", text);
	job->begin.afters->breaker = predecessor;
	breaking_begin(job->jobs, predecessor);
	if (job->published)
		after_break(job);
}

static void on_break_written(void *arg, int status)
{
	struct job *job = arg; /* the operation has a reference */

	(void)status; /* logged */
	let_breaker_go(job->begin.afters, job->jobs);
}

void after_break(struct job *job)
{
	struct afters *afters = job->begin.afters;

	if (!afters || !afters->broken)
		return;
	job_end_early(job, JOB_ENDING_PREDECESSOR, JOB_ASK);
	if (afters->breaker > 0) /* behind what job_end_early() writes: once it is on disk, so is that */
		job_record_course_then(job, on_break_written, job);
}

void after_broken_by(struct job *job, uint64_t predecessor, enum job_state state)
{
	break_off(job, predecessor, how_it_ended(state));
}

/* how: what is wrong with its end; NULL: nothing. */
static void after_ended(struct after *after, const char *how)
{
	struct job *job = after->job;
	struct afters *afters = job->begin.afters;

	follower_leave(job->jobs, &after->follower);
	after->ended = true;
	afters->n_awaited--;
	if (afters->broken)
		return;
	if (how && !afters->any) {
		break_off(job, after->id, how);
	} else if (afters->n_awaited == 0) {
		job->ready_ns = clock_mono_ns(); /* it did not wait for a worker until now */
		lot_review(job);
		if (job->published)
			job_touch(job);
	}
}

/* The next one, who leaves the list with that, and the list with the last one. */
static void tell_one(struct jobs *jobs, const struct followed *followed)
{
	struct follower *follower = LIST_FIRST(&followed->followers);

	if (follower->wait)
		parked_predecessor_ended(jobs, follower, followed->state);
	else
		after_ended(container_of(follower, struct after, follower), how_it_ended(followed->state));
}

static void tell_some(struct jobs *jobs)
{
	static const struct timeval at_once = { .tv_sec = 0 };
	const struct followed *followed;

	do {
		for (int n = 0; n < TELL_SLICE && (followed = STAILQ_FIRST(&jobs->ended_followed)); n++)
			tell_one(jobs, followed);
	} while (!STAILQ_EMPTY(&jobs->ended_followed) &&
		 (!jobs->followed_event || event_add(jobs->followed_event, &at_once) < 0));
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct jobs *jobs = arg;

	(void)fd; /* a timer */
	(void)what;
	if (jobs->ops_out <= STORE_BACKLOG / 2 && !jobs->stopping)
		tell_some(jobs);
}

void after_go_on(struct jobs *jobs)
{
	if (!STAILQ_EMPTY(&jobs->ended_followed) && jobs->followed_event && jobs->ops_out <= STORE_BACKLOG / 2)
		event_active(jobs->followed_event, EV_TIMEOUT, 0);
}

void after_job_ended(struct jobs *jobs, uint64_t id, enum job_state state)
{
	struct followed *followed = followed_find(jobs, id);

	if (!followed || followed->has_ended)
		return;
	followed->has_ended = true;
	followed->state = state;
	followed->breaks = state != JOB_DONE;
	if (followed->breaks)
		breaking_begin(jobs, id);
	STAILQ_INSERT_TAIL(&jobs->ended_followed, followed, next);
	if (!jobs->followed_event)
		jobs->followed_event = event_new(loop_base(jobs->loop), -1, 0, on_tell, jobs); /* NULL: all of them at once */
	if (STAILQ_FIRST(&jobs->ended_followed) == followed)
		tell_some(jobs); /* else those before it are being told */
}

void after_close(struct jobs *jobs)
{
	if (jobs->followed_event)
		event_free(jobs->followed_event);
}

bool after_forgets(const struct job *job)
{
	const struct afters *afters = job->begin.afters;

	for (uint32_t i = 0; afters && !afters->any && i < afters->n; i++)
		if (afters->at[i].forgotten)
			return true;
	return false;
}

bool after_is_over(const struct job *job)
{
	return !job->begin.afters || job->begin.afters->n_awaited == 0;
}

/* ---- Looking for them ---- */

static void looked(struct afters *afters, uint64_t id, int status)
{
	if (status == 0 || afters->status < 0)
		return;
	afters->status = status;
	afters->culprit = id;
}

/* Recovered before a job that it was made to follow later, which is unfinished on the disk: that one is not in memory yet. */
static bool comes_later(const struct job *job, uint64_t id)
{
	uint8_t state;

	return job->published && id > job->id && job->jobs->starting && store_job_ended(job->jobs->store, id, &state) == 0;
}

/* It is neither alive nor on disk. */
static void not_there(struct after *after)
{
	struct afters *afters = after->job->begin.afters;

	if (after->job->published) /* recovered: its predecessor was there when it was accepted */
		after_ended(after, after->forgotten ? "was not durable and is forgotten" : NULL);
	else if (afters->any)
		after_ended(after, NULL);
	else
		looked(afters, after->id, -ENOENT);
}

static void look_at(struct after *after, int status, const struct job *predecessor)
{
	struct job *job = after->job;
	int r;

	if (status == -ENOENT) {
		not_there(after);
		return;
	}
	if (status == 0 && job_state_ended(predecessor->state)) {
		after_ended(after, how_it_ended(predecessor->state));
		return;
	}
	if (status < 0 && !job->published) {
		looked(job->begin.afters, after->id, status);
		return;
	}
	if (status == 0)
		after->forgotten = !predecessor->durable;
	else
		log_warning("jobs: job %" PRIu64 " waits for job %" PRIu64 ", which cannot be read: %s", job->id, after->id,
			    strerror(-status));
	r = follower_wait(job->jobs, &after->follower, after->id);
	if (r < 0 && job->published)
		break_off(job, after->id, "cannot be waited for: the daemon is out of memory");
	else
		looked(job->begin.afters, after->id, r);
}

static void on_opened(void *arg, int status, struct job *predecessor)
{
	struct after *after = arg;
	struct job *job = after->job;
	struct afters *afters = job->begin.afters;

	if (job->ending == JOB_ENDING_NO && !job_state_ended(job->state))
		look_at(after, status, predecessor);
	job_unref(predecessor);
	if (--afters->n_looking == 0 && afters->on_found)
		afters->on_found(job, afters->arg);
	job_unref(job);
}

int after_find(struct job *job, void (*on_found)(struct job *job, void *arg), void *arg)
{
	struct afters *afters = job->begin.afters;

	if (!afters)
		return 0;
	afters->n_looking = afters->n + 1; /* this function's one keeps on_found from being called in it */
	afters->n_awaited = afters->n;
	for (uint32_t i = 0; i < afters->n; i++) {
		job_ref(job); /* until its answer has come, perhaps at once */
		if (parked_find(job->jobs, afters->at[i].id) || comes_later(job, afters->at[i].id)) { /* it is there, and has not ended */
			int r = follower_wait(job->jobs, &afters->at[i].follower, afters->at[i].id);

			looked(afters, afters->at[i].id, r);
			afters->n_looking--;
			job_unref(job);
			continue;
		}
		jobs_get(job->jobs, afters->at[i].id, on_opened, &afters->at[i]);
	}
	if (--afters->n_looking == 0)
		return afters->status;
	afters->on_found = on_found;
	afters->arg = arg;
	return 1;
}

int after_status(const struct job *job, struct error *err)
{
	const struct afters *afters = job->begin.afters;

	if (afters->status == -ENOENT)
		return error_set(err, -ENOENT, "no-such-job", "there is no job %" PRIu64 " to follow; if it has been removed, "
				 "--after-failed=run follows it however it ended", afters->culprit);
	if (afters->status < 0)
		return error_set(err, afters->status, "internal", "job %" PRIu64 ", which it is to follow: %s",
				 afters->culprit, strerror(-afters->status));
	return 0;
}

void after_unparked(struct job *job, const struct parked_wait *wait)
{
	struct afters *afters = job->begin.afters;

	for (uint32_t i = 0; afters && i < afters->n; i++) {
		struct after *after = &afters->at[i];

		after->ended = !parked_wait_awaits(wait, after->id);
		afters->n_awaited += !after->ended;
		if (after->ended || !job->published)
			continue; /* or it is only looked at */
		if (follower_wait(job->jobs, &after->follower, after->id) < 0)
			break_off(job, after->id, "cannot be waited for: the daemon is out of memory");
	}
}

void after_forget(struct job *job)
{
	struct afters *afters = job->begin.afters;

	for (uint32_t i = 0; afters && i < afters->n; i++)
		follower_leave(job->jobs, &afters->at[i].follower);
}

void afters_free(struct jobs *jobs, struct afters *afters)
{
	if (!afters)
		return;
	for (uint32_t i = 0; i < afters->n; i++)
		follower_leave(jobs, &afters->at[i].follower);
	let_breaker_go(afters, jobs);
	free(afters);
}

void after_free(struct job *job)
{
	afters_free(job->jobs, take_ptr(job->begin.afters));
}

bool after_is_looked_for(const struct job *job)
{
	return job->begin.afters && job->begin.afters->n_looking > 0;
}

/* ---- As asked for, and on disk ---- */

struct afters *afters_new(size_t n, bool any)
{
	struct afters *afters = calloc(1, sizeof(*afters) + n * (sizeof(struct after) + sizeof(uint64_t)));

	if (!afters)
		return NULL;
	afters->any = any;
	afters->ids = (uint64_t *)(void *)&afters->at[n];
	return afters;
}

struct after *afters_add(struct afters *afters, struct job *job, uint64_t id)
{
	struct after *after = &afters->at[afters->n];

	for (uint32_t i = 0; i < afters->n; i++)
		if (afters->at[i].id == id)
			return &afters->at[i];
	afters->ids[afters->n++] = id;
	*after = (struct after){ .job = job, .id = id };
	return after;
}

int after_resolve(struct job *job, const struct job_spec *spec, struct error *err)
{
	if (spec->n_after == 0)
		return 0;
	job->begin.afters = afters_new(spec->n_after, spec->after_any);
	if (!job->begin.afters)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	for (size_t i = 0; i < spec->n_after; i++) {
		if (spec->after[i] == 0 || spec->after[i] >= job->jobs->next_id)
			return error_set(err, -ENOENT, "no-such-job", "there is no job %" PRIu64 " to follow; 'concctl list' "
					 "has the jobs there are", spec->after[i]);
		(void)afters_add(job->begin.afters, job, spec->after[i]); /* one that is there already is there once */
	}
	return 0;
}

/* {"any":false,"jobs":[3,5],"forgotten":[5]} */
int after_format(const struct job *job, json_t *spec)
{
	const struct afters *afters = job->begin.afters;
	json_t *ids = json_array(), *forgotten = json_array();
	int r = 0;

	for (uint32_t i = 0; r == 0 && afters && i < afters->n; i++) {
		json_int_t id = (json_int_t)afters->at[i].id;

		r = json_array_append_new(ids, json_integer(id));
		if (r == 0 && afters->at[i].forgotten)
			r = json_array_append_new(forgotten, json_integer(id));
	}
	if (r == 0 && afters)
		r = json_object_set_new(spec, "after", json_pack("{s:b, s:O, s:O}", "any", afters->any, "jobs", ids,
								 "forgotten", forgotten));
	json_decref(ids);
	json_decref(forgotten);
	return r < 0 ? -ENOMEM : 0;
}

int after_parse(struct job *job, const json_t *spec)
{
	const json_t *after = json_object_get(spec, "after"), *ids = json_object_get(after, "jobs"), *value;
	struct afters *afters;
	size_t i;

	if (json_array_size(ids) == 0)
		return 0;
	job->begin.afters = afters = afters_new(json_array_size(ids), json_is_true(json_object_get(after, "any")));
	if (!afters)
		return -ENOMEM;
	json_array_foreach(ids, i, value)
		(void)afters_add(afters, job, (uint64_t)json_integer_value(value)); /* as above */
	json_array_foreach(json_object_get(after, "forgotten"), i, value) {
		for (uint32_t k = 0; k < afters->n; k++)
			if (afters->at[k].id == (uint64_t)json_integer_value(value))
				afters->at[k].forgotten = true;
	}
	return 0;
}

/* ---- As it looks from outside ---- */

void after_view(const struct job *job, struct job_view *view)
{
	const struct afters *afters = job->begin.afters;

	if (!afters)
		return;
	view->after = afters->ids;
	view->n_after = afters->n;
	view->after_any = afters->any;
}

const char *after_waiting(const struct job *job, const char *begin, char *scratch, size_t scratch_bytes)
{
	const struct afters *afters = job->begin.afters;
	uint32_t shown = 0;
	size_t len;

	if (after_is_over(job))
		return NULL;
	len = (size_t)snprintf(scratch, scratch_bytes, "%s when job%s", begin, afters->n_awaited > 1 ? "s" : "");
	for (uint32_t i = 0; i < afters->n && shown < SHOWN && len < scratch_bytes; i++) {
		if (afters->at[i].ended)
			continue;
		len += (size_t)snprintf(scratch + len, scratch_bytes - len, "%s %" PRIu64, shown > 0 ? "," : "",
					afters->at[i].id);
		shown++;
	}
	if (afters->n_awaited > shown && len < scratch_bytes)
		len += (size_t)snprintf(scratch + len, scratch_bytes - len, " and %" PRIu32 " more",
					afters->n_awaited - shown);
	if (len < scratch_bytes)
		(void)snprintf(scratch + len, scratch_bytes - len, " %s %s", afters->n_awaited > 1 ? "have" : "has",
			       afters->any ? "ended" : "succeeded");
	return scratch;
}
