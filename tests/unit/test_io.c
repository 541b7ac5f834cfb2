/* base/io.c: reads and writes that finish although the kernel does them in pieces. */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/io.h"

#define MANY (1024 * 1024) /* more than a pipe holds */

static char dir[] = "/tmp/concd-test-io-XXXXXX";
static char path[128];

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/file", dir); /* fits */
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	(void)unlink(path); /* not every test makes it */
	return rmdir(dir);
}

struct writer {
	int fd;
	int status;
	uint8_t *data;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;

	w->status = io_write_full(w->fd, w->data, MANY);
	(void)close(w->fd); /* the reader sees the end */
	return NULL;
}

static void test_more_than_a_pipe_holds_arrives_whole(void **state)
{
	_cleanup_free_ uint8_t *in = malloc(MANY), *out = malloc(MANY + 1);
	struct writer w = { .data = in };
	pthread_t thread;
	int fds[2];

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		in[i] = (uint8_t)(i * 7);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	w.fd = fds[1];
	assert_int_equal(pthread_create(&thread, NULL, write_all, &w), 0);
	assert_int_equal(io_read_full(fds[0], out, MANY + 1), MANY); /* one more than there is: ends at end of file */
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w.status, 0);
	assert_memory_equal(in, out, MANY);
	assert_int_equal(close(fds[0]), 0);
}

static void test_a_reader_that_is_gone_is_an_error(void **state)
{
	int fds[2];

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(io_write_full(fds[1], "x", 1), -EPIPE);
	assert_int_equal(close(fds[1]), 0);
	assert_int_equal(io_write_full(fds[1], "x", 1), -EBADF);
	assert_int_equal(io_read_full(fds[1], path, 1), -EBADF);
}

static void test_positions_are_kept_in_files(void **state)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char text[16] = "";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(io_pwrite_full(fd, "world", 5, 6), 0);
	assert_int_equal(io_pwrite_full(fd, "hello ", 6, 0), 0);
	assert_int_equal(io_pread_full(fd, text, sizeof(text), 0), 11);
	assert_memory_equal(text, "hello world", 11);
	assert_int_equal(io_pread_full(fd, text, 5, 100), 0);
}

static void test_a_file_is_read_whole_behind_what_the_buffer_has(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	_cleanup_free_ char *big = calloc(1, 100000);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(io_write_full(fd, big, 100000), 0);
	assert_int_equal(buffer_add(&b, "abc", 3), 0);
	assert_int_equal(io_read_file(path, 100000, &b), 0);
	assert_int_equal(b.len, 100003);
	assert_memory_equal(b.data, "abc\0", 4);
}

static void test_a_file_over_the_limit_or_missing_is_refused(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(io_write_full(fd, "12345", 5), 0);
	assert_int_equal(io_read_file(path, 4, &b), -EFBIG);
	assert_int_equal(io_read_file("/nonexistent/file", 4, &b), -ENOENT);
	assert_int_equal(io_read_file(dir, 4, &b), -EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_than_a_pipe_holds_arrives_whole),
		cmocka_unit_test(test_a_reader_that_is_gone_is_an_error),
		cmocka_unit_test(test_positions_are_kept_in_files),
		cmocka_unit_test(test_a_file_is_read_whole_behind_what_the_buffer_has),
		cmocka_unit_test(test_a_file_over_the_limit_or_missing_is_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
