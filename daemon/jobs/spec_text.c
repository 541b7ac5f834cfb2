/* A job's resolved specification as JSON, for its row on disk. What every job has is written by hand, because a document
 * made a fifth of what accepting a job costs the control thread; the rest, which few have, is one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "config.h"
#include "jobs/job.h"

#define HEAD_BYTES 448 /* usually enough for all: numbers and words of ours, at their longest 300, and the reason */

/* "TEXT", which has to be UTF-8: whoever reads the row takes no other. */
static int add_string(struct buffer *b, const char *text)
{
	size_t len = strlen(text);

	if (!text_is_utf8(text, len))
		return -EINVAL;
	if (buffer_reserve(b, 6 * len + 2) < 0)
		return -ENOMEM;
	b->len = (size_t)(text_put_json(b->data + b->len, (const uint8_t *)text, len) - b->data);
	return 0;
}

/* ,"KEY":"TEXT" */
static int add_member(struct buffer *b, const char *key, const char *text)
{
	int r = buffer_add(b, ",\"", 2);

	if (r == 0)
		r = buffer_add(b, key, strlen(key));
	if (r == 0)
		r = buffer_add(b, "\":", 2);
	return r < 0 ? r : add_string(b, text);
}

static int add_head(struct buffer *b, const struct job *job)
{
	const struct model_choice *choice = &job->choice;
	char shape[SHAPE_TEXT_BYTES], numbers[5][TEXT_NUMBER_BYTES];
	int r = buffer_reserve(b, HEAD_BYTES);

	shape_format(&choice->crew_shape, shape);
	if (r == 0)
		r = buffer_add_strings(b, "{\"model\":\"", choice->model->name, "\",\"shape\":\"", shape,
				       "\",\"workers\":", text_u64(choice->workers, numbers[0]),
				       job->own_workers ? ",\"own_workers\":true" : "",
				       ",\"dedicated\":", choice->dedicated ? "true" : "false",
				       ",\"auto\":", choice->by_auto ? "true" : "false",
				       ",\"timeout_ns\":", text_i64(job->timeout_ns, numbers[1]),
				       ",\"task_timeout_ns\":", text_i64(job->task_timeout_ns, numbers[2]),
				       ",\"grace_ns\":", text_i64(job->grace_ns, numbers[3]),
				       ",\"max_crashes\":", text_u64(job->max_crashes, numbers[4]), NULL);
	return r < 0 ? r : add_member(b, "reason", job->model_reason);
}

static int add_params(struct buffer *b, const struct job *job)
{
	int r = buffer_add(b, ",\"params\":{", 11);

	for (size_t i = 0; i < job->n_params && r == 0; i++) {
		r = i > 0 ? buffer_add(b, ",", 1) : 0;
		if (r == 0)
			r = add_string(b, job->params[i].name);
		if (r == 0)
			r = buffer_add(b, ":", 1);
		if (r == 0)
			r = add_string(b, job->params[i].value);
	}
	return r < 0 ? r : buffer_add(b, "}", 1);
}

/* How long it has run, where somebody needs that and it is not what its row says of its wall time. */
static int64_t ran_ns(const struct job *job)
{
	return job->timeout_ns > 0 || job->was_held ? job_ran_ns(job) : 0;
}

static int put_rest(const struct job *job, json_t *rest)
{
	int64_t used_ns = ran_ns(job);
	int r = 0;

	if (job->retries > 0)
		r = json_object_set_new(rest, "retries", json_integer((json_int_t)job->retries));
	if (r == 0 && job->retries > 0)
		r = json_object_set_new(rest, "backoff_ns", json_integer((json_int_t)job->backoff_ns));
	if (r == 0 && used_ns > 0)
		r = json_object_set_new(rest, "timeout_used_ns", json_integer(used_ns));
	if (r == 0 && job->halt.when != JOB_HALT_NEVER)
		r = json_object_set_new(rest, "halt", json_pack("[i, I, i]", (int)job->halt.when,
								(json_int_t)job->halt.fail, (int)job->halt.percent));
	if (r == 0)
		r = begin_format(job, rest);
	if (r == 0)
		r = unique_format(job, rest);
	if (r == 0)
		r = again_format(job, rest);
	if (r == 0 && job->on_done)
		r = json_object_set_new(rest, "on_done", json_string(job->on_done));
	if (r == 0 && job->label)
		(void)json_object_set_new(rest, "label", json_string(job->label)); /* shows as a missing label */
	if (r == 0 && job->service)
		r = json_object_set_new(rest, "service", json_true());
	return r < 0 ? -ENOMEM : 0;
}

/* Most jobs have none of it. */
static bool has_rest(const struct job *job)
{
	return job->retries > 0 || ran_ns(job) > 0 || job->halt.when != JOB_HALT_NEVER ||
	       job->begin.begins_unix_us > 0 || job->begin.expires_unix_us > 0 || job->begin.afters || job->unique ||
	       job->again_of > 0 || job->on_done || job->label || job->service;
}

/* The members of a document of their own, behind those that are there. */
static int add_rest(struct buffer *b, const struct job *job)
{
	json_t *rest = json_object();
	_cleanup_free_ char *text = NULL;
	int r = rest ? put_rest(job, rest) : -ENOMEM;
	size_t len;

	if (r == 0 && !(text = json_dumps(rest, JSON_COMPACT)))
		r = -ENOMEM;
	json_decref(rest);
	if (r < 0)
		return r;
	len = strlen(text); /* {...} */
	if (len <= 2)
		return 0;
	r = buffer_add(b, ",", 1);
	return r < 0 ? r : buffer_add(b, text + 1, len - 2);
}

char *job_spec_format(const struct job *job)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	int r = add_head(&b, job);

	if (r == 0)
		r = add_params(&b, job);
	if (r == 0 && has_rest(job))
		r = add_rest(&b, job);
	if (r == 0)
		r = buffer_add(&b, "}", 2); /* with its NUL */
	return r < 0 ? NULL : (char *)take_ptr(b.data);
}
