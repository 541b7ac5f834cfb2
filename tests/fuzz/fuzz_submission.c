/* Bodies of submissions: the JSON of a job, its inputs in each form, and base64. */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/error.h"
#include "control/base64.h"
#include "control/spec.h"

static void check_packed(const struct buffer *packed, uint64_t count)
{
	const uint8_t *at = packed->data, *end = packed->len > 0 ? at + packed->len : at, *input;
	size_t len;

	while (at != end) {
		at = packed_next(at, end, &input, &len);
		FUZZ_CHECK(at && count > 0);
		count--;
	}
	FUZZ_CHECK(count == 0);
}

static void check_inputs(enum input_format format, const uint8_t *data, size_t size)
{
	_cleanup_buffer_ struct buffer packed = BUFFER_INIT;
	struct error err = ERROR_INIT;
	uint64_t count = 0;

	if (inputs_pack(format, data, size, &packed, &count, &err) == 0)
		check_packed(&packed, count);
	else
		FUZZ_CHECK(err.code && *err.text);
}

static void check_base64(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size / 4 * 3 + 1), *text = malloc(base64_encoded_bytes(size) + 1), *end;
	size_t len;

	FUZZ_CHECK(bytes && text);
	if (base64_decode((const char *)data, size, bytes, &len) == 0)
		FUZZ_CHECK(len <= size / 4 * 3);
	free(bytes);
	end = base64_encode(data, size, text);
	FUZZ_CHECK((size_t)(end - text) == base64_encoded_bytes(size));
	bytes = malloc(base64_encoded_bytes(size) / 4 * 3 + 1);
	FUZZ_CHECK(bytes && base64_decode((char *)text, (size_t)(end - text), bytes, &len) == 0);
	FUZZ_CHECK(len == size && (size == 0 || memcmp(bytes, data, size) == 0));
	free(bytes);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct submission submission;
	struct error err = ERROR_INIT;

	if (submission_parse(data, size, &submission, &err) == 0)
		check_packed(&submission.inputs, submission.n_inputs);
	else
		FUZZ_CHECK(err.code && *err.text);
	submission_fini(&submission);
	check_inputs(INPUT_LINES, data, size);
	check_inputs(INPUT_NUL, data, size);
	check_inputs(INPUT_PACKED, data, size);
	check_base64(data, size);
	return 0;
}
