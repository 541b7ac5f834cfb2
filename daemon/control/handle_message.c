/* Messages to running tasks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "control/server.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

/* A message on its way. It outlives its client: the jobs call back. */
struct message {
	struct call call; /* call.req NULL: the client has left */
	uint64_t task;
	size_t len;
};

static void on_message_gone(struct http_request *req)
{
	struct message *message = req->user;

	message->call.req = NULL;
}

static void on_sent(void *arg, int status)
{
	_cleanup_free_ struct message *message = arg;
	struct http_request *req = message->call.req;
	unsigned long long id = message->call.id, task = message->task;

	if (!req)
		return;
	req->user = NULL;
	req->on_gone = NULL;
	if (status == 0)
		reply_json(req, 200, json_pack("{s:i, s:o, s:I, s:I}", "schema", PROTOCOL_SCHEMA, "job",
					       json_sprintf("%llu", id), "task", (json_int_t)task, "bytes",
					       (json_int_t)message->len));
	else if (status == -EBUSY)
		reply_code(req, "busy", "the inbox of task %llu of job %llu is full: it has not received what was sent "
			   "before", task, id);
	else if (status == -EHOSTDOWN)
		reply_code(req, "busy", "the worker process of task %llu of job %llu is stopped: the message may reach it when it goes "
			   "on", task, id);
	else
		reply_code(req, "wrong-state", "task %llu of job %llu stopped running before it got the message", task,
			   id);
}

/* Which task: the one named, or the only one. */
static int find_task(const struct call *call, const struct job_view *view, uint64_t *ret_task, struct error *err)
{
	*ret_task = 0;
	if (query_get(&call->query, "task"))
		return query_get_u64(&call->query, "task", ret_task, err);
	if (view->total == 1 && !view->open)
		return 0;
	return error_set(err, -EINVAL, "bad-selector", "job %llu has %llu tasks%s: say which one, as task=N (--task N)",
			 (unsigned long long)view->id, (unsigned long long)view->total, view->open ? " so far" : "");
}

static int send_message(const struct call *call, struct job *job, struct error *err)
{
	struct http_request *req = call->req;
	struct message *message;
	struct job_view view;
	uint64_t task;
	int r;

	job_view(job, &view);
	if (!call_may(call, view.uid))
		return error_set(err, -EPERM, "denied", "job %llu belongs to user %u", (unsigned long long)view.id,
				 view.uid);
	r = find_task(call, &view, &task, err);
	if (r < 0)
		return r;
	if (req->body_len > PROTOCOL_MAX_MESSAGE_BYTES)
		return error_set(err, -EMSGSIZE, "too-large", "a message is at most %u bytes, this one is %zu",
				 PROTOCOL_MAX_MESSAGE_BYTES, req->body_len);
	message = malloc(sizeof(*message));
	if (!message)
		return -ENOMEM;
	*message = (struct message){ .call = *call, .task = task, .len = req->body_len };
	r = job_send(job, task, req->body, req->body_len, on_sent, message, err);
	if (r < 0) {
		free(message);
		return r;
	}
	req->user = message; /* it is on_sent()'s from here on */
	req->on_gone = on_message_gone;
	return 0;
}

static void send_to_job(const struct call *call, struct job *job)
{
	struct error err = ERROR_INIT;
	int r = send_message(call, job, &err);

	if (r < 0)
		reply_error(call->req, r, &err);
	job_unref(job);
}

void handle_send(const struct call *call)
{
	with_job(call, send_to_job);
}
