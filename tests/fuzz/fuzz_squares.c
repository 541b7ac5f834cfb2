/* Inputs of the squares plugin, under a host whose tasks are cancelled before they calculate much. */
#include "fuzz.h"

#include <errno.h>
#include <stdarg.h>

#include <concd/plugin.h>

#include "base/text.h"

#define SMALL 1000 /* numbers that are worked out */
#define MAX_INPUT UINT64_C(1000000000000)

extern const struct concd_plugin *const concd_plugin_v1;

static struct {
	const void *input;
	size_t len;
	bool cancel, refused;
	char result[64];
} now;

static const void *host_input(struct concd_task *task, size_t *ret_len)
{
	(void)task;
	*ret_len = now.len;
	return now.input;
}

static int host_param_text(struct concd_task *task, const char *name, const char **ret_value)
{
	(void)task;
	(void)name;
	*ret_value = "scalar";
	return 0;
}

static int host_result(struct concd_task *task, const void *data, size_t len)
{
	(void)task;
	FUZZ_CHECK(len < sizeof(now.result));
	memcpy(now.result, data, len);
	now.result[len] = '\0';
	return 0;
}

__attribute__((format(printf, 4, 0))) static int host_vfail(struct concd_task *task, uint32_t why, int64_t retry_after_ns,
							     const char *format, va_list ap)
{
	char text[512];
	int n = vsnprintf(text, sizeof(text), format, ap);

	(void)task;
	FUZZ_CHECK(why == CONCD_FAIL_INPUT && retry_after_ns == -1 && n > 0 && n < 200 && text_is_utf8(text, (size_t)n));
	now.refused = true;
	return -EBADMSG;
}

static void host_progress(struct concd_task *task, double fraction)
{
	(void)task;
	FUZZ_CHECK(fraction >= 0 && fraction <= 1);
}

static int host_cancelled(struct concd_task *task)
{
	(void)task;
	return now.cancel;
}

static const struct concd_host host = {
	.size = sizeof(host),
	.abi = CONCD_ABI,
	.input = host_input,
	.param_text = host_param_text,
	.result = host_result,
	.vfail = host_vfail,
	.progress = host_progress,
	.cancelled = host_cancelled,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct concd_worker worker = { .host = &host };
	struct concd_task task = { .host = &host, .worker = &worker };
	char *text = fuzz_text(data, size), want[64];
	uint64_t n = 0;
	bool is_number = text_parse_u64(text, &n) == 0 && strlen(text) == size && n <= MAX_INPUT;
	int r;

	now.input = text;
	now.len = size;
	now.cancel = n > SMALL;
	now.refused = false;
	r = concd_plugin_v1->run(&task);
	FUZZ_CHECK(now.refused == !is_number && (r == -EBADMSG) == now.refused);
	FUZZ_CHECK(now.refused || r == (n > SMALL ? -ECANCELED : 0));
	if (r == 0) { /* the closed form, which fits 64 bits here */
		(void)snprintf(want, sizeof(want), "%llu",
			       (unsigned long long)(n == 0 ? 0 : (n - 1) * n * (2 * n - 1) / 6)); /* fits */
		FUZZ_CHECK(strcmp(now.result, want) == 0);
	}
	free(text);
	return 0;
}
