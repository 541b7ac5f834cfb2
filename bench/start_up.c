/* start_up: how long a daemon takes until its socket answers, and what it keeps for itself when idle.
 *
 *	start_up [-n TIMES] SOCKET COMMAND [WORD...]	medians: milliseconds, private KiB
 *
 * The milliseconds run from before the spawn to the answer to GET /v1/ping. The KiB are Private_Clean + Private_Dirty
 * of /proc/PID/smaps_rollup, 300 ms later. The daemon is then told to end (SIGTERM), and its end is waited for.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "unix_http.h"

#define LIMIT_NS INT64_C(20000000000) /* for the first answer */
#define STEP_NS 50000 /* between two tries */
#define SETTLE_NS 300000000

static pid_t child;

static void pause_ns(long ns)
{
	struct timespec ts = { .tv_nsec = ns };

	(void)nanosleep(&ts, NULL); /* shorter does no harm */
}

static void end_child(void)
{
	if (child > 0)
		(void)kill(child, SIGKILL);
}

static void wait_answer(const char *socket_path, int64_t start_ns)
{
	static const char request[] = "GET /v1/ping HTTP/1.1\r\nHost: concd\r\n\r\n";
	char answer[4096];
	int fd, r;

	while ((fd = unix_connect(socket_path)) < 0) {
		if (bench_now_ns() - start_ns > LIMIT_NS)
			bench_die("start_up: %s: %s", socket_path, strerror(-fd));
		if (waitpid(child, NULL, WNOHANG) != 0) {
			child = 0;
			bench_die("start_up: the daemon ended");
		}
		pause_ns(STEP_NS);
	}
	r = http_exchange(fd, request, sizeof(request) - 1, answer, sizeof(answer));
	if (r < 0)
		bench_die("start_up: ping: %s", strerror(-r));
	close(fd);
}

static double private_kib(pid_t pid)
{
	char path[64], line[256];
	uint64_t sum = 0, kib;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "re");
	if (!file)
		bench_die("start_up: %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "Private_", 8) == 0 && sscanf(line, "%*s %" SCNu64, &kib) == 1)
			sum += kib;
	(void)fclose(file); /* only read */
	return (double)sum;
}

int main(int argc, char **argv)
{
	double *ready_ms, *kib;
	size_t n = 1;
	int c;

	while ((c = getopt(argc, argv, "+n:")) != -1) {
		if (c != 'n')
			return 2;
		n = bench_number(optarg, "-n", 1, 1000);
	}
	if (argc - optind < 2)
		bench_die("usage: start_up [-n TIMES] SOCKET COMMAND [WORD...]");
	ready_ms = bench_alloc(2 * n, sizeof(*ready_ms));
	kib = ready_ms + n;
	(void)atexit(end_child);
	for (size_t i = 0; i < n; i++) {
		int64_t start_ns = bench_now_ns();
		int r = posix_spawn(&child, argv[optind + 1], NULL, NULL, argv + optind + 1, environ);

		if (r != 0)
			bench_die("start_up: %s: %s", argv[optind + 1], strerror(r));
		wait_answer(argv[optind], start_ns);
		ready_ms[i] = (double)(bench_now_ns() - start_ns) / 1e6;
		pause_ns(SETTLE_NS);
		kib[i] = private_kib(child);
		(void)kill(child, SIGTERM);
		(void)waitpid(child, NULL, 0);
		child = 0;
	}
	(void)printf("%.3f %.0f\n", bench_share(ready_ms, n, 0.5), bench_share(kib, n, 0.5));
	free(ready_ms);
	return 0;
}
