/* Segments in memory: the control thread fills them, in any order, one copy per outcome. */
#include "segment.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/copy.h"

#define MOST_BYTES_AHEAD (256u << 10)
#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

static const char *const state_names[] = {
	[TASK_QUEUED] = "queued", [TASK_RUNNING] = "running",	  [TASK_DONE] = "done",
	[TASK_FAILED] = "failed", [TASK_CANCELLED] = "cancelled",
};

static const char *const error_names[TASK_ERROR_COUNT] = {
	[TASK_ERROR_NONE] = "",
	[TASK_ERROR_INVALID_INPUT] = "invalid-input",
	[TASK_ERROR_FAILED] = "failed",
	[TASK_ERROR_TIMEOUT] = "timeout",
	[TASK_ERROR_CRASHED] = "crashed",
	[TASK_ERROR_QUARANTINED] = "quarantined",
	[TASK_ERROR_INTERRUPTED] = "interrupted",
	[TASK_ERROR_WORKER_INIT] = "worker-init",
	[TASK_ERROR_TOO_LARGE] = "too-large",
	[TASK_ERROR_CANCELLED] = "cancelled",
};

const char *task_state_name(enum task_state state)
{
	assert((size_t)state < ARRAY_SIZE(state_names));
	return state_names[state];
}

const char *task_error_name(enum task_error error)
{
	assert((size_t)error < ARRAY_SIZE(error_names));
	return error_names[error];
}

struct segment *segment_new(uint64_t first, uint32_t count)
{
	struct segment *segment = calloc(1, sizeof(*segment));

	assert(count > 0 && count <= SEGMENT_TASKS && first % SEGMENT_TASKS == 0);
	if (!segment)
		return NULL;
	segment->records = calloc(count, sizeof(*segment->records));
	if (!segment->records) {
		free(segment);
		return NULL;
	}
	segment->first = first;
	segment->count = count;
	segment->refs = 1;
	return segment;
}

struct segment *segment_ref(struct segment *segment)
{
	segment->refs++;
	return segment;
}

void segment_unref(struct segment *segment)
{
	if (!segment || --segment->refs > 0)
		return;
	buffer_fini(&segment->bytes);
	free(segment->records);
	free(segment);
}

static bool is_special(uint8_t byte)
{
	return byte == '\\' || byte == '\t' || byte == '\r' || byte == '\n' || byte == '\0';
}

/* Whether some byte of the word is below 0x0e or a backslash: every special byte is, few others are. The usual
 * zero-byte test; a borrow can only add a false alarm, which the caller looks into. */
static bool word_is_suspect(uint64_t word)
{
	uint64_t low = (word - ONES * 0x0e) & ~word & HIGHS;
	uint64_t x = word ^ ONES * '\\';

	return (low | ((x - ONES) & ~x & HIGHS)) != 0;
}

/* A result is scanned once, when it is put, so that a stream can copy whole segments without looking at them. */
static bool has_special(const uint8_t *data, size_t len)
{
	size_t i = 0;

	if (len >= 4 && len <= 8) { /* most are short: two loads that may overlap are all of it */
		uint32_t first, last;

		memcpy(&first, data, sizeof(first));
		memcpy(&last, data + len - sizeof(last), sizeof(last));
		if (!word_is_suspect(first | (uint64_t)last << 32))
			return false;
	}
	for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, data + i, sizeof(word));
		if (!word_is_suspect(word))
			continue;
		for (size_t k = i; k < i + sizeof(word); k++) {
			if (is_special(data[k]))
				return true;
		}
	}
	for (; i < len; i++) {
		if (is_special(data[i]))
			return true;
	}
	return false;
}

int segment_put(struct segment *segment, uint32_t index, const struct task_record *outcome, const void *data,
		size_t len)
{
	struct task_record *record = &segment->records[index];
	size_t offset = segment->bytes.len;

	assert(index < segment->count && outcome->state >= TASK_DONE);
	if (record->state != TASK_QUEUED)
		return -EALREADY;
	if (len > UINT32_MAX - offset)
		return -EMSGSIZE;
	if (buffer_reserve(&segment->bytes, len) < 0)
		return -ENOMEM;
	copy_bytes(segment->bytes.data + offset, data, len);
	segment->bytes.len += len;
	*record = *outcome;
	record->offset = (uint32_t)offset;
	record->length = (uint32_t)len;
	segment->ended++;
	segment->n_recorded += record->recorded;
	if (!segment->special && record->state == TASK_DONE &&
	    has_special(segment->bytes.data + offset, len)) /* the copy: data may lie in a worker's memory */
		segment->special = true;
	return 0;
}

/* What all of its results will take if they go on like this, so that the bytes are not moved again and again. */
static size_t bytes_ahead(const struct segment *segment, uint32_t n, size_t bytes)
{
	size_t all = (segment->bytes.len + bytes) * segment->count / (segment->ended + n);

	all += all / 8;
	return all > segment->bytes.len + bytes && all <= MOST_BYTES_AHEAD ? all - segment->bytes.len : bytes;
}

int segment_fill_begin(struct segment *segment, uint32_t index, uint32_t n, size_t bytes, struct segment_fill *ret_fill)
{
	const size_t offset = segment->bytes.len;

	assert(n > 0 && index <= segment->count && n <= segment->count - index);
	for (uint32_t i = 0; i < n; i++)
		if (segment->records[index + i].state != TASK_QUEUED)
			return -EALREADY;
	if (bytes > UINT32_MAX - offset)
		return -EMSGSIZE;
	if (segment->bytes.cap - offset < bytes + SEGMENT_SPARE_BYTES &&
	    buffer_reserve(&segment->bytes, bytes_ahead(segment, n, bytes) + SEGMENT_SPARE_BYTES) < 0)
		return -ENOMEM;
	*ret_fill = (struct segment_fill){
		.segment = segment,
		.record = &segment->records[index],
		.offset = (uint32_t)offset,
	};
	return 0;
}

void segment_fill_end(struct segment_fill *fill)
{
	struct segment *segment = fill->segment;
	const size_t offset = segment->bytes.len;

	assert(fill->n > 0 && fill->offset <= segment->bytes.cap);
	segment->bytes.len = fill->offset;
	segment->ended += fill->n;
	if (fill->record[-1].recorded)
		segment->n_recorded += fill->n;
	if (!segment->special && has_special(segment->bytes.data + offset, fill->offset - offset)) /* of all in one go */
		segment->special = true;
}

void segment_sum(const struct segment *segment, struct segment_sums *ret_sums)
{
	struct segment_sums sums = { .done = 0 };

	for (uint32_t i = 0; i < segment->count; i++) {
		const struct task_record *record = &segment->records[i];

		sums.done += record->state == TASK_DONE;
		sums.failed += record->state == TASK_FAILED;
		sums.cancelled += record->state == TASK_CANCELLED;
		sums.cpu_s += (double)record->cpu_s;
		sums.runq_s += (double)record->runq_s;
		sums.wait_s += (double)(record->wall_s - record->cpu_s - record->runq_s);
	}
	*ret_sums = sums;
}
