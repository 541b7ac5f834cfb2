/* squares_scalar: the yardstick for computing: sums of squares, one number after another on one thread.
 *
 *	squares_scalar N...	prints the sum of i*i for i in 0..N-1 for each N, and on standard error the milliseconds
 *
 * Compilers know the closed form of this sum and would compute nothing; an empty asm statement that could change i
 * keeps them from it, at no cost of its own.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common.h"

__extension__ typedef unsigned __int128 sum128; /* 5,000,019 already needs more than 64 bits */

static sum128 squares(uint64_t n)
{
	sum128 sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t x = i;

		__asm__("" : "+r"(x));
		sum += (sum128)x * x;
	}
	return sum;
}

static void print(sum128 sum)
{
	char text[40], *p = text + sizeof(text);

	*--p = '\0';
	do {
		*--p = (char)('0' + (int)(sum % 10));
		sum /= 10;
	} while (sum > 0);
	(void)puts(p);
}

int main(int argc, char **argv)
{
	sum128 *sums = bench_alloc((size_t)argc, sizeof(*sums));
	int64_t start_ns = bench_now_ns(), wall_ns;

	if (argc < 2)
		bench_die("usage: squares_scalar N...");
	for (int i = 1; i < argc; i++)
		sums[i] = squares(bench_number(argv[i], "N", 0, UINT64_C(1000000000000)));
	wall_ns = bench_now_ns() - start_ns;
	for (int i = 1; i < argc; i++)
		print(sums[i]);
	(void)fprintf(stderr, "%.3f\n", (double)wall_ns / 1e6);
	free(sums);
	return 0;
}
