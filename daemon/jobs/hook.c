/* Hooks: commands from the configuration that are run when a job has ended.
 *
 *	ended, on disk with a note ──> waits ──> runs, for hook_timeout at most ──> the note is removed
 *
 * The note is written with the job's end, and removed when its hook has ended, however it did. So each hook is run at
 * least once: a daemon that is killed meanwhile runs it again when it is started next. A hook is never tried again because it
 * failed; that is logged. One that could not be begun, for want of memory, processes or descriptors, is tried again each second. Clients name hooks, they never bring commands: these run as the daemon's user, without a shell,
 * and what clients wrote (labels, errors) comes to them in the environment only, where it cannot be taken for an option.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/linear_hash.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/spawn.h"
#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "store/store.h"

#define MAX_OUTPUT_BYTES 4096 /* of one hook's words that are logged */
#define MAX_ENVIRONMENT 24
#define SHORTAGE_S 1 /* between tries while the daemon lacks what a process takes */

/* One hook of one job: waiting, or running. */
struct hook {
	TAILQ_ENTRY(hook) link; /* jobs->hooks while it waits, then jobs->hooks_running */
	struct hash_link needing; /* jobs->hooks_needing */
	struct jobs *jobs;
	uint64_t id; /* of the job */
	struct job *job; /* a reference: always of one that is not durable, else while it runs */
	bool noted; /* the disk has a note of it */
	bool needs_job; /* it is in jobs->hooks_needing */
	pid_t pid;
	int pidfd, out; /* -1: none */
	struct event *end_event, *out_event, *timeout_event;
	bool timed_out;
	bool delayed; /* that was said */
	struct buffer words; /* what it wrote, the beginning of it */
	uint64_t dropped; /* bytes behind that */
	struct store_op op; /* removes the note */
};

/* ---- Jobs that stay for their hooks: to be read, asked for by the hook, or told to it again after a kill ---- */

static uint64_t hash_needing(const struct hash_link *link)
{
	return hash_number(container_of(link, struct hook, needing)->id);
}

void hooks_init(struct jobs *jobs)
{
	TAILQ_INIT(&jobs->hooks);
	TAILQ_INIT(&jobs->hooks_running);
	linear_hash_init(&jobs->hooks_needing, hash_needing);
}

bool hook_needs(const struct jobs *jobs, uint64_t id)
{
	for (const struct hash_link *link = linear_hash_find(&jobs->hooks_needing, hash_number(id)); link; link = link->next)
		if (container_of(link, struct hook, needing)->id == id)
			return true;
	return false;
}

static void hook_needs_no_more(struct hook *hook)
{
	if (hook->needs_job)
		linear_hash_remove(&hook->jobs->hooks_needing, &hook->needing);
	hook->needs_job = false;
}

/* ---- What it is told ---- */

struct telling {
	char *texts[MAX_ENVIRONMENT + 1]; /* each owned */
	size_t n;
	bool failed; /* out of memory */
};

__attribute__((format(printf, 2, 3))) static void tell(struct telling *t, const char *format, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, format);
	if (t->n == MAX_ENVIRONMENT || vasprintf(&text, format, ap) < 0)
		t->failed = true;
	else
		t->texts[t->n++] = text;
	va_end(ap);
}

static void texts_free(char **texts)
{
	for (size_t i = 0; texts && texts[i]; i++)
		free(texts[i]);
}

static void tell_all(struct telling *t, const struct config *config, const struct job_view *view)
{
	const char *home = getenv("HOME");

	tell(t, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (home)
		tell(t, "HOME=%s", home);
	tell(t, "CONCD_SOCKET=%s", config->socket_path);
	tell(t, "CONCD_JOB=%" PRIu64, view->id);
	tell(t, "CONCD_STATE=%s", job_state_name(view->state));
	tell(t, "CONCD_WORKLOAD=%s", view->workload);
	tell(t, "CONCD_LABEL=%s", view->label ? view->label : "");
	tell(t, "CONCD_USER=%u", view->uid);
	tell(t, "CONCD_TASKS=%" PRIu64, view->total);
	tell(t, "CONCD_DONE=%" PRIu64, view->done);
	tell(t, "CONCD_FAILED=%" PRIu64, view->failed);
	tell(t, "CONCD_CANCELLED=%" PRIu64, view->cancelled);
	tell(t, "CONCD_WALL_S=%.3f", view->wall_s);
	tell(t, "CONCD_ERROR=%s", view->error_code ? view->error_code : "");
	tell(t, "CONCD_ERROR_MESSAGE=%s", view->error_text ? view->error_text : "");
}

/* {job}, {state}, {workload}, {done}, {failed} and {cancelled} in an argument: none of them is written by a client. */
static const char *placeholder(const char *at, const struct job_view *view, char number[24], const char **ret_text)
{
	const struct {
		const char *name;
		const char *text; /* NULL: the number */
		uint64_t number;
	} known[] = {
		{ "{job}", NULL, view->id },	    { "{state}", job_state_name(view->state), 0 },
		{ "{workload}", view->workload, 0 }, { "{done}", NULL, view->done },
		{ "{failed}", NULL, view->failed },  { "{cancelled}", NULL, view->cancelled },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strncmp(at, known[i].name, strlen(known[i].name)) != 0)
			continue;
		(void)snprintf(number, 24, "%" PRIu64, known[i].number); /* fits */
		*ret_text = known[i].text ? known[i].text : number;
		return at + strlen(known[i].name);
	}
	return NULL;
}

static char *fill_in(const char *argument, const struct job_view *view)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	int r = 0;

	while (*argument && r == 0) {
		const char *text, *behind;
		char number[24];

		behind = *argument == '{' ? placeholder(argument, view, number, &text) : NULL;
		r = behind ? buffer_add(&b, text, strlen(text)) : buffer_add(&b, argument, 1);
		argument = behind ? behind : argument + 1;
	}
	return r == 0 ? strndup((const char *)b.data, b.len) : NULL;
}

/* ---- Its end ---- */

static void go_on(struct jobs *jobs);

/* Nothing of it is watched any more: a pidfd stays readable. */
static void hook_unwatch(struct hook *hook)
{
	struct event **const events[] = { &hook->end_event, &hook->out_event, &hook->timeout_event };

	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		if (*events[i])
			event_free(*events[i]);
		*events[i] = NULL;
	}
}

static void hook_free(struct hook *hook)
{
	hook_unwatch(hook);
	hook_needs_no_more(hook);
	if (hook->pidfd >= 0)
		(void)close(hook->pidfd); /* nothing was written to them */
	if (hook->out >= 0)
		(void)close(hook->out);
	buffer_fini(&hook->words);
	job_unref(hook->job);
	free(hook);
}

static void on_note_removed(struct store_op *op, int status)
{
	struct hook *hook = container_of(op, struct hook, op);
	struct jobs *jobs = hook->jobs;

	if (status < 0)
		log_warning("jobs: the hook of job %" PRIu64 " may be run again after a restart: %s", hook->id,
			    strerror(-status));
	hook_free(hook);
	jobs_op_done(jobs);
}

/* It has ended, or could not be begun: it will not be run again. */
static void hook_over(struct hook *hook)
{
	struct jobs *jobs = hook->jobs;

	hook_unwatch(hook);
	TAILQ_REMOVE(&jobs->hooks_running, hook, link);
	jobs->n_hooks--;
	if (hook->noted) {
		hook->op = (struct store_op){ .type = STORE_HOOK_DEL, .job = hook->id, .on_done = on_note_removed };
		jobs_op_submitted(jobs);
		store_submit(jobs->store, &hook->op);
	} else {
		hook_free(hook);
	}
	go_on(jobs);
	jobs_op_done(jobs); /* of its run */
}

static void log_words(const struct hook *hook, enum log_level level)
{
	const char *at = (const char *)hook->words.data, *end = at + hook->words.len;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at)), *stop = lf ? lf : end;

		if (stop > at)
			log_write(level, "jobs: hook '%s' of job %" PRIu64 ": %.*s", hook->job->on_done, hook->id,
				  (int)(stop - at), at);
		at = stop + 1;
	}
	if (hook->dropped > 0)
		log_write(level, "jobs: hook '%s' of job %" PRIu64 ": %" PRIu64 " bytes more are not shown",
			  hook->job->on_done, hook->id, hook->dropped);
}

static void read_words(struct hook *hook)
{
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = read(hook->out, bytes, sizeof(bytes))) > 0) {
		size_t room = MAX_OUTPUT_BYTES - hook->words.len, taken = (size_t)n < room ? (size_t)n : room;

		for (size_t i = 0; i < taken; i++) /* one log line is one line */
			if (bytes[i] != '\n' && (bytes[i] < ' ' || bytes[i] == 0x7f))
				bytes[i] = bytes[i] == '\t' ? ' ' : '?';
		if (buffer_add(&hook->words, bytes, taken) < 0)
			taken = 0;
		hook->dropped += (size_t)n - taken;
	}
	if (n == 0)
		(void)event_del(hook->out_event); /* fails only for an event that is none */
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* the hook knows it */
	(void)what;
	read_words(arg);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct hook *hook = arg;
	int signal_number = 0, status = 0;

	(void)fd; /* the pidfd: it is readable once it has ended */
	(void)what;
	if (spawn_reap(hook->pidfd, 0, &signal_number, &status) == -EAGAIN)
		return;
	read_words(hook); /* a child of its own may hold the pipe: what is there counts */
	log_words(hook, signal_number || status ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO);
	if (hook->timed_out)
		log_warning("jobs: hook '%s' of job %" PRIu64 " was killed after limits.hook_timeout", hook->job->on_done,
			    hook->id);
	else if (signal_number)
		log_warning("jobs: hook '%s' of job %" PRIu64 " ended with signal SIG%s", hook->job->on_done, hook->id,
			    sigabbrev_np(signal_number) ? sigabbrev_np(signal_number) : "RT");
	else if (status)
		log_warning("jobs: hook '%s' of job %" PRIu64 " ended with status %d", hook->job->on_done, hook->id, status);
	hook_over(hook);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct hook *hook = arg;

	(void)fd; /* a timer */
	(void)what;
	hook->timed_out = true;
	(void)kill(-hook->pid, SIGKILL); /* its process group: it is not reaped yet, so the number is its own */
	(void)spawn_kill(hook->pidfd, SIGKILL); /* if it has left that group */
}

/* ---- Its run ---- */

static int watch(struct hook *hook)
{
	struct event_base *base = loop_base(hook->jobs->loop);
	int64_t ns = hook->jobs->config->hook_timeout_ns;
	struct timeval limit = { .tv_sec = ns / NS_PER_S, .tv_usec = ns % NS_PER_S / NS_PER_US };

	hook->end_event = event_new(base, hook->pidfd, EV_READ | EV_PERSIST, on_ended, hook);
	hook->out_event = event_new(base, hook->out, EV_READ | EV_PERSIST, on_output, hook);
	hook->timeout_event = event_new(base, -1, 0, on_timeout, hook);
	if (!hook->end_event || !hook->out_event || !hook->timeout_event || event_add(hook->end_event, NULL) < 0 ||
	    event_add(hook->out_event, NULL) < 0 || event_add(hook->timeout_event, &limit) < 0)
		return -ENOMEM;
	return 0;
}

static int start(struct hook *hook, char *const *argv, char *const *envp)
{
	_cleanup_close_ int out_w = -1;
	int pair[2], r;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	hook->out = pair[0];
	out_w = pair[1];
	if (fcntl(hook->out, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = spawn_start(&(struct spawn){ .path = argv[0], .argv = argv, .envp = envp,
					 .fds = (int[]){ -1, out_w, out_w }, .n_fds = 3 }, &hook->pid, &hook->pidfd);
	if (r < 0)
		return r;
	r = watch(hook);
	if (r < 0) { /* one that nobody would ever reap or stop */
		int number, status;

		(void)kill(-hook->pid, SIGKILL);
		(void)spawn_reap(hook->pidfd, 1, &number, &status);
	}
	return r;
}

static int run(struct hook *hook)
{
	const struct config_hook *command = config_find_hook(hook->jobs->config, hook->job->on_done);
	struct telling environment = { .n = 0 };
	struct job_view view;
	char **argv;
	int r = 0;

	if (!command)
		return -ESRCH;
	argv = calloc(command->n + 1, sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	job_view(hook->job, &view);
	tell_all(&environment, hook->jobs->config, &view);
	for (size_t i = 0; i < command->n && r == 0; i++) {
		argv[i] = fill_in(command->argv[i], &view);
		r = argv[i] ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = environment.failed ? -ENOMEM : start(hook, argv, environment.texts);
	texts_free(argv);
	free(argv);
	texts_free(environment.texts);
	return r;
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	struct jobs *jobs = arg;

	(void)fd; /* a timer */
	(void)what;
	jobs->hooks_wait = false;
	go_on(jobs);
}

/* It is the first to be tried again, with all behind it, a little later. False: there is no timer. */
static bool try_later(struct hook *hook, int why)
{
	static const struct timeval later = { .tv_sec = SHORTAGE_S };
	struct jobs *jobs = hook->jobs;

	if (!jobs->hooks_event)
		jobs->hooks_event = event_new(loop_base(jobs->loop), -1, 0, on_later, jobs);
	if (!jobs->hooks_event || event_add(jobs->hooks_event, &later) < 0)
		return false;
	if (!hook->delayed)
		log_warning("jobs: hook '%s' of job %" PRIu64 " cannot be begun, tried again each second: %s",
			    hook->job && hook->job->on_done ? hook->job->on_done : "?", hook->id, strerror(-why));
	hook->delayed = true;
	jobs->hooks_wait = true;
	hook_unwatch(hook);
	if (hook->pidfd >= 0)
		(void)close(hook->pidfd); /* nothing was written to them */
	if (hook->out >= 0)
		(void)close(hook->out);
	hook->pidfd = hook->out = -1;
	hook->pid = 0;
	if (hook->noted)
		job_unref(take_ptr(hook->job)); /* its row is read again */
	TAILQ_REMOVE(&jobs->hooks_running, hook, link);
	TAILQ_INSERT_HEAD(&jobs->hooks, hook, link);
	jobs->n_hooks--;
	jobs_op_done(jobs); /* of its run */
	return true;
}

static void on_opened(void *arg, int status, struct job *job)
{
	struct hook *hook = arg;

	if (!hook->job)
		hook->job = job; /* ours now */
	else
		job_unref(job);
	if (hook->jobs->stopping) { /* its note stays */
		hook->noted = false;
		hook_over(hook);
		return;
	}
	if (status == 0 && hook->job->on_done)
		status = run(hook);
	else if (status == 0)
		status = -ENOENT;
	if (status == 0 || (error_is_shortage(status) && try_later(hook, status)))
		return;
	log_warning("jobs: hook '%s' of job %" PRIu64 " was not run: %s", hook->job && hook->job->on_done ?
		    hook->job->on_done : "?", hook->id, status == -ESRCH ? "the configuration does not have it any more" :
		    status == -ENOENT && !hook->job ? "the job has been removed" : strerror(-status));
	hook_over(hook);
}

static void go_on(struct jobs *jobs)
{
	struct hook *hook;

	while (!jobs->stopping && !jobs->hooks_wait && jobs->n_hooks < jobs->config->max_hooks && (hook = TAILQ_FIRST(&jobs->hooks))) {
		TAILQ_REMOVE(&jobs->hooks, hook, link);
		TAILQ_INSERT_TAIL(&jobs->hooks_running, hook, link);
		jobs->n_hooks++;
		jobs_op_submitted(jobs); /* a stop waits for its end */
		if (hook->job)
			on_opened(hook, 0, job_ref(hook->job));
		else
			jobs_get(jobs, hook->id, on_opened, hook);
	}
}

static void add(struct jobs *jobs, uint64_t id, struct job *not_durable)
{
	struct hook *hook = calloc(1, sizeof(*hook));

	if (!hook) {
		log_error("jobs: the hook of job %" PRIu64 " is run after a restart only: out of memory", id);
		return;
	}
	hook->jobs = jobs;
	hook->id = id;
	hook->job = not_durable ? job_ref(not_durable) : NULL;
	hook->noted = hook->needs_job = !not_durable;
	hook->pidfd = hook->out = -1;
	TAILQ_INSERT_TAIL(&jobs->hooks, hook, link);
	if (hook->needs_job)
		linear_hash_add(&jobs->hooks_needing, &hook->needing);
}

void hook_job_ended(struct job *job)
{
	if (!job->on_done)
		return;
	add(job->jobs, job->id, job->durable ? NULL : job);
	go_on(job->jobs);
}

static int on_note(void *arg, uint64_t job)
{
	add(arg, job, NULL);
	return 0;
}

void hooks_recover(struct jobs *jobs)
{
	int r = store_recover_hooks(jobs->store, on_note, jobs);

	if (r < 0)
		log_error("jobs: hooks that were not run under the last daemon could not be read: %s", strerror(-r));
	go_on(jobs);
}

void hooks_forget(struct jobs *jobs)
{
	struct hook *hook;

	while ((hook = TAILQ_FIRST(&jobs->hooks))) {
		TAILQ_REMOVE(&jobs->hooks, hook, link);
		hook_free(hook);
	}
	while ((hook = TAILQ_FIRST(&jobs->hooks_running))) { /* a stop that could not wait for them */
		TAILQ_REMOVE(&jobs->hooks_running, hook, link);
		if (hook->pid > 0)
			(void)kill(-hook->pid, SIGKILL); /* its note stays: the next daemon runs it again */
		hook_free(hook);
	}
	(void)linear_hash_clear(&jobs->hooks_needing); /* it is empty */
	if (jobs->hooks_event)
		event_free(jobs->hooks_event);
	jobs->hooks_event = NULL;
}

int hook_resolve(struct job *job, const struct job_spec *spec, struct error *err)
{
	const struct config *config = job->jobs->config;
	const char *name = spec->on_done ? spec->on_done : job->workload->config->on_done;
	_cleanup_buffer_ struct buffer known = BUFFER_INIT;

	if (!name || strcmp(name, "none") == 0)
		return 0;
	if (config_find_hook(config, name)) {
		job->on_done = strdup(name);
		return job->on_done ? 0 : error_set(err, -ENOMEM, "internal", "out of memory");
	}
	for (size_t i = 0; i < config->n_hooks; i++)
		if (buffer_printf(&known, "%s%s", i > 0 ? ", " : "", config->hooks[i].name) < 0)
			return error_set(err, -ENOMEM, "internal", "out of memory");
	return error_set(err, -EINVAL, "bad-request", "there is no hook '%.40s': %s%.*s", name, config->n_hooks > 0 ?
			 "the daemon's configuration has " : "`hooks` of the daemon's configuration has none",
			 (int)known.len, (const char *)known.data);
}
