/* cancel, kill, pause, resume, restart, set: each for several jobs. What cannot be done to one is said and does not keep the others
 * from it; the first such error decides the exit status. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "protocol.h"
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

/* One request for one job. 0, or the exit status of what was wrong and was said; -errno where going on makes no sense. */
static int act_on(struct ctl *ctl, uint64_t id, const char *action, bool tell, const char *done, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	struct error why = ERROR_INIT;
	char url[160];
	int r;

	(void)snprintf(url, sizeof(url), "/v1/jobs/%" PRIu64 "/%s", id, action);
	r = talk_document(ctl, "POST", url, NULL, 0, TALK_NO_TIMEOUT, &doc, &why);
	if (r < 0) {
		if (doc.status == 0 || ctl->args.n_words == 1) { /* nothing answers, or there is no other */
			*err = why;
			return r;
		}
		if (ctl->json && doc.json)
			(void)document_print(&doc, &why); /* said below as well */
		say("%s", why.text);
		return exit_status_of(why.code);
	}
	if (!tell)
		return 0;
	if (ctl->json)
		r = document_print(&doc, err);
	else if (!ctl->quiet)
		(void)printf("job %" PRIu64 ": %s\n", id, done ? done : member_text(doc.json, "state", "?"));
	return r == 0 && strcmp(action, "restart") == 0 ? restart_status(doc.json) : r;
}

/* The same for every job named by the first n words. */
static int act_on_all(struct ctl *ctl, size_t n, const char *action, bool tell, const char *done, int status,
		      struct error *err)
{
	_cleanup_free_ uint64_t *ids = NULL;
	int r = parse_jobs(&ctl->args, n, &ids, err);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = act_on(ctl, ids[i], action, tell, done, err);
		if (r > 0 && status == EXIT_OK)
			status = r;
	}
	return r < 0 ? r : status;
}

/* Of several jobs each is told before any is waited for: their grace times run side by side. */
static int end_jobs(struct ctl *ctl, const char *now, const char *waiting, const char *done, struct error *err)
{
	size_t n = ctl->args.n_words;
	int status = EXIT_OK;

	if (args_flag(&ctl->args, "no-wait"))
		return act_on_all(ctl, n, now, true, done, status, err);
	if (n == 1)
		return act_on_all(ctl, n, waiting, true, NULL, status, err);
	status = act_on_all(ctl, n, now, false, NULL, status, err);
	if (status < 0)
		return status;
	for (size_t i = 0; i < n; i++) {
		_cleanup_document_ struct document doc = DOCUMENT_INIT;
		uint64_t id;
		char url[64];
		int r = parse_job(ctl->args.words[i], &id, err);

		(void)snprintf(url, sizeof(url), "/v1/jobs/%" PRIu64 "/wait", id);
		if (r == 0 && talk_document(ctl, "GET", url, NULL, 0, TALK_NO_TIMEOUT, &doc, err) < 0) {
			if (doc.status == 0)
				return -EIO;
			*err = (struct error)ERROR_INIT;
			continue; /* there is no such job: that was said */
		}
		if (r == 0 && ctl->json)
			r = document_print(&doc, err);
		else if (r == 0 && !ctl->quiet)
			(void)printf("job %" PRIu64 ": %s\n", id, member_text(doc.json, "state", "?"));
		if (r < 0)
			return r;
	}
	return status;
}

int command_cancel(struct ctl *ctl, struct error *err)
{
	return end_jobs(ctl, "cancel?wait=0", "cancel", "is being cancelled", err);
}

int command_kill(struct ctl *ctl, struct error *err)
{
	return end_jobs(ctl, "kill?wait=0", "kill", "is being killed", err);
}

int command_pause(struct ctl *ctl, struct error *err)
{
	return act_on_all(ctl, ctl->args.n_words, "pause", true, NULL, EXIT_OK, err);
}

int command_resume(struct ctl *ctl, struct error *err)
{
	return act_on_all(ctl, ctl->args.n_words, "resume", true, "goes on", EXIT_OK, err);
}

int command_restart(struct ctl *ctl, struct error *err)
{
	return act_on_all(ctl, ctl->args.n_words, "restart", true, NULL, EXIT_OK, err);
}

/* The words without '=' are jobs, and come first. */
int command_set(struct ctl *ctl, struct error *err)
{
	_cleanup_buffer_ struct buffer action = BUFFER_INIT;
	size_t n = 0;
	int r = buffer_printf(&action, "set");

	while (n < ctl->args.n_words && !strchr(ctl->args.words[n], '='))
		n++;
	if (n == 0 || n == ctl->args.n_words)
		return error_set(err, -EINVAL, "usage", "usage: concctl set JOB... KEY=VALUE...; for example set 7 priority=10");
	for (size_t i = n; i < ctl->args.n_words && r == 0; i++) {
		const char *word = ctl->args.words[i], *equals = strchr(word, '=');

		if (!equals || equals == word)
			return error_set(err, -EINVAL, "usage", "'%s' is no KEY=VALUE; for example priority=10", word);
		r = buffer_printf(&action, "%c%.*s=", i == n ? '?' : '&', (int)(equals - word), word);
		if (r == 0)
			r = url_add(&action, equals + 1);
	}
	if (r == 0)
		r = buffer_add(&action, "", 1);
	if (r < 0)
		return r;
	if (action.len > 120)
		return error_set(err, -EINVAL, "usage", "the settings are too long");
	return act_on_all(ctl, n, (const char *)action.data, true, "set", EXIT_OK, err);
}
