/* squares: the exact sum of the squares of the numbers below n, as a stand-in for work that needs a processor.
 *
 * The work is cut into blocks of a few milliseconds; between two of them the task looks whether it is to end. A huge n
 * is divided among the workers.
 */
#include <concd/plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "kernels.h"

#define BLOCK (UINT64_C(1) << 21)
#define SHOWN_MAX 40 /* of a refused input */
#define PART_MIN (UINT64_C(1) << 27) /* some 20 ms: a smaller part would not be worth its way */
#define PARTS_PER_WORKER 4 /* so that none is left idle for long at the end */
#define PARTS_MAX 1024

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

/* The sum over begin..end-1. 0; -ECANCELED, or what concd_fail() gave. */
static int add_up(struct concd_task *task, uint64_t begin, uint64_t end, squares_sum *ret_sum)
{
	const struct squares_kernel *kernel;
	squares_sum sum = 0;
	const char *simd;
	int r;

	r = concd_param_text(task, "simd", &simd);
	if (r < 0)
		return r;
	kernel = squares_kernel_find(simd);
	if (kernel == NULL)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "this processor has no '%s': use simd=auto", simd);
	for (uint64_t i = begin; i < end; i += BLOCK) {
		if (concd_cancelled(task))
			return -ECANCELED;
		sum += kernel->sum(i, end - i > BLOCK ? i + BLOCK : end);
		concd_progress(task, (double)(i - begin) / (double)(end - begin));
	}
	*ret_sum = sum;
	return 0;
}

static int give(struct concd_task *task, squares_sum sum)
{
	char text[SQUARES_SUM_CHARS];

	return concd_result(task, text, squares_format(sum, text));
}

static int run(struct concd_task *task)
{
	squares_sum sum = 0;
	uint64_t n = 0;
	int r;

	r = parse_input(task, &n);
	if (r == 0)
		r = add_up(task, 0, n, &sum);
	return r < 0 ? r : give(task, sum);
}

/* ---- One huge n, by all workers. A part is "BEGIN END" in decimal, what it gives 16 bytes, low ones first. ---- */

#define SUM_BYTES 16

static int split(struct concd_task *task)
{
	uint64_t n = 0, parts = (uint64_t)concd_workers(task) * PARTS_PER_WORKER;
	char text[48];
	int r;

	r = parse_input(task, &n);
	if (r < 0)
		return r;
	if (parts > n / PART_MIN)
		parts = n / PART_MIN;
	if (parts > PARTS_MAX)
		parts = PARTS_MAX;
	if (concd_workers(task) == 1 || parts < 2)
		return 0;
	for (uint64_t i = 0; i < parts && r == 0; i++) {
		int len = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, n / parts * i,
				   i + 1 == parts ? n : n / parts * (i + 1));

		r = concd_part_add(task, text, (size_t)len);
	}
	return r;
}

static int run_part(struct concd_task *task)
{
	squares_sum sum = 0;
	uint8_t bytes[SUM_BYTES];
	uint64_t begin, end;
	size_t len;
	int r;

	if (sscanf(concd_input(task, &len), "%" SCNu64 " %" SCNu64, &begin, &end) != 2)
		return -EBADMSG; /* not from our split */
	r = add_up(task, begin, end, &sum);
	for (size_t i = 0; i < SUM_BYTES; i++)
		bytes[i] = (uint8_t)(sum >> (8 * i));
	return r < 0 ? r : concd_result(task, bytes, sizeof(bytes));
}

static int combine(struct concd_task *task)
{
	squares_sum sum = 0;

	for (uint64_t part = 0; part < concd_part_count(task); part++) {
		squares_sum one = 0;
		size_t len;
		const uint8_t *bytes = concd_part_result(task, part, &len);

		if (len != SUM_BYTES)
			return -EBADMSG;
		for (size_t i = 0; i < SUM_BYTES; i++)
			one |= (squares_sum)bytes[i] << (8 * i);
		sum += one;
	}
	return give(task, sum);
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
	.split = split,
	.run_part = run_part,
	.combine = combine,
};
CONCD_PLUGIN(plugin)
