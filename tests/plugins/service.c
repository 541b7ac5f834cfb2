/* service: never ends by itself, or ends as the file `mode` says when it begins; logs its begins and ends.
 *
 * mode: absent or "run": until it is cancelled; "slow": the same, but it takes `cleanup` to end; "return", "fail", "crash",
 * "exit", "hang" (ignores that it is cancelled); each but "run", "slow" and "hang" after `delay`.
 */
#include <concd/plugin.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* A line of the log: WHAT PID MILLISECONDS NAME. */
static void note(struct concd_task *task, const char *what)
{
	const char *path = "", *name = "";
	char line[256];
	int fd, len;

	(void)concd_param_text(task, "log", &path); /* declared */
	(void)concd_param_text(task, "name", &name);
	if (*path == '\0')
		return;
	len = snprintf(line, sizeof(line), "%s %d %lld %s\n", what, (int)getpid(), (long long)now_ms(), name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	if (write(fd, line, (size_t)len) != len)
		concd_log(task->worker, CONCD_LOG_ERROR, "the log is short");
	(void)close(fd);
}

static void read_mode(struct concd_task *task, char *mode, size_t size)
{
	const char *path = "";
	ssize_t n = 0;
	int fd;

	(void)concd_param_text(task, "mode", &path); /* declared */
	fd = *path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		n = read(fd, mode, size - 1);
		(void)close(fd);
	}
	mode[n > 0 ? n : 0] = '\0';
	mode[strcspn(mode, "\n")] = '\0';
}

static int until_cancelled(struct concd_task *task, int64_t cleanup_ns)
{
	const struct timespec cleanup = { .tv_sec = cleanup_ns / 1000000000, .tv_nsec = cleanup_ns % 1000000000 };
	int r;

	do
		r = concd_sleep(task, INT64_C(3600) * 1000000000);
	while (r == 0);
	if (cleanup_ns > 0)
		(void)nanosleep(&cleanup, NULL);
	note(task, "end");
	return r;
}

static int run(struct concd_task *task)
{
	int64_t delay_ns = 0, cleanup_ns = 0;
	char mode[32] = "";
	int r;

	note(task, "begin");
	read_mode(task, mode, sizeof(mode));
	(void)concd_param_int(task, "delay", &delay_ns); /* declared */
	(void)concd_param_int(task, "cleanup", &cleanup_ns);
	concd_log(task->worker, CONCD_LOG_INFO, "mode '%s'", mode);
	if (strcmp(mode, "hang") == 0)
		for (;;)
			(void)sleep(1000);
	if (*mode == '\0' || strcmp(mode, "run") == 0 || strcmp(mode, "slow") == 0)
		return until_cancelled(task, strcmp(mode, "slow") == 0 ? cleanup_ns : 0);
	r = delay_ns > 0 ? concd_sleep(task, delay_ns) : 0;
	if (r < 0)
		return r;
	if (strcmp(mode, "crash") == 0)
		abort();
	if (strcmp(mode, "exit") == 0)
		_exit(3);
	if (strcmp(mode, "fail") == 0)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "the well is dry");
	return concd_result(task, "enough", 6);
}

static const struct concd_param params[] = {
	{.name = "name", .type = CONCD_PARAM_TEXT, .help = "stands in each line of the log"},
	{.name = "log", .type = CONCD_PARAM_TEXT, .help = "file: a line for each begin and each orderly end"},
	{.name = "mode", .type = CONCD_PARAM_TEXT, .help = "file whose first line says what to do"},
	{.name = "delay", .type = CONCD_PARAM_DURATION, .value = "0", .min = "0", .help = "before it ends by itself"},
	{.name = "cleanup", .type = CONCD_PARAM_DURATION, .value = "0", .min = "0", .help = "time to end, with mode slow"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "service",
	.version = "1.0",
	.summary = "test: never ends, unless told to",
	.kind = CONCD_KIND_IO,
	.flags = CONCD_THREAD_SAFE,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
