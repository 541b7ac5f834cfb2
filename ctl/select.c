/* Selectors, and the stream that answers a verb on many jobs. */
#include "select.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "ctl.h"
#include "protocol.h"
#include "talk.h"

#define MAX_LINE_BYTES (4u << 20)

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

static int build(const struct ctl *ctl, const struct select_request *request, struct buffer *url, struct buffer *body)
{
	const struct args *args = &ctl->args;
	bool filters = args_flag(args, "workload") || args_flag(args, "state") || args_flag(args, "label");
	int r = buffer_printf(url, "/v1/jobs/%s?%s", request->verb, request->query);

	if (r == 0)
		r = add_filter(url, "workload", args_text(args, "workload"));
	if (r == 0)
		r = add_filter(url, "state", args_text(args, "state"));
	if (r == 0)
		r = add_filter(url, "label", args_text(args, "label"));
	if (r == 0 && (args_flag(args, "all") || (request->all && !filters)))
		r = buffer_printf(url, "&all=1");
	for (size_t i = 0; i < request->n_words && r == 0; i++)
		r = buffer_printf(body, "%s\n", args->words[i]);
	return r == 0 ? buffer_add(url, "", 1) : r;
}

/* ---- The answer ---- */

struct answer {
	struct ctl *ctl;
	const struct select_request *request;
	struct buffer line; /* the beginning of one whose end has not come */
	int error_status, status; /* of the first error; the highest of what became of jobs */
	bool whole;
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

static int on_line(struct answer *a, const uint8_t *text, size_t len, struct error *err)
{
	_cleanup_json_ json_t *line = json_loadb((const char *)text, len, TALK_JSON_FLAGS, NULL);
	const json_t *error = json_object_get(line, "error");
	int r = 0;

	if (!json_is_object(line))
		return -EPROTO;
	if (strcmp(member_text(line, "type", ""), "summary") == 0) {
		on_summary(a, line);
		return 0;
	}
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
		a->whole = true;
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

	if (r == 0)
		r = http_head(http, &reply);
	if (r == 0 && reply.status != 200) {
		r = talk_read(http, reply.status, &doc, err);
		return r < 0 ? r : -EPROTO;
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

int select_run(struct ctl *ctl, const struct select_request *request, struct error *err)
{
	_cleanup_buffer_ struct buffer url = BUFFER_INIT, body = BUFFER_INIT;
	struct answer a = { .ctl = ctl, .request = request };
	struct http *http = NULL;
	int r = check(ctl, request, err);

	if (r == 0)
		r = build(ctl, request, &url, &body);
	if (r == 0)
		r = talk_connect(ctl, &http, err);
	if (r < 0)
		return r;
	http->timeout_ms = TALK_NO_TIMEOUT;
	r = exchange(&a, http, (const char *)url.data, &body, err);
	http_close(http);
	buffer_fini(&a.line);
	if (r < 0)
		return talk_failed(r, err);
	return a.error_status ? a.error_status : a.status;
}
