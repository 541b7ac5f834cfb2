/* Lists of processors as people write them: "0-3,6". Any thread. */
#ifndef CONCD_BASE_CPU_LIST_H
#define CONCD_BASE_CPU_LIST_H

#include <sched.h>

/* Numbers and ascending ranges, separated by commas, without spaces. 0; -EINVAL; -ERANGE: a number from CPU_SETSIZE
 * (1024) on. */
int cpu_list_parse(const char *text, cpu_set_t *ret_set);

#endif
