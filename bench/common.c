/* Clock, percentiles, arguments. */
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t bench_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_share(double *values, size_t n, double share)
{
	qsort(values, n, sizeof(*values), compare);
	return values[(size_t)((double)(n - 1) * share + 0.5)];
}

uint64_t bench_number(const char *text, const char *what, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < min || value > max)
		bench_die("%s: '%s' is no number from %llu to %llu", what, text, (unsigned long long)min,
			  (unsigned long long)max);
	return value;
}

void *bench_alloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	if (!p)
		bench_die("out of memory");
	return p;
}

void bench_die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	exit(1);
}
