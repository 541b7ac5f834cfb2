/* Looking at jobs, and waiting for them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/text.h"
#include "control/stream.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define TASKS_SHOWN 1000 /* running ones, and ones that wait to be tried again, in one `show` */
#define MAX_WAIT_S 1e8

/* ---- Finding the job ---- */

struct lookup {
	struct call call; /* call.req NULL: the client has left */
	void (*then)(const struct call *call, struct job *job);
};

static void on_lookup_gone(struct http_request *req)
{
	struct lookup *lookup = req->user;

	lookup->call.req = NULL;
}

static void on_opened(void *arg, int status, struct job *job)
{
	_cleanup_free_ struct lookup *lookup = arg;
	struct http_request *req = lookup->call.req;

	if (!req) {
		if (status == 0)
			job_unref(job);
		return;
	}
	req->user = NULL;
	req->on_gone = NULL;
	if (status == 0)
		lookup->then(&lookup->call, job);
	else if (status == -ENOENT)
		reply_code(req, "no-such-job", "there is no job %llu", (unsigned long long)lookup->call.id);
	else
		reply_code(req, "internal", "job %llu cannot be read: %s", (unsigned long long)lookup->call.id,
			   strerror(-status));
}

static void on_last_found(void *arg, int status, uint64_t id)
{
	struct lookup *lookup = arg;

	if (lookup->call.req && status == 0) {
		lookup->call.id = id;
		jobs_get(lookup->call.control->options.jobs, id, on_opened, lookup);
		return;
	}
	if (lookup->call.req) {
		lookup->call.req->user = NULL;
		lookup->call.req->on_gone = NULL;
		if (status == -ENOENT)
			reply_code(lookup->call.req, "no-such-job",
				   "there is no last job: you have submitted none that is still here");
		else
			reply_code(lookup->call.req, "internal", "your last job cannot be read: %s", strerror(-status));
	}
	free(lookup);
}

void with_job(const struct call *call, void (*then)(const struct call *call, struct job *job))
{
	struct lookup *lookup = malloc(sizeof(*lookup));

	if (!lookup) {
		reply_error(call->req, -ENOMEM, NULL);
		return;
	}
	*lookup = (struct lookup){ .call = *call, .then = then };
	call->req->user = lookup;
	call->req->on_gone = on_lookup_gone;
	if (call->id == 0)
		jobs_last(call->control->options.jobs, call->req->peer.uid, on_last_found, lookup);
	else
		jobs_get(call->control->options.jobs, call->id, on_opened, lookup); /* lookup is its callback's from here */
}

/* ---- show, results ---- */

static json_t *worker_text(const struct task_view *view)
{
	return json_sprintf("%u.%u", view->worker_pid, (unsigned int)view->worker_thread);
}

/* Which step of a divided task; nothing for a whole one. */
static int add_to(json_t *tasks, json_t *task, const struct task_view *view)
{
	if (task && view->part >= 0 && json_object_set_new(task, "part", json_integer(view->part)) < 0) {
		json_decref(task);
		return -ENOMEM;
	}
	if (task && view->part == TASK_COMBINING && json_object_set_new(task, "combining", json_true()) < 0) {
		json_decref(task);
		return -ENOMEM;
	}
	return json_array_append_new(tasks, task);
}

static int add_running(void *arg, const struct task_view *view)
{
	return add_to(
		arg, json_pack("{s:I, s:o, s:i, s:o, s:o}", "index", (json_int_t)view->index, "worker",
			       worker_text(view), "attempts", (int)view->attempts, "progress",
			       view->progress < 0 ? json_null() : json_real((double)view->progress), "cause",
			       document_text(*view->cause ? view->cause : NULL)), view);
}

static int add_divided(void *arg, const struct divided_view *view)
{
	return json_array_append_new(arg, json_pack("{s:I, s:I, s:I}", "index", (json_int_t)view->index, "parts",
						    (json_int_t)view->parts, "parts_done",
						    (json_int_t)view->parts_done));
}

static int add_retrying(void *arg, const struct task_view *view)
{
	return add_to(
		arg, json_pack("{s:I, s:i, s:f, s:o}", "index", (json_int_t)view->index, "attempts",
			       (int)view->attempts, "retry_in_s", (double)view->retry_in_ns / 1e9, "cause",
			       document_text(*view->cause ? view->cause : NULL)), view);
}

/* What `show` says beside JOB. NULL: out of memory. */
static json_t *shown_members(struct job *job, const char *stack_note)
{
	json_t *running = json_array(), *retrying = json_array(), *divided = json_array();
	json_t *members = json_pack("{s:o, s:o, s:o, s:o, s:o}", "running_tasks", running, "retrying_tasks", retrying,
				    "divided_tasks", divided, "stack_note", document_text(stack_note), "stalls",
				    document_stalls(job_stalls(job)));

	if (members && job_walk_running(job, TASKS_SHOWN, add_running, running) == 0 &&
	    job_walk_retrying(job, TASKS_SHOWN, add_retrying, retrying) == 0 &&
	    job_walk_divided(job, TASKS_SHOWN, add_divided, divided) == 0)
		return members;
	json_decref(members);
	return NULL;
}

static void show_job(const struct call *call, struct job *job)
{
	struct buffer text = BUFFER_INIT;
	struct job_view view;
	int r;

	job_view(job, &view);
	r = job_text(&text, &view);
	if (r == 0)
		r = document_add_members(&text, shown_members(job, view.stack_note ? view.stack_note : ""));
	reply_made_text(call->req, r, &text);
	job_unref(job);
}

void handle_show(const struct call *call)
{
	with_job(call, show_job);
}

static void results_of_job(const struct call *call, struct job *job)
{
	struct stream_options options;
	struct error err = ERROR_INIT;
	int r = stream_options_parse(&call->query, "format", &options, &err);

	if (r < 0) {
		reply_error(call->req, r, &err);
		job_unref(job);
		return;
	}
	stream_start(call, job, &options, true);
}

void handle_results(const struct call *call)
{
	with_job(call, results_of_job);
}

/* ---- wait: answers that come when the job has ended ---- */

struct waiter {
	struct call call;
	struct job *job;
	struct job_watch watch;
	struct event event; /* activated at the end, or its timeout */
	bool timed; /* its timeout means anything */
};

static void waiter_free(struct waiter *waiter)
{
	(void)event_del(&waiter->event); /* fails for an event without a base only */
	job_unwatch(&waiter->watch);
	job_unref(waiter->job);
	free(waiter);
}

static void on_waiter_gone(struct http_request *req)
{
	waiter_free(req->user);
}

static void on_waiter_progress(struct job_watch *watch)
{
	(void)watch; /* only its end is of interest */
}

static void on_waiter_state(struct job_watch *watch, enum job_state state)
{
	struct waiter *waiter = container_of(watch, struct waiter, watch);

	/* answered from the loop: the jobs are in the middle of something */
	if (job_state_ended(state))
		event_active(&waiter->event, EV_TIMEOUT, 0);
}

static void on_waiter_event(evutil_socket_t fd, short what, void *arg)
{
	struct waiter *waiter = arg;
	struct http_request *req = waiter->call.req;
	struct job_view view;

	(void)fd;
	(void)what;
	job_view(waiter->job, &view);
	if (job_state_ended(view.state))
		reply_job(req, &view);
	else
		reply_json(req, 200, json_pack("{s:i, s:b, s:o, s:s}", "schema", PROTOCOL_SCHEMA, "timeout", 1, "job",
					       json_sprintf("%llu", (unsigned long long)view.id), "state",
					       job_state_name(view.state)));
	waiter_free(waiter);
}

void wait_for_end(const struct call *call, struct job *job, double timeout_s)
{
	struct timeval tv = { .tv_sec = (time_t)timeout_s };
	struct waiter *waiter;
	struct job_view view;

	job_view(job, &view);
	if (job_state_ended(view.state)) {
		reply_job(call->req, &view);
		job_unref(job);
		return;
	}
	waiter = calloc(1, sizeof(*waiter));
	if (!waiter) {
		reply_error(call->req, -ENOMEM, NULL);
		job_unref(job);
		return;
	}
	waiter->call = *call;
	waiter->job = job; /* ownership moves here */
	waiter->watch.on_progress = on_waiter_progress;
	waiter->watch.on_state = on_waiter_state;
	call->req->user = waiter;
	call->req->on_gone = on_waiter_gone;
	(void)evtimer_assign(&waiter->event, loop_base(call->control->options.loop), on_waiter_event, waiter);
	tv.tv_usec = (suseconds_t)((timeout_s - (double)tv.tv_sec) * 1e6);
	if (timeout_s >= 0 && evtimer_add(&waiter->event, &tv) < 0) {
		reply_error(call->req, -ENOMEM, NULL);
		waiter->watch.prev = NULL; /* not watching yet */
		waiter_free(waiter);
		return;
	}
	job_watch(job, &waiter->watch);
}

static void wait_for_job(const struct call *call, struct job *job)
{
	const char *text = query_get(&call->query, "timeout_s");
	double timeout_s = -1;

	if (text && (text_parse_double(text, &timeout_s) < 0 || timeout_s < 0 || timeout_s > MAX_WAIT_S)) {
		reply_code(call->req, "bad-request", "query: timeout_s: '%.40s' is not a number of seconds from 0 on", text);
		job_unref(job);
		return;
	}
	wait_for_end(call, job, timeout_s);
}

void handle_wait(const struct call *call)
{
	with_job(call, wait_for_job);
}
