/* The inputs of one job: packed rows, a window of which is in memory.
 *
 * A durable job's rows are in the store and this is a cache of them: of those that were handed out INPUTS_RESIDENT_BYTES at
 * most, of those to come as many again, read ahead in the order of tasks, or what came with the submission while all durable
 * jobs have little enough in memory. A job that is not kept has its rows here, in memory up to the same size, beyond that
 * while all such jobs have little enough there, and else in its spill file. The control thread's.
 */
#ifndef CONCD_JOBS_INPUTS_H
#define CONCD_JOBS_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "jobs/spill.h"

struct store;

#define INPUTS_ROW_BYTES (128u << 10) /* of one row, unless a single input is larger */
#define INPUTS_RESIDENT_BYTES (512u << 10)
#define INPUTS_SHARED_BYTES (32u << 20) /* while memory that jobs share is below, a job not on disk keeps more */
#define INPUTS_CACHED_BYTES (16u << 20) /* while all durable jobs have less in memory, one keeps what else were read back at once */

struct input_row {
	uint64_t first;
	uint32_t count;
	uint32_t bytes;
	uint8_t *packed; /* owned; NULL: spilled */
	uint32_t *offsets; /* owned; of every 64th task in packed; NULL with it */
	uint64_t spilled_at;
	uint64_t used; /* when it was last looked at, for eviction */
};

struct inputs {
	struct input_row *rows; /* sorted by first; of a durable job those in memory, else all */
	size_t n, cap;
	uint64_t resident_bytes;
	uint64_t total; /* tasks that have an input */
	uint64_t clock;

	/* A durable job's rows come from here. */
	struct store *store; /* NULL: not durable */
	uint64_t job;
	struct inputs_load *loading[2]; /* reads under way: what is wanted, and ahead of it */

	struct spill spill;
	const char *spill_dir;
	uint64_t *shared_bytes; /* of a job that is not on disk: its resident_bytes are counted here too; not owned; NULL: nowhere */
	uint64_t *cached_bytes; /* the same of a durable one */
	uint64_t last_row; /* a durable job's: first task of the row that was looked at last */

	void (*on_loaded)(struct inputs *inputs); /* after a read, also a failed one */
	int load_error; /* of the last failed read; peeks return it */
};

/* Nothing in it. store NULL: the job is not durable and spills into spill_dir (not copied). */
void inputs_init(struct inputs *inputs, struct store *store, uint64_t job, const char *spill_dir,
		 void (*on_loaded)(struct inputs *inputs));
/* Reads under way are abandoned: their answers are dropped. */
void inputs_fini(struct inputs *inputs);

/* Give back what is in memory of a durable job's; it is read again when it is wanted. */
void inputs_put_out(struct inputs *inputs);
/* The same of a job that is not on disk, into its spill file: rows of `bytes` at most, or a little more, and at most *most
 * (counted down). 0 or -errno. */
int inputs_spill(struct inputs *inputs, uint64_t bytes, uint32_t *most);

/* Cut packed inputs into rows, checking them. Appends to *ret_rows (malloc'ed, the caller's, freed with
 * input_rows_free) rows numbered from `first`. The number of tasks; -EBADMSG: malformed; -EMSGSIZE: an input over
 * max_input_bytes; -ENOMEM. */
int64_t inputs_cut(const uint8_t *packed, size_t bytes, uint64_t first, size_t max_input_bytes,
		   struct input_row **ret_rows, size_t *ret_n);
void input_rows_free(struct input_row *rows, size_t n); /* NULL is fine, whatever n */

/* Take the rows over, whatever the outcome (the array is freed): the tasks that follow those there are. Of a durable job
 * only what the window still has room for is kept. 0; -errno of the spill file or -ENOMEM: the job cannot go on. */
int inputs_add(struct inputs *inputs, struct input_row *rows, size_t n);

/* Packed inputs from `task` on: at most max_tasks and max_bytes, at least one task. Valid until the loop is returned
 * to. 0; -EAGAIN: being read, on_loaded follows; -ENOENT: no such task; -EBADMSG: damaged on the disk; -EIO, -ENOMEM. */
int inputs_peek(struct inputs *inputs, uint64_t task, uint32_t max_tasks, size_t max_bytes, const uint8_t **ret_packed,
		size_t *ret_bytes, uint32_t *ret_count);

#endif
