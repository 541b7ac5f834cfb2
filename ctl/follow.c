/* follow: a job's events until it has ended. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "interrupt.h"
#include "protocol.h"
#include "progress.h"
#include "rejoin.h"
#include "select.h"
#include "table.h"
#include "talk.h"

#define MAX_EVENT_BYTES (1u << 20)

struct follow {
	const struct ctl *ctl;
	struct patience patience;
	char state[16]; /* that was last shown */
	struct buffer line; /* the beginning of an event whose end has not come */
	struct progress progress;
	bool ended;
	int status;
};

static void on_state(struct follow *f, const json_t *event)
{
	const char *at = member_text(event, "at", ""), *state = member_text(event, "state", "?"), *waiting = member_text(event, "waiting", "");

	if (strcmp(state, f->state) == 0)
		return; /* a stream that was taken up begins with what is known */
	(void)snprintf(f->state, sizeof(f->state), "%s", state);
	(void)printf("%.19s%s%s%s%s\n", at, *at ? " " : "", state, *waiting ? ": " : "", waiting);
	(void)fflush(stdout);
}

/* "task 3 (input '200') holds its thread, worker 4711.0, for 51.2 ms now: nanosleep+0x13 (libc.so.6) < ..." */
static void on_stall(const json_t *event)
{
	_cleanup_free_ char *input = text_clean(member_text(event, "input", ""), 60);
	char held[TEXT_DURATION_BYTES];
	const json_t *frame;
	size_t i;

	text_format_duration((int64_t)(member_number(event, "held_s", 0) * 1e9), held);
	if (member_count(event, "left_out") > 0)
		(void)printf("%" PRIu64 " times a task held its thread, not shown\n", member_count(event, "left_out"));
	(void)printf("%.19s task %" PRIu64, member_text(event, "since", ""), member_count(event, "index"));
	if (member_true(event, "ended")) {
		(void)printf(" held its thread for %s\n", held);
		return;
	}
	(void)printf(" (input '%s') holds its thread, worker %s, for %s now", input ? input : "", member_text(event, "worker", "?"),
		     held);
	json_array_foreach(json_object_get(event, "stack"), i, frame)
		(void)printf("%s%s", i == 0 ? ": " : " < ", json_string_value(frame));
	(void)printf("\n");
}

/* What its plugin logged, or the daemon about a service. */
static void on_log(const json_t *event)
{
	const char *level = member_text(event, "level", "info");
	uint64_t dropped = member_count(event, "dropped");
	bool plain = strcmp(level, "info") == 0;

	if (dropped > 0)
		(void)printf("(%" PRIu64 " lines were left out)\n", dropped);
	(void)printf("%.19s %s%s%s\n", member_text(event, "at", ""), plain ? "" : level, plain ? "" : ": ",
		     member_text(event, "message", ""));
	(void)fflush(stdout);
}

static void on_progress(struct follow *f, const json_t *event)
{
	const json_t *tasks = json_object_get(event, "tasks");
	char line[PROGRESS_LINE_BYTES];

	if (f->ctl->quiet)
		return;
	if (f->ctl->err_terminal) {
		progress_draw(&f->progress, tasks);
		return;
	}
	progress_format(&f->progress, tasks, clock_mono_ns(), 0, line);
	(void)printf("%s\n", line);
	(void)fflush(stdout);
}

static void on_job(struct follow *f, const json_t *event)
{
	const json_t *tasks = json_object_get(event, "tasks");

	f->ended = true;
	if (strcmp(member_text(event, "state", "?"), "done") != 0 || member_count(tasks, "failed") > 0 ||
	    member_count(tasks, "cancelled") > 0)
		f->status = EXIT_TASKS_FAILED;
	if (!f->ctl->json && !f->ctl->quiet)
		summary_print(stdout, event, "");
}

static int on_event(struct follow *f, const uint8_t *text, size_t len, struct error *err)
{
	_cleanup_json_ json_t *event = json_loadb((const char *)text, len, TALK_JSON_FLAGS, NULL);
	const char *type = member_text(event, "type", "");

	if (!*type && json_object_get(event, "error"))
		return talk_refused(event, 0, err);
	patience_found(&f->patience);
	if (strcmp(type, "progress") != 0)
		progress_erase(&f->progress);
	if (f->ctl->json) {
		(void)fwrite(text, 1, len, stdout);
		(void)fputc('\n', stdout);
		(void)fflush(stdout);
	}
	if (strcmp(type, "job") == 0)
		on_job(f, event);
	else if (!f->ctl->json && strcmp(type, "state") == 0)
		on_state(f, event);
	else if (!f->ctl->json && strcmp(type, "stall") == 0)
		on_stall(event);
	else if (!f->ctl->json && strcmp(type, "log") == 0)
		on_log(event);
	else if (!f->ctl->json && strcmp(type, "progress") == 0)
		on_progress(f, event);
	return 0;
}

static int feed(struct follow *f, const uint8_t *data, size_t len, struct error *err)
{
	const uint8_t *end = data + len;

	while (data < end) {
		const uint8_t *lf = memchr(data, '\n', (size_t)(end - data));
		int r;

		if (f->line.len + len > MAX_EVENT_BYTES)
			return -EPROTO;
		if (buffer_add(&f->line, data, (size_t)((lf ? lf : end) - data)) < 0)
			return -ENOMEM;
		if (!lf)
			return 0;
		r = on_event(f, f->line.data, f->line.len, err);
		f->line.len = 0;
		if (r < 0)
			return r;
		data = lf + 1;
	}
	return 0;
}

static int read_events(struct follow *f, struct http *http, const char *url, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	struct http_reply reply;
	int r = http_send(http, "GET", url, NULL, 0);

	if (r == 0)
		r = http_head(http, &reply);
	if (r == 0 && reply.status != 200) {
		r = talk_read(http, reply.status, &doc, err);
		return r < 0 ? r : -EPROTO;
	}
	http->out_fd = STDOUT_FILENO;
	while (r == 0) {
		const uint8_t *data;
		ssize_t n = http_read(http, &data);

		if (n <= 0)
			return n < 0 ? (int)n : f->ended ? 0 : -ECONNRESET;
		r = feed(f, data, (size_t)n, err);
	}
	return r;
}

/* Until the job has ended, also across restarts of the daemon. */
static int follow_through(struct follow *f, const char *job, struct error *err)
{
	char url[64];

	(void)snprintf(url, sizeof(url), "/v1/jobs/%s/follow", job);
	for (bool again = false;; again = true) {
		struct http *http = NULL;
		int r = talk_connect(f->ctl, &http, err);

		if (r == 0)
			r = read_events(f, http, url, err);
		http_close(http);
		if (f->ended || !patience_is_lost(r, err->code) || (!again && *err->text))
			return r;
		progress_erase(&f->progress);
		f->line.len = 0;
		r = patience_wait(&f->patience);
		if (r == -ETIMEDOUT)
			return -ECONNRESET;
		if (r < 0)
			return r;
		*err = (struct error)ERROR_INIT;
	}
}

int command_follow(struct ctl *ctl, struct error *err)
{
	struct follow f = { .ctl = ctl };
	char job[24];
	uint64_t id;
	int r = select_job(ctl, ctl->args.words[0], &id, err);

	if (r == 0)
		r = patience_init(&f.patience, ctl, err);
	if (r == 0)
		r = interrupt_install();
	if (r < 0)
		return r;
	progress_init(&f.progress, ctl->err_terminal && !ctl->quiet && !ctl->json);
	(void)snprintf(job, sizeof(job), "%" PRIu64, id);
	(void)snprintf(f.patience.what, sizeof(f.patience.what), "job %s", job);
	r = follow_through(&f, job, err);
	progress_erase(&f.progress);
	buffer_fini(&f.line);
	return r < 0 ? talk_failed(r, err) : f.status;
}
