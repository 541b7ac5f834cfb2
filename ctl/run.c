/* run: submit a job and pass its results on.
 *
 * Inputs that fit one piece go in one request whose answer is the result stream. More go in pieces: the job is opened
 * with the first, a thread sends the rest (upload.c), and the results stream in meanwhile on a second connection.
 *
 * The job is named by a submission id made here: a request whose answer was lost is sent again and gives the same job.
 * A result stream that breaks is taken up where it ended.
 */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "dry_run.h"
#include "inputs.h"
#include "interrupt.h"
#include "joblog.h"
#include "out.h"
#include "protocol.h"
#include "rejoin.h"
#include "stream.h"
#include "submission.h"
#include "talk.h"
#include "upload.h"

/* Of many inputs the first piece is small, so that its tasks run while the others are cut. What no disk has to take goes in
 * pieces that the socket holds and that the daemon takes in without its workers going idle. */
#define FIRST_PIECE_BYTES (128u << 10)
#define KEPT_PIECE_BYTES (256u << 10)
#define PAUSE_MS 200 /* inputs that came are not held back longer than this for those that have not */
#define JOBLOG_MS 10000 /* what the rest of a job log gets to arrive when the results have, at least */
#define LAST_WORDS_MS 5000 /* what a daemon gets to answer somebody who is leaving */

struct run {
	struct ctl *ctl;
	struct inputs inputs;
	struct buffer piece; /* the first */
	int count; /* inputs in it */
	bool last; /* and there are no more */
	struct buffer head; /* the JSON line in front of it */
	char query[96]; /* of the result stream, beginning with '&' or "" */
	bool sent; /* the daemon may have the job */
	char job[HTTP_JOB_BYTES]; /* "" until known */
	bool joined; /* which was there before, submitted by another run */
	struct stream *stream;
	struct rejoin rejoin;
	struct upload upload;
	struct joblog *joblog; /* NULL: none is asked for */
};

static void run_fini(struct run *run)
{
	inputs_close(&run->inputs);
	buffer_fini(&run->piece);
	buffer_fini(&run->head);
	stream_free(run->stream);
	joblog_close(run->joblog);
}

static const char *format_of(const struct run *run)
{
	return run->ctl->json ? "json" : "frames";
}

/* It has been sent before: a daemon that ends says nothing of that, and the next one knows. What else it says is its answer. 0: it
 * ends; -errno with words. */
static int is_stopping(struct http *http, const struct http_reply *reply, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	int r = talk_read(http, reply->status, &doc, err);

	if (r == -EREMOTEIO && strcmp(err->code, "stopping") == 0) {
		*err = (struct error)ERROR_INIT;
		return 0;
	}
	if (r == -ECONNRESET || r == -EINTR)
		return r == -EINTR ? r : 0; /* lost again */
	return talk_failed(r < 0 ? r : -EPROTO, err);
}

/* Send the submission until an answer's head has come. *ret_http is the caller's; NULL where there is no connection. */
static int submit(struct run *run, const char *target, struct http **ret_http, struct http_reply *ret_reply,
		  struct error *err)
{
	struct iovec parts[] = { { .iov_base = run->head.data, .iov_len = run->head.len },
				 { .iov_base = run->piece.data, .iov_len = run->piece.len } };
	struct patience patience = run->rejoin.patience;

	for (bool again = false;; again = true) {
		struct http *http = NULL;
		struct error why = ERROR_INIT;
		int r = talk_connect(run->ctl, &http, &why);

		if (r < 0 && !(again && patience_is_lost(r, why.code))) {
			*err = why;
			return r;
		}
		if (r == 0) {
			r = http_send(http, "POST", target, parts, ARRAY_SIZE(parts));
			run->sent |= r == 0;
			if (r == 0)
				r = http_head(http, ret_reply);
			*ret_http = http;
			if (r == -EINTR || (r == 0 && !(again && ret_reply->status == 503)))
				return r;
			if (r == 0)
				r = is_stopping(http, ret_reply, err);
			else
				r = r == -ECONNRESET ? 0 : talk_failed(r, err);
			http_close(http);
			*ret_http = NULL;
			if (r < 0)
				return r;
		}
		(void)snprintf(patience.what, sizeof(patience.what), "the job that was sent");
		r = patience_wait(&patience);
		if (r == -EINTR)
			return r;
		if (r < 0)
			return error_set(err, -ECONNRESET, "unreachable",
					 "the connection to concd was lost before it answered: the job may have been "
					 "accepted; see 'concctl list' when concd is back");
	}
}

/* The job was there before: it is not ours to cancel, and it has its own inputs. */
static void join_job(struct run *run)
{
	const char *key = args_text(&run->ctl->args, "unique");

	run->joined = true;
	run->last = true;
	if (run->ctl->json && run->stream) {
		out_printf(&run->stream->out, "{\"schema\":1,\"type\":\"joined\",\"job\":\"%s\"}\n", run->job);
		(void)out_flush(&run->stream->out); /* its error is looked at by stream_read() */
	}
	if (!run->ctl->quiet)
		say("joined job %s, which has the key '%s' and has not ended", run->job, key ? key : "");
}

/* Submit without a stream: the answer is a document with the job's id. */
static int submit_for_id(struct run *run, struct document *doc, struct error *err)
{
	struct http_reply reply;
	struct http *http = NULL;
	int r = submit(run, "/v1/jobs", &http, &reply, err);

	if (r == -EINTR && http && run->sent) {
		http->wake_fd = -1;
		http->timeout_ms = LAST_WORDS_MS;
		r = http_head(http, &reply);
	}
	if (r == 0)
		r = talk_read(http, reply.status, doc, err);
	http_close(http);
	if (r < 0)
		return talk_failed(r, err);
	(void)snprintf(run->job, sizeof(run->job), "%s", member_text(doc->json, "job", ""));
	run->upload = (struct upload){ .ctl = run->ctl, .job = run->job, .inputs = &run->inputs,
				       .patience_ns = run->rejoin.patience.ns, .sent = member_count(doc->json, "inputs") };
	if (member_true(doc->json, "joined"))
		join_job(run);
	return 0;
}

static void cancel_job(const struct run *run)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	struct error err = ERROR_INIT;
	struct http *http = NULL;
	const char *state;
	char url[96];
	int r = talk_connect(run->ctl, &http, &err);

	if (r == 0) {
		http->wake_fd = -1; /* the signal that brought us here is still in it; the next one ends the process */
		(void)snprintf(url, sizeof(url), "/v1/jobs/%s/cancel", run->job);
		r = talk_on(http, "POST", url, NULL, 0, &doc, &err);
		http_close(http);
	}
	state = member_text(doc.json, "state", "cancelled");
	if (r == 0 && !run->ctl->quiet)
		say(strcmp(state, "cancelled") == 0 ? "job %s was %s" : "job %s has ended: it is %s", run->job, state);
	/* A job that had ended already needs no cancelling. */
	if (r < 0 && !(err.code && strcmp(err.code, "wrong-state") == 0)) {
		(void)talk_failed(r, &err);
		say("job %s could not be cancelled: %s", run->job, err.text);
	}
}

/* A signal came, or standard output was closed: cancel the job or say that it goes on. The exit status. */
static int leave(struct run *run)
{
	int number = interrupt_signal();

	interrupt_wake();
	(void)upload_finish(&run->upload); /* it ends at the signal; what it says no longer matters */
	if (run->stream)
		stream_finish(run->stream, false);
	if (!run->job[0] && run->stream)
		(void)snprintf(run->job, sizeof(run->job), "%s", run->stream->job);
	if (!run->job[0]) {
		if (run->sent)
			say("interrupted before concd gave the job's number: 'concctl list' shows whether it has it");
		return EXIT_INTERRUPTED;
	}
	if (number == SIGTERM || number == SIGHUP || run->joined) {
		say("job %s%s goes on; 'concctl results --follow %s' shows it", run->job,
		    run->joined ? ", which another run submitted," : "", run->job);
		return EXIT_INTERRUPTED;
	}
	if (number == SIGINT && !run->ctl->quiet)
		say("interrupted: cancelling job %s", run->job);
	cancel_job(run);
	return EXIT_INTERRUPTED;
}

/* Standard output takes no more, for another reason than a reader that has gone: the results are safe in the daemon. */
static int output_failed(struct run *run, struct error *err)
{
	interrupt_wake();
	(void)upload_finish(&run->upload); /* this error comes first */
	return error_set(err, run->stream->out.error, "output",
			 "cannot write to standard output: %s; job %s goes on: 'concctl results %s'",
			 strerror(-run->stream->out.error), run->job, run->job);
}

/* Receive until the job line. `http` moves here; NULL: ask first. The exit status, or -errno with err. */
static int receive(struct run *run, struct http *http, struct error *err)
{
	int r = joblog_start(run->joblog, run->job, err);

	if (r < 0) {
		http_close(http);
		return r;
	}
	/* In the order of completion nothing but the numbers of tasks says what was passed on already. */
	run->stream->unordered = args_flag(&run->ctl->args, "unordered");
	run->rejoin.job = run->job;
	run->rejoin.query = run->query;
	run->rejoin.how_to_go_on = args_flag(&run->ctl->args, "no-durable") ? NULL : "concctl results --follow";
	r = rejoin_read(&run->rejoin, run->stream, http, err);
	if (!run->job[0])
		(void)snprintf(run->job, sizeof(run->job), "%s", run->stream->job);
	if (run->stream->out.error && run->stream->out.error != -EPIPE && run->stream->out.error != -EINTR)
		return output_failed(run, err);
	if (r == -EINTR || r == -EPIPE)
		return leave(run);
	if (r < 0) {
		interrupt_wake();
		(void)upload_finish(&run->upload); /* this error comes first */
		stream_finish(run->stream, false);
		return talk_failed(r, err);
	}
	interrupt_wake(); /* the job has ended: whoever gives inputs may not have, and is not waited for */
	r = upload_finish(&run->upload);
	if (r == -EINTR)
		r = 0;
	stream_finish(run->stream, r == 0);
	if (r < 0) {
		*err = run->upload.err;
		return talk_failed(r, err);
	}
	return stream_status(run->stream);
}

/* All inputs are in the first piece: one request is the whole job. */
static int run_at_once(struct run *run, struct error *err)
{
	struct http_reply reply = { .status = 0 };
	struct http *http = NULL;
	char url[160];
	int r;

	(void)snprintf(url, sizeof(url), "/v1/jobs?stream=%s%s", format_of(run), run->query);
	r = submit(run, url, &http, &reply, err);
	if (r == -EINTR && http && run->sent) {
		/* The job's number is needed even now, to cancel it or to say it. */
		http->wake_fd = -1;
		http->timeout_ms = LAST_WORDS_MS;
		if (http_head(http, &reply) == 0 && reply.status == 200)
			(void)snprintf(run->job, sizeof(run->job), "%s", reply.job);
		run->joined = reply.joined;
	}
	if (r == -EINTR) {
		http_close(http);
		return leave(run);
	}
	if (r == 0 && reply.status != 200) {
		_cleanup_document_ struct document doc = DOCUMENT_INIT;

		r = talk_read(http, reply.status, &doc, err);
		http_close(http);
		return talk_failed(r < 0 ? r : -EPROTO, err);
	}
	if (r < 0)
		return r;
	(void)snprintf(run->job, sizeof(run->job), "%s", reply.job);
	if (reply.joined)
		join_job(run);
	return receive(run, http, err);
}

static int run_in_pieces(struct run *run, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	int r = submit_for_id(run, &doc, err);

	if (r == -EINTR || (r == 0 && interrupt_signal()))
		return leave(run);
	if (r < 0)
		return r;
	r = run->joined ? 0 : upload_start(&run->upload);
	if (r < 0) {
		cancel_job(run);
		return error_set(err, r, "internal", "cannot start a thread: %s", strerror(-r));
	}
	return receive(run, NULL, err);
}

/* The job took no more inputs. Where it has the last of them nevertheless, only the answer to that was lost. */
static int check_whole(struct run *run, struct error *err)
{
	const struct upload_piece *piece = &run->upload.piece;
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	const json_t *total;
	char url[64];
	int r;

	(void)snprintf(url, sizeof(url), "/v1/jobs/%s", run->job);
	r = talk_get(run->ctl, url, &doc, err);
	if (r < 0)
		return r;
	total = json_object_get(json_object_get(doc.json, "tasks"), "total");
	if (piece->last && json_is_integer(total) &&
	    (uint64_t)json_integer_value(total) == run->upload.sent + (uint64_t)piece->count)
		return 0;
	return error_set(err, -EREMOTEIO, "wrong-state",
			 "job %s is %s and takes no more inputs: it has %" PRIu64 " of them, the others were not accepted",
			 run->job, member_text(doc.json, "state", "?"), member_count(json_object_get(doc.json, "tasks"), "total"));
}

static int run_detached(struct run *run, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	int r = submit_for_id(run, &doc, err);

	if (r == -EINTR)
		return leave(run);
	if (r < 0)
		return r;
	run->upload.says_losses = !run->ctl->quiet;
	if (!run->last)
		r = upload_run(&run->upload);
	if (r == -EINTR)
		return leave(run);
	if (r == -ECONNRESET)
		return error_set(err, r, "unreachable",
				 "the connection to concd was lost before all inputs of job %s had come: it takes no more, and is "
				 "failed when concd is back and limits.open_timeout is over", run->job);
	if (r < 0 && run->upload.err.code && strcmp(run->upload.err.code, "no-such-job") == 0)
		return error_set(err, r, "unreachable",
				 "concd was started anew before all inputs had come: job %s is gone%s", run->job,
				 args_flag(&run->ctl->args, "no-durable") ? ", it was not durable" : "");
	if (r < 0) {
		*err = run->upload.err;
		return talk_failed(r, err);
	}
	if (run->upload.refused) {
		r = check_whole(run, err);
		if (r < 0)
			return r;
	}
	if (run->ctl->json)
		return document_print(&doc, err);
	(void)printf("%s\n", run->job);
	if (!run->ctl->quiet && *member_text(doc.json, "waiting", ""))
		say("job %s waits: %s", run->job, member_text(doc.json, "waiting", ""));
	return EXIT_OK;
}

static int run_dry(struct run *run, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	uint64_t count = (uint64_t)run->count;
	int r = submit_for_id(run, &doc, err);

	while (r == 0 && !run->last) {
		r = inputs_next(&run->inputs, &run->piece, &run->last, err);
		count += r > 0 ? (uint64_t)r : 0;
		r = r > 0 ? 0 : r;
	}
	if (r < 0)
		return r;
	if (run->ctl->json) {
		_cleanup_free_ char *text = NULL;

		/* All, not only the first piece's. */
		if (json_object_set_new(doc.json, "tasks", json_integer((json_int_t)count)) < 0)
			return -ENOMEM;
		text = json_dumps(doc.json, JSON_COMPACT);
		(void)printf("%s\n", text ? text : "");
		return EXIT_OK;
	}
	dry_run_print(doc.json, count);
	return EXIT_OK;
}

/* Open the inputs, take the first piece and write the JSON line. */
static int prepare(struct run *run, struct error *err)
{
	const struct args *args = &run->ctl->args;
	bool stay = !args_flag(args, "detach") && !args_flag(args, "dry-run");
	_cleanup_free_ const char **files = calloc(args->n_values + 1, sizeof(*files));
	_cleanup_json_ json_t *json = NULL;
	size_t n_files = 0;
	int r;

	if (!files)
		return -ENOMEM;
	for (size_t i = 0; i < args->n_values; i++)
		if (strcmp(args->values[i].option->name, "input") == 0)
			files[n_files++] = args->values[i].value;
	if (!stay && args_text(args, "joblog"))
		return error_set(err, -EINVAL, "usage", "option '--joblog': %s has no tasks to log; leave one of them away",
				 args_flag(args, "detach") ? "--detach" : "--dry-run");
	if (n_files == 0 && args->n_words < 2)
		return error_set(err, -EINVAL, "usage",
				 "no inputs: give them as words, or with -i FILE, or with -i - from standard input");
	r = submission_make(run->ctl, &json, err);
	if (r == 0)
		r = inputs_open(&run->inputs, args->words + 1, args->n_words - 1, files, n_files,
				args_flag(args, "null") ? '\0' : '\n', err);
	if (r < 0)
		return r;
	run->inputs.wake_fd = interrupt_fd();
	run->inputs.pause_ms = stay ? PAUSE_MS : -1;
	if (stay && inputs_are_many(&run->inputs)) {
		run->inputs.piece_bytes = FIRST_PIECE_BYTES;
		if (args_flag(args, "no-durable"))
			run->inputs.most_bytes = KEPT_PIECE_BYTES;
	}
	run->count = inputs_next(&run->inputs, &run->piece, &run->last, err);
	if (run->count < 0)
		return talk_failed(run->count, err);
	return submission_write(json, !run->last && !args_flag(args, "dry-run"), &run->head);
}

static int open_joblog(struct run *run, struct error *err)
{
	const char *path = args_text(&run->ctl->args, "joblog");

	return path ? joblog_open(run->ctl, path, run->ctl->args.words[0], &run->joblog, err) : 0;
}

/* Its last lines are on their way when the results have come; a daemon that is lost by then is waited for as it is for these. A job
 * that goes on without us has more lines. */
static int joblog_wait_ms(const struct run *run, int status)
{
	int64_t patience_ms = run->rejoin.patience.ns / NS_PER_MS;

	if (status == EXIT_INTERRUPTED)
		return run->joined || interrupt_signal() == SIGTERM || interrupt_signal() == SIGHUP ? 0 : JOBLOG_MS;
	return patience_ms < JOBLOG_MS ? JOBLOG_MS : patience_ms > INT_MAX ? INT_MAX : (int)patience_ms;
}

static int finish_joblog(struct run *run, int status)
{
	struct error err = ERROR_INIT;

	if (joblog_finish(run->joblog, joblog_wait_ms(run, status), &err) == 0)
		return status;
	say("%s", err.text);
	return status == EXIT_OK ? EXIT_TASKS_FAILED : status;
}

int command_run(struct ctl *ctl, struct error *err)
{
	_cleanup_(run_fini) struct run run = { .ctl = ctl };
	const struct args *args = &ctl->args;
	int r = interrupt_install();

	if (r >= 0)
		r = patience_init(&run.rejoin.patience, ctl, err);
	if (r >= 0)
		r = prepare(&run, err);
	if (r < 0)
		return r;
	if (args_flag(args, "dry-run"))
		return run_dry(&run, err);
	if (args_flag(args, "detach"))
		return run_detached(&run, err);
	run.stream = stream_new(ctl, STDOUT_FILENO);
	if (!run.stream)
		return -ENOMEM;
	(void)snprintf(run.query, sizeof(run.query), "%s%s%s%s%s", args_flag(args, "unordered") ? ctl->json ? "&order=done" : "&order=done&tasks=1" : "",
		       !ctl->json && args_flag(args, "tag") ? "&tag=1" : "",
		       !ctl->json && args_flag(args, "null") ? "&nul=1" : "",
		       run.stream->progress.shown ? "&progress=1" : "", !ctl->json && !ctl->quiet ? "&stalls=1" : "");
	r = open_joblog(&run, err);
	if (r < 0)
		return r;
	r = run.last ? run_at_once(&run, err) : run_in_pieces(&run, err);
	return finish_joblog(&run, r);
}
