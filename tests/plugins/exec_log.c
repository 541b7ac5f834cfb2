/* exec_log: shows that a task never runs twice at the same time, and how often it ran.
 *
 * For the length of each execution it holds a lock on the byte of file DIR/locks whose offset is the task's index. The
 * lock is tried, never waited for: refused means that another execution of the same task is still going on. Into DIR/log
 * it appends, one write each,
 *
 *	begin INDEX PROCESS DAEMON	end INDEX PROCESS DAEMON	overlap INDEX PROCESS DAEMON
 *
 * where DAEMON is the process that was its parent when the plugin was loaded. Each is PID.START, with the tick in which
 * the process started: a number alone comes again within minutes on a machine that starts many.
 *
 * The lock belongs to the open file, so it ends with the process, however that dies. One job per directory.
 *
 * On input "hang" it never ends, deaf to its cancel, and leaves the processor to others; "late" ends 300 ms after its
 * cancel.
 *
 * exec_log_once is the same without the promise that a task may run twice (EXEC_LOG_ONCE).
 */
#include <concd/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char self[40], parent[40];

/* PID.START of a process, without START where it is gone. */
static void name_process(char *name, size_t size, pid_t pid)
{
	char path[40], stat[1024];
	ssize_t n = -1;
	char *at;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, stat, sizeof(stat) - 1);
		close(fd);
	}
	stat[n > 0 ? n : 0] = '\0';
	at = strrchr(stat, ')'); /* ends field 2, which may have spaces in it */
	for (int field = 2; field < 22 && at != NULL; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		snprintf(name, size, "%ld.", (long)pid);
	else
		snprintf(name, size, "%ld.%llu", (long)pid, strtoull(at, NULL, 10));
}

/* Later the parent may be dead, and another process in its place. */
__attribute__((constructor)) static void note_processes(void)
{
	pid_t pid = getppid();

	name_process(self, sizeof(self), getpid());
	name_process(parent, sizeof(parent), pid);
	if (getppid() != pid)
		snprintf(parent, sizeof(parent), "%ld.", (long)pid);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Append a line. 0 or -errno. */
static int log_line(int dir, const char *what, uint64_t index)
{
	char line[128];
	int fd, n, r = 0;

	n = snprintf(line, sizeof(line), "%s %" PRIu64 " %s %s\n", what, index, self, parent);
	fd = openat(dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	if (write(fd, line, (size_t)n) != n)
		r = errno != 0 ? -errno : -EIO;
	close(fd);
	return r;
}

static int work(struct concd_task *task, int64_t us, int64_t sleeps)
{
	int64_t end_ns = now_ns() + us * 1000;

	if (sleeps)
		return concd_sleep(task, us * 1000);
	while (now_ns() < end_ns)
		if (concd_cancelled(task))
			return -ECANCELED;
	return 0;
}

/* Deaf to its cancel. */
static int hang(struct concd_task *task, int64_t late_ns)
{
	while (!concd_cancelled(task))
		(void)concd_sleep(task, 1000000); /* others go on meanwhile */
	for (int64_t end_ns = now_ns() + late_ns; late_ns < 0 || now_ns() < end_ns;)
		(void)usleep(1000);
	return -ECANCELED;
}

static int run_locked(struct concd_task *task, int dir, int locks)
{
	uint64_t index = concd_index(task);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)index, .l_len = 1};
	int64_t us, sleeps;
	const char *input;
	size_t len;
	int r;

	r = concd_param_int(task, "us", &us);
	if (r < 0)
		return r;
	r = concd_param_int(task, "sleep", &sleeps);
	if (r < 0)
		return r;
	if (fcntl(locks, F_OFD_SETLK, &lock) < 0) {
		(void)log_line(dir, "overlap", index); /* the task fails in any case */
		return concd_fail(task, CONCD_FAIL_PERMANENT, "task %" PRIu64 " is already running", index);
	}
	r = log_line(dir, "begin", index);
	if (r < 0)
		return r;
	input = concd_input(task, &len);
	if (strcmp(input, "hang") == 0)
		return hang(task, -1);
	if (strcmp(input, "late") == 0)
		return hang(task, 300000000);
	r = work(task, us, sleeps);
	if (r < 0)
		return r;
	return log_line(dir, "end", index);
}

static int run(struct concd_task *task)
{
	const char *path, *input;
	int dir, locks, r;
	size_t len;

	r = concd_param_text(task, "dir", &path);
	if (r < 0)
		return r;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "cannot open directory '%s': %s", path, strerror(errno));
	locks = openat(dir, "locks", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (locks < 0) {
		r = concd_fail(task, CONCD_FAIL_PERMANENT, "cannot open '%s/locks': %s", path, strerror(errno));
		close(dir);
		return r;
	}
	r = run_locked(task, dir, locks);
	close(locks);
	close(dir);
	if (r < 0)
		return r;
	input = concd_input(task, &len);
	return concd_result(task, input, len);
}

static const struct concd_param params[] = {
	{.name = "dir", .type = CONCD_PARAM_TEXT, .help = "directory of the files log and locks"},
	{.name = "us", .type = CONCD_PARAM_INT, .value = "0", .min = "0", .help = "microseconds that a task takes"},
	{.name = "sleep", .type = CONCD_PARAM_BOOL, .value = "false", .help = "wait instead of using the processor"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
#ifdef EXEC_LOG_ONCE
	.name = "exec_log_once",
	.flags = CONCD_THREAD_SAFE | CONCD_DETERMINISTIC,
#else
	.name = "exec_log",
	.flags = CONCD_THREAD_SAFE | CONCD_DETERMINISTIC | CONCD_IDEMPOTENT,
#endif
	.version = "1.0",
	.summary = "test: logs the begin and the end of every execution",
	.kind = CONCD_KIND_MIXED,
	.needs = CONCD_NEEDS_FILES,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
