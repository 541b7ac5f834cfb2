/* The writer thread: takes all that is queued, runs it in one transaction, reports. When nothing is queued it removes
 * doomed jobs slice by slice, moves the log into the database, and gives room back.
 *
 *	queued --take--> waiting --commit--> reported
 *	                 ^     |
 *	                 +-----+ failed: may_fail ops come back, the others wait for the next attempt
 *
 * An op that is at fault itself (a key that is there) does not spoil its batch: the batch runs again with a savepoint
 * before each op. Batches without such an op, all of them usually, pay nothing for it.
 */
#include "private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define RETRY_NS (1 * NS_PER_S)
#define SLICE_NS (4 * NS_PER_MS) /* of removing rows, between two batches */
#define SLICE_JOBS 256 /* that may end in one slice */
#define IDLE_NS (100 * NS_PER_MS)
#define RESERVE_RETRY_NS (30 * NS_PER_S)
#define LOG_EVERY_NS (60 * NS_PER_S) /* a disk that fills up again and again says so once a minute */
/* Not only when a burst is over: small commits are faster where they overwrite the log than where they make it longer. */
#define CHECKPOINT_BYTES (62 * 1024 * 1024)
#define CHECKPOINT_COMMITS 256
#define SPARE_BYTES (64 * 1024 * 1024) /* free pages that stay in the file for what comes next */
#define VACUUM_BYTES (4 * 1024 * 1024) /* given back at a time */
#define VACUUM_BYTES_STALLED (256 * 1024) /* has to fit the reserve */
#define NOTE_SIZE_NS (50 * NS_PER_MS) /* not after each commit: it takes a tenth of a small one's time */

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

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct writer *w = arg;

	(void)db;
	(void)name; /* there is one database */
	w->wal_pages = pages;
	w->wal_commits++;
	return SQLITE_OK;
}

int writer_new(struct store *store, sqlite3 *db, struct writer **ret_writer, struct error *err)
{
	struct writer *w = calloc(1, sizeof(*w));
	int r = -ENOMEM;

	if (w)
		r = grow_open(&w->grow, store->path, db);
	if (r == 0)
		r = statements_new(db, &w->statements);
	if (r == 0)
		r = query_prepare(&w->begin, db, "BEGIN IMMEDIATE");
	if (r == 0)
		r = query_prepare(&w->commit, db, "COMMIT");
	if (r < 0) {
		writer_free(w);
		return error_set(err, r, "internal", "the store '%s': %s", store->path, sqlite3_errmsg(db));
	}
	w->store = store;
	w->db = db;
	w->doomed = true;
	w->wal_pages = 1; /* whatever the last run left */
	w->idle_ns = IDLE_NS;
	op_list_init(&w->waiting);
	op_list_init(&w->deleting);
	sqlite3_wal_hook(db, on_wal, w);
	*ret_writer = w;
	return 0;
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	statements_free(w->statements);
	query_finish(&w->begin);
	query_finish(&w->commit);
	grow_end(&w->grow);
	if (w->db)
		mark_closed(w->db);
	db_close(w->db);
	grow_close(&w->grow);
	free(w);
}

/* ---- The log ---- */

/* Move the log's pages into the database, so that the log begins anew. Readers are not disturbed. */
static void checkpoint(struct writer *w)
{
	int in_log = 0, moved = 0;
	int rc = mark_checkpoint(w->db, &in_log, &moved);

	/* A reader in its transaction keeps some back, a full disk all: the next idle moment tries again. */
	if (rc == SQLITE_OK && moved >= in_log)
		w->wal_pages = 0;
	w->wal_commits = 0; /* nor is one that was kept from it tried again after each commit */
	w->idle_ns = rc == SQLITE_OK ? IDLE_NS : RETRY_NS;
}

/* ---- Transactions ---- */

static void roll_back(struct writer *w)
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
		roll_back(w);
	return r;
}

/* What is committed into a file that is not at its place any more is lost with the process. */
static bool is_gone(struct writer *w)
{
	int moved = 0;

	return sqlite3_file_control(w->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

/* Run and commit; every op then has its status. Or nothing of it happened. */
static int run_batch(struct writer *w, const struct op_list *batch)
{
	int r = is_gone(w) ? -ESTALE : try_batch(w, batch, false);

	if (r == -ENOSPC) { /* the log may begin anew in the room that it has */
		checkpoint(w);
		r = try_batch(w, batch, false);
	}
	return r == -EAGAIN ? try_batch(w, batch, true) : r;
}

static void note_size(struct writer *w, int64_t now_ns)
{
	char log_path[4096];
	uint64_t bytes = 0;
	struct stat st;

	w->sized_ns = now_ns;
	if (stat(w->store->path, &st) == 0)
		bytes += (uint64_t)st.st_size;
	if (snprintf(log_path, sizeof(log_path), "%s-wal", w->store->path) < (int)sizeof(log_path) &&
	    stat(log_path, &st) == 0)
		bytes += (uint64_t)st.st_size;
	atomic_store_explicit(&w->store->n_bytes, bytes, memory_order_relaxed); /* for statistics */
}

/* ---- Stalls ---- */

static const char *stall_text(int r)
{
	switch (r) {
	case -ENOSPC:
		return "the disk of the state directory is full";
	case -ENOMEM:
		return "out of memory";
	case -EBUSY:
		return "another program holds the store locked";
	case -EBADMSG:
		return "the store is damaged";
	case -EROFS:
		return "the disk of the state directory is read-only";
	case -ESTALE:
		return "its file was moved, removed or replaced: put it back, or end concd";
	default:
		return "the disk of the state directory fails";
	}
}

/* Somebody can mend it while the daemon runs: to those above it is as a disk that is full. */
static bool stall_passes(int r)
{
	return r == -ENOSPC || r == -EROFS || r == -ESTALE || r == -EBUSY;
}

static bool is_closing(struct writer *w)
{
	bool closing;

	pthread_mutex_lock(&w->store->lock);
	closing = w->store->closing;
	pthread_mutex_unlock(&w->store->lock);
	return closing;
}

/* Give back the ops that cannot wait: those that may fail, or all. */
static void refuse(struct writer *w, int r, bool all)
{
	struct op_list keep, refused;
	struct store_op *op;

	op_list_init(&keep);
	op_list_init(&refused);
	while ((op = op_list_take(&w->waiting))) {
		bool now = all || op->may_fail;

		if (now)
			op->status = stall_passes(r) ? -ENOSPC : -EIO;
		op_list_add(now ? &refused : &keep, op);
	}
	op_list_join(&w->waiting, &keep);
	store_report_ops(w->store, &refused);
}

static void stall(struct writer *w, int r)
{
	int64_t now_ns = clock_mono_ns();

	if (!w->announced && (w->logged_ns == 0 || now_ns - w->logged_ns > LOG_EVERY_NS)) {
		log_error("store: '%s' cannot be written: %s (%s); nothing new is accepted, results wait",
			  w->store->path, stall_text(r), strerror(-r));
		w->logged_ns = now_ns;
		w->announced = true;
	}
	w->stalled = r;
	w->retry_ns = now_ns + RETRY_NS;
	atomic_store_explicit(&w->store->stall_why, stall_text(r), memory_order_relaxed); /* a constant text */
}

static void unstall(struct writer *w, bool written)
{
	if (w->stalled)
		atomic_store_explicit(&w->store->stall_why, NULL, memory_order_relaxed);
	w->stalled = 0;
	if (written && w->announced) {
		log_info("store: '%s' can be written again", w->store->path);
		w->announced = false;
	}
}

/* ---- Committing ---- */

/* A batch is on disk: report it, but deletions only when their rows are gone. */
static void report(struct writer *w, struct op_list *batch)
{
	bool closing = is_closing(w); /* then the next run removes the rows */
	struct op_list done;
	struct store_op *op;
	uint64_t n = 0;

	op_list_init(&done);
	while ((op = op_list_take(batch))) {
		bool rows_left = op->type == STORE_JOB_DELETE && op->status == 0;

		w->doomed |= rows_left;
		n++;
		op_list_add(rows_left && !closing ? &w->deleting : &done, op);
	}
	/* relaxed: statistics */
	atomic_fetch_add_explicit(&w->store->n_commits, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&w->store->n_ops, n, memory_order_relaxed);
	store_report_ops(w->store, &done);
}

static bool concerns(const struct store_op *op, uint64_t job)
{
	return op->job == job || (op->type == STORE_JOB_ADD && op->u.add.job.id == job);
}

/* Deletions make room, so while nothing can be written they go first, at the reserve's expense; but not before an op of
 * the same job that waits. */
static void delete_first(struct writer *w)
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
		if (run_batch(w, &deletions) == 0) {
			report(w, &deletions);
			w->doomed_retry_ns = 0;
			w->making_room = true;
			w->retry_ns = 0; /* what waits is tried when the rows are gone */
		}
	}
	op_list_join(&w->waiting, &deletions);
	op_list_join(&w->waiting, &others);
}

static void commit_waiting(struct writer *w)
{
	int r = run_batch(w, &w->waiting);

	if (r < 0) {
		bool closing = is_closing(w);

		stall(w, r);
		if (r == -ENOSPC && !closing)
			delete_first(w); /* what makes room is not refused for want of it */
		refuse(w, r, closing);
		return;
	}
	unstall(w, true); /* first: whoever is told of success must not find the store stalled */
	report(w, &w->waiting);
}

/* ---- Removing rows ---- */

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
		roll_back(w);
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

static void remove_slice(struct writer *w)
{
	struct gone gone;
	int r = slice(w, &gone);

	if (r == -ENOSPC) {
		reserve_give_up(w->store->path);
		w->reserve_missing = true;
		w->making_room = true;
		checkpoint(w);
		r = slice(w, &gone);
	}
	w->doomed_retry_ns = r < 0 ? clock_mono_ns() + RETRY_NS : 0;
	if (r < 0) {
		w->making_room = false;
		stall(w, r);
		refuse(w, r, is_closing(w));
		return;
	}
	w->vacuum = true;
	if (w->making_room) { /* give back what was freed before more is written */
		(void)give_back(w, VACUUM_BYTES_STALLED); /* where it fails, pages stay free inside the file */
		checkpoint(w);
	}
	report_deleted(w, &gone);
	if (r == 0) {
		w->doomed = false;
		w->making_room = false;
	}
}

/* All deletions out are reported as they are: their jobs are gone, the rows go at the next start. */
static void abandon_deletions(struct writer *w)
{
	store_report_ops(w->store, &w->deleting);
}

/* ---- The thread ---- */

static void vacuum_slice(struct writer *w)
{
	int64_t free_pages = 0;

	if (w->stalled || db_get_int(w->db, "PRAGMA freelist_count", &free_pages) < 0 ||
	    free_pages * w->grow.page_bytes <= SPARE_BYTES || give_back(w, VACUUM_BYTES) < 0)
		w->vacuum = false;
}

static void renew_reserve(struct writer *w, int64_t now_ns)
{
	if (reserve_make(w->store->path) == 0)
		w->reserve_missing = false;
	w->reserve_retry_ns = now_ns + RESERVE_RETRY_NS;
}

/* How long the writer may sleep while nothing is submitted: until when, 0: not at all, INT64_MAX: no limit. */
static int64_t next_work_ns(const struct writer *w, int64_t now_ns)
{
	int64_t until_ns = INT64_MAX;

	if (w->waiting.first && !w->stalled)
		return 0;
	if (w->stalled)
		until_ns = w->retry_ns;
	if (w->doomed && w->doomed_retry_ns < until_ns)
		until_ns = w->doomed_retry_ns;
	if (!w->stalled && (w->wal_pages > 0 || w->vacuum) && now_ns + w->idle_ns < until_ns)
		until_ns = now_ns + w->idle_ns;
	if (!w->stalled && w->reserve_missing && w->reserve_retry_ns < until_ns)
		until_ns = w->reserve_retry_ns;
	return until_ns;
}

/* Take what is queued, or sleep until there is something to do. false: the end. *ret_idle: nothing came. */
static bool take(struct writer *w, bool *ret_idle)
{
	struct store *store = w->store;
	int64_t until_ns = next_work_ns(w, clock_mono_ns());
	struct timespec until = { .tv_sec = until_ns / NS_PER_S, .tv_nsec = until_ns % NS_PER_S };
	bool go_on, waited = false;

	pthread_mutex_lock(&store->lock);
	store->writer_waits = true;
	while (!store->ops.first && !store->stop && !(store->closing && (w->waiting.first || w->deleting.first))) {
		int r;

		if (store->expected_ns > 0) {
			expect_await(store);
			store->writer_waits = true;
			continue;
		}
		if (until_ns == INT64_MAX)
			r = pthread_cond_wait(&store->writer_wake, &store->lock);
		else if (clock_mono_ns() >= until_ns)
			break;
		else
			r = pthread_cond_timedwait(&store->writer_wake, &store->lock, &until);
		waited |= r == ETIMEDOUT;
	}
	store->writer_waits = false;
	store->expected_ns = 0;
	*ret_idle = waited && !store->ops.first;
	op_list_join(&w->waiting, &store->ops);
	go_on = !store->stop || w->waiting.first;
	pthread_mutex_unlock(&store->lock);
	return go_on;
}

static void turn(struct writer *w, bool idle)
{
	bool closing = is_closing(w);
	int64_t now_ns = clock_mono_ns();

	if (w->stalled && now_ns >= w->retry_ns && !w->waiting.first)
		unstall(w, false); /* nothing is left to try it with */
	if (w->waiting.first && w->stalled && now_ns < w->retry_ns && !closing) {
		delete_first(w);
		if (w->stalled)
			refuse(w, w->stalled, false);
	} else if (w->waiting.first && (!w->making_room || closing)) {
		commit_waiting(w);
	}
	if (closing)
		abandon_deletions(w);
	else if (w->doomed && now_ns >= w->doomed_retry_ns)
		remove_slice(w);
	if (w->wal_pages * w->grow.page_bytes >= CHECKPOINT_BYTES || w->wal_commits >= CHECKPOINT_COMMITS ||
	    (idle && w->wal_pages > 0))
		checkpoint(w);
	if (idle) {
		db_rest(w->db);
		statements_rest(w->statements);
		if (w->vacuum)
			vacuum_slice(w);
	}
	if (w->reserve_missing && !w->stalled && now_ns >= w->reserve_retry_ns)
		renew_reserve(w, now_ns);
	if (idle || now_ns - w->sized_ns >= NOTE_SIZE_NS)
		note_size(w, now_ns);
}

void *writer_main(void *arg)
{
	struct store *store = arg;
	struct writer *w = store->writer;
	bool idle = false;

	pthread_setname_np(pthread_self(), "store-writer");
	note_size(w, clock_mono_ns());
	while (take(w, &idle))
		turn(w, idle);
	return NULL;
}
