/* The numbers of steps. A task whose input is divided runs in steps: the splitting, its parts, and the combining of
 * their results. Each travels in chunks, and is remembered, under a number in the same 63 bits as those of tasks:
 *
 *	a task            its number in the job, below 2^45
 *	a step of a task  2^62 | task << 17 | step
 *	                  step: 0 the splitting (only as the name of a row: it travels under the task's own number),
 *	                  1 .. 65,536 the parts, 65,537 the combining
 *
 * So the parts of a task are consecutive numbers, those of two tasks never are, and every step is behind every task.
 */
#ifndef CONCD_RING_STEP_H
#define CONCD_RING_STEP_H

#include <stdbool.h>
#include <stdint.h>

#define STEP_BIT (UINT64_C(1) << 62)
#define STEP_BITS 17
#define STEP_TASKS (UINT64_C(1) << 45) /* tasks from here on cannot be divided */
#define STEP_PARTS_MAX UINT32_C(65536)

#define STEP_SPLIT UINT32_C(0)
#define STEP_FIRST_PART UINT32_C(1)
#define STEP_COMBINE (STEP_PARTS_MAX + 1)
#define STEP_END (UINT32_C(1) << STEP_BITS)

/* What the parts of one task may take together, packed: their inputs (or max_result, where that is less), and their
 * results, which are the input of the combining. */
#define STEP_INPUTS_BYTES (UINT32_C(4) << 20)
#define STEP_RESULTS_BYTES (UINT32_C(1) << 20)

static inline uint64_t step_number(uint64_t task, uint32_t step)
{
	return STEP_BIT | task << STEP_BITS | step;
}

static inline bool step_is(uint64_t number)
{
	return (number & STEP_BIT) != 0;
}

/* Whose number it is: the task's own number for a task. */
static inline uint64_t step_task(uint64_t number)
{
	return step_is(number) ? (number & ~STEP_BIT) >> STEP_BITS : number;
}

static inline uint32_t step_of(uint64_t number)
{
	return (uint32_t)number & (STEP_END - 1);
}

#endif
