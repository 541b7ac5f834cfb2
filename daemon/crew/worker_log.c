/* The output of a worker process. The pipe's writer is untrusted: lines are cut, bytes that are no text are
 * replaced. */
#include "crew/worker_log.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"

#define LINES_PER_S 100u
#define LINES_BURST 500u
#define DRAIN_BYTES (64u << 10) /* in one go; more waits for the loop's next turn */

static void say_dropped(struct worker_log *log)
{
	if (log->dropped == 0)
		return;
	log_warning("%s[%u]: %llu log lines were dropped: more than %u a second", log->workload, log->pid,
		    (unsigned long long)log->dropped, LINES_PER_S);
	log->dropped = 0;
}

static bool take_token(struct worker_log *log)
{
	int64_t now, more;

	if (log->tokens == 0) {
		now = clock_mono_ns();
		more = (now - log->refilled_ns) / (NS_PER_S / LINES_PER_S);
		if (more <= 0)
			return false;
		log->refilled_ns = now;
		log->tokens = more > LINES_BURST ? LINES_BURST : (uint32_t)more;
		say_dropped(log);
	}
	log->tokens--;
	return true;
}

/* Keep the newest bytes, whole lines where they fit. */
static void keep_tail(struct worker_log *log, const char *text, size_t len)
{
	size_t room = sizeof(log->tail) - 1;
	char *cut;

	if (len > room - 1)
		len = room - 1;
	if (log->tail_len > 0 && log->tail_len + 1 + len > room) {
		size_t drop = log->tail_len + 1 + len - room;

		cut = memchr(log->tail + drop, '\n', log->tail_len - drop);
		drop = cut ? (size_t)(cut - log->tail) + 1 : log->tail_len;
		memmove(log->tail, log->tail + drop, log->tail_len - drop);
		log->tail_len -= drop;
	}
	if (log->tail_len > 0)
		log->tail[log->tail_len++] = '\n';
	memcpy(log->tail + log->tail_len, text, len);
	log->tail_len += len;
}

void worker_log_line(struct worker_log *log, unsigned int level, const char *text, size_t len)
{
	char clean[WORKER_LOG_LINE_BYTES];

	if (len > sizeof(clean) - 1)
		len = sizeof(clean) - 1;
	for (size_t i = 0; i < len; i++)
		clean[i] = ((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f ? '?' : text[i];
	clean[len] = '\0';
	keep_tail(log, clean, len);
	if (!take_token(log)) {
		log->dropped++;
		return;
	}
	log_write(level <= LOG_LEVEL_DEBUG ? (enum log_level)level : LOG_LEVEL_INFO, "%s[%u]: %s", log->workload,
		  log->pid, clean);
}

void worker_log_count_dropped(struct worker_log *log, uint64_t lines)
{
	/* A number from the worker: it cannot make the sum wrap. */
	log->dropped = lines > UINT32_MAX ? log->dropped + UINT32_MAX : log->dropped + lines;
}

static void take_bytes(struct worker_log *log, const char *data, size_t len)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		size_t room = sizeof(log->line) - 1 - log->len; /* as worker_log_line() takes */
		bool whole = end && n <= room;

		if (n > room)
			n = room;
		memcpy(log->line + log->len, data, n);
		log->len += n;
		if (whole || log->len == sizeof(log->line) - 1) {
			if (log->len > 0)
				worker_log_line(log, LOG_LEVEL_INFO, log->line, log->len);
			log->len = 0;
		}
		n += whole ? 1 : 0;
		data += n;
		len -= n;
	}
}

/* Returns false at the end of the pipe. */
static bool drain(struct worker_log *log)
{
	char data[4096];

	for (size_t total = 0; total < DRAIN_BYTES;) {
		ssize_t n = read(log->fd, data, sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		take_bytes(log, data, (size_t)n);
		total += (size_t)n;
	}
	return true;
}

void worker_log_drain(struct worker_log *log)
{
	if (log->fd < 0 || drain(log))
		return;
	event_free(log->event);
	log->event = NULL;
	(void)close(log->fd); /* a read end: nothing to lose */
	log->fd = -1;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* it is in the struct */
	(void)what;
	worker_log_drain(arg);
}

int worker_log_open(struct worker_log *log, struct event_base *base, const char *workload, uint32_t pid, int fd)
{
	*log = (struct worker_log){
		.workload = workload, .pid = pid, .fd = -1, .tokens = LINES_BURST, .refilled_ns = clock_mono_ns()
	};
	log->event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, log);
	if (!log->event || event_add(log->event, NULL) < 0) {
		if (log->event)
			event_free(log->event);
		log->event = NULL;
		return -ENOMEM;
	}
	log->fd = fd;
	return 0;
}

void worker_log_close(struct worker_log *log)
{
	worker_log_drain(log);
	if (log->len > 0)
		worker_log_line(log, LOG_LEVEL_INFO, log->line, log->len);
	log->len = 0;
	say_dropped(log);
	if (log->event)
		event_free(log->event);
	log->event = NULL;
	if (log->fd >= 0)
		(void)close(log->fd); /* a read end: nothing to lose */
	log->fd = -1;
}

const char *worker_log_tail(struct worker_log *log)
{
	log->tail[log->tail_len] = '\0';
	return log->tail;
}
