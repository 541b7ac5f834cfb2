/* Requests for documents. */
#include "talk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/io.h"
#include "connect.h"
#include "ctl.h"
#include "interrupt.h"
#include "protocol.h"

void document_fini(struct document *doc)
{
	buffer_fini(&doc->text);
	json_decref(doc->json);
	doc->json = NULL;
}

int talk_connect(const struct ctl *ctl, struct http **ret_http, struct error *err)
{
	struct http *http;
	int fd = socket_connect(ctl->socket, err);

	if (fd < 0)
		return fd;
	if (http_open(fd, &http) < 0)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	http->wake_fd = interrupt_fd();
	*ret_http = http;
	return 0;
}

int talk_failed(int errnum, struct error *err)
{
	switch (-errnum) {
	case EINTR:
		return error_set(err, errnum, "interrupted", "interrupted");
	case EPIPE:
		return error_set(err, errnum, "interrupted", "standard output was closed");
	case ETIMEDOUT:
		return error_set(err, errnum, "unreachable",
				 "concd does not answer, though its socket is there: it is stopped, or stuck; 'ps' and its log say more");
	case ECONNRESET:
		return error_set(err, errnum, "unreachable", "the connection to concd was lost");
	case EPROTO:
		return error_set(err, errnum, "unreachable",
				 "what came from the socket is no answer of concd's: is it the right socket?");
	case EFBIG:
		return error_set(err, errnum, "internal", "the answer is larger than %u MiB",
				 TALK_MAX_DOCUMENT_BYTES >> 20);
	default:
		return error_set(err, errnum, "unreachable", "talking to concd: %s", strerror(-errnum));
	}
}

int talk_refused(const json_t *json, int status, struct error *err)
{
	const json_t *error = json_object_get(json, "error");
	const char *code = member_text(error, "code", NULL);
	const char *message = member_text(error, "message", "");

	if (!code || !*code)
		return error_set(err, -EPROTO, "internal", "concd answered with HTTP status %d and no reason", status);
	return error_set(err, -EREMOTEIO, error_code_known(code), "%s", *message ? message : code);
}

int talk_read(struct http *http, int status, struct document *doc, struct error *err)
{
	int r = http_read_all(http, TALK_MAX_DOCUMENT_BYTES, &doc->text);

	if (r < 0)
		return r;
	doc->status = status;
	doc->json = json_loadb((const char *)doc->text.data, doc->text.len, TALK_JSON_FLAGS, NULL);
	if (status < 200 || status > 299)
		return talk_refused(doc->json, status, err);
	if (!json_is_object(doc->json))
		return -EPROTO;
	return 0;
}

int talk_on(struct http *http, const char *method, const char *target, const struct iovec *body, size_t n,
	    struct document *doc, struct error *err)
{
	struct http_reply reply;
	int r = http_send(http, method, target, body, n);

	if (r == 0)
		r = http_head(http, &reply);
	if (r < 0)
		return r;
	return talk_read(http, reply.status, doc, err);
}

int talk_document(struct ctl *ctl, const char *method, const char *target, const struct iovec *body, size_t n,
		  int timeout_ms, struct document *doc, struct error *err)
{
	bool fresh = !ctl->http;
	int r;

	if (strcmp(method, "GET") != 0) { /* what acts is not sent twice */
		http_close(ctl->http);
		ctl->http = NULL;
		fresh = true;
	}
	for (;;) {
		if (!ctl->http) {
			r = talk_connect(ctl, &ctl->http, err);
			if (r < 0)
				return r;
		}
		ctl->http->timeout_ms = timeout_ms;
		r = talk_on(ctl->http, method, target, body, n, doc, err);
		if (r < 0 || !http_usable(ctl->http)) {
			http_close(ctl->http);
			ctl->http = NULL;
		}
		/* A kept connection may have been closed in the meantime. */
		if (r != -ECONNRESET || fresh)
			break;
		fresh = true;
		document_fini(doc);
	}
	return r < 0 ? talk_failed(r, err) : 0;
}

int talk_get(struct ctl *ctl, const char *target, struct document *doc, struct error *err)
{
	return talk_document(ctl, "GET", target, NULL, 0, TALK_TIMEOUT_MS, doc, err);
}

int document_print(const struct document *doc, struct error *err)
{
	size_t len = doc->text.len;
	int r;

	while (len > 0 && doc->text.data[len - 1] == '\n')
		len--;
	r = io_write_full(STDOUT_FILENO, doc->text.data, len);
	if (r == 0)
		r = io_write_full(STDOUT_FILENO, "\n", 1);
	if (r < 0 && r != -EPIPE)
		return error_set(err, r, "output", "cannot write to standard output: %s", strerror(-r));
	return 0;
}

const char *member_text(const json_t *json, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : otherwise;
}

double member_number(const json_t *json, const char *key, double otherwise)
{
	const json_t *value = json_object_get(json, key);

	return json_is_number(value) ? json_number_value(value) : otherwise;
}

uint64_t member_count(const json_t *json, const char *key)
{
	const json_t *value = json_object_get(json, key);
	json_int_t count = json_integer_value(value);

	return count > 0 ? (uint64_t)count : 0;
}

bool member_true(const json_t *json, const char *key)
{
	return json_is_true(json_object_get(json, key));
}

size_t member_bytes(const json_t *json, const char *key, const char *key_b64)
{
	const json_t *text = json_object_get(json, key);
	const char *base64 = member_text(json, key_b64, "");
	size_t len = strlen(base64), padding = 0;

	if (json_is_string(text))
		return json_string_length(text);
	while (padding < 2 && padding < len && base64[len - padding - 1] == '=')
		padding++;
	return len / 4 * 3 - padding;
}

int url_add(struct buffer *url, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     strchr("-._~", c);
		int r = plain ? buffer_add(url, text, 1) : buffer_printf(url, "%%%02X", c);

		if (r < 0)
			return r;
	}
	return 0;
}
