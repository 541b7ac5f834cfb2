/* When a job may begin: dates, in UTC. Jobs that follow others: after.c.
 *
 * A delay becomes a date at acceptance, and the date is kept with the job: it means the same after a restart, after days
 * switched off, and whatever the clock is set to meanwhile. One alarm serves the first date of all jobs, with the parked
 * ones, and rings too when the clock is set.
 *
 *	accepted ──> delayed ──(its date)──> may begin ──> begun
 *	                 └────────(expires)──────┴──> failed, with the job's own error `expired`
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/alarm.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/job.h"

#define DUE_SLICE 256 /* jobs that are looked at before the loop gets a turn */

bool job_may_begin(const struct job *job)
{
	return !job->paused && !hold_of(job) && !job->begin.delayed && after_is_over(job);
}

/* As far as is known: under an earlier daemon outcomes may say it, or its row. */
static bool has_begun(const struct job *job)
{
	return job->started_unix_us > 0 || job->done + job->failed + job->cancelled > 0;
}

void begin_set_alarm(struct jobs *jobs)
{
	int64_t first = dates_first(&jobs->dates), parked = dates_first(&jobs->parked_dates);
	int r = alarm_set(jobs->alarm, first == 0 || (parked > 0 && parked < first) ? parked : first);

	if (r < 0)
		log_error("jobs: no alarm for the next job that begins or expires: %s", strerror(-r));
}

static void wait_for_date(struct job *job)
{
	struct job_begin *begin = &job->begin;
	int64_t next = begin->delayed ? begin->begins_unix_us : begin->expires_unix_us;

	if (next == 0)
		return;
	if (dates_put(&job->jobs->dates, &begin->date, next) < 0) {
		log_error("jobs: job %" PRIu64 ": no memory for its dates: it begins now", job->id);
		begin->delayed = false;
	}
}

void begin_wait(struct job *job)
{
	if (has_begun(job) || job->ending != JOB_ENDING_NO)
		return;
	after_break(job); /* one of its predecessors ended badly while it was accepted */
	if (job->ending != JOB_ENDING_NO)
		return;
	job->begin.delayed = job->begin.begins_unix_us > 0;
	wait_for_date(job);
	lot_review(job);
	if (job->begin.date.place > 0)
		begin_set_alarm(job->jobs);
}

void begin_recovered(struct job *job)
{
	if (!has_begun(job) && job->ending == JOB_ENDING_NO)
		(void)after_find(job, NULL, NULL); /* what is wrong with one of them ends the job, now or then */
	begin_wait(job);
}

static void expire(struct job *job)
{
	char text[96], date[CLOCK_TEXT_BYTES];

	clock_format_unix_us(job->begin.expires_unix_us, date);
	(void)snprintf(text, sizeof(text), "it had not begun when it expired, at %s", date);
	job_fail_self(job, "expired", text);
	job_end_early(job, JOB_ENDING_EXPIRED, JOB_ASK);
}

static void date_has_come(struct job *job, int64_t now)
{
	if (has_begun(job) || job->ending != JOB_ENDING_NO)
		return;
	if (job->begin.expires_unix_us > 0 && job->begin.expires_unix_us <= now) {
		expire(job);
		return;
	}
	job->begin.delayed = false;
	job->ready_ns = clock_mono_ns(); /* it did not wait for a worker until now */
	wait_for_date(job);
	lot_review(job);
	job_touch(job);
}

void begin_unparked(struct job *job)
{
	int64_t expires = job->begin.expires_unix_us;

	if (job->ending != JOB_ENDING_NO)
		return;
	if (expires > 0 && expires <= clock_unix_us()) {
		expire(job);
		return;
	}
	wait_for_date(job);
	if (job->begin.date.place == 1)
		begin_set_alarm(job->jobs);
}

void begin_on_alarm(void *arg)
{
	struct jobs *jobs = arg;
	int64_t now = clock_unix_us();
	struct date *date = NULL;

	if (jobs->starting)
		return; /* set anew when all jobs are here */
	for (int i = 0; i < DUE_SLICE && (date = dates_take_due(&jobs->dates, now)); i++)
		date_has_come(container_of(date, struct job, begin.date), now);
	parked_on_alarm(jobs);
	begin_set_alarm(jobs); /* also where nothing was due: the clock may have been set */
}

void begin_change(struct job *job, bool new_begins, int64_t begins_unix_us, bool new_expires, int64_t expires_unix_us)
{
	dates_remove(&job->jobs->dates, &job->begin.date);
	if (new_begins) {
		job->begin.begins_unix_us = begins_unix_us;
		job->begin.delayed = begins_unix_us > 0;
	}
	if (new_expires)
		job->begin.expires_unix_us = expires_unix_us;
	wait_for_date(job);
	begin_set_alarm(job->jobs);
}

void begin_has(struct job *job)
{
	if (job->begin.recorded || (job->begin.expires_unix_us == 0 && !job->begin.afters))
		return;
	begin_forget(job);
	job->begin.recorded = true;
	job_record_course(job);
}

static void on_recorded(void *arg, int status)
{
	struct job *job = arg; /* the operation has a reference */

	(void)status; /* logged; then only a kill within moments could tell */
	job->begin.recording = false;
	job->begin.recorded = true;
	begin_forget(job);
	schedule_ready(job);
}

/* A restart that finds nothing of a job would let it expire, or end it for a predecessor that nobody knows any more: whoever
 * could suffer that has begun on the disk before he does in truth. */
bool begin_may_hand_out(struct job *job)
{
	struct job_begin *begin = &job->begin;

	if (begin->recorded || !job->durable || (begin->expires_unix_us == 0 && !after_forgets(job)))
		return true;
	if (!begin->recording && job->started_unix_us > 0)
		return true; /* under an earlier daemon, whose disk knows it */
	if (!begin->recording) {
		begin->recording = true;
		job->started_unix_us = clock_unix_us();
		job_record_course_then(job, on_recorded, job);
	}
	return begin->recorded; /* at once where there is no memory to wait */
}

void begin_forget(struct job *job)
{
	after_forget(job);
	dates_remove(&job->jobs->dates, &job->begin.date); /* the alarm that rings for nothing is set anew then */
}

/* ---- As asked for, and on disk ---- */

int64_t begin_date(int64_t in_ns)
{
	return in_ns > 0 ? clock_unix_us() + (in_ns + NS_PER_US - 1) / NS_PER_US : 0;
}

int begin_resolve(struct job *job, const struct job_spec *spec, struct error *err)
{
	if (spec->delay_ns > 0 && spec->expire_ns > 0 && spec->expire_ns <= spec->delay_ns)
		return error_set(err, -EINVAL, "bad-request",
				 "it would expire before it may begin: 'expire' is to be longer than 'delay'");
	job->begin.begins_unix_us = begin_date(spec->delay_ns);
	job->begin.expires_unix_us = begin_date(spec->expire_ns);
	return after_resolve(job, spec, err);
}

int begin_format(const struct job *job, json_t *spec)
{
	int r = 0;

	if (job->begin.begins_unix_us > 0)
		r = json_object_set_new(spec, "begins_us", json_integer(job->begin.begins_unix_us));
	if (r == 0 && job->begin.expires_unix_us > 0)
		r = json_object_set_new(spec, "expires_us", json_integer(job->begin.expires_unix_us));
	return r < 0 ? -ENOMEM : after_format(job, spec);
}

int begin_parse(struct job *job, const json_t *spec)
{
	job->begin.begins_unix_us = json_integer_value(json_object_get(spec, "begins_us"));
	job->begin.expires_unix_us = json_integer_value(json_object_get(spec, "expires_us"));
	return after_parse(job, spec);
}

/* ---- In words ---- */

/* "2026-11-21 12:30:00 UTC", of today "12:30:00 UTC". */
static void format_date(int64_t unix_us, int64_t now, char ret_text[CLOCK_TEXT_BYTES])
{
	char date[CLOCK_TEXT_BYTES], today[CLOCK_TEXT_BYTES];

	clock_format_unix_us(unix_us, date);
	clock_format_unix_us(now, today);
	if (strncmp(date, today, 10) == 0)
		(void)snprintf(ret_text, CLOCK_TEXT_BYTES, "%.8s UTC", date + 11);
	else
		(void)snprintf(ret_text, CLOCK_TEXT_BYTES, "%.10s %.8s UTC", date, date + 11);
}

void begin_view(const struct job *job, struct job_view *view)
{
	view->unique = unique_key(job);
	view->begins_unix_us = job->begin.begins_unix_us;
	view->expires_unix_us = job->begin.expires_unix_us;
	after_view(job, view);
}

const char *begin_waiting(const struct job *job, char *scratch, size_t scratch_bytes)
{
	char date[CLOCK_TEXT_BYTES], in[TEXT_DURATION_BYTES];
	int64_t now = clock_unix_us();
	int len;

	if (!job->begin.delayed)
		return after_waiting(job, "it begins", scratch, scratch_bytes);
	format_date(job->begin.begins_unix_us, now, date);
	if (job->begin.begins_unix_us <= now)
		return "it begins now";
	text_format_duration((job->begin.begins_unix_us - now) * NS_PER_US, in);
	len = snprintf(scratch, scratch_bytes, "it begins at %s, in %s", date, in);
	if (len > 0 && (size_t)len < scratch_bytes)
		(void)after_waiting(job, ", and", scratch + len, scratch_bytes - (size_t)len); /* nothing where it follows none */
	return scratch;
}
