/* Trying again: a task whose plugin asks for it waits in its job's heap, under one timer a job.
 *
 * Only what the plugin itself calls worth another try is tried again (CONCD_FAIL_RETRY). A task that ran out of time is
 * not: with the same input it would do so again, and hold a worker as long. Neither are permanent failures, refused
 * inputs and quarantined tasks. Delays are in memory only: after a restart what waited may run at once, and its tries
 * are counted anew.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "jobs/job.h"
#include "ring/step.h"

#define CAUSE_BYTES 200 /* of a failure's words that are kept for `show` */
#define DUE_SLICE 4096 /* tasks made ready before the loop gets a turn */

static void arm(struct job *job);

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct job *job = arg;
	int64_t now = clock_mono_ns();

	(void)fd; /* a timer */
	(void)what;
	if (!job->jobs->crews || job->ending != JOB_ENDING_NO)
		return; /* jobs_settle() ends those of a job that is ending */
	for (int i = 0; i < DUE_SLICE && job->waiting.n > 0 && job->waiting.at[0].due_ns <= now; i++)
		outcome_ready_again(&job->main, retries_pop(&job->waiting).task, 1);
	arm(job);
}

static void arm(struct job *job)
{
	int64_t ns = job->waiting.n > 0 ? job->waiting.at[0].due_ns - clock_mono_ns() : 0;
	/* rounded up: waking before it is due would be for nothing */
	struct timeval tv = { .tv_sec = ns / NS_PER_S, .tv_usec = (ns % NS_PER_S + NS_PER_US - 1) / NS_PER_US };

	if (job->waiting.n == 0)
		return;
	if (ns <= 0)
		tv = (struct timeval){ .tv_sec = 0 };
	if (!job->retry_event)
		job->retry_event = event_new(loop_base(job->jobs->loop), -1, 0, on_due, job);
	if (job->retry_event && event_add(job->retry_event, &tv) == 0)
		return;
	log_warning("jobs: job %llu: no timer for its retries, they run at once: out of memory",
		    (unsigned long long)job->id);
	while (job->waiting.n > 0)
		outcome_ready_again(&job->main, retries_pop(&job->waiting).task, 1);
}

/* The failure's words, cut; never inside a character. */
static char *copy_cause(const uint8_t *data, size_t len)
{
	size_t n = len < CAUSE_BYTES ? len : CAUSE_BYTES;

	while (n > 0 && n < len && (data[n] & 0xc0) == 0x80)
		n--;
	return strndup((const char *)data, n);
}

bool retry_later(struct job *job, const struct crew_ended *ended)
{
	struct task_history *history;
	uint32_t random = 0;
	int64_t now = clock_mono_ns(), delay;

	if (job->retries == 0 || job->ending != JOB_ENDING_NO || parts_failing(job, ended->task))
		return false;
	history = history_of(job, ended->task);
	if (!history || history->retries >= job->retries)
		return false;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = 0; /* no jitter then */
	delay = retry_delay_ns(job->backoff_ns, history->retries + 1u, ended->retry_after_ns, random);
	if (retries_push(&job->waiting, now + delay, ended->task) < 0)
		return false;
	history->retries++;
	if (history->attempts < UINT16_MAX)
		history->attempts++;
	history->ready_ns = now + delay;
	free(history->cause);
	history->cause = copy_cause(ended->data, ended->len);
	if (job->waiting.at[0].task == ended->task)
		arm(job);
	job_touch(job);
	return true;
}

void retry_forget(struct job *job)
{
	retries_fini(&job->waiting);
	if (job->retry_event)
		event_free(job->retry_event);
	job->retry_event = NULL;
}

int job_walk_retrying(struct job *job, uint32_t limit, int (*fn)(void *arg, const struct task_view *view), void *arg)
{
	int64_t now = clock_mono_ns();
	int r = 0;

	for (size_t i = 0; i < job->waiting.n && i < limit && r == 0; i++) {
		const struct retry *retry = &job->waiting.at[i];
		const struct task_history *history = NULL;
		struct task_view view = { .index = step_task(retry->task),
					  .part = parts_part(retry->task),
					  .progress = -1, .cause = "" };

		HASH_FIND(hh, job->history, &retry->task, sizeof(retry->task), history);
		if (history) {
			view.attempts = history->attempts;
			view.cause = history->cause ? history->cause : "";
		}
		view.retry_in_ns = retry->due_ns > now ? retry->due_ns - now : 0;
		r = fn(arg, &view);
	}
	return r;
}
