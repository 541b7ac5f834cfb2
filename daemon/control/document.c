/* JSON documents of jobs. Streams of tasks are formatted by hand (format.c); these come once per request. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "concd/plugin.h"
#include "config.h"
#include "control/server.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"
#include "jobs/stalls.h"
#include "ring/step.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Replace every byte that is not part of a UTF-8 character. */
static json_t *repaired_text(const char *text, size_t len)
{
	struct buffer b = BUFFER_INIT;
	json_t *string;
	int r = 0;

	while (len > 0 && r == 0) {
		size_t n = 1;

		while (n < 4 && n < len && !text_is_utf8(text, n))
			n++;
		if (text_is_utf8(text, n)) {
			r = buffer_add(&b, text, n);
		} else {
			n = 1;
			r = buffer_add(&b, REPLACEMENT, sizeof(REPLACEMENT) - 1);
		}
		text += n;
		len -= n;
	}
	string = r == 0 ? json_stringn((const char *)b.data, b.len) : NULL;
	buffer_fini(&b);
	return string;
}

json_t *document_text(const char *text)
{
	size_t len;

	if (!text)
		return json_null();
	len = strlen(text);
	return text_is_utf8(text, len) ? json_stringn(text, len) : repaired_text(text, len);
}

static json_t *bytes_text(const uint8_t *data, size_t len)
{
	return text_is_utf8(data, len) ? json_stringn((const char *)data, len) : repaired_text((const char *)data, len);
}

json_t *document_seconds(int64_t ns)
{
	return ns <= 0 ? json_null() : json_real((double)ns / 1e9);
}

static json_t *time_or_null(int64_t unix_us)
{
	char text[CLOCK_TEXT_BYTES];

	if (unix_us == 0)
		return json_null();
	clock_format_unix_us(unix_us, text);
	return json_string(text);
}

static json_t *id_text(uint64_t id)
{
	return json_sprintf("%llu", (unsigned long long)id);
}

static json_t *count_or_null(uint64_t value, bool known)
{
	return known ? json_integer((json_int_t)value) : json_null();
}

json_t *document_refusal(uint64_t id, int status, const struct error *err)
{
	const char *code = err && err->code ? err->code : status == -ENOSPC ? "full" : "internal";

	return json_pack("{s:i, s:o, s:{s:s, s:o}}", "schema", PROTOCOL_SCHEMA, "job", id_text(id), "error", "code", code,
			 "message", document_text(err && err->code ? err->text : strerror(-status)));
}

json_t *document_tasks(const struct job_view *view)
{
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "total", count_or_null(view->total, !view->open), "queued",
			 (json_int_t)view->queued, "running", (json_int_t)view->running, "done",
			 (json_int_t)view->done, "failed", (json_int_t)view->failed, "cancelled",
			 (json_int_t)view->cancelled);
}

json_t *document_job_error(const struct job_view *view)
{
	if (!view->error_code)
		return json_null();
	return json_pack("{s:s, s:o}", "code", view->error_code, "message",
			 document_text(view->error_text ? view->error_text : ""));
}

static json_t *speedup(const struct job_view *view)
{
	return view->wall_s > 0 ? json_real((view->cpu_s + view->wait_s) / view->wall_s) : json_null();
}

static json_t *params_object(const struct job_view *view)
{
	json_t *object = json_object();

	for (size_t i = 0; i < view->n_params && object; i++) {
		bool secret = view->param_flags && (view->param_flags[i] & CONCD_PARAM_SECRET);

		if (json_object_set_new(object, view->params[i].name,
					document_text(secret ? "***" : view->params[i].value)) < 0) {
			json_decref(object);
			object = NULL;
		}
	}
	return object;
}

/* As it is submitted. */
static json_t *halt_or_null(const struct job_halt *halt)
{
	if (halt->when == JOB_HALT_NEVER)
		return json_null();
	return json_pack("{s:s, s:I}", "when", halt->when == JOB_HALT_NOW ? "now" : "soon",
			 halt->fail > 0 ? "fail" : "percent", (json_int_t)(halt->fail > 0 ? halt->fail : halt->percent));
}

json_t *document_log(const struct job_log *log)
{
	char worker[16];

	(void)snprintf(worker, sizeof(worker), "%u", log->worker_pid);
	return json_pack("{s:o, s:s, s:o, s:o}", "at", time_or_null(log->unix_us), "level", log->level, "worker",
			 document_text(log->worker_pid > 0 ? worker : NULL), "message", document_text(log->text));
}

static json_t *service_or_null(const struct service_view *service)
{
	if (!service->is_service)
		return json_null();
	return json_pack("{s:b, s:o, s:I, s:I, s:o, s:o, s:o}", "failing", service->failing, "up_s",
			 document_seconds(service->up_ns), "restarts", (json_int_t)service->restarts, "failures",
			 (json_int_t)service->failures, "cause", document_text(*service->cause ? service->cause : NULL),
			 "next_try_s", document_seconds(service->next_try_ns), "last_line",
			 service->line ? document_log(service->line) : json_null());
}

json_t *document_after(const uint64_t *after, size_t n)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < n && ids; i++)
		if (json_array_append_new(ids, id_text(after[i])) < 0) {
			json_decref(ids);
			ids = NULL;
		}
	return ids;
}

json_t *document_after_failed(size_t n, bool any)
{
	return n > 0 ? json_string(any ? "run" : "cancel") : json_null();
}

/* When it may begin, and what it is. NULL: out of memory. */
static json_t *with_conditions(json_t *job, const struct job_view *view)
{
	json_t *conditions = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "on_done",
				       document_text(view->on_done), "unique",
				       document_text(view->unique), "begins", time_or_null(view->begins_unix_us),
				       "expires", time_or_null(view->expires_unix_us), "after",
				       document_after(view->after, view->n_after), "after_failed",
				       document_after_failed(view->n_after, view->after_any), "service",
				       service_or_null(&view->service), "retry_of",
				       view->retry_of > 0 ? id_text(view->retry_of) : json_null());

	if (!job || !conditions || json_object_update(job, conditions) < 0) {
		json_decref(job);
		job = NULL;
	}
	json_decref(conditions);
	return job;
}

json_t *document_job(const struct job_view *view)
{
	char shape[SHAPE_TEXT_BYTES];

	shape_format(&view->shape, shape);
	return with_conditions(json_pack("{s:i, s:o, s:s, s:s, s:o, s:o, s:I, s:s, s:b, s:s, s:s, s:I, s:b, s:b, s:I, s:o, s:o, s:o, s:o, s:o,"
			 " s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o}",
			 "schema", PROTOCOL_SCHEMA, "job", id_text(view->id), "state", job_state_name(view->state),
			 "workload", view->workload, "label",
			 document_text(view->label && *view->label ? view->label : NULL), "submission",
			 document_text(view->submission), "user", (json_int_t)view->uid, "model", view->model, "auto",
			 view->by_auto, "model_reason", view->model_reason ? view->model_reason : "", "shape", shape,
			 "workers", (json_int_t)view->workers, "dedicated", view->dedicated, "durable", view->durable, "priority",
			 (json_int_t)view->priority,
			 "tasks", document_tasks(view), "params", params_object(view), "timeout_s",
			 document_seconds(view->timeout_ns), "task_timeout_s", document_seconds(view->task_timeout_ns),
			 "grace_s", json_real((double)view->grace_ns / 1e9), "retries", (json_int_t)view->retries, "backoff_s",
			 json_real((double)view->backoff_ns / 1e9), "halt", halt_or_null(&view->halt), "retrying",
			 (json_int_t)view->retrying, "created",
			 time_or_null(view->created_unix_us), "started", time_or_null(view->started_unix_us), "ended",
			 time_or_null(view->ended_unix_us), "wall_s", view->wall_s, "cpu_s", view->cpu_s, "wait_s",
			 view->wait_s, "runq_s", view->runq_s, "speedup", speedup(view), "peak_rss_bytes",
			 count_or_null(view->peak_rss_bytes, view->peak_rss_bytes > 0), "waiting",
			 document_text(view->waiting ? view->waiting : ""), "error", document_job_error(view)), view);
}

json_t *document_job_line(const struct job_view *view, const char *type, bool with_schema)
{
	char shape[SHAPE_TEXT_BYTES];
	json_t *line, *rest;

	shape_format(&view->shape, shape);
	line = with_schema ? json_pack("{s:i}", "schema", PROTOCOL_SCHEMA) : json_object();
	rest = json_pack("{s:s, s:o, s:s, s:s, s:s, s:b, s:s, s:I, s:o, s:f, s:f, s:f, s:f, s:o, s:o, s:o}", "type", type,
			 "job", id_text(view->id), "state", job_state_name(view->state), "workload", view->workload,
			 "model", view->model, "auto", view->by_auto, "shape", shape, "workers",
			 (json_int_t)view->workers, "tasks", document_tasks(view), "wall_s", view->wall_s, "cpu_s",
			 view->cpu_s, "wait_s", view->wait_s, "runq_s", view->runq_s, "speedup", speedup(view),
			 "peak_rss_bytes", count_or_null(view->peak_rss_bytes, view->peak_rss_bytes > 0), "error",
			 document_job_error(view));
	if (!line || !rest || json_object_update(line, rest) < 0) {
		json_decref(line);
		line = NULL;
	}
	json_decref(rest);
	return line;
}

static json_t *frames_array(const char *stack)
{
	json_t *frames = json_array();

	while (frames && *stack) {
		size_t len = strcspn(stack, "\n");

		if (json_array_append_new(frames, bytes_text((const uint8_t *)stack, len)) < 0) {
			json_decref(frames);
			return NULL;
		}
		stack += len + (stack[len] == '\n');
	}
	return frames;
}

json_t *document_stall(const struct stall *stall)
{
	return json_pack("{s:I, s:o, s:I, s:o, s:o, s:f, s:b, s:o}", "index", (json_int_t)step_task(stall->task), "input",
			 bytes_text(stall->input, stall->input_kept), "input_bytes", (json_int_t)stall->input_len,
			 "worker", json_sprintf("%u.%u", stall->worker_pid, (unsigned int)stall->worker_thread), "since",
			 time_or_null(stall->since_unix_us), "held_s", (double)stall->held_ns / 1e9, "ended",
			 stall->ended, "stack", frames_array(stall->stack));
}

json_t *document_stalls(const struct stalls *stalls)
{
	json_t *longest = json_array();

	for (size_t i = 0; stalls && longest && i < stalls->n; i++) {
		if (json_array_append_new(longest, document_stall(&stalls->kept[i])) < 0) {
			json_decref(longest);
			longest = NULL;
		}
	}
	return json_pack("{s:I, s:I, s:o}", "count", (json_int_t)(stalls ? stalls->count : 0), "untold",
			 (json_int_t)(stalls ? stalls->dropped : 0), "longest", longest);
}

char *document_dump(const json_t *document, size_t *ret_len)
{
	/* 15 digits: what was written as 0.1 is not shown as 0.10000000000000001 */
	char *text = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(15));

	if (text)
		*ret_len = strlen(text);
	return text;
}
