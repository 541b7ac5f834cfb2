/* Messages to running tasks. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "jobs/job.h"

/* Why a task that could not be sent anything is not running. */
static int refuse(const struct job *job, uint64_t task, int r, struct error *err)
{
	bool queued = r == -EAGAIN || halves_contain(&job->halves, task);

	for (const struct job_seat *seat = &job->main; seat && !queued; seat = job_seat_next(job, seat))
		queued = ranges_contain(&seat->ready, task) || ranges_contain(&seat->marked, task);
	if (parts_is_open(job, task))
		return error_set(err, -EPERM, "wrong-state", "task %" PRIu64 " of job %" PRIu64 " is divided: its parts "
				 "receive no messages", task, job->id);
	if (r == -EHOSTDOWN)
		return error_set(err, -EBUSY, "busy", "the worker process of task %" PRIu64 " of job %" PRIu64 " is stopped: `concctl "
				 "show %" PRIu64 "` says which", task, job->id, job->id);
	if (r != -ENOENT && r != -EAGAIN && r != -ESRCH)
		return error_set(err, r, r == -EMSGSIZE ? "too-large" : "internal", "task %" PRIu64 " of job %" PRIu64
				 ": %s", task, job->id, strerror(-r));
	return error_set(err, -EPERM, "wrong-state", "task %" PRIu64 " of job %" PRIu64 " %s: only a running task "
			 "receives messages", task, job->id,
			 queued ? "is queued" : r == -ESRCH ? "has lost its process" : "is not running");
}

int job_send(struct job *job, uint64_t task, const void *data, size_t len, job_sent_fn on_sent, void *arg,
	     struct error *err)
{
	int r = -ENOENT;

	if (job->from_store || job_state_ended(job->state) || job->finishing)
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " has ended: it is %s", job->id,
				 job_state_name(job->state));
	if (task >= job->total)
		return error_set(err, -ENOENT, "no-such-task", "job %" PRIu64 " has no task %" PRIu64 ", but %" PRIu64
				 " from 0 on", job->id, task, job->total);
	for (struct job_seat *seat = &job->main; seat && r == -ENOENT; seat = job_seat_next(job, seat)) {
		if (seat->seat)
			r = crew_send(seat->seat, task, data, len, on_sent, arg);
	}
	return r < 0 ? refuse(job, task, r, err) : 0;
}
