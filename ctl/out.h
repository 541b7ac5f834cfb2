/* What results are written through: gathers small pieces, passes large ones on, one write per block. */
#ifndef CONCD_CTL_OUT_H
#define CONCD_CTL_OUT_H

#include <stddef.h>
#include <stdint.h>

#define OUT_BYTES (256u << 10)

struct out {
	int fd;
	int error; /* 0, or the first -errno of a write: everything after it is dropped. -EINTR: a signal came */
	size_t len;
	uint64_t written; /* bytes that were passed on */
	uint8_t data[OUT_BYTES];
};

void out_init(struct out *out, int fd);
void out_add(struct out *out, const void *data, size_t len);
void out_printf(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Where `len` bytes may be written, after which out_took() says how many were; NULL: it is more than OUT_BYTES. */
uint8_t *out_room(struct out *out, size_t len);
static inline void out_took(struct out *out, size_t len)
{
	out->len += len;
}
/* Write what was gathered. 0 or out->error. */
int out_flush(struct out *out);

#endif
