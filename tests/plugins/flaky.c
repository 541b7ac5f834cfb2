/* flaky: fails, asking for another try, the first `fails` times that an input is seen; then returns the input.
 *
 * It counts in directory DIR, one byte in file DIR/INPUT for each attempt, so that the count survives processes, and
 * appends the input of each attempt to DIR/log. With delay_ms it asks for that delay. An input that begins with
 * "bad" fails for good.
 */
#include <concd/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Append to DIR/NAME and say how long it is now. */
static long append(const char *dir, const char *name, const char *text)
{
	char path[512];
	struct stat st;
	long size = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fstat(fd, &st) == 0)
		size = (long)st.st_size;
	close(fd);
	return size;
}

static int run(struct concd_task *task)
{
	const char *input, *dir;
	int64_t fails = 0, delay_ms = 0;
	char name[80], line[96];
	size_t len;
	long tries;
	int r = concd_param_text(task, "dir", &dir);

	if (r == 0)
		r = concd_param_int(task, "fails", &fails);
	if (r == 0)
		r = concd_param_int(task, "delay_ms", &delay_ms);
	if (r < 0)
		return r;
	input = concd_input(task, &len);
	(void)snprintf(name, sizeof(name), "%.*s", (int)len, input);
	(void)snprintf(line, sizeof(line), "%s\n", name);
	tries = append(dir, name, ".");
	if (tries < 0 || append(dir, "log", line) < 0)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "cannot write in '%s': %s", dir, strerror(errno));
	if (strncmp(name, "bad", 3) == 0)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "it is bad");
	if (tries <= fails && delay_ms > 0)
		return concd_fail_retry_after(task, delay_ms * 1000000, "flaked %ld times", tries);
	if (tries <= fails)
		return concd_fail(task, CONCD_FAIL_RETRY, "flaked %ld times", tries);
	return concd_result(task, input, len);
}

static const struct concd_param params[] = {
	{.name = "dir", .type = CONCD_PARAM_TEXT, .help = "where it counts"},
	{.name = "fails", .type = CONCD_PARAM_INT, .value = "0", .min = "0", .help = "attempts of an input that fail"},
	{.name = "delay_ms", .type = CONCD_PARAM_INT, .value = "0", .min = "0", .help = "the delay it asks for"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "flaky",
	.version = "1.0",
	.summary = "test: fails a few times and asks for another try",
	.kind = CONCD_KIND_IO,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT,
	.needs = CONCD_NEEDS_FILES,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
