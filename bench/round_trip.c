/* round_trip: a whole job of one task over an open connection, again and again.
 *
 *	round_trip [-u] [-m MODEL] SOCKET N	microseconds from the request to the last byte: median, 99th percentile
 *
 * -u: jobs that are not kept (durable false). The workload is `noop`; each answer has to be its input.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "unix_http.h"

#define WARM_UP 50

static double one_trip(int fd, const char *model, bool durable, uint64_t value)
{
	char body[256], request[512], answer[8192], wanted[32];
	int64_t start_ns;
	int n, r;

	n = snprintf(body, sizeof(body),
		     "{\"workload\":\"noop\",\"model\":\"%s\",\"durable\":%s,\"inputs\":[\"%" PRIu64 "\"]}", model,
		     durable ? "true" : "false", value);
	n = snprintf(request, sizeof(request),
		     "POST /v1/jobs?stream=plain HTTP/1.1\r\nHost: concd\r\n"
		     "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		     n, body);
	if (n >= (int)sizeof(request))
		bench_die("round_trip: the request is too long");
	start_ns = bench_now_ns();
	r = http_exchange(fd, request, (size_t)n, answer, sizeof(answer));
	if (r < 0)
		bench_die("round_trip: %s", strerror(-r));
	start_ns = bench_now_ns() - start_ns;
	(void)snprintf(wanted, sizeof(wanted), "\r\n%" PRIu64 "\n", value);
	if (strncmp(answer, "HTTP/1.1 200", 12) != 0 || !strstr(answer, wanted))
		bench_die("round_trip: unexpected answer:\n%s", answer);
	return (double)start_ns / 1000;
}

int main(int argc, char **argv)
{
	const char *model = "pool";
	bool durable = true;
	uint64_t n;
	double *us;
	int c, fd;

	while ((c = getopt(argc, argv, "um:")) != -1) {
		if (c == 'u')
			durable = false;
		else if (c == 'm')
			model = optarg;
		else
			return 2;
	}
	if (argc - optind != 2)
		bench_die("usage: round_trip [-u] [-m MODEL] SOCKET N");
	n = bench_number(argv[optind + 1], "N", 1, 10000000);
	us = bench_alloc(n, sizeof(*us));
	fd = unix_connect(argv[optind]);
	if (fd < 0)
		bench_die("round_trip: %s: %s", argv[optind], strerror(-fd));
	for (uint64_t i = 0; i < WARM_UP; i++)
		(void)one_trip(fd, model, durable, i);
	for (uint64_t i = 0; i < n; i++)
		us[i] = one_trip(fd, model, durable, i);
	(void)printf("%.2f %.2f\n", bench_share(us, n, 0.5), bench_share(us, n, 0.99));
	close(fd);
	free(us);
	return 0;
}
