/* Removing ended jobs, and finding the last one of a user. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "jobs/job.h"
#include "store/store.h"

/* ---- Removing ---- */

struct removal {
	LIST_ENTRY(removal) link; /* jobs->removals */
	struct store_op op;
	struct jobs *jobs;
	void (*on_done)(void *arg, int status);
	void *arg;
};

bool remove_is_under_way(const struct jobs *jobs, uint64_t id)
{
	const struct removal *removal;

	LIST_FOREACH(removal, &jobs->removals, link) /* a page of retention's, or what some verbs have in work */
		if (removal->op.job == id)
			return true;
	return false;
}

/* Everybody has a copy of an ended job of his own: all of them are told, and those who are about to get one do not. */
static void mark_removed(struct jobs *jobs, uint64_t id, bool removed)
{
	struct job *job, *next;

	gets_note_removal(jobs, id, removed);
	for (job = TAILQ_FIRST(&jobs->opened); job; job = next) {
		next = TAILQ_NEXT(job, opened_link);
		if (job->id != id || job->removed == removed)
			continue;
		job->removed = removed;
		job_notify_progress(job); /* watchers note it, they free nothing */
	}
}

static void on_removed(struct store_op *op, int status)
{
	struct removal *removal = container_of(op, struct removal, op);
	struct jobs *jobs = removal->jobs;

	if (status < 0 && status != -ENOENT)
		mark_removed(jobs, op->job, false); /* its row is still there */
	LIST_REMOVE(removal, link);
	removal->on_done(removal->arg, status);
	free(removal);
	jobs_op_done(jobs);
}

int jobs_remove_stored(struct jobs *jobs, uint64_t id, void (*on_done)(void *arg, int status), void *arg)
{
	struct removal *removal;
	struct job *job;

	/* Its end may be on disk, and seen there, before it is known here: who watches it, follows it or is to be run for it has not
	 * been told yet. */
	job = jobs_find(jobs, id);
	if (job || again_needs(jobs, id) || after_needs(jobs, id) || hook_needs(jobs, id) || remove_is_under_way(jobs, id))
		return -EBUSY;
	removal = calloc(1, sizeof(*removal));
	if (!removal)
		return -ENOMEM;
	removal->jobs = jobs;
	removal->on_done = on_done;
	removal->arg = arg;
	removal->op = (struct store_op){
		.type = STORE_JOB_DELETE,
		.may_fail = true,
		.job = id,
		.on_done = on_removed,
	};
	LIST_INSERT_HEAD(&jobs->removals, removal, link);
	mark_removed(jobs, id, true);
	jobs_op_submitted(jobs);
	store_submit(jobs->store, &removal->op);
	return 0;
}

int job_remove(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	struct jobs *jobs = job->jobs;
	int r;

	if (!job_state_ended(job->state))
		return error_set(err, -EBUSY, "wrong-state", "job %" PRIu64 " is %s: cancel it first", job->id,
				 job_state_name(job->state));
	if (jobs->stopping)
		return error_set(err, -ESHUTDOWN, "stopping", "the daemon is shutting down; try again after its restart");
	if (job->removed)
		return error_set(err, -ENOENT, "no-such-job", "job %" PRIu64 " is being removed already", job->id);
	if (again_needs(jobs, job->id))
		return error_set(err, -EBUSY, "busy", "the inputs of job %" PRIu64 " are being copied by a retry; try again",
				 job->id);
	if (after_needs(jobs, job->id))
		return error_set(err, -EBUSY, "busy", "jobs that follow job %" PRIu64 " are being cancelled because of its end; try "
				 "again", job->id);
	if (hook_needs(jobs, job->id))
		return error_set(err, -EBUSY, "busy", "the hook of job %" PRIu64 " has not ended yet; try again", job->id);
	if (!job->durable) {
		job->removed = true;
		job_notify_progress(job);
		job_forget_kept(job);
		on_done(arg, 0);
		return 0;
	}
	if (job->published) /* it has ended a moment ago, and its watchers are being told */
		return error_set(err, -EBUSY, "busy", "job %" PRIu64 " is just ending; try again", job->id);
	r = jobs_remove_stored(jobs, job->id, on_done, arg);
	return r == -ENOMEM ? error_set(err, r, "internal", "out of memory") : r;
}
