/* squares: every kernel against the closed form, inputs, cancellation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "harness.h"
#include "plugins/squares/kernels.h"

/* The sum of i * i for i < n: (n-1) n (2n-1) / 6, divided before it is multiplied. */
static squares_sum closed_form(uint64_t n)
{
	squares_sum a = n == 0 ? 0 : n - 1, b = n, c = n == 0 ? 0 : 2 * (squares_sum)n - 1;

	if (a % 2 == 0)
		a /= 2;
	else
		b /= 2;
	if (a % 3 == 0)
		a /= 3;
	else if (b % 3 == 0)
		b /= 3;
	else
		c /= 3;
	return a * b * c;
}

static void check_range(const struct squares_kernel *kernel, uint64_t begin, uint64_t end)
{
	squares_sum want = closed_form(end) - closed_form(begin), got = kernel->sum(begin, end);

	if (got != want)
		fail_msg("%s: wrong sum of %llu..%llu", kernel->name, (unsigned long long)begin, (unsigned long long)end);
}

static void every_kernel_gives_the_exact_sum_of_any_range(void **state)
{
	/* Where numbers, products and accumulators change their width. */
	static const uint64_t edges[] = {0,
					 1,
					 UINT64_C(1) << 16,
					 UINT64_C(1) << 26,
					 UINT64_C(1) << 27,
					 UINT64_C(1) << 32,
					 3 * (UINT64_C(1) << 32),
					 UINT64_C(10000000000),
					 SQUARES_MAX - 300000};
	static const uint64_t lengths[] = {0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 1000, 65536, 131072, 131073, 299999};
	const struct squares_kernel *kernels;
	size_t n;

	(void)state;
	kernels = squares_kernels(&n);
	for (size_t k = 0; k < n; k++) {
		if (!kernels[k].supported())
			continue;
		for (size_t e = 0; e < sizeof(edges) / sizeof(edges[0]); e++) {
			for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
				check_range(&kernels[k], edges[e], edges[e] + lengths[l]);
				if (edges[e] >= lengths[l] / 2)
					check_range(&kernels[k], edges[e] - lengths[l] / 2,
						    edges[e] - lengths[l] / 2 + lengths[l]);
			}
		}
	}
}

static void sums_are_written_in_decimal(void **state)
{
	char text[SQUARES_SUM_CHARS];

	(void)state;
	assert_int_equal(squares_format(0, text), 1);
	assert_string_equal(text, "0");
	squares_format(closed_form(SQUARES_MAX), text);
	assert_string_equal(text, "333333333332833333333333500000000000");
	assert_int_equal(squares_format(~(squares_sum)0, text), 39);
	assert_string_equal(text, "340282366920938463463374607431768211455");
}

static void the_scalar_kernel_is_always_there_and_unknown_ones_never(void **state)
{
	(void)state;
	assert_non_null(squares_kernel_find("auto"));
	assert_string_equal(squares_kernel_find("scalar")->name, "scalar");
	assert_null(squares_kernel_find("mmx"));
}

static void inputs_give_their_sums_whatever_the_instructions(void **state)
{
	static const char *const inputs[][2] = {
		{"0", "0"},
		{"1", "0"},
		{"2", "1"},
		{"10", "285"},
		{"007", "91"},
		{"5000019", "41667129168377502109"},
	};
	const struct squares_kernel *kernels;
	size_t n;

	(void)state;
	kernels = squares_kernels(&n);
	for (size_t k = 0; k < n; k++) {
		struct harness *h;

		if (!kernels[k].supported())
			continue;
		h = harness_open("plugins/squares");
		harness_param(h, "simd", kernels[k].name);
		assert_int_equal(harness_start(h), 0);
		for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
			struct harness_task *t = harness_add(h, inputs[i][0]);

			harness_run(h);
			assert_int_equal(t->returned, 0);
			assert_string_equal(t->result, inputs[i][1]);
		}
		harness_close(h);
	}
}

static void a_huge_number_is_divided_and_its_sum_is_the_same(void **state)
{
	static const struct {
		const char *input;
		uint64_t n;
		uint32_t workers, parts;
	} cases[] = {
		{"1000000000", UINT64_C(1000000000), 1, 0}, /* nobody to share it with */
		{"268435455", UINT64_C(268435455), 8, 0}, /* not worth it */
		{"268435457", UINT64_C(268435457), 8, 2},
		{"1000000007", UINT64_C(1000000007), 100, 7},
		{"2000000000", UINT64_C(2000000000), 2, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct harness *h = harness_open("plugins/squares");
		char wanted[SQUARES_SUM_CHARS];
		struct harness_task *t;

		harness_workers(h, cases[i].workers);
		assert_int_equal(harness_start(h), 0);
		t = harness_add(h, cases[i].input);
		harness_run(h);
		squares_format(closed_form(cases[i].n), wanted);
		assert_int_equal(t->returned, 0);
		assert_string_equal(t->result, wanted);
		assert_int_equal(t->n_parts, cases[i].parts);
		harness_close(h);
	}
}

static void what_is_not_a_number_in_range_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *input;
		size_t len;
		const char *why;
	} cases[] = {
		{"", 0, "empty"},
		{"-1", 2, "'-1' is not a number"},
		{"+1", 2, "decimal digits only"},
		{" 1", 2, "decimal digits only"},
		{"1 ", 2, "decimal digits only"},
		{"1\n", 2, "'1?'"},
		{"1\0", 2, "'1?'"},
		{"0x10", 4, "decimal digits only"},
		{"1e3", 3, "decimal digits only"},
		{"ten", 3, "'ten'"},
		{"1.5", 3, "decimal digits only"},
		{"\xd9\xa1", 2, "decimal digits only"},
		{"1000000000001", 13, "too large: at most 1000000000000"},
		{"18446744073709551616", 20, "too large"},
		{"99999999999999999999999999999999999999999999999999", 50, "9999... is too large"},
	};
	struct harness *h = harness_open("plugins/squares");

	(void)state;
	assert_int_equal(harness_start(h), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct harness_task *t = harness_add_bytes(h, cases[i].input, cases[i].len);

		harness_run(h);
		assert_int_not_equal(t->returned, 0);
		assert_int_equal(t->why, CONCD_FAIL_INPUT);
		assert_null(t->result);
		if (strstr(t->failure, cases[i].why) == NULL)
			fail_msg("'%s' lacks '%s'", t->failure, cases[i].why);
	}
	harness_close(h);
}

static void a_cancelled_sum_ends_early(void **state)
{
	struct harness *h = harness_open("plugins/squares");
	struct harness_task *t;

	(void)state;
	assert_int_equal(harness_start(h), 0);
	t = harness_add(h, "1000000000000"); /* would take a minute */
	t->cancel_at = 3;
	harness_run(h);
	assert_int_equal(t->returned, -ECANCELED);
	assert_int_equal(t->n_cancelled, 4);
	assert_true(t->progress > 0 && t->progress < 0.001);
	assert_null(t->result);
	harness_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kernel_gives_the_exact_sum_of_any_range),
		cmocka_unit_test(sums_are_written_in_decimal),
		cmocka_unit_test(the_scalar_kernel_is_always_there_and_unknown_ones_never),
		cmocka_unit_test(inputs_give_their_sums_whatever_the_instructions),
		cmocka_unit_test(a_huge_number_is_divided_and_its_sum_is_the_same),
		cmocka_unit_test(what_is_not_a_number_in_range_is_refused_with_the_reason),
		cmocka_unit_test(a_cancelled_sum_ends_early),
	};

	return cmocka_run_group_tests_name("squares", tests, NULL, NULL);
}
