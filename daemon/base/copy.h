/* Copies of a few bytes whose number the compiler does not know: a call of memcpy() costs more than they do. */
#ifndef CONCD_BASE_COPY_H
#define CONCD_BASE_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The loads of one size may overlap, together they are all bytes; as each comes before each store, so may `to` and
 * `from`. */
#define COPY_BOTH_ENDS(type, to, from, len)                                     \
	do {                                                                    \
		type copy_first, copy_last;                                     \
		memcpy(&copy_first, (from), sizeof(type));                      \
		memcpy(&copy_last, (from) + (len) - sizeof(type), sizeof(type)); \
		memcpy((to), &copy_first, sizeof(type));                        \
		memcpy((to) + (len) - sizeof(type), &copy_last, sizeof(type));  \
	} while (0)

/* memmove() that is quick up to 16 bytes. Pointers may be NULL where len is 0. */
static inline void copy_bytes(void *to, const void *from, size_t len)
{
	uint8_t *at = to;
	const uint8_t *data = from;

	if (len > 16)
		memmove(at, data, len);
	else if (len >= 8)
		COPY_BOTH_ENDS(uint64_t, at, data, len);
	else if (len >= 4)
		COPY_BOTH_ENDS(uint32_t, at, data, len);
	else if (len >= 2)
		COPY_BOTH_ENDS(uint16_t, at, data, len);
	else if (len == 1)
		*at = *data;
}

#endif
