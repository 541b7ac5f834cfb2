/* GET /v1/jobs/ID/follow: a job's states and counts as they change, and lines of its log, one JSON object a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "control/server.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define PROGRESS_NS (500 * NS_PER_MS)
#define MAX_STALLS 64 /* likewise */
#define MAX_STATES 16 /* changes between two turns of the loop */
#define MAX_LINES 256 /* of its log that wait for a reader; at most 1 KiB each */
#define SEND_BYTES (16u << 10) /* of lines, before what was sent is read */
#define DROPPED_BYTES 48 /* the end of a line */

/* A line as it is sent, but for the brace at its end. All who follow the job share it: there may be thousands. */
struct line {
	uint64_t number; /* of the log line */
	uint32_t refs;
	size_t len;
	char *text;
};

/* One that is not sent yet to this follower. */
struct pending {
	STAILQ_ENTRY(pending) link;
	struct line *line;
	uint64_t dropped; /* before it */
};

struct follower {
	struct http_request *req;
	struct job *job;
	struct job_watch watch;
	struct event kick; /* activated, or as a timer for progress */

	enum job_state states[MAX_STATES]; /* not sent yet, with when they came */
	int64_t states_unix_us[MAX_STATES];
	size_t n_states;
	bool shown_paused; /* by the last one */
	json_t *stalls[MAX_STALLS]; /* not sent yet; owned */
	size_t n_stalls;
	uint64_t stalls_left_out;
	STAILQ_HEAD(, pending) lines;
	size_t n_lines;
	uint64_t dropped; /* behind these, for want of room or memory */
	bool progressed;
	bool ended;
	int64_t progress_ns; /* when the last was sent */
};

static void line_unref(struct line *line)
{
	if (!line || --line->refs > 0)
		return;
	free(line->text);
	free(line);
}

static struct line *line_new(const struct job *job, const struct job_log *log)
{
	struct line *line = calloc(1, sizeof(*line));
	struct job_view view;
	json_t *event, *rest = document_log(log);

	job_view(job, &view);
	event = json_pack("{s:i, s:s, s:o}", "schema", PROTOCOL_SCHEMA, "type", "log", "job",
			  json_sprintf("%llu", (unsigned long long)view.id));
	if (line && event && rest && json_object_update(event, rest) == 0)
		line->text = document_dump(event, &line->len);
	json_decref(event);
	json_decref(rest);
	if (!line || !line->text) {
		free(line);
		return NULL;
	}
	line->number = log->number;
	line->len--; /* the brace */
	line->refs = 1;
	return line;
}

/* What is sent of this log line: made for the first follower that hears of it, for the others a reference. NULL: no memory. */
static struct line *line_get(const struct job *job, const struct job_log *log)
{
	static struct line *last; /* the control thread's alone */

	if (!last || log->number == 0 || last->number != log->number) {
		line_unref(last);
		last = line_new(job, log);
	}
	if (last)
		last->refs++;
	return last;
}

static void drop_line(struct follower *follower)
{
	struct pending *pending = STAILQ_FIRST(&follower->lines);

	STAILQ_REMOVE_HEAD(&follower->lines, link);
	follower->n_lines--;
	line_unref(pending->line);
	free(pending);
}

static void follower_free(struct follower *follower)
{
	while (!STAILQ_EMPTY(&follower->lines))
		drop_line(follower);
	(void)event_del(&follower->kick); /* fails for an event without a base only */
	job_unwatch(&follower->watch);
	for (size_t i = 0; i < follower->n_stalls; i++)
		json_decref(follower->stalls[i]);
	job_unref(follower->job);
	free(follower);
}

static void on_follower_gone(struct http_request *req)
{
	follower_free(req->user);
}

/* Send what was made, where r, the result of making it, is 0, as a line. */
static int send_made(struct follower *follower, int r, const struct buffer *text)
{
	uint8_t *at = r == 0 ? http_chunk_reserve(follower->req, text->len + 1) : NULL;

	if (!at)
		return -ENOMEM;
	memcpy(at, text->data, text->len);
	at[text->len] = '\n';
	http_chunk_commit(follower->req, text->len + 1);
	return 0;
}

/* Send a document as a line; takes ownership. */
static int send_line(struct follower *follower, json_t *document)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	int r = document_add(&text, document);

	return send_made(follower, r, &text);
}

static json_t *id_text(const struct job_view *view)
{
	return json_sprintf("%llu", (unsigned long long)view->id);
}

static int send_states(struct follower *follower, const struct job_view *view)
{
	for (size_t i = 0; i < follower->n_states; i++) {
		/* Of those that are over by now nobody knows it any more. */
		bool waits = follower->states[i] == view->state && view->waiting;
		char at[CLOCK_TEXT_BYTES];
		int r;

		clock_format_unix_us(follower->states_unix_us[i], at);
		r = send_line(follower, json_pack("{s:i, s:s, s:o, s:s, s:s, s:o}", "schema", PROTOCOL_SCHEMA, "type", "state",
						  "job", id_text(view), "state", job_state_name(follower->states[i]),
						  "at", at, "waiting", document_text(waits ? view->waiting : "")));
		if (r < 0)
			return r;
		follower->shown_paused = follower->states[i] == JOB_PAUSED;
	}
	follower->n_states = 0;
	return 0;
}

static int send_stalls(struct follower *follower, const struct job_view *view)
{
	int r = 0;

	for (size_t i = 0; i < follower->n_stalls; i++) {
		json_t *line = json_pack("{s:i, s:s, s:o, s:I}", "schema", PROTOCOL_SCHEMA, "type", "stall", "job",
					 id_text(view), "left_out", (json_int_t)follower->stalls_left_out);

		follower->stalls_left_out = 0;
		if (line && json_object_update(line, follower->stalls[i]) < 0) {
			json_decref(line);
			line = NULL;
		}
		json_decref(follower->stalls[i]);
		if (r == 0)
			r = send_line(follower, line);
		else
			json_decref(line);
	}
	follower->n_stalls = 0;
	return r;
}

/* Some of them: the rest waits here, where it is shared, until these are read. */
static int send_lines(struct follower *follower)
{
	const struct pending *pending;

	while ((pending = STAILQ_FIRST(&follower->lines)) && http_queued(follower->req) < SEND_BYTES) {
		const struct line *line = pending->line;
		uint8_t *at = http_chunk_reserve(follower->req, line->len + DROPPED_BYTES);
		int n;

		if (!at)
			return -ENOMEM;
		memcpy(at, line->text, line->len);
		if (pending->dropped > 0)
			n = snprintf((char *)at + line->len, DROPPED_BYTES, ",\"dropped\":%llu}\n",
				     (unsigned long long)pending->dropped);
		else
			n = snprintf((char *)at + line->len, DROPPED_BYTES, "}\n");
		http_chunk_commit(follower->req, line->len + (size_t)n);
		drop_line(follower);
	}
	return 0;
}

static int send_progress(struct follower *follower, const struct job_view *view)
{
	int64_t now_ns = clock_mono_ns(), left_ns = follower->progress_ns + PROGRESS_NS - now_ns;
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	int r;

	if (!follower->progressed || follower->ended || view->service.is_service) /* whose one task is never done */
		return 0;
	if (left_ns > 0) {
		const struct timeval tv = { .tv_usec = (suseconds_t)(left_ns / NS_PER_US) + 1 };

		return evtimer_add(&follower->kick, &tv) < 0 ? -ENOMEM : 0;
	}
	follower->progressed = false;
	follower->progress_ns = now_ns;
	r = job_text_progress(&text, view);
	return send_made(follower, r, &text);
}

static int send_last(struct follower *follower, const struct job_view *view)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	int r = job_text_line(&text, view, "job", true);

	return send_made(follower, r, &text);
}

static void add_state(struct follower *follower, enum job_state state, int64_t unix_us)
{
	/* of more changes than fit while nobody reads, the oldest are left out */
	if (follower->n_states == MAX_STATES) {
		follower->n_states--;
		memmove(follower->states, follower->states + 1, sizeof(follower->states[0]) * (MAX_STATES - 1));
		memmove(follower->states_unix_us, follower->states_unix_us + 1,
			sizeof(follower->states_unix_us[0]) * (MAX_STATES - 1));
	}
	follower->states[follower->n_states] = state;
	follower->states_unix_us[follower->n_states++] = unix_us;
	follower->ended = job_state_ended(state);
}

/* A pause of everything, or of all of its workload, is no state of a job, and yet how it is. */
static void look_for_hold(struct follower *follower, const struct job_view *view)
{
	bool paused = follower->n_states > 0 ? follower->states[follower->n_states - 1] == JOB_PAUSED : follower->shown_paused;

	if (!follower->ended && paused != (view->state == JOB_PAUSED))
		add_state(follower, view->state, clock_unix_us());
}

/* Send what there is to say. May free the follower. */
static void follower_go_on(struct follower *follower)
{
	struct job_view view;
	int r;

	if (http_queued(follower->req) > 0)
		return; /* on_writable goes on */
	job_view(follower->job, &view);
	look_for_hold(follower, &view);
	r = send_stalls(follower, &view);
	if (r == 0)
		r = send_states(follower, &view);
	if (r == 0)
		r = send_lines(follower);
	if (r == 0)
		r = send_progress(follower, &view);
	if (r == 0 && !STAILQ_EMPTY(&follower->lines))
		return; /* on_writable goes on */
	if (r == 0 && follower->ended)
		r = send_last(follower, &view);
	if (r < 0) {
		log_error("control: events of job %llu: out of memory; stream cut", (unsigned long long)view.id);
		http_stream_abort(follower->req);
		follower_free(follower);
	} else if (follower->ended) {
		http_stream_end(follower->req);
		follower_free(follower);
	}
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	follower_go_on(arg);
}

static void on_follower_writable(struct http_request *req)
{
	follower_go_on(req->user);
}

static void on_progress(struct job_watch *watch)
{
	struct follower *follower = container_of(watch, struct follower, watch);

	follower->progressed = true;
	event_active(&follower->kick, EV_TIMEOUT, 0);
}

static void on_stall(struct job_watch *watch, const struct stall *stall)
{
	struct follower *follower = container_of(watch, struct follower, watch);
	json_t *event = follower->n_stalls < MAX_STALLS ? document_stall(stall) : NULL;

	if (event)
		follower->stalls[follower->n_stalls++] = event;
	else
		follower->stalls_left_out++;
	event_active(&follower->kick, EV_TIMEOUT, 0);
}

static void on_state(struct job_watch *watch, enum job_state state)
{
	struct follower *follower = container_of(watch, struct follower, watch);

	add_state(follower, state, clock_unix_us());
	event_active(&follower->kick, EV_TIMEOUT, 0);
}

static void on_log(struct job_watch *watch, const struct job_log *log)
{
	struct follower *follower = container_of(watch, struct follower, watch);
	struct pending *pending = follower->n_lines < MAX_LINES ? malloc(sizeof(*pending)) : NULL;
	struct line *line = pending ? line_get(follower->job, log) : NULL;

	if (!line) {
		free(pending);
		follower->dropped++;
		return;
	}
	*pending = (struct pending){ .line = line, .dropped = follower->dropped };
	follower->dropped = 0;
	STAILQ_INSERT_TAIL(&follower->lines, pending, link);
	follower->n_lines++;
	event_active(&follower->kick, EV_TIMEOUT, 0);
}

/* When it came into the state that it has, as far as anybody knows; else now. */
static int64_t since(const struct job_view *view)
{
	int64_t unix_us = job_state_ended(view->state) ? view->ended_unix_us : view->state == JOB_RUNNING ? view->started_unix_us : 0;

	return unix_us > 0 ? unix_us : clock_unix_us();
}

static void follow_job(const struct call *call, struct job *job)
{
	struct follower *follower = calloc(1, sizeof(*follower));
	struct http_request *req = call->req;
	struct job_view view;

	if (!follower) {
		reply_error(req, -ENOMEM, NULL);
		job_unref(job);
		return;
	}
	follower->req = req;
	follower->job = job; /* ownership moves here */
	follower->watch.on_progress = on_progress;
	follower->watch.on_state = on_state;
	follower->watch.on_stall = on_stall;
	follower->watch.on_log = on_log;
	STAILQ_INIT(&follower->lines);
	(void)evtimer_assign(&follower->kick, loop_base(call->control->options.loop), on_kick, follower);
	req->user = follower;
	req->on_gone = on_follower_gone;
	req->on_writable = on_follower_writable;
	http_stream_begin(req, NULL, "application/x-ndjson");
	job_watch(job, &follower->watch);
	job_view(job, &view);
	add_state(follower, view.state, since(&view));
	if (view.service.line)
		on_log(&follower->watch, view.service.line); /* how it stands; else nothing might come for hours */
	follower->progressed = true;
	event_active(&follower->kick, EV_TIMEOUT, 0);
}

void handle_follow(const struct call *call)
{
	with_job(call, follow_job);
}
