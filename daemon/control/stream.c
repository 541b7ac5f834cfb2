/* Result streams: when to format, how a stream begins and ends. What is formatted is pass.c's.
 *
 *	recorded ──> on_progress ──> kick ──> pass ──> the connection's buffer
 *	                              ^                      │
 *	                              └──── on_writable <────┘
 *
 * The watch's callbacks only activate the kick event: the jobs are in the middle of something when they call. While a
 * reader does not read, nothing is formatted and nothing is held but the position. News in quick succession go out
 * together: each send wakes the client, which would take a processor from the tasks.
 */
#include "control/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "control/pass.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"
#include "jobs/stalls.h"

#define READER_PATIENCE_S 1 /* without a byte taken: then its stream holds nothing but the position */
#define PROGRESS_NS (100 * NS_PER_MS)
#define MAX_STALLS 16 /* that wait for a reader */
#define GATHER_NS NS_PER_MS /* between two sends, unless the job has ended or the chunk is full */

struct stream {
	struct http_request *req;
	const struct http_server *http;
	struct job *job;
	struct job_watch watch;
	struct event kick; /* activated, or as a timer for progress and for what is gathered */
	bool gathering; /* as such it is armed */
	int64_t sent_ns; /* when something was last sent */
	struct cursor cursor;

	json_t *stalls[MAX_STALLS]; /* not sent yet; owned */
	size_t n_stalls;
	uint64_t stalls_left_out;

	int64_t progress_ns; /* when the last progress was sent */
	uint64_t progress_sum; /* what it said, to tell a change */
};

static void stream_free(struct stream *stream)
{
	(void)event_del(&stream->kick); /* fails for an event without a base only */
	cursor_fini(&stream->cursor);
	for (size_t i = 0; i < stream->n_stalls; i++)
		json_decref(stream->stalls[i]);
	job_unwatch(&stream->watch);
	job_unref(stream->job);
	free(stream);
}

static void on_stream_gone(struct http_request *req)
{
	struct stream *stream = req->user;

	if (stream->cursor.options.cancel_on_close)
		(void)job_cancel(stream->job, NULL); /* fails where it has ended already */
	stream_free(stream);
}

/* Add a document as a line; takes ownership. */
static int add_document(struct pass *pass, json_t *document)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;

	text = document ? document_dump(document, &len) : NULL;
	json_decref(document);
	return text ? pass_add_line(pass, text, len) : -ENOMEM;
}

static int add_first_frame(struct pass *pass)
{
	const struct job_view *view = pass->view;
	char shape[SHAPE_TEXT_BYTES];

	shape_format(&view->shape, shape);
	return add_document(pass, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:s, s:o, s:o}", "type", "job", "job",
					    pass->cursor->job_text, "state", job_state_name(view->state), "model",
					    view->model, "shape", shape, "workers", (json_int_t)view->workers, "auto",
					    view->by_auto, "model_reason", view->model_reason ? view->model_reason : "",
					    "waiting", document_text(view->waiting), "total",
					    view->open ? json_null() : json_integer((json_int_t)view->total)));
}

static int add_last_line(struct pass *pass)
{
	enum stream_format format = pass->cursor->options.format;
	_cleanup_buffer_ struct buffer line = BUFFER_INIT;
	int r;

	if (format == STREAM_PLAIN)
		return 0;
	r = format == STREAM_JSON ? job_text_line(&line, pass->view, "job", true) :
				    job_text_line(&line, pass->view, "end", false);
	return r < 0 ? r : pass_add_line(pass, (const char *)line.data, line.len);
}

/* Tasks that were found to hold their thread since the last pass. */
static int add_stalls(struct stream *stream, struct pass *pass)
{
	bool with_schema = stream->cursor.options.format == STREAM_JSON;
	size_t n = stream->n_stalls;
	int r = 0;

	stream->n_stalls = 0;
	for (size_t i = 0; i < n; i++) {
		json_t *line = stream->stalls[i];

		if (r < 0 || json_object_set_new(line, "type", json_string("stall")) < 0 ||
		    json_object_set_new(line, "job", json_string(stream->cursor.job_text)) < 0 ||
		    json_object_set_new(line, "left_out", json_integer((json_int_t)stream->stalls_left_out)) < 0 ||
		    (with_schema && json_object_set_new(line, "schema", json_integer(PROTOCOL_SCHEMA)) < 0)) {
			json_decref(line);
			r = -ENOMEM;
			continue;
		}
		stream->stalls_left_out = 0;
		r = add_document(pass, line);
	}
	return r;
}

/* Say how far the job is, where that was asked for, has changed and is due. */
static int add_progress(struct stream *stream, struct pass *pass)
{
	const struct job_view *view = pass->view;
	int64_t now_ns = clock_mono_ns(), left_ns = stream->progress_ns + PROGRESS_NS - now_ns;
	uint64_t sum = view->total * 31 + view->done * 7 + view->failed * 5 + view->cancelled * 3 + view->running;
	json_t *document;

	if (!stream->cursor.options.progress || sum == stream->progress_sum)
		return 0;
	if (left_ns > 0) {
		const struct timeval tv = { .tv_usec = (suseconds_t)(left_ns / NS_PER_US) + 1 };

		return evtimer_add(&stream->kick, &tv) < 0 ? -ENOMEM : 0;
	}
	stream->progress_sum = sum;
	stream->progress_ns = now_ns;
	document = json_pack("{s:s, s:o, s:I, s:I, s:I, s:I}", "type", "progress", "total",
			     view->open ? json_null() : json_integer((json_int_t)view->total), "done",
			     (json_int_t)view->done, "failed", (json_int_t)view->failed, "cancelled",
			     (json_int_t)view->cancelled, "running", (json_int_t)view->running);
	if (stream->cursor.options.format == STREAM_JSON && document &&
	    json_object_set_new(document, "schema", json_integer(PROTOCOL_SCHEMA)) < 0) {
		json_decref(document);
		return -ENOMEM;
	}
	return add_document(pass, document);
}

/* The rest cannot be had: say so where the format allows it, and let the cut be seen. */
static void stream_fail(struct stream *stream, struct pass *pass)
{
	static const char unreadable[] = "{\"schema\":1,\"type\":\"error\",\"error\":{\"code\":\"internal\","
					 "\"message\":\"results cannot be read; the daemon's log says more\"}}";
	static const char removed[] = "{\"schema\":1,\"type\":\"error\",\"error\":{\"code\":\"no-such-job\","
				      "\"message\":\"the job was removed while its results were read\"}}";
	struct job_view view;
	const char *words;

	job_view(stream->job, &view);
	words = view.removed ? removed : unreadable;
	if (!view.removed)
		log_error("control: results of job %s: they cannot be read, or memory is out; stream cut",
			  stream->cursor.job_text);
	if (pass && stream->cursor.options.format != STREAM_PLAIN)
		(void)pass_add_line(pass, words, strlen(words)); /* the cut itself tells as well */
	if (pass)
		pass_commit(pass);
	http_stream_abort(stream->req);
	stream_free(stream);
}

/* Format some. May free the stream. */
static void stream_go_on(struct stream *stream, bool first)
{
	const struct stream_options *options = &stream->cursor.options;
	const struct timeval at_once = { .tv_sec = 0 }, patience = { .tv_sec = READER_PATIENCE_S };
	struct job_view view;
	struct pass pass;
	enum pass_end end;
	int r;

	if (http_queued(stream->req) > 0 && !first)
		return; /* on_writable goes on */
	/* What runs is said by progress, and by the last line of a job that has not ended. */
	(options->progress || !options->follow ? job_view : job_view_quick)(stream->job, &view);
	if (pass_begin(&pass, &stream->cursor, &view, http_clients(stream->http)) < 0) {
		stream_fail(stream, NULL);
		return;
	}
	r = first && stream->cursor.options.format == STREAM_FRAMES ? add_first_frame(&pass) : 0;
	end = r < 0 ? PASS_FAILED : pass_run(&pass);
	if (end == PASS_WAIT && !stream->cursor.options.follow)
		end = PASS_DONE;
	if (end != PASS_FAILED)
		r = add_stalls(stream, &pass);
	if (r == 0 && end == PASS_DONE)
		r = add_last_line(&pass);
	else if (r == 0 && end != PASS_FAILED)
		r = add_progress(stream, &pass);
	if (r < 0 || end == PASS_FAILED) {
		stream_fail(stream, &pass);
		return;
	}
	if (pass.used > 0)
		stream->sent_ns = clock_mono_ns();
	pass_commit(&pass);
	if (end == PASS_DONE) {
		http_stream_end(stream->req);
		stream_free(stream);
	} else if (end == PASS_MORE && http_queued(stream->req) == 0) {
		/* through the loop's poll, not activated: others have their turn first */
		if (evtimer_add(&stream->kick, &at_once) < 0)
			stream_fail(stream, NULL);
	} else if (http_queued(stream->req) > 0) {
		(void)evtimer_add(&stream->kick, &patience); /* without memory for a timer more memory is held */
	}
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;

	(void)fd; /* activated, or a timer */
	(void)what;
	stream->gathering = false;
	if (http_queued(stream->req) > 0)
		cursor_put_out(&stream->cursor);
	stream_go_on(stream, false);
}

static void on_stream_writable(struct http_request *req)
{
	stream_go_on(req->user, false);
}

static void on_progress(struct job_watch *watch)
{
	struct stream *stream = container_of(watch, struct stream, watch);
	int64_t left_ns = stream->sent_ns + GATHER_NS - clock_mono_ns();
	const struct timeval tv = { .tv_usec = (suseconds_t)(left_ns / NS_PER_US) + 1 };

	if (stream->gathering)
		return;
	stream->gathering = left_ns > 0 && evtimer_add(&stream->kick, &tv) == 0;
	if (!stream->gathering)
		event_active(&stream->kick, EV_TIMEOUT, 0);
}

static void on_stall(struct job_watch *watch, const struct stall *stall)
{
	struct stream *stream = container_of(watch, struct stream, watch);
	json_t *line;

	if (stall->ended)
		return; /* its beginning was told */
	line = stream->n_stalls < MAX_STALLS ? document_stall(stall) : NULL;
	if (line)
		stream->stalls[stream->n_stalls++] = line;
	else
		stream->stalls_left_out++;
	event_active(&stream->kick, EV_TIMEOUT, 0);
}

static void on_state(struct job_watch *watch, enum job_state state)
{
	struct stream *stream = container_of(watch, struct stream, watch);

	(void)state; /* looked at in the pass */
	event_active(&stream->kick, EV_TIMEOUT, 0);
}

/* ---- Beginning ---- */

static int parse_format(const char *text, enum stream_format *ret_format, struct error *err)
{
	static const char *const names[] = { [STREAM_PLAIN] = "plain", [STREAM_JSON] = "json",
					     [STREAM_FRAMES] = "frames" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_format = (enum stream_format)i;
			return 0;
		}
	return error_set(err, -EINVAL, "bad-request", "query: '%.40s' is no format of a stream: plain, json and frames are",
			 text);
}

int stream_options_parse(const struct query *query, const char *format_key, struct stream_options *ret_options,
			 struct error *err)
{
	struct stream_options options = { .format = STREAM_PLAIN, .follow = true };
	const char *format = query_get(query, format_key), *order = query_get(query, "order");
	const struct {
		const char *key;
		bool *value;
	} flags[] = { { "follow", &options.follow }, { "failed", &options.failed_only }, { "tag", &options.tag },
		      { "nul", &options.nul }, { "progress", &options.progress }, { "stalls", &options.stalls }, { "began", &options.began },
		      { "cancel_on_close", &options.cancel_on_close }, { "tasks", &options.tasks }, { "packed", &options.packed } };
	int r = format ? parse_format(format, &options.format, err) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(flags) && r == 0; i++)
		r = query_get_bool(query, flags[i].key, flags[i].value, err);
	if (r == 0)
		r = query_get_u64(query, "from", &options.from, err);
	if (r < 0)
		return r;
	if (order && strcmp(order, "done") == 0)
		options.in_done_order = true;
	else if (order && strcmp(order, "input") != 0)
		return error_set(err, -EINVAL, "bad-request", "query: order: '%.40s' is neither input nor done", order);
	if ((options.progress || options.stalls) && options.format == STREAM_PLAIN)
		return error_set(err, -EINVAL, "bad-request", "query: %s=1 needs format json or frames",
				 options.progress ? "progress" : "stalls");
	if (options.began && options.format != STREAM_JSON)
		return error_set(err, -EINVAL, "bad-request", "query: began=1 needs format json");
	if ((options.tag || options.nul) && options.format == STREAM_JSON)
		return error_set(err, -EINVAL, "bad-request", "query: tag and nul are for the formats plain and frames");
	if (options.tasks && (options.format != STREAM_FRAMES || !options.in_done_order))
		return error_set(err, -EINVAL, "bad-request", "query: tasks=1 is for format=frames with order=done");
	if (options.packed && (options.format != STREAM_JSON || options.in_done_order || options.failed_only || options.began))
		return error_set(err, -EINVAL, "bad-request",
				 "query: packed=1 is for format=json in the order of inputs, without failed and began");
	*ret_options = options;
	return 0;
}

/* What a request's body asks to be left out: a client that goes on after a loss. */
static int leave_out(struct stream *stream, const struct job_view *view, struct error *err)
{
	const struct http_request *req = stream->req;

	if (req->body_len == 0 || strcmp(req->method, "POST") != 0)
		return 0;
	if (!stream->cursor.options.in_done_order)
		return error_set(err, -EINVAL, "bad-request", "tasks are left out with order=done; else from=N does it");
	return cursor_leave_out(&stream->cursor, (const char *)req->body, req->body_len, view->total, err);
}

void stream_start(const struct call *call, struct job *job, const struct stream_options *options, bool resumes)
{
	static const char *const types[] = { [STREAM_PLAIN] = "text/plain", [STREAM_JSON] = "application/x-ndjson",
					     [STREAM_FRAMES] = "application/octet-stream" };
	struct stream *stream = calloc(1, sizeof(*stream));
	struct http_request *req = call->req;
	struct error err = ERROR_INIT;
	struct job_view view;
	char header[96];
	int r;

	job_view(job, &view);
	if (!stream || (options->cancel_on_close && !call_may(call, view.uid))) {
		if (stream)
			reply_code(req, "denied", "job %llu belongs to user %u: cancel_on_close is not for others",
				   (unsigned long long)view.id, view.uid);
		else
			reply_error(req, -ENOMEM, NULL);
		free(stream);
		job_unref(job);
		return;
	}
	stream->req = req;
	stream->http = call->control->http;
	stream->job = job; /* ownership moves here */
	stream->watch.on_progress = on_progress;
	stream->watch.on_state = on_state;
	stream->watch.on_stall = options->stalls ? on_stall : NULL;
	stream->cursor = (struct cursor){ .options = *options, .req = req, .job = job, .next = options->from };
	(void)snprintf(stream->cursor.job_text, sizeof(stream->cursor.job_text), "%llu",
		       (unsigned long long)view.id); /* fits 64 bits */
	r = resumes ? leave_out(stream, &view, &err) : 0;
	if (r < 0) {
		reply_error(req, r, &err);
		cursor_fini(&stream->cursor);
		job_unref(job);
		free(stream);
		return;
	}
	(void)snprintf(header, sizeof(header), "X-Concd-Job: %s\r\n%s", stream->cursor.job_text,
		       options->joined ? "X-Concd-Joined: 1\r\n" : ""); /* fits */
	(void)evtimer_assign(&stream->kick, loop_base(call->control->options.loop), on_kick, stream);
	req->user = stream;
	req->on_gone = on_stream_gone;
	req->on_writable = on_stream_writable;
	http_stream_begin(req, header, types[options->format]);
	job_watch(job, &stream->watch);
	stream_go_on(stream, true);
}
