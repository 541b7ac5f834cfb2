/* HTTP/1.1 over a Unix socket, the client's side. The socket is used with MSG_DONTWAIT and poll, so that nothing but
 * poll ever blocks and one place watches for signals. */
#include "http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buffer.h"
#include "base/text.h"
#include "protocol.h"

#define MAX_CHUNK_LINE 256
#define MAX_PARTS 6

enum body {
	BODY_NONE, /* read to its end */
	BODY_LENGTH, /* `left` bytes */
	BODY_CHUNK_LINE, /* a chunk's size comes */
	BODY_CHUNK, /* `left` bytes of a chunk, then its end of line */
	BODY_CHUNK_END,
	BODY_TRAILER, /* lines up to an empty one */
	BODY_TO_CLOSE, /* until the connection ends */
};

int http_open(int fd, struct http **ret_http)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h || !(h->in = malloc(HTTP_READ_BYTES))) {
		free(h);
		(void)close(fd);
		return -ENOMEM;
	}
	h->fd = fd;
	h->wake_fd = h->out_fd = h->timeout_ms = -1;
	h->keep = true;
	*ret_http = h;
	return 0;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	(void)close(h->fd); /* nothing is buffered in it that we still owe */
	free(h->in);
	free(h);
}

/* Wait for one of these events. Those that came, -EINTR, -EPIPE, -ETIMEDOUT. */
static int wait_for(struct http *h, short events)
{
	struct pollfd fds[3] = { { .fd = h->fd, .events = events },
				 { .fd = h->wake_fd, .events = POLLIN },
				 { .fd = h->out_fd, .events = 0 } };
	int r = h->on_wait ? h->on_wait(h->on_wait_arg) : 0;

	if (r < 0)
		return r;
	for (;;) {
		r = poll(fds, ARRAY_SIZE(fds), h->timeout_ms);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0)
			continue; /* the handler wrote to wake_fd where the signal matters */
		if (fds[1].revents)
			return -EINTR;
		if (fds[2].revents & (POLLERR | POLLHUP))
			return -EPIPE;
		if (fds[0].revents)
			return fds[0].revents;
	}
}

static int send_all(struct http *h, struct iovec *parts, size_t n)
{
	while (n > 0) {
		struct msghdr msg = { .msg_iov = parts, .msg_iovlen = n };
		ssize_t sent = sendmsg(h->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			int r = wait_for(h, POLLOUT | POLLIN);

			if (r < 0)
				return r;
			if (!(r & POLLOUT) && (r & POLLIN))
				return -ECONNRESET; /* it answers without having read: a refusal */
			continue;
		}
		if (sent < 0)
			return errno == EPIPE ? -ECONNRESET : -errno;
		while (n > 0 && (size_t)sent >= parts->iov_len) {
			sent -= (ssize_t)parts->iov_len;
			parts++;
			n--;
		}
		if (n > 0) {
			parts->iov_base = (uint8_t *)parts->iov_base + sent;
			parts->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

int http_send(struct http *h, const char *method, const char *target, const struct iovec *body, size_t n)
{
	_cleanup_buffer_ struct buffer head = BUFFER_INIT;
	struct iovec parts[MAX_PARTS];
	size_t len = 0;
	int r;

	if (n + 1 > MAX_PARTS)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		parts[i + 1] = body[i];
		len += body[i].iov_len;
	}
	if (buffer_printf(&head, "%s %s HTTP/1.1\r\nHost: concd\r\nUser-Agent: concctl\r\n", method, target) < 0)
		return -ENOMEM;
	if (n > 0 || strcmp(method, "POST") == 0)
		r = buffer_printf(&head, "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n", len);
	else
		r = buffer_add(&head, "\r\n", 2);
	if (r < 0)
		return r;
	parts[0] = (struct iovec){ .iov_base = head.data, .iov_len = head.len };
	h->send_error = 0;
	h->body = BODY_NONE;
	h->at = h->end = 0;
	r = send_all(h, parts, n + 1);
	if (r == -ECONNRESET) {
		/* An early refusal may have been written before the connection was closed: look for it. */
		h->send_error = r;
		h->keep = false;
		return 0;
	}
	return r;
}

/* Read more behind `end`, moving what is unused to the front where there is no room. >0, 0 at end of file, -errno. */
static ssize_t fill(struct http *h)
{
	if (h->at == h->end)
		h->at = h->end = 0;
	if (h->end == HTTP_READ_BYTES) {
		if (h->at == 0)
			return -EPROTO;
		memmove(h->in, h->in + h->at, h->end - h->at);
		h->end -= h->at;
		h->at = 0;
	}
	for (;;) {
		ssize_t n = recv(h->fd, h->in + h->end, HTTP_READ_BYTES - h->end, MSG_DONTWAIT);
		int r;

		if (n >= 0) {
			h->end += (size_t)n;
			return n;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = wait_for(h, POLLIN);
		if (r < 0)
			return r;
	}
}

/* A line up to LF, without its end, at most max bytes; NUL-terminated in place. Points into the buffer. */
static int read_line(struct http *h, size_t max, char **ret_line)
{
	size_t seen = 0;

	for (;;) {
		uint8_t *lf = memchr(h->in + h->at + seen, '\n', h->end - h->at - seen);
		ssize_t n;

		if (lf) {
			*ret_line = (char *)h->in + h->at;
			h->at = (size_t)(lf - h->in) + 1;
			if (lf > (uint8_t *)*ret_line && lf[-1] == '\r')
				lf--;
			*lf = '\0';
			return 0;
		}
		seen = h->end - h->at;
		if (seen > max)
			return -EPROTO;
		n = fill(h);
		if (n <= 0)
			return n < 0 ? (int)n : -ECONNRESET;
	}
}

struct head {
	int status;
	bool chunked, has_length, close;
	uint64_t length;
};

static int parse_status_line(const char *line, int *ret_status)
{
	uint64_t status;
	char digits[4] = "";

	if (strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ')
		return -EPROTO;
	memcpy(digits, line + 9, strnlen(line + 9, 3));
	if (text_parse_u64(digits, &status) < 0 || status < 100 || status > 599)
		return -EPROTO;
	*ret_status = (int)status;
	return 0;
}

static int parse_header(char *line, struct head *head, struct http_reply *reply)
{
	char *colon = strchr(line, ':'), *value, *end;

	if (!colon || colon == line)
		return -EPROTO;
	*colon = '\0';
	for (value = colon + 1; *value == ' ' || *value == '\t'; value++)
		;
	for (end = value + strlen(value); end > value && (end[-1] == ' ' || end[-1] == '\t'); end--)
		end[-1] = '\0';
	if (strcasecmp(line, "Content-Length") == 0) {
		uint64_t length;

		if (text_parse_u64(value, &length) < 0 || (head->has_length && length != head->length))
			return -EPROTO;
		head->has_length = true;
		head->length = length;
	} else if (strcasecmp(line, "Transfer-Encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0)
			return -EPROTO;
		head->chunked = true;
	} else if (strcasecmp(line, "Connection") == 0) {
		head->close = strcasecmp(value, "close") == 0;
	} else if (strcasecmp(line, "X-Concd-Job") == 0) {
		if (strlen(value) >= sizeof(reply->job))
			return -EPROTO;
		strcpy(reply->job, value);
	} else if (strcasecmp(line, "X-Concd-Joined") == 0) {
		reply->joined = true;
	}
	return 0;
}

static int read_head(struct http *h, struct head *head, struct http_reply *reply)
{
	size_t total = 0;
	char *line;
	int r = read_line(h, PROTOCOL_MAX_HEADER_BYTES, &line);

	*head = (struct head){ .status = 0 };
	if (r == 0)
		r = parse_status_line(line, &head->status);
	if (r < 0)
		return r;
	head->close = line[7] == '0';
	for (;;) {
		r = read_line(h, PROTOCOL_MAX_HEADER_BYTES, &line);
		if (r < 0)
			return r;
		if (!*line)
			return 0;
		total += strlen(line);
		if (total > PROTOCOL_MAX_HEADER_BYTES)
			return -EPROTO;
		r = parse_header(line, head, reply);
		if (r < 0)
			return r;
	}
}

int http_head(struct http *h, struct http_reply *ret_reply)
{
	struct http_reply reply = { .status = 0 };
	struct head head;
	int r;

	do
		r = read_head(h, &head, &reply);
	while (r == 0 && head.status < 200); /* "100 Continue" and its like are not the answer */
	if (r < 0) {
		h->keep = false;
		return h->send_error ? h->send_error : r;
	}
	if (head.chunked && head.has_length) {
		h->keep = false;
		return -EPROTO;
	}
	if (head.close)
		h->keep = false;
	reply.status = head.status;
	if (head.status == 204 || head.status == 304)
		h->body = BODY_NONE;
	else if (head.chunked)
		h->body = BODY_CHUNK_LINE;
	else if (head.has_length)
		h->body = head.length > 0 ? BODY_LENGTH : BODY_NONE;
	else
		h->body = BODY_TO_CLOSE;
	h->left = head.length;
	*ret_reply = reply;
	return 0;
}

/* The size of the next chunk: hexadecimal, with extensions behind a semicolon that nobody needs. */
static int next_chunk(struct http *h)
{
	uint64_t size = 0;
	char *line, *at;
	int r = read_line(h, MAX_CHUNK_LINE, &line);

	if (r < 0)
		return r;
	for (at = line; *at && *at != ';' && *at != ' '; at++) {
		int digit = *at >= '0' && *at <= '9' ? *at - '0' :
			    (*at | 0x20) >= 'a' && (*at | 0x20) <= 'f' ? (*at | 0x20) - 'a' + 10 : -1;

		if (digit < 0 || size >> 60)
			return -EPROTO;
		size = size << 4 | (uint64_t)digit;
	}
	if (at == line)
		return -EPROTO;
	h->left = size;
	h->body = size > 0 ? BODY_CHUNK : BODY_TRAILER;
	return 0;
}

/* Up to `left` bytes of a body whose bytes come now. */
static ssize_t take(struct http *h, const uint8_t **ret_data)
{
	size_t n;

	if (h->at == h->end) {
		ssize_t r = fill(h);

		if (r < 0)
			return r;
		if (r == 0 && h->body != BODY_TO_CLOSE)
			return -ECONNRESET;
		if (r == 0) {
			h->body = BODY_NONE;
			h->keep = false;
			return 0;
		}
	}
	n = h->end - h->at;
	if (h->body != BODY_TO_CLOSE) {
		if (n > h->left)
			n = (size_t)h->left;
		h->left -= n;
		if (h->left == 0)
			h->body = h->body == BODY_CHUNK ? BODY_CHUNK_END : BODY_NONE;
	}
	*ret_data = h->in + h->at;
	h->at += n;
	return (ssize_t)n;
}

ssize_t http_read(struct http *h, const uint8_t **ret_data)
{
	for (;;) {
		char *line;
		int r;

		switch ((enum body)h->body) {
		case BODY_NONE:
			return 0;
		case BODY_LENGTH:
		case BODY_CHUNK:
		case BODY_TO_CLOSE:
			return take(h, ret_data);
		case BODY_CHUNK_LINE:
			r = next_chunk(h);
			break;
		case BODY_CHUNK_END:
			r = read_line(h, MAX_CHUNK_LINE, &line);
			if (r == 0 && *line)
				r = -EPROTO;
			h->body = BODY_CHUNK_LINE;
			break;
		case BODY_TRAILER:
			r = read_line(h, PROTOCOL_MAX_HEADER_BYTES, &line);
			if (r == 0 && !*line)
				h->body = BODY_NONE;
			break;
		default:
			r = -EPROTO;
		}
		if (r < 0) {
			h->keep = false;
			return r;
		}
	}
}

int http_read_all(struct http *h, size_t max_bytes, struct buffer *b)
{
	size_t start = b->len;

	for (;;) {
		const uint8_t *data;
		ssize_t n = http_read(h, &data);

		if (n <= 0)
			return (int)n;
		if (b->len - start + (size_t)n > max_bytes)
			return -EFBIG;
		if (buffer_add(b, data, (size_t)n) < 0)
			return -ENOMEM;
	}
}

bool http_usable(const struct http *h)
{
	return h->keep && h->body == BODY_NONE;
}
