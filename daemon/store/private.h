/* What the files of the store share. */
#ifndef CONCD_STORE_PRIVATE_H
#define CONCD_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "db.h"
#include "segment.h"
#include "store.h"

/* A queue of ops or reads, oldest first. */
struct op_list {
	struct store_op *first;
	struct store_op **end; /* where the next one goes */
};

struct read_list {
	struct store_read *first;
	struct store_read **end;
};

void op_list_init(struct op_list *list);
void op_list_add(struct op_list *list, struct store_op *op);
void op_list_join(struct op_list *list, struct op_list *tail); /* tail is empty afterwards */
struct store_op *op_list_take(struct op_list *list); /* the first one; NULL: empty */

/* Has the loop call back for what is finished. Memory of its own, because a call that is still posted when the store
 * closes runs later. */
struct bell {
	struct loop_call call;
	struct store *store; /* NULL: closed meanwhile */
};

struct store {
	/* Constant while the threads run. */
	struct loop *loop;
	char *path;
	char *damaged; /* words on a damaged store that was there at the start; NULL: there was none */
	pthread_t writer_thread, reader_thread;
	bool writer_started, reader_started;
	struct writer *writer; /* the writer thread's */
	struct store_reader *reader; /* the reader thread's */

	/* The control thread's. */
	sqlite3 *db; /* for what is read at start-up */
	struct bell *bell;
	uint64_t ops_out, reads_out; /* submitted and not reported */
	bool gathering;
	struct op_list gathered; /* submitted meanwhile, or late */
	struct event *late_event; /* queues the late ones */
	int64_t late_ns; /* since when the first of them has waited; 0: there are none */
	int64_t answered_ns; /* when a lone submission was answered, nothing having come since; 0: none was */

	pthread_mutex_t lock; /* held for a few instructions only: */
	pthread_cond_t writer_wake, reader_wake, finished; /* CLOCK_MONOTONIC */
	struct op_list ops, ops_done;
	struct read_list reads, reads_done;
	bool writer_waits; /* for writer_wake */
	int64_t expected_ns; /* until when an op is about to come and the writer stays awake; 0: none is */
	bool in_a_row; /* submissions come one by one, each as soon as the one before is answered */
	atomic_uint n_calls; /* raised, with the lock, by whatever ends the writer's staying awake; read without it: relaxed */
	bool closing; /* nothing may wait for room any more */
	bool stop; /* the threads end when nothing is queued */
	bool bell_posted;

	/* Written by the writer thread, read anywhere, each for itself: relaxed. */
	_Atomic(const char *) stall_why; /* static text; NULL: not stalled */
	atomic_uint_fast64_t n_commits, n_ops, n_bytes;
};

/* Hand finished ops or reads, in order, to the control thread. Any thread. */
void store_report_ops(struct store *store, struct op_list *done);
void store_report_read(struct store *store, struct store_read *read);

/* ---- Staying awake for what is about to come (expect.c) ---- */

void expect_commit(struct store *store, bool lone); /* control thread: an op was queued, a submission with nothing beside it or another */
void expect_answered(struct store *store); /* control thread: a lone submission was answered, and nothing is out */
void expect_next(struct store *store); /* with the lock, by the writer: it has done a lone submission */
void expect_over(struct store *store); /* with the lock: what the writer may be waiting for has come */
void expect_await(struct store *store); /* called and left with the lock, by the writer: stay awake while an op is expected */

/* ---- The writer thread (writer.c) ---- */

struct writer;
/* Takes db on success. */
int writer_new(struct store *store, sqlite3 *db, struct writer **ret_writer, struct error *err);
void writer_free(struct writer *writer);
void *writer_main(void *store);

/* ---- What each op does (write_op.c), and its statements (statements.c) ---- */

struct statements;
int statements_new(sqlite3 *db, struct statements **ret_statements); /* 0 or -errno */
void statements_free(struct statements *statements);
void statements_rest(struct statements *statements); /* nothing is to be done for a while: keep no large buffer */
/* Run one op inside the open transaction; what it finds for its caller (existing_job) is set in the op. 0; -EEXIST,
 * -ENOENT, -ESTALE, -EMSGSIZE: the op's own fault; else a failure of the database. */
int write_op(struct statements *statements, struct store_op *op);
bool write_op_own_fault(int r);
/* The oldest job that is doomed. 0; -ENOENT: none. */
int doomed_find(struct statements *statements, uint64_t *ret_job);
/* Remove some of its rows, in a transaction of the caller's. 1: more are left; 0: it was the last slice. */
int doomed_slice(struct statements *statements, uint64_t job);

/* ---- A damaged store (aside.c) ---- */

/* Move the closed database and its log to PATH.damaged-DATE. 0 with the new name, which is the caller's; -errno with words. */
int store_move_aside(const char *path, char **ret_aside, struct error *err);

/* ---- Whether its log is missing (mark.c) ---- */

bool mark_log_there(const char *path); /* before the first connection is opened: that makes one */
bool mark_log_lost(sqlite3 *db, bool log_there); /* as it was before that */
char *mark_words(const char *path); /* to say so; the caller's; NULL: no memory */
/* Move what can be moved from the log into the database, and mark that the log is needed from now on. What SQLite says. */
int mark_checkpoint(sqlite3 *db, int *ret_in_log, int *ret_moved);
void mark_closed(sqlite3 *db); /* by the last connection, before it is closed */

/* ---- The reserve (reserve.c) ---- */

int reserve_make(const char *db_path); /* 0 (also where it is there); -ENOSPC: no room to spare; -errno */
void reserve_give_up(const char *db_path);

/* ---- Room in the database's file (grow.c) ---- */

struct grow {
	sqlite3 *db; /* the writer's */
	int fd; /* of its file, owned; -1: none */
	struct query page_count;
	int64_t page_bytes;
};

/* Have the file grow in steps from now on. 0 or -errno. Zeroed memory may be given to grow_end(), and what was opened, also in
 * vain, to grow_close(). */
int grow_open(struct grow *grow, const char *path, sqlite3 *db);
void grow_end(struct grow *grow); /* before the connection is closed */
/* When the process has no connection to the file any more: closing any descriptor of a file drops the locks that the process has
 * on it. */
void grow_close(struct grow *grow);
/* Have room in the database for every page of the transaction before it is committed to the log: a checkpoint then never lacks
 * room, so that the log can always begin anew in the room that it has, even on a full disk. 0, -ENOSPC (also for a quota or a
 * limit of size), -EROFS, -EIO or what SQLite says. */
int grow_for_commit(struct grow *grow);

/* ---- The reader thread (reader.c) ---- */

struct store_reader;
int store_reader_new(sqlite3 *db, struct store_reader **ret_reader); /* takes db on success */
void store_reader_free(struct store_reader *reader);
void *reader_main(void *store);

/* ---- Job rows (job_row.c) ---- */

#define JOB_COLUMNS \
	"id, submission, workload, spec, uid, created_us, state, open, total, started_us, ended_us, done, failed, " \
	"cancelled, cpu_s, wait_s, runq_s, wall_s, peak_rss, error_code, error_text, " \
	"priority, stalls"
#define JOB_N_COLUMNS 23
/* The row under q, with texts that are valid until its next step. 0 or -ENOMEM. */
int job_row_read(struct query *q, struct store_recovered_job *ret_job);
/* Is the row under q one of those that a STORE_READ_JOBS with `look` is for? Also where there is no memory to tell. */
bool job_row_fits(struct query *q, const struct store_read *read);
/* Give it texts of its own. 0 or -ENOMEM (and then it has none). */
int job_row_own(struct store_recovered_job *job);
void job_row_fini(struct store_recovered_job *job);

#endif
