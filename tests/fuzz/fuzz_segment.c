/* Rows of the store: a segment's outcomes, a single outcome. What can be read can be written, and reads the same. */
#include "fuzz.h"

#include "base/buffer.h"
#include "store/segment.h"

static void check_record(const struct task_record *record, size_t bytes)
{
	FUZZ_CHECK(record->offset <= bytes && record->length <= bytes - record->offset);
	FUZZ_CHECK(record->state == TASK_DONE || record->state == TASK_FAILED || record->state == TASK_CANCELLED);
	FUZZ_CHECK(record->error < TASK_ERROR_COUNT);
	(void)task_state_name(record->state); /* must be one */
	(void)task_error_name(record->error);
}

static void check_segment(const uint8_t *data, size_t size)
{
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT, again = BUFFER_INIT;
	struct segment *segment, *second;
	struct segment_sums sums;

	if (segment_decode(SEGMENT_TASKS, data, size, &segment) < 0)
		return;
	FUZZ_CHECK(segment->count >= 1 && segment->count <= SEGMENT_TASKS && segment_full(segment));
	for (uint32_t i = 0; i < segment->count; i++)
		check_record(&segment->records[i], segment->bytes.len);
	segment_sum(segment, &sums);
	FUZZ_CHECK(sums.done + sums.failed + sums.cancelled == segment->count);
	FUZZ_CHECK(segment_encode(segment, &blob) == 0);
	FUZZ_CHECK(segment_decode(SEGMENT_TASKS, blob.data, blob.len, &second) == 0);
	FUZZ_CHECK(second->count == segment->count && segment_encode(second, &again) == 0);
	FUZZ_CHECK(blob.len == again.len && memcmp(blob.data, again.data, blob.len) == 0);
	segment_unref(second);
	segment_unref(segment);
}

static void check_task(const uint8_t *data, size_t size)
{
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
	struct task_record record, second;
	const uint8_t *result, *second_result;

	if (task_record_decode(data, size, &record, &result) < 0)
		return;
	FUZZ_CHECK(record.length <= size && result >= data && result + record.length <= data + size);
	FUZZ_CHECK(task_record_encode(&record, result, &blob) == 0);
	FUZZ_CHECK(task_record_decode(blob.data, blob.len, &second, &second_result) == 0);
	FUZZ_CHECK(second.length == record.length && second.state == record.state && second.error == record.error);
	FUZZ_CHECK(record.length == 0 || memcmp(result, second_result, record.length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_segment(data, size);
	check_task(data, size);
	return 0;
}
