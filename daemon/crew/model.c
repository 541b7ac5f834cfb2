/* The models: a table of shapes, and how a request is resolved to one of them.
 *
 * What a request leaves open comes from the stanza, what the stanza leaves open from the table. A stanza's shape and
 * workers belong to the stanza's model: a request for another model takes that model's defaults.
 */
#include "crew/model.h"

#include <errno.h>
#include <string.h>

#include <concd/plugin.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "config.h"
#include "crew/workload.h"
#include "ring/ring.h"

#define ASYNC_WORKERS 1000

static struct shape shape_single(uint32_t workers)
{
	(void)workers; /* one, whatever was asked: model_choose() refuses more */
	return (struct shape){ 1, 1, 1 };
}

static struct shape shape_coroutines(uint32_t workers)
{
	return (struct shape){ 1, 1, workers };
}

static struct shape shape_threads(uint32_t workers)
{
	return (struct shape){ 1, workers, 1 };
}

static struct shape shape_processes(uint32_t workers)
{
	return (struct shape){ workers, 1, 1 };
}

enum model_index { MODEL_SYNC, MODEL_ASYNC, MODEL_THREAD, MODEL_POOL, MODEL_PROCESS, MODEL_AUTO };

static const struct model models[] = {
	[MODEL_SYNC] = {
		.name = "sync",
		.shape_text = "1 x 1 x 1",
		.summary = "one task after another, jobs in order of acceptance",
		.lives = "crew of the workload",
		.in_order = true,
		.default_workers = 1,
		.shape_for = shape_single,
	},
	[MODEL_ASYNC] = {
		.name = "async",
		.shape_text = "1 x 1 x N",
		.summary = "one event loop: many tasks wait at once, one computes",
		.lives = "crew of the workload",
		.default_workers = ASYNC_WORKERS,
		.shape_for = shape_coroutines,
	},
	[MODEL_THREAD] = {
		.name = "thread",
		.shape_text = "1 x N x 1",
		.summary = "threads of the job's own; one by default, tasks strictly in order",
		.lives = "dedicated: made for the job, ended with it",
		.dedicated = true,
		.in_order = true,
		.default_workers = 1,
		.shape_for = shape_threads,
	},
	[MODEL_POOL] = {
		.name = "pool",
		.shape_text = "1 x N x 1",
		.summary = "a pool of threads in one process, a thread per processor",
		.lives = "crew of the workload, kept between jobs",
		.default_workers = 0,
		.shape_for = shape_threads,
	},
	[MODEL_PROCESS] = {
		.name = "process",
		.shape_text = "N x 1 x 1",
		.summary = "a pool of processes, a process per processor",
		.lives = "crew of the workload, kept between jobs",
		.default_workers = 0,
		.shape_for = shape_processes,
	},
	[MODEL_AUTO] = {
		.name = "auto",
		.shape_text = "",
		.summary = "async for I/O-bound work, pool or process for the rest, by the plugin's hint",
		.lives = "as what it picks",
	},
};

void shape_format(const struct shape *shape, char ret_text[SHAPE_TEXT_BYTES])
{
	char number[TEXT_NUMBER_BYTES], *at = stpcpy(ret_text, text_u64(shape->processes, number));

	at = stpcpy(stpcpy(at, "x"), text_u64(shape->threads, number));
	(void)stpcpy(stpcpy(at, "x"), text_u64(shape->coroutines, number));
}

/* One of the three numbers: digits up to `end`, from 1 on. */
static int parse_number(const char **at, char end, uint32_t *ret_value)
{
	uint64_t value = 0;
	const char *p = *at;

	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > UINT32_MAX)
			return -EINVAL;
	}
	if (p == *at || *p != end || value == 0)
		return -EINVAL;
	*at = p + (end ? 1 : 0);
	*ret_value = (uint32_t)value;
	return 0;
}

int shape_parse(const char *text, struct shape *ret_shape, struct error *err)
{
	struct shape s;
	const char *at = text;
	uint64_t runners;

	if (parse_number(&at, 'x', &s.processes) < 0 || parse_number(&at, 'x', &s.threads) < 0 ||
	    parse_number(&at, '\0', &s.coroutines) < 0)
		return error_set(err, -EINVAL, "bad-shape",
				 "'%.64s' is not a shape: write PROCESSESxTHREADSxCOROUTINES, each at least 1, such as "
				 "2x1x500",
				 text);
	runners = (uint64_t)s.processes * s.threads;
	if (runners > RING_MAX_RUNNERS)
		return error_set(err, -EINVAL, "bad-shape",
				 "shape %.64s has %llu threads in all: a crew has at most %d; use more coroutines",
				 text, (unsigned long long)runners, RING_MAX_RUNNERS);
	if (shape_workers(&s) > UINT32_MAX)
		return error_set(err, -EINVAL, "bad-shape", "shape %.64s has more workers than can be counted", text);
	*ret_shape = s;
	return 0;
}

size_t models_count(void)
{
	return ARRAY_SIZE(models);
}

const struct model *models_at(size_t i)
{
	return &models[i];
}

const struct model *model_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		if (strcmp(models[i].name, name) == 0)
			return &models[i];
	}
	return NULL;
}

static const char *model_name_at(const void *names, size_t i)
{
	(void)names; /* the table above */
	return models[i].name;
}

static int find_or_say(const char *name, const struct model **ret_model, struct error *err)
{
	const struct model *model = model_find(name);
	const char *near;

	if (!model) {
		near = text_nearest(name, models, ARRAY_SIZE(models), model_name_at);
		return error_set(err, -EINVAL, "no-such-model",
				 "no model '%.64s'%s%s%s: there are sync, async, thread, pool, process and auto", name,
				 near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
	}
	*ret_model = model;
	return 0;
}

static bool same_shape(const struct shape *a, const struct shape *b)
{
	return a->processes == b->processes && a->threads == b->threads && a->coroutines == b->coroutines;
}

static bool model_allows(const struct model *model, const struct shape *shape)
{
	struct shape own;

	if (!model->shape_for)
		return false;
	own = model->shape_for((uint32_t)shape_workers(shape));
	return same_shape(&own, shape);
}

/* The model whose promises a bare shape comes nearest to. */
static const struct model *model_for_shape(const struct shape *shape)
{
	if (shape->coroutines > 1)
		return &models[MODEL_ASYNC];
	if (shape->processes > 1)
		return &models[MODEL_PROCESS];
	return &models[MODEL_POOL];
}

static const struct model *model_auto(const struct workload *workload, const char **ret_reason)
{
	switch (workload->info->kind) {
	case CONCD_KIND_IO:
		*ret_reason = "the plugin says its tasks mostly wait: an event loop holds many of them at once";
		return &models[MODEL_ASYNC];
	case CONCD_KIND_CPU:
		*ret_reason =
			workload->thread_safe
				? "the plugin says its tasks compute: a thread per processor"
				: "the plugin says its tasks compute and is not thread-safe: a process per processor";
		break;
	default:
		*ret_reason =
			workload->thread_safe
				? "the plugin says its tasks both compute and wait: a thread per processor"
				: "the plugin's tasks both compute and wait, and it is not thread-safe: a process per "
				  "processor";
	}
	return &models[workload->thread_safe ? MODEL_POOL : MODEL_PROCESS];
}

/* What is being resolved: where each value came from decides what a conflict means. */
struct draft {
	const struct model *model;
	bool by_auto;
	const char *reason;
	struct shape shape;
	bool has_shape; /* from the request or the stanza, else by the model */
	bool shape_asked; /* from the request */
	uint32_t workers; /* of the stanza: the size of its crew; 0: the model's default */
};

/* Model, shape and crew size, before -j. */
static int draft_fill(struct draft *d, const struct workload *workload, const struct model_request *request,
		      struct error *err)
{
	const struct workload_config *config = workload->config;
	const struct model *stanza = NULL;
	bool own = true; /* the stanza's shape and workers count */
	int r;

	r = find_or_say(config->model ? config->model : "auto", &stanza, err);
	if (r < 0)
		return r;
	d->model = stanza;
	if (request->model) {
		r = find_or_say(request->model, &d->model, err);
		if (r < 0)
			return r;
		own = d->model == stanza;
	}
	if (request->shape) {
		r = shape_parse(request->shape, &d->shape, err);
		if (r < 0)
			return r;
		d->has_shape = d->shape_asked = true;
	} else if (own && config->shape) {
		r = shape_parse(config->shape, &d->shape, err);
		if (r < 0)
			return r;
		d->has_shape = true;
	}
	if (d->has_shape && !model_allows(d->model, &d->shape)) {
		if (d->shape_asked && request->model && d->model != &models[MODEL_AUTO])
			return error_set(err, -EINVAL, "bad-shape",
					 "shape %.64s is none of model %s, which is %s: give the shape without a model",
					 request->shape, d->model->name, d->model->shape_text);
		d->model = model_for_shape(&d->shape);
	}
	if (d->model == &models[MODEL_AUTO]) {
		d->model = model_auto(workload, &d->reason);
		d->by_auto = true;
	}
	d->workers = own ? config->workers : 0;
	return 0;
}

static int check_limits(const struct workload *workload, const struct model_choice *c, uint32_t max_workers,
			struct error *err)
{
	char text[SHAPE_TEXT_BYTES];
	uint64_t runners = (uint64_t)c->crew_shape.processes * c->crew_shape.threads;

	shape_format(&c->crew_shape, text);
	if (shape_workers(&c->crew_shape) > max_workers)
		return error_set(
			err, -EINVAL, "bad-workers",
			"%llu workers (shape %s) are more than this daemon allows: at most %u (limits.max_workers)",
			(unsigned long long)shape_workers(&c->crew_shape), text, max_workers);
	if (runners > RING_MAX_RUNNERS)
		return error_set(
			err, -EINVAL, "bad-workers",
			"model %s with %llu workers needs as many threads: a crew has at most %d; model async or "
			"a shape with coroutines holds more",
			c->model->name, (unsigned long long)runners, RING_MAX_RUNNERS);
	if (c->crew_shape.threads > 1 && !workload->thread_safe)
		return error_set(err, -EINVAL, "not-thread-safe",
				 "workload '%s' is not thread-safe and cannot run as %s (%s): use model process, which "
				 "gives each worker a process of its own",
				 workload->name, text, c->model->name);
	return 0;
}

/* The crew's size and -j inside it. */
static int size_crew(struct model_choice *c, const struct draft *d, const struct model_request *request,
		     uint32_t n_processors, struct error *err)
{
	char text[SHAPE_TEXT_BYTES];
	uint32_t size = d->workers;

	if (size == 0)
		size = d->model->default_workers ? d->model->default_workers : (n_processors ? n_processors : 1);
	if (d->model == &models[MODEL_SYNC]) {
		if (request->workers > 1)
			return error_set(
				err, -EINVAL, "bad-workers",
				"model sync runs one task at a time, not %u: leave the number out, or use model "
				"pool",
				request->workers);
		size = 1;
	}
	if (d->has_shape) {
		c->crew_shape = d->shape;
		c->workers = request->workers ? request->workers : (uint32_t)shape_workers(&d->shape);
		if (!request->workers && d->workers && d->workers < c->workers)
			c->workers = d->workers;
		if (c->workers <= shape_workers(&d->shape))
			return 0;
		shape_format(&d->shape, text);
		if (d->shape_asked || !model_allows(d->model, &d->shape))
			return error_set(err, -EINVAL, "bad-workers",
					 "shape %s holds %llu workers, not %u: ask for a larger shape", text,
					 (unsigned long long)shape_workers(&d->shape), request->workers);
		c->crew_shape = d->model->shape_for(c->workers);
		return 0;
	}
	c->workers = request->workers ? request->workers : size;
	if (c->dedicated || c->workers > size)
		size = c->workers; /* a crew of the job's own needs no more, a shared one of its size has room */
	c->crew_shape = d->model->shape_for(size);
	return 0;
}

int model_choose(const struct workload *workload, const struct model_request *request, uint32_t n_processors,
		 uint32_t max_workers, struct model_choice *ret_choice, struct error *err)
{
	struct draft d = { .reason = "" };
	struct model_choice c;
	int r;

	if (!workload->info)
		return error_set(err, -ENOEXEC, "workload-unusable", "workload '%s' cannot be used: %s", workload->name,
				 workload->why_not ? workload->why_not : "its plugin could not be described");
	r = draft_fill(&d, workload, request, err);
	if (r < 0)
		return r;
	c = (struct model_choice){
		.model = d.model,
		.by_auto = d.by_auto,
		.reason = d.reason,
		.dedicated = d.model->dedicated || request->dedicated,
	};
	r = size_crew(&c, &d, request, n_processors, err);
	if (r < 0)
		return r;
	c.in_order = d.model->in_order && shape_workers(&c.crew_shape) == 1;
	r = check_limits(workload, &c, max_workers, err);
	if (r < 0)
		return r;
	*ret_choice = c;
	return 0;
}
