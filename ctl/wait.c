/* wait. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "interrupt.h"
#include "protocol.h"
#include "rejoin.h"
#include "select.h"
#include "table.h"
#include "talk.h"

#define MESSAGE_BYTES 1000 /* of a job's error */

static int tell_timed_out(const struct ctl *ctl, const json_t *line)
{
	if (!ctl->json)
		say("the time is over, and job %s is %s", member_text(line, "job", "?"),
		    member_text(line, "state", "not done"));
	return EXIT_TIMED_OUT;
}

/* Say how a job has ended. 0 or 1 for the exit status. */
static int tell_ended(void *arg, const json_t *line, struct error *err)
{
	const struct ctl *ctl = arg;
	const char *state = member_text(line, "state", "?");
	const json_t *tasks = json_object_get(line, "tasks"), *error = json_object_get(line, "error");
	uint64_t done = member_count(tasks, "done"), failed = member_count(tasks, "failed"), cancelled = member_count(tasks, "cancelled");

	_cleanup_free_ char *message = text_clean(member_text(error, "message", ""), MESSAGE_BYTES); /* perhaps a plugin's words: one line each */

	(void)err; /* printing is looked at when the command ends */
	if (member_true(line, "timeout"))
		return tell_timed_out(ctl, line);
	if (!ctl->json && !ctl->quiet) {
		(void)printf("job %s: %s, %" PRIu64 " %s done, %" PRIu64 " failed, %" PRIu64 " cancelled%s%s\n",
			     member_text(line, "job", "?"), state, done, done == 1 ? "task" : "tasks", failed, cancelled,
			     json_is_object(error) ? ": " : "", message ? message : "");
		(void)fflush(stdout); /* as above */
	}
	return strcmp(state, "done") == 0 && failed == 0 && cancelled == 0 ? EXIT_OK : EXIT_TASKS_FAILED;
}

int command_wait(struct ctl *ctl, struct error *err)
{
	struct select_request request = { .verb = "wait", .words = "wait for", .n_words = ctl->args.n_words,
					  .on_line = tell_ended, .arg = ctl };
	int64_t timeout_ns = -1;
	struct patience patience;
	char query[96];
	int r = args_duration(&ctl->args, "timeout", &timeout_ns, err);

	if (r == 0)
		r = patience_init(&patience, ctl, err);
	if (r == 0)
		r = interrupt_install();
	if (r < 0)
		return r;
	if (timeout_ns > INT64_MAX / 100)
		timeout_ns = -1; /* years: longer than anybody waits */
	request.any = args_flag(&ctl->args, "any");
	(void)snprintf(query, sizeof(query), "%s%s", ctl->json ? "" : "brief=1&", request.any ? "any=1&" : ""); /* fits */
	request.query = query;
	request.timed = timeout_ns >= 0;
	request.timeout_ns = request.timed ? timeout_ns : 0;
	(void)snprintf(patience.what, sizeof(patience.what), "waiting");
	request.patience = &patience;
	return select_run(ctl, &request, err);
}
