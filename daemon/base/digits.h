/* Decimal digits, eight at once: what writes a million numbers a second is made of. Any thread. */
#ifndef CONCD_BASE_DIGITS_H
#define CONCD_BASE_DIGITS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define DIGITS_ZEROS UINT64_C(0x3030303030303030) /* what makes characters of eight digits */

/* Halves, quarters and single digits are divided side by side in one word, the first digit in its lowest byte. value < 10^8. */
static inline uint64_t digits_of_eight(uint32_t value)
{
	uint64_t word = value / 10000 | (uint64_t)(value % 10000) << 32;
	uint64_t hundreds = word * 10486 >> 20 & UINT64_C(0x0000007f0000007f); /* exact below 10000 */
	uint64_t tens;

	word = hundreds | (word - hundreds * 100) << 16;
	tens = word * 103 >> 10 & UINT64_C(0x000f000f000f000f); /* exact below 100 */
	return tens | (word - tens * 10) << 8;
}

static inline void digits_put(uint8_t *at, uint64_t word)
{
	word = htole64(word);
	memcpy(at, &word, sizeof(word));
}

#endif
