/* downloader: fetches a URL over HTTP or HTTPS.
 *
 * The result is `STATUS BYTES URL`, the URL being the one that gave the bytes after all redirects, and with `dir` set
 * ` FILE` behind it. How long it took is the host's to say.
 *
 *	downloader.c	the plugin and its parameters
 *	download.c	one download: exchanges, redirects, what a failure means
 *	target.c	URLs that are acceptable
 *	gate.c		who may start now: per-host limit, look-ups in flight, reuse of connections
 *	session.c	libcurl's multi handles on the runner's event base
 *	sockets.c	their sockets there
 *	handle.c	libcurl's handle for a transfer, and its URL
 *	file.c		files that appear only when they are complete
 */
#include <concd/plugin.h>

#include "download.h"
#include "session.h"

static int init(struct concd_worker *worker)
{
	struct session *session = NULL;
	int64_t lookups;
	int r;

	r = concd_worker_param_int(worker, "lookups", &lookups);
	if (r < 0)
		return r;
	r = session_open(worker, (uint32_t)lookups, &session);
	if (r < 0)
		return r;
	worker->state = session;
	return 0;
}

static void fini(struct concd_worker *worker)
{
	session_close(worker->state);
	worker->state = NULL;
}

static int run(struct concd_task *task)
{
	struct download_options o = {0};
	int r;

	if ((r = concd_param_text(task, "dir", &o.dir)) < 0 ||
	    (r = concd_param_text(task, "user_agent", &o.user_agent)) < 0 ||
	    (r = concd_param_text(task, "ca_file", &o.ca_file)) < 0 ||
	    (r = concd_param_int(task, "per_host", &o.per_host)) < 0 ||
	    (r = concd_param_int(task, "max_redirects", &o.max_redirects)) < 0 ||
	    (r = concd_param_int(task, "max_bytes", &o.max_bytes)) < 0 ||
	    (r = concd_param_int(task, "connect_timeout", &o.connect_timeout_ns)) < 0 ||
	    (r = concd_param_int(task, "stall_timeout", &o.stall_timeout_ns)) < 0 ||
	    (r = concd_param_int(task, "timeout", &o.timeout_ns)) < 0)
		return r;
	return download_run(task, task->worker->state, &o);
}

static const struct concd_param params[] = {
	{.name = "dir", .type = CONCD_PARAM_TEXT, .value = "",
	 .help = "existing directory for the files, an absolute path; empty: bodies are counted, not kept"},
	{.name = "per_host", .type = CONCD_PARAM_INT, .value = "0", .min = "0", .max = "65535",
	 .help = "downloads from one host and port at once, in each runner; 0: no limit but the workers"},
	{.name = "connect_timeout", .type = CONCD_PARAM_DURATION, .value = "15s", .min = "1ms", .max = "1h",
	 .help = "for name, connection and TLS together"},
	{.name = "stall_timeout", .type = CONCD_PARAM_DURATION, .value = "30s", .min = "0", .max = "1d",
	 .help = "fails when no byte comes for so long once it is connected; 0: never"},
	{.name = "timeout", .type = CONCD_PARAM_DURATION, .value = "0", .min = "0",
	 .help = "for a download with all its redirects; 0: none"},
	{.name = "max_redirects", .type = CONCD_PARAM_INT, .value = "10", .min = "0", .max = "100",
	 .help = "redirects followed, to http and https only"},
	{.name = "max_bytes", .type = CONCD_PARAM_SIZE, .value = "0", .min = "0", .help = "largest body; 0: no limit"},
	{.name = "user_agent", .type = CONCD_PARAM_TEXT, .value = "concd", .help = "what to call itself"},
	{.name = "ca_file", .type = CONCD_PARAM_TEXT, .value = "",
	 .help = "certificates to trust, in PEM; empty: the system's"},
	{.name = "lookups", .type = CONCD_PARAM_INT, .value = "8", .min = "1", .max = "1024",
	 .help = "names looked up at once, in each runner; from the stanza only"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "downloader",
	.version = "1.0",
	.summary = "fetches a URL over HTTP or HTTPS",
	.kind = CONCD_KIND_IO,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT,
	.needs = CONCD_NEEDS_NETWORK | CONCD_NEEDS_FILES | CONCD_NEEDS_THREADS,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.worker_init = init,
	.worker_exit = fini,
	.run = run,
};
CONCD_PLUGIN(plugin)
