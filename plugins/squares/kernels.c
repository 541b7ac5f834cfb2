/* Sums of squares, element by element (see kernels.h).
 *
 * The vector kernels write a number as i = b * 2^26 + j, j < 2^26, and multiply as on paper:
 *
 *	i * i = j*j + 2^27 * b*j + 2^52 * b*b
 *
 * b stays the same for 2^26 numbers, so a run of numbers keeps j in the lanes and b beside them. j*j has at most 52
 * bits: a 64-bit lane takes DRAIN of them before it must be emptied into the 128-bit sum. Below 2^26 (b = 0) one
 * multiplication a number is left. IFMA multiplies 52 bits at once and needs no parts.
 */
#include "kernels.h"

#include <string.h>

#define LOW_BITS 26
#define LOW_SIZE (UINT64_C(1) << LOW_BITS)
#define DRAIN 4096 /* additions of 52-bit numbers that fit in 64 bits */

static squares_sum sum_scalar(uint64_t begin, uint64_t end)
{
	squares_sum sum = 0;

	for (uint64_t i = begin; i < end; i++) {
		__asm__("" : "+r"(i)); /* or else the compiler replaces the loop by a formula */
		sum += (squares_sum)i * i;
	}
	return sum;
}

static bool always(void)
{
	return true;
}

#ifdef __x86_64__
#include <immintrin.h>

/* The vectors that a kernel takes in one step: four, because a multiplication's result comes 4-5 cycles later. */
#define UNROLL 4

/* Adds up `steps` <= DRAIN steps of UNROLL vectors, beginning with number b * 2^26 + j. */
typedef squares_sum run_fn(uint64_t b, uint64_t j, uint64_t steps);

/* Cut begin..end into runs for `run`, of `width` numbers a step, none crossing a multiple of 2^26. */
static inline squares_sum sum_runs(uint64_t begin, uint64_t end, uint64_t width, run_fn *run)
{
	squares_sum sum = 0;
	uint64_t i = begin;

	while (i < end) {
		uint64_t b = i >> LOW_BITS, j = i & (LOW_SIZE - 1);
		uint64_t left = LOW_SIZE - j < end - i ? LOW_SIZE - j : end - i;
		uint64_t steps = left / width;

		if (steps == 0) {
			sum += sum_scalar(i, i + left);
			i += left;
			continue;
		}
		if (steps > DRAIN)
			steps = DRAIN;
		sum += run(b, j, steps);
		i += steps * width;
	}
	return sum;
}

/* Put the parts of a run together: the sums of j*j and of b*j. */
static squares_sum join_parts(squares_sum sum_jj, uint64_t sum_bj, uint64_t b, uint64_t count)
{
	return sum_jj + ((squares_sum)sum_bj << (LOW_BITS + 1)) + ((squares_sum)(b * b * count) << (2 * LOW_BITS));
}

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f")))
#define IFMA __attribute__((target("avx512f,avx512ifma")))
#define INLINE static inline __attribute__((always_inline))

struct avx2 {
	__m256i j, jj, bj; /* numbers, and the sums of j*j and b*j */
};

AVX2 INLINE void step_avx2(struct avx2 *v, __m256i b, bool with_b)
{
	__asm__("" : "+x"(v->j)); /* as in sum_scalar */
	v->jj = _mm256_add_epi64(v->jj, _mm256_mul_epu32(v->j, v->j));
	if (with_b)
		v->bj = _mm256_add_epi64(v->bj, _mm256_mul_epu32(b, v->j));
	v->j = _mm256_add_epi64(v->j, _mm256_set1_epi64x(4 * UNROLL));
}

AVX2 INLINE void loop_avx2(struct avx2 v[UNROLL], uint64_t b, uint64_t steps, bool with_b)
{
	const __m256i high = _mm256_set1_epi64x((long long)b);
	struct avx2 v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3]; /* in registers */

	for (uint64_t s = 0; s < steps; s++) {
		step_avx2(&v0, high, with_b);
		step_avx2(&v1, high, with_b);
		step_avx2(&v2, high, with_b);
		step_avx2(&v3, high, with_b);
	}
	v[0] = v0;
	v[1] = v1;
	v[2] = v2;
	v[3] = v3;
}

AVX2 static squares_sum run_avx2(uint64_t b, uint64_t first, uint64_t steps)
{
	uint64_t lanes[4], sum_bj = 0;
	struct avx2 v[UNROLL];
	squares_sum sum_jj = 0;

	for (int k = 0; k < UNROLL; k++) {
		v[k].j = _mm256_add_epi64(_mm256_set1_epi64x((long long)first + 4 * k), _mm256_set_epi64x(3, 2, 1, 0));
		v[k].jj = v[k].bj = _mm256_setzero_si256();
	}
	if (b == 0)
		loop_avx2(v, b, steps, false);
	else
		loop_avx2(v, b, steps, true);
	for (int k = 0; k < UNROLL; k++) {
		_mm256_storeu_si256((__m256i *)(void *)lanes, v[k].jj);
		sum_jj += (squares_sum)lanes[0] + lanes[1] + lanes[2] + lanes[3];
		_mm256_storeu_si256((__m256i *)(void *)lanes, v[k].bj);
		sum_bj += lanes[0] + lanes[1] + lanes[2] + lanes[3]; /* DRAIN numbers of 40 bits each */
	}
	return join_parts(sum_jj, sum_bj, b, steps * 4 * UNROLL);
}

static squares_sum sum_avx2(uint64_t begin, uint64_t end)
{
	return sum_runs(begin, end, 4 * UNROLL, run_avx2);
}

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

/* The same with eight lanes. With IFMA the numbers are whole, not parts, and the sums those of the low and the high 52
 * bits of their squares. */
struct avx512 {
	__m512i j, low, high;
};

AVX512 static void fill_avx512(struct avx512 v[UNROLL], uint64_t first)
{
	for (int k = 0; k < UNROLL; k++) {
		v[k].j = _mm512_add_epi64(_mm512_set1_epi64((long long)first + 8 * k),
					  _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
		v[k].low = v[k].high = _mm512_setzero_si512();
	}
}

/* The sum of all lanes; a lane may use all of its 64 bits. */
AVX512 static void join_avx512(const struct avx512 v[UNROLL], squares_sum *ret_low, squares_sum *ret_high)
{
	uint64_t low[8], high[8];

	*ret_low = *ret_high = 0;
	for (int k = 0; k < UNROLL; k++) {
		_mm512_storeu_si512(low, v[k].low);
		_mm512_storeu_si512(high, v[k].high);
		for (int l = 0; l < 8; l++) {
			*ret_low += low[l];
			*ret_high += high[l];
		}
	}
}

AVX512 INLINE void step_avx512(struct avx512 *v, __m512i b, bool with_b)
{
	__asm__("" : "+v"(v->j));
	v->low = _mm512_add_epi64(v->low, _mm512_mul_epu32(v->j, v->j));
	if (with_b)
		v->high = _mm512_add_epi64(v->high, _mm512_mul_epu32(b, v->j));
	v->j = _mm512_add_epi64(v->j, _mm512_set1_epi64(8 * UNROLL));
}

AVX512 INLINE void loop_avx512(struct avx512 v[UNROLL], uint64_t b, uint64_t steps, bool with_b)
{
	const __m512i high = _mm512_set1_epi64((long long)b);
	struct avx512 v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3];

	for (uint64_t s = 0; s < steps; s++) {
		step_avx512(&v0, high, with_b);
		step_avx512(&v1, high, with_b);
		step_avx512(&v2, high, with_b);
		step_avx512(&v3, high, with_b);
	}
	v[0] = v0;
	v[1] = v1;
	v[2] = v2;
	v[3] = v3;
}

AVX512 static squares_sum run_avx512(uint64_t b, uint64_t first, uint64_t steps)
{
	squares_sum sum_jj, sum_bj;
	struct avx512 v[UNROLL];

	fill_avx512(v, first);
	if (b == 0)
		loop_avx512(v, b, steps, false);
	else
		loop_avx512(v, b, steps, true);
	join_avx512(v, &sum_jj, &sum_bj);
	return join_parts(sum_jj, (uint64_t)sum_bj, b, steps * 8 * UNROLL);
}

static squares_sum sum_avx512(uint64_t begin, uint64_t end)
{
	return sum_runs(begin, end, 8 * UNROLL, run_avx512);
}

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}

IFMA INLINE void step_ifma(struct avx512 *v, bool with_high)
{
	__asm__("" : "+v"(v->j));
	v->low = _mm512_madd52lo_epu64(v->low, v->j, v->j);
	if (with_high)
		v->high = _mm512_madd52hi_epu64(v->high, v->j, v->j);
	v->j = _mm512_add_epi64(v->j, _mm512_set1_epi64(8 * UNROLL));
}

IFMA INLINE void loop_ifma(struct avx512 v[UNROLL], uint64_t steps, bool with_high)
{
	struct avx512 v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3];

	for (uint64_t s = 0; s < steps; s++) {
		step_ifma(&v0, with_high);
		step_ifma(&v1, with_high);
		step_ifma(&v2, with_high);
		step_ifma(&v3, with_high);
	}
	v[0] = v0;
	v[1] = v1;
	v[2] = v2;
	v[3] = v3;
}

IFMA static squares_sum run_ifma(uint64_t b, uint64_t first, uint64_t steps)
{
	struct avx512 v[UNROLL];
	squares_sum low, high;

	fill_avx512(v, (b << LOW_BITS) + first);
	if (b == 0) /* the squares of numbers below 2^26 have no high bits */
		loop_ifma(v, steps, false);
	else
		loop_ifma(v, steps, true);
	join_avx512(v, &low, &high);
	return low + (high << (2 * LOW_BITS));
}

static squares_sum sum_ifma(uint64_t begin, uint64_t end)
{
	return sum_runs(begin, end, 8 * UNROLL, run_ifma);
}

static bool has_ifma(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma");
}
#endif /* __x86_64__ */

static const struct squares_kernel kernels[] = {
	{"scalar", always, sum_scalar},
#ifdef __x86_64__
	{"avx2", has_avx2, sum_avx2},
	{"avx512", has_avx512, sum_avx512},
	{"ifma", has_ifma, sum_ifma},
#endif
};

const struct squares_kernel *squares_kernels(size_t *ret_n)
{
	*ret_n = sizeof(kernels) / sizeof(kernels[0]);
	return kernels;
}

const struct squares_kernel *squares_kernel_find(const char *name)
{
	bool any = strcmp(name, "auto") == 0;
	size_t n = sizeof(kernels) / sizeof(kernels[0]);

	while (n-- > 0)
		if ((any || strcmp(name, kernels[n].name) == 0) && kernels[n].supported())
			return &kernels[n];
	return NULL;
}

size_t squares_format(squares_sum sum, char ret_text[SQUARES_SUM_CHARS])
{
	char digits[SQUARES_SUM_CHARS];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + (int)(sum % 10));
		sum /= 10;
	} while (sum != 0);
	for (size_t i = 0; i < n; i++)
		ret_text[i] = digits[n - 1 - i];
	ret_text[n] = '\0';
	return n;
}
