/* A submission that finds no room may be one that was accepted before, and its answer lost: it names the same job, however
 * full it is by now. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "jobs/job.h"
#include "store/store.h"

struct refused {
	struct store_read read;
	struct jobs *jobs;
	char *submission;
	jobs_accepted_fn on_accepted;
	void *arg;
	struct error err;
};

static void on_looked_up(struct store_read *read, int status)
{
	struct refused *refused = container_of(read, struct refused, read);
	struct jobs *jobs = refused->jobs;
	struct job *job = NULL;

	job = jobs_find_submission(jobs, refused->submission);
	if (job) {
		refused->on_accepted(refused->arg, -EEXIST, job, job->id, NULL);
	} else if (status == 0 && read->n_jobs == 1) {
		uint64_t id = read->jobs[0].job.id;

		job = jobs_find(jobs, id);
		refused->on_accepted(refused->arg, -EEXIST, job, id, NULL);
	} else {
		refused->on_accepted(refused->arg, -EBUSY, NULL, 0, &refused->err);
	}
	store_read_fini(read);
	free(refused->submission);
	free(refused);
	jobs_op_done(jobs);
}

int refused_look_up(struct jobs *jobs, const char *submission, jobs_accepted_fn on_accepted, void *arg,
		    const struct error *err)
{
	struct refused *refused = calloc(1, sizeof(*refused));

	if (!refused || !(refused->submission = strdup(submission))) {
		free(refused);
		return -ENOMEM;
	}
	refused->jobs = jobs;
	refused->on_accepted = on_accepted;
	refused->arg = arg;
	refused->err = *err;
	refused->read = (struct store_read){ .type = STORE_FIND_SUBMISSION, .submission = refused->submission,
					     .on_done = on_looked_up };
	jobs_op_submitted(jobs);
	store_read(jobs->store, &refused->read);
	return 0;
}
