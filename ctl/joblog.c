/* The job log: its file, its lines, the thread that reads the tasks. */
#include "joblog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "ctl.h"
#include "talk.h"

#define HEADER "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
#define LOST_MS 50 /* between tries while the daemon is gone */
/* Exit values of tasks that have none: those of timeout(1) and of a shell's Ctrl-C. */
#define EXITVAL_FAILED 1
#define EXITVAL_TIMEOUT 124
#define EXITVAL_CANCELLED 130

struct joblog {
	const struct ctl *ctl;
	char *path; /* owned */
	const char *workload;
	int fd;
	int stop_fd; /* readable: the thread is to end */
	int done_fd; /* readable: it has */
	char job[24];
	pthread_t thread;
	bool started, finished;
	_Atomic uint64_t n_lines; /* relaxed: only whether it grows is looked at */

	/* The thread's until it was joined. */
	uint8_t *seen; /* a bit a task */
	uint64_t seen_bits;
	struct buffer line; /* of JSON, whose end has not come */
	struct buffer out; /* lines for the file */
	bool ended; /* the job line came */
	int result; /* 0 or -errno: of a file that takes no more, of memory */
};

/* ---- The file ---- */

/* 0: it has no header yet; 1: it has, and ends in a newline; 2: it has, and its last line is cut. -errno with words. */
static int look_at_file(const struct joblog *log, struct error *err)
{
	char first[sizeof(HEADER) - 1], last;
	off_t size = lseek(log->fd, 0, SEEK_END);
	ssize_t n;

	if (size <= 0) /* a pipe or a terminal has no beginning */
		return 0;
	n = pread(log->fd, first, sizeof(first), 0);
	if (n != (ssize_t)sizeof(first) || memcmp(first, HEADER, sizeof(first)) != 0)
		return error_set(err, -EINVAL, "usage",
				 "option '--joblog': '%s' is something else than a job log; name a new file", log->path);
	if (pread(log->fd, &last, 1, size - 1) != 1)
		return 1;
	return last == '\n' ? 1 : 2;
}

static int open_file(struct joblog *log, struct error *err)
{
	int r;

	log->fd = open(log->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
	if (log->fd < 0 && (errno == EACCES || errno == ENXIO)) /* that can be written only */
		log->fd = open(log->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
	if (log->fd < 0)
		return error_set(err, -errno, "usage", "option '--joblog': cannot open '%s': %s", log->path,
				 strerror(errno));
	r = look_at_file(log, err);
	if (r < 0)
		return r;
	if (r != 1)
		r = r == 0 ? io_write_full(log->fd, HEADER, sizeof(HEADER) - 1) : io_write_full(log->fd, "\n", 1);
	else
		r = 0;
	if (r < 0)
		return error_set(err, r, "output", "option '--joblog': cannot write to '%s': %s", log->path, strerror(-r));
	return 0;
}

/* Elsewhere `-` is that; a file of this name is hardly ever meant. */
static int refuse_standard_output(struct error *err)
{
	return error_set(err, -EINVAL, "usage", "option '--joblog': '-' would be standard output, where the results go: name a file, or "
			 "/dev/stderr, or ./- where that is its name");
}

int joblog_open(const struct ctl *ctl, const char *path, const char *workload, struct joblog **ret_log, struct error *err)
{
	struct joblog *log;
	int r;

	if (strcmp(path, "-") == 0)
		return refuse_standard_output(err);
	log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->ctl = ctl;
	log->workload = workload;
	log->fd = -1;
	log->stop_fd = eventfd(0, EFD_CLOEXEC);
	log->done_fd = eventfd(0, EFD_CLOEXEC);
	log->path = strdup(path);
	r = log->stop_fd < 0 || log->done_fd < 0 ? -errno : log->path ? open_file(log, err) : -ENOMEM;
	if (r < 0) {
		joblog_close(log);
		return error_set(err, r, "internal", "option '--joblog': %s", strerror(-r));
	}
	*ret_log = log;
	return 0;
}

void joblog_close(struct joblog *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		(void)close(log->fd); /* every write was looked at */
	if (log->stop_fd >= 0)
		(void)close(log->stop_fd);
	if (log->done_fd >= 0)
		(void)close(log->done_fd);
	buffer_fini(&log->line);
	buffer_fini(&log->out);
	free(log->seen);
	free(log->path);
	free(log);
}

/* ---- A line ---- */

/* "2026-11-21T09:30:00.125Z" in seconds since 1970; 0 where it is none. */
static double unix_seconds(const char *text)
{
	struct tm tm = { .tm_isdst = 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	double fraction = rest && *rest == '.' ? strtod(rest, NULL) : 0;

	return rest ? (double)timegm(&tm) + fraction : 0;
}

static int signal_number(const char *name)
{
	if (strncmp(name, "SIG", 3) != 0)
		return 0;
	for (int i = 1; i < NSIG; i++) {
		const char *known = sigabbrev_np(i);

		if (known && strcmp(known, name + 3) == 0)
			return i;
	}
	return atoi(name + 3); /* a real-time signal has a number only */
}

static int exit_value(const json_t *task, const json_t *error)
{
	const char *state = member_text(task, "state", "");

	if (strcmp(state, "done") == 0)
		return 0;
	if (strcmp(state, "cancelled") == 0)
		return EXITVAL_CANCELLED;
	return strcmp(member_text(error, "code", ""), "timeout") == 0 ? EXITVAL_TIMEOUT : EXITVAL_FAILED;
}

/* As in results: what would end a field or a line is escaped. */
static int add_escaped(struct buffer *b, const char *text, size_t len)
{
	int r = 0;

	for (const char *end = text + len; text < end && r == 0; text++) {
		const char *escape = *text == '\\' ? "\\\\" : *text == '\t' ? "\\t" : *text == '\r' ? "\\r" :
				     *text == '\n' ? "\\n" : *text == '\0' ? "\\0" : NULL;

		r = escape ? buffer_add(b, escape, 2) : buffer_add(b, text, 1);
	}
	return r;
}

static int add_line(struct joblog *log, const json_t *task)
{
	const json_t *error = json_object_get(task, "error"), *input = json_object_get(task, "input");
	const char *base64 = member_text(task, "input_b64", "");
	int r = buffer_printf(&log->out, "%" PRIu64 "\t:\t%.3f\t%10.3f\t%zu\t%zu\t%d\t%d\t%s ",
			      member_count(task, "index") + 1, unix_seconds(member_text(task, "began", "")),
			      member_number(task, "wall_s", 0), member_bytes(task, "input", "input_b64"),
			      member_bytes(task, "result", "result_b64"), exit_value(task, error),
			      signal_number(member_text(error, "signal", "")), log->workload);

	if (r == 0 && json_is_string(input))
		r = add_escaped(&log->out, json_string_value(input), json_string_length(input));
	else if (r == 0)
		r = buffer_printf(&log->out, "base64:%s", base64);
	(void)atomic_fetch_add_explicit(&log->n_lines, 1, memory_order_relaxed);
	return r < 0 ? r : buffer_add(&log->out, "\n", 1);
}

/* Whole lines only, by one call: other processes may append to the same file. */
static int write_lines(struct joblog *log)
{
	int r = log->out.len > 0 ? io_write_full(log->fd, log->out.data, log->out.len) : 0;

	log->out.len = 0;
	return r;
}

/* ---- The tasks ---- */

/* Whether this task was not logged yet; from now on it is. -ENOMEM. */
static int is_new(struct joblog *log, uint64_t index)
{
	if (index >= log->seen_bits) {
		uint64_t bits = (index + 1) * 2 < 8192 ? 8192 : (index + 1) * 2;
		uint8_t *seen = realloc(log->seen, bits / 8 + 1);

		if (!seen)
			return -ENOMEM;
		memset(seen + log->seen_bits / 8, 0, bits / 8 + 1 - log->seen_bits / 8);
		log->seen = seen;
		log->seen_bits = bits / 8 * 8;
	}
	if (log->seen[index / 8] & 1u << index % 8)
		return 0;
	log->seen[index / 8] |= (uint8_t)(1u << index % 8);
	return 1;
}

static int take_line(struct joblog *log, const char *text, size_t len)
{
	_cleanup_json_ json_t *json = json_loadb(text, len, TALK_JSON_FLAGS, NULL);
	const char *type = member_text(json, "type", "");
	int r;

	if (strcmp(type, "job") == 0)
		log->ended = true;
	if (strcmp(type, "task") != 0)
		return 0;
	r = is_new(log, member_count(json, "index"));
	return r <= 0 ? r : add_line(log, json);
}

static int take_bytes(struct joblog *log, const uint8_t *data, size_t len)
{
	const uint8_t *end = data + len, *lf;
	int r = 0;

	while (r == 0 && (lf = memchr(data, '\n', (size_t)(end - data)))) {
		if (log->line.len == 0) {
			r = take_line(log, (const char *)data, (size_t)(lf - data));
		} else {
			r = buffer_add(&log->line, data, (size_t)(lf - data));
			if (r == 0)
				r = take_line(log, (const char *)log->line.data, log->line.len);
			log->line.len = 0;
		}
		data = lf + 1;
	}
	return r < 0 ? r : buffer_add(&log->line, data, (size_t)(end - data));
}

static int on_wait(void *arg)
{
	return write_lines(arg);
}

/* One stream from its beginning. What it returns counts only where log->result was not set. */
static int read_stream(struct joblog *log)
{
	struct error err = ERROR_INIT;
	struct http_reply reply;
	struct http *http = NULL;
	const uint8_t *data;
	char url[96];
	ssize_t n = 0;
	int r = talk_connect(log->ctl, &http, &err);

	if (r < 0)
		return r;
	http->wake_fd = log->stop_fd; /* a signal leaves the rest of the log to joblog_finish() */
	http->out_fd = -1;
	http->on_wait = on_wait;
	http->on_wait_arg = log;
	log->line.len = 0;
	(void)snprintf(url, sizeof(url), "/v1/jobs/%s/results?format=json&order=done&began=1", log->job);
	r = http_send(http, "GET", url, NULL, 0);
	if (r == 0)
		r = http_head(http, &reply);
	if (r == 0 && reply.status == 404) /* it was not durable, and its daemon is gone */
		log->result = -ENOENT;
	else if (r == 0 && reply.status >= 400 && reply.status < 500)
		log->result = -EPROTO; /* an older daemon, which does not tell when tasks began */
	while (r == 0 && reply.status == 200 && log->result == 0 && (n = http_read(http, &data)) > 0)
		log->result = take_bytes(log, data, (size_t)n);
	if (log->result == 0)
		log->result = write_lines(log);
	http_close(http);
	return r;
}

static bool is_set(int event_fd, int wait_ms)
{
	struct pollfd poll_fd = { .fd = event_fd, .events = POLLIN };

	return poll(&poll_fd, 1, wait_ms) > 0;
}

static void set(int event_fd)
{
	const uint64_t one = 1;

	(void)!write(event_fd, &one, sizeof(one)); /* set once: it has room */
}

static void *run_log(void *arg)
{
	struct joblog *log = arg;

	while (!log->ended && log->result == 0) {
		(void)read_stream(log); /* a daemon that is gone comes back, or joblog_finish() loses its patience */
		if (!log->ended && is_set(log->stop_fd, LOST_MS))
			break;
	}
	set(log->done_fd);
	return NULL;
}

int joblog_start(struct joblog *log, const char *job, struct error *err)
{
	sigset_t all, before;
	int r;

	if (!log || log->started)
		return 0;
	(void)snprintf(log->job, sizeof(log->job), "%s", job);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the main thread */
	r = -pthread_create(&log->thread, NULL, run_log, log);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return error_set(err, r, "internal", "option '--joblog': cannot start a thread: %s", strerror(-r));
	log->started = true;
	return 0;
}

int joblog_finish(struct joblog *log, int wait_ms, struct error *err)
{
	uint64_t before, now = 0;

	if (!log || !log->started || log->finished)
		return 0;
	do {
		before = now;
		if (is_set(log->done_fd, wait_ms))
			break;
		now = atomic_load_explicit(&log->n_lines, memory_order_relaxed);
	} while (wait_ms > 0 && now > before);
	set(log->stop_fd);
	(void)pthread_join(log->thread, NULL); /* it ends now */
	log->finished = true;
	if (log->result == -ENOENT)
		return error_set(err, -ENOENT, "output", "the job log '%s' is incomplete: the daemon has forgotten the job",
				 log->path);
	if (log->result == -EPROTO)
		return error_set(err, -EPROTO, "output", "the job log '%s' is incomplete: the daemon does not know what it "
				 "needs; is it older than this concctl?", log->path);
	if (log->result < 0)
		return error_set(err, log->result, "output", "cannot write to the job log '%s': %s", log->path,
				 strerror(-log->result));
	if (!log->ended)
		return error_set(err, -EINTR, "output", "the job log '%s' is incomplete: job %s has not ended", log->path,
				 log->job);
	return 0;
}
