/* Segments and single outcomes as bytes.
 *
 *	segment:  version 1, flags, varint count, varint length of the bytes, count records, the bytes in task order
 *	task:     version 1, record, the bytes
 *	record:   flags, then only what the flags announce, in the order of the bits; the wall time always
 *
 * Each record is written against its predecessor (the first against zeros): a task that ran like its neighbour, on the
 * same runner right behind it, is its flags and its wall time. Times are whole nanoseconds, which a float of seconds
 * gives back exactly from 16 ms up.
 */
#include "segment.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define CODEC_VERSION 1
#define SEGMENT_SPECIAL 0x01 /* in a segment's flags */
#define RECORD_MIN_BYTES 2
#define NS_MAX (INT64_MAX / 2)

enum {
	HAS_STATE = 0x01, /* not simply done: state, error, signal, a byte each */
	HAS_ATTEMPTS = 0x02, /* not 1 */
	HAS_WORKER = 0x04, /* another one: pid as difference, thread */
	HAS_BEGIN = 0x08, /* another microsecond: difference */
	HAS_CPU = 0x10, /* not the wall time */
	HAS_RUNQ = 0x20, /* not 0 */
	HAS_QUEUE = 0x40, /* not as predicted: difference */
	HAS_LENGTH = 0x80, /* another length */
};

static uint64_t zigzag(uint64_t difference)
{
	return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static uint64_t unzigzag(uint64_t value)
{
	return value >> 1 ^ (0 - (value & 1));
}

static uint64_t ns_of(float seconds)
{
	double ns = (double)seconds * 1e9 + 0.5;

	if (!(ns >= 1)) /* NaN as well */
		return 0;
	return ns < (double)NS_MAX ? (uint64_t)(int64_t)ns : (uint64_t)NS_MAX;
}

static inline bool same_bits(float a, float b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static float seconds_of(uint64_t ns)
{
	return (float)((double)(int64_t)ns * 1e-9);
}

/* Tasks of one job become ready together, so a task has queued as long as its predecessor and then for as long as that
 * ran (to the nanosecond, on the same runner), or until its own begin (to the microsecond, elsewhere). */
static uint64_t predict_queue_ns(const struct segment_previous *prev, uint64_t begin_us)
{
	uint64_t passed_us = begin_us - prev->begin_us;
	uint64_t ran_us = prev->wall_ns / NS_PER_US;

	return prev->queue_ns + (passed_us - ran_us + 1 <= 2 ? prev->wall_ns : passed_us * NS_PER_US);
}

/* Does the record differ from its predecessor's only in fields that have a fast way? */
static inline bool is_usual(const struct task_record *r, const struct segment_previous *prev)
{
	return r->state == TASK_DONE && !r->error && !r->signal && r->attempts == 1 && r->worker_pid == prev->pid &&
	       r->worker_thread == prev->thread && same_bits(r->cpu_s, r->wall_s) && same_bits(r->runq_s, 0);
}

/* put_record() of a usual one whose fields are short. Which of them differ is different from task to task and nothing that a
 * processor could foresee: all are written, and those that are not wanted are written over. */
static inline uint8_t *put_usual(uint8_t *at, uint64_t begin_step, uint64_t queue_step, uint64_t length_step,
				 uint64_t length, uint64_t wall_ns)
{
	uint8_t *flags_at = at++;

	*flags_at = (uint8_t)((begin_step ? HAS_BEGIN : 0) | (queue_step ? HAS_QUEUE : 0) | (length_step ? HAS_LENGTH : 0));
	*at = (uint8_t)begin_step;
	at += begin_step != 0;
	*at = (uint8_t)queue_step;
	at += queue_step != 0;
	*at = (uint8_t)length;
	at += length_step != 0;
	at[0] = (uint8_t)(wall_ns | (wall_ns >= 0x80 ? 0x80 : 0));
	at[1] = (uint8_t)(wall_ns >> 7);
	return at + 1 + (wall_ns >= 0x80);
}

/* put_record() of those from *r on that are usual and whose fields are short; *r is then behind the last. What each is written
 * against is the one before: it stays in registers. */
static uint8_t *put_usual_run(uint8_t *at, const struct task_record **r, const struct task_record *end, struct segment_previous *prev)
{
	const struct task_record *record = *r;
	struct segment_previous p = *prev;

	for (; record < end; record++) {
		uint64_t wall_ns = ns_of(record->wall_s), queue_ns = ns_of(record->queue_s);
		uint64_t begin_us = (uint64_t)record->begin_unix_us;
		uint64_t begin_step = zigzag(begin_us - p.begin_us);
		uint64_t queue_step = zigzag(queue_ns - predict_queue_ns(&p, begin_us));

		if (!is_usual(record, &p) || (begin_step | queue_step | record->length) >= 0x80 || wall_ns >= 0x4000)
			break;
		at = put_usual(at, begin_step, queue_step, record->length ^ p.length, record->length, wall_ns);
		p.begin_us = begin_us;
		p.wall_ns = wall_ns;
		p.queue_ns = queue_ns;
		p.length = record->length;
	}
	*r = record;
	*prev = p;
	return at;
}

static uint8_t *put_record(uint8_t *at, const struct task_record *r, struct segment_previous *prev)
{
	/* Of most tasks the first says it all; equal bits are equal times. */
	uint64_t wall_ns = ns_of(r->wall_s), cpu_ns = same_bits(r->cpu_s, r->wall_s) ? wall_ns : ns_of(r->cpu_s);
	uint64_t runq_ns = same_bits(r->runq_s, 0) ? 0 : ns_of(r->runq_s);
	uint64_t queue_ns = ns_of(r->queue_s), begin_us = (uint64_t)r->begin_unix_us;
	uint64_t predicted_ns = predict_queue_ns(prev, begin_us);
	uint64_t begin_step = zigzag(begin_us - prev->begin_us), queue_step = zigzag(queue_ns - predicted_ns);
	uint8_t *flags_at = at;
	unsigned int flags = 0;

	at++;
	if (__builtin_expect(r->state != TASK_DONE || r->error || r->signal, 0)) {
		flags |= HAS_STATE;
		*at++ = r->state;
		*at++ = r->error;
		*at++ = r->signal;
	}
	if (__builtin_expect(r->attempts != 1, 0)) {
		flags |= HAS_ATTEMPTS;
		at = varint_put(at, r->attempts);
	}
	if (r->worker_pid != prev->pid || r->worker_thread != prev->thread) {
		flags |= HAS_WORKER;
		at = varint_put(at, zigzag(r->worker_pid - prev->pid));
		at = varint_put(at, r->worker_thread);
	}
	if (begin_us != prev->begin_us) {
		flags |= HAS_BEGIN;
		at = varint_put(at, begin_step);
	}
	if (cpu_ns != wall_ns) {
		flags |= HAS_CPU;
		at = varint_put(at, cpu_ns);
	}
	if (runq_ns != 0) {
		flags |= HAS_RUNQ;
		at = varint_put(at, runq_ns);
	}
	if (queue_ns != predicted_ns) {
		flags |= HAS_QUEUE;
		at = varint_put(at, queue_step);
	}
	if (r->length != prev->length) {
		flags |= HAS_LENGTH;
		at = varint_put(at, r->length);
	}
	*flags_at = (uint8_t)flags;
	*prev = (struct segment_previous){ begin_us, wall_ns, queue_ns, r->length, r->worker_pid, r->worker_thread };
	return varint_put(at, wall_ns);
}

/* One field: `*value` from the bytes where the flag is set, else as it stands. NULL in, NULL out. */
static inline const uint8_t *get_field(const uint8_t *at, const uint8_t *end, unsigned int present, uint64_t *value)
{
	return at && present ? varint_get(at, end, value) : at;
}

static const uint8_t *get_state(const uint8_t *at, const uint8_t *end, struct task_record *r)
{
	if (end - at < 3)
		return NULL;
	r->state = at[0];
	r->error = at[1];
	r->signal = at[2];
	if (r->state < TASK_DONE || r->state > TASK_CANCELLED || r->error >= TASK_ERROR_COUNT)
		return NULL;
	return at + 3;
}

/* The next record (offset left alone): behind it, or NULL for anything that put_record() would not write. */
static const uint8_t *get_record(const uint8_t *at, const uint8_t *end, struct task_record *r, struct segment_previous *prev)
{
	uint64_t attempts = 1, pid_step = 0, begin_step = 0, cpu_ns = 0, runq_ns = 0, queue_step = 0, wall_ns = 0;
	uint64_t begin_us, queue_ns, length = prev->length, thread = prev->thread, pid;
	unsigned int flags;

	if (at == end)
		return NULL;
	flags = *at++;
	r->state = TASK_DONE;
	r->error = TASK_ERROR_NONE;
	r->signal = 0;
	if (flags & HAS_STATE)
		at = get_state(at, end, r);
	at = get_field(at, end, flags & HAS_ATTEMPTS, &attempts);
	at = get_field(at, end, flags & HAS_WORKER, &pid_step);
	at = get_field(at, end, flags & HAS_WORKER, &thread);
	at = get_field(at, end, flags & HAS_BEGIN, &begin_step);
	at = get_field(at, end, flags & HAS_CPU, &cpu_ns);
	at = get_field(at, end, flags & HAS_RUNQ, &runq_ns);
	at = get_field(at, end, flags & HAS_QUEUE, &queue_step);
	at = get_field(at, end, flags & HAS_LENGTH, &length);
	at = get_field(at, end, 1, &wall_ns);
	pid = prev->pid + unzigzag(pid_step);
	begin_us = prev->begin_us + unzigzag(begin_step);
	queue_ns = predict_queue_ns(prev, begin_us) + unzigzag(queue_step);
	if (!(flags & HAS_CPU))
		cpu_ns = wall_ns;
	if (!at || attempts > UINT16_MAX || pid > UINT32_MAX || thread > UINT16_MAX || length > UINT32_MAX ||
	    wall_ns > NS_MAX || cpu_ns > NS_MAX || runq_ns > NS_MAX || queue_ns > NS_MAX)
		return NULL;
	r->length = (uint32_t)length;
	r->begin_unix_us = (int64_t)begin_us;
	r->wall_s = seconds_of(wall_ns);
	r->cpu_s = seconds_of(cpu_ns);
	r->runq_s = seconds_of(runq_ns);
	r->queue_s = seconds_of(queue_ns);
	r->worker_pid = (uint32_t)pid;
	r->worker_thread = (uint16_t)thread;
	r->attempts = (uint16_t)attempts;
	r->recorded = true;
	*prev = (struct segment_previous){ begin_us, wall_ns, queue_ns, length, pid, thread };
	return at;
}

/* The results in task order: runs that already lie so, as they do where tasks end in order, are one copy. */
static uint8_t *put_bytes(uint8_t *at, const struct segment *segment, const struct task_record *r, const struct task_record *end)
{
	while (r < end) {
		size_t from = r->offset, to = from;

		for (; r < end && r->offset == to; r++)
			to += r->length;
		if (to > from)
			memcpy(at, segment->bytes.data + from, to - from);
		at += to - from;
	}
	return at;
}

uint8_t *segment_encode_run(const struct segment *segment, uint32_t from, uint32_t n, size_t bytes, uint8_t *at)
{
	const struct task_record *first = &segment->records[from], *r = first, *end = r + n;
	struct segment_previous prev = { 0 };

	*at++ = CODEC_VERSION;
	*at++ = segment->special ? SEGMENT_SPECIAL : 0;
	at = varint_put(at, n);
	at = varint_put(at, bytes);
	while (r < end) {
		at = put_usual_run(at, &r, end, &prev);
		if (r < end)
			at = put_record(at, r++, &prev);
	}
	return put_bytes(at, segment, first, end);
}

int segment_encode(const struct segment *segment, struct buffer *ret_blob)
{
	uint8_t *at;

	assert(segment_full(segment));
	if (buffer_reserve(ret_blob, SEGMENT_HEAD_BYTES + (size_t)segment->count * SEGMENT_RECORD_BYTES +
					     segment->bytes.len) < 0)
		return -ENOMEM;
	at = ret_blob->data + ret_blob->len;
	ret_blob->len += (size_t)(segment_encode_run(segment, 0, segment->count, segment->bytes.len, at) - at);
	return 0;
}

int segment_unpack_begin(const void *blob, size_t len, struct segment_unpack *ret_unpack)
{
	const uint8_t *at = blob;
	const uint8_t *end = at + len;
	uint64_t count = 0, n_bytes = 0;

	if (len < 2 || at[0] != CODEC_VERSION || (at[1] & ~SEGMENT_SPECIAL) != 0)
		return -EBADMSG;
	at = varint_get(at + 2, end, &count);
	at = get_field(at, end, 1, &n_bytes);
	if (!at || count == 0 || count > SEGMENT_TASKS || n_bytes > UINT32_MAX ||
	    n_bytes + count * RECORD_MIN_BYTES > (uint64_t)(end - at))
		return -EBADMSG;
	*ret_unpack = (struct segment_unpack){
		.left = (uint32_t)count,
		.at = at,
		.records_end = end - n_bytes,
		.data = end - n_bytes,
		.end = end,
	};
	return 0;
}

int segment_unpack_next(struct segment_unpack *unpack, struct task_record *ret_record, const uint8_t **ret_data)
{
	if (unpack->left == 0)
		return unpack->at == unpack->records_end && unpack->data == unpack->end ? 0 : -EBADMSG;
	unpack->at = get_record(unpack->at, unpack->records_end, ret_record, &unpack->prev);
	if (!unpack->at || ret_record->length > (uint64_t)(unpack->end - unpack->data))
		return -EBADMSG;
	*ret_data = unpack->data;
	unpack->data += ret_record->length;
	unpack->left--;
	return 1;
}

static int decode_records(struct segment *segment, struct segment_unpack *unpack)
{
	const uint8_t *start = unpack->data, *data = start;
	int r;

	for (uint32_t i = 0; i < segment->count; i++) {
		r = segment_unpack_next(unpack, &segment->records[i], &data);
		if (r < 0)
			return r;
		segment->records[i].offset = (uint32_t)(data - start);
	}
	r = segment_unpack_next(unpack, NULL, &data); /* there is no more */
	if (r < 0)
		return r;
	segment->ended = segment->count;
	segment->n_recorded = segment->count;
	return buffer_add(&segment->bytes, start, (size_t)(unpack->end - start));
}

int segment_decode(uint64_t first, const void *blob, size_t len, struct segment **ret_segment)
{
	struct segment_unpack unpack;
	struct segment *segment;
	int r;

	if (first % SEGMENT_TASKS != 0 || segment_unpack_begin(blob, len, &unpack) < 0)
		return -EBADMSG;
	segment = segment_new(first, unpack.left);
	if (!segment)
		return -ENOMEM;
	segment->special = (((const uint8_t *)blob)[1] & SEGMENT_SPECIAL) != 0;
	r = decode_records(segment, &unpack);
	if (r < 0) {
		segment_unref(segment);
		return r;
	}
	*ret_segment = segment;
	return 0;
}

int task_record_encode(const struct task_record *record, const void *data, struct buffer *ret_blob)
{
	struct segment_previous prev = { 0 };
	uint8_t *at;

	assert(record->state >= TASK_DONE);
	if (buffer_reserve(ret_blob, 1 + SEGMENT_RECORD_BYTES + (size_t)record->length) < 0)
		return -ENOMEM;
	at = ret_blob->data + ret_blob->len;
	*at++ = CODEC_VERSION;
	at = put_record(at, record, &prev);
	ret_blob->len = (size_t)(at - ret_blob->data);
	return buffer_add(ret_blob, data, record->length); /* room was reserved */
}

int task_record_decode(const void *blob, size_t len, struct task_record *ret_record, const uint8_t **ret_data)
{
	const uint8_t *at = blob;
	const uint8_t *end = at + len;
	struct task_record record = { .offset = 0 };
	struct segment_previous prev = { 0 };

	if (len < 1 || *at != CODEC_VERSION)
		return -EBADMSG;
	at = get_record(at + 1, end, &record, &prev);
	if (!at || (uint64_t)(end - at) != record.length)
		return -EBADMSG;
	*ret_record = record;
	*ret_data = at;
	return 0;
}
