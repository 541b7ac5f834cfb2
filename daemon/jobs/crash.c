/* Deaths that count against a task are on disk before it is tried again, so that a task that kills its workers while
 * the daemon is restarted as well does not begin each time with a clean record. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "jobs/job.h"
#include "store/store.h"

struct crash_op {
	struct store_op op;
	struct job *job; /* a reference */
	char *cause;
};

static void on_recorded(struct store_op *op, int status)
{
	struct crash_op *crash = container_of(op, struct crash_op, op);
	struct job *job = crash->job;

	if (status < 0)
		log_warning("jobs: job %" PRIu64 ": the crash of task %" PRIu64
			    " is not on disk, ignoring: a restart would not count it: %s",
			    job->id, op->u.crash.task, strerror(-status));
	job->marking--;
	jobs_op_done(job->jobs);
	/* At the daemon's end the next one runs it. */
	if (job->jobs->crews)
		outcome_run_again(&job->main, op->u.crash.task, true);
	if (job->ending != JOB_ENDING_NO)
		outcome_end_ready(job);
	schedule_ready(job);
	job_touch(job);
	job_unref(job);
	free(crash->cause);
	free(crash);
}

void crash_record_then_run(struct job *job, const struct task_history *history)
{
	struct crash_op *crash = job->durable && job->max_crashes > 0 ? calloc(1, sizeof(*crash)) : NULL;
	char *cause = crash ? strdup(history->cause ? history->cause : "") : NULL;

	if (!cause) { /* no limit, or nothing of it on disk, or no memory: then counted by this daemon only */
		free(crash);
		outcome_run_again(&job->main, history->task, true);
		return;
	}
	crash->job = job_ref(job);
	crash->cause = cause;
	crash->op = (struct store_op){
		.type = STORE_CRASH,
		.job = job->id,
		.u.crash = { .task = history->task,
			     .crashes = history->crashes,
			     .attempts = history->attempts,
			     .cause = cause },
		.on_done = on_recorded,
	};
	job->marking++;
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &crash->op);
}

int crash_recovered(struct job *job, const struct store_crash *crash)
{
	struct task_history *history;
	int r;

	if (!ranges_contain(&job->main.ready, crash->task))
		return 0; /* its outcome is in a segment */
	history = history_of(job, crash->task);
	if (!history)
		return -ENOMEM;
	history->crashes = crash->crashes < UINT16_MAX ? (uint16_t)crash->crashes : UINT16_MAX;
	history->attempts = crash->attempts < UINT16_MAX ? (uint16_t)crash->attempts : UINT16_MAX;
	free(history->cause);
	history->cause = strdup(crash->cause); /* only to be shown */
	r = ranges_remove(&job->main.ready, crash->task, 1);
	if (r == 0)
		outcome_run_again(&job->main, crash->task, true);
	return r;
}
