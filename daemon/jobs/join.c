/* Joining: a submission with the unique key of a job that has not ended names that job. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "jobs/accept.h"

static int refuse(const struct job *holder, struct error *err)
{
	return error_set(err, -EBUSY, "busy", "job %llu, which has the key '%s', is being ended; try again when it has",
			 (unsigned long long)holder->id, unique_key(holder));
}

/* 0, or -errno with words. */
static int may_join(const struct accept *accept, struct error *err)
{
	const struct job *holder = accept->holder;
	const char *key = unique_key(accept->job);

	if (!holder)
		return error_set(err, -EIO, "internal", "the job with the key '%s' cannot be read; the daemon's log says more", key);
	if (accept->refused)
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
		bool same = accept->job->submission && holder->submission &&
			    strcmp(accept->job->submission, holder->submission) == 0;

		accept->on_accepted(accept->arg, same ? -EEXIST : -EALREADY, holder, holder->id, NULL);
	}
}

/* One that was parked. */
static void on_holder_opened(void *arg, int status, struct job *holder)
{
	struct accept *accept = arg;

	accept->holder = holder; /* the reference too */
	accept->refused = holder && holder->ending != JOB_ENDING_NO;
	(void)status; /* then there is none */
	accept_turn_soon(accept, accept_joined);
}

int accept_join(struct accept *accept, const char *submission, struct error *err)
{
	struct job *job = accept->job, *holder = unique_holder(job);

	if (submission && !(job->submission = strdup(submission)))
		return error_set(err, -ENOMEM, "internal", "out of memory");
	if (holder && holder->ending != JOB_ENDING_NO)
		return refuse(holder, err);
	jobs_op_submitted(job->jobs);
	if (!holder) {
		jobs_get(job->jobs, unique_holder_id(job), on_holder_opened, accept);
		return 0;
	}
	accept->holder = job_ref(holder);
	if (holder->accept)
		STAILQ_INSERT_TAIL(&holder->accept->joiners, accept, turn);
	else
		accept_turn_soon(accept, accept_joined);
	return 0;
}
