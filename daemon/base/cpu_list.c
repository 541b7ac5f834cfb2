/* Lists of processors. */
#include "cpu_list.h"

#include <errno.h>
#include <stdbool.h>

/* A decimal number at *at, which moves behind it. */
static int take_number(const char **at, unsigned int *ret_number)
{
	unsigned int number = 0;
	const char *c = *at;

	if (*c < '0' || *c > '9')
		return -EINVAL;
	for (; *c >= '0' && *c <= '9'; c++) {
		number = number * 10 + (unsigned int)(*c - '0');
		if (number >= CPU_SETSIZE)
			return -ERANGE;
	}
	*at = c;
	*ret_number = number;
	return 0;
}

int cpu_list_parse(const char *text, cpu_set_t *ret_set)
{
	cpu_set_t set;
	int r;

	CPU_ZERO(&set);
	for (;;) {
		unsigned int first, last;

		r = take_number(&text, &first);
		if (r < 0)
			return r;
		last = first;
		if (*text == '-') {
			text++;
			r = take_number(&text, &last);
			if (r < 0)
				return r;
			if (last < first)
				return -EINVAL;
		}
		for (unsigned int i = first; i <= last; i++)
			CPU_SET(i, &set);
		if (*text == '\0')
			break;
		if (*text++ != ',')
			return -EINVAL;
	}
	*ret_set = set;
	return 0;
}
