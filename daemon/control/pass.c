/* Passes of result streams. */
#include "control/pass.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "control/format.h"
#include "store/segment.h"

#define SMALL 16 /* results up to here are copied as one block of this size */
#define SKIP_INPUTS 64 /* stepping over more inputs than this is dearer than looking up */

int pass_begin(struct pass *pass, struct cursor *cursor, const struct job_view *view, uint32_t n_clients)
{
	size_t room = PASSES_BYTES / (n_clients > 0 ? n_clients : 1);

	room = room > PASS_BYTES ? PASS_BYTES : room < PASS_MIN_BYTES ? PASS_MIN_BYTES : room;
	*pass = (struct pass){ .cursor = cursor, .view = view, .room = room, .frame_at = NO_FRAME };
	pass->base = http_chunk_reserve(cursor->req, pass->room);
	return pass->base ? 0 : -ENOMEM;
}

/* Make room. False: the chunk is full (n_tasks > 0), or there is no memory (n_tasks 0). */
static bool pass_room(struct pass *pass, size_t need)
{
	uint8_t *base;

	if (pass->room - pass->used >= need)
		return true;
	if (pass->n_tasks > 0)
		return false;
	base = http_chunk_reserve(pass->cursor->req, pass->used + need); /* one long line */
	if (!base)
		return false;
	pass->base = base;
	pass->room = pass->used + need;
	return true;
}

/* ---- The tasks of a results frame, for who asked ---- */

static int end_run(struct cursor *cursor)
{
	uint64_t first = cursor->run_first, count = cursor->run_count;
	const char *comma = cursor->named.len > 0 ? "," : "";

	cursor->run_count = 0;
	if (count == 0)
		return 0;
	if (count == 1)
		return buffer_printf(&cursor->named, "%s%" PRIu64, comma, first);
	return buffer_printf(&cursor->named, "%s%" PRIu64 "-%" PRIu64, comma, first, first + count - 1);
}

static int name_task(struct cursor *cursor, uint64_t task)
{
	int r = 0;

	if (cursor->run_count > 0 && task == cursor->run_first + cursor->run_count) {
		cursor->run_count++;
		return 0;
	}
	r = end_run(cursor);
	cursor->run_first = task;
	cursor->run_count = 1;
	return r;
}

static int add_names(struct pass *pass)
{
	_cleanup_buffer_ struct buffer line = BUFFER_INIT;
	struct cursor *cursor = pass->cursor;
	int r = end_run(cursor);

	if (r == 0)
		r = buffer_printf(&line, "{\"type\":\"tasks\",\"tasks\":\"%.*s\"}", (int)cursor->named.len,
				  cursor->named.len > 0 ? (const char *)cursor->named.data : "");
	cursor->named.len = 0;
	return r < 0 ? r : pass_add_line(pass, (const char *)line.data, line.len);
}

static int frame_close(struct pass *pass)
{
	if (pass->frame_at == NO_FRAME)
		return 0;
	if (pass->frame_tasks == 0)
		pass->used = pass->frame_at; /* nothing came */
	else
		format_results_head(pass->base + pass->frame_at, pass->frame_tasks,
				    pass->used - pass->frame_at - FORMAT_RESULTS_HEAD_BYTES);
	pass->frame_at = NO_FRAME;
	return pass->cursor->options.tasks && pass->frame_tasks > 0 ? add_names(pass) : 0;
}

static bool frame_open(struct pass *pass)
{
	if (pass->cursor->options.format != STREAM_FRAMES || pass->frame_at != NO_FRAME)
		return true;
	if (!pass_room(pass, FORMAT_RESULTS_HEAD_BYTES))
		return false;
	pass->frame_at = pass->used;
	pass->frame_tasks = 0;
	pass->used += FORMAT_RESULTS_HEAD_BYTES;
	return true;
}

/* The segment that holds a task, kept for the next call. */
static int find_segment(struct cursor *cursor, uint64_t task)
{
	struct segment *segment = cursor->segment;

	if (segment && task >= segment->first && task - segment->first < segment->count)
		return 0;
	if (segment && task > segment->first) /* all of it was sent */
		job_segment_passed(cursor->job, segment);
	segment_unref(cursor->segment);
	cursor->segment = NULL;
	return job_segment(cursor->job, task, &cursor->segment);
}

/* Nothing more is recorded in it now: what comes may come in another copy. */
static void drop_segment(struct cursor *cursor)
{
	segment_unref(cursor->segment);
	cursor->segment = NULL;
}

int pass_input(struct pass *pass, uint64_t task, const uint8_t **ret_data, size_t *ret_len)
{
	const uint8_t *data = NULL;
	size_t len = 0;

	if (pass->input_left == 0 || task < pass->input_next || task - pass->input_next >= pass->input_left ||
	    task - pass->input_next > SKIP_INPUTS) {
		int r = job_inputs(pass->cursor->job, task, &pass->input_at, &len, &pass->input_left);

		if (r < 0) {
			pass->input_left = 0;
			return r;
		}
		pass->input_end = pass->input_at + len;
		pass->input_next = task;
	}
	while (pass->input_next <= task) {
		const uint8_t *behind = pass->input_left > 0 ? packed_next(pass->input_at, pass->input_end, &data, &len) :
							       NULL;

		if (!behind) {
			pass->input_left = 0;
			return -EIO;
		}
		pass->input_at = behind;
		pass->input_next++;
		pass->input_left--;
	}
	*ret_data = data;
	*ret_len = len;
	return 0;
}

static bool is_wanted(const struct stream_options *options, const struct task_record *record)
{
	if (record->state == TASK_DONE)
		return !options->failed_only;
	return options->failed_only || options->format != STREAM_PLAIN;
}

static uint8_t *format_one(const struct pass *pass, uint8_t *at, const struct format_task *task)
{
	const struct stream_options *options = &pass->cursor->options;

	if (options->format == STREAM_JSON)
		return format_task_json(at, task);
	if (task->record->state == TASK_DONE)
		return format_plain(at, task, options->tag, options->nul);
	if (options->format == STREAM_FRAMES)
		return format_failed_frame(at, task);
	return format_plain_failed(at, task, options->tag, options->nul);
}

/* Send one task. 1: sent, or not asked for; 0: no room; -EAGAIN: its input is being read; -errno. */
static int send_one(struct pass *pass, const struct segment *segment, uint32_t i)
{
	const struct stream_options *options = &pass->cursor->options;
	const struct task_record *record = &segment->records[i];
	struct format_task task = { .job = pass->cursor->job_text, .index = segment->first + i, .record = record,
				    .data = segment->bytes.data + record->offset, .began = options->began,
				    .tail = &pass->tail };
	bool done = record->state == TASK_DONE;
	int r;

	if (!is_wanted(options, record))
		return 1;
	if (options->format == STREAM_JSON || options->tag || (options->format == STREAM_FRAMES && !done)) {
		r = pass_input(pass, task.index, &task.input, &task.input_len);
		if (r < 0 && r != -EBADMSG) /* damaged on the disk: shown as empty, its error says why */
			return r;
	}
	if (options->format == STREAM_FRAMES && !done && frame_close(pass) < 0)
		return -ENOMEM;
	if ((done && !frame_open(pass)) ||
	    !pass_room(pass, format_task_room(task.input_len, record->length)))
		return pass->n_tasks > 0 ? 0 : -ENOMEM;
	pass->used = (size_t)(format_one(pass, pass->base + pass->used, &task) - pass->base);
	pass->n_tasks++;
	pass->frame_tasks += done;
	if (done && options->tasks)
		return name_task(pass->cursor, task.index) < 0 ? -ENOMEM : 1;
	return 1;
}

/* Results that need no escaping, from the i-th on, while they are there and there is room. Returns behind the last. */
static uint32_t send_run(struct pass *pass, const struct segment *segment, uint32_t i)
{
	const uint8_t *bytes = segment->bytes.data, *bytes_end = bytes + segment->bytes.len;
	uint8_t *at = pass->base + pass->used, *end = pass->base + pass->room;
	uint8_t stop = pass->cursor->options.nul ? '\0' : '\n';
	bool all = segment_recorded_whole(segment);
	uint32_t from = i;

	for (; i < segment->count; i++) {
		const struct task_record *record = &segment->records[i];
		const uint8_t *data = bytes + record->offset;

		if ((!all && !record->recorded) || record->state != TASK_DONE ||
		    (size_t)(end - at) < (size_t)record->length + SMALL + 1)
			break;
		if (record->length <= SMALL && bytes_end - data >= SMALL)
			memcpy(at, data, SMALL); /* one load and store; what is too much is overwritten */
		else if (record->length > 0)
			memcpy(at, data, record->length);
		at += record->length;
		*at++ = stop;
	}
	pass->used = (size_t)(at - pass->base);
	pass->n_tasks += i - from;
	pass->frame_tasks += i - from;
	return i;
}

/* What a pass ends as where something returned this instead of 1. */
static enum pass_end pass_end_of(int r)
{
	return r == 0 ? PASS_MORE : r == -EAGAIN ? PASS_LOADING : PASS_FAILED;
}

static enum pass_end run_input_order(struct pass *pass)
{
	struct cursor *cursor = pass->cursor;
	const struct stream_options *options = &cursor->options;
	bool ended = job_state_ended(pass->view->state);
	bool runs = options->format != STREAM_JSON && !options->tag && !options->failed_only;

	while (cursor->next < pass->view->total) {
		const struct segment *segment;
		uint32_t i, packed;
		int r = find_segment(cursor, cursor->next);

		if (r == -ENOENT && ended) { /* nothing was ever recorded there */
			cursor->next = (cursor->next / SEGMENT_TASKS + 1) * SEGMENT_TASKS;
			continue;
		}
		if (r == -ENOENT)
			return PASS_WAIT;
		if (r < 0)
			return pass_end_of(r);
		segment = cursor->segment;
		i = (uint32_t)(cursor->next - segment->first);
		if (runs && (options->nul || !segment->special) && frame_open(pass)) {
			i = send_run(pass, segment, i);
			cursor->next = segment->first + i;
			if (i == segment->count)
				continue;
		}
		if (!segment_recorded(segment, i) && !ended) {
			drop_segment(cursor);
			return PASS_WAIT;
		}
		if (options->packed && pass->n_tasks > 0 && !pass_packed_fits(pass))
			return PASS_MORE;
		packed = options->packed ? pass_add_packed(pass, segment, i) : 0;
		if (packed == 0) {
			r = segment_recorded(segment, i) ? send_one(pass, segment, i) : 1;
			if (r != 1)
				return pass_end_of(r);
			packed = 1;
		}
		cursor->next += packed;
	}
	return ended ? PASS_DONE : PASS_WAIT;
}

/* ---- Done order ---- */

static int grow_sent(struct cursor *cursor, uint64_t total)
{
	size_t want = (size_t)((total + SEGMENT_TASKS - 1) / SEGMENT_TASKS), cap;
	struct sent_segment *sent;

	if (want <= cursor->n_sent)
		return 0;
	cap = want + want / 2; /* an open job grows by pieces */
	sent = reallocarray(cursor->sent, cap, sizeof(*sent));
	if (!sent)
		return -ENOMEM;
	memset(sent + cursor->n_sent, 0, (cap - cursor->n_sent) * sizeof(*sent));
	cursor->sent = sent;
	cursor->n_sent = cap;
	return 0;
}

/* Send what is new in one segment. 1: all that is there; else as send_one(). */
static int send_new(struct pass *pass, const struct segment *segment, struct sent_segment *sent)
{
	struct cursor *cursor = pass->cursor;

	if (!sent->bits)
		sent->bits = calloc(SEGMENT_TASKS / 64, sizeof(*sent->bits));
	if (!sent->bits)
		return -ENOMEM;
	for (uint32_t i = 0; i < segment->count && sent->n < segment->n_recorded; i++) {
		int r = 1;

		if (!segment_recorded(segment, i) || sent->bits[i / 64] >> (i % 64) & 1)
			continue;
		if (segment->first + i >= cursor->options.from)
			r = send_one(pass, segment, i);
		if (r != 1)
			return r;
		sent->bits[i / 64] |= UINT64_C(1) << (i % 64);
		sent->n++;
		cursor->n_sent_tasks++;
	}
	return 1;
}

static int leave_out_range(struct cursor *cursor, uint64_t first, uint64_t last, uint64_t total)
{
	for (uint64_t task = first; task <= last; task++) {
		struct sent_segment *sent = &cursor->sent[task / SEGMENT_TASKS];
		uint64_t start = task - task % SEGMENT_TASKS, i = task - start;

		if (sent->all)
			continue;
		if (task == start && !sent->bits && last - start >= SEGMENT_TASKS - 1 && start + SEGMENT_TASKS <= total) {
			sent->all = true; /* at once */
			sent->n = SEGMENT_TASKS;
			cursor->n_sent_tasks += SEGMENT_TASKS;
			task += SEGMENT_TASKS - 1;
			continue;
		}
		if (!sent->bits)
			sent->bits = calloc(SEGMENT_TASKS / 64, sizeof(*sent->bits));
		if (!sent->bits)
			return -ENOMEM;
		if (sent->bits[i / 64] >> (i % 64) & 1)
			continue;
		sent->bits[i / 64] |= UINT64_C(1) << (i % 64);
		sent->n++;
		cursor->n_sent_tasks++;
	}
	return 0;
}

/* "7" or "0-63" up to a comma or the end. 0, -EINVAL. */
static int parse_range(const char **at, const char *end, uint64_t *ret_first, uint64_t *ret_last)
{
	const char *comma = memchr(*at, ',', (size_t)(end - *at)), *stop = comma ? comma : end;
	const char *dash = memchr(*at, '-', (size_t)(stop - *at));
	char first[24] = "", last[24] = "";
	size_t len = (size_t)((dash ? dash : stop) - *at), last_len = dash ? (size_t)(stop - dash - 1) : 0;

	if (len >= sizeof(first) || last_len >= sizeof(last))
		return -EINVAL;
	memcpy(first, *at, len);
	memcpy(last, dash ? dash + 1 : *at, dash ? last_len : len);
	*at = comma ? comma + 1 : end;
	if (text_parse_u64(first, ret_first) < 0 || text_parse_u64(last, ret_last) < 0 || *ret_last < *ret_first)
		return -EINVAL;
	return 0;
}

int cursor_leave_out(struct cursor *cursor, const char *text, size_t len, uint64_t total, struct error *err)
{
	const char *at = text, *end = text + len;

	if (grow_sent(cursor, total) < 0)
		return -ENOMEM;
	while (at < end) {
		uint64_t first, last;
		int r = parse_range(&at, end, &first, &last);

		if (r == 0 && last >= total)
			r = -EINVAL;
		if (r < 0)
			return error_set(err, r, "bad-request",
					 "the body has to name tasks of the job to be left out, such as 0-63,70");
		r = leave_out_range(cursor, first, last, total);
		if (r < 0)
			return r;
	}
	return 0;
}

static enum pass_end run_done_order(struct pass *pass)
{
	struct cursor *cursor = pass->cursor;
	bool ended = job_state_ended(pass->view->state);
	size_t n = (size_t)((pass->view->total + SEGMENT_TASKS - 1) / SEGMENT_TASKS);

	if (grow_sent(cursor, pass->view->total) < 0)
		return PASS_FAILED;
	while (cursor->first_open < n && cursor->sent[cursor->first_open].all)
		cursor->first_open++;
	for (size_t s = cursor->first_open; s < n; s++) {
		struct sent_segment *sent = &cursor->sent[s];
		int r;

		/* of a living job the number recorded says that there is no more to look for */
		if (!ended && cursor->n_sent_tasks >= pass->view->recorded)
			break;
		if (sent->all)
			continue;
		drop_segment(cursor);
		r = find_segment(cursor, (uint64_t)s * SEGMENT_TASKS);
		if (r == -ENOENT)
			continue;
		if (r == 0 && sent->n < cursor->segment->n_recorded)
			r = send_new(pass, cursor->segment, sent);
		else if (r == 0)
			r = 1;
		if (r != 1)
			return pass_end_of(r);
		if (sent->n == cursor->segment->count) {
			sent->all = true;
			free(take_ptr(sent->bits));
			job_segment_passed(cursor->job, cursor->segment);
		}
	}
	return ended ? PASS_DONE : PASS_WAIT;
}

enum pass_end pass_run(struct pass *pass)
{
	enum pass_end end = pass->cursor->options.in_done_order ? run_done_order(pass) : run_input_order(pass);

	return frame_close(pass) < 0 ? PASS_FAILED : end;
}

int pass_add_line(struct pass *pass, const char *text, size_t len)
{
	if (pass->room - pass->used < len + 1) {
		uint8_t *base = http_chunk_reserve(pass->cursor->req, pass->used + len + 1);

		if (!base)
			return -ENOMEM;
		pass->base = base;
		pass->room = pass->used + len + 1;
	}
	memcpy(pass->base + pass->used, text, len);
	pass->base[pass->used + len] = '\n';
	pass->used += len + 1;
	return 0;
}

void pass_commit(struct pass *pass)
{
	http_chunk_commit(pass->cursor->req, pass->used);
}

void cursor_put_out(struct cursor *cursor)
{
	drop_segment(cursor);
	job_put_out(cursor->job);
}

void cursor_fini(struct cursor *cursor)
{
	segment_unref(cursor->segment);
	for (size_t i = 0; i < cursor->n_sent; i++)
		free(cursor->sent[i].bits);
	free(cursor->sent);
	buffer_fini(&cursor->named);
}
