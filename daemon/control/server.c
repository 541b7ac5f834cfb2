/* The control object and the table of requests. */
#include "control/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "config.h"
#include "control/http_parse.h"
#include "control/selector.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define READ_TIMEOUT_NS (60 * NS_PER_S)
#define STREAM_KEYS "order follow failed tag nul from progress stalls began cancel_on_close tasks packed"

static const struct route routes[] = {
	{ "GET", "/v1/ping", "", 0, handle_ping },
	{ "GET", "/v1/version", "", 0, handle_version },
	{ "GET", "/v1/status", "", 0, handle_status },
	{ "GET", "/v1/workloads", "", ROUTE_NEEDS_JOBS, handle_workloads },
	{ "GET", "/v1/workloads/NAME/params", "", ROUTE_NEEDS_JOBS, handle_params },
	{ "GET", "/v1/models", "", 0, handle_models },
	{ "POST", "/v1/jobs", "stream " STREAM_KEYS, ROUTE_NEEDS_JOBS, handle_submit },
	{ "POST", "/v1/jobs/ID/inputs", "from last format", ROUTE_NEEDS_JOBS, handle_inputs },
	{ "GET", "/v1/jobs", SELECTOR_KEYS " limit below", ROUTE_NEEDS_JOBS, handle_list },
	{ "GET", "/v1/jobs/ID", "", ROUTE_NEEDS_JOBS, handle_show },
	{ "GET", "/v1/jobs/ID/results", "format " STREAM_KEYS, ROUTE_NEEDS_JOBS, handle_results },
	{ "POST", "/v1/jobs/ID/results", "format " STREAM_KEYS, ROUTE_NEEDS_JOBS, handle_results },
	{ "GET", "/v1/jobs/ID/follow", "", ROUTE_NEEDS_JOBS, handle_follow },
	{ "GET", "/v1/jobs/ID/wait", "timeout_s", ROUTE_NEEDS_JOBS, handle_wait },
	{ "POST", "/v1/jobs/ID/cancel", "wait", ROUTE_NEEDS_JOBS, handle_cancel },
	{ "POST", "/v1/jobs/ID/kill", "wait", ROUTE_NEEDS_JOBS, handle_kill },
	{ "POST", "/v1/jobs/ID/pause", "", ROUTE_NEEDS_JOBS, handle_pause },
	{ "POST", "/v1/jobs/ID/resume", "", ROUTE_NEEDS_JOBS, handle_resume },
	{ "POST", "/v1/jobs/ID/restart", "", ROUTE_NEEDS_JOBS, handle_restart },
	{ "POST", "/v1/jobs/ID/set", SETTING_KEYS, ROUTE_NEEDS_JOBS, handle_set },
	{ "POST", "/v1/jobs/cancel", SELECTOR_KEYS " wait brief", ROUTE_NEEDS_JOBS, handle_cancel_many },
	{ "POST", "/v1/jobs/kill", SELECTOR_KEYS " wait brief", ROUTE_NEEDS_JOBS, handle_kill_many },
	{ "POST", "/v1/jobs/pause", SELECTOR_KEYS " brief", ROUTE_NEEDS_JOBS, handle_pause_many },
	{ "POST", "/v1/jobs/resume", SELECTOR_KEYS " brief", ROUTE_NEEDS_JOBS, handle_resume_many },
	{ "POST", "/v1/jobs/restart", SELECTOR_KEYS " brief", ROUTE_NEEDS_JOBS, handle_restart_many },
	{ "POST", "/v1/jobs/set", SELECTOR_KEYS " brief " SETTING_KEYS, ROUTE_NEEDS_JOBS, handle_set_many },
	{ "POST", "/v1/jobs/retry", SELECTOR_KEYS " failed", ROUTE_NEEDS_JOBS, handle_retry_many },
	{ "POST", "/v1/jobs/rm", SELECTOR_KEYS, ROUTE_NEEDS_JOBS, handle_rm_many },
	{ "POST", "/v1/jobs/wait", SELECTOR_KEYS " brief any selected timeout_s", ROUTE_NEEDS_JOBS, handle_wait_many },
	{ "POST", "/v1/jobs/ID/send", "task", ROUTE_NEEDS_JOBS, handle_send },
	{ "POST", "/v1/shutdown", "", 0, handle_shutdown },
};

const struct route *routes_at(size_t i)
{
	return i < ARRAY_SIZE(routes) ? &routes[i] : NULL;
}

/* Does the path have the pattern's form? Points ret_variable at the segment that ID or NAME stands for. */
static bool path_matches(const char *pattern, const char *path, const char **ret_variable, size_t *ret_len)
{
	while (*pattern) {
		size_t n = strcspn(pattern + 1, "/") + 1, m;

		if (*path != '/')
			return false;
		m = strcspn(path + 1, "/") + 1;
		if (strncmp(pattern, "/ID", n) == 0 || strncmp(pattern, "/NAME", n) == 0) {
			*ret_variable = path + 1;
			*ret_len = m - 1;
			if (m == 1)
				return false;
		} else if (m != n || memcmp(pattern, path, n) != 0) {
			return false;
		}
		pattern += n;
		path += m;
	}
	return *path == '\0';
}

/* Fill in id or name from the variable segment. */
static int take_variable(struct call *call, const char *pattern, const char *variable, size_t len, struct error *err)
{
	char *text = call->req->path + (variable - call->req->path);
	uint64_t id;

	if (!variable)
		return 0;
	text[len] = '\0'; /* matched already: the rest of the path is not needed */
	if (http_percent_decode(text) < 0)
		return error_set(err, -EINVAL, "bad-request", "the path has a bad %%XX escape");
	if (strstr(pattern, "/NAME")) {
		call->name = text;
		return 0;
	}
	if (strcmp(text, "@last") == 0)
		return 0; /* 0: with_job() finds it */
	if (text_parse_u64(text, &id) < 0 || id == 0)
		return error_set(err, -EINVAL, "no-such-job", "there is no job '%.64s': a job's id is a number, or @last",
				 text);
	call->id = id;
	return 0;
}

static void dispatch(struct call *call, const struct route *route, const char *variable, size_t len)
{
	struct error err = ERROR_INIT;
	int r = take_variable(call, route->path, variable, len, &err);

	if (r == 0)
		r = query_parse(call->req->query, route->keys, &call->query, &err);
	if (r < 0)
		reply_error(call->req, r, &err);
	else
		route->handle(call);
}

/* ---- Requests that came before the jobs ---- */

struct held {
	TAILQ_ENTRY(held) link;
	struct control *control;
	struct http_request *req;
};

static void on_held_gone(struct http_request *req)
{
	struct held *held = req->user;

	TAILQ_REMOVE(&held->control->held, held, link);
	free(held);
}

/* As it came, to be looked at again. */
static void hold(struct control *control, struct http_request *req)
{
	struct held *held = calloc(1, sizeof(*held));

	if (!held) {
		reply_code(req, "busy", "the daemon is starting and has not recovered its jobs yet; try again");
		return;
	}
	*held = (struct held){ .control = control, .req = req };
	req->user = held;
	req->on_gone = on_held_gone;
	TAILQ_INSERT_TAIL(&control->held, held, link);
}

static const char *route_path_at(const void *names, size_t i)
{
	(void)names; /* the one table */
	return routes[i].path;
}

static void on_request(void *ctx, struct http_request *req)
{
	struct call call = { .control = ctx, .req = req };
	const char *variable = NULL, *meant;
	const char *methods[2] = { NULL }; /* no path has more */
	size_t len = 0, n_methods = 0;

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (!path_matches(routes[i].path, req->path, &variable, &len)) {
			variable = NULL;
			continue;
		}
		if (strcmp(routes[i].method, req->method) == 0) {
			if ((routes[i].flags & ROUTE_NEEDS_JOBS) && !call.control->options.jobs) {
				hold(call.control, req);
				return;
			}
			dispatch(&call, &routes[i], variable, len);
			return;
		}
		if (n_methods < ARRAY_SIZE(methods))
			methods[n_methods++] = routes[i].method;
		variable = NULL;
	}
	if (n_methods > 0) {
		reply_code(req, "bad-method", "%.200s is asked for with %s%s%s, not with %.20s", req->path, methods[0],
			   n_methods > 1 ? " or " : "", n_methods > 1 ? methods[1] : "", req->method);
		return;
	}
	meant = text_nearest(req->path, NULL, ARRAY_SIZE(routes), route_path_at);
	if (meant)
		reply_code(req, "no-such-request", "there is no '%.200s'; did you mean '%s'?", req->path, meant);
	else
		reply_code(req, "no-such-request", "there is no '%.200s' here; paths begin with /v1/", req->path);
}

static void on_refused(void *ctx, struct http_request *req, const char *code, const char *message)
{
	(void)ctx; /* nothing of it is needed */
	reply_code(req, code, "%s", message);
}

bool call_may(const struct call *call, uint32_t owner_uid)
{
	uint32_t uid = call->req->peer.uid;

	return uid == 0 || uid == owner_uid || uid == (uint32_t)geteuid();
}

int control_open(const struct control_options *options, struct control **ret_control, struct error *err)
{
	static const struct http_ops ops = { .on_request = on_request, .on_refused = on_refused };
	const struct config *config = options->config;
	struct control *control = calloc(1, sizeof(*control));
	struct http_options http;
	int r = -ENOMEM;

	if (!control) {
		if (options->listen_fd >= 0)
			(void)close(options->listen_fd); /* it was given to us */
		return error_set(err, -ENOMEM, "internal", "control socket: out of memory");
	}
	control->options = *options;
	TAILQ_INIT(&control->held);
	control->opened_ns = clock_mono_ns();
	control->socket = (struct control_socket)CONTROL_SOCKET_INIT;
	if (options->listen_fd >= 0)
		r = control_socket_inherit(options->listen_fd, &control->socket, err);
	else
		r = control_socket_open(config->socket_path, config->socket_group, config->socket_mode,
					(config->socket_mode & 077) == 0, &control->socket, err);
	if (r < 0)
		goto fail;
	http = (struct http_options){ .base = loop_base(options->loop), .listen_fd = control->socket.fd,
				      .max_clients = config->max_clients,
				      .max_clients_per_user = config->max_clients_per_user,
				      .max_head_bytes = PROTOCOL_MAX_HEADER_BYTES,
				      .max_body_bytes = config->max_request_bytes ? config->max_request_bytes :
										    PROTOCOL_MAX_BODY_BYTES,
				      .read_timeout_ns = READ_TIMEOUT_NS, .ops = &ops, .ctx = control };
	r = http_open(&http, &control->http);
	if (r < 0) {
		(void)error_set(err, r, "internal", "control socket: %s", strerror(-r));
		goto fail;
	}
	*ret_control = control;
	return 0;
fail:
	control_close(control);
	return r;
}

void control_attach(struct control *control, struct jobs *jobs, struct store *store,
		    const struct workloads *workloads)
{
	struct held *held;

	control->options.jobs = jobs;
	control->options.store = store;
	control->options.workloads = workloads;
	while (jobs && (held = TAILQ_FIRST(&control->held))) {
		struct http_request *req = held->req;

		on_held_gone(req);
		req->user = NULL;
		req->on_gone = NULL;
		on_request(control, req);
	}
}

void control_attach_crews(struct control *control, struct crews *crews)
{
	control->options.crews = crews;
}

void control_drain(struct control *control)
{
	control->draining = true;
}

void control_close(struct control *control)
{
	if (!control)
		return;
	http_close(control->http);
	control_socket_close(&control->socket);
	free(control);
}
