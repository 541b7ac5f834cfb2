/* What the yardsticks share. They are small programs of their own: nothing here is linked into concd. */
#ifndef CONCD_BENCH_COMMON_H
#define CONCD_BENCH_COMMON_H

#include <stddef.h>
#include <stdint.h>

int64_t bench_now_ns(void); /* CLOCK_MONOTONIC */
/* Sorts the values. share 0.5: the median. n is at least 1. */
double bench_share(double *values, size_t n, double share);
uint64_t bench_number(const char *text, const char *what, uint64_t min,
		      uint64_t max); /* ends the program if it is none */
void *bench_alloc(size_t count, size_t size); /* zeroed; ends the program when out of memory */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
