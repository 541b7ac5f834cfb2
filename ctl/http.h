/* A small blocking HTTP/1.1 client over a Unix socket: one connection, one request at a time, kept alive in between.
 *
 *	http_open -> http_send -> http_head -> http_read ... 0 -> http_send ... -> http_close
 *
 * Body bytes are handed out where they were read, without a copy. What comes in is bounded: heads by
 * PROTOCOL_MAX_HEADER_BYTES, everything else by the caller. A connection belongs to one thread.
 *
 * While a call waits for the daemon it also watches wake_fd and out_fd, so that a signal or a closed standard output
 * ends the wait.
 */
#ifndef CONCD_CTL_HTTP_H
#define CONCD_CTL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buffer;
struct iovec;

#define HTTP_READ_BYTES (256u << 10)
#define HTTP_JOB_BYTES 24

struct http {
	int fd;
	int wake_fd; /* -1: none; readable: the wait ends with -EINTR */
	int out_fd; /* -1: none; its reader has gone: the wait ends with -EPIPE */
	int timeout_ms; /* of one wait: -ETIMEDOUT; -1: none */
	int (*on_wait)(void *arg); /* before a wait: pass on what was handed out so far. Not 0: ends the wait. May be NULL */
	void *on_wait_arg;

	/* private */
	uint8_t *in; /* read from the socket; [at, end) is not used yet */
	size_t at, end;
	int body; /* enum in http.c */
	uint64_t left; /* of the body or the chunk */
	bool keep; /* the connection may be used again */
	int send_error; /* the daemon stopped reading: its answer may still be there */
};

struct http_reply {
	int status;
	char job[HTTP_JOB_BYTES]; /* X-Concd-Job; "" where there is none */
	bool joined; /* X-Concd-Joined: that job was there before */
};

/* Take a connected socket (ownership moves, also on failure). 0 or -ENOMEM. The caller frees with http_close(). */
int http_open(int fd, struct http **ret_http);
void http_close(struct http *h); /* NULL is fine */

/* Send a request. `body` may be empty (n == 0). 0, or: -ECONNRESET the daemon closed the connection; -EINTR, -EPIPE,
 * -ETIMEDOUT as above. A daemon that refuses a request before it was read whole is no error here: http_head() gets its
 * answer. */
int http_send(struct http *h, const char *method, const char *target, const struct iovec *body, size_t n);

/* Wait for the answer's head. 0; -ECONNRESET: the connection ended before it; -EPROTO: it is no HTTP or too long. */
int http_head(struct http *h, struct http_reply *ret_reply);

/* The next bytes of the body: how many, *ret_data valid until the next call; 0 at its end. -ECONNRESET: cut short. */
ssize_t http_read(struct http *h, const uint8_t **ret_data);

/* The whole body behind what b has. 0; -EFBIG above max_bytes. */
int http_read_all(struct http *h, size_t max_bytes, struct buffer *b);

/* The answer was read to its end and the daemon keeps the connection. */
bool http_usable(const struct http *h);

#endif
