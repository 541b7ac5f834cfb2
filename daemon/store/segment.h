/* A segment: the outcomes of up to SEGMENT_TASKS consecutive tasks of one job, in memory and as a packed row.
 *
 * While tasks of it are unfinished a segment is *open* and belongs to the control thread, which fills it in any order.
 * Once every task has ended it is *full* and never changes again: the writer thread may then read it (to pack it)
 * while the control thread streams from it. References are counted by the control thread alone.
 */
#ifndef CONCD_STORE_SEGMENT_H
#define CONCD_STORE_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"

#define SEGMENT_TASKS 4096

enum task_state { TASK_QUEUED, TASK_RUNNING, TASK_DONE, TASK_FAILED, TASK_CANCELLED };

/* Why a task failed; the names are those of the protocol's `error.code` (task_error_name). */
enum task_error {
	TASK_ERROR_NONE,
	TASK_ERROR_INVALID_INPUT,
	TASK_ERROR_FAILED,
	TASK_ERROR_TIMEOUT,
	TASK_ERROR_CRASHED,
	TASK_ERROR_QUARANTINED,
	TASK_ERROR_INTERRUPTED,
	TASK_ERROR_WORKER_INIT,
	TASK_ERROR_TOO_LARGE,
	TASK_ERROR_CANCELLED,
	TASK_ERROR_COUNT,
};

const char *task_state_name(enum task_state state); /* "queued" ... */
const char *task_error_name(enum task_error error); /* "invalid-input" ..., "" for NONE */

/* One task's outcome. Result or error message lie in the segment's bytes. wait = wall - cpu - runq. */
struct task_record {
	uint32_t offset; /* into segment.bytes */
	uint32_t length;
	int64_t begin_unix_us; /* of its last attempt; 0: never begun */
	float wall_s, cpu_s, runq_s;
	float queue_s; /* from ready to begun */
	uint32_t worker_pid; /* 0: never ran */
	uint16_t worker_thread; /* the runner's number in its process */
	uint16_t attempts;
	uint8_t state; /* enum task_state: QUEUED (open), else ended */
	uint8_t error; /* enum task_error */
	uint8_t signal; /* that ended its worker; 0: none */
	bool recorded; /* on disk, before its segment is: ask segment_recorded() */
};

struct segment {
	uint64_t first; /* number of its first task: a multiple of SEGMENT_TASKS */
	uint32_t count; /* tasks in it; of an open job's last segment SEGMENT_TASKS until the job is closed */
	uint32_t ended; /* tasks with an outcome */
	uint32_t n_recorded; /* count: all, whatever the records say */
	bool special; /* some result holds a backslash, TAB, CR, LF or NUL: lines need escaping */
	unsigned int refs; /* control thread */
	struct task_record *records; /* count of them */
	struct buffer bytes;
};

/* All tasks QUEUED, one reference. NULL: out of memory. */
struct segment *segment_new(uint64_t first, uint32_t count);
struct segment *segment_ref(struct segment *segment);
void segment_unref(struct segment *segment); /* NULL is fine */

/* Record how a task ended: copies the outcome (its offset and length are set here) and the bytes. 0; -EALREADY: it has
 * an outcome; -ENOMEM; -EMSGSIZE: more than 4 GiB of results in one segment. */
int segment_put(struct segment *segment, uint32_t index, const struct task_record *outcome, const void *data,
		size_t len);
/* The same for results (TASK_DONE) of consecutive tasks, in place: segment_fill_begin() makes room for `n` of them with
 * `bytes` bytes in all, from the index-th on, or fails as segment_put() and changes nothing; segment_fill() is then called for
 * each, in order, and segment_fill_end() last. */
struct segment_fill {
	struct segment *segment;
	struct task_record *record; /* of the next one */
	uint32_t offset; /* of its bytes */
	uint32_t n;
};

int segment_fill_begin(struct segment *segment, uint32_t index, uint32_t n, size_t bytes, struct segment_fill *ret_fill);
void segment_fill_end(struct segment_fill *fill);

#define SEGMENT_SPARE_BYTES 16 /* behind what a run was given room for */

/* `data` has outcome->length bytes, and can be read up to the next multiple of 8 behind them. The outcome's offset is set here;
 * `recorded` is the same for all of a run. */
static inline void segment_fill(struct segment_fill *fill, const struct task_record *outcome, const uint8_t *data)
{
	uint8_t *to = fill->segment->bytes.data + fill->offset;

	/* Most are short, and copied whole whatever their length: what is too much is overwritten by the next. */
	if (outcome->length > 16)
		memcpy(to, data, outcome->length);
	else if (outcome->length > 8)
		memcpy(to, data, 16);
	else if (outcome->length > 0)
		memcpy(to, data, 8);
	*fill->record = *outcome;
	fill->record->offset = fill->offset;
	fill->record++;
	fill->offset += outcome->length;
	fill->n++;
}

static inline bool segment_full(const struct segment *segment)
{
	return segment->ended == segment->count;
}

static inline bool segment_recorded_whole(const struct segment *segment)
{
	return segment->n_recorded == segment->count;
}

/* Is the outcome on disk (or, of a job that is not durable, kept), so that it may be shown? */
static inline bool segment_recorded(const struct segment *segment, uint32_t index)
{
	return segment_recorded_whole(segment) || segment->records[index].recorded;
}

/* What a full segment adds to its job. */
struct segment_sums {
	uint64_t done, failed, cancelled;
	double cpu_s, wait_s, runq_s;
};
void segment_sum(const struct segment *segment, struct segment_sums *ret_sums); /* any thread, of a full segment */

/* The packed form: a version byte, then per task varints with what is usual left out, then the bytes in task order.
 * encode: a full segment; any thread. 0 or -ENOMEM. decode: untrusted bytes; every task recorded. 0, -EBADMSG,
 * -ENOMEM. */
int segment_encode(const struct segment *segment, struct buffer *ret_blob);
int segment_decode(uint64_t first, const void *blob, size_t len, struct segment **ret_segment);

/* The same of `n` consecutive tasks that have ended, `bytes` bytes of results in all: at `at`, where there is room for
 * SEGMENT_HEAD_BYTES, SEGMENT_RECORD_BYTES for each of them, and the results. Returns behind it. */
#define SEGMENT_HEAD_BYTES (2 + 2 * VARINT_MAX_BYTES)
#define SEGMENT_RECORD_BYTES 80 /* flags and every field at its longest */
uint8_t *segment_encode_run(const struct segment *segment, uint32_t from, uint32_t n, size_t bytes, uint8_t *at);

/* What a record is written against: the one before. Unsigned throughout: what untrusted bytes overflow wraps, defined. */
struct segment_previous {
	uint64_t begin_us;
	uint64_t wall_ns;
	uint64_t queue_ns;
	uint64_t length;
	uint64_t pid;
	uint64_t thread;
};

/* Reading the packed form task by task, without memory for all of them. Points into the blob, which is untrusted. */
struct segment_unpack {
	uint32_t left; /* tasks to come */
	const uint8_t *at, *records_end;
	const uint8_t *data, *end; /* results */
	struct segment_previous prev;
};

int segment_unpack_begin(const void *blob, size_t len, struct segment_unpack *ret_unpack); /* 0, -EBADMSG */
/* 1: the next one, but for its offset, and where its result lies; 0: there is no more, and nothing behind it; -EBADMSG. */
int segment_unpack_next(struct segment_unpack *unpack, struct task_record *ret_record, const uint8_t **ret_data);

/* The same for a single outcome (the rows of finished tasks while their segment is open); record->length says how much
 * data there is. Both encoders append. */
int task_record_encode(const struct task_record *record, const void *data, struct buffer *ret_blob);
int task_record_decode(const void *blob, size_t len, struct task_record *ret_record, const uint8_t **ret_data);

#endif
