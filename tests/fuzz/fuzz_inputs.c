/* Files of inputs as concctl cuts them into pieces: every byte but the separators arrives. */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/io.h"
#include "ctl/inputs.h"

static void add_piece(const struct buffer *piece, int count, char end, struct buffer *joined)
{
	const uint8_t *at = piece->data, *behind = at ? at + piece->len : at, *input;
	size_t len;

	for (; count > 0; count--) {
		at = packed_next(at, behind, &input, &len);
		FUZZ_CHECK(at && !memchr(input, end, len));
		FUZZ_CHECK(buffer_add(joined, input, len) == 0 && buffer_add(joined, &end, 1) == 0);
	}
	FUZZ_CHECK(at == behind);
}

static void check(const uint8_t *data, size_t size, char end)
{
	_cleanup_buffer_ struct buffer piece = BUFFER_INIT, joined = BUFFER_INIT;
	struct error err = ERROR_INIT;
	struct inputs in = { .wake_fd = -1 };
	int fd = memfd_create("inputs", MFD_CLOEXEC);
	const char *file;
	char path[64];
	bool last = false;

	FUZZ_CHECK(fd >= 0 && io_write_full(fd, data, size) == 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fits */
	file = path;
	FUZZ_CHECK(inputs_open(&in, NULL, 0, &file, 1, end, &err) == 0);
	in.wake_fd = -1;
	in.pause_ms = -1;
	while (!last) {
		int count = inputs_next(&in, &piece, &last, &err);

		FUZZ_CHECK(count >= 0);
		add_piece(&piece, count, end, &joined);
	}
	/* The last one may lack its end in the file. */
	FUZZ_CHECK(joined.len == size || joined.len == size + 1);
	FUZZ_CHECK(size == 0 || memcmp(joined.data, data, size) == 0);
	FUZZ_CHECK(joined.len == size || data[size - 1] != (uint8_t)end);
	inputs_close(&in);
	(void)close(fd); /* memory */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size, '\n');
	check(data, size, '\0');
	return 0;
}
