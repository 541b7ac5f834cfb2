/* What was recorded and how long it stays in memory. */
#include "results_private.h"

#include <stdlib.h>

#include "base/log.h"
#include "config.h"
#include "jobs/job.h"

/* Recorded segments that stay in memory, of all jobs together: a million short results, so that they are not written out
 * and read back while they are streamed; a large commit records many segments in one go. What ended jobs have goes
 * first, or when there is rest (finish.c). */
#define RESIDENT_BYTES (64u << 20)
/* Of a job on disk: with someone watching, while there is room for it; where there is none; with nobody watching. */
#define WATCHED_BYTES (32u << 20)
#define WATCHED_LEAST_BYTES (2u << 20)
#define UNWATCHED_BYTES (256u << 10)

uint64_t segment_bytes(const struct segment *segment)
{
	return segment->count * sizeof(*segment->records) + segment->bytes.cap;
}

static bool slot_idle(const struct result_slot *slot)
{
	return slot->segment && !slot->writing && slot->flushing == 0 && segment_full(slot->segment) &&
	       slot->segment->n_recorded == slot->segment->count;
}

static int slot_spill(struct job *job, struct result_slot *slot)
{
	struct buffer blob = BUFFER_INIT;
	int r = segment_encode(slot->segment, &blob);

	if (r == 0)
		r = spill_write(&job->inputs.spill, job->jobs->config->state_dir, blob.data, blob.len,
				&slot->spilled_at);
	if (r == 0) {
		slot->spilled_bytes = (uint32_t)blob.len;
		segment_unref(take_ptr(slot->segment));
	}
	buffer_fini(&blob);
	return r;
}

void slot_count_in(struct job *job, struct result_slot *slot)
{
	slot->counted_bytes = segment_bytes(slot->segment);
	job->results.resident_bytes += slot->counted_bytes;
	job->jobs->resident_bytes += slot->counted_bytes;
}

/* Out of memory with it: the store or the spill file has it. */
static int slot_put_out(struct job *job, struct result_slot *slot)
{
	uint64_t bytes = slot->counted_bytes;
	int r = 0;

	if (job->durable)
		slot_free(&job->results, slot);
	else if (slot->spilled_bytes == 0)
		r = slot_spill(job, slot);
	else
		segment_unref(take_ptr(slot->segment)); /* it was read back and has not changed */
	if (r == 0) {
		if (!job->durable)
			slot->counted_bytes = 0;
		job->results.resident_bytes -= bytes;
		job->jobs->resident_bytes -= bytes;
	}
	return r;
}

/* Put recorded segments out of memory, oldest first, until `bytes` or `*most` of them went. Never the one at `keep`
 * (NULL: any may go): whoever asked for it has not had a turn yet, and one segment may be larger than all that may
 * stay. */
static void put_out(struct job *job, uint64_t bytes, uint32_t *most, const struct result_slot *keep)
{
	struct results *results = &job->results;
	struct result_slot *slot, *next;
	uint64_t gone = 0;

	HASH_ITER(hh, results->slots, slot, next) { /* in order of creation: about the order of tasks */
		if (gone >= bytes || *most == 0)
			return;
		if (!slot_idle(slot) || slot == keep)
			continue;
		gone += segment_bytes(slot->segment);
		--*most;
		if (slot_put_out(job, slot) < 0) {
			log_warning("jobs: results of job %llu stay in memory: the state directory takes no more",
				    (unsigned long long)job->id);
			return;
		}
	}
}

void results_trim(struct job *job, const struct result_slot *keep)
{
	uint64_t all = job->jobs->resident_bytes, kept = all, limit = RESIDENT_BYTES;
	uint32_t any = UINT32_MAX;

	if (all > RESIDENT_BYTES) {
		finish_make_room(job->jobs, all - RESIDENT_BYTES, &any);
		kept = all = job->jobs->resident_bytes;
	}
	if (job->durable) {
		kept = job->results.resident_bytes;
		limit = !job->watches ? UNWATCHED_BYTES : all > RESIDENT_BYTES ? WATCHED_LEAST_BYTES : WATCHED_BYTES;
	}
	if (kept > limit)
		put_out(job, kept - limit, &any, keep);
}

void results_put_out_durable(struct job *job, uint32_t *most)
{
	if (job->durable)
		put_out(job, UINT64_MAX, most, NULL);
}

void results_put_out(struct job *job, uint64_t bytes, uint32_t *most)
{
	if (job->results.resident_bytes > 0)
		put_out(job, bytes, most, NULL);
}

int slot_unspill(struct job *job, struct result_slot *slot)
{
	_cleanup_free_ uint8_t *blob = malloc(slot->spilled_bytes);
	int r;

	if (!blob)
		return -ENOMEM;
	r = spill_read(&job->inputs.spill, slot->spilled_at, blob, slot->spilled_bytes);
	if (r < 0)
		return r;
	return segment_decode(slot->number * SEGMENT_TASKS, blob, slot->spilled_bytes, &slot->segment);
}
