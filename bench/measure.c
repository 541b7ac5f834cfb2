/* measure: runs a command a few times and prints medians: wall ms, CPU ms (its own and of children it waited for),
 * peak memory KiB.
 *
 *	measure [-n TIMES] [-o FILE] [-t SECONDS] COMMAND [WORD...]
 *
 * Standard input is /dev/null, standard output FILE or /dev/null. It fails where the command does, and says so. A
 * command that takes longer than -t (120 s) is interrupted, and killed 5 s later.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

#define GRACE_S 5

static volatile sig_atomic_t child; /* what a handler may read */
static volatile sig_atomic_t interrupted;

/* Out of time, or told to stop: pass it on once, then kill. */
static void on_signal(int number)
{
	(void)number;
	if (child > 0)
		(void)kill(child, interrupted ? SIGKILL : SIGINT);
	interrupted = 1;
	(void)alarm(GRACE_S);
}

static void catch_signals(void)
{
	static const int numbers[] = { SIGALRM, SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		(void)sigaction(numbers[i], &action, NULL); /* valid numbers */
}

static pid_t start(char **argv, const char *output)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	if (posix_spawn_file_actions_init(&actions) != 0 ||
	    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) != 0 ||
	    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_TRUNC, 0600) != 0)
		bench_die("measure: out of memory");
	r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	if (r != 0)
		bench_die("measure: %s: %s", argv[0], strerror(r));
	(void)posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void check(const char *command, int status, unsigned int limit_s)
{
	if (interrupted)
		bench_die("measure: %s was stopped (the limit is %u s)", command, limit_s);
	if (WIFSIGNALED(status))
		bench_die("measure: %s was killed by signal %d", command, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		bench_die("measure: %s exited with %d", command, WEXITSTATUS(status));
}

static double ms(struct timeval tv)
{
	return (double)tv.tv_sec * 1e3 + (double)tv.tv_usec / 1e3;
}

int main(int argc, char **argv)
{
	const char *output = "/dev/null";
	unsigned int limit_s = 120;
	double *wall_ms, *cpu_ms, *peak_kib;
	size_t n = 1;
	int c;

	while ((c = getopt(argc, argv, "+n:o:t:")) != -1) {
		if (c == 'n')
			n = bench_number(optarg, "-n", 1, 100000);
		else if (c == 'o')
			output = optarg;
		else if (c == 't')
			limit_s = (unsigned int)bench_number(optarg, "-t", 1, 86400);
		else
			return 2;
	}
	if (optind >= argc)
		bench_die("usage: measure [-n TIMES] [-o FILE] [-t SECONDS] COMMAND [WORD...]");
	wall_ms = bench_alloc(3 * n, sizeof(*wall_ms));
	cpu_ms = wall_ms + n;
	peak_kib = cpu_ms + n;
	catch_signals();
	for (size_t i = 0; i < n; i++) {
		int64_t start_ns = bench_now_ns();
		struct rusage usage;
		int status;

		child = start(argv + optind, output);
		(void)alarm(limit_s);
		if (wait4(child, &status, 0, &usage) < 0)
			bench_die("measure: wait4: %s", strerror(errno));
		wall_ms[i] = (double)(bench_now_ns() - start_ns) / 1e6;
		child = 0;
		(void)alarm(0);
		check(argv[optind], status, limit_s);
		cpu_ms[i] = ms(usage.ru_utime) + ms(usage.ru_stime);
		peak_kib[i] = (double)usage.ru_maxrss;
	}
	(void)printf("%.3f %.3f %.0f\n", bench_share(wall_ms, n, 0.5), bench_share(cpu_ms, n, 0.5),
		     bench_share(peak_kib, n, 0.5));
	free(wall_ms);
	return 0;
}
