/* Base64 (RFC 4648, with padding). Any thread. */
#ifndef CONCD_CONTROL_BASE64_H
#define CONCD_CONTROL_BASE64_H

#include <stddef.h>
#include <stdint.h>

static inline size_t base64_encoded_bytes(size_t len)
{
	return (len + 2) / 3 * 4;
}

uint8_t *base64_encode(const uint8_t *data, size_t len, uint8_t *at); /* returns behind what it wrote */
/* At most len / 4 * 3 bytes. 0 or -EBADMSG: another character, wrong padding or length. */
int base64_decode(const char *text, size_t len, uint8_t *data, size_t *ret_len);

#endif
