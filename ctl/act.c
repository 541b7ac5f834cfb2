/* cancel, kill, pause, resume, restart, set, retry, rm, clean: each for several jobs. What cannot be done to one is said and does not keep the
 * others from it; the first such error decides the exit status. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "protocol.h"
#include "select.h"
#include "talk.h"

/* A restart is answered when the service has begun, or when that has failed already. */
static int restart_status(const json_t *job)
{
	const json_t *service = json_object_get(job, "service");

	if (member_count(service, "failures") == 0)
		return 0;
	say("job %s: it is down again: %s", member_text(job, "job", "?"), member_text(service, "cause", "?"));
	return EXIT_TASKS_FAILED;
}

#define TELLING_BYTES 160

struct telling {
	const struct ctl *ctl;
	const char *done; /* what is said of each job; NULL: its state */
	bool restarts, sets, resumes;
	char *scratch; /* TELLING_BYTES */
};

/* Of everything, or all of a workload. */
static void tell_hold(const struct ctl *ctl, const json_t *line)
{
	const char *workload = member_text(line, "workload", NULL);

	if (!ctl->json && !ctl->quiet)
		(void)printf("%s%s: %s\n", workload ? "workload " : "everything", workload ? workload : "",
			     member_true(line, "paused") ? "paused, and so is what comes" : "goes on");
}

/* It was set to follow a job that had ended badly. */
static const char *why_cancelled(const struct telling *telling, const json_t *line)
{
	const json_t *error = json_object_get(line, "error");

	if (!telling->sets || strcmp(member_text(error, "code", ""), "predecessor") != 0)
		return "";
	(void)snprintf(telling->scratch, TELLING_BYTES, ", and cancelled: %s", member_text(error, "message", "?")); /* cut is fine */
	return telling->scratch;
}

/* One that was resumed may be paused with all of its workload, or with everything. */
static const char *what_is_done(const struct telling *telling, const json_t *line)
{
	const char *state = member_text(line, "state", "?");

	if (telling->resumes && strcmp(state, "paused") == 0)
		return "is not paused by itself any more; it goes on when what is paused as a whole does: see 'concctl status'";
	return telling->done ? telling->done : state;
}

static int tell(void *arg, const json_t *line, struct error *err)
{
	const struct telling *telling = arg;

	(void)err; /* printing is looked at when the command ends */
	if (!json_object_get(line, "job")) {
		tell_hold(telling->ctl, line);
		return 0;
	}
	if (!telling->ctl->json && !telling->ctl->quiet)
		(void)printf("job %s: %s%s\n", member_text(line, "job", "?"), what_is_done(telling, line), why_cancelled(telling, line));
	return telling->restarts ? restart_status(line) : 0;
}

static int act(struct ctl *ctl, const char *verb, const char *query, size_t n_words, const char *done, struct error *err)
{
	_cleanup_buffer_ struct buffer keys = BUFFER_INIT;
	bool restarts = strcmp(verb, "restart") == 0;
	char scratch[TELLING_BYTES];
	struct telling telling = { .ctl = ctl, .done = done, .restarts = restarts, .sets = strcmp(verb, "set") == 0,
				   .resumes = strcmp(verb, "resume") == 0, .scratch = scratch };
	int r = buffer_printf(&keys, "%s%s", query, ctl->json || restarts ? "" : *query ? "&brief=1" : "brief=1");

	if (r == 0)
		r = buffer_add(&keys, "", 1);
	if (r < 0)
		return r;
	return select_run(ctl, &(struct select_request){ .verb = verb, .words = telling.sets ? "change" : verb,
							 .query = (const char *)keys.data, .n_words = n_words,
							 .on_line = tell, .arg = &telling }, err);
}

int command_cancel(struct ctl *ctl, struct error *err)
{
	bool now = args_flag(&ctl->args, "no-wait");

	return act(ctl, "cancel", now ? "wait=0" : "", ctl->args.n_words, now ? "is being cancelled" : NULL, err);
}

int command_kill(struct ctl *ctl, struct error *err)
{
	bool now = args_flag(&ctl->args, "no-wait");

	return act(ctl, "kill", now ? "wait=0" : "", ctl->args.n_words, now ? "is being killed" : NULL, err);
}

int command_pause(struct ctl *ctl, struct error *err)
{
	return act(ctl, "pause", "", ctl->args.n_words, NULL, err);
}

int command_resume(struct ctl *ctl, struct error *err)
{
	return act(ctl, "resume", "", ctl->args.n_words, "goes on", err);
}

int command_restart(struct ctl *ctl, struct error *err)
{
	return act(ctl, "restart", "", ctl->args.n_words, NULL, err);
}

static const struct setting {
	const char *name;
	const char *key; /* of the query */
	bool duration;
} settings[] = {
	{ "workers", "workers", false }, { "priority", "priority", false }, { "timeout", "timeout_s", true },
	{ "task_timeout", "task_timeout_s", true }, { "task-timeout", "task_timeout_s", true }, { "retries", "retries", false },
	{ "backoff", "backoff_s", true }, { "label", "set_label", false }, { "model", "model", false },
	{ "shape", "shape", false }, { "delay", "delay_s", true }, { "expire", "expire_s", true }, { "after", "after", false },
	{ "after_failed", "after_failed", false }, { "after-failed", "after_failed", false },
};

static const char *setting_name(const void *names, size_t i)
{
	return ((const struct setting *)names)[i].name;
}

static int unknown_setting(const char *word, size_t len, struct error *err)
{
	char name[32];
	const char *near;

	(void)snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1), word); /* cut is fine */
	near = text_nearest(name, settings, ARRAY_SIZE(settings), setting_name);
	if (near)
		return error_set(err, -EINVAL, "usage", "'%s' cannot be set; did you mean '%s'?", name, near);
	return error_set(err, -EINVAL, "usage", "'%s' cannot be set: workers, priority, timeout, task_timeout, retries, backoff, label, "
			 "model, shape, delay, expire, after and after_failed can", name);
}

/* after=3,@last; after=none and after= are sent as they are. */
static int add_after(struct ctl *ctl, struct buffer *query, const char *list, struct error *err)
{
	_cleanup_free_ char *words = strdup(list);
	char *rest = words, *word;
	const char *before = "";
	int r = words ? buffer_printf(query, "&after=") : -ENOMEM;

	if (r < 0 || !*list || strcmp(list, "none") == 0)
		return r < 0 ? r : url_add(query, list);
	while (r == 0 && (word = strsep(&rest, ","))) {
		uint64_t id = 0;

		r = select_job(ctl, word, &id, err);
		if (r == 0)
			r = buffer_printf(query, "%s%" PRIu64, before, id);
		before = ",";
	}
	if (r < 0)
		error_prefix(err, "'after=%s'", list);
	return r;
}

/* KEY=VALUE as a key of the query: durations become seconds. */
static int add_setting(struct ctl *ctl, struct buffer *query, const char *word, struct error *err)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : 0;
	const struct setting *setting = NULL;
	int64_t ns;
	int r;

	if (len == 0)
		return error_set(err, -EINVAL, "usage", "'%s' is no KEY=VALUE; for example priority=10", word);
	for (size_t i = 0; i < ARRAY_SIZE(settings) && !setting; i++)
		if (strlen(settings[i].name) == len && memcmp(settings[i].name, word, len) == 0)
			setting = &settings[i];
	if (!setting)
		return unknown_setting(word, len, err);
	if (setting->duration) {
		if (text_parse_duration(equals + 1, &ns) < 0)
			return error_set(err, -EINVAL, "usage", "'%s': durations look like 500ms, 10s, 2m or 1.5h", word);
		return buffer_printf(query, "&%s=%.9g", setting->key, (double)ns / 1e9);
	}
	if (strcmp(setting->key, "after") == 0)
		return add_after(ctl, query, equals + 1, err);
	r = buffer_printf(query, "&%s=", setting->key);
	return r == 0 ? url_add(query, equals + 1) : r;
}

/* The words without '=' are jobs, and come first. */
int command_set(struct ctl *ctl, struct error *err)
{
	_cleanup_buffer_ struct buffer query = BUFFER_INIT;
	size_t n = 0;
	int r = 0;

	while (n < ctl->args.n_words && !strchr(ctl->args.words[n], '='))
		n++;
	if (n == ctl->args.n_words)
		return error_set(err, -EINVAL, "usage", "usage: concctl set JOB... KEY=VALUE...; for example set 7 priority=10");
	for (size_t i = n; i < ctl->args.n_words && r == 0; i++)
		r = add_setting(ctl, &query, ctl->args.words[i], err);
	if (r == 0)
		r = buffer_add(&query, "", 1);
	return r < 0 ? r : act(ctl, "set", (const char *)query.data, n, "set", err);
}

/* ---- retry ---- */

static int on_retried(void *arg, const json_t *line, struct error *err)
{
	const struct ctl *ctl = arg;

	(void)err; /* printing is looked at when the command ends */
	if (!ctl->json && ctl->quiet)
		(void)printf("%s\n", member_text(line, "job", "?"));
	else if (!ctl->json)
		(void)printf("job %s: runs again as job %s\n", member_text(line, "retry_of", "?"),
			     member_text(line, "job", "?"));
	return 0;
}

int command_retry(struct ctl *ctl, struct error *err)
{
	return select_run(ctl, &(struct select_request){ .verb = "retry", .words = "retry",
							 .query = args_flag(&ctl->args, "failed") ? "failed=1" : "",
							 .n_words = ctl->args.n_words, .on_line = on_retried, .arg = ctl },
			  err);
}

/* ---- rm, clean ---- */

struct removing {
	const struct ctl *ctl;
	bool each; /* say each; else how many */
	uint64_t n;
};

static int on_removed(void *arg, const json_t *line, struct error *err)
{
	struct removing *removing = arg;

	(void)err; /* printing is looked at when the command ends */
	removing->n++;
	if (removing->each && !removing->ctl->json && !removing->ctl->quiet)
		(void)printf("job %s: removed\n", member_text(line, "job", "?"));
	return 0;
}

int command_rm(struct ctl *ctl, struct error *err)
{
	struct removing removing = { .ctl = ctl, .each = true };

	return select_run(ctl, &(struct select_request){ .verb = "rm", .words = "remove", .query = "",
							 .n_words = ctl->args.n_words, .on_line = on_removed, .arg = &removing }, err);
}

int command_clean(struct ctl *ctl, struct error *err)
{
	struct removing removing = { .ctl = ctl };
	struct select_request request = { .verb = "rm", .words = "remove", .all = true, .on_line = on_removed,
					  .arg = &removing };
	int64_t age_ns = 0;
	char query[48];
	int r = args_duration(&ctl->args, "older-than", &age_ns, err);

	if (r < 0)
		return r;
	/* also where it is 0: nothing to remove is then no error */
	(void)snprintf(query, sizeof(query), "older_than_s=%.3f", (double)age_ns / 1e9); /* fits */
	request.query = query;
	r = select_run(ctl, &request, err);
	if (r >= 0 && removing.n > 0 && !ctl->json && !ctl->quiet)
		(void)printf("%" PRIu64 " job%s removed\n", removing.n, removing.n == 1 ? "" : "s");
	return r;
}
