/* What the files of the writer thread share: writer.c has the thread, batch.c its transactions, removal.c the rows of deleted jobs. */
#ifndef CONCD_STORE_WRITER_H
#define CONCD_STORE_WRITER_H

#include "private.h"

#define WRITER_RETRY_NS (1 * NS_PER_S)
#define WRITER_IDLE_NS (100 * NS_PER_MS)

struct writer {
	struct store *store;
	sqlite3 *db;
	struct statements *statements;
	struct query begin, commit;
	struct grow grow;

	struct op_list waiting; /* taken and not committed, in order */
	struct op_list deleting; /* STORE_JOB_DELETE, committed as doomed; rows are being removed */
	bool doomed; /* some rows may be left to remove: of `deleting`, or of an earlier run */
	int64_t doomed_retry_ns; /* after a failure; 0: at once */
	bool making_room; /* the disk is full and rows are being removed: all else waits for it */

	int stalled; /* -errno of the last failure; 0: all is well */
	int64_t retry_ns;
	int64_t logged_ns; /* when a stall was last logged; 0: never */
	bool announced; /* the stall now on was logged: its end will be */

	int wal_pages; /* in the log and perhaps not in the database */
	unsigned int wal_commits; /* since it was last tried to move them there */
	int64_t idle_ns; /* without work for so long: the burst is over */
	bool vacuum; /* there may be free pages to give back */
	int64_t sized_ns; /* when the files' sizes were last looked at */
	bool reserve_missing;
	int64_t reserve_retry_ns;
};


/* ---- Transactions (batch.c) ---- */

void batch_roll_back(struct writer *w);
/* Run and commit; every op then has its status. Or nothing of it happened: -errno of the database or the disk. */
int batch_run(struct writer *w, const struct op_list *batch);
/* Move the log's pages into the database, so that the log begins anew. Readers are not disturbed. */
void batch_checkpoint(struct writer *w);

/* ---- Removing rows (removal.c) ---- */

/* Deletions make room, so while nothing can be written they go first, at the reserve's expense; but not before an op of
 * the same job that waits. */
void removal_first(struct writer *w);
void removal_slice(struct writer *w); /* some of the rows of doomed jobs */
void removal_vacuum(struct writer *w); /* free pages beyond what is kept, some of them */
/* All deletions out are reported as they are: their jobs are gone, the rows go at the next start. */
void removal_abandon(struct writer *w);

/* ---- Reporting and failing (writer.c) ---- */

bool writer_closing(struct writer *w);
/* A batch is on disk: report it, but deletions only when their rows are gone. */
void writer_report(struct writer *w, struct op_list *batch);
void writer_stall(struct writer *w, int r); /* nothing can be written, for this reason: -errno */
void writer_refuse(struct writer *w, int r, bool all); /* give back the ops that cannot wait: those that may fail, or all */

#endif
