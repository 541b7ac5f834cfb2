/* JSON lines, and packed outcomes that become such. */
#include "lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "control/format.h"
#include "protocol.h"
#include "store/segment.h"
#include "stream.h"
#include "talk.h"

#define INDEX_WITHIN_BYTES 96 /* of a line */
#define PACKED_MAX_BYTES (4u << 20) /* what a run may have of inputs, and of outcomes: more than any pass of the daemon */

static const char packed_begin[] = PROTOCOL_PACKED_BEGIN;

/* ---- Lines ---- */

static bool is_packed_head(const uint8_t *line, size_t len)
{
	return len >= sizeof(packed_begin) - 1 && memcmp(line, packed_begin, sizeof(packed_begin) - 1) == 0;
}

/* The task that a line is about: its number stands among the first keys. False: it is about none. */
static bool line_index(const uint8_t *line, size_t len, uint64_t *ret_index)
{
	static const char key[] = "\"index\":";
	const uint8_t *at = len == 0 ? NULL : memmem(line, len < INDEX_WITHIN_BYTES ? len : INDEX_WITHIN_BYTES, key, sizeof(key) - 1);

	if (!at)
		return false;
	*ret_index = 0;
	for (at += sizeof(key) - 1; at < line + len && *at >= '0' && *at <= '9'; at++)
		*ret_index = *ret_index * 10 + (uint64_t)(*at - '0');
	return true;
}

/* Pass on the whole lines that come first, so that a stream that breaks leaves none cut, and keep the last: it may be the job
 * line. *data moves behind them: to the head of packed outcomes, or to a line whose end has not come. */
static int pass_on(struct stream *s, const uint8_t **data, const uint8_t *end)
{
	const uint8_t *from = *data, *line = from, *last = from, *lf;
	uint64_t index;

	while (line < end && (lf = memchr(line, '\n', (size_t)(end - line))) && !is_packed_head(line, (size_t)(lf - line))) {
		if (s->unordered && line_index(line, (size_t)(lf - line), &index) && seen_add(&s->seen, index, index) < 0)
			return -ENOMEM;
		s->passed++;
		last = line;
		line = lf + 1;
	}
	*data = line;
	if (line == from)
		return 0;
	s->last.len = 0;
	if (buffer_add(&s->last, last, (size_t)(line - 1 - last)) < 0)
		return -ENOMEM;
	if (line_index(s->last.data, s->last.len, &index))
		s->next = index + 1;
	out_add(&s->out, from, (size_t)(line - from));
	return s->out.error;
}

/* ---- Packed outcomes ---- */

static int packed_broken(struct error *err)
{
	return error_set(err, -EPROTO, "internal", "the result stream has packed outcomes that cannot be read");
}

static int begin_packed(struct stream *s, const uint8_t *line, size_t len, struct error *err)
{
	_cleanup_json_ json_t *json = json_loadb((const char *)line, len, TALK_JSON_FLAGS, NULL);
	uint64_t input_bytes = member_count(json, "inputs"), bytes = member_count(json, "bytes");
	struct packed *packed = &s->packed;

	if (!json || input_bytes > PACKED_MAX_BYTES || bytes == 0 || bytes > PACKED_MAX_BYTES)
		return packed_broken(err);
	(void)snprintf(packed->job, sizeof(packed->job), "%s", member_text(json, "job", ""));
	packed->first = member_count(json, "first");
	packed->count = member_count(json, "count");
	packed->input_bytes = input_bytes;
	packed->left = input_bytes + bytes;
	packed->bytes.len = 0;
	return 0;
}

static int put_line(struct stream *s, const struct format_task *task)
{
	const size_t most = format_task_room(task->input_len, task->record->length);
	uint8_t *at = out_room(&s->out, most), *line;

	if (at) {
		out_took(&s->out, (size_t)(format_task_json(at, task) - at));
		return 0;
	}
	line = malloc(most);
	if (!line)
		return -ENOMEM;
	out_add(&s->out, line, (size_t)(format_task_json(line, task) - line));
	free(line);
	return 0;
}

/* All of a run has come. */
static int end_packed(struct stream *s, struct error *err)
{
	struct packed *packed = &s->packed;
	const uint8_t *input = packed->bytes.data, *inputs_end = input + packed->input_bytes;
	struct format_tail tail = { .len = 0 };
	struct task_record record;
	struct format_task task = { .job = packed->job, .index = packed->first, .record = &record, .tail = &tail };
	struct segment_unpack unpack;
	int r = segment_unpack_begin(inputs_end, packed->bytes.len - (size_t)packed->input_bytes, &unpack);

	if (r < 0 || unpack.left != packed->count)
		return packed_broken(err);
	while ((r = segment_unpack_next(&unpack, &record, &task.data)) == 1) {
		input = packed_next(input, inputs_end, &task.input, &task.input_len);
		if (!input)
			return packed_broken(err);
		r = put_line(s, &task);
		if (r < 0)
			return r;
		task.index++;
	}
	if (r < 0)
		return packed_broken(err);
	s->passed += packed->count;
	s->next = task.index;
	s->last.len = 0;
	return s->out.error;
}

/* ---- The stream ---- */

/* What begins with a line, or with the rest of the carried one. *data moves behind what was taken. */
static int take_lines(struct stream *s, const uint8_t **data, const uint8_t *end, struct error *err)
{
	int r = s->carry.len == 0 ? pass_on(s, data, end) : 0;
	const uint8_t *from = *data, *lf, *carried;

	if (r < 0 || from == end)
		return r;
	lf = memchr(from, '\n', (size_t)(end - from));
	*data = lf ? lf + 1 : end;
	if (s->carry.len == 0 && lf)
		return begin_packed(s, from, (size_t)(lf - from), err);
	if (buffer_add(&s->carry, from, (size_t)(*data - from)) < 0)
		return -ENOMEM;
	if (!lf)
		return 0;
	carried = s->carry.data;
	if (is_packed_head(carried, s->carry.len))
		r = begin_packed(s, carried, s->carry.len, err);
	else
		r = pass_on(s, &carried, carried + s->carry.len);
	s->carry.len = 0;
	return r;
}

int lines_feed(struct stream *s, const uint8_t *data, size_t len, struct error *err)
{
	const uint8_t *end = data + len;
	int r = 0;

	while (data < end && r == 0) {
		size_t n = (size_t)(end - data);

		if (s->packed.left == 0) {
			r = take_lines(s, &data, end, err);
			continue;
		}
		if (n > s->packed.left)
			n = (size_t)s->packed.left;
		if (buffer_add(&s->packed.bytes, data, n) < 0)
			return -ENOMEM;
		data += n;
		s->packed.left -= n;
		if (s->packed.left == 0)
			r = end_packed(s, err);
	}
	return r;
}

void lines_restart(struct stream *s)
{
	s->carry.len = 0;
	s->packed.left = 0;
}
