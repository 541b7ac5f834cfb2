/* The verbs on many jobs: what each does to one, and which jobs its descriptions mean. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "control/selection.h"
#include "control/server.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define MAX_WAIT_S 1e8

/* Parse what several verbs take, and begin. */
static void start(const struct call *call, const struct verb *verb, struct verb_options *options)
{
	/* Of another verb it is no limit of the answer: set gives it to jobs. */
	const char *timeout = verb->act ? NULL : query_get(&call->query, "timeout_s");
	struct error err = ERROR_INIT;
	int r = query_get_bool(&call->query, "wait", &options->wait, &err);

	options->timeout_s = -1;
	if (r == 0)
		r = query_get_bool(&call->query, "brief", &options->brief, &err);
	if (r == 0)
		r = query_get_bool(&call->query, "any", &options->any, &err);
	if (r == 0)
		r = query_get_bool(&call->query, "selected", &options->selected, &err);
	if (r == 0 && timeout && (text_parse_double(timeout, &options->timeout_s) < 0 || options->timeout_s < 0 ||
				  options->timeout_s > MAX_WAIT_S))
		r = error_set(&err, -EINVAL, "bad-request",
			      "query: timeout_s: '%.40s' is not a number of seconds from 0 on", timeout);
	if (r < 0)
		reply_error(call->req, r, &err);
	else
		selection_start(call, verb, options);
}

/* ---- cancel, kill ---- */

static int act_cancel(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err)
{
	(void)slot; /* done at once; the end is waited for in the second round */
	(void)options;
	return job_cancel(job, err);
}

void handle_cancel_many(const struct call *call)
{
	static const struct verb verb = { .name = "cancel", .words = "cancel", .not_services = true, .act = act_cancel };

	start(call, &verb, &(struct verb_options){ .wait = true });
}

static int act_kill(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err)
{
	(void)slot; /* as above */
	(void)options;
	return job_kill(job, err);
}

void handle_kill_many(const struct call *call)
{
	static const struct verb verb = { .name = "kill", .words = "kill", .not_services = true, .act = act_kill };

	start(call, &verb, &(struct verb_options){ .wait = true });
}

/* ---- pause, resume ---- */

static void on_course(void *arg, int status)
{
	struct error err = ERROR_INIT;

	if (status < 0)
		(void)error_set(&err, status, "internal", "it is so, but not on disk: %s", strerror(-status));
	slot_done(arg, status, &err);
}

static bool is_paused(const struct job_view *view, const struct verb_options *options)
{
	(void)options;
	return view->paused;
}

static bool is_not_paused(const struct job_view *view, const struct verb_options *options)
{
	(void)options;
	return !view->paused;
}

/* All of a workload, and everything, are held as such. */
static void start_holding(const struct call *call, bool resume, const struct verb *verb)
{
	struct verb_options options = { .timeout_s = -1 };
	struct error err = ERROR_INIT;

	if (query_get_bool(&call->query, "brief", &options.brief, &err) < 0)
		reply_error(call->req, -EINVAL, &err);
	else if (!hold_start(call, resume, verb, &options))
		start(call, verb, &options);
}

static int act_pause(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err)
{
	int r = job_pause(job, on_course, slot, err);

	(void)options;
	return r == 0 ? 1 : r;
}

void handle_pause_many(const struct call *call)
{
	static const struct verb verb = { .name = "pause", .words = "pause", .fits = is_not_paused,
					  .act = act_pause };

	start_holding(call, false, &verb);
}

static int act_resume(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err)
{
	int r = job_resume(job, on_course, slot, err);

	(void)options;
	return r == 0 ? 1 : r;
}

void handle_resume_many(const struct call *call)
{
	static const struct verb verb = { .name = "resume", .words = "resume", .ends_pauses = true, .fits = is_paused,
					  .act = act_resume };

	start_holding(call, true, &verb);
}

/* ---- restart ---- */

static bool is_service(const struct job_view *view, const struct verb_options *options)
{
	(void)options;
	return view->service.is_service && view->state != JOB_PAUSED;
}

static int act_restart(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err)
{
	int r = job_restart(job, on_course, slot, err);

	(void)options;
	return r == 0 ? 1 : r;
}

void handle_restart_many(const struct call *call)
{
	static const struct verb verb = { .name = "restart", .words = "restart", .fits = is_service, .act = act_restart };

	start(call, &verb, &(struct verb_options){ .wait = false });
}

/* ---- set ---- */

/* With words it was refused: what it is to follow had to be looked for. */
static void on_set(void *arg, int status, const struct error *err)
{
	if (status < 0 && err && err->code)
		slot_done(arg, status, err);
	else
		on_course(arg, status);
}

static int act_set(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err)
{
	int r = job_set(job, &options->changes, on_set, slot, err);

	return r == 0 ? 1 : r;
}

void handle_set_many(const struct call *call)
{
	static const struct verb verb = { .name = "set", .words = "change", .act = act_set };
	static const struct verb label = { .name = "set", .words = "change", .on_ended_states = true, .act = act_set };
	struct verb_options options = { .wait = false };
	struct error err = ERROR_INIT;

	if (settings_parse(&call->query, &options.changes, &err) < 0)
		reply_error(call->req, -EINVAL, &err);
	else
		start(call, options.changes.what == JOB_CHANGE_LABEL ? &label : &verb, &options);
}

/* ---- retry ---- */

static bool can_be_retried(const struct job_view *view, const struct verb_options *options)
{
	return !view->service.is_service && view->total > (options->failed ? view->done : 0);
}

static void on_retried(void *arg, int status, struct job *job, uint64_t source_id, const struct error *err)
{
	struct slot *slot = arg;
	struct job_view view;

	if (status == 0) {
		job_view(job, &view);
		slot_says(slot, json_pack("{s:i, s:o, s:o, s:s}", "schema", PROTOCOL_SCHEMA, "job",
					  json_sprintf("%llu", (unsigned long long)view.id), "retry_of",
					  json_sprintf("%llu", (unsigned long long)source_id), "state",
					  job_state_name(view.state)));
	}
	slot_done(slot, status, err);
}

static int act_retry(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err)
{
	int r = job_retry(job, options->failed, slot_uid(slot), on_retried, slot, err);

	return r == 0 ? 1 : r;
}

void handle_retry_many(const struct call *call)
{
	static const struct verb verb = { .name = "retry", .words = "retry", .on_ended = true, .fits = can_be_retried,
					  .act = act_retry };
	struct verb_options options = { .wait = false };
	struct error err = ERROR_INIT;

	if (query_get_bool(&call->query, "failed", &options.failed, &err) < 0)
		reply_error(call->req, -EINVAL, &err);
	else
		start(call, &verb, &options);
}

/* ---- rm ---- */

static void on_removed(void *arg, int status)
{
	struct error err = ERROR_INIT;

	if (status == -ENOENT)
		(void)error_set(&err, status, "no-such-job", "somebody else has removed the job");
	else if (status == -ENOSPC)
		(void)error_set(&err, status, "full", "the store takes nothing now (`concctl status` says why), and the job is still there; "
				"try again");
	else if (status < 0)
		(void)error_set(&err, status, "internal", "the store failed: %s; the daemon's log says more", strerror(-status));
	slot_done(arg, status, &err);
}

static int act_rm(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err)
{
	int r = job_remove(job, on_removed, slot, err);

	(void)options;
	return r == 0 ? 1 : r;
}

void handle_rm_many(const struct call *call)
{
	static const struct verb verb = { .name = "rm", .words = "remove", .on_ended = true, .act = act_rm,
					  .removed = "removed" };

	start(call, &verb, &(struct verb_options){ .wait = false });
}

/* ---- wait ---- */

void handle_wait_many(const struct call *call)
{
	static const struct verb verb = { .name = "wait", .words = "wait for", .on_ended_states = true, .for_all = true,
					  .not_services = true };

	start(call, &verb, &(struct verb_options){ .wait = true });
}
