/* Joining: a submission with the unique key of a job that has not ended names that job; unless it was accepted before and its answer
 * lost, as another job which may have ended since: then it names that one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "jobs/accept.h"
#include "store/store.h"

/* A submission that may be known: whom it would join is looked after when the store has answered. */
struct join {
	struct store_read read;
	struct accept *accept;
	uint64_t holder; /* where that is not in memory */
};

static int refuse(const struct job *holder, struct error *err)
{
	return error_set(err, -EBUSY, "busy", "job %llu, which has the key '%s', is being ended; try again when it has",
			 (unsigned long long)holder->id, unique_key(holder));
}

/* The job is this submission's. */
static bool is_its_own(const struct accept *accept)
{
	const char *submission = accept->job->submission;

	return submission && accept->holder->submission && strcmp(submission, accept->holder->submission) == 0;
}

/* 0, or -errno with words. */
static int may_join(const struct accept *accept, struct error *err)
{
	const struct job *holder = accept->holder;
	const char *key = unique_key(accept->job);

	if (!holder)
		return error_set(err, -EIO, "internal", "the job with the key '%s' cannot be read; the daemon's log says more", key);
	if (accept->refused && !is_its_own(accept))
		return refuse(holder, err);
	if (!holder->published && !job_state_ended(holder->state)) /* one that has ended meanwhile is joined all the same */
		return error_set(err, -EBUSY, "busy",
				 "another submission with the key '%s' came first and was not accepted; try again", key);
	return 0;
}

void accept_joined(struct accept *accept)
{
	struct job *holder = accept->holder;
	struct error err = ERROR_INIT;

	if (accept->status == 0)
		accept->status = may_join(accept, &err);
	if (accept->status < 0) {
		accept_describe_failure(accept->job->jobs, accept->status, &err);
		accept->on_accepted(accept->arg, accept->status, NULL, 0, &err);
	} else {
		accept->on_accepted(accept->arg, is_its_own(accept) ? -EEXIST : -EALREADY, holder, holder->id, NULL);
	}
}

static void answer(struct accept *accept)
{
	struct jobs *jobs = accept->job->jobs;

	if (jobs->crews) {
		accept_turn_soon(accept, accept_joined);
		return;
	}
	accept->status = -ESHUTDOWN; /* jobs_let_go(): there are no more turns */
	accept_joined(accept);
	accept_free(accept);
	jobs_op_done(jobs);
}

/* One that was parked. */
static void on_holder_opened(void *arg, int status, struct job *holder)
{
	struct accept *accept = arg;

	accept->holder = holder; /* the reference too */
	accept->refused = holder && holder->ending != JOB_ENDING_NO;
	(void)status; /* then there is none */
	answer(accept);
}

/* holder: where it is not in memory. */
static void join(struct accept *accept, uint64_t holder)
{
	if (!accept->holder) {
		jobs_get(accept->job->jobs, holder, on_holder_opened, accept);
		return;
	}
	accept->refused = accept->holder->ending != JOB_ENDING_NO;
	if (accept->holder->accept)
		STAILQ_INSERT_TAIL(&accept->holder->accept->joiners, accept, turn);
	else
		answer(accept);
}

static void on_looked_up(struct store_read *read, int status)
{
	struct join *looked = container_of(read, struct join, read);
	struct accept *accept = looked->accept;
	struct jobs *jobs = accept->job->jobs;

	if (status == 0 && read->n_jobs == 1) {
		uint64_t id = read->jobs[0].job.id;
		struct job *job;

		job = jobs_find(jobs, id);
		accept->on_accepted(accept->arg, -EEXIST, job, id, NULL);
		accept_free(accept);
		jobs_op_done(jobs);
	} else {
		join(accept, looked->holder);
	}
	store_read_fini(read);
	free(looked);
}

static int look_up(struct accept *accept, uint64_t holder)
{
	struct join *looked = calloc(1, sizeof(*looked));

	if (!looked)
		return -ENOMEM;
	looked->accept = accept;
	looked->holder = holder;
	looked->read = (struct store_read){ .type = STORE_FIND_SUBMISSION, .submission = accept->job->submission,
					    .on_done = on_looked_up };
	jobs_op_submitted(accept->job->jobs);
	store_read(accept->job->jobs->store, &looked->read);
	return 0;
}

int accept_join(struct accept *accept, const char *submission, struct error *err)
{
	struct job *job = accept->job, *known = NULL, *holder = unique_holder(job);

	if (submission && !(job->submission = strdup(submission)))
		return error_set(err, -ENOMEM, "internal", "out of memory");
	if (submission) /* of jobs that are not on disk */
		known = jobs_find_submission(job->jobs, submission);
	if (known)
		holder = known;
	if (holder)
		accept->holder = job_ref(holder);
	if (submission && !(holder && is_its_own(accept)))
		return look_up(accept, unique_holder_id(job)) < 0 ? error_set(err, -ENOMEM, "internal", "out of memory") : 0;
	if (holder && holder->ending != JOB_ENDING_NO && !submission)
		return refuse(holder, err);
	jobs_op_submitted(job->jobs);
	join(accept, unique_holder_id(job));
	return 0;
}
