/* Lines of the log that belong to one job, on their way to those who follow it. */
#include "base/clock.h"
#include "base/log.h"
#include "jobs/job.h"

#define LINE_BYTES 1024 /* a longer line is cut */

void job_tell(struct job *job, unsigned int level, uint32_t worker_pid, const char *text)
{
	static uint64_t last_number; /* the control thread's */
	const struct job_log log = {
		.number = ++last_number,
		.level = log_level_name(level <= LOG_LEVEL_DEBUG ? (enum log_level)level : LOG_LEVEL_INFO),
		.worker_pid = worker_pid,
		.unix_us = clock_unix_us(),
		.text = text,
	};
	struct job_watch *watch, *next;

	job_ref(job);
	if (job->service)
		service_note_line(job, &log);
	for (watch = job->watches; watch; watch = next) {
		next = watch->next;
		if (watch->on_log)
			watch->on_log(watch, &log);
	}
	job_unref(job);
}

void job_log_on_line(void *ctx, void *user, const struct crew_log *log)
{
	struct job *job = ((struct job_seat *)user)->job;
	size_t len = log->len < LINE_BYTES - 1 ? log->len : LINE_BYTES - 1;
	char line[LINE_BYTES];

	(void)ctx; /* the seat knows its job */
	if (!job->watches && !job->service)
		return;
	for (size_t i = 0; i < len; i++)
		line[i] = (unsigned char)log->text[i] < 0x20 || log->text[i] == 0x7f ? ' ' : log->text[i];
	line[len] = '\0';
	job_tell(job, log->level, log->worker_pid, line);
}
