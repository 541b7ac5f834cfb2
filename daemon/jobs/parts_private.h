/* What the files of the divided tasks share: parts.c (their life), parts_disk.c (rows, and what a restart makes of them). */
#ifndef CONCD_JOBS_PARTS_PRIVATE_H
#define CONCD_JOBS_PARTS_PRIVATE_H

#include "jobs/job.h"
#include "ring/step.h"
#include "store/store.h"

#define OFFSET_EVERY 64 /* parts whose place in the packed inputs is known */

struct result {
	uint32_t offset, len; /* in division.results */
	bool done;
};

/* Outcomes of parts that wait for the operation that is out. */
struct unwritten {
	struct buffer blobs;
	struct store_task *steps;
	size_t n, cap;
};

enum phase { PHASE_RECORDING, PHASE_RUNNING, PHASE_COMBINING };

struct division {
	struct job *job;
	uint64_t task;
	UT_hash_handle hh; /* job->parts.open */
	enum phase phase;
	bool failing; /* `failure` will be the task's outcome once no step is left */
	uint32_t n_parts, n_done;
	uint32_t left; /* steps of this phase that have not ended */
	uint64_t bytes; /* counted in job->parts.bytes */

	uint8_t *packed; /* inputs of the parts; owned */
	size_t packed_bytes;
	uint32_t *offsets; /* of every 64th; owned */
	struct result *at; /* n_parts of them; owned */
	struct buffer results; /* in the order in which they came */
	size_t results_packed_bytes;
	struct buffer combine; /* the input of the combining, packed */

	/* What the task's record will say: sums over its steps. */
	struct task_record record;
	double wall_s, cpu_s, runq_s;
	struct task_record failure;
	char *failure_text; /* owned; NULL: no memory */

	struct unwritten unwritten;
	bool writing; /* an operation is out */
	bool closed; /* the task has its outcome: freed when the operation comes back */
};

/* parts.c */
struct division *division_find(const struct job *job, uint64_t number); /* of a task or a step; NULL: not divided */
/* A division with these parts, in the table. 0, -EBADMSG, -ENOMEM. */
int division_new(struct job *job, uint64_t task, const void *packed, size_t bytes, struct division **ret_d);
void division_free(struct division *d); /* that is closed */
void division_add_times(struct division *d, const struct task_record *record);
/* 0; -EMSGSIZE: with it the results are too large; -ENOMEM. */
int division_keep_result(struct division *d, uint32_t part, const void *data, size_t len);
/* The parts may begin; status: of their recording. */
void division_start(struct division *d, int status);
void division_combine(struct division *d); /* every part is done */

/* parts_disk.c */
/* Add a row to those that wait; 0 or -ENOMEM. */
int division_add_row(struct division *d, uint32_t step, const struct task_record *record, const void *data);
/* Have what waits written, unless an operation is out. Without memory it waits for the next outcome; a restart would run
 * those parts again. */
void division_write(struct division *d);

#endif
