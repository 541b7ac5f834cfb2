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

/* Up to 7 bytes as a word, the first one lowest, zeros behind them. */
static inline uint64_t word_of_few(const uint8_t *data, size_t len)
{
	uint32_t first, last;

	if (len >= 4) {
		memcpy(&first, data, sizeof(first));
		memcpy(&last, data + len - sizeof(last), sizeof(last));
		return first | (uint64_t)last << (len - 4) * 8; /* where they overlap, they are the same */
	}
	if (len == 0)
		return 0;
	return data[0] | (uint64_t)data[len / 2] << len / 2 * 8 | (uint64_t)data[len - 1] << (len - 1) * 8;
}

#define COPY_WORDS_BYTES 16

/* Copy len bytes, of which only these are read, to where COPY_WORDS_BYTES or more are: of up to so many in stores of whole words,
 * so that whoever reads them on in words soon after does not wait for them; what is written behind the bytes says nothing. The
 * two may overlap. */
static inline void copy_to_words(void *to, const void *from, size_t len)
{
	const uint8_t *data = from;
	uint64_t low, high = 0;

	if (len > COPY_WORDS_BYTES) {
		memmove(to, from, len);
		return;
	}
	if (len >= 8) {
		memcpy(&low, data, sizeof(low));
		if (len > 8) {
			memcpy(&high, data + len - 8, sizeof(high));
			high >>= (16 - len) * 8;
		}
	} else {
		low = word_of_few(data, len);
	}
	memcpy(to, &low, sizeof(low));
	memcpy((uint8_t *)to + 8, &high, sizeof(high));
}

/* Copy len bytes in whole words: up to 7 more are read and written. They do not overlap. */
static inline void copy_words(void *to, const void *from, size_t len)
{
	if (len > COPY_WORDS_BYTES)
		memcpy(to, from, (len + 7) & ~(size_t)7);
	else if (len > 8)
		memcpy(to, from, 16);
	else if (len > 0)
		memcpy(to, from, 8);
}

#endif
