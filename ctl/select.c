/* Selectors, and the stream that answers a verb on many jobs. */
#include "select.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "ctl.h"
#include "pending.h"
#include "protocol.h"
#include "rejoin.h"
#include "talk.h"

#define MAX_LINE_BYTES (4u << 20)
#define MAX_NAMES_BYTES (1u << 20) /* of jobs that are asked for again, in a request; the rest follows in others */
#define LASTED_NS NS_PER_S

int select_job(struct ctl *ctl, const char *word, uint64_t *ret_id, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	int r;

	if (strcmp(word, "@last") != 0)
		return parse_job(word, ret_id, err);
	r = talk_get(ctl, "/v1/jobs/@last", &doc, err);
	if (r < 0)
		return r;
	return parse_job(member_text(doc.json, "job", ""), ret_id, err);
}

/* ---- The request ---- */

static int check(const struct ctl *ctl, const struct select_request *request, struct error *err)
{
	const struct args *args = &ctl->args;
	bool filters = args_flag(args, "workload") || args_flag(args, "state") || args_flag(args, "label");
	uint64_t id;

	for (size_t i = 0; i < request->n_words; i++)
		if (strcmp(args->words[i], "@last") != 0 && parse_job(args->words[i], &id, err) < 0)
			return -EINVAL;
	if (request->n_words > 0 && (filters || args_flag(args, "all")))
		return error_set(err, -EINVAL, "usage", "jobs are named and described at once: give their numbers, or -w, "
				 "--state, -l or --all");
	if (filters && args_flag(args, "all"))
		return error_set(err, -EINVAL, "usage", "--all, and only some of them: leave out --all, or -w, --state and -l");
	if (request->n_words == 0 && !filters && !args_flag(args, "all") && !request->all)
		return error_set(err, -EINVAL, "usage", "no job is named; usage: concctl %s JOB..., where a JOB is a number or "
				 "@last, or with -w, --state, -l or --all instead", request->verb);
	return 0;
}

static int add_filter(struct buffer *url, const char *key, const char *value)
{
	if (!value)
		return 0;
	return buffer_printf(url, "&%s=", key) < 0 ? -ENOMEM : url_add(url, value);
}

/* ---- The answer ---- */

struct answer {
	struct ctl *ctl;
	const struct select_request *request;
	struct pending pending; /* where a lost daemon is waited for */
	int64_t deadline_ns; /* where it is timed */
	int64_t asked_ns; /* when a daemon was last asked; 0: there was none */
	int64_t held_ns; /* for how long the last one that could be asked kept the request; 0: that is accounted for */
	struct buffer line; /* the beginning of one whose end has not come */
	int error_status, status; /* of the first error; the highest of what became of jobs */
	bool whole, timed_out;
};

static void print_line(const uint8_t *text, size_t len)
{
	(void)fwrite(text, 1, len, stdout);
	(void)fputc('\n', stdout);
	(void)fflush(stdout); /* looked at once more when the command ends */
}

static void on_summary(struct answer *a, const json_t *line)
{
	a->whole = true;
	if (member_count(line, "done") + member_count(line, "failed") == 0 && !a->ctl->quiet)
		say("there is no job to %s", a->request->words);
}

static bool is_patient(const struct answer *a)
{
	return a->request->patience && a->request->patience->ns > 0;
}

static bool is_something_left(const struct answer *a)
{
	uint64_t id = 0;

	return !a->pending.known || pending_next(&a->pending, &id);
}

/* 1: the line is for us alone, or was there before a loss; 0; -errno. */
static int look_at(struct answer *a, const json_t *line)
{
	uint64_t id;
	int r;

	if (strcmp(member_text(line, "type", ""), "selected") == 0) {
		r = pending_add(&a->pending, member_text(line, "jobs", "?"));
		a->pending.known = r == 0 && !member_true(line, "more");
		return r < 0 ? r : 1;
	}
	if (!is_patient(a) || member_true(line, "timeout") || parse_job(member_text(line, "job", ""), &id, NULL) < 0)
		return 0;
	return pending_tell(&a->pending, id);
}

static int on_line(struct answer *a, const uint8_t *text, size_t len, struct error *err)
{
	_cleanup_json_ json_t *line = json_loadb((const char *)text, len, TALK_JSON_FLAGS, NULL);
	const json_t *error = json_object_get(line, "error");
	int r;

	if (!json_is_object(line))
		return -EPROTO;
	if (strcmp(member_text(line, "type", ""), "summary") == 0) {
		on_summary(a, line);
		return 0;
	}
	r = look_at(a, line);
	if (r != 0)
		return r < 0 ? r : 0;
	if (a->ctl->json)
		print_line(text, len);
	if (json_is_object(error) && !json_object_get(line, "state")) {
		const char *code = error_code_known(member_text(error, "code", ""));

		say("%s", member_text(error, "message", code));
		if (a->error_status == 0)
			a->error_status = exit_status_of(code);
		return 0;
	}
	if (member_true(line, "timeout"))
		a->whole = a->timed_out = true;
	if (a->request->on_line)
		r = a->request->on_line(a->request->arg, line, err);
	if (r > a->status)
		a->status = r;
	return r < 0 ? r : 0;
}

static int feed(struct answer *a, const uint8_t *data, size_t len, struct error *err)
{
	const uint8_t *end = data + len;

	while (data < end) {
		const uint8_t *lf = memchr(data, '\n', (size_t)(end - data));
		int r;

		if (a->line.len + len > MAX_LINE_BYTES)
			return -EPROTO;
		if (buffer_add(&a->line, data, (size_t)((lf ? lf : end) - data)) < 0)
			return -ENOMEM;
		if (!lf)
			return 0;
		r = on_line(a, a->line.data, a->line.len, err);
		a->line.len = 0;
		if (r < 0)
			return r;
		data = lf + 1;
	}
	return 0;
}

static int exchange(struct answer *a, struct http *http, const char *url, const struct buffer *body, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	struct iovec iov = { .iov_base = body->data, .iov_len = body->len };
	struct http_reply reply;
	int r = http_send(http, "POST", url, &iov, body->len > 0);

	if (r == 0) {
		a->asked_ns = clock_mono_ns();
		r = http_head(http, &reply);
	}
	if (r == 0 && reply.status != 200) {
		r = talk_read(http, reply.status, &doc, err);
		return r < 0 ? r : -EPROTO;
	}
	if (r == 0) {
		a->line.len = 0;
		a->whole = false;
		if (!a->pending.known) {
			seen_fini(&a->pending.jobs); /* of an answer that was cut */
			seen_fini(&a->pending.told);
		}
		if (is_patient(a))
			patience_found(a->request->patience);
	}
	while (r == 0) {
		const uint8_t *data;
		ssize_t n = http_read(http, &data);

		if (n <= 0)
			return n < 0 ? (int)n : a->whole ? 0 : -ECONNRESET;
		r = feed(a, data, (size_t)n, err);
	}
	return r;
}

static int build(const struct answer *a, struct buffer *url, struct buffer *body)
{
	const struct select_request *request = a->request;
	const struct args *args = &a->ctl->args;
	bool filters = args_flag(args, "workload") || args_flag(args, "state") || args_flag(args, "label");
	bool is_again = a->asked_ns > 0 && a->pending.known;
	/* The first time exactly what was asked for. */
	int64_t left_ns = a->asked_ns > 0 ? a->deadline_ns - clock_mono_ns() : request->timeout_ns;
	int r = buffer_printf(url, "/v1/jobs/%s?%s", request->verb, request->query);

	if (r == 0 && request->timed)
		r = buffer_printf(url, "timeout_s=%.3f", left_ns > 0 ? (double)left_ns / 1e9 : 0.0);
	if (r == 0 && is_again)
		r = pending_format(&a->pending, MAX_NAMES_BYTES, body);
	for (size_t i = 0; i < request->n_words && r == 0 && !is_again; i++)
		r = buffer_printf(body, "%s\n", args->words[i]);
	if (r == 0 && !is_again)
		r = add_filter(url, "workload", args_text(args, "workload"));
	if (r == 0 && !is_again)
		r = add_filter(url, "state", args_text(args, "state"));
	if (r == 0 && !is_again)
		r = add_filter(url, "label", args_text(args, "label"));
	if (r == 0 && !is_again && (args_flag(args, "all") || (request->all && !filters)))
		r = buffer_printf(url, "&all=1");
	if (r == 0 && is_patient(a) && !a->pending.known)
		r = buffer_printf(url, "&selected=1");
	return r == 0 ? buffer_add(url, "", 1) : r;
}

static int ask(struct answer *a, struct error *err)
{
	_cleanup_buffer_ struct buffer url = BUFFER_INIT, body = BUFFER_INIT;
	struct http *http = NULL;
	int64_t begun_ns;
	int r = build(a, &url, &body);

	if (r == 0)
		r = talk_connect(a->ctl, &http, err);
	if (r < 0)
		return r;
	http->timeout_ms = TALK_NO_TIMEOUT;
	begun_ns = clock_mono_ns();
	r = exchange(a, http, (const char *)url.data, &body, err);
	a->held_ns = clock_mono_ns() - begun_ns;
	http_close(http);
	return r;
}

/* Numbers say all by themselves which jobs are meant. */
static int know_words(struct answer *a)
{
	const struct select_request *request = a->request;
	uint64_t id;
	int r = 0;

	if (!is_patient(a) || request->n_words == 0)
		return 0;
	for (size_t i = 0; i < request->n_words && r == 0; i++)
		r = parse_job(a->ctl->args.words[i], &id, NULL) < 0 ? 1 : seen_add(&a->pending.jobs, id, id);
	a->pending.known = r == 0;
	return r < 0 ? r : 0;
}

/* The daemon was lost after it had been asked. 0: ask again; an exit status; -errno with words. */
static int wait_for_daemon(struct answer *a, struct error *err)
{
	const struct select_request *request = a->request;
	int r;

	/* The answer's head may come with its first line: who held the request for so long was a daemon that worked. */
	if (a->held_ns > LASTED_NS) {
		request->patience->lost_ns = 0;
		request->patience->said = false;
	}
	a->held_ns = 0; /* what follows are tries to reach one */
	*err = (struct error)ERROR_INIT;
	if (request->timed && clock_mono_ns() >= a->deadline_ns) {
		say("the time is over, and concd is not reachable");
		return EXIT_TIMED_OUT;
	}
	r = patience_wait(request->patience);
	return r == -ETIMEDOUT ? error_set(err, -ECONNRESET, "unreachable", "the connection to concd was lost; when it is back, its jobs "
					   "go on: ask again then") : r;
}

/* 0: there is more to be asked; 1: there is not; an exit status of 2 or above; -errno with words. */
static int go_on(struct answer *a, int r, struct error *err)
{
	bool asked = is_patient(a) && a->asked_ns > 0;

	if (r == 0 && (!asked || !a->pending.known || a->request->any || a->timed_out))
		return 1;
	if (r < 0 && (!asked || !patience_is_lost(r, err ? err->code : NULL)))
		return r;
	if (a->request->any ? a->pending.told.n > 0 : !is_something_left(a))
		return 1;
	if (r == 0)
		return 0;
	return wait_for_daemon(a, err);
}

int select_run(struct ctl *ctl, const struct select_request *request, struct error *err)
{
	struct answer a = { .ctl = ctl, .request = request };
	int status = 0, r = check(ctl, request, err);

	a.deadline_ns = clock_mono_ns() + request->timeout_ns;
	if (r == 0)
		r = know_words(&a);
	if (r < 0)
		status = r;
	while (status == 0) {
		r = ask(&a, err);
		status = go_on(&a, r, err);
	}
	buffer_fini(&a.line);
	pending_fini(&a.pending);
	if (status < 0)
		return talk_failed(status, err);
	if (status > 1)
		return status;
	return a.error_status ? a.error_status : a.status;
}
