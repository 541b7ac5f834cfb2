/* New predecessors of a living job. One that is not in memory is read from the disk; those that were in memory at first may have
 * ended and gone there meanwhile, so all are looked at again until nothing more had to be read. */
#include "jobs/after_look.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "jobs/after_private.h"
#include "jobs/job.h"

struct wanted {
	struct after_look *look; /* that has this */
	uint64_t id;
	bool ended; /* so: */
	bool gone; /* it has been removed */
	enum job_state state; /* else how it ended */
	bool forgotten; /* it has not ended, and is not durable */
};

struct after_look {
	struct job *job;
	bool any;
	void (*on_found)(void *arg);
	void *arg;
	uint32_t n_reading;
	bool has_read; /* in this round */
	int status; /* the first read that failed, and of what */
	uint64_t culprit;
	uint32_t n;
	struct wanted at[]; /* n */
};

struct after_look *after_look_new(struct job *job, const uint64_t *ids, size_t n, bool any)
{
	struct after_look *look = calloc(1, sizeof(*look) + n * sizeof(look->at[0]));

	if (!look)
		return NULL;
	look->job = job;
	look->any = any;
	for (size_t i = 0; i < n; i++) {
		uint32_t k = 0;

		while (k < look->n && look->at[k].id != ids[i])
			k++;
		if (k == look->n)
			look->at[look->n++] = (struct wanted){ .look = look, .id = ids[i] };
	}
	return look;
}

void after_look_free(struct after_look *look)
{
	free(look);
}

/* ---- Looking ---- */

static void look_round(struct after_look *look);

static void read_done(struct after_look *look)
{
	if (--look->n_reading > 0)
		return;
	if (look->has_read && look->status == 0)
		look_round(look);
	else
		look->on_found(look->arg);
}

static void on_read(void *arg, int status, struct job *job)
{
	struct wanted *wanted = arg;
	struct after_look *look = wanted->look;

	if (status == -ENOENT) {
		wanted->ended = wanted->gone = true;
	} else if (status < 0) {
		look->status = status;
		look->culprit = wanted->id;
	} else if (job_state_ended(job->state)) {
		wanted->ended = true;
		wanted->state = job->state;
	}
	job_unref(job);
	read_done(look);
}

/* It is in memory. */
static bool is_here(struct jobs *jobs, struct wanted *wanted)
{
	struct job *job;

	job = jobs_find(jobs, wanted->id);
	if (!job)
		return parked_find(jobs, wanted->id) != NULL;
	wanted->ended = job_state_ended(job->state);
	wanted->state = job->state;
	wanted->forgotten = !job->durable;
	return true;
}

static void look_round(struct after_look *look)
{
	struct jobs *jobs = look->job->jobs;

	look->n_reading = 1; /* this function's one keeps on_found from being called in it */
	look->has_read = false;
	for (uint32_t i = 0; i < look->n; i++) {
		if (look->at[i].ended || is_here(jobs, &look->at[i]))
			continue;
		look->has_read = true;
		look->n_reading++;
		jobs_get(jobs, look->at[i].id, on_read, &look->at[i]);
	}
	read_done(look);
}

void after_look_start(struct after_look *look, void (*on_found)(void *arg), void *arg)
{
	look->on_found = on_found;
	look->arg = arg;
	look_round(look);
}

/* ---- What was found ---- */

static int check(const struct after_look *look, struct error *err)
{
	_cleanup_free_ uint64_t *awaited = calloc(look->n + 1u, sizeof(*awaited));
	size_t n = 0;

	if (!awaited)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	if (look->status < 0)
		return error_set(err, look->status, "internal", "job %" PRIu64 ", which it is to follow: %s", look->culprit,
				 strerror(-look->status));
	for (uint32_t i = 0; i < look->n; i++) {
		const struct wanted *wanted = &look->at[i];

		if (wanted->id == 0 || wanted->id >= look->job->jobs->next_id)
			return error_set(err, -ENOENT, "no-such-job", "there is no job %" PRIu64 " to follow; 'concctl list' has "
					 "the jobs there are", wanted->id);
		if (wanted->gone && !look->any)
			return error_set(err, -ENOENT, "no-such-job", "there is no job %" PRIu64 " to follow any more; "
					 "after_failed=run follows it however it ended", wanted->id);
		if (!wanted->ended)
			awaited[n++] = wanted->id;
	}
	return after_circle(look->job->jobs, look->job, awaited, n, err);
}

int after_look_take(struct after_look *look, struct afters **ret_afters, struct error *err)
{
	struct jobs *jobs = look->job->jobs;
	int r = check(look, err);
	struct afters *afters;

	if (r < 0)
		return r;
	afters = afters_new(look->n, look->any);
	if (!afters)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	for (uint32_t i = 0; i < look->n && r == 0; i++) {
		struct after *after = afters_add(afters, look->job, look->at[i].id);

		after->ended = look->at[i].ended;
		after->forgotten = look->at[i].forgotten && !after->ended;
		if (after->ended)
			continue;
		afters->n_awaited++;
		r = follower_wait(jobs, &after->follower, after->id);
	}
	if (r < 0) {
		afters_free(jobs, afters);
		return error_set(err, r, "internal", "out of memory");
	}
	*ret_afters = afters;
	return 0;
}

void after_look_break(struct after_look *look)
{
	for (uint32_t i = 0; i < look->n && !look->any; i++) {
		if (!look->at[i].ended || look->at[i].state == JOB_DONE)
			continue;
		after_broken_by(look->job, look->at[i].id, look->at[i].state);
		return;
	}
}
