/* accept: how fast a daemon takes durable jobs of one task.
 *
 *	accept SOCKET N CLIENTS		microseconds a job: the wall time of all over their number
 *
 * CLIENTS open connections, each with one request at a time, N jobs in all; one thread serves them, so that most of the
 * processors is left to the daemon. The workload is `noop`: whoever measures pauses it, so that accepting is all that happens.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "unix_http.h"

static const char request[] = "POST /v1/jobs HTTP/1.1\r\nHost: concd\r\nContent-Type: application/json\r\n"
			      "Content-Length: 52\r\n\r\n"
			      "{\"workload\":\"noop\",\"model\":\"pool\",\"inputs\":[\"1000\"]}";

struct client {
	uint64_t left; /* requests to send */
	size_t len; /* of the answer, as far as it has come */
	char answer[8192];
};

static void ask(int fd, struct client *client)
{
	client->left--;
	client->len = 0;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof(request) - 1)) /* fits any buffer */
		bench_die("accept: send: %s", strerror(errno));
}

/* Take what has come. Returns whether that was the whole answer. */
static int hear(int fd, struct client *client)
{
	ssize_t n = recv(fd, client->answer + client->len, sizeof(client->answer) - client->len - 1, MSG_DONTWAIT);
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		bench_die("accept: %s", n < 0 ? strerror(errno) : "the daemon closed the connection");
	client->len += (size_t)n;
	client->answer[client->len] = '\0';
	r = http_answer_complete(client->answer, client->len);
	if (r < 0 || (r == 1 && strncmp(client->answer, "HTTP/1.1 201", 12) != 0))
		bench_die("accept: unexpected answer:\n%s", client->answer);
	return r;
}

static void submit_all(struct pollfd *fds, struct client *clients, uint64_t n_clients)
{
	uint64_t running = n_clients;

	for (uint64_t i = 0; i < n_clients; i++)
		ask(fds[i].fd, &clients[i]);
	while (running > 0) {
		if (poll(fds, n_clients, -1) < 0 && errno != EINTR)
			bench_die("accept: poll: %s", strerror(errno));
		for (uint64_t i = 0; i < n_clients; i++) {
			if (!fds[i].revents || !hear(fds[i].fd, &clients[i]))
				continue;
			if (clients[i].left > 0) {
				ask(fds[i].fd, &clients[i]);
				continue;
			}
			(void)close(fds[i].fd); /* all was answered */
			fds[i].fd = -1;
			running--;
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t n, n_clients;
	struct client *clients;
	struct pollfd *fds;
	int64_t start_ns;

	if (argc != 4)
		bench_die("usage: accept SOCKET N CLIENTS");
	n_clients = bench_number(argv[3], "CLIENTS", 1, 1000);
	n = bench_number(argv[2], "N", n_clients, 100000000) / n_clients;
	clients = bench_alloc(n_clients, sizeof(*clients));
	fds = bench_alloc(n_clients, sizeof(*fds));
	for (uint64_t i = 0; i < n_clients; i++) {
		clients[i].left = n;
		fds[i] = (struct pollfd){ .fd = unix_connect(argv[1]), .events = POLLIN };
		if (fds[i].fd < 0)
			bench_die("accept: %s: %s", argv[1], strerror(-fds[i].fd));
	}
	start_ns = bench_now_ns();
	submit_all(fds, clients, n_clients);
	(void)printf("%.3f\n", (double)(bench_now_ns() - start_ns) / 1e3 / (double)(n * n_clients));
	free(clients);
	free(fds);
	return 0;
}
