/* wait. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "interrupt.h"
#include "protocol.h"
#include "talk.h"

#define MAX_ANY 64 /* each job waited for with --any is a connection */

/* Say how a job has ended. 0 or 1 for the exit status. */
static int tell_ended(const struct ctl *ctl, const struct document *doc, struct error *err)
{
	const char *state = member_text(doc->json, "state", "?");
	const json_t *tasks = json_object_get(doc->json, "tasks"), *error = json_object_get(doc->json, "error");
	uint64_t failed = member_count(tasks, "failed"), cancelled = member_count(tasks, "cancelled");

	if (ctl->json) {
		int r = document_print(doc, err);

		if (r < 0)
			return r;
	} else if (!ctl->quiet) {
		(void)printf("job %s: %s, %" PRIu64 " tasks done, %" PRIu64 " failed, %" PRIu64 " cancelled%s%s\n",
			     member_text(doc->json, "job", "?"), state, member_count(tasks, "done"), failed, cancelled,
			     json_is_object(error) ? ": " : "", member_text(error, "message", ""));
		(void)fflush(stdout); /* looked at once more when the command ends */
	}
	return strcmp(state, "done") == 0 && failed == 0 && cancelled == 0 ? EXIT_OK : EXIT_TASKS_FAILED;
}

static int tell_timed_out(const struct ctl *ctl, const struct document *doc, uint64_t id, struct error *err)
{
	if (ctl->json)
		return document_print(doc, err) < 0 ? -EIO : EXIT_TIMED_OUT;
	say("the time is over, and job %" PRIu64 " is %s", id, member_text(doc->json, "state", "not done"));
	return EXIT_TIMED_OUT;
}

/* Until deadline_ns (-1: none), as the query of a wait. */
static void wait_url(char url[96], uint64_t id, int64_t deadline_ns)
{
	int64_t left = deadline_ns - clock_mono_ns();

	if (deadline_ns < 0)
		(void)snprintf(url, 96, "/v1/jobs/%" PRIu64 "/wait", id);
	else
		(void)snprintf(url, 96, "/v1/jobs/%" PRIu64 "/wait?timeout_s=%.3f", id,
			       left > 0 ? (double)left / 1e9 : 0.0);
}

static int wait_all(struct ctl *ctl, const uint64_t *ids, size_t n, int64_t deadline_ns, struct error *err)
{
	int status = EXIT_OK;

	for (size_t i = 0; i < n; i++) {
		_cleanup_document_ struct document doc = DOCUMENT_INIT;
		char url[96];
		int r;

		wait_url(url, ids[i], deadline_ns);
		r = talk_document(ctl, "GET", url, NULL, 0, TALK_NO_TIMEOUT, &doc, err);
		if (r < 0)
			return r;
		if (member_true(doc.json, "timeout"))
			return tell_timed_out(ctl, &doc, ids[i], err);
		r = tell_ended(ctl, &doc, err);
		if (r < 0)
			return r;
		if (r > status)
			status = r;
	}
	return status;
}

/* Ask for each job on a connection of its own, and take the answer that comes first. */
static int wait_first(struct ctl *ctl, struct http **https, struct pollfd *fds, const uint64_t *ids, size_t n,
		      int64_t deadline_ns, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		char url[96];
		int r = talk_connect(ctl, &https[i], err);

		if (r < 0)
			return r;
		wait_url(url, ids[i], deadline_ns);
		r = http_send(https[i], "GET", url, NULL, 0);
		if (r < 0)
			return talk_failed(r, err);
		fds[i] = (struct pollfd){ .fd = https[i]->fd, .events = POLLIN };
	}
	fds[n] = (struct pollfd){ .fd = interrupt_fd(), .events = POLLIN };
	while (poll(fds, (nfds_t)n + 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	for (size_t i = 0; i < n; i++) {
		_cleanup_document_ struct document doc = DOCUMENT_INIT;
		struct http_reply reply;
		int r;

		if (!fds[i].revents)
			continue;
		r = http_head(https[i], &reply);
		if (r == 0)
			r = talk_read(https[i], reply.status, &doc, err);
		if (r < 0)
			return talk_failed(r, err);
		if (member_true(doc.json, "timeout"))
			return tell_timed_out(ctl, &doc, ids[i], err);
		return tell_ended(ctl, &doc, err);
	}
	return talk_failed(-EINTR, err);
}

static int wait_any(struct ctl *ctl, const uint64_t *ids, size_t n, int64_t deadline_ns, struct error *err)
{
	struct http *https[MAX_ANY] = { NULL };
	struct pollfd fds[MAX_ANY + 1];
	int r;

	if (n > MAX_ANY)
		return error_set(err, -EINVAL, "usage", "--any takes at most %d jobs", MAX_ANY);
	r = wait_first(ctl, https, fds, ids, n, deadline_ns, err);
	for (size_t i = 0; i < n; i++)
		http_close(https[i]);
	return r;
}

int command_wait(struct ctl *ctl, struct error *err)
{
	_cleanup_free_ uint64_t *ids = NULL;
	int64_t timeout_ns = -1;
	int r = parse_jobs(&ctl->args, ctl->args.n_words, &ids, err);

	if (r == 0)
		r = args_duration(&ctl->args, "timeout", &timeout_ns, err);
	if (r == 0)
		r = interrupt_install();
	if (r < 0)
		return r;
	if (timeout_ns > INT64_MAX / 2)
		timeout_ns = -1; /* longer than any clock runs */
	if (timeout_ns >= 0)
		timeout_ns += clock_mono_ns();
	if (args_flag(&ctl->args, "any"))
		return wait_any(ctl, ids, ctl->args.n_words, timeout_ns, err);
	return wait_all(ctl, ids, ctl->args.n_words, timeout_ns, err);
}
