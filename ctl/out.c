/* Gathered output. */
#include "out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "interrupt.h"

#define DIRECT_BYTES (64u << 10) /* from here on, copying costs more than a write */

void out_init(struct out *out, int fd)
{
	out->fd = fd;
	out->error = 0;
	out->len = 0;
	out->written = 0;
}

/* Unlike io_write_full() this ends at a signal: a reader of standard output that has stopped must not hold Ctrl-C up.
 * */
static void write_all(struct out *out, const uint8_t *data, size_t len)
{
	while (len > 0 && !out->error) {
		ssize_t n = write(out->fd, data, len);

		if (n < 0 && errno == EINTR && !interrupt_signal())
			continue;
		if (n < 0) {
			out->error = -errno;
			return;
		}
		data += n;
		len -= (size_t)n;
		out->written += (size_t)n;
	}
}

int out_flush(struct out *out)
{
	size_t len = out->len;

	out->len = 0;
	write_all(out, out->data, len);
	return out->error;
}

void out_add(struct out *out, const void *data, size_t len)
{
	if (out->len + len > OUT_BYTES || len >= DIRECT_BYTES)
		(void)out_flush(out); /* remembered in out->error */
	if (len >= DIRECT_BYTES) {
		write_all(out, data, len);
		return;
	}
	memcpy(out->data + out->len, data, len);
	out->len += len;
}

uint8_t *out_room(struct out *out, size_t len)
{
	if (len > OUT_BYTES)
		return NULL;
	if (len > OUT_BYTES - out->len)
		(void)out_flush(out); /* remembered in out->error */
	return out->data + out->len;
}

void out_printf(struct out *out, const char *format, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n > 0)
		out_add(out, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}
