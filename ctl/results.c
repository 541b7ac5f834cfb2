/* results: the results of a job, now or later, on standard output or into a file. */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "interrupt.h"
#include "protocol.h"
#include "rejoin.h"
#include "select.h"
#include "stream.h"
#include "talk.h"

/* A file that appears under its name only when it is complete. */
struct target {
	const char *name; /* NULL: standard output */
	char temporary[PATH_MAX];
	int fd;
};

static int target_open(struct target *t, const char *name, struct error *err)
{
	struct stat st;
	mode_t mask;

	*t = (struct target){ .name = name, .fd = STDOUT_FILENO };
	if (!name)
		return 0;
	if (strcmp(name, "-") == 0) {
		t->name = NULL; /* as everywhere */
		return 0;
	}
	if (stat(name, &st) == 0 && S_ISDIR(st.st_mode))
		return error_set(err, -EISDIR, "usage", "output file '%s' is a directory", name);
	if (stat(name, &st) == 0 && !S_ISREG(st.st_mode)) {
		/* A device or a pipe is written to, never replaced. */
		t->fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (t->fd < 0)
			return error_set(err, -errno, "usage", "output file '%s': %s", name, strerror(errno));
		return 0;
	}
	if ((size_t)snprintf(t->temporary, sizeof(t->temporary), "%s.XXXXXX", name) >= sizeof(t->temporary))
		return error_set(err, -ENAMETOOLONG, "usage", "output file '%s': the name is too long", name);
	t->fd = mkostemp(t->temporary, O_CLOEXEC);
	if (t->fd < 0) {
		t->temporary[0] = '\0';
		return error_set(err, -errno, "usage", "output file '%s': %s", name, strerror(errno));
	}
	mask = umask(0);
	(void)umask(mask);
	(void)fchmod(t->fd, 0666 & ~mask); /* as if made by open(); a file system without modes does without */
	return 0;
}

static int target_commit(struct target *t, struct error *err)
{
	if (!t->temporary[0])
		return 0;
	if (rename(t->temporary, t->name) < 0)
		return error_set(err, -errno, "output", "cannot rename '%s' to '%s': %s", t->temporary, t->name,
				 strerror(errno));
	t->temporary[0] = '\0';
	return 0;
}

static void target_close(struct target *t)
{
	if (t->temporary[0])
		(void)unlink(t->temporary); /* half written: nobody is to take it for the whole */
	if (t->name && t->fd >= 0)
		(void)close(t->fd); /* what was written was looked at */
}

static int receive(struct rejoin *rejoin, struct stream *s, const struct target *t, struct error *err)
{
	int r = rejoin_read(rejoin, s, NULL, err);

	stream_finish(s, false);
	if (s->out.error && s->out.error != -EPIPE && s->out.error != -EINTR)
		return error_set(err, s->out.error, "output", "cannot write to %s: %s",
				 t->name ? t->name : "standard output", strerror(-s->out.error));
	return r < 0 ? talk_failed(r, err) : 0;
}

/* What is asked for, from the options. */
static int prepare(struct ctl *ctl, struct stream *s, struct rejoin *rejoin, char query[96], struct error *err)
{
	const struct args *args = &ctl->args;

	s->list_failed = args_flag(args, "failed");
	s->unordered = args_flag(args, "unordered");
	(void)snprintf(query, 96, "%s%s%s%s%s", args_flag(args, "follow") ? "" : "&follow=0",
		       !s->unordered ? "" : ctl->json ? "&order=done" : "&order=done&tasks=1",
		       s->list_failed ? "&failed=1" : "", !ctl->json && args_flag(args, "tag") ? "&tag=1" : "",
		       !ctl->json && args_flag(args, "null") ? "&nul=1" : ""); /* fits */
	rejoin->query = query;
	rejoin->how_to_go_on = "concctl results --follow";
	return args_count(args, "from", 0, INT64_MAX, &s->from, err);
}

/* What a reader of the results would take for all there is, or miss. */
static void say_what_lacks(const struct ctl *ctl, const struct stream *s)
{
	const json_t *tasks = json_object_get(s->end, "tasks"), *error = json_object_get(s->end, "error");
	uint64_t cancelled = member_count(tasks, "cancelled"), total = member_count(tasks, "total");
	uint64_t ended = member_count(tasks, "done") + member_count(tasks, "failed") + cancelled;
	const char *state = member_text(s->end, "state", "done"), *job = member_text(s->end, "job", "?");
	bool has_ended = strcmp(state, "done") == 0 || strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0;

	if (ctl->quiet || s->json)
		return;
	if (!has_ended && json_is_null(json_object_get(tasks, "total")))
		say("job %s is %s: %" PRIu64 " of its tasks have ended so far; --follow waits for the others", job, state, ended);
	else if (!has_ended)
		say("job %s is %s: %" PRIu64 " of its %" PRIu64 " tasks have ended; --follow waits for the others", job, state, ended,
		    total);
	else if (json_is_object(error))
		say("job %s %s: %s", job, strcmp(state, "cancelled") == 0 ? "was cancelled" : state, member_text(error, "message", ""));
	else if (cancelled > 0)
		say("job %s %s: %" PRIu64 " of its %" PRIu64 " tasks were cancelled and have no result", job,
		    strcmp(state, "cancelled") == 0 ? "was cancelled" : state, cancelled, total);
}

int command_results(struct ctl *ctl, struct error *err)
{
	struct rejoin rejoin = { .query = "" };
	struct stream *s = NULL;
	struct target target;
	char query[96], job[24];
	uint64_t id;
	int r = select_job(ctl, ctl->args.words[0], &id, err);

	if (r == 0)
		r = patience_init(&rejoin.patience, ctl, err);
	if (r == 0)
		r = interrupt_install();
	if (r < 0)
		return r;
	(void)snprintf(job, sizeof(job), "%" PRIu64, id);
	rejoin.job = job;
	r = target_open(&target, args_text(&ctl->args, "output"), err);
	if (r == 0) {
		s = stream_new(ctl, target.fd);
		r = s ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = prepare(ctl, s, &rejoin, query, err);
	if (r == 0) {
		s->next = s->from;
		r = receive(&rejoin, s, &target, err);
	}
	if (r == 0)
		r = target_commit(&target, err);
	target_close(&target);
	if (r == 0) {
		say_what_lacks(ctl, s);
		r = stream_status(s);
	}
	stream_free(s);
	return r;
}
