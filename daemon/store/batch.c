/* The writer's transactions. An op that is at fault itself (a key that is there) does not spoil its batch: the batch runs again
 * with a savepoint before each op. Batches without such an op, all of them usually, pay nothing for it.
 */
#include "writer.h"

#include <errno.h>

#include "base/clock.h"

void batch_roll_back(struct writer *w)
{
	/* A full disk may have rolled back already. Where this fails the next BEGIN does, and says why. */
	if (!sqlite3_get_autocommit(w->db))
		(void)db_exec(w->db, "ROLLBACK");
}

static int run_with_savepoint(struct writer *w, struct store_op *op)
{
	int r = db_exec(w->db, "SAVEPOINT op");

	if (r < 0)
		return r;
	op->status = write_op(w->statements, op);
	if (write_op_own_fault(op->status)) {
		r = db_exec(w->db, "ROLLBACK TO op");
		return r < 0 ? r : db_exec(w->db, "RELEASE op");
	}
	return op->status < 0 ? op->status : db_exec(w->db, "RELEASE op");
}

/* 0; -EAGAIN: it is at fault and has changed rows, which only a savepoint could undo; else the batch's failure. */
static int run_without_savepoint(struct writer *w, struct store_op *op)
{
	int before = sqlite3_total_changes(w->db);

	op->status = write_op(w->statements, op);
	if (!write_op_own_fault(op->status))
		return op->status;
	return sqlite3_total_changes(w->db) == before ? 0 : -EAGAIN;
}

static int try_batch(struct writer *w, const struct op_list *batch, bool savepoints)
{
	int r = query_run(&w->begin, NULL);

	for (struct store_op *op = batch->first; op && r == 0; op = op->next)
		r = savepoints ? run_with_savepoint(w, op) : run_without_savepoint(w, op);
	if (r == 0)
		r = grow_for_commit(&w->grow);
	if (r == 0)
		r = query_run(&w->commit, NULL);
	if (r < 0)
		batch_roll_back(w);
	return r;
}

void batch_checkpoint(struct writer *w)
{
	int in_log = 0, moved = 0;
	int rc = mark_checkpoint(w->db, &in_log, &moved);

	/* A reader in its transaction keeps some back, a full disk all: the next idle moment tries again. */
	if (rc == SQLITE_OK && moved >= in_log)
		w->wal_pages = 0;
	w->wal_commits = 0; /* nor is one that was kept from it tried again after each commit */
	w->idle_ns = rc == SQLITE_OK ? WRITER_IDLE_NS : WRITER_RETRY_NS;
}

/* What is committed into a file that is not at its place any more is lost with the process. */
static bool is_gone(struct writer *w)
{
	int moved = 0;

	return sqlite3_file_control(w->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

int batch_run(struct writer *w, const struct op_list *batch)
{
	int r = is_gone(w) ? -ESTALE : try_batch(w, batch, false);

	if (r == -ENOSPC) { /* the log may begin anew in the room that it has */
		batch_checkpoint(w);
		r = try_batch(w, batch, false);
	}
	return r == -EAGAIN ? try_batch(w, batch, true) : r;
}
