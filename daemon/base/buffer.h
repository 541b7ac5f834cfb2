/* A growable run of bytes, and the encodings this project puts into one.
 *
 * *Packed inputs*, the form in which a job's inputs travel and rest everywhere behind the socket, are a sequence of
 * (length as LEB128 varint, bytes): any byte may occur in an input, short ones cost one byte more than their text, and
 * consecutive tasks are one memcpy.
 */
#ifndef CONCD_BASE_BUFFER_H
#define CONCD_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

struct buffer {
	uint8_t *data; /* owned; NULL while cap is 0 */
	size_t len;
	size_t cap;
};

#define BUFFER_INIT { .data = NULL, .len = 0, .cap = 0 }
#define VARINT_MAX_BYTES 10

void buffer_fini(struct buffer *b); /* frees; the buffer is empty and usable again */
#define _cleanup_buffer_ _cleanup_(buffer_fini)

/* Make room for `more` bytes behind len. 0 or -ENOMEM. */
int buffer_reserve(struct buffer *b, size_t more);
/* Append. 0 or -ENOMEM, and then unchanged. */
int buffer_add(struct buffer *b, const void *data, size_t len);
int buffer_add_varint(struct buffer *b, uint64_t value);
int buffer_add_text(struct buffer *b, const char *text); /* varint length, bytes; NULL is written as empty */
/* Append the strings up to a NULL; faster than a format by far. 0; -ENOMEM, and then some may have been appended. */
int buffer_add_strings(struct buffer *b, ...) __attribute__((sentinel));
int buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Write a varint at `at` (VARINT_MAX_BYTES must be there); returns behind it. */
static inline uint8_t *varint_put(uint8_t *at, uint64_t value)
{
	while (value >= 0x80) {
		*at++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8_t)value;
	return at;
}

/* Read a varint from untrusted bytes: returns behind it, or NULL where it runs past `end` or over 64 bits. */
const uint8_t *varint_get_long(const uint8_t *at, const uint8_t *end, uint64_t *ret_value);

static inline const uint8_t *varint_get(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
	if (at < end && *at < 0x80) {
		*ret_value = *at;
		return at + 1;
	}
	return varint_get_long(at, end, ret_value);
}

/* One packed input at `at`: returns behind it and points ret_data into the run, or NULL where it is cut or malformed. */
static inline const uint8_t *packed_next(const uint8_t *at, const uint8_t *end, const uint8_t **ret_data,
					 size_t *ret_len)
{
	uint64_t len;

	at = varint_get(at, end, &len);
	if (!at || len > (uint64_t)(end - at))
		return NULL;
	*ret_data = at;
	*ret_len = (size_t)len;
	return at + len;
}

/* A reader of what buffer_add_* wrote, for messages and rows. After a failed read `failed` stays set and every later
 * read returns 0 or an empty run, so that a message can be read whole and checked once. */
struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

#define READER_INIT(data_, len_) { .at = (data_), .end = (const uint8_t *)(data_) + (len_), .failed = false }
uint64_t reader_varint(struct reader *r);
const uint8_t *reader_bytes(struct reader *r, size_t *ret_len); /* varint length, bytes; points into the input */
char *reader_text(struct reader *r); /* the same as a new NUL-terminated string; the caller frees; NULL on failure */

#endif
