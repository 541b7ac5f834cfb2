/* ctl/inputs.c: words and files become pieces, exactly. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "ctl/inputs.h"
#include "ctl/protocol.h"

static char dir[] = "/tmp/ctl-inputs-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir);
}

static void write_file(const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, data, len), 0);
	(void)close(fd);
}

/* All pieces of `in`, unpacked as inputs with '|' behind each. */
static void unpack(struct inputs *in, struct buffer *got, size_t *ret_pieces)
{
	_cleanup_buffer_ struct buffer piece = BUFFER_INIT;
	bool last = false;

	for (*ret_pieces = 0; !last; (*ret_pieces)++) {
		struct error err = ERROR_INIT;
		int count = inputs_next(in, &piece, &last, &err);
		const uint8_t *at = piece.data, *data = NULL;
		size_t len = 0;

		assert_true(count >= 0);
		assert_true(piece.len <= PROTOCOL_MAX_BODY_BYTES - PROTOCOL_MAX_HEADER_BYTES);
		for (int i = 0; i < count; i++) {
			at = packed_next(at, piece.data + piece.len, &data, &len);
			assert_non_null(at);
			assert_int_equal(buffer_add(got, data, len), 0);
			assert_int_equal(buffer_add(got, "|", 1), 0);
		}
		assert_true(count == 0 || at == piece.data + piece.len);
	}
}

static void expect_from_file(const char *content, size_t content_len, char end, const char *want, size_t want_len)
{
	const char *const words[] = { "word", "" }, *const files[] = { path };
	_cleanup_buffer_ struct buffer got = BUFFER_INIT;
	struct error err = ERROR_INIT;
	struct inputs in;
	size_t pieces;

	write_file(content, content_len);
	assert_int_equal(inputs_open(&in, words, 2, files, 1, end, &err), 0);
	unpack(&in, &got, &pieces);
	inputs_close(&in);
	assert_int_equal(pieces, 1);
	assert_int_equal(got.len, want_len + 6);
	assert_memory_equal(got.data, "word||", 6);
	assert_memory_equal(got.data + 6, want, want_len);
}

#define EXPECT(content, end, want) expect_from_file(content, sizeof(content) - 1, end, want, sizeof(want) - 1)

static void test_every_line_is_an_input_byte_for_byte(void **state)
{
	(void)state;
	EXPECT("", '\n', "");
	EXPECT("a\nb\n", '\n', "a|b|");
	EXPECT("a\nb", '\n', "a|b|"); /* the last end may be missing */
	EXPECT("\n\n", '\n', "||");
	EXPECT("a b\r\n\xff\xfe\n", '\n', "a b\r|\xff\xfe|");
	EXPECT("a\0b\n", '\n', "a\0b|");
	EXPECT("a\nb\0c\0", '\0', "a\nb|c|");
}

static void test_lines_of_every_length_lie_beside_each_other(void **state)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT, want = BUFFER_INIT;

	(void)state;
	for (int i = 0; i < 40 * 41; i++) {
		int len = i % 41 * (i / 41 + 1) % 41; /* each behind every other */

		for (int k = 0; k < len; k++) {
			uint8_t byte = (uint8_t)("ab\x8a\x0b\x09"[(i + k) % 5]); /* some that differ from the end in one bit */

			assert_int_equal(buffer_add(&text, &byte, 1), 0);
			assert_int_equal(buffer_add(&want, &byte, 1), 0);
		}
		assert_int_equal(buffer_add(&text, "\n", 1), 0);
		assert_int_equal(buffer_add(&want, "|", 1), 0);
	}
	for (size_t cut = 0; cut < 40; cut++) /* as the file's end comes near */
		expect_from_file((char *)text.data + cut, text.len - cut, '\n', (char *)want.data + cut, want.len - cut);
}

static void test_many_lines_are_cut_into_pieces_with_nothing_lost(void **state)
{
	const char *const files[] = { path, path };
	_cleanup_buffer_ struct buffer text = BUFFER_INIT, got = BUFFER_INIT;
	struct error err = ERROR_INIT;
	struct inputs in;
	size_t pieces;

	(void)state;
	for (int i = 0; i < 300000; i++)
		assert_int_equal(buffer_printf(&text, "%d|", i), 0);
	for (size_t i = 0; i < text.len; i++)
		text.data[i] = text.data[i] == '|' ? '\n' : text.data[i];
	write_file(text.data, text.len);
	for (size_t i = 0; i < text.len; i++)
		text.data[i] = text.data[i] == '\n' ? '|' : text.data[i];
	assert_int_equal(inputs_open(&in, NULL, 0, files, 2, '\n', &err), 0);
	unpack(&in, &got, &pieces);
	inputs_close(&in);
	assert_int_equal(pieces, 4); /* 2 x 1.9 MB in pieces of 1 MiB */
	assert_int_equal(got.len, 2 * text.len);
	assert_memory_equal(got.data, text.data, text.len);
	assert_memory_equal(got.data + text.len, text.data, text.len);
}

static void test_an_input_of_exactly_the_limit_passes_and_one_byte_more_does_not(void **state)
{
	_cleanup_free_ char *text = malloc(PROTOCOL_MAX_INPUT_BYTES + 3);
	const char *const files[] = { path };
	_cleanup_buffer_ struct buffer got = BUFFER_INIT, piece = BUFFER_INIT;
	struct error err = ERROR_INIT;
	struct inputs in;
	size_t pieces;
	bool last;

	(void)state;
	memset(text, 'x', PROTOCOL_MAX_INPUT_BYTES + 3);
	text[0] = 'a';
	text[1] = '\n';
	text[PROTOCOL_MAX_INPUT_BYTES + 2] = '\n';
	write_file(text, PROTOCOL_MAX_INPUT_BYTES + 2);
	assert_int_equal(inputs_open(&in, NULL, 0, files, 1, '\n', &err), 0);
	unpack(&in, &got, &pieces);
	inputs_close(&in);
	assert_int_equal(got.len, PROTOCOL_MAX_INPUT_BYTES + 3);
	assert_int_equal(pieces, 2);
	text[PROTOCOL_MAX_INPUT_BYTES + 2] = 'x';
	write_file(text, PROTOCOL_MAX_INPUT_BYTES + 3);
	assert_int_equal(inputs_open(&in, NULL, 0, files, 1, '\n', &err), 0);
	assert_int_equal(inputs_next(&in, &piece, &last, &err), -EMSGSIZE);
	assert_string_equal(err.code, "too-large");
	assert_non_null(strstr(err.text, "input 2 "));
	inputs_close(&in);
}

static void test_pieces_begin_and_grow_as_is_asked_for(void **state)
{
	static const size_t wanted[] = { 1000, 4000, 10000, 10000 };
	const char *const files[] = { path };
	_cleanup_buffer_ struct buffer piece = BUFFER_INIT;
	_cleanup_free_ char *text = malloc(PROTOCOL_PIECE_BYTES + 1);
	struct error err = ERROR_INIT;
	struct inputs in;
	bool last;

	(void)state;
	memset(text, '\n', PROTOCOL_PIECE_BYTES + 1); /* empty inputs, of a byte each */
	write_file(text, PROTOCOL_PIECE_BYTES);
	assert_int_equal(inputs_open(&in, NULL, 0, files, 1, '\n', &err), 0);
	assert_false(inputs_are_many(&in));
	inputs_close(&in);
	write_file(text, PROTOCOL_PIECE_BYTES + 1);
	assert_int_equal(inputs_open(&in, NULL, 0, files, 1, '\n', &err), 0);
	assert_true(inputs_are_many(&in));
	assert_true(inputs_are_at_hand(&in));
	in.piece_bytes = 1000;
	in.most_bytes = 10000;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		assert_in_range(inputs_next(&in, &piece, &last, &err), wanted[i] - VARINT_MAX_BYTES, wanted[i]);
		assert_true(piece.len <= wanted[i]);
		assert_false(last);
	}
	inputs_close(&in);
}

static void test_only_what_lies_in_files_is_known_and_at_hand(void **state)
{
	const char *const files[] = { path, "-" };
	struct error err = ERROR_INIT;
	struct inputs in;
	int fds[2], stdin_fd = dup(STDIN_FILENO);

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(stdin_fd >= 0 && dup2(fds[0], STDIN_FILENO) == STDIN_FILENO);
	write_file("one\n", 4);
	assert_int_equal(inputs_open(&in, NULL, 0, files, 2, '\n', &err), 0);
	assert_false(inputs_are_many(&in));
	assert_false(inputs_are_at_hand(&in)); /* whoever waits for the file's inputs may wait for the pipe's */
	inputs_close(&in);
	assert_int_equal(dup2(stdin_fd, STDIN_FILENO), STDIN_FILENO);
	(void)close(stdin_fd);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void test_a_file_that_cannot_be_read_is_named_before_anything_runs(void **state)
{
	const char *const missing[] = { "/nonexistent/file" }, *const directory[] = { dir };
	struct error err = ERROR_INIT;
	struct inputs in;

	(void)state;
	assert_int_equal(inputs_open(&in, NULL, 0, missing, 1, '\n', &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/file"));
	assert_string_equal(err.code, "usage");
	inputs_close(&in);
	err = (struct error)ERROR_INIT;
	assert_int_equal(inputs_open(&in, NULL, 0, directory, 1, '\n', &err), -EISDIR);
	inputs_close(&in);
}

static void test_a_pipe_that_pauses_does_not_hold_back_what_it_gave(void **state)
{
	_cleanup_buffer_ struct buffer piece = BUFFER_INIT;
	struct error err = ERROR_INIT;
	struct input_file file = { .name = "pipe", .may_pause = true };
	struct inputs in = { .files = &file, .n_files = 1, .end = '\n', .wake_fd = -1, .pause_ms = 1,
			     .piece_bytes = PROTOCOL_PIECE_BYTES, .most_bytes = PROTOCOL_PIECE_BYTES };
	bool last = true;
	int fds[2], wake[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(pipe2(wake, O_CLOEXEC), 0);
	file.fd = fds[0];
	assert_int_equal(write(fds[1], "one\ntwo\nthr", 11), 11);
	assert_int_equal(inputs_next(&in, &piece, &last, &err), 2);
	assert_false(last);
	in.wake_fd = wake[0];
	assert_int_equal(write(wake[1], "", 1), 1);
	assert_int_equal(inputs_next(&in, &piece, &last, &err), -EINTR);
	in.wake_fd = -1;
	assert_int_equal(write(fds[1], "ee\n", 3), 3);
	(void)close(fds[1]);
	assert_int_equal(inputs_next(&in, &piece, &last, &err), 1);
	assert_true(last);
	assert_memory_equal(piece.data, "\005three", 6);
	buffer_fini(&in.raw);
	(void)close(fds[0]);
	(void)close(wake[0]);
	(void)close(wake[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_line_is_an_input_byte_for_byte),
		cmocka_unit_test(test_lines_of_every_length_lie_beside_each_other),
		cmocka_unit_test(test_many_lines_are_cut_into_pieces_with_nothing_lost),
		cmocka_unit_test(test_an_input_of_exactly_the_limit_passes_and_one_byte_more_does_not),
		cmocka_unit_test(test_pieces_begin_and_grow_as_is_asked_for),
		cmocka_unit_test(test_only_what_lies_in_files_is_known_and_at_hand),
		cmocka_unit_test(test_a_file_that_cannot_be_read_is_named_before_anything_runs),
		cmocka_unit_test(test_a_pipe_that_pauses_does_not_hold_back_what_it_gave),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
