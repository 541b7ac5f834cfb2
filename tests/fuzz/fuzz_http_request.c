/* Requests: the head, percent-encoding, a chunked body; whatever the pieces they arrive in. */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/error.h"
#include "control/http_parse.h"

/* The end of the head does not depend on when one looked. */
static void check_head_end(const uint8_t *data, size_t size, size_t head_end)
{
	size_t seen = 0;

	for (size_t len = 0; len <= size && len < 300; len += 1 + len % 3) {
		size_t end = http_head_end(data, len, seen);

		FUZZ_CHECK(end == 0 || end == head_end);
		if (end != 0)
			return;
		seen = len;
	}
	FUZZ_CHECK(http_head_end(data, size, seen) == head_end);
}

static void check_inside(const char *text, const char *data, size_t size)
{
	FUZZ_CHECK(text >= data && text < data + size && memchr(text, 0, size - (size_t)(text - data)));
}

/* Decode in pieces of `step` bytes, in place. Returns the result; the decoded length in *ret_len. */
static int decode(uint8_t *data, size_t size, size_t step, size_t *ret_len, size_t *ret_used)
{
	struct http_chunks chunks = { .state = 0 };
	const uint8_t *at = data;
	uint8_t *out = data;
	int r = 0;

	while (r == 0 && at < data + size) {
		const uint8_t *end = (size_t)(data + size - at) > step ? at + step : data + size;

		r = http_chunks_decode(&chunks, &at, end, &out);
		FUZZ_CHECK(out <= at && at <= end && (r != 0 || at == end));
	}
	*ret_len = (size_t)(out - data);
	*ret_used = (size_t)(at - data);
	return r;
}

static void check_chunks(const uint8_t *data, size_t size)
{
	uint8_t *whole = fuzz_copy(data, size), *pieces = fuzz_copy(data, size);
	size_t len, len_in_pieces, used, used_in_pieces;
	int r = decode(whole, size, size + 1, &len, &used);

	FUZZ_CHECK(decode(pieces, size, 1, &len_in_pieces, &used_in_pieces) == r);
	FUZZ_CHECK(len == len_in_pieces && used == used_in_pieces && memcmp(whole, pieces, len) == 0);
	free(whole);
	free(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t empty = http_skip_empty(data, size), head_end = http_head_end(data + empty, size - empty, 0);
	struct error err = ERROR_INIT;
	struct http_head head;
	char *text;

	check_head_end(data + empty, size - empty, head_end);
	check_chunks(data, size);
	if (head_end == 0)
		head_end = size - empty; /* a head that was cut is refused, not read beyond */
	text = fuzz_copy(data + empty, head_end);
	if (http_parse_head(text, head_end, &head, &err) < 0) {
		FUZZ_CHECK(err.code && *err.text);
	} else {
		check_inside(head.method, text, head_end);
		check_inside(head.path, text, head_end);
		FUZZ_CHECK(head.path[0] == '/' && head.content_length >= -1);
		FUZZ_CHECK(!head.chunked || head.content_length < 0);
		if (head.query) {
			check_inside(head.query, text, head_end);
			FUZZ_CHECK(http_percent_decode(head.query) <= (long)head_end);
		}
		FUZZ_CHECK(http_percent_decode(head.path) <= (long)head_end);
		check_chunks(data + empty + head_end, size - empty - head_end);
	}
	free(text);
	return 0;
}
