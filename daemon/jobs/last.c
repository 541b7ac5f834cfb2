/* The job that a user submitted last. The newest of each user are known from the start, so that nobody has the store look for one
 * that is not there; only where the newest has been removed the one before it is looked for, once. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "jobs/job.h"
#include "store/store.h"

struct last {
	uint32_t uid;
	uint64_t stored; /* the newest on disk, as far as is known; 0: none */
	uint64_t kept; /* of those that are not on disk */
	UT_hash_handle hh; /* jobs->lasts */
};

/* NULL: out of memory. */
static struct last *last_of(struct jobs *jobs, uint32_t uid)
{
	struct last *last;

	HASH_FIND(hh, jobs->lasts, &uid, sizeof(uid), last);
	if (last)
		return last;
	last = calloc(1, sizeof(*last));
	if (!last)
		return NULL;
	last->uid = uid;
	HASH_ADD(hh, jobs->lasts, uid, sizeof(last->uid), last);
	return last;
}

static int on_stored(void *arg, uint64_t id, uint32_t uid)
{
	struct last *last = last_of(arg, uid);

	if (!last)
		return -ENOMEM;
	if (id > last->stored)
		last->stored = id;
	return 0;
}

int lasts_recover(struct jobs *jobs)
{
	return store_recover_users(jobs->store, on_stored, jobs);
}

void last_note(const struct job *job)
{
	struct last *last = job->service ? NULL : last_of(job->jobs, job->uid);
	uint64_t *newest;

	if (job->service)
		return;
	if (!last) {
		log_warning("jobs: job %" PRIu64 " is not found as @last: out of memory", job->id);
		return;
	}
	newest = job->durable ? &last->stored : &last->kept;
	if (job->id > *newest)
		*newest = job->id;
}

void lasts_close(struct jobs *jobs)
{
	struct last *last, *next;

	HASH_ITER(hh, jobs->lasts, last, next) {
		HASH_DEL(jobs->lasts, last);
		free(last);
	}
}

/* ---- Looking ---- */

struct look {
	struct store_read read;
	struct jobs *jobs;
	void (*on_found)(void *arg, int status, uint64_t id);
	void *arg;
};

/* The newest of those that are not on disk; the one that is known may have been removed. */
static uint64_t newest_kept(const struct jobs *jobs, struct last *last)
{
	const struct job *job;

	if (last->kept == 0)
		return 0;
	job = jobs_find(jobs, last->kept);
	if (job && !job->removed)
		return last->kept;
	last->kept = 0;
	TAILQ_FOREACH_REVERSE(job, &jobs->order.list, job_list, link) {
		if (!job->durable && !job->removed && job->uid == last->uid) {
			last->kept = job->id;
			break;
		}
	}
	return last->kept;
}

/* Frees it. id: the newest on disk, where status is 0. */
static void found(struct look *look, int status, uint64_t id)
{
	struct jobs *jobs = look->jobs;
	struct last *last = last_of(jobs, look->read.uid);
	uint64_t kept = last ? newest_kept(jobs, last) : 0;

	if (status == 0 || status == -ENOENT) {
		if (status == -ENOENT || kept > id)
			id = kept;
		status = id > 0 ? 0 : -ENOENT;
	}
	look->on_found(look->arg, status, id);
	store_read_fini(&look->read);
	free(look);
	jobs_op_done(jobs);
}

static void on_looked(struct store_read *read, int status);

static void look_below(struct look *look, uint64_t id)
{
	uint32_t uid = look->read.uid;

	store_read_fini(&look->read);
	look->read = (struct store_read){ .type = STORE_READ_LAST, .uid = uid, .below = id, .on_done = on_looked };
	store_read(look->jobs->store, &look->read);
}

/* The daemon made it, nobody submitted it. A quote that is part of a text has a backslash in front. */
static bool is_service(const struct store_recovered_job *row)
{
	return row->job.spec && strstr(row->job.spec, "\"service\":true");
}

static void on_looked(struct store_read *read, int status)
{
	struct look *look = container_of(read, struct look, read);
	struct last *last = last_of(look->jobs, read->uid);

	if (status == 0) {
		uint64_t id = read->jobs[0].job.id;

		if (last && read->type == STORE_READ_LAST && last->stored == read->below)
			last->stored = id;
		if (is_service(&read->jobs[0]))
			look_below(look, id);
		else
			found(look, 0, id);
	} else if (status == -ENOENT && read->type == STORE_READ_JOB) { /* it was removed: the one before it */
		look_below(look, read->job);
	} else {
		if (last && status == -ENOENT && last->stored == read->below)
			last->stored = 0;
		found(look, status, 0);
	}
}

void jobs_last(struct jobs *jobs, uint32_t uid, void (*on_found)(void *arg, int status, uint64_t id), void *arg)
{
	struct look *look = calloc(1, sizeof(*look));
	struct last *last;

	HASH_FIND(hh, jobs->lasts, &uid, sizeof(uid), last);
	if (!look) {
		on_found(arg, -ENOMEM, 0);
		return;
	}
	look->jobs = jobs;
	look->on_found = on_found;
	look->arg = arg;
	jobs_op_submitted(jobs);
	look->read = (struct store_read){ .type = STORE_READ_JOB, .uid = uid, .job = last ? last->stored : 0, .on_done = on_looked };
	if (look->read.job == 0)
		found(look, -ENOENT, 0);
	else
		store_read(jobs->store, &look->read);
}
