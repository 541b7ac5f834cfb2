/* accept: how fast a daemon takes durable jobs of one task.
 *
 *	accept SOCKET N CLIENTS		microseconds a job: the wall time of all over their number
 *
 * CLIENTS open connections, each with one request at a time, N jobs in all. The workload is `noop`: whoever measures
 * pauses it, so that accepting is all that happens.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "unix_http.h"

struct client {
	pthread_t thread;
	const char *path;
	uint64_t n;
};

static void *submit(void *arg)
{
	static const char request[] = "POST /v1/jobs HTTP/1.1\r\nHost: concd\r\nContent-Type: application/json\r\n"
				      "Content-Length: 52\r\n\r\n"
				      "{\"workload\":\"noop\",\"model\":\"pool\",\"inputs\":[\"1000\"]}";
	const struct client *client = arg;
	char answer[8192];
	int fd = unix_connect(client->path), r;

	if (fd < 0)
		bench_die("accept: %s: %s", client->path, strerror(-fd));
	for (uint64_t i = 0; i < client->n; i++) {
		r = http_exchange(fd, request, sizeof(request) - 1, answer, sizeof(answer));
		if (r < 0)
			bench_die("accept: %s", strerror(-r));
		if (strncmp(answer, "HTTP/1.1 201", 12) != 0)
			bench_die("accept: unexpected answer:\n%s", answer);
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t n, n_clients;
	struct client *clients;
	int64_t start_ns;

	if (argc != 4)
		bench_die("usage: accept SOCKET N CLIENTS");
	n_clients = bench_number(argv[3], "CLIENTS", 1, 1000);
	n = bench_number(argv[2], "N", n_clients, 100000000) / n_clients;
	clients = bench_alloc(n_clients, sizeof(*clients));
	start_ns = bench_now_ns();
	for (uint64_t i = 0; i < n_clients; i++) {
		clients[i] = (struct client){ .path = argv[1], .n = n };
		if (pthread_create(&clients[i].thread, NULL, submit, &clients[i]) != 0)
			bench_die("accept: no thread");
	}
	for (uint64_t i = 0; i < n_clients; i++)
		(void)pthread_join(clients[i].thread, NULL); /* our own, once */
	(void)printf("%.3f\n", (double)(bench_now_ns() - start_ns) / 1e3 / (double)(n * n_clients));
	free(clients);
	return 0;
}
