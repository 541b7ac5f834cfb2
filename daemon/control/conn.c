/* One connection: reading requests, writing answers. */
#include "control/conn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#define READ_BYTES (16u << 10)
#define READ_BODY_BYTES (256u << 10)
#define GATHER_BYTES (8u << 10) /* less than this is sent from the loop's next turn */
#define HEAD_US 1000 /* a stream's head waits so long for its first chunk */
#define WRITE_BYTES (256u << 10) /* one send */
#define KEEP_BYTES (1u << 20) /* a larger buffer of sent bytes is given back at once, others by the tick */
#define LINGER_NS (2 * NS_PER_S)
#define CHUNK_HEAD_BYTES 10 /* eight hexadecimal digits, CR, LF */
#define CHUNK_TAIL_BYTES 2

static struct conn *conn_of(const struct http_request *req)
{
	return container_of(req, struct conn, req);
}

static void conn_free(struct conn *conn)
{
	struct http_server *server = conn->server;

	(void)event_del(&conn->read_ev); /* fails for an event without a base only */
	(void)event_del(&conn->write_ev);
	(void)event_del(&conn->wake_ev);
	if (conn->counted)
		server->clients--;
	else
		server->refused--;
	*conn->prev = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	(void)close(conn->fd); /* nothing to lose: what was to be sent was sent, or nobody reads it */
	buffer_fini(&conn->head_bytes);
	buffer_fini(&conn->in);
	buffer_fini(&conn->out);
	free(conn);
}

void conn_kill(struct conn *conn)
{
	bool held = conn->state == CONN_HANDLING || conn->state == CONN_STREAMING;

	conn->state = CONN_DEAD;
	if (held && conn->req.on_gone)
		conn->req.on_gone(&conn->req);
	conn_free(conn);
}

/* Go on from the loop soon. An event of its own: event_add() on one that is active for another reason does nothing. */
static void conn_wake(struct conn *conn)
{
	event_active(&conn->wake_ev, EV_TIMEOUT, 0);
}

static void conn_doom(struct conn *conn)
{
	conn->broken = true;
	conn_wake(conn);
}

static void conn_want_read(struct conn *conn, bool want)
{
	if (conn->reading == want)
		return;
	conn->reading = want;
	if (want ? event_add(&conn->read_ev, NULL) < 0 : event_del(&conn->read_ev) < 0)
		conn_doom(conn);
}

static void conn_touch(struct conn *conn, int64_t timeout_ns)
{
	conn->deadline_ns = clock_mono_ns() + timeout_ns;
}

/* The answer is on its way: wait for the next request, or for the client to leave. */
static void conn_next(struct conn *conn)
{
	size_t used = conn->body_at + conn->req.body_len;

	if (conn->close_after) {
		conn->state = CONN_LINGER;
		conn_touch(conn, LINGER_NS);
		buffer_fini(&conn->in);
		if (shutdown(conn->fd, SHUT_WR) < 0 || conn->half_closed) {
			conn->state = CONN_DEAD;
			conn_doom(conn);
			return;
		}
		conn_want_read(conn, true);
		return;
	}
	conn->state = CONN_HEAD;
	conn->seen = 0;
	conn->in.len -= used;
	memmove(conn->in.data, conn->in.data + used, conn->in.len);
	conn_touch(conn, conn->server->options.read_timeout_ns);
	conn_want_read(conn, true);
	if (conn->in.len > 0 && !conn->processing) {
		conn->pending = true;
		conn_wake(conn);
	}
}

/* Send what the kernel takes. */
static void conn_flush(struct conn *conn)
{
	conn->head_waits = false;
	if (conn->broken)
		return;
	while (conn->sent < conn->out.len) {
		size_t n = conn->out.len - conn->sent;
		ssize_t r = send(conn->fd, conn->out.data + conn->sent, n < WRITE_BYTES ? n : WRITE_BYTES,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r >= 0) {
			conn->sent += (size_t)r;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN) {
			conn_doom(conn);
			return;
		}
		if (!conn->writing && event_add(&conn->write_ev, NULL) < 0)
			conn_doom(conn);
		conn->writing = true;
		return;
	}
	conn->out.len = 0;
	conn->sent = 0;
	if (conn->out.cap > KEEP_BYTES)
		buffer_fini(&conn->out);
	if (conn->writing)
		(void)event_del(&conn->write_ev);
	conn->writing = false;
	if (conn->state == CONN_FLUSHING && !conn->broken)
		conn_next(conn);
}

/* ---- Answering ---- */

static const char *status_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = { { 200, "OK" }, { 201, "Created" }, { 400, "Bad Request" }, { 403, "Forbidden" },
			{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 409, "Conflict" },
			{ 413, "Content Too Large" }, { 500, "Internal Server Error" },
			{ 503, "Service Unavailable" }, { 507, "Insufficient Storage" } };

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

static int conn_add_head(struct conn *conn, int status, const char *headers, const char *type, const char *length)
{
	const char *close = conn->close_after ? "Connection: close\r\n" :
			    conn->head.http_1_0 ? "Connection: keep-alive\r\n" : "";

	char number[TEXT_NUMBER_BYTES];

	return buffer_add_strings(&conn->out, "HTTP/1.1 ", text_i64(status, number), " ", status_reason(status),
				  "\r\nContent-Type: ", type, "\r\n", length, close, headers ? headers : "", "\r\n", NULL);
}

void http_reply(struct http_request *req, int status, const char *headers, const char *type, const void *body,
		size_t len)
{
	struct conn *conn = conn_of(req);
	char length[64], number[TEXT_NUMBER_BYTES];

	assert(conn->state == CONN_HANDLING);
	conn->state = CONN_FLUSHING;
	(void)stpcpy(stpcpy(stpcpy(length, "Content-Length: "), text_u64(len, number)), "\r\n");
	if (conn_add_head(conn, status, headers, type, length) < 0 ||
	    (!conn->no_body && buffer_add(&conn->out, body, len) < 0)) {
		conn_doom(conn);
		return;
	}
	conn_flush(conn);
}

void http_stream_begin(struct http_request *req, const char *headers, const char *type)
{
	static const struct timeval moment = { .tv_usec = HEAD_US };
	struct conn *conn = conn_of(req);

	assert(conn->state == CONN_HANDLING);
	conn->state = CONN_STREAMING;
	conn->chunked = !conn->head.http_1_0;
	if (!conn->chunked)
		conn->close_after = true; /* its end is the connection's */
	if (conn_add_head(conn, 200, headers, type, conn->chunked ? "Transfer-Encoding: chunked\r\n" : "") < 0)
		conn_doom(conn);
	/* sent with the first chunk, or alone where that takes longer: it would wake the client for nothing */
	else if (!conn->broken && event_add(&conn->wake_ev, &moment) < 0)
		conn_wake(conn);
	conn->head_waits = true;
}

uint8_t *http_chunk_reserve(struct http_request *req, size_t room)
{
	struct conn *conn = conn_of(req);

	if (conn->sent > 0) {
		conn->out.len -= conn->sent;
		memmove(conn->out.data, conn->out.data + conn->sent, conn->out.len);
		conn->sent = 0;
	}
	if (buffer_reserve(&conn->out, CHUNK_HEAD_BYTES + room + CHUNK_TAIL_BYTES) < 0)
		return NULL;
	return conn->out.data + conn->out.len + CHUNK_HEAD_BYTES;
}

void http_chunk_commit(struct http_request *req, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	struct conn *conn = conn_of(req);
	uint8_t *at = conn->out.data + conn->out.len;

	assert(conn->state == CONN_STREAMING);
	if (len == 0)
		return;
	conn->head_waits = false;
	if (conn->chunked) {
		for (unsigned int i = 0; i < 8; i++)
			at[i] = (uint8_t)digits[len >> (28 - 4 * i) & 15];
		at[8] = '\r';
		at[9] = '\n';
		at[CHUNK_HEAD_BYTES + len] = '\r';
		at[CHUNK_HEAD_BYTES + len + 1] = '\n';
		conn->out.len += CHUNK_HEAD_BYTES + len + CHUNK_TAIL_BYTES;
	} else {
		memmove(at, at + CHUNK_HEAD_BYTES, len);
		conn->out.len += len;
	}
	if (http_queued(req) < GATHER_BYTES && !conn->broken)
		conn_wake(conn); /* the end may follow at once: one send, and the client wakes once */
	else
		conn_flush(conn);
}

size_t http_queued(const struct http_request *req)
{
	const struct conn *conn = conn_of(req);

	return conn->head_waits ? 0 : conn->out.len - conn->sent;
}

void http_stream_end(struct http_request *req)
{
	struct conn *conn = conn_of(req);

	assert(conn->state == CONN_STREAMING);
	conn->state = CONN_FLUSHING;
	if (conn->chunked && buffer_add(&conn->out, "0\r\n\r\n", 5) < 0)
		conn_doom(conn);
	else
		conn_flush(conn);
}

void http_stream_abort(struct http_request *req)
{
	struct conn *conn = conn_of(req);

	assert(conn->state == CONN_STREAMING);
	conn->close_after = true;
	conn->state = CONN_FLUSHING;
	conn_flush(conn);
}

/* ---- Reading ---- */

void conn_refuse(struct conn *conn, const char *code, const char *message)
{
	const struct http_server *server = conn->server;

	conn->state = CONN_HANDLING;
	conn->close_after = true;
	conn->body_at = conn->in.len;
	conn->req.body_len = 0;
	server->options.ops->on_refused(server->options.ctx, &conn->req, code, message);
}

/* A whole head is there: take it out of `in`. */
static void conn_take_head(struct conn *conn, size_t end)
{
	const struct http_options *options = &conn->server->options;
	struct error err = ERROR_INIT;

	conn->head_bytes.len = 0;
	if (buffer_add(&conn->head_bytes, conn->in.data, end) < 0) {
		conn_refuse(conn, "internal", "out of memory");
		return;
	}
	if (http_parse_head((char *)conn->head_bytes.data, conn->head_bytes.len, &conn->head, &err) < 0) {
		conn_refuse(conn, "bad-request", err.text);
		return;
	}
	conn->req = (struct http_request){ .method = conn->head.method, .path = conn->head.path,
					   .query = conn->head.query, .peer = conn->req.peer };
	conn->close_after = !conn->head.keep_alive;
	conn->no_body = strcmp(conn->head.method, "HEAD") == 0;
	conn->body_at = end;
	conn->body_end = end;
	conn->chunks = (struct http_chunks){ .state = 0 };
	if (conn->head.content_length > (int64_t)options->max_body_bytes) {
		char text[128];

		(void)snprintf(text, sizeof(text), "the request's body has %lld bytes; %zu are allowed: send it in pieces",
			       (long long)conn->head.content_length, options->max_body_bytes); /* fits */
		conn_refuse(conn, "too-large", text);
		return;
	}
	conn->state = CONN_BODY;
	if (conn->head.expect_continue && conn->in.len == end) {
		if (buffer_printf(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n") < 0)
			conn_doom(conn);
		else
			conn_flush(conn);
	}
}

/* Look for the whole body. True: it is there, at body_at .. body_end. */
static bool conn_take_body(struct conn *conn)
{
	const uint8_t *at, *end = conn->in.data + conn->in.len;
	uint8_t *out;
	int r;

	if (!conn->head.chunked) {
		size_t length = conn->head.content_length > 0 ? (size_t)conn->head.content_length : 0;

		conn->body_end = conn->body_at + length;
		return conn->in.len >= conn->body_end;
	}
	at = conn->in.data + conn->body_end;
	out = conn->in.data + conn->body_end;
	r = http_chunks_decode(&conn->chunks, &at, end, &out);
	/* what is decoded, then what is not: the coding is gone from the buffer */
	memmove(out, at, (size_t)(end - at));
	conn->body_end = (size_t)(out - conn->in.data);
	conn->in.len = conn->body_end + (size_t)(end - at);
	if (r < 0)
		conn_refuse(conn, "bad-request", "the request's body is not in the chunked coding");
	else if (conn->body_end - conn->body_at > conn->server->options.max_body_bytes)
		conn_refuse(conn, "too-large", "the request's body is larger than is allowed: send it in pieces");
	else
		return r == 1;
	return false;
}

/* Handle whatever requests are complete. */
static void conn_process(struct conn *conn)
{
	const struct http_server *server = conn->server;

	conn->processing = true;
	while (!conn->broken) {
		if (conn->state == CONN_HEAD) {
			size_t skip = http_skip_empty(conn->in.data, conn->in.len), end;

			if (conn->in.len == 0)
				break;
			conn->in.len -= skip;
			memmove(conn->in.data, conn->in.data + skip, conn->in.len);
			end = http_head_end(conn->in.data, conn->in.len, skip ? 0 : conn->seen);
			conn->seen = conn->in.len;
			if (end > server->options.max_head_bytes ||
			    (end == 0 && conn->in.len > server->options.max_head_bytes))
				conn_refuse(conn, "bad-request", "the request's head is larger than 16 KiB");
			else if (end == 0)
				break;
			else
				conn_take_head(conn, end);
		} else if (conn->state == CONN_BODY) {
			if (!conn_take_body(conn)) {
				if (conn->state == CONN_BODY)
					break;
				continue;
			}
			conn->state = CONN_HANDLING;
			conn->req.body = conn->in.data + conn->body_at;
			conn->req.body_len = conn->body_end - conn->body_at;
			server->options.ops->on_request(server->options.ctx, &conn->req);
		} else {
			break;
		}
	}
	conn->processing = false;
}

/* Read once. False: the connection has ended. */
static bool conn_recv(struct conn *conn)
{
	size_t room = READ_BYTES;
	ssize_t n;

	if (conn->state == CONN_BODY) {
		room = READ_BODY_BYTES;
		/* all of a body of known length at once: no growing and copying on the way */
		if (!conn->head.chunked)
			room = conn->body_end - conn->in.len;
	}
	if (buffer_reserve(&conn->in, room) < 0)
		return false;
	n = recv(conn->fd, conn->in.data + conn->in.len, room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	conn->in.len += (size_t)n;
	conn_touch(conn, conn->server->options.read_timeout_ns);
	return n > 0;
}

bool conn_hung_up(const struct conn *conn)
{
	struct pollfd p = { .fd = conn->fd, .events = 0 };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* Something arrived while a request is in work. True: still there. */
static bool conn_peek(struct conn *conn)
{
	uint8_t byte;
	ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	/* A next request waits in the socket. Whether the client is still there is looked at by the tick from here on:
	 * the loop cannot tell a hang-up from data, and would report either again and again. */
	conn_want_read(conn, false);
	if (n > 0)
		return true;
	conn->half_closed = true;
	return !conn_hung_up(conn);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	static uint8_t scrap[READ_BYTES]; /* of the loop's thread; never read */
	ssize_t n;

	(void)what; /* the same for all */
	switch (conn->state) {
	case CONN_HEAD:
	case CONN_BODY:
		if (!conn_recv(conn))
			conn->broken = true;
		else
			conn_process(conn);
		break;
	case CONN_LINGER:
		n = recv(fd, scrap, sizeof(scrap), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			conn->broken = true;
		break;
	case CONN_HANDLING:
	case CONN_STREAMING:
	case CONN_FLUSHING:
		if (conn->reading && !conn_peek(conn))
			conn->broken = true;
		break;
	case CONN_DEAD:
		break;
	}
	if (conn->broken)
		conn_kill(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	bool streaming = conn->state == CONN_STREAMING;

	(void)fd;
	(void)what;
	if (!conn->broken)
		conn_flush(conn);
	if (conn->broken) {
		conn_kill(conn);
		return;
	}
	if (streaming && conn->out.len == 0 && conn->req.on_writable)
		conn->req.on_writable(&conn->req);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	if (!conn->broken && conn->pending) {
		conn->pending = false;
		if (conn->state == CONN_HEAD)
			conn_process(conn);
	}
	on_writable(fd, what, conn); /* ends it if it is broken, and sends what waits */
}

struct conn *conn_new(struct http_server *server, int fd, const struct ucred *cred, bool counted)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->server = server;
	conn->fd = fd; /* ownership moves here */
	conn->req.peer = (struct http_peer){ .uid = cred->uid, .gid = cred->gid, .pid = cred->pid };
	(void)event_assign(&conn->read_ev, server->options.base, fd, EV_READ | EV_PERSIST, on_readable, conn);
	(void)event_assign(&conn->write_ev, server->options.base, fd, EV_WRITE | EV_PERSIST, on_writable, conn);
	(void)evtimer_assign(&conn->wake_ev, server->options.base, on_wake, conn);
	conn_touch(conn, server->options.read_timeout_ns);
	conn->counted = counted;
	*(counted ? &server->clients : &server->refused) += 1;
	conn->next = server->conns;
	if (conn->next)
		conn->next->prev = &conn->next;
	conn->prev = &server->conns;
	server->conns = conn;
	conn_want_read(conn, true);
	return conn;
}
