/* Jobs as text: the JSON object that show, list, wait and every verb answer with, and the shorter ones of lines. By hand, because a
 * list has up to 1,000 of them and jansson takes 13 microseconds for each. Nothing else knows what a job looks like. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "concd/plugin.h"
#include "config.h"
#include "control/format.h"
#include "control/server.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define SCHEMA "\"schema\":1"
_Static_assert(PROTOCOL_SCHEMA == 1, "as it is written here");

#define FIXED_BYTES 2560 /* keys, numbers and words of ours: at their longest 2,000 */
#define SERVICE_BYTES 512 /* the same of a service */
#define AFTER_BYTES 24 /* a predecessor's number, quotes, comma */
#define PARAM_BYTES 8 /* two pairs of quotes, colon, comma */
#define ESCAPED 6 /* bytes that one of a text becomes at most; what is repaired becomes three */
#define MAX_EXACT_S 9e9 /* more seconds do not fit into nanoseconds */

/* ---- Parts: each writes at `at`, where there is room, and returns behind what it wrote ---- */

static uint8_t *put(uint8_t *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)
#define KEY(at, name) PUT(at, ",\"" name "\":")

/* A word of ours: nothing in it is to be escaped. NULL: null. */
static uint8_t *put_word(uint8_t *at, const char *word)
{
	if (!word)
		return PUT(at, "null");
	*at++ = '"';
	at = put(at, word, strlen(word));
	*at++ = '"';
	return at;
}

/* What few jobs have, as a document; takes ownership. It fits into the room that text_bytes() made for it. */
static uint8_t *put_document(uint8_t *at, size_t room, json_t *document)
{
	size_t len = document ? json_dumpb(document, (char *)at, room, DOCUMENT_DUMP_FLAGS | JSON_ENCODE_ANY) : 0;

	json_decref(document);
	return len > 0 && len <= room ? at + len : PUT(at, "null"); /* out of memory: the answer is poorer by that */
}

/* NULL: null. */
static uint8_t *put_text(uint8_t *at, const char *text)
{
	size_t len;

	if (!text)
		return PUT(at, "null");
	len = strlen(text);
	if (text_is_utf8(text, len))
		return text_put_json(at, (const uint8_t *)text, len);
	return put_document(at, ESCAPED * len + 2, document_text(text));
}

static uint8_t *put_i64(uint8_t *at, int64_t value)
{
	if (value < 0)
		*at++ = '-';
	return text_put_u64(at, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static uint8_t *put_bool(uint8_t *at, bool value)
{
	return value ? PUT(at, "true") : PUT(at, "false");
}

/* 9 decimals of whatever may be seconds. */
static uint8_t *put_number(uint8_t *at, double value)
{
	int n;

	if (value >= 0 && value < MAX_EXACT_S)
		return format_seconds(at, (int64_t)(value * 1e9 + 0.5));
	if (!isfinite(value))
		return PUT(at, "null");
	n = snprintf((char *)at, FORMAT_SECONDS_BYTES, "%.15e", value); /* fits */
	return at + n;
}

/* 0 and less: null. */
static uint8_t *put_duration(uint8_t *at, int64_t ns)
{
	return ns <= 0 ? PUT(at, "null") : format_seconds(at, ns);
}

static uint8_t *put_time(uint8_t *at, int64_t unix_us)
{
	char text[CLOCK_TEXT_BYTES];

	if (unix_us == 0)
		return PUT(at, "null");
	clock_format_unix_us(unix_us, text);
	return put_word(at, text);
}

static uint8_t *put_id(uint8_t *at, uint64_t id)
{
	*at++ = '"';
	at = text_put_u64(at, id);
	*at++ = '"';
	return at;
}

static uint8_t *put_tasks(uint8_t *at, const struct job_view *view)
{
	at = PUT(at, ",\"tasks\":{\"total\":");
	at = view->open ? PUT(at, "null") : text_put_u64(at, view->total);
	at = text_put_u64(KEY(at, "queued"), view->queued);
	at = text_put_u64(KEY(at, "running"), view->running);
	at = text_put_u64(KEY(at, "done"), view->done);
	at = text_put_u64(KEY(at, "failed"), view->failed);
	at = text_put_u64(KEY(at, "cancelled"), view->cancelled);
	*at++ = '}';
	return at;
}

static uint8_t *put_error(uint8_t *at, const struct job_view *view)
{
	at = KEY(at, "error");
	if (!view->error_code)
		return PUT(at, "null");
	at = put_text(PUT(at, "{\"code\":"), view->error_code);
	at = put_text(KEY(at, "message"), view->error_text ? view->error_text : "");
	*at++ = '}';
	return at;
}

static uint8_t *put_model(uint8_t *at, const struct job_view *view)
{
	at = put_word(KEY(at, "model"), view->model);
	return put_bool(KEY(at, "auto"), view->by_auto);
}

static uint8_t *put_shape(uint8_t *at, const struct job_view *view)
{
	at = text_put_u64(PUT(at, ",\"shape\":\""), view->shape.processes);
	*at++ = 'x';
	at = text_put_u64(at, view->shape.threads);
	*at++ = 'x';
	at = text_put_u64(at, view->shape.coroutines);
	return text_put_u64(PUT(at, "\",\"workers\":"), view->workers);
}

/* Where its time went. */
static uint8_t *put_times(uint8_t *at, const struct job_view *view)
{
	at = put_number(KEY(at, "wall_s"), view->wall_s);
	at = put_number(KEY(at, "cpu_s"), view->cpu_s);
	at = put_number(KEY(at, "wait_s"), view->wait_s);
	at = put_number(KEY(at, "runq_s"), view->runq_s);
	at = KEY(at, "speedup");
	at = view->wall_s > 0 ? put_number(at, (view->cpu_s + view->wait_s) / view->wall_s) : PUT(at, "null");
	at = KEY(at, "peak_rss_bytes");
	return view->peak_rss_bytes > 0 ? text_put_u64(at, view->peak_rss_bytes) : PUT(at, "null");
}

static uint8_t *put_params(uint8_t *at, const struct job_view *view)
{
	at = PUT(at, ",\"params\":{");
	for (size_t i = 0; i < view->n_params; i++) {
		bool secret = view->param_flags && (view->param_flags[i] & CONCD_PARAM_SECRET);

		if (i > 0)
			*at++ = ',';
		at = put_text(at, view->params[i].name);
		*at++ = ':';
		at = secret ? put_word(at, "***") : put_text(at, view->params[i].value);
	}
	*at++ = '}';
	return at;
}

/* As it is submitted. */
static uint8_t *put_halt(uint8_t *at, const struct job_halt *halt)
{
	at = KEY(at, "halt");
	if (halt->when == JOB_HALT_NEVER)
		return PUT(at, "null");
	at = put_word(PUT(at, "{\"when\":"), halt->when == JOB_HALT_NOW ? "now" : "soon");
	at = halt->fail > 0 ? text_put_u64(KEY(at, "fail"), halt->fail) : text_put_u64(KEY(at, "percent"), halt->percent);
	*at++ = '}';
	return at;
}

/* How its tasks are run. */
static uint8_t *put_limits(uint8_t *at, const struct job_view *view)
{
	at = put_duration(KEY(at, "timeout_s"), view->timeout_ns);
	at = put_duration(KEY(at, "task_timeout_s"), view->task_timeout_ns);
	at = format_seconds(KEY(at, "grace_s"), view->grace_ns);
	at = text_put_u64(KEY(at, "retries"), view->retries);
	at = format_seconds(KEY(at, "backoff_s"), view->backoff_ns);
	at = put_halt(at, &view->halt);
	return text_put_u64(KEY(at, "retrying"), view->retrying);
}

/* When it may begin, and what it is. */
static uint8_t *put_conditions(uint8_t *at, const struct job_view *view, size_t service_bytes)
{
	at = put_text(KEY(at, "on_done"), view->on_done);
	at = put_text(KEY(at, "unique"), view->unique);
	at = put_time(KEY(at, "begins"), view->begins_unix_us);
	at = put_time(KEY(at, "expires"), view->expires_unix_us);
	at = PUT(at, ",\"after\":[");
	for (size_t i = 0; i < view->n_after; i++) {
		if (i > 0)
			*at++ = ',';
		at = put_id(at, view->after[i]);
	}
	at = PUT(at, "],\"after_failed\":");
	at = put_word(at, view->n_after == 0 ? NULL : view->after_any ? "run" : "cancel");
	at = KEY(at, "service");
	at = view->service.is_service ? put_document(at, service_bytes, document_service(&view->service)) : PUT(at, "null");
	at = KEY(at, "retry_of");
	return view->retry_of > 0 ? put_id(at, view->retry_of) : PUT(at, "null");
}

static uint8_t *put_first(uint8_t *at, const struct job_view *view)
{
	at = put_id(PUT(at, "\"job\":"), view->id);
	return put_word(KEY(at, "state"), job_state_name(view->state));
}

static uint8_t *put_job(uint8_t *at, const struct job_view *view, size_t service_bytes)
{
	at = put_first(PUT(at, "{" SCHEMA ","), view);
	at = put_text(KEY(at, "workload"), view->workload);
	at = put_text(KEY(at, "label"), view->label && *view->label ? view->label : NULL);
	at = put_text(KEY(at, "submission"), view->submission);
	at = text_put_u64(KEY(at, "user"), view->uid);
	at = put_model(at, view);
	at = put_text(KEY(at, "model_reason"), view->model_reason ? view->model_reason : "");
	at = put_shape(at, view);
	at = put_bool(KEY(at, "dedicated"), view->dedicated);
	at = put_bool(KEY(at, "durable"), view->durable);
	at = put_i64(KEY(at, "priority"), view->priority);
	at = put_tasks(at, view);
	at = put_params(at, view);
	at = put_limits(at, view);
	at = put_time(KEY(at, "created"), view->created_unix_us);
	at = put_time(KEY(at, "started"), view->started_unix_us);
	at = put_time(KEY(at, "ended"), view->ended_unix_us);
	at = put_times(at, view);
	at = put_text(KEY(at, "waiting"), view->waiting ? view->waiting : "");
	at = put_error(at, view);
	at = put_conditions(at, view, service_bytes);
	*at++ = '}';
	return at;
}

/* ---- Room ---- */

static size_t text_bytes(const char *text)
{
	return text ? ESCAPED * strlen(text) + 2 : 0;
}

static size_t service_bytes(const struct service_view *service)
{
	if (!service->is_service)
		return 0;
	return SERVICE_BYTES + text_bytes(service->cause) +
	       (service->line ? text_bytes(service->line->text) + text_bytes(service->line->level) : 0);
}

static size_t error_bytes(const struct job_view *view)
{
	return text_bytes(view->error_code) + text_bytes(view->error_text);
}

static size_t job_bytes(const struct job_view *view)
{
	size_t bytes = FIXED_BYTES + text_bytes(view->workload) + text_bytes(view->label) + text_bytes(view->submission) +
		       text_bytes(view->model) + text_bytes(view->model_reason) + text_bytes(view->waiting) +
		       text_bytes(view->on_done) + text_bytes(view->unique) + error_bytes(view) +
		       view->n_after * AFTER_BYTES;

	for (size_t i = 0; i < view->n_params; i++)
		bytes += PARAM_BYTES + text_bytes(view->params[i].name) + text_bytes(view->params[i].value);
	return bytes;
}

/* ---- Whole ones ---- */

int job_text(struct buffer *b, const struct job_view *view)
{
	size_t service = service_bytes(&view->service);

	if (buffer_reserve(b, job_bytes(view) + service) < 0)
		return -ENOMEM;
	b->len = (size_t)(put_job(b->data + b->len, view, service) - b->data);
	return 0;
}

int job_text_brief(struct buffer *b, const struct job_view *view)
{
	uint8_t *at;

	if (buffer_reserve(b, FIXED_BYTES + error_bytes(view)) < 0)
		return -ENOMEM;
	at = put_first(PUT(b->data + b->len, "{" SCHEMA ","), view);
	at = PUT(put_error(put_tasks(at, view), view), "}");
	b->len = (size_t)(at - b->data);
	return 0;
}

int job_text_progress(struct buffer *b, const struct job_view *view)
{
	uint8_t *at;

	if (buffer_reserve(b, FIXED_BYTES) < 0)
		return -ENOMEM;
	at = put_id(PUT(b->data + b->len, "{" SCHEMA ",\"type\":\"progress\",\"job\":"), view->id);
	at = PUT(put_tasks(at, view), "}");
	b->len = (size_t)(at - b->data);
	return 0;
}

int job_text_line(struct buffer *b, const struct job_view *view, const char *type, bool with_schema)
{
	uint8_t *at;

	if (buffer_reserve(b, FIXED_BYTES + text_bytes(view->workload) + text_bytes(view->model) + error_bytes(view)) < 0)
		return -ENOMEM;
	at = PUT(b->data + b->len, "{");
	if (with_schema)
		at = PUT(at, SCHEMA ",");
	at = put_word(PUT(at, "\"type\":"), type);
	*at++ = ',';
	at = put_first(at, view);
	at = put_text(KEY(at, "workload"), view->workload);
	at = put_model(at, view);
	at = put_shape(at, view);
	at = put_tasks(at, view);
	at = put_times(at, view);
	at = PUT(put_error(at, view), "}");
	b->len = (size_t)(at - b->data);
	return 0;
}
