/* What was recorded and how long it stays in memory.
 *
 *	on disk:      recorded ──> recent ──(its reader is past it, or there are too many)──> dropped (the store has it)
 *	not on disk:  full ──> recent ──(its reader is past it, or there are too many)──> packed ──> in the spill file
 *
 * Packed is the form that segments have on the disk, a sixth of the other: what is not in use is so cheap to keep that it
 * is hardly ever written out, and the memory of recent segments is used again for the next ones.
 */
#include "results_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config.h"
#include "jobs/job.h"

/* Recorded segments that stay in memory, of all jobs together: millions of short results, so that they are not written out
 * and read back while they are streamed; a large commit records many segments in one go. What ended jobs have goes
 * first, or when there is rest (finish.c). */
#define RESIDENT_BYTES (64u << 20)
/* Of these, not packed, of a job that is not on disk: with someone watching, who is some milliseconds behind; with nobody. */
#define RECENT_BYTES (16u << 20)
#define UNSEEN_BYTES (256u << 10)
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

static void add_resident(struct job *job, uint64_t bytes)
{
	job->results.resident_bytes += bytes;
	job->jobs->resident_bytes += bytes;
}

static void sub_resident(struct job *job, uint64_t bytes)
{
	job->results.resident_bytes -= bytes;
	job->jobs->resident_bytes -= bytes;
}

void slot_count_in(struct job *job, struct result_slot *slot)
{
	slot->counted_bytes = segment_bytes(slot->segment);
	add_resident(job, slot->counted_bytes);
	job->results.unpacked_bytes += slot->counted_bytes;
}

static void count_out(struct job *job, struct result_slot *slot)
{
	sub_resident(job, slot->counted_bytes);
	job->results.unpacked_bytes -= slot->counted_bytes;
	slot->counted_bytes = 0;
}

/* 0 or -ENOMEM, and then it is as it was. */
static int slot_pack(struct job *job, struct result_slot *slot)
{
	struct buffer *scratch = &job->jobs->packing; /* as large as a blob might get, and so only one of it */
	uint8_t *packed;

	scratch->len = 0;
	if (segment_encode(slot->segment, scratch) < 0)
		return -ENOMEM;
	packed = malloc(scratch->len);
	if (!packed)
		return -ENOMEM;
	memcpy(packed, scratch->data, scratch->len);
	slot->packed = packed;
	slot->packed_bytes = (uint32_t)scratch->len;
	count_out(job, slot);
	segment_unref(take_ptr(slot->segment));
	add_resident(job, slot->packed_bytes);
	return 0;
}

/* Out of memory with it: the store or the spill file has it. */
static int slot_put_out(struct job *job, struct result_slot *slot)
{
	int r = 0;

	if (job->durable) {
		count_out(job, slot);
		slot_free(&job->results, slot);
		return 0;
	}
	if (!slot->packed)
		r = slot_pack(job, slot);
	if (r == 0)
		r = spill_write(&job->inputs.spill, job->jobs->config->state_dir, slot->packed, slot->packed_bytes,
				&slot->spilled_at);
	if (r < 0)
		return r;
	job->jobs->spill_refused = false;
	sub_resident(job, slot->packed_bytes);
	free(take_ptr(slot->packed));
	return 0;
}

/* Pack the oldest, but for the one at `keep`, until the others have no more than `most`. */
static void pack_old(struct job *job, uint64_t most, const struct result_slot *keep)
{
	struct results *results = &job->results;
	struct result_slot *slot = results->oldest ? results->oldest : results->slots;

	results->oldest = NULL;
	for (; slot && results->unpacked_bytes > most; slot = slot->hh.next) {
		if (slot->segment && (slot == keep || !slot_idle(slot) || slot_pack(job, slot) < 0) && !results->oldest)
			results->oldest = slot; /* looked at again the next time */
	}
	if (!results->oldest)
		results->oldest = slot;
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
		if ((!slot->packed && !slot_idle(slot)) || slot == keep)
			continue;
		gone += slot->packed ? slot->packed_bytes : slot->counted_bytes;
		--*most;
		if (slot_put_out(job, slot) < 0) {
			if (!job->jobs->spill_refused) /* once, until some can be */
				log_warning("jobs: results of job %llu, and of others that are not on disk, stay in memory: the state "
					    "directory takes no more", (unsigned long long)job->id);
			job->jobs->spill_refused = true;
			return;
		}
	}
}

void results_trim(struct job *job, const struct result_slot *keep)
{
	uint64_t all = job->jobs->resident_bytes, kept = all, limit = RESIDENT_BYTES;
	uint32_t any = UINT32_MAX;

	if (!job->durable)
		pack_old(job, job->watches ? RECENT_BYTES : UNSEEN_BYTES, keep);
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

void results_passed(struct job *job, uint64_t number)
{
	struct result_slot *slot = slot_find(&job->results, number);

	/* Two readers are seldom far from each other: for the other one it stays. */
	if (!slot || !slot_idle(slot) || (job->watches && job->watches->next))
		return;
	if (!job->durable)
		(void)slot_pack(job, slot); /* while the processor still has it at hand; without memory it is packed later */
	else if (job->from_store || ranges_contain(&job->results.whole, number))
		(void)slot_put_out(job, slot); /* of a job that is on disk it does not fail */
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

int slot_read(const struct job *job, const struct result_slot *slot, struct segment **ret_segment)
{
	_cleanup_free_ uint8_t *blob = NULL;
	const uint8_t *packed = slot->packed;
	int r;

	if (!packed) {
		packed = blob = malloc(slot->packed_bytes);
		if (!blob)
			return -ENOMEM;
		r = spill_read(&job->inputs.spill, slot->spilled_at, blob, slot->packed_bytes);
		if (r < 0)
			return r;
	}
	return segment_decode(slot->number * SEGMENT_TASKS, packed, slot->packed_bytes, ret_segment);
}
