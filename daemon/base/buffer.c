/* Growable bytes and varints. */
#include "buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_MIN_BYTES 64

void buffer_fini(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer)BUFFER_INIT;
}

int buffer_reserve(struct buffer *b, size_t more)
{
	size_t want, cap = b->cap;
	uint8_t *data;

	if (b->cap - b->len >= more)
		return 0;
	if (__builtin_add_overflow(b->len, more, &want) || want > SIZE_MAX / 2)
		return -ENOMEM;
	if (cap < BUFFER_MIN_BYTES)
		cap = BUFFER_MIN_BYTES;
	while (cap < want)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int buffer_add(struct buffer *b, const void *data, size_t len)
{
	if (buffer_reserve(b, len) < 0)
		return -ENOMEM;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int buffer_add_varint(struct buffer *b, uint64_t value)
{
	if (buffer_reserve(b, VARINT_MAX_BYTES) < 0)
		return -ENOMEM;
	b->len = (size_t)(varint_put(b->data + b->len, value) - b->data);
	return 0;
}

int buffer_add_text(struct buffer *b, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (buffer_reserve(b, len + VARINT_MAX_BYTES) < 0)
		return -ENOMEM;
	(void)buffer_add_varint(b, len); /* room was reserved for both */
	return buffer_add(b, text, len);
}

int buffer_add_strings(struct buffer *b, ...)
{
	const char *string;
	va_list ap;
	int r = 0;

	va_start(ap, b);
	while (r == 0 && (string = va_arg(ap, const char *)))
		r = buffer_add(b, string, strlen(string));
	va_end(ap);
	return r;
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list ap, again;
	size_t room = b->cap - b->len;
	int n, r = 0;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(room > 0 ? (char *)b->data + b->len : NULL, room, format, ap);
	if (n < 0 || buffer_reserve(b, (size_t)n + 1) < 0)
		r = -ENOMEM;
	else if ((size_t)n >= room) /* it did not fit */
		(void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, format, again); /* measured just now */
	if (r == 0)
		b->len += (size_t)n;
	va_end(again);
	va_end(ap);
	return r;
}

const uint8_t *varint_get_long(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64 && at < end; shift += 7) {
		uint8_t byte = *at++;

		if (shift == 63 && byte > 1)
			return NULL;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_value = value;
			return at;
		}
	}
	return NULL;
}

uint64_t reader_varint(struct reader *r)
{
	uint64_t value = 0;
	const uint8_t *at = r->failed ? NULL : varint_get(r->at, r->end, &value);

	if (!at) {
		r->failed = true;
		return 0;
	}
	r->at = at;
	return value;
}

const uint8_t *reader_bytes(struct reader *r, size_t *ret_len)
{
	const uint8_t *data = NULL;
	const uint8_t *at = r->failed ? NULL : packed_next(r->at, r->end, &data, ret_len);

	if (!at) {
		r->failed = true;
		*ret_len = 0;
		return r->at;
	}
	r->at = at;
	return data;
}

char *reader_text(struct reader *r)
{
	size_t len;
	const uint8_t *data = reader_bytes(r, &len);
	char *text = r->failed || memchr(data, 0, len) ? NULL : malloc(len + 1);

	if (!text) {
		r->failed = true;
		return NULL;
	}
	memcpy(text, data, len);
	text[len] = '\0';
	return text;
}
