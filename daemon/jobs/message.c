/* Messages to running tasks. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "jobs/job.h"

/* Why a task that could not be sent anything is not running. */
static int refuse(const struct job *job, uint64_t task, int r, struct error *err)
{
	const struct job_seat *const seats[] = { &job->main, &job->solo };
	bool queued = r == -EAGAIN;

	for (size_t i = 0; i < ARRAY_SIZE(seats) && !queued; i++)
		queued = ranges_contain(&seats[i]->ready, task) || ranges_contain(&seats[i]->marked, task);
	if (parts_is_open(job, task))
		return error_set(err, -EPERM, "wrong-state", "task %" PRIu64 " of job %" PRIu64 " is divided: its parts "
				 "receive no messages", task, job->id);
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
	if (job->main.seat)
		r = crew_send(job->main.seat, task, data, len, on_sent, arg);
	if (r == -ENOENT && job->solo.seat)
		r = crew_send(job->solo.seat, task, data, len, on_sent, arg);
	return r < 0 ? refuse(job, task, r, err) : 0;
}
