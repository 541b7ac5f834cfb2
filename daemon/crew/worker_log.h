/* What a worker process writes to its standard output and error, and what its plugin logs: into the daemon's log, line
 * by line, under one rate limit; what is dropped is counted and said. The last lines are kept for the story of a
 * death. */
#ifndef CONCD_CREW_WORKER_LOG_H
#define CONCD_CREW_WORKER_LOG_H

#include <stddef.h>
#include <stdint.h>

struct event;
struct event_base;

#define WORKER_LOG_LINE_BYTES 1024
#define WORKER_LOG_TAIL_BYTES 1024

struct worker_log {
	const char *workload; /* borrowed */
	uint32_t pid;
	int fd; /* the pipe's read end; -1: closed */
	struct event *event;
	int64_t refilled_ns;
	uint32_t tokens; /* lines that may be written now */
	uint64_t dropped; /* not yet said */
	size_t len; /* of the unfinished line */
	size_t tail_len;
	char line[WORKER_LOG_LINE_BYTES];
	char tail[WORKER_LOG_TAIL_BYTES]; /* the last lines, each ending with a newline but the last */
};

/* Take over the read end (non-blocking) and serve it on the base. 0, -ENOMEM (fd is then the caller's). */
int worker_log_open(struct worker_log *log, struct event_base *base, const char *workload, uint32_t pid, int fd);
void worker_log_close(struct worker_log *log); /* reads what is left, says what was dropped */
/* One line from elsewhere (the plugin's log); level as in CONCD_LOG_*. */
void worker_log_line(struct worker_log *log, unsigned int level, const char *text, size_t len);
void worker_log_count_dropped(struct worker_log *log, uint64_t lines);
void worker_log_drain(struct worker_log *log); /* read what waits, a bounded amount */
const char *worker_log_tail(struct worker_log *log); /* NUL-terminated; valid until the next call */

#endif
