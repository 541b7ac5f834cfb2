/* Copies of a few bytes whose number the compiler does not know: a call of memcpy() costs more than they do. */
#ifndef CONCD_BASE_COPY_H
#define CONCD_BASE_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* memmove() that is quick below 16 bytes. Pointers may be NULL where len is 0.
 *
 * Short ones go in pieces of 8, 4, 2 and 1 bytes that do not overlap: what is copied on soon after goes in the same pieces,
 * and a processor hands a load what it has not yet written out only where one store has all of it. All loads come before
 * the first store, so that `to` and `from` may overlap. */
static inline void copy_bytes(void *to, const void *from, size_t len)
{
	const size_t at4 = len & 8, at2 = len & 12, at1 = len & 14; /* where the pieces lie */
	uint8_t *at = to;
	const uint8_t *data = from;
	uint64_t piece8 = 0;
	uint32_t piece4 = 0;
	uint16_t piece2 = 0;
	uint8_t piece1 = 0;

	if (len >= 16) {
		memmove(at, data, len);
		return;
	}
	if (len & 8)
		memcpy(&piece8, data, sizeof(piece8));
	if (len & 4)
		memcpy(&piece4, data + at4, sizeof(piece4));
	if (len & 2)
		memcpy(&piece2, data + at2, sizeof(piece2));
	if (len & 1)
		piece1 = data[at1];
	if (len & 8)
		memcpy(at, &piece8, sizeof(piece8));
	if (len & 4)
		memcpy(at + at4, &piece4, sizeof(piece4));
	if (len & 2)
		memcpy(at + at2, &piece2, sizeof(piece2));
	if (len & 1)
		at[at1] = piece1;
}

#endif
