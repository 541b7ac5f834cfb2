/* squares_scalar: the yardstick for computing: sums of squares, one number after another.
 *
 *	squares_scalar [-t THREADS] N...	prints the sum of i*i for i in 0..N-1 for each N, and on standard error the
 *						milliseconds; each N is shared by that many threads (1)
 *
 * Compilers know the closed form of this sum and would compute nothing; an empty asm statement that could change i
 * keeps them from it, at no cost of its own.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

__extension__ typedef unsigned __int128 sum128; /* 5,000,019 already needs more than 64 bits */

#define THREADS_MAX 64

struct share {
	pthread_t thread;
	uint64_t begin, end;
	sum128 sum;
};

static void *add_up(void *arg)
{
	struct share *share = arg;
	sum128 sum = 0;

	for (uint64_t i = share->begin; i < share->end; i++) {
		uint64_t x = i;

		__asm__("" : "+r"(x));
		sum += (sum128)x * x;
	}
	share->sum = sum;
	return NULL;
}

/* The first share is this thread's. */
static sum128 squares(uint64_t n, uint64_t n_threads)
{
	struct share shares[THREADS_MAX];
	sum128 sum = 0;

	for (uint64_t t = n_threads; t-- > 0;) {
		shares[t] = (struct share){.begin = n / n_threads * t, .end = t + 1 < n_threads ? n / n_threads * (t + 1) : n};
		if (t == 0)
			(void)add_up(&shares[t]);
		else if (pthread_create(&shares[t].thread, NULL, add_up, &shares[t]) != 0)
			bench_die("no thread");
	}
	for (uint64_t t = 0; t < n_threads; t++) {
		if (t > 0)
			(void)pthread_join(shares[t].thread, NULL);
		sum += shares[t].sum;
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
	uint64_t n_threads = 1;
	int first = 1;

	if (argc > 2 && strcmp(argv[1], "-t") == 0) {
		n_threads = bench_number(argv[2], "THREADS", 1, THREADS_MAX);
		first = 3;
	}
	if (argc <= first)
		bench_die("usage: squares_scalar [-t THREADS] N...");
	for (int i = first; i < argc; i++)
		sums[i] = squares(bench_number(argv[i], "N", 0, UINT64_C(1000000000000)), n_threads);
	wall_ns = bench_now_ns() - start_ns;
	for (int i = first; i < argc; i++)
		print(sums[i]);
	(void)fprintf(stderr, "%.3f\n", (double)wall_ns / 1e6);
	free(sums);
	return 0;
}
