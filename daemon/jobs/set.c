/* Changing what a job was accepted with. Everything is checked before anything is changed; what is changed holds for the tasks
 * that begin from now on, and is recorded. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl/protocol.h"
#include "jobs/job.h"
#include "store/store.h"

static int check(const struct job *job, const struct job_changes *changes, struct error *err)
{
	uint64_t most = shape_workers(&job->choice.crew_shape);
	int r = job_may_act(job, err);

	if (r < 0)
		return r;
	if (job->service && changes->what & ~JOB_CHANGE_PRIORITY)
		return error_set(err, -EINVAL, "wrong-state", "job %" PRIu64 " is a service: its stanza says all but its priority",
				 job->id);
	if (changes->what & JOB_CHANGE_WORKERS && (changes->workers == 0 || changes->workers > most))
		return error_set(err, -EINVAL, "bad-workers",
				 "job %" PRIu64 " runs in a crew with room for %" PRIu64 " tasks at once: workers is to be "
				 "1 to %" PRIu64 "; `run -j` makes larger crews", job->id, most, most);
	if (changes->what & JOB_CHANGE_PRIORITY &&
	    (changes->priority < PROTOCOL_MIN_PRIORITY || changes->priority > PROTOCOL_MAX_PRIORITY))
		return error_set(err, -EINVAL, "bad-request", "query: priority: %" PRId64 " is not from %d to %d",
				 changes->priority, PROTOCOL_MIN_PRIORITY, PROTOCOL_MAX_PRIORITY);
	if (changes->what & JOB_CHANGE_RETRIES && changes->retries > JOB_MAX_RETRIES)
		return error_set(err, -EINVAL, "bad-request", "query: retries: %" PRIu64 " is not from 0 to %d",
				 changes->retries, JOB_MAX_RETRIES);
	return 0;
}

static void set_workers(struct job *job, uint32_t workers)
{
	bool fewer = workers < job->choice.workers;

	job->choice.workers = workers;
	schedule_share(job);
	if (job->main.seat && fewer)
		crew_recall(job->main.seat); /* what waits in the crew beyond that is handed out again as fits */
}

static void apply(struct job *job, const struct job_changes *changes, char *label)
{
	if (changes->what & JOB_CHANGE_WORKERS)
		set_workers(job, (uint32_t)changes->workers);
	if (changes->what & JOB_CHANGE_PRIORITY)
		lane_set_priority(job, (int32_t)changes->priority);
	if (changes->what & JOB_CHANGE_TIMEOUT)
		job_timeout_change(job, changes->timeout_ns);
	if (changes->what & JOB_CHANGE_RETRIES)
		job->retries = (uint32_t)changes->retries;
	if (changes->what & JOB_CHANGE_BACKOFF)
		job->backoff_ns = changes->backoff_ns;
	if (changes->what & JOB_CHANGE_LABEL) {
		free(job->label);
		job->label = label;
	}
	job_touch(job);
}

/* ---- On disk ---- */

struct spec_op {
	struct store_op op;
	struct job *job; /* a reference */
	char *spec;
	void (*on_done)(void *arg, int status);
	void *arg;
};

static void spec_op_free(struct spec_op *write)
{
	if (!write)
		return;
	job_unref(write->job);
	free(write->spec);
	free(write);
}

static void on_spec_written(struct store_op *op, int status)
{
	struct spec_op *write = container_of(op, struct spec_op, op);
	struct jobs *jobs = write->job->jobs;

	write->on_done(write->arg, status);
	spec_op_free(write);
	jobs_op_done(jobs);
}

static int record(struct job *job, void (*on_done)(void *arg, int status), void *arg)
{
	struct spec_op *write = calloc(1, sizeof(*write));

	if (!write)
		return -ENOMEM;
	write->job = job_ref(job);
	write->on_done = on_done;
	write->arg = arg;
	write->spec = job_spec_format(job);
	if (!write->spec) {
		spec_op_free(write);
		return -ENOMEM;
	}
	write->op = (struct store_op){ .type = STORE_JOB_SPEC, .job = job->id, .u.spec = write->spec,
				       .on_done = on_spec_written };
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &write->op);
	return 0;
}

int job_set(struct job *job, const struct job_changes *changes, void (*on_done)(void *arg, int status), void *arg,
	    struct error *err)
{
	bool has_label = changes->what & JOB_CHANGE_LABEL && changes->label && *changes->label;
	char *label = has_label ? strdup(changes->label) : NULL;
	int r = has_label && !label ? error_set(err, -ENOMEM, "internal", "out of memory") : check(job, changes, err);

	if (r < 0) {
		free(label);
		return r;
	}
	apply(job, changes, label);
	if (!(changes->what & ~JOB_CHANGE_PRIORITY) || !job->durable) { /* the priority is no part of the specification */
		job_record_course_then(job, on_done, arg);
		return 0;
	}
	if (changes->what & JOB_CHANGE_PRIORITY)
		job_record_course(job); /* goes first, so that the answer comes after both */
	r = record(job, on_done, arg);
	return r < 0 ? error_set(err, r, "internal", "it is so, but not on disk: out of memory") : 0;
}
