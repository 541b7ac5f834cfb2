/* http_server: a small HTTP/1.1 server for tests, the demo and benchmarks: one thread, epoll, many connections.
 *
 *	http_server [--port N] [--address A] [--latency-ms N] [--until-eof]
 *
 * Port 0, the default, takes a free one. It prints `port N` on a line and serves until it is killed or, with
 * --until-eof, until its standard input ends. Every answer waits for the latency; ?ms=N on any path waits N more.
 *
 *	/bytes/N		N bytes: abc...zabc...
 *	/status/N		status N with a short body; /status/N/S adds Retry-After: S
 *	/redirect/N		a chain of N redirects that ends at /bytes/2
 *	/redirect-to?url=U	a redirect to U, as it stands in the request
 *	/stall			announces 1,000 bytes, sends 10, then nothing
 *	/drop, /drop/N		closes without an answer, or after N of 1,000 announced bytes
 *	/slow/N			N bytes, one every 20 ms
 *	/close/N		N bytes, and the connection is closed
 *	/agent/NAME		2 bytes where the client calls itself so, else 404
 *	/stats			`connections C requests R active A max-active M`; ?reset sets M to 0
 *
 * Every other path answers 404.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 4096
#define HEAD_MAX 1536
#define PATTERN_BYTES (26 * 8192)
#define SLOW_NS INT64_C(20000000)
#define EVENTS 256

enum phase {
	READING, /* the next request is not complete */
	WAITING, /* an answer is due at due_ns: in the queue */
	WRITING,
	STALLED, /* until the client goes away */
};

struct conn {
	TAILQ_ENTRY(conn) link; /* in the queue while WAITING */
	int fd;
	enum phase phase;
	bool wants_write; /* registered for EPOLLOUT */
	bool close_after, is_slow, is_counted;
	int64_t due_ns;
	size_t in_len, head_len, head_done;
	uint64_t body_len, body_done, stall_at, drop_at; /* UINT64_MAX: never */
	char in[REQUEST_MAX + 1], head[HEAD_MAX];
};
TAILQ_HEAD(conns, conn);

static struct server {
	int epoll, listener;
	int64_t latency_ns;
	struct conns queue; /* by due_ns */
	uint64_t n_connections, n_requests, n_active, max_active;
	char pattern[PATTERN_BYTES];
} server = {.queue = TAILQ_HEAD_INITIALIZER(server.queue)};

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void conn_watch(struct conn *conn, int op, bool wants_write)
{
	struct epoll_event event = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0u), .data.ptr = conn};

	if (op == EPOLL_CTL_MOD && conn->wants_write == wants_write)
		return;
	if (epoll_ctl(server.epoll, op, conn->fd, &event) < 0)
		perror("epoll_ctl");
	conn->wants_write = wants_write;
}

static void conn_answered(struct conn *conn)
{
	server.n_active -= conn->is_counted;
	conn->is_counted = false;
}

static void conn_free(struct conn *conn)
{
	conn_answered(conn);
	if (conn->phase == WAITING)
		TAILQ_REMOVE(&server.queue, conn, link);
	close(conn->fd);
	free(conn);
}

static void conn_wait(struct conn *conn, int64_t delay_ns)
{
	struct conn *before;

	conn->phase = WAITING;
	conn->due_ns = now_ns() + delay_ns;
	TAILQ_FOREACH_REVERSE(before, &server.queue, conns, link) /* nearly always the last one */
		if (before->due_ns <= conn->due_ns)
			break;
	if (before != NULL)
		TAILQ_INSERT_AFTER(&server.queue, before, conn, link);
	else
		TAILQ_INSERT_HEAD(&server.queue, conn, link);
}

__attribute__((format(printf, 4, 5))) static void answer(struct conn *conn, int status, uint64_t len,
							  const char *format, ...)
{
	va_list ap;
	int n;

	n = snprintf(conn->head, sizeof(conn->head), "HTTP/1.1 %d %s\r\nContent-Length: %llu\r\nConnection: %s\r\n", status,
		     status < 300 ? "OK" : "Other", (unsigned long long)len, conn->close_after ? "close" : "keep-alive");
	va_start(ap, format);
	n += vsnprintf(conn->head + n, sizeof(conn->head) - (size_t)n, format, ap);
	va_end(ap);
	conn->head_len = (size_t)n < sizeof(conn->head) ? (size_t)n : sizeof(conn->head) - 1;
	conn->body_len = len;
}

static bool says_agent(const char *headers, const char *name)
{
	const char *at = strcasestr(headers, "\nUser-Agent: ");
	size_t len = strlen(name);

	return at != NULL && strncmp(at + 13, name, len) == 0 && (at[13 + len] == '\r' || at[13 + len] == '\0');
}

/* Fill in the answer to a request for `path`. False: drop the connection at once. */
static bool conn_route(struct conn *conn, const char *path)
{
	unsigned long long n = 0;
	unsigned status, after;
	char text[160];

	if (sscanf(path, "/bytes/%llu", &n) == 1) {
		answer(conn, 200, n, "\r\n");
	} else if (sscanf(path, "/close/%llu", &n) == 1) {
		conn->close_after = true;
		answer(conn, 200, n, "\r\n");
	} else if (sscanf(path, "/slow/%llu", &n) == 1) {
		conn->is_slow = true;
		answer(conn, 200, n, "\r\n");
	} else if (sscanf(path, "/status/%u/%u", &status, &after) == 2) {
		answer(conn, (int)status, 7, "Retry-After: %u\r\n\r\n", after);
	} else if (sscanf(path, "/status/%u", &status) == 1) {
		answer(conn, (int)status, status == 204 || status == 304 ? 0 : 7, "\r\n");
	} else if (sscanf(path, "/redirect/%llu", &n) == 1 && n > 1) {
		answer(conn, 302, 0, "Location: /redirect/%llu\r\n\r\n", n - 1);
	} else if (n == 1) {
		answer(conn, 302, 0, "Location: /bytes/2\r\n\r\n");
	} else if (strncmp(path, "/redirect-to?url=", 17) == 0) {
		answer(conn, 301, 0, "Location: %s\r\n\r\n", path + 17);
	} else if (strncmp(path, "/stall", 6) == 0) {
		conn->stall_at = 10;
		answer(conn, 200, 1000, "\r\n");
	} else if (sscanf(path, "/drop/%llu", &n) == 1) {
		conn->drop_at = n;
		answer(conn, 200, 1000, "\r\n");
	} else if (strncmp(path, "/drop", 5) == 0) {
		return false;
	} else if (sscanf(path, "/agent/%63s", text) == 1) {
		answer(conn, says_agent(path + strlen(path) + 1, text) ? 200 : 404, 2, "\r\n");
	} else if (strncmp(path, "/stats", 6) == 0) {
		(void)snprintf(text, sizeof(text), "connections %llu requests %llu active %llu max-active %llu\n",
			       (unsigned long long)server.n_connections, (unsigned long long)server.n_requests,
			       (unsigned long long)server.n_active - 1, (unsigned long long)server.max_active);
		if (strstr(path, "reset") != NULL)
			server.max_active = 0;
		answer(conn, 200, strlen(text), "\r\n%s", text);
		conn->body_done = conn->body_len; /* it is part of the head */
	} else {
		answer(conn, 404, 7, "\r\n");
	}
	return true;
}

/* Take the next request out of the buffer, if it is complete. False: close the connection. */
static bool conn_parse(struct conn *conn)
{
	char *end, *path, *space, *ms;
	int64_t extra_ms = 0;
	size_t used;

	conn->in[conn->in_len] = '\0';
	end = strstr(conn->in, "\r\n\r\n");
	if (end == NULL)
		return conn->in_len < REQUEST_MAX;
	used = (size_t)(end + 4 - conn->in);
	*end = '\0';
	path = strchr(conn->in, ' ');
	space = path != NULL ? strchr(++path, ' ') : NULL;
	if (space == NULL)
		return false;
	*space = '\0';
	conn->close_after = strncmp(space + 1, "HTTP/1.0", 8) == 0 || strcasestr(space + 1, "\nConnection: close") != NULL;
	conn->is_slow = false;
	conn->head_done = 0;
	conn->body_done = 0;
	conn->stall_at = conn->drop_at = UINT64_MAX;
	server.n_requests++;
	conn->is_counted = true;
	if (++server.n_active > server.max_active)
		server.max_active = server.n_active;
	if (!conn_route(conn, path))
		return false;
	ms = strstr(path, "?ms=");
	if (ms != NULL)
		extra_ms = strtol(ms + 4, NULL, 10);
	conn->in_len -= used;
	memmove(conn->in, conn->in + used, conn->in_len);
	if (server.latency_ns + extra_ms > 0)
		conn_wait(conn, server.latency_ns + extra_ms * 1000000);
	else
		conn->phase = WRITING;
	return true;
}

/* Send what may be sent now. False: close the connection. */
static bool conn_write(struct conn *conn)
{
	uint64_t end = conn->body_len;

	end = end < conn->stall_at ? end : conn->stall_at;
	end = end < conn->drop_at ? end : conn->drop_at;
	while (conn->head_done < conn->head_len || conn->body_done < end) {
		size_t skip = (size_t)(conn->body_done % 26), left = PATTERN_BYTES - skip;
		struct iovec iov[2] = {
			{conn->head + conn->head_done, conn->head_len - conn->head_done},
			{server.pattern + skip, end - conn->body_done < left ? (size_t)(end - conn->body_done) : left},
		};
		ssize_t n;

		if (conn->is_slow && iov[1].iov_len > 1)
			iov[1].iov_len = 1;
		n = writev(conn->fd, iov, 2);
		if (n < 0 && errno == EAGAIN) {
			conn_watch(conn, EPOLL_CTL_MOD, true);
			return true;
		}
		if (n < 0)
			return false;
		left = (size_t)n < iov[0].iov_len ? (size_t)n : iov[0].iov_len;
		conn->head_done += left;
		conn->body_done += (size_t)n - left;
		if (conn->is_slow && conn->body_done < end) {
			conn_wait(conn, SLOW_NS);
			return true;
		}
	}
	conn_watch(conn, EPOLL_CTL_MOD, false);
	conn_answered(conn);
	if (conn->body_done < conn->body_len && conn->drop_at == UINT64_MAX) {
		conn->phase = STALLED;
		return true;
	}
	conn->phase = READING;
	return !conn->close_after && conn->drop_at == UINT64_MAX;
}

/* Go on until the connection has to wait. False: close it. */
static bool conn_step(struct conn *conn)
{
	do {
		if (conn->phase == READING && !conn_parse(conn))
			return false;
		if (conn->phase == WRITING && !conn_write(conn))
			return false;
	} while (conn->phase == READING && conn->in_len > 0 && memmem(conn->in, conn->in_len, "\r\n\r\n", 4) != NULL);
	return true;
}

static void conn_ready(struct conn *conn)
{
	ssize_t n;

	/* A full buffer is left to the kernel until there is room; a client that is gone shows when we write. */
	if (conn->in_len < REQUEST_MAX) {
		n = recv(conn->fd, conn->in + conn->in_len, REQUEST_MAX - conn->in_len, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			conn_free(conn);
			return;
		}
		conn->in_len += n > 0 ? (size_t)n : 0;
	}
	if (conn->phase != WAITING && !conn_step(conn))
		conn_free(conn);
}

static void accept_all(void)
{
	int fd, one = 1;

	while ((fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *conn = malloc(sizeof(*conn));

		if (conn == NULL) {
			close(fd);
			return;
		}
		memset(conn, 0, offsetof(struct conn, in));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only speed */
		conn->fd = fd;
		server.n_connections++;
		conn_watch(conn, EPOLL_CTL_ADD, false);
	}
}

/* Send the answers that are due; how long to wait for the next one, in ms, -1: none is coming. */
static int serve_due(void)
{
	int64_t now = now_ns();
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&server.queue)) != NULL && conn->due_ns <= now) {
		TAILQ_REMOVE(&server.queue, conn, link);
		conn->phase = WRITING;
		if (!conn_step(conn))
			conn_free(conn);
	}
	return conn == NULL ? -1 : (int)((conn->due_ns - now + 999999) / 1000000);
}

static int listen_on(const char *address, uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t len = sizeof(sin);
	int one = 1;

	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		return -1;
	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server.listener < 0 || setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(server.listener, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(server.listener, 16384) < 0 ||
	    getsockname(server.listener, (struct sockaddr *)&sin, &len) < 0)
		return -1;
	printf("port %d\n", ntohs(sin.sin_port));
	return fflush(stdout);
}

static bool stdin_ended(void)
{
	char bytes[256];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static int serve(bool until_eof)
{
	struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.ptr = &server.listener};

	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server.epoll < 0 || epoll_ctl(server.epoll, EPOLL_CTL_ADD, server.listener, &event) < 0)
		return -1;
	event.data.ptr = &server;
	if (until_eof && epoll_ctl(server.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
		return -1;
	for (;;) {
		int n = epoll_wait(server.epoll, events, EVENTS, serve_due());

		if (n < 0 && errno != EINTR)
			return -1;
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &server.listener)
				accept_all();
			else if (events[i].data.ptr != &server)
				conn_ready(events[i].data.ptr);
			else if (stdin_ended())
				return 0;
		}
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", required_argument, NULL, 'p'},	      {"address", required_argument, NULL, 'a'},
		{"latency-ms", required_argument, NULL, 'l'}, {"until-eof", no_argument, NULL, 'e'},
		{NULL, 0, NULL, 0},
	};
	const char *address = "127.0.0.1";
	struct rlimit files;
	bool until_eof = false;
	uint16_t port = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p')
			port = (uint16_t)atoi(optarg);
		else if (c == 'a')
			address = optarg;
		else if (c == 'l')
			server.latency_ns = atoll(optarg) * 1000000;
		else if (c == 'e')
			until_eof = true;
		else
			return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files); /* then there are fewer connections */
	}
	(void)signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < PATTERN_BYTES; i++)
		server.pattern[i] = (char)('a' + i % 26);
	if (listen_on(address, port) < 0 || serve(until_eof) < 0) {
		fprintf(stderr, "http_server: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
