/* A job's row as a struct. */
#include "private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int job_row_read(struct query *q, struct store_recovered_job *ret_job)
{
	struct store_recovered_job row = {
		.job = { .id = query_column_u64(q, 0),
			 .submission = query_column_text(q, 1),
			 .workload = query_column_text(q, 2),
			 .spec = query_column_text(q, 3),
			 .uid = (uint32_t)query_column_u64(q, 4),
			 .created_unix_us = query_column_int(q, 5) },
		.state = { .state = (uint8_t)query_column_u64(q, 6),
			   .open = query_column_int(q, 7) != 0,
			   .total = query_column_u64(q, 8),
			   .started_unix_us = query_column_int(q, 9),
			   .ended_unix_us = query_column_int(q, 10),
			   .done = query_column_u64(q, 11),
			   .failed = query_column_u64(q, 12),
			   .cancelled = query_column_u64(q, 13),
			   .cpu_s = query_column_double(q, 14),
			   .wait_s = query_column_double(q, 15),
			   .runq_s = query_column_double(q, 16),
			   .wall_s = query_column_double(q, 17),
			   .peak_rss_bytes = query_column_u64(q, 18),
			   .priority = (int32_t)query_column_int(q, 21) },
	};
	bool has_code = sqlite3_column_type(q->stmt, 19) != SQLITE_NULL;
	bool has_text = sqlite3_column_type(q->stmt, 20) != SQLITE_NULL;

	if (has_code)
		row.state.error_code = query_column_text(q, 19);
	if (has_text)
		row.state.error_text = query_column_text(q, 20);
	row.state.stalls = query_column_bytes(q, 22, &row.state.stalls_bytes);
	if (!row.job.submission || !row.job.workload || !row.job.spec || has_code != !!row.state.error_code ||
	    has_text != !!row.state.error_text)
		return -ENOMEM;
	*ret_job = row;
	return 0;
}

bool job_row_fits(struct query *q, const struct store_read *read)
{
	bool ended = query_column_int(q, 10) != 0;
	uint64_t state = query_column_u64(q, 6); /* any number, in a damaged row */
	const char *workload;

	if (!ended && !read->unfinished)
		return false;
	if (ended && read->states && (state > 31 || !(read->states & 1u << state)))
		return false;
	workload = read->workload ? query_column_text(q, 2) : NULL;
	return !workload || strcmp(workload, read->workload) == 0;
}

static const char *own(const char *text, bool *failed)
{
	char *copy = text ? strdup(text) : NULL;

	*failed |= text && !copy;
	return copy;
}

int job_row_own(struct store_recovered_job *job)
{
	bool failed = false;

	job->job.submission = own(job->job.submission, &failed);
	job->job.workload = own(job->job.workload, &failed);
	job->job.spec = own(job->job.spec, &failed);
	job->state.error_code = own(job->state.error_code, &failed);
	job->state.error_text = own(job->state.error_text, &failed);
	if (job->state.stalls_bytes > 0) {
		uint8_t *copy = malloc(job->state.stalls_bytes);

		if (copy)
			memcpy(copy, job->state.stalls, job->state.stalls_bytes);
		failed |= !copy;
		job->state.stalls = copy;
	} else {
		job->state.stalls = NULL;
	}
	if (!failed)
		return 0;
	job_row_fini(job);
	return -ENOMEM;
}

void job_row_fini(struct store_recovered_job *job)
{
	/* const for those who look; ours to free since job_row_own() */
	free((void *)job->job.submission);
	free((void *)job->job.workload);
	free((void *)job->job.spec);
	free((void *)job->state.error_code);
	free((void *)job->state.error_text);
	free((void *)job->state.stalls);
	*job = (struct store_recovered_job){ .job.id = 0 };
}
