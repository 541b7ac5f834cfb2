/* Accepting jobs and further inputs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "control/format.h"
#include "control/spec.h"
#include "control/stream.h"
#include "ctl/protocol.h"

#define ANSWER_BYTES 512 /* usually enough for the whole of it */

/* A request that waits for the disk. It outlives its client: what was handed to the jobs calls back. */
struct acceptance {
	struct call call; /* call.req NULL: the client has left */
	bool streaming;
	bool cancel_on_close;
	bool known; /* the submission named a job that was there already */
	struct stream_options stream;
};

static void on_acceptance_gone(struct http_request *req)
{
	struct acceptance *acceptance = req->user;

	acceptance->call.req = NULL;
}

/* Give the request back to its handler. False: there is no client any more, or there is an error, now answered. */
static bool acceptance_settle(struct acceptance *acceptance, int status, const struct error *err)
{
	struct http_request *req = acceptance->call.req;

	if (!req)
		return false;
	req->user = NULL;
	req->on_gone = NULL;
	if (status >= 0 || status == -EEXIST || status == -EALREADY)
		return true;
	reply_error(req, status, err);
	return false;
}

/* ,"KEY":"TEXT" behind what the buffer holds. 0 or -ENOMEM. */
static int add_text(struct buffer *buffer, const char *key, const char *text)
{
	size_t len = strlen(text);
	uint8_t *at;

	if (buffer_reserve(buffer, strlen(key) + 6 * len + 6) < 0)
		return -ENOMEM;
	at = buffer->data + buffer->len;
	at = (uint8_t *)stpcpy(stpcpy(stpcpy((char *)at, ",\""), key), "\":"); /* fits, see above */
	at = text_put_json(at, (const uint8_t *)text, len);
	buffer->len = (size_t)(at - buffer->data);
	return 0;
}

/* By hand: a document takes a tenth of what accepting a small job costs this thread. mark: "known", "joined", or NULL of a
 * new job. */
static void answer_accepted(const struct call *call, const struct job *job, const char *mark)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	char shape[SHAPE_TEXT_BYTES], numbers[4][TEXT_NUMBER_BYTES];
	struct job_view view;
	int r;

	job_view(job, &view);
	shape_format(&view.shape, shape);
	r = buffer_reserve(&text, ANSWER_BYTES);
	if (r == 0)
		r = buffer_add_strings(&text, "{\"schema\":", text_u64(PROTOCOL_SCHEMA, numbers[3]), ",\"job\":\"", text_u64(view.id, numbers[0]),
				       "\",\"inputs\":", text_u64(view.total, numbers[1]), ",\"state\":\"",
				       job_state_name(view.state), "\",\"model\":\"", view.model, "\",\"shape\":\"", shape,
				       "\",\"workers\":", text_u64(view.workers, numbers[2]), ",\"auto\":",
				       view.by_auto ? "true" : "false", NULL);
	if (r == 0)
		r = add_text(&text, "model_reason", view.model_reason ? view.model_reason : "");
	if (r == 0 && view.state == JOB_PAUSED && text_is_utf8(view.waiting, strlen(view.waiting)))
		r = add_text(&text, "waiting", view.waiting); /* one that is held with all others */
	if (r == 0 && mark)
		r = buffer_add_strings(&text, ",\"", mark, "\":true", NULL);
	if (r == 0)
		r = buffer_add(&text, "}\n", 2);
	if (r < 0)
		reply_json(call->req, 500, NULL); /* out of memory */
	else
		reply_json_text(call->req, mark ? 200 : 201, &text);
}

static void answer_known(const struct call *call, struct job *job)
{
	answer_accepted(call, job, "known");
	job_unref(job);
}

static void stream_known(const struct call *call, struct job *job)
{
	struct stream_options options;
	struct error err = ERROR_INIT;
	int r = stream_options_parse(&call->query, "stream", &options, &err);

	if (r < 0) {
		reply_error(call->req, r, &err);
		job_unref(job);
		return;
	}
	stream_start(call, job, &options, false);
}

static void on_accepted(void *arg, int status, struct job *job, uint64_t existing_id, const struct error *err)
{
	struct acceptance *acceptance = arg;

	if (!acceptance_settle(acceptance, status, err)) {
		/* the client left before it knew the id, and wanted the job to end with it; a job that was there
		 * before belongs to whoever submitted it first */
		if (!acceptance->call.req && acceptance->cancel_on_close && status == 0 && job)
			(void)job_cancel(job, NULL); /* fails where it has ended already */
	} else if (job && acceptance->streaming) {
		acceptance->stream.joined = status == -EALREADY;
		if (acceptance->stream.joined)
			acceptance->stream.cancel_on_close = false; /* it is not this one's to cancel */
		stream_start(&acceptance->call, job_ref(job), &acceptance->stream, false);
	} else if (job) {
		answer_accepted(&acceptance->call, job, status == -EEXIST ? "known" : status == -EALREADY ? "joined" : NULL);
	} else {
		acceptance->call.id = existing_id;
		with_job(&acceptance->call, acceptance->streaming ? stream_known : answer_known);
	}
	free(acceptance);
}

static void answer_dry_run(const struct call *call, const struct submission *submission)
{
	struct error err = ERROR_INIT;
	struct model_choice choice;
	uint64_t joins = 0;
	char shape[SHAPE_TEXT_BYTES];
	int r = jobs_check(call->control->options.jobs, &submission->spec, &choice, &joins, &err);

	if (r < 0) {
		reply_error(call->req, r, &err);
		return;
	}
	shape_format(&choice.crew_shape, shape);
	reply_json(call->req, 200,
		   json_pack("{s:i, s:b, s:s, s:s, s:I, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "schema", PROTOCOL_SCHEMA, "dry_run", 1,
			     "model", choice.model->name, "shape", shape, "workers", (json_int_t)choice.workers,
			     "dedicated", choice.dedicated, "auto", choice.by_auto, "model_reason",
			     choice.reason ? choice.reason : "", "delay_s", document_seconds(submission->spec.delay_ns),
			     "expire_s", document_seconds(submission->spec.expire_ns), "after",
			     document_after(submission->spec.after, submission->spec.n_after), "after_failed",
			     document_after_failed(submission->spec.n_after, submission->spec.after_any), "unique",
			     document_text(submission->spec.unique), "on_done",
			     document_text(submission->spec.on_done), "joins",
			     joins > 0 ? json_sprintf("%llu", (unsigned long long)joins) : json_null(), "tasks", (json_int_t)submission->n_inputs));
}

static int submit(const struct call *call, struct submission *submission, struct error *err)
{
	_cleanup_free_ struct acceptance *acceptance = calloc(1, sizeof(*acceptance));
	int r;

	if (!acceptance)
		return -ENOMEM;
	acceptance->call = *call;
	acceptance->streaming = query_get(&call->query, "stream") != NULL;
	r = stream_options_parse(&call->query, "stream", &acceptance->stream, err);
	if (r < 0)
		return r;
	acceptance->cancel_on_close = acceptance->stream.cancel_on_close;
	submission->spec.streamed = acceptance->streaming;
	submission->spec.uid = call->req->peer.uid;
	r = jobs_submit(call->control->options.jobs, &submission->spec, &submission->inputs, on_accepted, acceptance,
			err);
	if (r < 0)
		return r;
	submission->inputs = (struct buffer)BUFFER_INIT; /* theirs now */
	call->req->user = acceptance;
	call->req->on_gone = on_acceptance_gone;
	(void)take_ptr(acceptance); /* freed by on_accepted() */
	return 0;
}

void handle_submit(const struct call *call)
{
	struct error err = ERROR_INIT;
	struct submission submission;
	int r;

	if (call->control->draining) {
		reply_code(call->req, "stopping", "the daemon is shutting down and accepts no more jobs");
		return;
	}
	jobs_expect_submission(call->control->options.jobs);
	r = submission_parse(call->req->body, call->req->body_len, &submission, &err);
	if (r == 0 && submission.spec.dry_run) {
		answer_dry_run(call, &submission);
	} else {
		if (r == 0)
			r = submit(call, &submission, &err);
		if (r < 0)
			reply_error(call->req, r, &err);
	}
	submission_fini(&submission);
}

/* ---- Further inputs ---- */

static void on_added(void *arg, int status, uint64_t have, const struct error *err)
{
	struct acceptance *acceptance = arg;

	if (acceptance_settle(acceptance, status, err))
		reply_json(acceptance->call.req, 200,
			   json_pack("{s:i, s:o, s:I}", "schema", PROTOCOL_SCHEMA, "job",
				     json_sprintf("%llu", (unsigned long long)acceptance->call.id), "inputs",
				     (json_int_t)have));
	free(acceptance);
}

/* Parse the piece and hand it on. -ESTALE: *ret_have says what is on disk. */
static int add_inputs(const struct call *call, struct job *job, uint64_t *ret_have, struct error *err)
{
	_cleanup_free_ struct acceptance *acceptance = calloc(1, sizeof(*acceptance));
	_cleanup_buffer_ struct buffer packed = BUFFER_INIT;
	const uint8_t *piece = call->req->body;
	size_t bytes = call->req->body_len;
	const char *format_text = query_get(&call->query, "format");
	enum input_format format = INPUT_LINES;
	uint64_t from = 0, count = 0;
	bool last = false;
	int r;

	if (!acceptance)
		return -ENOMEM;
	if (!query_get(&call->query, "from"))
		return error_set(err, -EINVAL, "bad-request", "query: 'from' is missing: the number of inputs sent before");
	r = query_get_u64(&call->query, "from", &from, err);
	if (r == 0)
		r = query_get_bool(&call->query, "last", &last, err);
	if (r == 0 && format_text)
		r = input_format_parse(format_text, &format, err);
	if (r == 0 && format != INPUT_PACKED) {
		r = inputs_pack(format, call->req->body, call->req->body_len, &packed, &count, err);
		piece = packed.data;
		bytes = packed.len;
	}
	if (r < 0)
		return r;
	acceptance->call = *call;
	r = job_add_inputs(job, from, piece, bytes, last, on_added, acceptance, ret_have, err);
	if (r < 0)
		return r;
	call->req->user = acceptance;
	call->req->on_gone = on_acceptance_gone;
	(void)take_ptr(acceptance); /* freed by on_added() */
	return 0;
}

static void inputs_for_job(const struct call *call, struct job *job)
{
	struct error err = ERROR_INIT;
	struct job_view view;
	uint64_t have = 0;
	int r;

	job_view(job, &view);
	if (!call_may(call, view.uid)) {
		reply_code(call->req, "denied", "job %llu belongs to user %u", (unsigned long long)view.id, view.uid);
	} else {
		r = add_inputs(call, job, &have, &err);
		if (r == -ESTALE)
			reply_wrong_offset(call->req, have, &err);
		else if (r < 0)
			reply_error(call->req, r, &err);
	}
	job_unref(job);
}

void handle_inputs(const struct call *call)
{
	if (call->control->draining)
		reply_code(call->req, "stopping", "the daemon is shutting down; go on after its restart");
	else
		with_job(call, inputs_for_job);
}
