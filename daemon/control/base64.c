/* Base64. */
#include "control/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint8_t *base64_encode(const uint8_t *data, size_t len, uint8_t *at)
{
	for (; len >= 3; len -= 3, data += 3) {
		uint32_t v = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];

		for (unsigned int shift = 24; shift > 0; at++) {
			shift -= 6;
			*at = (uint8_t)alphabet[v >> shift & 63];
		}
	}
	if (len > 0) {
		uint32_t v = (uint32_t)data[0] << 16 | (len > 1 ? (uint32_t)data[1] << 8 : 0);

		*at++ = (uint8_t)alphabet[v >> 18 & 63];
		*at++ = (uint8_t)alphabet[v >> 12 & 63];
		*at++ = len > 1 ? (uint8_t)alphabet[v >> 6 & 63] : '=';
		*at++ = '=';
	}
	return at;
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t len, uint8_t *data, size_t *ret_len)
{
	size_t pad = 0, n = 0;

	if (len % 4 != 0)
		return -EBADMSG;
	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int six = i + k >= len - pad ? 0 : value_of(text[i + k]);

			if (six < 0)
				return -EBADMSG;
			v = v << 6 | (uint32_t)six;
		}
		data[n++] = (uint8_t)(v >> 16);
		if (i + 4 < len || pad < 2)
			data[n++] = (uint8_t)(v >> 8);
		if (i + 4 < len || pad < 1)
			data[n++] = (uint8_t)v;
	}
	*ret_len = n;
	return 0;
}
