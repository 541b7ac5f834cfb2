/* show. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "protocol.h"
#include "select.h"
#include "table.h"
#include "talk.h"

#define TASKS_SHOWN 10 /* of those that wait to be tried again, and of the failed ones */

static const char *duration_text(const json_t *json, const char *key, char text[TEXT_DURATION_BYTES])
{
	double s = member_number(json, key, -1);

	if (s < 0)
		return "";
	text_format_duration((int64_t)(s * 1e9), text);
	return text;
}

static void line_member(const char *name, const json_t *job, const char *key)
{
	const char *text = member_text(job, key, "");

	if (*text)
		print_field(name, "%s", text);
}

static void line_duration(const char *name, const json_t *job, const char *key)
{
	char text[TEXT_DURATION_BYTES];

	if (member_number(job, key, 0) > 0)
		print_field(name, "%s", duration_text(job, key, text));
}

static void show_how(const json_t *job)
{
	print_field("model", "%s%s, shape %s, %" PRIu64 " workers%s%s", member_text(job, "model", "?"),
	     member_true(job, "auto") ? " (chosen by auto)" : "", member_text(job, "shape", "?"),
	     member_count(job, "workers"), member_true(job, "dedicated") ? ", dedicated" : "",
	     member_true(job, "durable") ? "" : ", not durable");
	line_member("reason", job, "model_reason");
}

static void show_after(const json_t *job)
{
	const json_t *after = json_object_get(job, "after"), *id;
	bool any = strcmp(member_text(job, "after_failed", ""), "run") == 0;
	char text[200] = "";
	size_t i;

	json_array_foreach(after, i, id) {
		if (strlen(text) + 32 > sizeof(text)) {
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), ", and %zu more",
				       json_array_size(after) - i);
			break;
		}
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.20s", i > 0 ? ", " : "",
			       json_is_string(id) ? json_string_value(id) : "?");
	}
	if (i > 0)
		print_field("after", "%s%s", text, any ? ", however they end" : "");
}

static void show_times(const json_t *job)
{
	char cpu[TEXT_DURATION_BYTES], wait[TEXT_DURATION_BYTES], runq[TEXT_DURATION_BYTES], size[TEXT_DURATION_BYTES];

	line_member("created", job, "created");
	line_member("on done", job, "on_done");
	line_member("unique key", job, "unique");
	show_after(job);
	line_member("not before", job, "begins");
	line_member("expires", job, "expires");
	line_member("started", job, "started");
	line_member("ended", job, "ended");
	line_duration("time", job, "wall_s");
	if (json_is_number(json_object_get(job, "cpu_s")))
		print_field("tasks' time", "%s on a processor, %s waiting, %s waiting for a processor",
		     duration_text(job, "cpu_s", cpu), duration_text(job, "wait_s", wait),
		     duration_text(job, "runq_s", runq));
	if (member_number(job, "speedup", 0) > 0)
		print_field("speed-up", member_number(job, "speedup", 0) < 999.5 ? "%.3g" : "%.0f",
			    member_number(job, "speedup", 0));
	if (member_count(job, "peak_rss_bytes") > 0) {
		text_format_size(member_count(job, "peak_rss_bytes"), size);
		print_field("peak memory", "%s", size);
	}
	line_duration("time limit", job, "timeout_s");
	line_duration("task limit", job, "task_timeout_s");
	line_duration("grace", job, "grace_s");
}

/* ", attempt 3, before: connection refused", or nothing. */
static const char *attempts_text(const json_t *task, const char *cause, char *text, size_t size)
{
	uint64_t attempts = member_count(task, "attempts");
	bool waits = json_object_get(task, "retry_in_s") != NULL;

	if (size == 0)
		return "";
	*text = '\0';
	if (attempts > 1 || waits)
		(void)snprintf(text, size, ", %s%" PRIu64 "%s%s", waits ? "attempts so far: " : "attempt ", attempts,
			       *cause ? ", before: " : "", cause);
	return text;
}

static void show_counts(const json_t *tasks, const json_t *total)
{
	print_field("tasks", "%s%" PRIu64 " queued, %" PRIu64 " running, %" PRIu64 " done, %" PRIu64 " failed, %" PRIu64
	     " cancelled", json_is_null(total) ? "more to come; " : "", member_count(tasks, "queued"),
	     member_count(tasks, "running"), member_count(tasks, "done"), member_count(tasks, "failed"),
	     member_count(tasks, "cancelled"));
	if (json_is_integer(total))
		print_field("", "%" PRIu64 " in all", member_count(tasks, "total"));
}

/* Of a divided task: ", part 3" or ", combining". */
static const char *step_text(const json_t *task, char *text, size_t size)
{
	if (json_is_true(json_object_get(task, "combining")))
		return ", combining";
	*text = '\0';
	if (json_is_integer(json_object_get(task, "part")))
		(void)snprintf(text, size, ", part %" PRIu64, member_count(task, "part"));
	return text;
}

static void show_tasks(const json_t *job)
{
	const json_t *tasks = json_object_get(job, "tasks"), *running = json_object_get(job, "running_tasks"), *task;
	const json_t *total = json_object_get(tasks, "total");
	char text[ERROR_TEXT_BYTES], percent[TEXT_DURATION_BYTES] = "", step[32];
	size_t i;

	if (!json_is_object(json_object_get(job, "service")))
		show_counts(tasks, total);
	json_array_foreach(running, i, task) {
		double progress = member_number(task, "progress", -1);
		*percent = '\0';

		if (progress >= 0)
			(void)snprintf(percent, sizeof(percent), ", %.0f %%", progress * 100);
		print_field(i == 0 ? "running" : "", "task %" PRIu64 "%s on worker %s%s%s", member_count(task, "index"),
		     step_text(task, step, sizeof(step)), member_text(task, "worker", "?"), percent,
		     attempts_text(task, member_text(task, "cause", ""), text, sizeof(text)));
	}
	json_array_foreach(json_object_get(job, "divided_tasks"), i, task) {
		if (i == TASKS_SHOWN)
			break;
		print_field(i == 0 ? "divided" : "", "task %" PRIu64 ": %" PRIu64 " of %" PRIu64 " parts done",
		     member_count(task, "index"), member_count(task, "parts_done"), member_count(task, "parts"));
	}
	json_array_foreach(json_object_get(job, "retrying_tasks"), i, task) {
		if (i == TASKS_SHOWN)
			break;
		(void)text_format_duration((int64_t)(member_number(task, "retry_in_s", 0) * 1e9), percent);
		print_field(i == 0 ? "retrying" : "", "task %" PRIu64 "%s in %s%s", member_count(task, "index"),
		     step_text(task, step, sizeof(step)), percent,
		     attempts_text(task, member_text(task, "cause", ""), text, sizeof(text)));
	}
	if (member_count(job, "retrying") > i)
		print_field("", "and %" PRIu64 " more", member_count(job, "retrying") - i);
}

/* The first failed tasks, each a line of JSON; the stream is left when there are enough. */
static int get_failed(struct ctl *ctl, uint64_t id, json_t *failed, struct error *err)
{
	_cleanup_buffer_ struct buffer lines = BUFFER_INIT;
	struct http *http = NULL;
	struct http_reply reply;
	const uint8_t *data;
	size_t used = 0;
	char url[112];
	ssize_t n = 0;
	int r = talk_connect(ctl, &http, err);

	(void)snprintf(url, sizeof(url), "/v1/jobs/%" PRIu64 "/results?format=json&failed=1&order=done&follow=0", id);
	if (r == 0)
		r = http_send(http, "GET", url, NULL, 0);
	if (r == 0)
		r = http_head(http, &reply);
	while (r == 0 && json_array_size(failed) < TASKS_SHOWN && (n = http_read(http, &data)) > 0) {
		const char *end;

		r = buffer_add(&lines, data, (size_t)n);
		while (r == 0 && json_array_size(failed) < TASKS_SHOWN &&
		       (end = memchr(lines.data + used, '\n', lines.len - used))) {
			size_t len = (size_t)(end - (const char *)lines.data) - used;
			json_t *line = json_loadb((const char *)lines.data + used, len, TALK_JSON_FLAGS, NULL);

			used += len + 1;
			if (strcmp(member_text(line, "type", ""), "task") == 0)
				r = json_array_append(failed, line) < 0 ? -ENOMEM : 0;
			json_decref(line);
		}
	}
	http_close(http);
	return r < 0 || n >= 0 ? r : talk_failed((int)n, err);
}

static void show_failed(const json_t *failed)
{
	const json_t *task;
	size_t i;

	json_array_foreach(failed, i, task) {
		const json_t *error = json_object_get(task, "error");
		char text[ERROR_TEXT_BYTES];

		(void)snprintf(text, sizeof(text), "%s: %s", member_text(error, "code", "?"),
			       member_text(error, "message", ""));
		print_field(i == 0 ? "failed" : "", "task %" PRIu64 ": %s%s", member_count(task, "index"), text,
		     attempts_text(task, "", text + strlen(text) + 1, sizeof(text) - strlen(text) - 1));
	}
}

static void show_stack_note(const json_t *job)
{
	const char *note = member_text(job, "stack_note", "");

	if (*note)
		print_field("stacks", "%s", note);
}

static void show_stalls(const json_t *stalls)
{
	const json_t *stall, *frame;
	char held[TEXT_DURATION_BYTES];
	size_t i, k;

	if (member_count(stalls, "count") == 0)
		return;
	print_field("stalls", "%" PRIu64 " times a task held its thread too long; the longest:", member_count(stalls, "count"));
	json_array_foreach(json_object_get(stalls, "longest"), i, stall) {
		const char *input = member_text(stall, "input", "");

		text_format_duration((int64_t)(member_number(stall, "held_s", 0) * 1e9), held);
		print_field("", "task %" PRIu64 " (input '%.60s%s'): %s%s, worker %s", member_count(stall, "index"), input,
			    member_count(stall, "input_bytes") > 60 ? "..." : "", held,
			    member_true(stall, "ended") ? "" : " so far", member_text(stall, "worker", "?"));
		json_array_foreach(json_object_get(stall, "stack"), k, frame)
			print_field("", "    %s", json_string_value(frame));
	}
}

static void show_params(const json_t *params)
{
	const char *key, *name = "parameters";
	json_t *value;

	json_object_foreach((json_t *)params, key, value) {
		const char *text = json_string_value(value);

		print_field(name, "%s = %s", key, text ? text : "");
		name = "";
	}
}

static void show_retries(const json_t *job)
{
	const json_t *halt = json_object_get(job, "halt");
	char backoff[TEXT_DURATION_BYTES];
	uint64_t fail = member_count(halt, "fail"), percent = member_count(halt, "percent");

	if (member_count(job, "retries") > 0)
		print_field("retries", "%" PRIu64 ", the first after %s", member_count(job, "retries"),
			    duration_text(job, "backoff_s", backoff));
	if (fail > 0)
		print_field("halt", "%s, after %" PRIu64 " failed tasks", member_text(halt, "when", "?"), fail);
	else if (percent > 0)
		print_field("halt", "%s, at %" PRIu64 " %% failed tasks", member_text(halt, "when", "?"), percent);
}

static void show_service(const json_t *service)
{
	char up[TEXT_DURATION_BYTES], text[TEXT_DURATION_BYTES];
	const json_t *line;
	uint64_t restarts = member_count(service, "restarts"), failures = member_count(service, "failures");

	if (!json_is_object(service))
		return;
	duration_text(service, "up_s", up);
	print_field("service", "%s%s, restarted %" PRIu64 " time%s since the daemon's start", *up ? "up for " : "down", up,
		    restarts, restarts == 1 ? "" : "s");
	if (failures > 0)
		print_field("", "%s%" PRIu64 " failure%s in a row", member_true(service, "failing") ? "failing: " : "",
			    failures, failures == 1 ? "" : "s");
	line_member("last cause", service, "cause");
	line = json_object_get(service, "last_line");
	if (json_is_object(line))
		print_field("last line", "%.19s %s", member_text(line, "at", ""), member_text(line, "message", ""));
	if (member_number(service, "next_try_s", 0) > 0)
		print_field("next try", "in %s", duration_text(service, "next_try_s", text));
}

/* As it came, and the first failed tasks where there are any. */
static int print_job_json(json_t *job, json_t *failed)
{
	_cleanup_free_ char *text = NULL;

	if (json_object_set(job, "failed_tasks", failed) < 0)
		return -ENOMEM;
	text = json_dumps(job, JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (!text)
		return -ENOMEM;
	(void)puts(text); /* looked at when the command ends */
	return EXIT_OK;
}

int command_show(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	_cleanup_json_ json_t *failed = json_array();
	const json_t *error;
	char url[64];
	uint64_t id;
	int r = select_job(ctl, ctl->args.words[0], &id, err);

	if (r < 0)
		return r;
	(void)snprintf(url, sizeof(url), "/v1/jobs/%" PRIu64, id);
	r = talk_get(ctl, url, &doc, err);
	if (r < 0)
		return r;
	if (member_count(json_object_get(doc.json, "tasks"), "failed") > 0) {
		r = get_failed(ctl, id, failed, err);
		if (r < 0)
			return r;
	}
	if (ctl->json)
		return print_job_json(doc.json, failed);
	print_field("job", "%s", member_text(doc.json, "job", "?"));
	print_field("state", "%s", member_text(doc.json, "state", "?"));
	line_member("why waiting", doc.json, "waiting");
	error = json_object_get(doc.json, "error");
	if (json_is_object(error))
		print_field("error", "%s: %s", member_text(error, "code", ""), member_text(error, "message", ""));
	line_member("workload", doc.json, "workload");
	line_member("label", doc.json, "label");
	line_member("retry of", doc.json, "retry_of");
	show_how(doc.json);
	show_service(json_object_get(doc.json, "service"));
	show_tasks(doc.json);
	show_failed(failed);
	if (member_number(doc.json, "priority", 0) != 0)
		print_field("priority", "%.0f", member_number(doc.json, "priority", 0));
	show_stack_note(doc.json);
	show_stalls(json_object_get(doc.json, "stalls"));
	show_retries(doc.json);
	show_times(doc.json);
	show_params(json_object_get(doc.json, "params"));
	print_field("user", "%" PRIu64, member_count(doc.json, "user"));
	line_member("submission", doc.json, "submission");
	return EXIT_OK;
}
