/* Answers: documents and errors. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "control/server.h"
#include "ctl/protocol.h"

int protocol_http_status(const char *code)
{
#define STATUS_OF(name, http, exit) { name, http },
	static const struct {
		const char *code;
		int status;
	} statuses[] = { PROTOCOL_ERRORS(STATUS_OF) };
#undef STATUS_OF

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (strcmp(statuses[i].code, code) == 0)
			return statuses[i].status;
	return 500;
}

static void reply_no_memory(struct http_request *req)
{
	static const char no_memory[] =
		"{\"schema\":1,\"error\":{\"code\":\"internal\",\"message\":\"out of memory\"}}\n";

	http_reply(req, 500, NULL, JSON_TYPE, no_memory, sizeof(no_memory) - 1);
}

void reply_json(struct http_request *req, int status, json_t *document)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	text = document ? document_dump(document, &len) : NULL;
	json_decref(document);
	if (!text) {
		reply_no_memory(req);
		return;
	}
	text[len++] = '\n'; /* over the NUL: a line of its own on a terminal */
	http_reply(req, status, NULL, JSON_TYPE, text, len);
}

void reply_json_text(struct http_request *req, int status, const struct buffer *text)
{
	http_reply(req, status, NULL, JSON_TYPE, text->data, text->len);
}

void reply_made_text(struct http_request *req, int r, struct buffer *text)
{
	if (r == 0)
		r = buffer_add(text, "\n", 1);
	if (r < 0)
		reply_no_memory(req);
	else
		reply_json_text(req, 200, text);
	buffer_fini(text);
}

void reply_job(struct http_request *req, const struct job_view *view)
{
	struct buffer text = BUFFER_INIT;
	int r = job_text(&text, view);

	reply_made_text(req, r, &text);
}

static json_t *error_document(const char *code, const char *message)
{
	return json_pack("{s:i, s:{s:s, s:o}}", "schema", PROTOCOL_SCHEMA, "error", "code", code, "message",
			 document_text(message));
}

void reply_code(struct http_request *req, const char *code, const char *format, ...)
{
	char message[ERROR_TEXT_BYTES];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(message, sizeof(message), format, ap); /* a cut message is still a message */
	va_end(ap);
	reply_json(req, protocol_http_status(code), error_document(code, message));
}

void reply_error(struct http_request *req, int r, const struct error *err)
{
	if (err && err->code)
		reply_code(req, err->code, "%s", err->text);
	else if (r == -ENOSPC)
		reply_code(req, "full", "the store takes nothing now: `concctl status` says why");
	else if (r == -ENOENT)
		reply_code(req, "no-such-job", "there is no such job");
	else
		reply_code(req, "internal", "%s", strerror(-r));
}

void reply_wrong_offset(struct http_request *req, uint64_t have, const struct error *err)
{
	json_t *document = error_document("wrong-offset", err->text);

	if (json_object_set_new(json_object_get(document, "error"), "have", json_integer((json_int_t)have)) < 0) {
		json_decref(document);
		document = NULL;
	}
	reply_json(req, protocol_http_status("wrong-offset"), document);
}
