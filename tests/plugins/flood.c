/* flood: writes as many lines as its input says to the log, to standard output or to standard error. */
#include <concd/plugin.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len), *to;
	unsigned long lines;
	int64_t width;
	char *text, *end;
	int r;

	lines = strtoul(input, &end, 10);
	if (len == 0 || end != input + len)
		return concd_fail(task, CONCD_FAIL_INPUT, "not a number of lines");
	r = concd_param_text(task, "to", &to);
	if (r < 0)
		return r;
	r = concd_param_int(task, "width", &width);
	if (r < 0)
		return r;
	text = malloc((size_t)width + 1);
	if (text == NULL)
		return -ENOMEM;
	memset(text, 'x', (size_t)width);
	text[width] = '\n';
	for (unsigned long i = 0; i < lines && r == 0; i++) {
		if (concd_cancelled(task))
			r = -ECANCELED;
		else if (strcmp(to, "log") == 0)
			concd_log(task->worker, CONCD_LOG_INFO, "%lu %.*s", i, (int)width, text);
		else if (write(strcmp(to, "out") == 0 ? STDOUT_FILENO : STDERR_FILENO, text, (size_t)width + 1) < 0)
			r = -errno;
	}
	free(text);
	return r < 0 ? r : concd_result(task, input, len);
}

static const struct concd_param params[] = {
	{.name = "to", .type = CONCD_PARAM_TEXT, .value = "log", .choices = "log|out|err", .help = "where the lines go"},
	{.name = "width", .type = CONCD_PARAM_SIZE, .value = "80", .max = "1M", .help = "characters a line"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "flood",
	.version = "1.0",
	.summary = "test: writes as many lines as its input says",
	.kind = CONCD_KIND_IO,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
