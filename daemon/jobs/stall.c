/* News of tasks that hold their runner: into the log, to those who watch the job, and kept for who asks later. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/job.h"
#include "ring/step.h"

#define LINES_BURST 20u
#define LOG_INPUT_BYTES 60
#define LOG_STACK_BYTES 600

/* One line a second and a burst: a workload that blocks does so again and again. */
static bool may_log(struct jobs *jobs)
{
	int64_t now_ns = clock_mono_ns(), more = (now_ns - jobs->stall_refilled_ns) / NS_PER_S;

	if (more > 0) {
		jobs->stall_refilled_ns = now_ns;
		jobs->stall_tokens = more > LINES_BURST - jobs->stall_tokens ? LINES_BURST :
									      jobs->stall_tokens + (uint32_t)more;
	}
	if (jobs->stall_tokens == 0) {
		jobs->stalls_unlogged++;
		return false;
	}
	jobs->stall_tokens--;
	return true;
}

/* The frames in one line, what is no text replaced. */
static void one_line(const char *text, size_t len, const char *between, char *line, size_t bytes)
{
	size_t used = 0;

	for (size_t i = 0; i < len && used + strlen(between) + 1 < bytes; i++) {
		if (text[i] == '\n' && *between)
			used += (size_t)snprintf(line + used, bytes - used, "%s", between);
		else
			line[used++] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	}
	line[used] = '\0';
}

static void log_begin(struct job *job, struct stall *s)
{
	char input[LOG_INPUT_BYTES], stack[LOG_STACK_BYTES], held[TEXT_DURATION_BYTES], more[64] = "";
	struct jobs *jobs = job->jobs;

	s->logged = may_log(jobs);
	if (!s->logged)
		return;
	if (jobs->stalls_unlogged > 0)
		(void)snprintf(more, sizeof(more), " (%" PRIu64 " more since the last line)", jobs->stalls_unlogged);
	jobs->stalls_unlogged = 0;
	one_line((const char *)s->input, s->input_kept, "", input, sizeof(input));
	one_line(s->stack, strlen(s->stack), " < ", stack, sizeof(stack));
	text_format_duration(s->held_ns, held);
	log_warning("jobs: job %" PRIu64 ": task %" PRIu64 " of '%s' (input '%s%s') holds its thread for %s now, worker "
		    "%u.%u: %s%s", job->id, step_task(s->task), job->workload_name, input,
		    s->input_len > strlen(input) ? "..." : "", held, s->worker_pid, s->worker_thread,
		    *stack ? stack : "its stack could not be taken", more);
}

static void log_end(const struct job *job, const struct stall *s)
{
	char held[TEXT_DURATION_BYTES];

	if (!s->logged)
		return;
	text_format_duration(s->held_ns, held);
	log_warning("jobs: job %" PRIu64 ": task %" PRIu64 " of '%s' held its thread for %s in all", job->id, step_task(s->task),
		    job->workload_name, held);
}

static void tell_watchers(struct job *job, const struct stall *s)
{
	struct job_watch *watch, *next;

	job_ref(job);
	for (watch = job->watches; watch; watch = next) {
		next = watch->next;
		if (watch->on_stall)
			watch->on_stall(watch, s);
	}
	job_unref(job);
}

void outcome_stall(void *ctx, const struct crew_stall *news)
{
	struct jobs *jobs = ctx;
	struct job *job = ((struct job_seat *)news->user)->job;
	struct stall *s;

	if (!job->stalls)
		job->stalls = calloc(1, sizeof(*job->stalls));
	s = job->stalls ? stalls_note(job->stalls, news, jobs->unix_offset_us) : NULL;
	if (!s)
		return; /* no memory, or an end that came with the task's own */
	if (news->ended)
		log_end(job, s);
	else
		log_begin(job, s);
	tell_watchers(job, s);
}

void stall_task_ended(struct job *job, uint64_t task, int64_t end_ns)
{
	const struct stall *s = stalls_task_ended(job->stalls, task, end_ns);

	if (!s)
		return;
	log_end(job, s);
	tell_watchers(job, s);
}

const struct stalls *job_stalls(const struct job *job)
{
	return job->stalls;
}
