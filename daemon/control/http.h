/* HTTP/1.1 for the control socket: connections, requests, replies, streams. It knows nothing of jobs and JSON.
 *
 *	accept ──> head ──> body ──> handling ──> written ──┬─> head (kept alive)
 *	   │                  │                             └─> linger ──> closed
 *	   └── too many ──────┴── malformed, too large ──> on_refused ──┘
 *
 * Why not evhttp: it answers malformed and too large requests with HTML, counts connections only once they send a request,
 * does not notice that a client left while its request is being handled, reads 4 KiB a call, and needs 1.8 times
 * the round trip. What is left of HTTP on a Unix socket is little: no TLS, no addresses, no proxies, no forms.
 *
 * A request is handed to on_request() when its body is complete. The handler answers it at once or later, with
 * http_reply() or with http_stream_begin(), any number of chunks and http_stream_end() or http_stream_abort(). From
 * that call on the request is gone for the handler. Where the client leaves first, on_gone tells the handler, once, never from
 * inside a call of the handler. Next requests of the connection wait meanwhile in the socket.
 *
 * A lingering connection has its answer and is read to its end for a moment, so that a client that still writes its request
 * meets the answer and not a broken pipe.
 *
 * Everything belongs to the loop's thread; nothing blocks.
 */
#ifndef CONCD_CONTROL_HTTP_H
#define CONCD_CONTROL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct event_base;
struct http_server;

/* Who is at the other end, from SO_PEERCRED: as it was at connect(). */
struct http_peer {
	uint32_t uid, gid;
	int32_t pid;
};

struct http_request {
	/* Valid until the request is answered or gone. */
	const char *method;
	char *path; /* still percent-encoded; the handler may change these in place */
	char *query; /* NULL: none */
	uint8_t *body;
	size_t body_len;
	struct http_peer peer;

	/* The handler's. */
	void *user;
	void (*on_gone)(struct http_request *req); /* NULL: nothing to undo */
	void (*on_writable)(struct http_request *req); /* of a stream: all that was queued has been sent */
};

struct http_ops { /* both required */
	void (*on_request)(void *ctx, struct http_request *req);
	/* Answer with this error (a code of ctl/protocol.h) at once; the connection closes behind it. */
	void (*on_refused)(void *ctx, struct http_request *req, const char *code, const char *message);
};

struct http_options {
	struct event_base *base;
	int listen_fd; /* stays the caller's; non-blocking */
	uint32_t max_clients, max_clients_per_user;
	size_t max_head_bytes, max_body_bytes;
	int64_t read_timeout_ns; /* without a byte of an unfinished or awaited request */
	const struct http_ops *ops;
	void *ctx;
};

int http_open(const struct http_options *options, struct http_server **ret_server); /* 0, -ENOMEM */
/* Close every connection (on_gone is told) and free. NULL is fine. Not from inside a callback. */
void http_close(struct http_server *server);
uint32_t http_clients(const struct http_server *server);

/* Answer. `headers`: further lines, each ended by CRLF; NULL: none. The bytes are copied. */
void http_reply(struct http_request *req, int status, const char *headers, const char *type, const void *body,
		size_t len);

void http_stream_begin(struct http_request *req, const char *headers, const char *type); /* status 200 */
/* Room for at least `room` bytes of a chunk; calling again before the commit keeps what was written (at most the former
 * room) and may move it. NULL: out of memory. */
uint8_t *http_chunk_reserve(struct http_request *req, size_t room);
void http_chunk_commit(struct http_request *req, size_t len); /* 0: nothing */
size_t http_queued(const struct http_request *req); /* bytes committed and not yet taken by the kernel */
void http_stream_end(struct http_request *req);
/* End it so that the client sees it was cut: what is queued is still sent, the last chunk is not. */
void http_stream_abort(struct http_request *req);

#endif
