/* squares: the exact sum of the squares of the numbers below n, as a stand-in for work that needs a processor.
 *
 * The work is cut into blocks of a few milliseconds; between two of them the task looks whether it is to end.
 */
#include <concd/plugin.h>

#include <errno.h>

#include "kernels.h"

#define BLOCK (UINT64_C(1) << 21)
#define SHOWN_MAX 40 /* of a refused input */

/* Decimal digits only, up to SQUARES_MAX. 0, or what concd_fail() gave. */
static int parse_input(struct concd_task *task, uint64_t *ret_n)
{
	size_t len;
	const char *text = concd_input(task, &len);
	uint64_t n = 0;

	if (len == 0)
		return concd_fail(task, CONCD_FAIL_INPUT, "the input is empty: expected a number, 0 to 1000000000000");
	for (size_t i = 0; i < len; i++) {
		char shown[SHOWN_MAX + 1];
		size_t k;

		if (text[i] >= '0' && text[i] <= '9')
			continue;
		for (k = 0; k < len && k < SHOWN_MAX; k++)
			shown[k] = text[k] >= ' ' && text[k] <= '~' ? text[k] : '?';
		shown[k] = '\0';
		return concd_fail(task, CONCD_FAIL_INPUT,
				  "'%s%s' is not a number: expected decimal digits only, 0 to 1000000000000", shown,
				  len > SHOWN_MAX ? "..." : "");
	}
	for (size_t i = 0; i < len; i++) {
		n = n * 10 + (uint64_t)(text[i] - '0');
		if (n > SQUARES_MAX)
			return concd_fail(task, CONCD_FAIL_INPUT, "the number %.*s%s is too large: at most 1000000000000",
					  len > SHOWN_MAX ? SHOWN_MAX : (int)len, text, len > SHOWN_MAX ? "..." : "");
	}
	*ret_n = n;
	return 0;
}

static int run(struct concd_task *task)
{
	const struct squares_kernel *kernel;
	char text[SQUARES_SUM_CHARS];
	squares_sum sum = 0;
	const char *simd;
	uint64_t n = 0;
	int r;

	r = parse_input(task, &n);
	if (r < 0)
		return r;
	r = concd_param_text(task, "simd", &simd);
	if (r < 0)
		return r;
	kernel = squares_kernel_find(simd);
	if (kernel == NULL)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "this processor has no '%s': use simd=auto", simd);
	for (uint64_t i = 0; i < n; i += BLOCK) {
		if (concd_cancelled(task))
			return -ECANCELED;
		sum += kernel->sum(i, n - i > BLOCK ? i + BLOCK : n);
		concd_progress(task, (double)i / (double)n);
	}
	return concd_result(task, text, squares_format(sum, text));
}

static const struct concd_param params[] = {
	{
		.name = "simd",
		.type = CONCD_PARAM_TEXT,
		.value = "auto",
		.choices = "auto|scalar|avx2|avx512|ifma",
		.help = "instructions to use; auto: the fastest this processor has",
	},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "squares",
	.version = "1.0",
	.summary = "exact sum of i*i for i below the input, element by element",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
