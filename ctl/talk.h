/* Requests for documents, and the daemon's errors as ours. */
#ifndef CONCD_CTL_TALK_H
#define CONCD_CTL_TALK_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http.h"

struct ctl;
struct iovec;

/* Inputs and results may have NULs in them; everything else that is read as a C string then ends there. */
#define TALK_JSON_FLAGS JSON_ALLOW_NUL

#define _cleanup_json_ _cleanup_(json_cleanup)
static inline void json_cleanup(json_t **json)
{
	json_decref(*json);
}

#define TALK_MAX_DOCUMENT_BYTES (64u << 20)
#define TALK_TIMEOUT_MS 30000 /* of a document that the daemon has at hand */
#define TALK_NO_TIMEOUT (-1)

struct document {
	int status;
	struct buffer text; /* as it came */
	json_t *json; /* parsed, an object */
};

#define DOCUMENT_INIT { .status = 0, .text = BUFFER_INIT, .json = NULL }
void document_fini(struct document *doc);
#define _cleanup_document_ _cleanup_(document_fini)

/* A new connection that watches for signals. 0 or -errno with words. */
int talk_connect(const struct ctl *ctl, struct http **ret_http, struct error *err);

/* Ask over ctl's connection and read the answer whole. 0 for an answer with status 2xx; else -errno with the daemon's
 * own words and code, or with those of what went wrong on the way. `doc` is the caller's, filled also for the daemon's
 * errors. */
int talk_document(struct ctl *ctl, const char *method, const char *target, const struct iovec *body, size_t n,
		  int timeout_ms, struct document *doc, struct error *err);
int talk_get(struct ctl *ctl, const char *target, struct document *doc, struct error *err);

/* The same on a connection that the caller has, without trying again. Transport errors are returned bare (-ECONNRESET,
 * -EPROTO, -EINTR, -EPIPE, -ETIMEDOUT) and set no words: talk_failed() has them. */
int talk_on(struct http *http, const char *method, const char *target, const struct iovec *body, size_t n,
	    struct document *doc, struct error *err);
/* Read the body of an answer whose head was read: 0, or -errno with the daemon's words where status is no 2xx. */
int talk_read(struct http *http, int status, struct document *doc, struct error *err);

/* Words for a transport error. Returns it. */
int talk_failed(int errnum, struct error *err);

/* The daemon's error object as err. Returns -errno. */
int talk_refused(const json_t *json, int status, struct error *err);

/* Print a document as it came, with a newline behind it. */
int document_print(const struct document *doc, struct error *err);

/* Members of a JSON object with what to take where they are missing or of another type. The texts are the object's. */
const char *member_text(const json_t *json, const char *key, const char *otherwise);
double member_number(const json_t *json, const char *key, double otherwise);
uint64_t member_count(const json_t *json, const char *key);
bool member_true(const json_t *json, const char *key);
/* Of a text, or of what stands base64-coded under the other key. */
size_t member_bytes(const json_t *json, const char *key, const char *key_b64);

/* Append text for use in a URL. 0 or -ENOMEM. */
int url_add(struct buffer *url, const char *text);

#endif
