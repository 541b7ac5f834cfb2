/* control_latency: how long control takes to answer while the machine is busy.
 *
 *	control_latency SOCKET N	99th percentiles in milliseconds: ping, list, cancel of a queued job, of a running one
 *
 * N of each, by turns over one open connection. The daemon has the workloads `spin`, whose `sync` crew is kept busy by
 * whoever measures, so that a further job of it waits, and `sleeper`. A cancel is answered once the job is cancelled.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "unix_http.h"

#define WARM_UP 5
#define ANSWER_BYTES (1u << 20)
#define DEADLINE_NS INT64_C(60000000000)

enum { PING, LIST, CANCEL_QUEUED, CANCEL_RUNNING, N_KINDS };

static char answer[ANSWER_BYTES];

/* One exchange, which has to be answered with 2xx; the milliseconds it took. */
static double exchange(int fd, const char *method, const char *path, const char *body)
{
	char request[1024];
	int64_t start_ns;
	int n, r;

	n = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: concd\r\nContent-Length: %zu\r\n\r\n%s", method,
		     path, strlen(body), body);
	if (n >= (int)sizeof(request))
		bench_die("control_latency: the request is too long");
	start_ns = bench_now_ns();
	r = http_exchange(fd, request, (size_t)n, answer, sizeof(answer));
	start_ns = bench_now_ns() - start_ns;
	if (r < 0)
		bench_die("control_latency: %s %s: %s", method, path, strerror(-r));
	if (strncmp(answer, "HTTP/1.1 2", 10) != 0)
		bench_die("control_latency: %s %s: unexpected answer:\n%.400s", method, path, answer);
	return (double)start_ns / 1e6;
}

static void submit(int fd, const char *body, char *ret_id, size_t size)
{
	const char *id;

	(void)exchange(fd, "POST", "/v1/jobs", body);
	id = strstr(answer, "\"job\":");
	id = id ? strchr(id + 5, '"') : NULL;
	if (!id || strspn(id + 1, "0123456789") == 0 || strspn(id + 1, "0123456789") >= size)
		bench_die("control_latency: no id in the answer:\n%.400s", answer);
	(void)snprintf(ret_id, size, "%.*s", (int)strspn(id + 1, "0123456789"), id + 1);
}

static double cancel(int fd, const char *id)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/v1/jobs/%s/cancel", id);
	return exchange(fd, "POST", path, "");
}

static void until_task_runs(int fd, const char *id)
{
	int64_t deadline_ns = bench_now_ns() + DEADLINE_NS;
	char path[64];

	(void)snprintf(path, sizeof(path), "/v1/jobs/%s", id);
	do {
		if (bench_now_ns() > deadline_ns)
			bench_die("control_latency: job %s does not begin:\n%.400s", id, answer);
		(void)exchange(fd, "GET", path, "");
	} while (!strstr(answer, "\"running_tasks\":[{"));
}

static double measure(int fd, int kind)
{
	char id[24];

	switch (kind) {
	case PING:
		return exchange(fd, "GET", "/v1/ping", "");
	case LIST:
		return exchange(fd, "GET", "/v1/jobs?limit=100", "");
	case CANCEL_QUEUED:
		submit(fd, "{\"workload\":\"spin\",\"model\":\"sync\",\"inputs\":[\"1000\"]}", id, sizeof(id));
		return cancel(fd, id);
	default:
		submit(fd, "{\"workload\":\"sleeper\",\"model\":\"async\",\"inputs\":[\"10m\"]}", id, sizeof(id));
		until_task_runs(fd, id);
		return cancel(fd, id);
	}
}

int main(int argc, char **argv)
{
	double *ms[N_KINDS];
	uint64_t n;
	int fd;

	if (argc != 3)
		bench_die("usage: control_latency SOCKET N");
	n = bench_number(argv[2], "N", 1, 100000);
	fd = unix_connect(argv[1]);
	if (fd < 0)
		bench_die("control_latency: %s: %s", argv[1], strerror(-fd));
	for (int kind = 0; kind < N_KINDS; kind++)
		ms[kind] = bench_alloc(n, sizeof(double));
	for (int i = 0; i < WARM_UP; i++)
		for (int kind = 0; kind < N_KINDS; kind++)
			(void)measure(fd, kind);
	for (uint64_t i = 0; i < n; i++)
		for (int kind = 0; kind < N_KINDS; kind++)
			ms[kind][i] = measure(fd, kind);
	for (int kind = 0; kind < N_KINDS; kind++) {
		(void)printf("%.3f%c", bench_share(ms[kind], n, 0.99), kind < N_KINDS - 1 ? ' ' : '\n');
		free(ms[kind]);
	}
	close(fd);
	return 0;
}
