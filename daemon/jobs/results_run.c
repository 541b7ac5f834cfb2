/* Results of consecutive tasks, from a worker's ring to their places in segments: each is read once and written once. */
#include "results_private.h"

#include "base/clock.h"
#include "jobs/job.h"

static size_t bytes_of(const struct ring_record *ended, uint32_t n)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < n; i++)
		bytes += ended[i].len;
	return bytes;
}

/* Fill in tasks first..first + n - 1 of the run, all of one segment. 0 or -errno, and then nothing was done. */
static int fill(const struct job *job, const struct crew_run *run, struct segment *segment, uint32_t first, uint32_t n)
{
	const struct ring_record *ended = run->records + first, *end = ended + n;
	const int64_t unix_offset_us = job->jobs->unix_offset_us, ready_ns = job->ready_ns;
	struct task_record record = {
		.worker_pid = run->worker_pid,
		.worker_thread = run->worker_thread,
		.attempts = 1,
		.state = TASK_DONE,
		.recorded = !job->durable,
	};
	struct segment_fill begun, fill;
	int r = segment_fill_begin(segment, (uint32_t)((run->first + first) % SEGMENT_TASKS), n, bytes_of(ended, n), &begun);

	if (r < 0)
		return r;
	fill = begun; /* whose address nobody has: it stays in registers */
	for (; ended < end; ended++) {
		int64_t queue_ns = ended->begin_ns - ready_ns;

		record.length = (uint32_t)ended->len;
		record.begin_unix_us = ended->begin_ns / NS_PER_US + unix_offset_us;
		record.wall_s = ended->wall_s;
		record.cpu_s = ended->cpu_s;
		record.runq_s = ended->runq_s;
		record.queue_s = queue_ns > 0 ? (float)queue_ns / 1e9f : 0;
		segment_fill(&fill, &record, ended->data);
	}
	begun = fill;
	segment_fill_end(&begun);
	return 0;
}

uint32_t results_put_run(struct job *job, const struct crew_run *run)
{
	uint32_t put = 0;

	while (put < run->n) {
		uint32_t index = (uint32_t)((run->first + put) % SEGMENT_TASKS), part = run->n - put;
		struct result_slot *slot;

		if (part > SEGMENT_TASKS - index)
			part = SEGMENT_TASKS - index; /* the rest is the next segment's */
		if (slot_to_fill(job, (run->first + put) / SEGMENT_TASKS, &slot) < 0 ||
		    index + part > slot->segment->count || fill(job, run, slot->segment, put, part) < 0)
			break;
		put += part;
		if (!job->durable)
			job->results.recorded += part;
		slot_filled(job, slot, put);
	}
	return put;
}
