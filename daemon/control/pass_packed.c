/* Packed runs of outcomes in a stream of JSON lines, for a client that makes the lines itself: a task's line is ten times as
 * long as what it says, and most of what such a stream costs is making lines and copying them through the socket. */
#include "control/pass.h"

#include <string.h>

#include "base/buffer.h"
#include "store/segment.h"

#define LEAST 64 /* fewer go as lines */

/* Outcomes that follow each other from the i-th on, and all their bytes. */
static uint32_t count_run(const struct segment *segment, uint32_t i, size_t most, size_t most_bytes, size_t *ret_bytes)
{
	const uint32_t from = i;
	size_t bytes = 0;

	for (; i < segment->count && i - from < most && segment_recorded(segment, i); i++) {
		if (bytes + segment->records[i].length > most_bytes)
			break;
		bytes += segment->records[i].length;
	}
	*ret_bytes = bytes;
	return i - from;
}

/* The inputs of tasks first..first + *n - 1, of which *n then says how many there were, and room for. */
static uint8_t *put_inputs(struct pass *pass, uint8_t *at, const uint8_t *end, uint64_t first, uint32_t *n)
{
	uint32_t put = 0;

	while (put < *n) {
		const uint8_t *data, *next = NULL, *from;
		size_t len;

		if (pass_input(pass, first + put, &data, &len) < 0 || len + VARINT_MAX_BYTES > (size_t)(end - at))
			break; /* whoever makes its line finds out why */
		at = varint_put(at, len);
		if (len > 0)
			memcpy(at, data, len);
		at += len;
		put++;
		/* Those behind it lie as they are wanted. */
		for (from = pass->input_at; put < *n && pass->input_left > 0; put++) {
			next = packed_next(pass->input_at, pass->input_end, &data, &len);
			if (!next || next - from > end - at)
				break;
			pass->input_at = next;
			pass->input_next++;
			pass->input_left--;
		}
		if (pass->input_at > from)
			memcpy(at, from, (size_t)(pass->input_at - from));
		at += pass->input_at - from;
	}
	*n = put;
	return at;
}

bool pass_packed_fits(const struct pass *pass)
{
	return pass->room - pass->used >= FORMAT_PACKED_HEAD_BYTES + 2 * LEAST * SEGMENT_RECORD_BYTES;
}

uint32_t pass_add_packed(struct pass *pass, const struct segment *segment, uint32_t i)
{
	uint8_t *start = pass->base + pass->used, *inputs, *blob, *end;
	const uint64_t first = segment->first + i;
	size_t room, share, bytes;
	uint32_t n;

	if (!pass_packed_fits(pass))
		return 0;
	/* Records, which are seldom so long, may have one half of the room, inputs and results a quarter each. */
	room = pass->room - pass->used - FORMAT_PACKED_HEAD_BYTES;
	share = room / 4;
	n = count_run(segment, i, (room - 2 * share) / SEGMENT_RECORD_BYTES, share - SEGMENT_HEAD_BYTES, &bytes);
	if (n < LEAST)
		return 0;
	inputs = format_packed_head(start, pass->cursor->job_text, first, 0, 0, 0); /* always as long */
	blob = put_inputs(pass, inputs, inputs + share, first, &n);
	if (n < LEAST)
		return 0;
	(void)count_run(segment, i, n, bytes, &bytes);
	end = segment_encode_run(segment, i, n, bytes, blob);
	(void)format_packed_head(start, pass->cursor->job_text, first, n, (size_t)(blob - inputs), (size_t)(end - blob));
	pass->used = (size_t)(end - pass->base);
	pass->n_tasks += n;
	return n;
}
