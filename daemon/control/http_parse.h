/* The text of HTTP/1.1 requests: pure functions over bytes, no sockets. Any thread. */
#ifndef CONCD_CONTROL_HTTP_PARSE_H
#define CONCD_CONTROL_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

/* A request's head. The texts point into the parsed bytes. */
struct http_head {
	char *method;
	char *path; /* as sent, still percent-encoded */
	char *query; /* behind '?'; NULL: none */
	int64_t content_length; /* -1: not given */
	bool http_1_0;
	bool chunked;
	bool keep_alive;
	bool expect_continue;
};

/* Where the head ends: the number of bytes through its empty line, or 0 while that has not come. The first `seen` bytes
 * were looked at before. Empty lines in front of a request belong to its head (http_skip_empty()). */
size_t http_head_end(const uint8_t *data, size_t len, size_t seen);
size_t http_skip_empty(const uint8_t *data, size_t len); /* bytes of CR and LF in front */

/* Parse a whole head, which is changed in place (a NUL goes behind each text). 0, or -EBADMSG (bad-request) with
 * what is wrong. */
int http_parse_head(char *data, size_t len, struct http_head *ret_head, struct error *err);

/* A decoder of chunked bodies; all zeros to begin with. */
struct http_chunks {
	uint64_t left; /* of the chunk's data, or its size so far */
	unsigned int state;
	unsigned int line_bytes; /* of the size line or trailer so far */
};

/* Decode from *at up to end to *out, which may be the same memory (*out is never past *at), and move both. 1: the body is
 * complete; 0: more is needed; -EBADMSG. A chunk's size is at most 2^31. */
int http_chunks_decode(struct http_chunks *chunks, const uint8_t **at, const uint8_t *end, uint8_t **out);

/* Decode %XX in place. The new length, or -EBADMSG for a bad escape or an encoded NUL. */
long http_percent_decode(char *text);

#endif
