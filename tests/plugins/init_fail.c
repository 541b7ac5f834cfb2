/* init_fail: its worker_init fails, always or the first few times.
 *
 * Attempts are counted by the bytes of the file `counter`, because each is made by a new process. Parameters are those
 * of the stanza. With mode `late` only a second runner's fails, once the first one has begun a task.
 */
#include <concd/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many attempts there were before this one, which is counted too; 0 without a file. */
static int64_t count_attempt(const char *path)
{
	struct stat st = {0};
	int fd;

	if (path[0] == '\0')
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0 || write(fd, "x", 1) != 1)
		st.st_size = 0;
	close(fd);
	return st.st_size;
}

static atomic_uint n_inits, n_begun;

/* With one runner ready and at work, another one cannot start. */
static int init_late(int64_t times, const char *counter)
{
	if (atomic_fetch_add(&n_inits, 1) == 0 || count_attempt(counter) >= times)
		return 0;
	while (atomic_load(&n_begun) == 0)
		(void)usleep(1000);
	abort();
}

static int init(struct concd_worker *worker)
{
	const char *counter, *mode;
	int64_t times;
	int r;

	r = concd_worker_param_int(worker, "times", &times);
	if (r < 0)
		return r;
	r = concd_worker_param_text(worker, "counter", &counter);
	if (r < 0)
		return r;
	r = concd_worker_param_text(worker, "mode", &mode);
	if (r < 0)
		return r;
	if (strcmp(mode, "late") == 0)
		return init_late(times, counter);
	if (times >= 0 && count_attempt(counter) >= times)
		return 0;
	if (strcmp(mode, "crash") == 0)
		abort();
	while (strcmp(mode, "hang") == 0)
		(void)sleep(1000);
	concd_log(worker, CONCD_LOG_ERROR, "init_fail: this worker cannot start, as asked");
	return -ENODEV;
}

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len), *mode;
	int r;

	r = concd_param_text(task, "mode", &mode);
	if (r < 0)
		return r;
	atomic_fetch_add(&n_begun, 1);
	if (strcmp(mode, "late") == 0 && concd_sleep(task, 100000000) < 0)
		return -ECANCELED;
	return concd_result(task, input, len);
}

static const struct concd_param params[] = {
	{.name = "times", .type = CONCD_PARAM_INT, .value = "-1", .min = "-1",
	 .help = "how many attempts fail; -1: all"},
	{.name = "counter", .type = CONCD_PARAM_TEXT, .help = "file that counts the attempts"},
	{.name = "mode", .type = CONCD_PARAM_TEXT, .value = "fail", .choices = "fail|crash|hang|late", .help = "how to fail"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "init_fail",
	.version = "1.0",
	.summary = "test: cannot prepare its workers",
	.kind = CONCD_KIND_MIXED,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.needs = CONCD_NEEDS_FILES,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.worker_init = init,
	.run = run,
};
CONCD_PLUGIN(plugin)
