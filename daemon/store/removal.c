/* Rows of deleted jobs, which the writer removes slice by slice between its batches, and the room that they leave. */
#include "writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

#define SLICE_NS (4 * NS_PER_MS) /* of removing rows, between two batches */
#define SLICE_JOBS 256 /* that may end in one slice */
#define SPARE_BYTES (64 * 1024 * 1024) /* free pages that stay in the file for what comes next */
#define VACUUM_BYTES (4 * 1024 * 1024) /* given back at a time */
#define VACUUM_BYTES_STALLED (256 * 1024) /* has to fit the reserve */

static bool concerns(const struct store_op *op, uint64_t job)
{
	return op->job == job || (op->type == STORE_JOB_ADD && op->u.add.job.id == job);
}

void removal_first(struct writer *w)
{
	struct op_list deletions, others;
	struct store_op *op;

	op_list_init(&deletions);
	op_list_init(&others);
	while ((op = op_list_take(&w->waiting))) {
		bool first = op->type == STORE_JOB_DELETE;

		for (const struct store_op *o = others.first; o && first; o = o->next)
			first = !concerns(o, op->job);
		op_list_add(first ? &deletions : &others, op);
	}
	if (deletions.first) {
		reserve_give_up(w->store->path);
		w->reserve_missing = true;
		if (batch_run(w, &deletions) == 0) {
			writer_report(w, &deletions);
			w->doomed_retry_ns = 0;
			w->making_room = true;
			w->retry_ns = 0; /* what waits is tried when the rows are gone */
		}
	}
	op_list_join(&w->waiting, &deletions);
	op_list_join(&w->waiting, &others);
}

/* Have free pages of so many bytes cut off the file. 0 or -errno. */
static int give_back(struct writer *w, int64_t bytes)
{
	char pragma[64];

	(void)snprintf(pragma, sizeof(pragma), "PRAGMA incremental_vacuum(%" PRId64 ")", bytes / w->grow.page_bytes); /* fits */
	return db_exec(w->db, pragma);
}

/* Jobs whose last rows went in a slice. */
struct gone {
	uint64_t jobs[SLICE_JOBS];
	size_t n;
};

/* Remove rows for a few milliseconds, in one transaction; for one step only where room is short. 1: more are left; 0. */
static int slice(struct writer *w, struct gone *ret_gone)
{
	int64_t until_ns = clock_mono_ns() + SLICE_NS;
	int r = query_run(&w->begin, NULL), more = 1;

	ret_gone->n = 0;
	while (r >= 0 && ret_gone->n < SLICE_JOBS) {
		uint64_t job = 0;

		r = doomed_find(w->statements, &job);
		if (r == -ENOENT) {
			more = r = 0;
			break;
		}
		if (r == 0)
			r = doomed_slice(w->statements, job);
		if (r == 0)
			ret_gone->jobs[ret_gone->n++] = job;
		if (w->making_room || clock_mono_ns() >= until_ns)
			break;
	}
	if (r >= 0)
		r = query_run(&w->commit, NULL);
	if (r < 0)
		batch_roll_back(w);
	return r < 0 ? r : more;
}

/* Their rows are gone: tell whoever asked for it. */
static void report_deleted(struct writer *w, const struct gone *gone)
{
	struct op_list keep, done;
	struct store_op *op;

	op_list_init(&keep);
	op_list_init(&done);
	while ((op = op_list_take(&w->deleting))) {
		bool is_gone = false;

		for (size_t i = 0; i < gone->n && !is_gone; i++)
			is_gone = gone->jobs[i] == op->job;
		op_list_add(is_gone ? &done : &keep, op);
	}
	op_list_join(&w->deleting, &keep);
	store_report_ops(w->store, &done);
}

void removal_slice(struct writer *w)
{
	struct gone gone;
	int r = slice(w, &gone);

	if (r == -ENOSPC) {
		reserve_give_up(w->store->path);
		w->reserve_missing = true;
		w->making_room = true;
		batch_checkpoint(w);
		r = slice(w, &gone);
	}
	w->doomed_retry_ns = r < 0 ? clock_mono_ns() + WRITER_RETRY_NS : 0;
	if (r < 0) {
		w->making_room = false;
		writer_stall(w, r);
		writer_refuse(w, r, writer_closing(w));
		return;
	}
	w->vacuum = true;
	if (w->making_room) { /* give back what was freed before more is written */
		(void)give_back(w, VACUUM_BYTES_STALLED); /* where it fails, pages stay free inside the file */
		batch_checkpoint(w);
	}
	report_deleted(w, &gone);
	if (r == 0) {
		w->doomed = false;
		w->making_room = false;
	}
}

void removal_abandon(struct writer *w)
{
	store_report_ops(w->store, &w->deleting);
}

void removal_vacuum(struct writer *w)
{
	int64_t free_pages = 0;

	if (w->stalled || db_get_int(w->db, "PRAGMA freelist_count", &free_pages) < 0 ||
	    free_pages * w->grow.page_bytes <= SPARE_BYTES || give_back(w, VACUUM_BYTES) < 0)
		w->vacuum = false;
}
