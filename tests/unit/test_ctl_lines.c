/* Streams of JSON lines, some of which come packed: what goes out is what the daemon would have written. */
#include "unit.h"

#include <sys/mman.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/io.h"
#include "control/format.h"
#include "ctl/ctl.h"
#include "ctl/lines.h"
#include "ctl/protocol.h"
#include "ctl/stream.h"
#include "store/segment.h"

#define N_TASKS 150

static const char plain_line[] = "{\"schema\":1,\"type\":\"task\",\"job\":\"7\",\"index\":99,\"input\":\"x\"}\n";
static const char job_line[] = "{\"schema\":1,\"type\":\"job\",\"job\":\"7\",\"state\":\"done\"}\n";

static struct ctl ctl = { .json = true, .quiet = true };

static struct stream *stream_to_memory(int *ret_fd)
{
	struct stream *s;

	*ret_fd = memfd_create("lines", MFD_CLOEXEC);
	assert_true(*ret_fd >= 0);
	s = stream_new(&ctl, *ret_fd);
	assert_non_null(s);
	return s;
}

static void assert_written(struct stream *s, int fd, const struct buffer *want)
{
	uint8_t *got = malloc(want->len + 1);

	assert_int_equal(out_flush(&s->out), 0);
	assert_int_equal(io_pread_full(fd, got, want->len + 1, 0), want->len);
	assert_memory_equal(got, want->data, want->len);
	free(got);
}

/* Tasks of all kinds, with inputs and results of `bytes` bytes at most. */
static struct segment *make_segment(uint32_t bytes)
{
	struct segment *segment = segment_new(SEGMENT_TASKS, N_TASKS);
	uint8_t *data = malloc(bytes);

	memset(data, 'r', bytes);
	data[1] = '"';
	for (uint32_t i = 0; i < N_TASKS; i++) {
		struct task_record record = {
			.begin_unix_us = 1700000000000000 + i * 20,
			.wall_s = (float)i * 1e-6f,
			.cpu_s = (float)i * 5e-7f,
			.queue_s = 0.25f,
			.worker_pid = 4711 + i / 100,
			.worker_thread = i % 2 == 1,
			.attempts = (uint16_t)(1 + i % 3),
			.state = i % 50 == 49 ? TASK_FAILED : TASK_DONE,
			.error = i % 50 == 49 ? TASK_ERROR_TIMEOUT : TASK_ERROR_NONE,
			.recorded = true,
		};

		assert_int_equal(segment_put(segment, i, &record, data, i == 7 ? bytes : i % 30), 0);
	}
	free(data);
	return segment;
}

/* Tasks 20.. of the segment, packed behind `stream`, and their lines behind `lines`. */
static void add_packed(const struct segment *segment, struct buffer *stream, struct buffer *lines, uint32_t from)
{
	const uint32_t n = segment->count - from;
	struct buffer inputs = BUFFER_INIT;
	uint8_t head[FORMAT_PACKED_HEAD_BYTES], *blob;
	size_t bytes = 0, blob_bytes;

	for (uint32_t i = from; i < segment->count; i++) {
		const struct task_record *r = &segment->records[i];
		char text[32];
		int len = snprintf(text, sizeof(text), "%u\t", i);
		struct format_task task = { .job = "7", .index = segment->first + i, .input = (uint8_t *)text, .input_len = (size_t)len,
					    .record = r, .data = segment->bytes.data + r->offset };

		bytes += r->length;
		assert_int_equal(buffer_add_varint(&inputs, (uint64_t)len), 0);
		assert_int_equal(buffer_add(&inputs, text, (size_t)len), 0);
		assert_int_equal(buffer_reserve(lines, format_task_room(task.input_len, r->length)), 0);
		lines->len = (size_t)(format_task_json(lines->data + lines->len, &task) - lines->data);
	}
	blob = malloc(SEGMENT_HEAD_BYTES + n * SEGMENT_RECORD_BYTES + bytes);
	blob_bytes = (size_t)(segment_encode_run(segment, from, n, bytes, blob) - blob);
	assert_int_equal(buffer_add(stream, head, (size_t)(format_packed_head(head, "7", segment->first + from, n, inputs.len,
									     blob_bytes) - head)), 0);
	assert_int_equal(buffer_add(stream, inputs.data, inputs.len), 0);
	assert_int_equal(buffer_add(stream, blob, blob_bytes), 0);
	free(blob);
	buffer_fini(&inputs);
}

static void feed(struct stream *s, const struct buffer *stream, size_t step)
{
	struct error err = ERROR_INIT;

	for (size_t at = 0; at < stream->len; at += step) {
		size_t n = stream->len - at < step ? stream->len - at : step;
		uint8_t *piece = malloc(n); /* of its own, so that a sanitizer sees what is read behind it */

		memcpy(piece, stream->data + at, n);
		assert_int_equal(lines_feed(s, piece, n, &err), 0);
		free(piece);
	}
}

static void packed_outcomes_become_their_lines_wherever_the_stream_is_cut(void **state)
{
	static const size_t steps[] = { 1, 2, 7, 100, 4096, 1u << 20 };
	struct segment *segment = make_segment(40);
	struct buffer stream = BUFFER_INIT, lines = BUFFER_INIT;

	(void)state;
	assert_int_equal(buffer_add(&stream, plain_line, sizeof(plain_line) - 1), 0);
	assert_int_equal(buffer_add(&lines, plain_line, sizeof(plain_line) - 1), 0);
	add_packed(segment, &stream, &lines, 20);
	add_packed(segment, &stream, &lines, 149);
	assert_int_equal(buffer_add(&stream, plain_line, sizeof(plain_line) - 1), 0);
	assert_int_equal(buffer_add(&lines, plain_line, sizeof(plain_line) - 1), 0);
	add_packed(segment, &stream, &lines, 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int fd;
		struct stream *s = stream_to_memory(&fd);
		size_t lines_len = lines.len, stream_len = stream.len;

		feed(s, &stream, steps[i]);
		assert_written(s, fd, &lines);
		assert_true(s->next == SEGMENT_TASKS + N_TASKS);
		assert_true(s->passed == 1 + 130 + 1 + 1 + 150);
		assert_int_equal(s->last.len, 0);
		assert_int_equal(buffer_add(&stream, job_line, sizeof(job_line) - 1), 0);
		assert_int_equal(buffer_add(&lines, job_line, sizeof(job_line) - 1), 0);
		stream.data += stream_len; /* only what is new */
		stream.len -= stream_len;
		feed(s, &stream, steps[i]);
		stream.data -= stream_len;
		stream.len = stream_len;
		assert_written(s, fd, &lines);
		lines.len = lines_len;
		assert_int_equal(s->last.len, sizeof(job_line) - 2);
		stream_free(s);
		(void)close(fd);
	}
	segment_unref(segment);
	buffer_fini(&stream);
	buffer_fini(&lines);
}

static void a_line_longer_than_the_output_gathers_is_written_too(void **state)
{
	struct segment *segment = make_segment(OUT_BYTES);
	struct buffer stream = BUFFER_INIT, lines = BUFFER_INIT;
	int fd;
	struct stream *s = stream_to_memory(&fd);

	(void)state;
	add_packed(segment, &stream, &lines, 0);
	feed(s, &stream, 65536);
	assert_written(s, fd, &lines);
	stream_free(s);
	(void)close(fd);
	segment_unref(segment);
	buffer_fini(&stream);
	buffer_fini(&lines);
}

static void what_had_not_come_whole_when_a_stream_broke_comes_again(void **state)
{
	struct segment *segment = make_segment(40);
	struct buffer stream = BUFFER_INIT, lines = BUFFER_INIT;

	(void)state;
	assert_int_equal(buffer_add(&stream, plain_line, sizeof(plain_line) - 1), 0);
	assert_int_equal(buffer_add(&lines, plain_line, sizeof(plain_line) - 1), 0);
	add_packed(segment, &stream, &lines, 0);
	for (size_t cut = sizeof(plain_line) - 1; cut < stream.len; cut += 97) {
		struct buffer part = { .data = stream.data, .len = cut }, rest = part;
		int fd;
		struct stream *s = stream_to_memory(&fd);

		feed(s, &part, 4096);
		assert_true(s->next == 100 && s->passed == 1);
		lines_restart(s);
		rest.data = stream.data + sizeof(plain_line) - 1;
		rest.len = stream.len - (sizeof(plain_line) - 1);
		feed(s, &rest, 4096);
		assert_written(s, fd, &lines);
		stream_free(s);
		(void)close(fd);
	}
	segment_unref(segment);
	buffer_fini(&stream);
	buffer_fini(&lines);
}

static int feed_text(const char *text, size_t len)
{
	struct error err = ERROR_INIT;
	int fd, r;
	struct stream *s = stream_to_memory(&fd);

	r = lines_feed(s, (const uint8_t *)text, len, &err);
	if (r < 0)
		assert_non_null(strstr(err.text, "packed outcomes"));
	stream_free(s);
	(void)close(fd);
	return r;
}

#define HEAD(rest) "{\"schema\":1,\"type\":\"packed\",\"job\":\"7\",\"first\":0," rest "}\n"

static void packed_outcomes_that_are_none_end_the_stream_with_words(void **state)
{
	static const char *const bad[] = {
		HEAD("\"count\":1,\"inputs\":1"), HEAD("\"count\":1,\"inputs\":1,\"bytes\":0"), HEAD("\"count\":1,\"inputs\":0,\"bytes\":4") "abcd",
		HEAD("\"count\":1,\"inputs\":9999999999,\"bytes\":1"), HEAD("\"count\":1,\"inputs\":1,\"bytes\":99999999"),
		HEAD("\"count\":1,\"inputs\":1,\"bytes\":6") "\5" "\1\0\1\0\0\0", /* the input is cut */
		HEAD("\"count\":2,\"inputs\":1,\"bytes\":6") "\0" "\1\0\1\0\0\0", /* another number of tasks */
		PROTOCOL_PACKED_BEGIN ",\n",
	};
	static const char good[] = HEAD("\"count\":1,\"inputs\":1,\"bytes\":6") "\0" "\1\0\1\0\0\0";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		size_t head = (size_t)(strchr(bad[i], '\n') + 1 - bad[i]);

		assert_int_equal(feed_text(bad[i], i == 5 || i == 6 ? head + 7 : strlen(bad[i])), -EPROTO);
	}
	assert_int_equal(feed_text(good, sizeof(good) - 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packed_outcomes_become_their_lines_wherever_the_stream_is_cut),
		cmocka_unit_test(a_line_longer_than_the_output_gathers_is_written_too),
		cmocka_unit_test(what_had_not_come_whole_when_a_stream_broke_comes_again),
		cmocka_unit_test(packed_outcomes_that_are_none_end_the_stream_with_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
