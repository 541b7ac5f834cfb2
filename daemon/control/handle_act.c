/* Acting on one job: cancel, kill, pause, resume, restart, set. An answer comes when its effect is there. On many: handle_verb.c */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "control/server.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

static int check_owner(const struct call *call, const struct job *job, struct error *err)
{
	struct job_view view;

	job_view(job, &view);
	if (call_may(call, view.uid))
		return 0;
	return error_set(err, -EPERM, "denied", "job %llu belongs to user %u", (unsigned long long)view.id, view.uid);
}

static void answer_job(struct http_request *req, const struct job *job)
{
	struct job_view view;

	job_view(job, &view);
	reply_job(req, &view);
}

/* ---- cancel, kill ---- */

static void end_job(const struct call *call, struct job *job, int (*end)(struct job *job, struct error *err))
{
	struct error err = ERROR_INIT;
	bool wait = true;
	int r = query_get_bool(&call->query, "wait", &wait, &err);

	if (r == 0)
		r = check_owner(call, job, &err);
	if (r == 0)
		r = end(job, &err);
	if (r == 0 && wait) {
		wait_for_end(call, job, -1);
		return;
	}
	if (r < 0)
		reply_error(call->req, r, &err);
	else
		answer_job(call->req, job);
	job_unref(job);
}

static void cancel_job(const struct call *call, struct job *job)
{
	end_job(call, job, job_cancel);
}

void handle_cancel(const struct call *call)
{
	with_job(call, cancel_job);
}

static void kill_job(const struct call *call, struct job *job)
{
	end_job(call, job, job_kill);
}

void handle_kill(const struct call *call)
{
	with_job(call, kill_job);
}

/* ---- pause, resume: answered when the disk knows; restart: when the service has begun again ---- */

struct course {
	struct http_request *req; /* NULL: the client has left */
	struct job *job; /* a reference */
	struct job_changes changes; /* of set; its texts are the request's */
};

static void on_course_gone(struct http_request *req)
{
	((struct course *)req->user)->req = NULL;
}

static void on_course_done(void *arg, int status)
{
	struct course *course = arg;

	if (course->req) {
		course->req->user = NULL;
		course->req->on_gone = NULL;
		if (status == -ESHUTDOWN)
			reply_code(course->req, "stopping", "the daemon is shutting down");
		else if (status < 0)
			reply_code(course->req, "internal", "it is so, but not on disk: %s", strerror(-status));
		else
			answer_job(course->req, course->job);
	}
	job_unref(course->job);
	free(course);
}

/* change: it begins the change and has the course answered, by on_course_done() or a callback of its own; 0 or -errno with words. */
static void change_course(const struct call *call, struct job *job, int (*change)(struct course *course, struct error *err),
			  const struct job_changes *changes)
{
	struct error err = ERROR_INIT;
	struct course *course;
	int r = check_owner(call, job, &err);

	course = r == 0 ? calloc(1, sizeof(*course)) : NULL;
	if (r == 0 && !course)
		r = -ENOMEM;
	if (r == 0) {
		*course = (struct course){ .req = call->req, .job = job };
		if (changes)
			course->changes = *changes;
		call->req->user = course;
		call->req->on_gone = on_course_gone;
		r = change(course, &err);
		if (r == 0)
			return; /* course and the reference are the callback's */
		call->req->user = NULL;
		call->req->on_gone = NULL;
	}
	reply_error(call->req, r, &err);
	job_unref(job);
	free(course);
}

static int begin_pause(struct course *course, struct error *err)
{
	return job_pause(course->job, on_course_done, course, err);
}

static void pause_job(const struct call *call, struct job *job)
{
	change_course(call, job, begin_pause, NULL);
}

void handle_pause(const struct call *call)
{
	with_job(call, pause_job);
}

static int begin_resume(struct course *course, struct error *err)
{
	return job_resume(course->job, on_course_done, course, err);
}

static void resume_job(const struct call *call, struct job *job)
{
	change_course(call, job, begin_resume, NULL);
}

void handle_resume(const struct call *call)
{
	with_job(call, resume_job);
}

static int begin_restart(struct course *course, struct error *err)
{
	return job_restart(course->job, on_course_done, course, err);
}

static void restart_job(const struct call *call, struct job *job)
{
	change_course(call, job, begin_restart, NULL);
}

void handle_restart(const struct call *call)
{
	with_job(call, restart_job);
}

/* ---- set: answered when the disk knows, where it is to ---- */

/* With words it was refused: what it is to follow had to be looked for. */
static void on_set(void *arg, int status, const struct error *err)
{
	struct course *course = arg;

	if (status == 0 || !err || !err->code || !course->req) {
		on_course_done(course, status);
		return;
	}
	course->req->user = NULL;
	course->req->on_gone = NULL;
	reply_error(course->req, status, err);
	job_unref(course->job);
	free(course);
}

static int begin_set(struct course *course, struct error *err)
{
	return job_set(course->job, &course->changes, on_set, course, err);
}

static void set_job(const struct call *call, struct job *job)
{
	struct error err = ERROR_INIT;
	struct job_changes changes;
	int r = settings_parse(&call->query, &changes, &err);

	if (r == 0) {
		change_course(call, job, begin_set, &changes);
		return;
	}
	reply_error(call->req, r, &err);
	job_unref(job);
}

void handle_set(const struct call *call)
{
	with_job(call, set_job);
}
