/* Receiving a job's results. */
#include "stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "ctl.h"
#include "lines.h"
#include "protocol.h"
#include "table.h"
#include "talk.h"

#define MAX_STALLS 5 /* said of one job */
#define SHOWN_INPUT_BYTES 120 /* of a failed task's input in a message */

static int on_results(void *ctx, uint64_t count, uint64_t bytes)
{
	struct stream *s = ctx;

	s->frame_count = count;
	s->frame_bytes = bytes;
	s->frame_pos = 0;
	return 0;
}

static int on_bytes(void *ctx, const uint8_t *data, size_t len)
{
	struct stream *s = ctx;
	uint64_t known = s->ahead > s->frame_pos ? s->ahead - s->frame_pos : 0;

	s->frame_pos += len;
	if (s->unordered)
		return buffer_add(&s->held, data, len);
	if (known < len)
		out_add(&s->out, data + known, len - (size_t)known);
	return s->out.error;
}

static int on_results_end(void *ctx)
{
	struct stream *s = ctx;

	s->next += s->frame_count;
	s->passed += s->unordered ? 0 : s->frame_count;
	s->ahead = s->ahead > s->frame_bytes ? s->ahead - s->frame_bytes : 0;
	s->frame_pos = 0;
	return 0;
}

/* The input of a failed task as a person can read it. The caller frees. */
static char *shown_input(const json_t *task)
{
	const json_t *input = json_object_get(task, "input");
	_cleanup_free_ char *text = NULL;
	size_t len = json_string_length(input);
	char bytes[64];

	if (json_is_string(input)) {
		text = malloc(len + 1);
		if (!text)
			return NULL;
		memcpy(text, json_string_value(input), len + 1);
		for (size_t i = 0; i < len; i++)
			text[i] = text[i] ? text[i] : '?';
		return text_clean(text, SHOWN_INPUT_BYTES);
	}
	(void)snprintf(bytes, sizeof(bytes), "%zu bytes that are no text", member_bytes(task, "input", "input_b64"));
	return strdup(bytes);
}

static void say_failed(struct stream *s, const json_t *task)
{
	const json_t *error = json_object_get(task, "error");
	const char *signal = member_text(error, "signal", "");
	_cleanup_free_ char *input = shown_input(task);
	_cleanup_free_ char *message = text_clean(member_text(error, "message", ""), 1000);

	(void)out_flush(&s->out); /* in its place among the results, where both go to a terminal */
	progress_erase(&s->progress);
	say("task %" PRIu64 " (input '%s'): %s%s%s%s%s", member_count(task, "index"), input ? input : "",
	    member_text(error, "code", "failed"), message && *message ? ": " : "", message ? message : "",
	    *signal && !(message && strstr(message, signal)) ? ", signal " : "",
	    *signal && !(message && strstr(message, signal)) ? signal : "");
}

/* A text between TABs, escaped as results are; `otherwise` where it is no text. */
static void out_escaped(struct out *out, const json_t *value, const char *otherwise)
{
	const char *text = json_is_string(value) ? json_string_value(value) : otherwise;
	size_t len = json_is_string(value) ? json_string_length(value) : strlen(otherwise);

	for (; len > 0; text++, len--) {
		const char *escape = *text == '\\' ? "\\\\" : *text == '\t' ? "\\t" : *text == '\r' ? "\\r" :
				     *text == '\n' ? "\\n" : NULL;

		if (escape)
			out_add(out, escape, 2);
		else
			out_add(out, text, 1);
	}
}

static void list_failed(struct stream *s, const json_t *task)
{
	const json_t *error = json_object_get(task, "error");

	out_printf(&s->out, "%" PRIu64 "\t", member_count(task, "index"));
	out_escaped(&s->out, json_object_get(error, "code"), member_text(task, "state", "failed"));
	out_add(&s->out, "\t", 1);
	out_escaped(&s->out, json_object_get(task, "input"), member_text(task, "input_b64", ""));
	out_add(&s->out, "\t", 1);
	out_escaped(&s->out, json_object_get(error, "message"), "");
	out_add(&s->out, "\n", 1);
}

/* The tasks of the frame that is held: passed on together, so that none is cut where the stream breaks. */
static int on_tasks(struct stream *s, const char *tasks)
{
	int r = seen_add_text(&s->seen, tasks);

	if (r < 0)
		return r;
	out_add(&s->out, s->held.data, s->held.len);
	s->held.len = 0;
	s->passed += s->frame_count;
	return s->out.error;
}

static int on_failed(struct stream *s, const json_t *task)
{
	uint64_t index = member_count(task, "index");
	int r = s->unordered ? seen_add(&s->seen, index, index) : 0;

	if (r < 0)
		return r;
	s->next = index + 1;
	s->passed++;
	if (s->list_failed)
		list_failed(s, task);
	else if (strcmp(member_text(task, "state", "failed"), "cancelled") != 0)
		say_failed(s, task); /* what was cancelled was meant to be: the summary counts it */
	return s->out.error;
}

/* Of a job that was told to begin later it is to be seen why nothing comes. */
static void say_conditions(const struct stream *s, const json_t *job)
{
	const char *waiting = member_text(job, "waiting", "");

	if (!s->ctl->quiet && *waiting &&
	    (args_text(&s->ctl->args, "delay") || args_text(&s->ctl->args, "after") ||
	     strcmp(member_text(job, "state", ""), "paused") == 0))
		say("job %s waits: %s", s->job, waiting);
}

static void on_job(struct stream *s, const json_t *job)
{
	(void)snprintf(s->job, sizeof(s->job), "%s", member_text(job, "job", s->job));
	(void)snprintf(s->reason, sizeof(s->reason), "%s", member_text(job, "model_reason", ""));
	if (s->told)
		return; /* taken up again */
	s->told = true;
	if (s->ctl->verbose)
		say("job %s under %s (%s), %" PRIu64 " workers%s%s", s->job, member_text(job, "model", "?"),
		    member_text(job, "shape", "?"), member_count(job, "workers"), *s->reason ? ": " : "", s->reason);
	say_conditions(s, job);
}

/* "task 3 (input '200') holds its thread, worker 4711.0, for 51.2 ms now: nanosleep+0x13 (libc.so.6) < ..." */
static void say_stall(struct stream *s, const json_t *stall)
{
	_cleanup_buffer_ struct buffer stack = BUFFER_INIT;
	_cleanup_free_ char *input = shown_input(stall);
	char held[TEXT_DURATION_BYTES];
	const json_t *frame;
	size_t i;

	if (s->ctl->quiet || s->n_stalls > MAX_STALLS)
		return;
	progress_erase(&s->progress);
	if (s->n_stalls++ == MAX_STALLS) {
		say("more tasks hold their thread; 'concctl show %s' has the longest", s->job);
		return;
	}
	json_array_foreach(json_object_get(stall, "stack"), i, frame)
		(void)buffer_printf(&stack, "%s%s", i == 0 ? ": " : " < ", json_string_value(frame)); /* cut: out of memory */
	text_format_duration((int64_t)(member_number(stall, "held_s", 0) * 1e9), held);
	say("task %" PRIu64 " (input '%s') holds its thread, worker %s, for %s now%.*s",
	    member_count(stall, "index"), input ? input : "", member_text(stall, "worker", "?"), held, (int)stack.len, stack.len > 0 ? (const char *)stack.data : "");
}

static int on_frame(void *ctx, const char *type, const json_t *json)
{
	struct stream *s = ctx;

	if (strcmp(type, "failed") == 0)
		return on_failed(s, json);
	if (strcmp(type, "tasks") == 0)
		return on_tasks(s, member_text(json, "tasks", ""));
	if (strcmp(type, "job") == 0)
		on_job(s, json);
	else if (strcmp(type, "progress") == 0)
		progress_draw(&s->progress, json);
	else if (strcmp(type, "stall") == 0)
		say_stall(s, json);
	else if (strcmp(type, "end") == 0 && !s->end)
		s->end = json_incref((json_t *)json);
	return 0; /* frames of later versions mean nothing to us */
}

static const struct frames_ops stream_frames = {
	.on_results = on_results,
	.on_bytes = on_bytes,
	.on_results_end = on_results_end,
	.on_frame = on_frame,
};

struct stream *stream_new(const struct ctl *ctl, int fd)
{
	struct stream *s = malloc(sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, offsetof(struct stream, out)); /* the buffer of `out` stays untouched memory */
	s->ctl = ctl;
	s->json = ctl->json;
	out_init(&s->out, fd);
	frames_init(&s->frames, &stream_frames, s);
	progress_init(&s->progress, ctl->err_terminal && !ctl->quiet && !ctl->json);
	return s;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	frames_fini(&s->frames);
	buffer_fini(&s->carry);
	buffer_fini(&s->last);
	buffer_fini(&s->packed.bytes);
	buffer_fini(&s->held);
	seen_fini(&s->seen);
	json_decref(s->end);
	free(s);
}

/* Nothing is held back while the daemon has nothing more to say. */
static int on_wait(void *arg)
{
	struct stream *s = arg;

	if (s->out.len > 0 && s->ctl->out_terminal)
		progress_erase(&s->progress);
	return out_flush(&s->out);
}

static int end_json(struct stream *s, struct error *err)
{
	json_t *json = json_loadb((const char *)s->last.data, s->last.len, TALK_JSON_FLAGS, NULL);
	int r = 0;

	if (strcmp(member_text(json, "type", ""), "job") == 0)
		s->end = json_incref(json);
	else if (strcmp(member_text(json, "type", "error"), "error") == 0 &&
		 json_is_object(json_object_get(json, "error")))
		r = talk_refused(json, 0, err);
	json_decref(json);
	return r;
}

int stream_read(struct stream *s, struct http *http, struct error *err)
{
	int r;

	http->out_fd = s->out.fd;
	http->on_wait = on_wait;
	http->on_wait_arg = s;
	for (;;) {
		const uint8_t *data;
		ssize_t n = http_read(http, &data);

		if (s->out.error)
			return s->out.error;
		if (n < 0) {
			r = n == -ECONNRESET && s->json ? end_json(s, err) : 0; /* a cut may come after its reason */
			if (r == 0 && n == -ECONNRESET && s->end)
				return out_flush(&s->out) < 0 ? s->out.error : 1; /* or after all there is to come */
			return r < 0 ? r : (int)n;
		}
		if (n == 0)
			break;
		r = s->json ? lines_feed(s, data, (size_t)n, err) : frames_feed(&s->frames, data, (size_t)n, err);
		if (r < 0)
			return r;
	}
	r = s->json ? end_json(s, err) : 0;
	if (r == 0)
		r = out_flush(&s->out);
	return r < 0 ? r : s->end ? 1 : 0;
}

void stream_restart(struct stream *s)
{
	if (s->frame_pos > s->ahead)
		s->ahead = s->frame_pos;
	s->frame_pos = 0;
	s->held.len = 0;
	lines_restart(s);
	frames_restart(&s->frames);
}

int stream_status(const struct stream *s)
{
	const json_t *tasks = json_object_get(s->end, "tasks");
	const char *state = member_text(s->end, "state", "done");

	if (strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0 || member_count(tasks, "failed") > 0 ||
	    member_count(tasks, "cancelled") > 0)
		return EXIT_TASKS_FAILED;
	return EXIT_OK;
}

void stream_finish(struct stream *s, bool summary)
{
	(void)out_flush(&s->out); /* its error was looked at by stream_read() */
	progress_erase(&s->progress);
	if (summary && s->end && !s->json && !s->ctl->quiet)
		summary_print(stderr, s->end, s->reason);
}
