/* Services and their stanzas: at the start each stanza with `service = true` has one job, and each such job a stanza. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "jobs/service.h"
#include "store/store.h"

const char *service_model(const char *model_of_stanza)
{
	return strcmp(model_of_stanza, "process") == 0 ? "process" : "thread";
}

/* What a stanza asks for: one worker in a crew of its own, no end that comes by the clock. */
static struct job_spec spec_for(const struct workload_config *stanza)
{
	return (struct job_spec){
		.workload = stanza->name,
		.model = { .model = service_model(stanza->model), .workers = 1, .dedicated = true },
		.task_timeout_ns = 0,
		.retries = 0,
		.backoff_ns = -1,
		.durable = true,
		.service = true,
		.uid = (uint32_t)geteuid(),
	};
}

int service_check_spec(struct jobs *jobs, const struct job_spec *spec, struct error *err)
{
	const struct workload_config *stanza = config_find_workload(jobs->config, spec->workload);
	const struct job *job;

	if (spec->service || !stanza || !stanza->service)
		return 0;
	job = services_find(jobs, spec->workload);
	if (!job)
		return error_set(err, -EINVAL, "bad-request",
				 "workload '%s' is a service (service = true in its stanza) and is not run by hand; "
				 "it starts with the daemon", spec->workload);
	return error_set(err, -EINVAL, "bad-request",
			 "workload '%s' is a service and is not run by hand: it is job %" PRIu64 "; "
			 "`concctl restart %" PRIu64 "` starts it anew", spec->workload, job->id, job->id);
}

/* ---- What its stanza says now ---- */

struct spec_op {
	struct store_op op;
	struct job *job; /* a reference */
	char *spec;
};

static void on_spec_written(struct store_op *op, int status)
{
	struct spec_op *write = container_of(op, struct spec_op, op);

	if (status < 0)
		log_warning("jobs: job %" PRIu64 ": its changed stanza is not on disk, ignoring: the next start compares again: %s",
			    write->job->id, strerror(-status));
	jobs_op_done(write->job->jobs);
	job_unref(write->job);
	free(write->spec);
	free(write);
}

/* Takes the text over. */
static void write_spec(struct job *job, char *spec)
{
	struct spec_op *write = calloc(1, sizeof(*write));

	if (!write) {
		free(spec); /* as in on_spec_written() */
		return;
	}
	write->job = job_ref(job);
	write->spec = spec;
	write->op = (struct store_op){ .type = STORE_JOB_SPEC, .job = job->id, .u.respec.spec = spec, .on_done = on_spec_written };
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &write->op);
}

/* Take what is fixed at acceptance from a job that was resolved for nothing else. */
static void take_resolved(struct job *job, struct job *from)
{
	struct job old = *job;

	job->choice = from->choice;
	job->model_reason = from->model_reason;
	job->choice.reason = job->model_reason;
	job->params = from->params;
	job->param_flags = from->param_flags;
	job->n_params = from->n_params;
	job->grace_ns = from->grace_ns;
	job->backoff_ns = from->backoff_ns;
	job->max_crashes = from->max_crashes;
	from->model_reason = old.model_reason; /* freed with it */
	from->params = old.params;
	from->param_flags = old.param_flags;
	from->n_params = old.n_params;
}

static void renew(struct job *job, const struct workload_config *stanza)
{
	const struct job_spec spec = spec_for(stanza);
	_cleanup_free_ char *old = job_spec_format(job);
	struct job *fresh = job_new(job->jobs, 0);
	struct error err = ERROR_INIT;
	char *now = NULL;
	int r = old && fresh ? job_resolve(fresh, &spec, &err) : error_set(&err, -ENOMEM, "internal", "out of memory");

	if (r == 0 && !(now = job_spec_format(fresh)))
		r = error_set(&err, -ENOMEM, "internal", "out of memory");
	if (r < 0) {
		log_error("jobs: service '%s' (job %" PRIu64 ") goes on as its stanza was before: %s", stanza->name,
			  job->id, err.text);
	} else if (strcmp(old, now) != 0) {
		log_info("jobs: service '%s' (job %" PRIu64 "): its stanza has changed, it starts with that",
			 stanza->name, job->id);
		take_resolved(job, fresh);
		write_spec(job, take_ptr(now));
	}
	free(now);
	job_unref(fresh);
}

/* ---- A job for each ---- */

static void on_accepted(void *arg, int status, struct job *job, uint64_t existing_id, const struct error *err)
{
	const struct workload_config *stanza = arg;

	(void)existing_id; /* its submission is new */
	if (status == 0)
		log_info("jobs: service '%s' is job %" PRIu64, stanza->name, job->id);
	else
		log_error("jobs: service '%s' does not start: %s", stanza->name, err ? err->text : strerror(-status));
}

static void make(struct jobs *jobs, const struct workload_config *stanza)
{
	const struct job_spec spec = spec_for(stanza);
	struct buffer inputs = BUFFER_INIT; /* one empty input: its length */
	struct error err = ERROR_INIT;
	int r = buffer_add(&inputs, "", 1);

	if (r == 0)
		r = jobs_submit(jobs, &spec, &inputs, on_accepted, (void *)(uintptr_t)stanza, &err);
	if (r < 0)
		log_error("jobs: service '%s' does not start: %s", stanza->name, err.code ? err.text : strerror(-r));
	buffer_fini(&inputs);
}

void services_start(struct jobs *jobs)
{
	struct job *job, *next;

	for (job = TAILQ_FIRST(&jobs->order.list); job; job = next) {
		const struct workload_config *stanza;

		next = TAILQ_NEXT(job, link);
		if (!job->service || job->ending != JOB_ENDING_NO)
			continue;
		stanza = config_find_workload(jobs->config, job->workload_name);
		if (!stanza || !stanza->service || services_find(jobs, job->workload_name) != job) {
			log_info("jobs: service '%s' (job %" PRIu64 ") is no longer in the configuration: it is cancelled",
				 job->workload_name, job->id);
			job_end_early(job, JOB_ENDING_CANCELLED, JOB_ASK);
			continue;
		}
		if (job->workload)
			renew(job, stanza);
		if (job->paused || hold_of(job))
			service_keep_down(job);
	}
	for (size_t i = 0; i < jobs->config->n_workloads; i++) {
		const struct workload_config *stanza = &jobs->config->workloads[i];

		if (stanza->service && !services_find(jobs, stanza->name))
			make(jobs, stanza);
	}
}
