/* Why a job is not running now, in words. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "store/store.h"

/* Others of its lane come first. */
static bool waits_for_others(const struct job *job, char *scratch, size_t scratch_bytes)
{
	const struct lane *lane = lane_find(job->jobs, crew_of(job->main.seat));
	const struct job *first = lane_next(lane);
	uint32_t above = turns_above(&lane->turns, job->turn.priority);

	if (first == job)
		return false;
	if (above > 0)
		(void)snprintf(scratch, scratch_bytes, "behind %u job%s of higher priority", above, above == 1 ? "" : "s");
	else if (lane->in_order)
		(void)snprintf(scratch, scratch_bytes, "job %llu is before it, and these run one after another",
			       (unsigned long long)first->id);
	return above > 0 || lane->in_order;
}

/* Tasks of it are in a process that somebody has stopped. */
static bool waits_for_stopped(const struct job *job, char *scratch, size_t scratch_bytes)
{
	for (const struct job_seat *at = &job->main; at; at = job_seat_next(job, at)) {
		pid_t pid = at->seat && crew_seat_out(at->seat) > 0 ? crew_seat_stopped(at->seat) : 0;

		if (pid == 0)
			continue;
		(void)snprintf(scratch, scratch_bytes, "worker process %d is stopped (kill -CONT %d lets it go on)", (int)pid, (int)pid);
		return true;
	}
	return false;
}

static void add_reason(char *scratch, size_t scratch_bytes, const char *why)
{
	size_t len = strlen(scratch);

	(void)snprintf(scratch + len, scratch_bytes - len, "%s%s", len > 0 ? "; " : "", why); /* cut is fine */
}

/* What keeps it by itself: its pause, that of everything or its workload, its date, jobs that it follows. All of it is said, as
 * whoever puts one aside would else only meet the next. NULL: nothing. */
static const char *kept_by(const struct job *job, bool paused, char *scratch, size_t scratch_bytes)
{
	char reason[ERROR_TEXT_BYTES];
	const char *why;

	*scratch = '\0';
	if (paused)
		add_reason(scratch, scratch_bytes, "it is paused");
	if (hold_of(job)) {
		hold_describe(hold_of(job), reason, sizeof(reason));
		add_reason(scratch, scratch_bytes, reason);
	}
	why = begin_waiting(job, reason, sizeof(reason));
	if (why)
		add_reason(scratch, scratch_bytes, why);
	return *scratch ? scratch : NULL;
}

const char *schedule_waiting(const struct job *job, char *scratch, size_t scratch_bytes)
{
	const char *why = NULL;

	if (job_state_ended(job->state) || job->from_store)
		return "";
	if (job->on_disk_only) {
		why = kept_by(job, job->state == JOB_PAUSED, scratch, scratch_bytes);
		return why ? why : "jobs that came before it are first";
	}
	if (!job->workload)
		return job->why_no_workload ? job->why_no_workload : "its workload is not loaded";
	if (job->paused || hold_of(job))
		return kept_by(job, job->paused, scratch, scratch_bytes);
	if (job->main.init_failed)
		return "its workers could not be prepared";
	if (!job->jobs->crews || !crews_ready(job->jobs->crews))
		return "workers of an earlier daemon are still ending";
	why = begin_waiting(job, scratch, scratch_bytes);
	if (why)
		return why;
	if (store_stalled(job->jobs->store, &why)) {
		(void)snprintf(scratch, scratch_bytes, "the store takes nothing: %s", why);
		return scratch;
	}
	why = service_waiting(job, scratch, scratch_bytes);
	if (why)
		return why;
	if (waits_for_stopped(job, scratch, scratch_bytes))
		return scratch;
	if (job->main.seat && crew_seat_out(job->main.seat) > 0)
		return "";
	if (apart_out(job) > 0)
		return "";
	if (job->turn.at > 0 && throttle_waiting(lane_find(job->jobs, crew_of(job->main.seat)), scratch, scratch_bytes))
		return scratch;
	if (job->turn.at > 0 && waits_for_others(job, scratch, scratch_bytes))
		return scratch;
	if (job->waiting.n > 0 && (job->choice.in_order || !seat_has_work(&job->main))) {
		(void)snprintf(scratch, scratch_bytes, "%zu of its tasks wait to be tried again, the first for %.1f s",
			       job->waiting.n, (double)(job->waiting.at[0].due_ns - clock_mono_ns()) / 1e9);
		return scratch;
	}
	if (job->open && !seat_has_work(&job->main))
		return "more inputs are expected";
	return seat_has_work(&job->main) || apart_has_work(job) ? "every worker of its crew is busy or starting" : "";
}
