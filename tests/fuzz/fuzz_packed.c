/* Packed inputs cut into rows, and the reader of messages and rows. */
#include "fuzz.h"

#include "base/buffer.h"
#include "jobs/inputs.h"
#include "store/store.h"

/* What fills the window, which these calls do not reach. */
void store_read(struct store *store, struct store_read *read)
{
	(void)store;
	(void)read;
	abort();
}

void store_read_fini(struct store_read *read)
{
	(void)read;
	abort();
}

static void check_cut(const uint8_t *data, size_t size, size_t max_input_bytes)
{
	struct input_row *rows = NULL;
	size_t n = 0, bytes = 0;
	int64_t count = inputs_cut(data, size, 77, max_input_bytes, &rows, &n);
	uint64_t next = 77;

	for (size_t i = 0; count >= 0 && i < n; i++) {
		const uint8_t *at = rows[i].packed, *end = at + rows[i].bytes, *input;
		size_t len;

		FUZZ_CHECK(rows[i].first == next && rows[i].count > 0);
		for (uint32_t k = 0; k < rows[i].count; k++) {
			FUZZ_CHECK(k % 64 != 0 || rows[i].offsets[k / 64] == (size_t)(at - rows[i].packed));
			at = packed_next(at, end, &input, &len);
			FUZZ_CHECK(at && len <= max_input_bytes);
		}
		FUZZ_CHECK(at == end && memcmp(rows[i].packed, data + bytes, rows[i].bytes) == 0);
		bytes += rows[i].bytes;
		next += rows[i].count;
	}
	FUZZ_CHECK(count < 0 || (bytes == size && next == 77 + (uint64_t)count));
	input_rows_free(rows, n);
}

static void check_reader(const uint8_t *data, size_t size)
{
	struct reader r = READER_INIT(data, size);

	while (!r.failed && r.at < r.end) {
		uint8_t written[VARINT_MAX_BYTES];
		const uint8_t *bytes;
		uint64_t value = reader_varint(&r), again;
		size_t len;
		char *text;

		FUZZ_CHECK(varint_get(written, varint_put(written, value), &again) && again == value);
		bytes = reader_bytes(&r, &len);
		FUZZ_CHECK(len == 0 || (bytes >= data && bytes + len <= data + size));
		text = reader_text(&r);
		FUZZ_CHECK(!text == r.failed);
		free(text);
	}
	if (r.failed)
		FUZZ_CHECK(reader_varint(&r) == 0 && !reader_text(&r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_cut(data, size, 1u << 20);
	check_cut(data, size, 100);
	check_reader(data, size);
	return 0;
}
