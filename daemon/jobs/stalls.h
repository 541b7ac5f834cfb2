/* Tasks of a job that held their runner for longer than `stall`: the longest are kept, also for when the job has ended; the
 * others are counted. The control thread's. */
#ifndef CONCD_JOBS_STALLS_H
#define CONCD_JOBS_STALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct crew_stall;

#define STALLS_KEPT 10
#define STALLS_INPUT_BYTES 160

/* One that is kept. */
struct stall {
	uint64_t task; /* or a step of a divided one */
	uint32_t worker_pid;
	uint16_t worker_thread;
	bool ended; /* false: it goes on, as far as known */
	bool logged; /* so is its end to be */
	int64_t since_ns; /* CLOCK_MONOTONIC; 0: of an earlier daemon */
	int64_t since_unix_us;
	int64_t held_ns; /* so far; in all once it has ended */
	uint64_t input_len; /* of the whole input */
	size_t input_kept; /* bytes of it in `input` */
	uint8_t input[STALLS_INPUT_BYTES];
	char *stack; /* a frame a line; owned */
};

struct stalls {
	uint64_t count;
	uint64_t dropped; /* of these: told of by number only */
	size_t n;
	struct stall kept[STALLS_KEPT];
};

void stalls_free(struct stalls *stalls); /* NULL is fine */
/* Take note of the begin or the end of one. The entry, valid until the next call; NULL: an end of one that is not kept, or
 * no memory. */
struct stall *stalls_note(struct stalls *stalls, const struct crew_stall *news, int64_t unix_offset_us);
/* The task came to its end at end_ns: so did its stall. The entry that was open; NULL: none. */
struct stall *stalls_task_ended(struct stalls *stalls, uint64_t task, int64_t end_ns);

/* To the disk and back. 0, -ENOMEM; -EBADMSG. */
int stalls_encode(const struct stalls *stalls, struct buffer *b);
int stalls_decode(const void *data, size_t bytes, struct stalls **ret_stalls);

#endif
