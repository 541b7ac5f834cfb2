/* listen: receives as many messages as the input says and returns them, joined by '|'. "deaf": never receives, and ends
 * when it is cancelled. "late": waits 200 ms first. "brief": waits 20 ms for a message and says "nothing". Its progress
 * is 0.5 once it has begun. */
#include <concd/plugin.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)

static int receive_all(struct concd_task *task, long n)
{
	size_t total = 0, len;
	char *text = NULL;
	int r = 0;

	for (long i = 0; i < n && r == 0; i++) {
		const void *data;
		char *longer;

		r = concd_receive(task, CONCD_NO_TIMEOUT, &data, &len);
		if (r < 0)
			break;
		longer = realloc(text, total + len + 1);
		if (!longer) {
			r = -ENOMEM;
			break;
		}
		text = longer;
		if (i > 0)
			text[total++] = '|';
		memcpy(text + total, data, len);
		total += len;
	}
	if (r == 0)
		r = concd_result(task, text, total);
	free(text);
	return r;
}

static int run(struct concd_task *task)
{
	const char *input = concd_input(task, NULL);
	const void *data;
	size_t len;
	int r = 0;

	concd_progress(task, 0.5);
	if (strcmp(input, "deaf") == 0)
		return concd_sleep(task, 3600000 * MS);
	if (strcmp(input, "brief") == 0) {
		r = concd_receive(task, 20 * MS, &data, &len);
		return r == -ETIMEDOUT ? concd_result(task, "nothing", 7) : r < 0 ? r : -EPROTO;
	}
	if (strcmp(input, "late") == 0) {
		r = concd_sleep(task, 200 * MS);
		return r < 0 ? r : receive_all(task, 2);
	}
	return receive_all(task, atol(input));
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "listen",
	.version = "1.0",
	.summary = "test: returns the messages it is sent",
	.kind = CONCD_KIND_IO,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT,
	.run = run,
};
CONCD_PLUGIN(plugin)
