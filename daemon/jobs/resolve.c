/* What a job runs as: workload, model, parameters and limits, resolved once at acceptance and kept with the job. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "concd/plugin.h"
#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "jobs/spec_read.h"

/* Of all parameters: they go to each worker process in one message (WIRE_MAX_BYTES). */
#define MAX_PARAM_BYTES (96 * 1024)
#define MAX_RAN_NS (INT64_MAX / 2) /* more is damage, and sums stay in range */
#define SPEC_WORD_BYTES 64 /* of a recorded model or shape: any there is fits */

static const char *param_name_at(const void *names, size_t i)
{
	return ((const struct plugin_param *)names)[i].name;
}

static int unknown_param(const struct workload *workload, const char *name, struct error *err)
{
	const char *nearest =
		text_nearest(name, workload->info->params, workload->info->n_params, param_name_at);

	if (nearest)
		return error_set(err, -EINVAL, "bad-parameter",
				 "workload '%s' has no parameter '%s'; did you mean '%s'?", workload->name, name,
				 nearest);
	return error_set(err, -EINVAL, "bad-parameter",
			 "workload '%s' has no parameter '%s'; `concctl params %s` lists them", workload->name, name,
			 workload->name);
}

static const char *pair_find(const struct config_pair *pairs, size_t n, const char *name)
{
	for (size_t i = n; i > 0; i--) /* the last one given counts */
		if (strcmp(pairs[i - 1].name, name) == 0)
			return pairs[i - 1].value;
	return NULL;
}

static int resolve_params(struct job *job, const struct job_spec *spec, struct error *err)
{
	const struct plugin_info *info = job->workload->info;
	const struct workload_config *config = job->workload->config;
	size_t bytes = 0;

	for (size_t i = 0; i < spec->n_params; i++) {
		const struct plugin_param *param = plugin_info_find_param(info, spec->params[i].name);
		int r = param ? plugin_param_check(param, spec->params[i].value, err) :
				unknown_param(job->workload, spec->params[i].name, err);

		if (r < 0)
			return r;
	}
	if (info->n_params == 0)
		return 0;
	job->params = calloc(info->n_params, sizeof(*job->params));
	job->param_flags = calloc(info->n_params, sizeof(*job->param_flags));
	if (!job->params || !job->param_flags)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	for (size_t i = 0; i < info->n_params; i++) {
		const struct plugin_param *param = &info->params[i];
		const char *value = pair_find(spec->params, spec->n_params, param->name);

		if (!value)
			value = pair_find(config->params, config->n_params, param->name);
		job->params[i].name = strdup(param->name);
		job->params[i].value = strdup(value ? value : param->value);
		job->param_flags[i] = param->flags;
		job->n_params = i + 1;
		if (!job->params[i].name || !job->params[i].value)
			return error_set(err, -ENOMEM, "internal", "out of memory");
		bytes += strlen(job->params[i].name) + strlen(job->params[i].value);
	}
	if (bytes > MAX_PARAM_BYTES)
		return error_set(err, -EINVAL, "bad-parameter",
				 "the parameters are %zu bytes in all, the limit is %d: hand large things over as inputs or files",
				 bytes, MAX_PARAM_BYTES);
	return 0;
}

int job_resolve(struct job *job, const struct job_spec *spec, struct error *err)
{
	struct jobs *jobs = job->jobs;
	const struct workload_config *config;
	int r;

	if (jobs->stopping)
		return error_set(err, -ESHUTDOWN, "stopping", "the daemon is shutting down and takes no jobs");
	if (spec->like)
		return again_resolve(job, spec, err);
	r = workloads_find(jobs->workloads, spec->workload, &job->workload, err);
	if (r == 0)
		r = service_check_spec(jobs, spec, err);
	if (r < 0)
		return r;
	r = model_choose(job->workload, &spec->model, jobs->n_processors, jobs->config->max_workers, &job->choice,
			 err);
	if (r < 0)
		return r;
	r = resolve_params(job, spec, err);
	if (r < 0)
		return r;
	config = job->workload->config;
	job->own_workers = spec->model.workers > 0;
	job->durable = spec->durable && config->durable;
	job->open = spec->open;
	job->uid = spec->uid;
	job->timeout_ns = spec->timeout_ns;
	job->task_timeout_ns = spec->task_timeout_ns >= 0 ? spec->task_timeout_ns : config->task_timeout_ns;
	job->grace_ns = config->grace_ns;
	job->max_crashes = config->max_crashes;
	job->retries = spec->retries >= 0 ? (uint32_t)spec->retries : config->retries;
	job->backoff_ns = spec->backoff_ns >= 0 ? spec->backoff_ns : config->backoff_ns;
	job->turn.priority = spec->priority != JOB_PRIORITY_UNSET ? spec->priority : config->priority;
	job->halt = spec->halt;
	r = begin_resolve(job, spec, err);
	if (r < 0)
		return r;
	job->workload_name = strdup(job->workload->name);
	job->model_reason = strdup(job->choice.reason);
	if (spec->label && *spec->label)
		job->label = strdup(spec->label);
	if (!job->workload_name || !job->model_reason || (spec->label && *spec->label && !job->label) ||
	    (spec->service && service_init(job) < 0))
		return error_set(err, -ENOMEM, "internal", "out of memory");
	r = hook_resolve(job, spec, err);
	return r < 0 ? r : unique_resolve(job, spec, err);
}

int jobs_check(struct jobs *jobs, const struct job_spec *spec, struct model_choice *ret_choice, uint64_t *ret_joins,
	       struct error *err)
{
	struct job *job = job_new(jobs, 0);
	int r = job ? job_resolve(job, spec, err) : error_set(err, -ENOMEM, "internal", "out of memory");

	if (r == 0) {
		*ret_choice = job->choice;
		*ret_joins = unique_holder_id(job);
	}
	job_unref(job);
	return r;
}

static char *span_copy(const struct spec_span *span)
{
	return strndup(span->at, span->len);
}

static int parse_params(struct job *job, const struct spec_read *spec)
{
	if (spec->n_params == 0)
		return 0;
	job->params = calloc(spec->n_params, sizeof(*job->params));
	job->param_flags = calloc(spec->n_params, sizeof(*job->param_flags));
	if (!job->params || !job->param_flags)
		return -ENOMEM;
	for (size_t i = 0; i < spec->n_params; i++) {
		struct config_pair *pair = &job->params[i];
		const struct plugin_param *param;

		pair->name = span_copy(&spec->params[i].name);
		pair->value = span_copy(&spec->params[i].value);
		job->n_params = i + 1;
		if (!pair->name || !pair->value)
			return -ENOMEM;
		param = job->workload ? plugin_info_find_param(job->workload->info, pair->name) : NULL;
		/* Of a workload that is gone nobody knows which parameters are secret: none is shown. */
		job->param_flags[i] = param ? param->flags : CONCD_PARAM_SECRET;
	}
	return 0;
}

static int parse_choice(struct job *job, const struct spec_read *spec)
{
	char model[SPEC_WORD_BYTES], shape[SPEC_WORD_BYTES];

	if (spec->model.len >= sizeof(model) || spec->shape.len >= sizeof(shape))
		return -EBADMSG;
	*(char *)mempcpy(model, spec->model.at, spec->model.len) = '\0';
	*(char *)mempcpy(shape, spec->shape.at, spec->shape.len) = '\0';
	job->choice = (struct model_choice){
		.model = model_find(model),
		.by_auto = spec->by_auto,
		.workers = (uint32_t)spec->workers,
		.dedicated = spec->dedicated,
	};
	if (!job->choice.model || shape_parse(shape, &job->choice.crew_shape, NULL) < 0)
		return -EBADMSG;
	job->choice.in_order = job->choice.model->in_order && shape_workers(&job->choice.crew_shape) == 1;
	job->model_reason = span_copy(&spec->reason);
	job->choice.reason = job->model_reason ? job->model_reason : "";
	return job->model_reason ? 0 : -ENOMEM;
}

static int copy_member(const json_t *document, const char *key, char **ret_text)
{
	const char *text = json_string_value(json_object_get(document, key));

	*ret_text = text ? strdup(text) : NULL;
	return text && !*ret_text ? -ENOMEM : 0;
}

/* What few jobs have. document NULL: nothing. */
static int parse_rest(struct job *job, json_t *document)
{
	json_int_t retries = 0, backoff_ns = -1, fail = 0, used_ns;
	int when = JOB_HALT_NEVER, percent = 0, service = 0, r;

	if (document && json_unpack(document, "{s?I, s?I, s?[iIi], s?b}", "retries", &retries, "backoff_ns", &backoff_ns,
				    "halt", &when, &fail, &percent, "service", &service) < 0)
		return -EBADMSG;
	used_ns = json_integer_value(json_object_get(document, "timeout_used_ns")); /* 0: it is not there */
	if (used_ns > 0 && used_ns < MAX_RAN_NS) {
		job->ran_ns = used_ns;
		job->was_held = true; /* or had a limit: either way this is what counts */
	}
	job->retries = (uint32_t)retries;
	/* It is only kept with tries, which it may be given later. */
	job->backoff_ns = backoff_ns >= 0 ? backoff_ns : job->workload ? job->workload->config->backoff_ns : 0;
	job->halt.when = when == JOB_HALT_SOON ? JOB_HALT_SOON : when == JOB_HALT_NOW ? JOB_HALT_NOW : JOB_HALT_NEVER;
	job->halt.fail = (uint64_t)fail;
	job->halt.percent = (uint32_t)percent;
	r = service ? service_init(job) : 0;
	if (r == 0)
		r = copy_member(document, "label", &job->label);
	if (r == 0)
		r = copy_member(document, "on_done", &job->on_done);
	if (r == 0)
		r = begin_parse(job, document);
	if (r == 0)
		r = unique_parse(job, document);
	again_parse(job, document);
	return r;
}

int job_spec_parse(struct job *job, const char *text, struct error *err)
{
	_cleanup_(spec_read_fini) struct spec_read spec = SPEC_READ_INIT;
	int r = spec_read(&spec, text);

	if (r == 0)
		r = parse_choice(job, &spec);
	if (r == 0) {
		job->own_workers = spec.own_workers;
		job->timeout_ns = spec.timeout_ns;
		job->task_timeout_ns = spec.task_timeout_ns;
		job->grace_ns = spec.grace_ns;
		job->max_crashes = (uint32_t)spec.max_crashes;
		r = parse_params(job, &spec);
	}
	if (r == 0)
		r = parse_rest(job, spec.document);
	if (r == -EBADMSG)
		(void)error_set(err, r, "internal", "the recorded specification of job %llu is not readable",
				(unsigned long long)job->id);
	return r;
}
