/* JSON documents of what belongs to jobs. Jobs themselves (job_text.c) and streams of tasks (format.c) are formatted by hand; these
 * come once per request. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
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

json_t *document_refusal(uint64_t id, int status, const struct error *err)
{
	const char *code = err && err->code ? err->code : status == -ENOSPC ? "full" : "internal";

	return json_pack("{s:i, s:o, s:{s:s, s:o}}", "schema", PROTOCOL_SCHEMA, "job", id_text(id), "error", "code", code,
			 "message", document_text(err && err->code ? err->text : strerror(-status)));
}

json_t *document_log(const struct job_log *log)
{
	char worker[16];

	(void)snprintf(worker, sizeof(worker), "%u", log->worker_pid);
	return json_pack("{s:o, s:s, s:o, s:o}", "at", time_or_null(log->unix_us), "level", log->level, "worker",
			 document_text(log->worker_pid > 0 ? worker : NULL), "message", document_text(log->text));
}

json_t *document_service(const struct service_view *service)
{
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
	char *text = json_dumps(document, DOCUMENT_DUMP_FLAGS);

	if (text)
		*ret_len = strlen(text);
	return text;
}

int document_add(struct buffer *b, json_t *document)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;

	text = document ? document_dump(document, &len) : NULL;
	json_decref(document);
	return text ? buffer_add(b, text, len) : -ENOMEM;
}

int document_add_members(struct buffer *b, json_t *object)
{
	size_t end = b->len - 1; /* where its brace is */
	int r = document_add(b, object);

	if (r < 0)
		return r;
	/* {..}{..}: a comma for the brace at its end, and nothing for the one behind it */
	memmove(b->data + end + 1, b->data + end + 2, b->len - end - 2);
	b->data[end] = ',';
	b->len--;
	return 0;
}
