/* Streams of JSON lines and packed outcomes: the same whatever the pieces they come in. The first byte is the length of a
 * piece. */
#include "fuzz.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/io.h"
#include "ctl/ctl.h"
#include "ctl/lines.h"
#include "ctl/stream.h"

static int feed(const uint8_t *data, size_t size, size_t step, struct buffer *seen)
{
	static const struct ctl ctl = { .json = true, .quiet = true };
	int fd = memfd_create("lines", MFD_CLOEXEC), r = 0;
	struct stream *s = fd < 0 ? NULL : stream_new(&ctl, fd);
	struct error err = ERROR_INIT;
	ssize_t n_read;

	FUZZ_CHECK(s);
	while (size > 0 && r == 0) {
		size_t n = size < step ? size : step;
		uint8_t *piece = fuzz_copy(data, n);

		r = lines_feed(s, piece, n, &err);
		free(piece);
		data += n;
		size -= n;
	}
	FUZZ_CHECK(r == 0 || r == -ENOMEM || (err.code && *err.text));
	FUZZ_CHECK(out_flush(&s->out) == 0);
	FUZZ_CHECK(buffer_reserve(seen, s->out.written + 1) == 0);
	n_read = io_pread_full(fd, seen->data, s->out.written, 0);
	FUZZ_CHECK(n_read >= 0 && (uint64_t)n_read == s->out.written);
	seen->len = (size_t)n_read;
	stream_free(s);
	(void)close(fd);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buffer_ struct buffer whole = BUFFER_INIT, pieces = BUFFER_INIT;
	size_t step = 1 + (size_t)fuzz_byte(&data, &size);
	int r = feed(data, size, size + 1, &whole);

	FUZZ_CHECK(feed(data, size, step, &pieces) == r);
	FUZZ_CHECK(r < 0 || (whole.len == pieces.len && (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0)));
	return 0;
}
