/* Outcomes of a job, from the ring to the store and to those who watch. */
#include "results_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "jobs/job.h"
#include "store/store.h"

/* Outcomes of an open segment go to the disk as rows of their own when so many or fewer wait (they come slowly), or when
 * they have waited this long: a segment that fills fast is written once, whole. */
#define FLUSH_FEW 256
#define FLUSH_OLD_NS (50 * NS_PER_MS)

struct result_slot *slot_find(struct results *results, uint64_t number)
{
	struct result_slot *slot = results->last;

	if (slot && slot->number == number)
		return slot;
	HASH_FIND(hh, results->slots, &number, sizeof(number), slot);
	if (slot)
		results->last = slot;
	return slot;
}

void slot_free(struct results *results, struct result_slot *slot)
{
	if (results->last == slot)
		results->last = NULL;
	HASH_DEL(results->slots, slot);
	segment_unref(slot->segment);
	free(slot->packed);
	free(slot);
}

/* A slot for the segment; takes over the reference. NULL: out of memory, and the reference is dropped. */
static struct result_slot *slot_add(struct results *results, uint64_t number, struct segment *segment)
{
	struct result_slot *slot = segment ? calloc(1, sizeof(*slot)) : NULL;

	if (!slot) {
		segment_unref(segment);
		return NULL;
	}
	slot->number = number;
	slot->segment = segment;
	HASH_ADD(hh, results->slots, number, sizeof(slot->number), slot);
	results->last = slot;
	return slot;
}

static struct result_slot *slot_open(struct job *job, uint64_t number)
{
	struct result_slot *slot = slot_find(&job->results, number);
	uint64_t first = number * SEGMENT_TASKS;
	uint32_t count = SEGMENT_TASKS;

	if (slot)
		return slot;
	if (!job->open && job->total - first < SEGMENT_TASKS)
		count = (uint32_t)(job->total - first);
	return slot_add(&job->results, number, segment_new(first, count));
}

void results_fini(struct job *job)
{
	struct result_slot *slot, *next;

	if (job->results.resident_bytes > 0)
		finish_rest_later(job->jobs); /* of an ended job that was looked at, too */
	job->jobs->resident_bytes -= job->results.resident_bytes;
	job->results.resident_bytes = 0;
	HASH_ITER(hh, job->results.slots, slot, next) {
		slot_free(&job->results, slot);
	}
	ranges_fini(&job->results.whole);
}

static void slot_recorded(struct job *job, struct result_slot *slot, uint32_t index)
{
	slot->segment->records[index].recorded = true;
	slot->segment->n_recorded++;
	job->results.recorded++;
}

/* ---- Writing ---- */

struct segment_op {
	struct store_op op;
	struct job *job; /* a reference */
	uint64_t number;
	uint64_t bytes;
};

static void on_segment_written(struct store_op *op, int status)
{
	struct segment_op *write = container_of(op, struct segment_op, op);
	struct job *job = write->job;
	struct result_slot *slot = slot_find(&job->results, write->number);

	if (status < 0 && status != -EEXIST && !job->refused)
		log_error("store: segment %llu of job %llu: %s", (unsigned long long)write->number,
			  (unsigned long long)job->id, strerror(-status));
	assert(slot && slot->writing); /* a slot being written is never dropped */
	slot->writing = false;
	job->jobs->unwritten_bytes -= write->bytes;
	job->results.recorded += slot->segment->count - slot->segment->n_recorded;
	slot->segment->n_recorded = slot->segment->count;
	slot_count_in(job, slot);
	if (ranges_add(&job->results.whole, write->number, 1) == 0) /* else it stays in memory: it could not be found again */
		results_trim(job, job->watches ? slot : NULL);
	jobs_op_done(job->jobs);
	job_notify_progress(job);
	job_touch(job);
	job_unref(job);
	free(write);
}

static int write_segment(struct job *job, struct result_slot *slot)
{
	struct segment_op *write = calloc(1, sizeof(*write));

	if (!write)
		return -ENOMEM;
	write->job = job_ref(job);
	write->number = slot->number;
	write->op = (struct store_op){
		.type = STORE_SEGMENT,
		.job = job->id,
		.u.segment = slot->segment,
		.on_done = on_segment_written,
	};
	write->bytes = segment_bytes(slot->segment);
	job->jobs->unwritten_bytes += write->bytes;
	slot->writing = true;
	slot->dirty_ns = 0;
	jobs_op_submitted(job->jobs);
	/* Where they come fast, a few go together: a commit of one costs as much again. */
	store_submit_late(job->jobs->store, &write->op);
	return 0;
}

/* The segment has every outcome it will get. */
static void segment_filled(struct job *job, struct result_slot *slot)
{
	slot->dirty_ns = 0;
	if (!job->durable) {
		slot_count_in(job, slot); /* each of its outcomes was recorded when it was put */
		results_trim(job, NULL);
		return;
	}
	if (write_segment(job, slot) == 0)
		return;
	slot->dirty_ns = clock_mono_ns(); /* no memory now: results_flush() tries again */
	job_flush_later(job);
}

int slot_to_fill(struct job *job, uint64_t number, struct result_slot **ret_slot)
{
	struct result_slot *slot = slot_find(&job->results, number);

	if (!slot && ranges_contain(&job->results.whole, number))
		return -EALREADY;
	if (!slot)
		slot = slot_open(job, number);
	if (!slot)
		return -ENOMEM;
	if (!slot->segment)
		return -EALREADY;
	*ret_slot = slot;
	return 0;
}

void slot_filled(struct job *job, struct result_slot *slot, uint64_t n)
{
	if (job->durable && slot->dirty_ns == 0) {
		slot->dirty_ns = clock_mono_ns();
		job_flush_later(job);
	}
	if (!segment_full(slot->segment))
		return;
	/* The job's last outcome: its end follows at once, and both go to the disk in one transaction (job_check_end()). */
	if (job->durable && !job->open && job->done + job->failed + job->cancelled + n >= job->total)
		job_touch(job);
	else
		segment_filled(job, slot);
}

int results_put(struct job *job, uint64_t task, const struct task_record *record, const void *data, size_t len)
{
	uint32_t index = (uint32_t)(task % SEGMENT_TASKS);
	struct result_slot *slot;
	int r = slot_to_fill(job, task / SEGMENT_TASKS, &slot);

	if (r < 0)
		return r;
	if (index >= slot->segment->count)
		return -EALREADY;
	r = segment_put(slot->segment, index, record, data, len);
	if (r < 0)
		return r;
	if (!job->durable)
		slot_recorded(job, slot, index);
	slot_filled(job, slot, 1);
	return 0;
}

int results_recovered_segment(struct job *job, uint64_t first, uint32_t count)
{
	if (first % SEGMENT_TASKS != 0 || ranges_contain(&job->results.whole, first / SEGMENT_TASKS))
		return -EBADMSG;
	if (ranges_add(&job->results.whole, first / SEGMENT_TASKS, 1) < 0)
		return -ENOMEM;
	job->results.recorded += count;
	return 0;
}

int results_recovered_task(struct job *job, uint64_t task, const struct task_record *record, const void *data,
			   size_t len)
{
	struct result_slot *slot = slot_open(job, task / SEGMENT_TASKS);
	struct task_record outcome = *record;
	uint32_t index = (uint32_t)(task % SEGMENT_TASKS);
	int r;

	if (!slot || index >= slot->segment->count)
		return slot ? -EBADMSG : -ENOMEM;
	outcome.recorded = false; /* counted below */
	r = segment_put(slot->segment, index, &outcome, data, len);
	if (r < 0)
		return r;
	slot_recorded(job, slot, index);
	if (segment_full(slot->segment))
		segment_filled(job, slot);
	return 0;
}

void results_close(struct job *job)
{
	struct result_slot *slot;
	uint64_t number = job->total / SEGMENT_TASKS;
	uint32_t count = (uint32_t)(job->total % SEGMENT_TASKS);

	if (count == 0)
		return;
	slot = slot_find(&job->results, number);
	if (!slot || slot->writing || !slot->segment || slot->segment->count == count)
		return;
	slot->segment->count = count;
	if (segment_full(slot->segment))
		segment_filled(job, slot);
}

/* ---- Outcomes of open segments as rows of their own ---- */

struct tasks_op {
	struct store_op op;
	struct job *job; /* a reference */
	uint64_t number;
	struct buffer blobs;
	struct store_task tasks[];
};

static void on_tasks_written(struct store_op *op, int status)
{
	struct tasks_op *write = container_of(op, struct tasks_op, op);
	struct job *job = write->job;
	struct result_slot *slot = slot_find(&job->results, write->number);

	if (status < 0 && status != -EEXIST && !job->refused)
		log_error("store: outcomes of job %llu: %s", (unsigned long long)job->id, strerror(-status));
	assert(slot && slot->flushing >= op->u.tasks.n);
	slot->flushing -= (uint32_t)op->u.tasks.n;
	for (size_t i = 0; i < op->u.tasks.n; i++) {
		uint32_t index = (uint32_t)(op->u.tasks.tasks[i].task % SEGMENT_TASKS);

		if (!segment_recorded(slot->segment, index)) /* else its whole segment was faster */
			slot_recorded(job, slot, index);
	}
	jobs_op_done(job->jobs);
	job_notify_progress(job);
	job_touch(job);
	job_unref(job);
	buffer_fini(&write->blobs);
	free(write);
}

/* Encode every outcome that is not recorded; blobs are cut up once the buffer no longer moves. */
static int encode_waiting(struct result_slot *slot, struct tasks_op *write)
{
	struct segment *segment = slot->segment;
	size_t n = 0;

	for (uint32_t i = 0; i < segment->count; i++) {
		struct task_record *record = &segment->records[i];
		size_t before = write->blobs.len;

		if (record->state == TASK_QUEUED || segment_recorded(segment, i))
			continue;
		if (task_record_encode(record, segment->bytes.data + record->offset, &write->blobs) < 0)
			return -ENOMEM;
		write->tasks[n].task = segment->first + i;
		write->tasks[n].blob_bytes = write->blobs.len - before;
		n++;
	}
	write->op.u.tasks.n = n;
	for (size_t i = 0, at = 0; i < n; at += write->tasks[i].blob_bytes, i++)
		write->tasks[i].blob = write->blobs.data + at;
	return 0;
}

/* One operation per segment at a time: while one is out, what comes in waits for the next flush. */
static void flush_slot(struct job *job, struct result_slot *slot)
{
	struct segment *segment = slot->segment;
	struct tasks_op *write = calloc(1, sizeof(*write) + (segment->ended - segment->n_recorded) *
								    sizeof(write->tasks[0]));

	if (!write)
		return; /* tried again at the next flush */
	if (encode_waiting(slot, write) < 0) {
		buffer_fini(&write->blobs);
		free(write);
		return;
	}
	write->job = job_ref(job);
	write->number = slot->number;
	write->op.type = STORE_TASKS;
	write->op.job = job->id;
	write->op.u.tasks.tasks = write->tasks;
	write->op.u.tasks.divided = parts_possible(job);
	write->op.on_done = on_tasks_written;
	slot->flushing = (uint32_t)write->op.u.tasks.n;
	slot->dirty_ns = 0;
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &write->op);
}

bool results_flush(struct job *job, bool all)
{
	struct result_slot *slot, *next;
	int64_t now = clock_mono_ns();
	bool remain = false;

	if (!job->durable)
		return false; /* recorded when they were put */
	HASH_ITER(hh, job->results.slots, slot, next) {
		if (slot->dirty_ns == 0 || slot->writing)
			continue;
		if (segment_full(slot->segment)) {
			(void)write_segment(job, slot); /* was out of memory before; dirty_ns says whether again */
		} else if (slot->flushing == 0 &&
			   (all || slot->segment->ended - slot->segment->n_recorded <= FLUSH_FEW ||
			    now - slot->dirty_ns >= FLUSH_OLD_NS)) {
			flush_slot(job, slot);
		}
		remain = remain || slot->dirty_ns != 0;
	}
	return remain;
}

bool results_settled(const struct job *job)
{
	const struct result_slot *slot;

	for (slot = job->results.slots; slot; slot = slot->hh.next)
		if (slot->writing || slot->flushing > 0 || slot->dirty_ns != 0)
			return false;
	return true;
}

/* ---- Reading ---- */

struct results_load {
	struct store_read read;
	struct job *job; /* a reference */
};

static void on_segment_read(struct store_read *read, int status)
{
	struct results_load *load = container_of(read, struct results_load, read);
	struct job *job = load->job;
	uint64_t number = read->task / SEGMENT_TASKS;
	struct result_slot *slot = slot_find(&job->results, number);

	job->results.loading = NULL;
	if (status == 0 && !slot) {
		slot = slot_add(&job->results, number, take_ptr(read->segment));
		status = slot ? 0 : -ENOMEM;
		if (slot)
			slot_count_in(job, slot);
	}
	job->results.load_error = status;
	store_read_fini(read);
	free(load);
	results_trim(job, slot);
	job_notify_progress(job);
	job_unref(job);
}

static int load_segment(struct job *job, uint64_t task)
{
	struct results_load *load;

	if (job->results.loading)
		return -EAGAIN;
	load = calloc(1, sizeof(*load));
	if (!load)
		return -ENOMEM;
	load->job = job_ref(job);
	load->read = (struct store_read){
		.type = STORE_READ_SEGMENT,
		.job = job->id,
		.task = task,
		.on_done = on_segment_read,
	};
	job->results.loading = load;
	store_read(job->jobs->store, &load->read);
	return -EAGAIN;
}

int results_get(struct job *job, uint64_t task, struct segment **ret_segment)
{
	struct results *results = &job->results;
	struct result_slot *slot;
	int r;

	if (task >= job->total)
		return -ENOENT;
	if (results->load_error < 0) {
		r = results->load_error;
		results->load_error = 0; /* told once; the next call tries again */
		return r;
	}
	slot = slot_find(results, task / SEGMENT_TASKS);
	if (!slot) {
		/* Neither open nor recent: written and dropped, or not begun. */
		if (!job->from_store && !ranges_contain(&results->whole, task / SEGMENT_TASKS))
			return -ENOENT;
		return load_segment(job, task);
	}
	if (slot->segment) {
		*ret_segment = segment_ref(slot->segment);
		return 0;
	}
	return slot_read(job, slot, ret_segment);
}
