/* Numbers, durations and sizes as people write them. Strict: the whole text must be the value. Any thread. */
#ifndef CONCD_BASE_TEXT_H
#define CONCD_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digits.h"

/* Decimal digits only. 0; -EINVAL for anything else; -ERANGE over 64 bits. */
int text_parse_u64(const char *text, uint64_t *ret_value);
/* "3,5,9" into at most `most` numbers (NULL: they are only checked). How many; -EINVAL for anything else; -ERANGE over 64 bits; -E2BIG. */
int text_parse_u64_list(const char *text, uint64_t *ret_values, size_t most);
int text_parse_i64(const char *text, int64_t *ret_value); /* with an optional '-' in front */
int text_parse_double(const char *text, double *ret_value); /* finite only; independent of the locale */
int text_parse_bool(const char *text, bool *ret_value); /* true false yes no on off 1 0 */

/* "500ms", "10s", "1.5h"; units ns us ms s m h d; "0" needs none. Nanoseconds. 0, -EINVAL, -ERANGE. */
int text_parse_duration(const char *text, int64_t *ret_ns);
/* "64M", "1.5G", "4096"; units K M G T of 1,024, "B" or "iB" may follow. Bytes. 0, -EINVAL, -ERANGE. */
int text_parse_size(const char *text, uint64_t *ret_bytes);

#define TEXT_DURATION_BYTES 32
/* "812 us", "1.25 s", "3 m 20 s": for people. */
void text_format_duration(int64_t ns, char ret_text[TEXT_DURATION_BYTES]);
/* "512 B", "1.5 MiB": for people. */
void text_format_size(uint64_t bytes, char ret_text[TEXT_DURATION_BYTES]);

/* The name nearest to `word` among n names, for "did you mean"; NULL where none is near enough to be meant.
 * name_at(names, i) gives the i-th name. */
const char *text_nearest(const char *word, const void *names, size_t n,
			 const char *(*name_at)(const void *names, size_t i));

bool text_is_utf8(const void *data, size_t len);

/* Write a number in decimal digits. Returns behind them; there may be bytes without meaning there, within the room. */
#define TEXT_U64_BYTES 20
uint8_t *text_put_long_u64(uint8_t *at, uint64_t value); /* of 10^8 or more */
static inline uint8_t *text_put_u64(uint8_t *at, uint64_t value)
{
	uint64_t digits;
	int skip;

	if (value < 10) {
		*at = (uint8_t)('0' + value);
		return at + 1;
	}
	if (value >= 100000000)
		return text_put_long_u64(at, value);
	digits = digits_of_eight((uint32_t)value);
	skip = __builtin_ctzll(digits) / 8; /* zeros in front; what the word has behind the digits is overwritten */
	digits_put(at, (digits | DIGITS_ZEROS) >> 8 * skip);
	return at + 8 - skip;
}
#define TEXT_NUMBER_BYTES (TEXT_U64_BYTES + 1)
/* The same as a string; returns ret_text. A format takes ten times as long. */
const char *text_u64(uint64_t value, char ret_text[TEXT_NUMBER_BYTES]);
const char *text_i64(int64_t value, char ret_text[TEXT_NUMBER_BYTES]);

/* Write a JSON string, with its quotes; the bytes are UTF-8. At most 6 * len + 2 bytes. Returns behind it. */
uint8_t *text_put_json(uint8_t *at, const uint8_t *data, size_t len);

#endif
