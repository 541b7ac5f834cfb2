/* template: the smallest useful plugin, to copy and change. It gives the CRC-32 of its input.
 *
 * Build it with the Makefile beside it; install it into concd's plugin directory, and `concctl run template hello`
 * works. <concd/plugin.h> says what may be called from where.
 */
#include <concd/plugin.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the tasks of one runner thread share. Not a global: a process may have several runner threads. */
struct state {
	uint32_t table[256];
};

/* Once per runner thread, before its first task: open the session, the connection, the scratch memory. May be absent.
 * A failure here ends the worker process and blames no task. */
static int init(struct concd_worker *worker)
{
	struct state *state;

	state = malloc(sizeof(*state));
	if (state == NULL) {
		concd_log(worker, CONCD_LOG_ERROR, "template: out of memory");
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
		state->table[i] = crc;
	}
	worker->state = state;
	return 0;
}

/* Once per runner thread, after its last task. Not called where the process is killed. May be absent. */
static void fini(struct concd_worker *worker)
{
	free(worker->state);
}

/* One task: from its input to its result, as straight-line code. The same under every model. */
static int run(struct concd_task *task)
{
	const struct state *state = task->worker->state;
	uint32_t crc = 0xffffffffu;
	const char *input, *format;
	char text[16];
	size_t len;
	int n, r;

	/* Bytes, of any value; a NUL stands behind them. */
	input = concd_input(task, &len);
	/* Refuse what cannot be right, in words for the user: the task fails with code invalid-input. */
	if (len == 0)
		return concd_fail(task, CONCD_FAIL_INPUT, "the input is empty");
	/* The value on the command line, else in the stanza, else the default below. */
	r = concd_param_text(task, "format", &format);
	if (r < 0)
		return r;

	for (size_t i = 0; i < len; i++) {
		/* Long work asks every few milliseconds whether it is to end early. Waiting would be concd_sleep(),
		 * concd_wait_fd() or concd_suspend(), which return -ECANCELED by themselves. */
		if (i % (1024 * 1024) == 0 && concd_cancelled(task))
			return -ECANCELED;
		crc = crc >> 8 ^ state->table[(crc ^ (unsigned char)input[i]) & 0xff];
	}
	crc = ~crc;

	n = snprintf(text, sizeof(text), strcmp(format, "decimal") == 0 ? "%u" : "%08x", (unsigned)crc);
	/* Copied by the host. Without a call the result is empty. */
	return concd_result(task, text, (size_t)n);
}

/* Checked by the host before a job is accepted, and shown by `concctl params template`. */
static const struct concd_param params[] = {
	{
		.name = "format",
		.type = CONCD_PARAM_TEXT,
		.value = "hex",
		.choices = "hex|decimal",
		.help = "how the checksum is written",
	},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "template",
	.version = "1.0",
	.summary = "CRC-32 of its input: an example to copy",
	.kind = CONCD_KIND_CPU, /* where the time of a task goes */
	/* Promises that the host relies on. Leave out what is not true: without CONCD_THREAD_SAFE the plugin runs in
	 * processes only, without CONCD_IDEMPOTENT a task that was begun is never begun again. */
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.needs = 0, /* neither network nor files, processes or threads */
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.worker_init = init,
	.worker_exit = fini,
	.run = run,
	/* split, run_part and combine are absent: an input is not divided among workers. plugins/squares divides its. */
};
CONCD_PLUGIN(plugin)
