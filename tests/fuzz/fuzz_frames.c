/* Frames of a result stream: the same whatever the pieces they come in. The first byte is the length of a piece. */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/error.h"
#include "ctl/frames.h"

static int on_results(void *ctx, uint64_t count, uint64_t bytes)
{
	return buffer_printf(ctx, "[%llu/%llu:", (unsigned long long)count, (unsigned long long)bytes);
}

static int on_bytes(void *ctx, const uint8_t *data, size_t len)
{
	return buffer_add(ctx, data, len);
}

static int on_results_end(void *ctx)
{
	return buffer_add(ctx, "]", 1);
}

static int on_frame(void *ctx, const char *type, const json_t *json)
{
	FUZZ_CHECK(json_is_object(json));
	return buffer_printf(ctx, "<%s>", type);
}

static const struct frames_ops ops = {
	.on_results = on_results,
	.on_bytes = on_bytes,
	.on_results_end = on_results_end,
	.on_frame = on_frame,
};

static int feed(const uint8_t *data, size_t size, size_t step, struct buffer *seen)
{
	struct error err = ERROR_INIT;
	struct frames frames;
	int r = 0;

	frames_init(&frames, &ops, seen);
	while (size > 0 && r == 0) {
		size_t n = size < step ? size : step;
		uint8_t *piece = fuzz_copy(data, n);

		r = frames_feed(&frames, piece, n, &err);
		free(piece);
		data += n;
		size -= n;
	}
	FUZZ_CHECK(r == 0 || (err.code && *err.text));
	frames_fini(&frames);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buffer_ struct buffer whole = BUFFER_INIT, pieces = BUFFER_INIT;
	size_t step = 1 + (size_t)fuzz_byte(&data, &size);

	FUZZ_CHECK(feed(data, size, SIZE_MAX, &whole) == feed(data, size, step, &pieces));
	FUZZ_CHECK(whole.len == pieces.len && (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0));
	return 0;
}
