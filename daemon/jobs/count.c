/* What of a job counts among the unfinished. Tasks that have ended are counted off once per burst of news, not one by one. */
#include "jobs/job.h"

int count_recovered(struct job *job)
{
	uint64_t unfinished = job->total - job->done - job->failed - job->cancelled;
	const struct quota_count count = { .jobs = 1, .tasks = unfinished, .bytes = job->input_bytes };
	int r = job->service ? 0 : quota_add(&job->jobs->quota, job->uid, &count);

	if (r == 0)
		job->counted_tasks = unfinished;
	return r;
}

void count_ended_tasks(struct job *job)
{
	uint64_t unfinished = job->total - job->done - job->failed - job->cancelled;
	const struct quota_count ended = { .tasks = job->counted_tasks - unfinished };

	if (job->service || job->counted_tasks <= unfinished)
		return;
	job->counted_tasks = unfinished;
	quota_sub(&job->jobs->quota, job->uid, &ended);
}

void count_ended(struct job *job)
{
	const struct quota_count rest = { .jobs = 1, .tasks = job->counted_tasks, .bytes = job->input_bytes };

	if (!job->service)
		quota_sub(&job->jobs->quota, job->uid, &rest);
}
