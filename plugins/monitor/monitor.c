/* monitor: looks at a URL or a TCP address again and again, and says when it goes down or comes up.
 *
 * What it looks at is its input, or where that is empty, as a service's is, the parameter `url` or `address`. Changes are
 * lines of its log, which `concctl follow` shows as they come: a warning when it goes down, after `failures` failed
 * checks in a row, with the reason; when it is up (again), with the answer and the time it took. Any message
 * (`concctl send JOB now`) makes it look at once and say what it found.
 *
 * With `checks` it ends after that many: done with `up PASSED/CHECKS TARGET`, or failed where the target is down then.
 * Without, it goes on until it is cancelled.
 *
 *	monitor.c	the plugin: parameters, what a check means for the state
 *	check.c		one check
 *	../downloader	libcurl on the runner's event base, URLs that are acceptable
 */
#include <concd/plugin.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../downloader/session.h"
#include "check.h"

#define SHOWN_MAX 300 /* characters of a target in messages */
#define LOOKUPS 8 /* names looked up at once in each runner */
#define NS_PER_S INT64_C(1000000000)
#define DURATION_BYTES 32

enum state { UNKNOWN, UP, DOWN };

struct monitor {
	struct concd_task *task;
	struct check_options options;
	int64_t interval_ns, failures, max_checks; /* max_checks 0: no end */
	struct check_target target;
	/* Carried from check to check. */
	enum state state;
	int64_t since_ns; /* when it came into this state */
	int64_t checks, passed, failed_in_a_row;
	struct check last;
};

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static const char *duration(int64_t ns, char text[DURATION_BYTES])
{
	if (ns < NS_PER_S)
		(void)snprintf(text, DURATION_BYTES, "%.3g ms", (double)ns / 1e6);
	else if (ns < 600 * NS_PER_S)
		(void)snprintf(text, DURATION_BYTES, "%.1f s", (double)ns / 1e9);
	else
		(void)snprintf(text, DURATION_BYTES, "%.0f min", (double)ns / 6e10);
	return text;
}

/* ---- What a check means ---- */

static void say_up(const struct monitor *m, bool again)
{
	char took[DURATION_BYTES], away[DURATION_BYTES];

	duration(m->last.took_ns, took);
	if (again)
		concd_log(m->task->worker, CONCD_LOG_INFO, "%.*s is up again after %s: %s in %s", SHOWN_MAX, m->target.shown,
			  duration(now_ns() - m->since_ns, away), m->last.text, took);
	else
		concd_log(m->task->worker, CONCD_LOG_INFO, "%.*s is up: %s in %s", SHOWN_MAX, m->target.shown, m->last.text,
			  took);
}

static void say_down(const struct monitor *m)
{
	char was_up[DURATION_BYTES];

	if (m->state == UP)
		concd_log(m->task->worker, CONCD_LOG_WARNING, "%.*s is down after %s: %s (%lld failed checks)", SHOWN_MAX,
			  m->target.shown, duration(now_ns() - m->since_ns, was_up), m->last.text,
			  (long long)m->failed_in_a_row);
	else
		concd_log(m->task->worker, CONCD_LOG_WARNING, "%.*s is down: %s (%lld failed checks)", SHOWN_MAX,
			  m->target.shown, m->last.text, (long long)m->failed_in_a_row);
}

/* asked: somebody wants to know, also where nothing has changed. */
static void judge(struct monitor *m, bool asked)
{
	enum state before = m->state, after = before;

	m->checks++;
	m->passed += m->last.ok;
	m->failed_in_a_row = m->last.ok ? 0 : m->failed_in_a_row + 1;
	if (m->last.ok)
		after = UP;
	else if (m->failed_in_a_row >= m->failures)
		after = DOWN;
	if (after == DOWN && (before != DOWN || asked))
		say_down(m);
	else if (after == UP && m->last.ok && (before != UP || asked))
		say_up(m, before == DOWN);
	else if (m->failed_in_a_row == 1 || (asked && !m->last.ok))
		concd_log(m->task->worker, CONCD_LOG_INFO, "%.*s failed a check: %s; it is down after %lld in a row",
			  SHOWN_MAX, m->target.shown, m->last.text, (long long)m->failures);
	if (after != before)
		m->since_ns = now_ns();
	m->state = after;
	if (m->max_checks > 0)
		concd_progress(m->task, (double)m->checks / (double)m->max_checks);
}

/* ---- The task ---- */

/* Wait for the time of the next check, or for a message. */
CONCD_YIELDS static int wait_for_next(struct monitor *m, int64_t due_ns, bool *ret_asked)
{
	int64_t left_ns = due_ns - now_ns();
	const void *message;
	size_t len;
	int r = concd_receive(m->task, left_ns > 0 ? left_ns : 0, &message, &len);

	if (r < 0 && r != -ETIMEDOUT)
		return r;
	*ret_asked = r == 0;
	return 0;
}

CONCD_YIELDS static int watch(struct monitor *m)
{
	struct session *session = m->task->worker->state;
	int64_t due_ns = now_ns();
	bool asked = false;
	int r;

	for (;;) {
		r = check_run(m->task, session, &m->target, &m->options, &m->last);
		if (r < 0)
			return r;
		judge(m, asked);
		if (m->checks == m->max_checks)
			return 0;
		if (!asked)
			due_ns += m->interval_ns;
		if (due_ns < now_ns())
			due_ns = now_ns(); /* checks that took longer than the interval are not made up for */
		r = wait_for_next(m, due_ns, &asked);
		if (r < 0)
			return r;
	}
}

static int finish(const struct monitor *m)
{
	char text[SHOWN_MAX + 64];

	if (!m->last.ok)
		return concd_fail(m->task, CONCD_FAIL_PERMANENT, "%.*s: %s (%lld of %lld checks passed)", SHOWN_MAX,
				  m->target.shown, m->last.text, (long long)m->passed, (long long)m->checks);
	(void)snprintf(text, sizeof(text), "up %lld/%lld %.*s", (long long)m->passed, (long long)m->checks, SHOWN_MAX,
		       m->target.shown);
	return concd_result(m->task, text, strlen(text));
}

static int read_params(struct monitor *m)
{
	struct concd_task *task = m->task;
	int r;

	if ((r = concd_param_int(task, "interval", &m->interval_ns)) < 0 ||
	    (r = concd_param_int(task, "timeout", &m->options.timeout_ns)) < 0 ||
	    (r = concd_param_int(task, "failures", &m->failures)) < 0 ||
	    (r = concd_param_int(task, "checks", &m->max_checks)) < 0 ||
	    (r = concd_param_int(task, "status", &m->options.status)) < 0 ||
	    (r = concd_param_text(task, "user_agent", &m->options.user_agent)) < 0 ||
	    (r = concd_param_text(task, "ca_file", &m->options.ca_file)) < 0)
		return r;
	return 0;
}

/* The input, else one of the two parameters. */
static int find_target(struct monitor *m)
{
	const char *text, *url, *address, *why;
	char shown[101];
	size_t len, i;
	int r;

	text = concd_input(m->task, &len);
	if ((r = concd_param_text(m->task, "url", &url)) < 0 || (r = concd_param_text(m->task, "address", &address)) < 0)
		return r;
	if (len == 0) {
		if ((*url != '\0') == (*address != '\0'))
			return concd_fail(m->task, CONCD_FAIL_INPUT, "%s: give the parameter url or address, or an input",
					  *url != '\0' ? "there are two things to look at" : "nothing to look at");
		text = *url != '\0' ? url : address;
		len = strlen(text);
	}
	r = check_target_parse(text, len, &m->target, &why);
	if (r != -EINVAL)
		return r;
	for (i = 0; i < len && i < sizeof(shown) - 1; i++)
		shown[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	shown[i] = '\0';
	return concd_fail(m->task, CONCD_FAIL_INPUT, "'%s%s': %s", shown, i < len ? "..." : "", why);
}

static int run(struct concd_task *task)
{
	struct monitor m = { .task = task };
	int r;

	r = read_params(&m);
	if (r == 0)
		r = find_target(&m);
	if (r == 0)
		r = watch(&m);
	if (r == 0)
		r = finish(&m);
	check_target_fini(&m.target);
	return r;
}

static int init(struct concd_worker *worker)
{
	struct session *session = NULL;
	int r = session_open(worker, LOOKUPS, &session);

	if (r == 0)
		worker->state = session;
	return r;
}

static void fini(struct concd_worker *worker)
{
	session_close(worker->state);
	worker->state = NULL;
}

static const struct concd_param params[] = {
	{.name = "url", .type = CONCD_PARAM_TEXT, .value = "",
	 .help = "what to look at where the input is empty: http://HOST/PATH or https://HOST/PATH"},
	{.name = "address", .type = CONCD_PARAM_TEXT, .value = "", .help = "the same as TCP address: HOST:PORT"},
	{.name = "interval", .type = CONCD_PARAM_DURATION, .value = "30s", .min = "1ms", .max = "7d",
	 .help = "from the beginning of one check to that of the next"},
	{.name = "timeout", .type = CONCD_PARAM_DURATION, .value = "10s", .min = "1ms", .max = "1h",
	 .help = "a check that takes longer has failed"},
	{.name = "failures", .type = CONCD_PARAM_INT, .value = "2", .min = "1", .max = "1000",
	 .help = "failed checks in a row that mean it is down"},
	{.name = "checks", .type = CONCD_PARAM_INT, .value = "0", .min = "0",
	 .help = "ends after so many, and fails where the last of them failed; 0: goes on until it is cancelled"},
	{.name = "status", .type = CONCD_PARAM_INT, .value = "0", .min = "0", .max = "599",
	 .help = "the only answer of a URL that is right; 0: any below 400, redirects are not followed"},
	{.name = "user_agent", .type = CONCD_PARAM_TEXT, .value = "concd", .help = "what to call itself"},
	{.name = "ca_file", .type = CONCD_PARAM_TEXT, .value = "",
	 .help = "certificates to trust, in PEM; empty: the system's"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "monitor",
	.version = "1.0",
	.summary = "looks at a URL or TCP address at an interval and reports changes",
	.kind = CONCD_KIND_IO,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT,
	.needs = CONCD_NEEDS_NETWORK | CONCD_NEEDS_THREADS,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.worker_init = init,
	.worker_exit = fini,
	.run = run,
};
CONCD_PLUGIN(plugin)
