/* Sums of squares, element by element: the work of the squares plugin, in one kernel per instruction set.
 *
 * Every kernel really squares and adds every number: none uses the closed form, and barriers keep the compiler from
 * finding it (clang folds the plain loop). All give the same exact 128-bit sum.
 */
#ifndef CONCD_PLUGINS_SQUARES_KERNELS_H
#define CONCD_PLUGINS_SQUARES_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers up to here, so that a square has at most 80 bits and the sum 120. */
#define SQUARES_MAX UINT64_C(1000000000000)

typedef unsigned __int128 squares_sum;

struct squares_kernel {
	const char *name;
	bool (*supported)(void); /* by the processor this runs on */
	/* The sum of i * i for begin <= i < end <= SQUARES_MAX. Any thread; a few ms for 2^22 numbers. */
	squares_sum (*sum)(uint64_t begin, uint64_t end);
};

/* The kernels of this architecture, slowest first; the first one, "scalar", is supported everywhere. */
const struct squares_kernel *squares_kernels(size_t *ret_n);
/* The kernel called name; "auto": the fastest supported. NULL: not known, or not supported here. */
const struct squares_kernel *squares_kernel_find(const char *name);

#define SQUARES_SUM_CHARS 40
/* The sum in decimal, NUL-terminated. Returns its length. */
size_t squares_format(squares_sum sum, char ret_text[SQUARES_SUM_CHARS]);

#endif
