/* What a worker process writes to its standard output and error, and lines from its plugin. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/buffer.h"
#include "base/log.h"
#include "crew/worker_log.h"

/* A line of the log is text of bounded length, whatever came. */
void log_write(enum log_level level, const char *format, ...)
{
	char line[4096];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	FUZZ_CHECK(level <= LOG_LEVEL_DEBUG && n > 0 && n < (int)sizeof(line));
	for (int i = 0; i < n; i++)
		FUZZ_CHECK((unsigned char)line[i] >= ' ' || line[i] == '\t');
}

static void write_pieces(struct worker_log *log, int fd, const uint8_t *data, size_t size, size_t step)
{
	while (size > 0) {
		size_t n = size < step ? size : step;

		FUZZ_CHECK(write(fd, data, n) == (ssize_t)n);
		worker_log_drain(log);
		data += n;
		size -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	size_t step = 1 + (size_t)fuzz_byte(&data, &size) * 8;
	struct worker_log log;
	int fds[2];

	if (!base)
		base = event_base_new();
	FUZZ_CHECK(base && pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
	FUZZ_CHECK(worker_log_open(&log, base, "w", 7, fds[0]) == 0);
	write_pieces(&log, fds[1], data, size, step);
	worker_log_line(&log, step & 0xff, (const char *)data, size);
	worker_log_count_dropped(&log, size > 0 ? UINT64_MAX - data[0] : 1);
	(void)close(fds[1]); /* the worker's end: it has died */
	worker_log_close(&log);
	FUZZ_CHECK(strlen(worker_log_tail(&log)) < WORKER_LOG_TAIL_BYTES);
	return 0;
}
