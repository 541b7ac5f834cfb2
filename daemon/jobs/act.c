/* What is done to a job from outside: its end before its tasks have ended, and its pause. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "config.h"
#include "crew/wire.h"
#include "ctl/protocol.h"
#include "jobs/job.h"

/* ---- Ending ---- */

static void end_seat(const struct job_seat *seat, enum job_urgency urgency, uint32_t reason)
{
	if (!seat->seat)
		return;
	switch (urgency) {
	case JOB_LET_END:
		crew_recall(seat->seat);
		return;
	case JOB_ASK:
		crew_cancel(seat->seat, reason);
		return;
	case JOB_KILL:
		crew_kill(seat->seat, reason);
		return;
	}
}

static void begin_end(struct job *job, enum job_ending ending)
{
	job->ending = ending;
	census_review(job);
	lane_forget(job);
	job->cut_short = job->open;
	if (job->open && !job->adding)
		job_close(job, false);
	else
		job_record_course(job);
}

void job_end_early(struct job *job, enum job_ending ending, enum job_urgency urgency)
{
	uint32_t reason;

	if (job_state_ended(job->state) || job->finishing)
		return;
	if (job->ending != JOB_ENDING_NO && urgency <= job->urgency)
		return;
	job->urgency = urgency;
	if (job->ending == JOB_ENDING_NO)
		begin_end(job, ending);
	reason = job->ending == JOB_ENDING_TIMEOUT ? WIRE_CANCEL_TIMEOUT : WIRE_CANCEL_USER;
	/* Of a job whose workers cannot be prepared too: what runs in its other crews has no end to wait for. */
	for (struct job_seat *seat = &job->main; seat; seat = job_seat_next(job, seat))
		end_seat(seat, urgency, reason);
	outcome_end_ready(job);
	job_touch(job);
}

int job_may_act(const struct job *job, struct error *err)
{
	if (job->from_store || job_state_ended(job->state))
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " has ended: it is %s", job->id,
				 job_state_name(job->state));
	if (job->finishing)
		return error_set(err, -EALREADY, "wrong-state", "every task of job %" PRIu64 " has ended", job->id);
	if (job->jobs->stopping)
		return error_set(err, -ESHUTDOWN, "stopping", "the daemon is shutting down; try again after its restart");
	return 0;
}

int job_cancel(struct job *job, struct error *err)
{
	int r = job_may_act(job, err);

	if (r == 0)
		job_end_early(job, JOB_ENDING_CANCELLED, JOB_ASK);
	return r;
}

int job_kill(struct job *job, struct error *err)
{
	int r = job_may_act(job, err);

	if (r == 0)
		job_end_early(job, JOB_ENDING_CANCELLED, JOB_KILL);
	return r;
}

void outcome_check_halt(struct job *job)
{
	const struct job_halt *halt = &job->halt;
	uint64_t ended = job->done + job->failed;
	char text[128];

	if (job->ending != JOB_ENDING_NO || job->failed == 0 || job->finishing)
		return;
	if (halt->fail > 0 ? job->failed < halt->fail :
			     ended < JOB_HALT_PERCENT_TASKS || job->failed * 100 < halt->percent * ended)
		return;
	(void)snprintf(text, sizeof(text), "given up when %" PRIu64 " of %" PRIu64 " tasks had failed", job->failed, ended);
	log_info("jobs: job %" PRIu64 ": %s", job->id, text);
	job_fail_self(job, "halted", text);
	job_end_early(job, JOB_ENDING_HALTED, halt->when == JOB_HALT_NOW ? JOB_ASK : JOB_LET_END);
}

/* ---- Pausing ---- */

void job_hold_back(struct job *job)
{
	lane_forget(job);
	job_clock_review(job);
	for (struct job_seat *seat = &job->main; seat; seat = job_seat_next(job, seat)) {
		if (seat->seat)
			crew_recall(seat->seat);
	}
}

void job_let_go_on(struct job *job)
{
	if (hold_of(job) || job->paused)
		return;
	job_clock_review(job);
	job_touch(job);
}

int job_pause(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	int r = job_may_act(job, err);

	if (r < 0)
		return r;
	if (job->ending != JOB_ENDING_NO)
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " is being ended", job->id);
	if (job->paused)
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " is paused already", job->id);
	if (job->service)
		return service_pause(job, on_done, arg, err);
	job->paused = true;
	census_review(job);
	lot_review(job);
	job_hold_back(job);
	job_set_state(job, JOB_PAUSED);
	job_record_course_then(job, on_done, arg);
	return 0;
}

int job_resume(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	char held[ERROR_TEXT_BYTES / 2];
	int r = job_may_act(job, err);

	if (r < 0)
		return r;
	if (!job->paused && job->ending == JOB_ENDING_NO && hold_of(job)) {
		hold_describe(hold_of(job), held, sizeof(held));
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " is not paused by itself: %s", job->id, held);
	}
	if (!job->paused || job->ending != JOB_ENDING_NO)
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " is not paused", job->id);
	job->paused = false;
	census_review(job);
	lot_review(job);
	job_set_state(job, JOB_QUEUED); /* `running` again, where it has begun, when the burst is over */
	job_let_go_on(job);
	job_record_course_then(job, on_done, arg);
	if (job->service)
		service_resume(job);
	job_touch(job);
	return 0;
}
