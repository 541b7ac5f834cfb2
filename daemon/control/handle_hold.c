/* pause and resume of everything, or of a whole workload: what is there and what is still to come. Others than root and the
 * daemon's user pause the jobs that are theirs, each for itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "control/selection.h"
#include "control/server.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

struct holding {
	struct call call; /* call.req NULL: the client has left */
	const struct verb *verb; /* of the selection that follows */
	struct verb_options options;
	char *workload; /* "": everything */
	bool resume;
};

static void holding_free(struct holding *holding)
{
	free(holding->workload);
	free(holding);
}

static void on_gone(struct http_request *req)
{
	((struct holding *)req->user)->call.req = NULL;
}

/* {"schema":1,"workload":"x","paused":true}; null: everything. */
static json_t *hold_line(const struct holding *holding)
{
	return json_pack("{s:i, s:o, s:b}", "schema", PROTOCOL_SCHEMA, "workload",
			 document_text(*holding->workload ? holding->workload : NULL), "paused", !holding->resume);
}

static void reply_held(struct holding *holding)
{
	static const char summary[] = "{\"schema\":1,\"type\":\"summary\",\"verb\":\"pause\",\"done\":1,\"failed\":0}\n";
	json_t *line = hold_line(holding);
	char *text = NULL, *more;
	size_t len = 0;

	text = line ? document_dump(line, &len) : NULL;
	json_decref(line);
	more = text ? realloc(text, len + 1 + sizeof(summary)) : NULL;
	if (!more) {
		free(text);
		reply_error(holding->call.req, -ENOMEM, NULL);
		return;
	}
	more[len] = '\n';
	memcpy(more + len + 1, summary, sizeof(summary));
	http_reply(holding->call.req, 200, NULL, "application/x-ndjson", more, len + sizeof(summary));
	free(more);
}

static void on_done(void *arg, int status)
{
	struct holding *holding = arg;
	struct http_request *req = holding->call.req;

	if (req) {
		req->user = NULL;
		req->on_gone = NULL;
		if (status == -ESHUTDOWN) {
			reply_code(req, "stopping", "the daemon is shutting down");
		} else if (status < 0) {
			reply_code(req, "internal", "it is so, but not on disk: %s", strerror(-status));
		} else if (holding->resume) {
			holding->options.said = hold_line(holding);
			selection_start(&holding->call, holding->verb, &holding->options);
		} else {
			reply_held(holding);
		}
	}
	holding_free(holding);
}

/* Is it all of a workload, or everything, that is meant? Its name, "" for everything; NULL: no. */
static const char *scope(const struct call *call)
{
	bool all = false;

	if (call->req->body_len > 0 || query_get(&call->query, "state") || query_get(&call->query, "label") ||
	    query_get(&call->query, "older_than_s") || query_get_bool(&call->query, "all", &all, NULL) < 0)
		return NULL;
	if (all)
		return query_get(&call->query, "workload") ? NULL : "";
	return query_get(&call->query, "workload");
}

bool hold_start(const struct call *call, bool resume, const struct verb *verb, const struct verb_options *options)
{
	const char *workload = scope(call);
	struct error err = ERROR_INIT;
	struct holding *holding;
	int r;

	if (!workload || !call_may(call, (uint32_t)geteuid()))
		return false;
	holding = calloc(1, sizeof(*holding));
	if (!holding || !(holding->workload = strdup(workload))) {
		free(holding);
		reply_error(call->req, -ENOMEM, NULL);
		return true;
	}
	holding->call = *call;
	holding->verb = verb;
	holding->options = *options;
	holding->resume = resume;
	call->req->user = holding;
	call->req->on_gone = on_gone;
	r = resume ? jobs_release(call->control->options.jobs, workload, on_done, holding, &err) :
		     jobs_hold(call->control->options.jobs, workload, on_done, holding, &err);
	if (r > 0 || (r == 0 && !resume))
		return true; /* on_done() goes on */
	call->req->user = NULL;
	call->req->on_gone = NULL;
	holding_free(holding);
	if (r < 0)
		reply_error(call->req, r, &err);
	return r < 0;
}
