/* queue: no-op tasks through a job server on loopback, by its own protocol: gearmand or beanstalkd.
 *
 *	queue gearman|beanstalkd PORT N [IN_FLIGHT]
 *
 * Two worker threads with a connection each return what they are given; the client keeps IN_FLIGHT tasks (64) under way
 * and reads every result: with beanstalkd, which has none, workers put it into a second tube. Prints nanoseconds of wall
 * time per task and, which says something with IN_FLIGHT 1, the median of a task's round trip in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define WORKERS 2
#define IN_FLIGHT 64
#define MESSAGE_BYTES 4096

enum gearman { CAN_DO = 1, PRE_SLEEP = 4, NOOP = 6, SUBMIT_JOB = 7, JOB_CREATED = 8, GRAB_JOB = 9, NO_JOB = 10,
	       JOB_ASSIGN = 11, WORK_COMPLETE = 13 };

/* A connection with what was read and not yet used. */
struct peer {
	int fd;
	size_t have;
	char in[65536];
};

static uint16_t port;

static void die_errno(const char *what)
{
	bench_die("queue: %s: %s", what, strerror(errno));
}

static struct peer *peer_open(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct peer *peer = bench_alloc(1, sizeof(*peer));
	int one = 1;

	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die_errno("connect");
	if (setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		die_errno("TCP_NODELAY");
	return peer;
}

static void peer_close(struct peer *peer)
{
	(void)close(peer->fd); /* nothing is on its way */
	free(peer);
}

static void write_all(struct peer *peer, const void *data, size_t len)
{
	for (const char *at = data; len > 0;) {
		ssize_t n = write(peer->fd, at, len);

		if (n < 0)
			die_errno("write");
		at += n;
		len -= (size_t)n;
	}
}

static void read_more(struct peer *peer)
{
	ssize_t n = read(peer->fd, peer->in + peer->have, sizeof(peer->in) - peer->have);

	if (n <= 0)
		bench_die("queue: the server closed the connection");
	peer->have += (size_t)n;
}

static void consume(struct peer *peer, size_t n)
{
	peer->have -= n;
	memmove(peer->in, peer->in + n, peer->have);
}

/* ---- gearman: "\0REQ", type, length, arguments with NULs between them ---- */

static void gearman_send(struct peer *peer, uint32_t type, const void *data, size_t len)
{
	char message[12 + MESSAGE_BYTES] = "\0REQ";
	uint32_t numbers[2] = { htonl(type), htonl((uint32_t)len) };

	if (len > MESSAGE_BYTES)
		bench_die("queue: a message is too long");
	memcpy(message + 4, numbers, sizeof(numbers));
	if (len > 0)
		memcpy(message + 12, data, len);
	write_all(peer, message, 12 + len);
}

/* The next answer's type; its data, cut off at MESSAGE_BYTES. */
static uint32_t gearman_receive(struct peer *peer, char data[MESSAGE_BYTES], size_t *ret_len)
{
	uint32_t numbers[2];
	size_t len;

	while (peer->have < 12)
		read_more(peer);
	memcpy(numbers, peer->in + 4, sizeof(numbers));
	len = ntohl(numbers[1]);
	if (len > MESSAGE_BYTES)
		bench_die("queue: an answer is too long");
	while (peer->have < 12 + len)
		read_more(peer);
	memcpy(data, peer->in + 12, len);
	consume(peer, 12 + len);
	*ret_len = len;
	return ntohl(numbers[0]);
}

static void *gearman_worker(void *arg)
{
	char data[MESSAGE_BYTES], answer[MESSAGE_BYTES];
	struct peer *peer = arg;
	size_t len;

	gearman_send(peer, CAN_DO, "noop", 4);
	for (;;) {
		uint32_t type;
		size_t handle;

		gearman_send(peer, GRAB_JOB, NULL, 0);
		type = gearman_receive(peer, data, &len);
		if (type == NOOP)
			type = gearman_receive(peer, data, &len); /* a wake-up that came late */
		if (type == NO_JOB) {
			gearman_send(peer, PRE_SLEEP, NULL, 0);
			(void)gearman_receive(peer, data, &len); /* NOOP: there is work */
			continue;
		}
		if (type != JOB_ASSIGN)
			bench_die("queue: gearmand answered %u", type);
		/* handle NUL function NUL task -> handle NUL result */
		handle = strlen(data) + 1;
		memcpy(answer, data, handle);
		memcpy(answer + handle, data + handle + 5, len - handle - 5);
		gearman_send(peer, WORK_COMPLETE, answer, len - 5);
		if (len - handle - 5 == 4 && memcmp(data + handle + 5, "stop", 4) == 0)
			return NULL;
	}
}

static void gearman_put(struct peer *peer, const char *text)
{
	char data[64] = "noop\0"; /* function NUL unique NUL task */
	size_t len = strlen(text);

	memcpy(data + 6, text, len);
	gearman_send(peer, SUBMIT_JOB, data, 6 + len);
}

static void gearman_take(struct peer *peer)
{
	char data[MESSAGE_BYTES];
	size_t len;

	while (gearman_receive(peer, data, &len) != WORK_COMPLETE)
		; /* JOB_CREATED */
}

/* ---- beanstalkd: lines ---- */

/* The next line, without its end, and for RESERVED the body behind it. */
static void beanstalkd_receive(struct peer *peer, char line[128], char body[64])
{
	unsigned long id, bytes;
	char *end;
	size_t len;

	while (!(end = memmem(peer->in, peer->have, "\r\n", 2)))
		read_more(peer);
	len = (size_t)(end - peer->in);
	if (len >= 128)
		bench_die("queue: an answer is too long");
	memcpy(line, peer->in, len);
	line[len] = '\0';
	consume(peer, len + 2);
	if (sscanf(line, "RESERVED %lu %lu", &id, &bytes) != 2)
		return;
	while (peer->have < bytes + 2)
		read_more(peer);
	if (bytes >= 64)
		bench_die("queue: a task is too long");
	memcpy(body, peer->in, bytes);
	body[bytes] = '\0';
	consume(peer, bytes + 2);
}

static void expect(const char *line, const char *begin)
{
	if (strncmp(line, begin, strlen(begin)) != 0)
		bench_die("queue: beanstalkd answered '%s'", line);
}

static void beanstalkd_ask(struct peer *peer, const char *request, const char *want)
{
	char line[128], body[64];

	write_all(peer, request, strlen(request));
	beanstalkd_receive(peer, line, body);
	expect(line, want);
}

static void beanstalkd_put(struct peer *peer, const char *text)
{
	char message[128];
	int n = snprintf(message, sizeof(message), "put 0 0 60 %zu\r\n%s\r\n", strlen(text), text);

	write_all(peer, message, (size_t)n);
}

static void *beanstalkd_worker(void *arg)
{
	char line[128], body[64], message[256];
	struct peer *peer = arg;

	beanstalkd_ask(peer, "watch tasks\r\n", "WATCHING");
	beanstalkd_ask(peer, "use results\r\n", "USING");
	write_all(peer, "reserve\r\n", 9);
	for (;;) {
		bool stop;
		int n;

		beanstalkd_receive(peer, line, body);
		expect(line, "RESERVED");
		stop = strcmp(body, "stop") == 0;
		n = snprintf(message, sizeof(message), "put 0 0 60 %zu\r\n%s\r\ndelete %lu\r\n%s", strlen(body), body,
			     strtoul(line + 9, NULL, 10), stop ? "" : "reserve\r\n");
		write_all(peer, message, (size_t)n);
		beanstalkd_receive(peer, line, message);
		expect(line, "INSERTED");
		beanstalkd_receive(peer, line, message);
		expect(line, "DELETED");
		if (stop)
			return NULL;
	}
}

/* The client puts on one connection and takes results on another, as its answers come in the order of its requests. */
static struct peer *beanstalkd_results(void)
{
	struct peer *peer = peer_open();

	beanstalkd_ask(peer, "watch results\r\n", "WATCHING");
	write_all(peer, "reserve\r\n", 9);
	return peer;
}

static void beanstalkd_take(struct peer *tasks, struct peer *results)
{
	char line[128], body[64], message[64];
	int n;

	beanstalkd_receive(tasks, line, body);
	expect(line, "INSERTED");
	beanstalkd_receive(results, line, body);
	expect(line, "RESERVED");
	n = snprintf(message, sizeof(message), "delete %lu\r\nreserve\r\n", strtoul(line + 9, NULL, 10));
	write_all(results, message, (size_t)n);
	beanstalkd_receive(results, line, body);
	expect(line, "DELETED");
}

/* ---- The client ---- */

int main(int argc, char **argv)
{
	bool gearman = argc > 1 && strcmp(argv[1], "gearman") == 0;
	struct peer *tasks, *results = NULL, *peers[WORKERS];
	pthread_t threads[WORKERS];
	size_t n, in_flight, put = 0;
	int64_t start_ns, wall_ns = 0;
	double *us;

	if (argc < 4 || argc > 5 || (!gearman && strcmp(argv[1], "beanstalkd") != 0))
		bench_die("usage: queue gearman|beanstalkd PORT N [IN_FLIGHT]");
	port = (uint16_t)bench_number(argv[2], "PORT", 1, UINT16_MAX);
	n = bench_number(argv[3], "N", 1, 100000000);
	in_flight = argc > 4 ? bench_number(argv[4], "IN_FLIGHT", 1, 10000) : IN_FLIGHT;
	us = bench_alloc(n, sizeof(*us));
	for (size_t i = 0; i < WORKERS; i++) {
		peers[i] = peer_open();
		if (pthread_create(&threads[i], NULL, gearman ? gearman_worker : beanstalkd_worker, peers[i]) != 0)
			bench_die("queue: cannot start a thread");
	}
	tasks = peer_open();
	if (!gearman) {
		beanstalkd_ask(tasks, "use tasks\r\n", "USING");
		results = beanstalkd_results();
	}
	start_ns = bench_now_ns();
	for (size_t taken = 0; taken < n + WORKERS; taken++) {
		int64_t put_ns = bench_now_ns();
		char text[32];

		if (taken == n)
			wall_ns = put_ns - start_ns;
		for (; put < n && put < taken + in_flight; put++) {
			(void)snprintf(text, sizeof(text), "%zu", put); /* fits */
			gearman ? gearman_put(tasks, text) : beanstalkd_put(tasks, text);
		}
		if (taken >= n) /* one worker after the other ends */
			gearman ? gearman_put(tasks, "stop") : beanstalkd_put(tasks, "stop");
		gearman ? gearman_take(tasks) : beanstalkd_take(tasks, results);
		if (taken < n)
			us[taken] = (double)(bench_now_ns() - put_ns) / 1000;
	}
	for (size_t i = 0; i < WORKERS; i++) {
		(void)pthread_join(threads[i], NULL);
		peer_close(peers[i]);
	}
	(void)printf("%.1f %.2f\n", (double)wall_ns / (double)n, bench_share(us, n, 0.5));
	peer_close(tasks);
	if (results)
		peer_close(results);
	free(us);
	return 0;
}
