/* epoll_client: the yardstick for downloads: one thread, one epoll, no library.
 *
 *	epoll_client [-k] PORT PATH N C		N requests to 127.0.0.1, C at once; -k: keeps connections
 *
 * Prints the milliseconds from the first connection to the last byte. Every answer has to be a 200 with a
 * Content-Length and to be complete.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define EVENTS 512
#define HEAD_MAX 1024
#define READ_BYTES (256u << 10)
#define ACCEPT_EVERY 256 /* connections opened before looking at events again: the server's backlog is bounded */

struct conn {
	int fd; /* -1: none */
	size_t head_len;
	uint64_t body_left;
	bool in_body;
	char head[HEAD_MAX + 1];
};

static struct client {
	int epoll;
	struct sockaddr_in to;
	char request[512];
	size_t request_len;
	bool keep;
	uint64_t left, open, done; /* requests not yet sent, under way, answered */
	char buffer[READ_BYTES];
} client;

static void conn_send(struct conn *conn)
{
	conn->head_len = 0;
	conn->in_body = false;
	client.left--;
	client.open++;
	/* A fresh socket takes these few bytes whole, or there is an error. */
	if (send(conn->fd, client.request, client.request_len, MSG_NOSIGNAL) != (ssize_t)client.request_len)
		bench_die("epoll_client: send: %s", strerror(errno));
}

static void conn_open(struct conn *conn)
{
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = conn };
	int one = 1;

	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		bench_die("epoll_client: socket: %s", strerror(errno));
	(void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only speed */
	if (connect(conn->fd, (struct sockaddr *)&client.to, sizeof(client.to)) == 0) {
		event.events = EPOLLIN;
		conn_send(conn);
	} else if (errno != EINPROGRESS) {
		bench_die("epoll_client: connect: %s", strerror(errno));
	}
	if (epoll_ctl(client.epoll, EPOLL_CTL_ADD, conn->fd, &event) < 0)
		bench_die("epoll_client: epoll_ctl: %s", strerror(errno));
}

static void conn_connected(struct conn *conn)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
		bench_die("epoll_client: connect: %s", strerror(error));
	(void)epoll_ctl(client.epoll, EPOLL_CTL_MOD, conn->fd, &event); /* it is registered */
	conn_send(conn);
}

/* The head is complete: how long is the body? */
static void conn_head(struct conn *conn)
{
	const char *length = strcasestr(conn->head, "\r\nContent-Length:");

	if (strncmp(conn->head, "HTTP/1.1 200", 12) != 0 || !length)
		bench_die("epoll_client: unexpected answer: %.60s", conn->head);
	conn->body_left = strtoull(length + 17, NULL, 10);
	conn->in_body = true;
}

/* Take what was read. True: the answer is complete. */
static bool conn_take(struct conn *conn, const char *data, size_t len)
{
	if (!conn->in_body) {
		size_t space = HEAD_MAX - conn->head_len, n = len < space ? len : space, old = conn->head_len;
		char *end;

		memcpy(conn->head + old, data, n);
		conn->head[old + n] = '\0';
		conn->head_len += n;
		end = strstr(conn->head, "\r\n\r\n");
		if (!end && n < len)
			bench_die("epoll_client: the answer's head is too long");
		if (!end)
			return false;
		n = (size_t)(end + 4 - conn->head) - old;
		data += n;
		len -= n;
		conn_head(conn);
	}
	if (len > conn->body_left)
		bench_die("epoll_client: more bytes than announced");
	conn->body_left -= len;
	return conn->body_left == 0;
}

static void conn_close(struct conn *conn)
{
	close(conn->fd);
	conn->fd = -1;
}

static void conn_ready(struct conn *conn)
{
	ssize_t n = recv(conn->fd, client.buffer, sizeof(client.buffer), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		bench_die("epoll_client: %s", n ? strerror(errno) : "the server closed the connection");
	if (!conn_take(conn, client.buffer, (size_t)n))
		return;
	client.open--;
	client.done++;
	if (client.keep && client.left > 0) {
		conn_send(conn);
		return;
	}
	conn_close(conn);
	if (client.left > 0)
		conn_open(conn);
}

static void serve(int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(client.epoll, events, EVENTS, timeout_ms);

	if (n < 0 && errno != EINTR)
		bench_die("epoll_client: epoll_wait: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		if (events[i].events & EPOLLOUT)
			conn_connected(events[i].data.ptr);
		else
			conn_ready(events[i].data.ptr);
	}
}

static void raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files); /* then fewer connections are possible, which shows */
}

int main(int argc, char **argv)
{
	uint64_t n, at_once;
	struct conn *conns;
	int64_t start_ns;

	if (argc > 1 && strcmp(argv[1], "-k") == 0) {
		client.keep = true;
		argv++;
		argc--;
	}
	if (argc != 5)
		bench_die("usage: epoll_client [-k] PORT PATH N C");
	client.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	client.to.sin_port = htons((uint16_t)bench_number(argv[1], "PORT", 1, 65535));
	n = client.left = bench_number(argv[3], "N", 1, 100000000);
	at_once = bench_number(argv[4], "C", 1, n);
	client.request_len = (size_t)snprintf(client.request, sizeof(client.request),
					      "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
	if (client.request_len >= sizeof(client.request))
		bench_die("epoll_client: the path is too long");
	raise_file_limit();
	conns = bench_alloc(at_once, sizeof(*conns));
	client.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (client.epoll < 0)
		bench_die("epoll_client: epoll_create1: %s", strerror(errno));
	start_ns = bench_now_ns();
	for (uint64_t i = 0; i < at_once; i++) {
		conn_open(&conns[i]);
		if (i % ACCEPT_EVERY == ACCEPT_EVERY - 1)
			serve(0);
	}
	while (client.done < n)
		serve(-1);
	(void)printf("%.3f\n", (double)(bench_now_ns() - start_ns) / 1e6);
	free(conns);
	return 0;
}
