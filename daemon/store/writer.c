/* The writer thread: takes all that is queued, runs it in one transaction, reports. When nothing is queued it removes
 * doomed jobs slice by slice, moves the log into the database, and gives room back.
 *
 *	queued --take--> waiting --commit--> reported
 *	                 ^     |
 *	                 +-----+ failed: may_fail ops come back, the others wait for the next attempt
 */
#include "writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define RESERVE_RETRY_NS (30 * NS_PER_S)
#define LOG_EVERY_NS (60 * NS_PER_S) /* a disk that fills up again and again says so once a minute */
/* Not only when a burst is over: small commits are faster where they overwrite the log than where they make it longer. */
#define CHECKPOINT_BYTES (62 * 1024 * 1024)
#define CHECKPOINT_COMMITS 256
#define NOTE_SIZE_NS (50 * NS_PER_MS) /* not after each commit: it takes a tenth of a small one's time */

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
	w->idle_ns = WRITER_IDLE_NS;
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
		return "the store's file was moved, removed or replaced: put it back, or end concd";
	default:
		return "the disk of the state directory fails";
	}
}

/* Somebody can mend it while the daemon runs: to those above it is as a disk that is full. */
static bool stall_passes(int r)
{
	return r == -ENOSPC || r == -EROFS || r == -ESTALE || r == -EBUSY;
}

bool writer_closing(struct writer *w)
{
	bool closing;

	pthread_mutex_lock(&w->store->lock);
	closing = w->store->closing;
	pthread_mutex_unlock(&w->store->lock);
	return closing;
}

void writer_refuse(struct writer *w, int r, bool all)
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

void writer_stall(struct writer *w, int r)
{
	int64_t now_ns = clock_mono_ns();

	if (!w->announced && (w->logged_ns == 0 || now_ns - w->logged_ns > LOG_EVERY_NS)) {
		log_error("store: '%s' cannot be written: %s (%s); nothing new is accepted, results wait",
			  w->store->path, stall_text(r), strerror(-r));
		w->logged_ns = now_ns;
		w->announced = true;
	}
	w->stalled = r;
	w->retry_ns = now_ns + WRITER_RETRY_NS;
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

void writer_report(struct writer *w, struct op_list *batch)
{
	bool closing = writer_closing(w); /* then the next run removes the rows */
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

static void commit_waiting(struct writer *w)
{
	int r = batch_run(w, &w->waiting);

	if (r < 0) {
		bool closing = writer_closing(w);

		writer_stall(w, r);
		if (r == -ENOSPC && !closing)
			removal_first(w); /* what makes room is not refused for want of it */
		writer_refuse(w, r, closing);
		return;
	}
	unstall(w, true); /* first: whoever is told of success must not find the store stalled */
	writer_report(w, &w->waiting);
}

/* ---- The thread ---- */

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
	bool closing = writer_closing(w);
	int64_t now_ns = clock_mono_ns();

	if (w->stalled && now_ns >= w->retry_ns && !w->waiting.first)
		unstall(w, false); /* nothing is left to try it with */
	if (w->waiting.first && w->stalled && now_ns < w->retry_ns && !closing) {
		removal_first(w);
		if (w->stalled)
			writer_refuse(w, w->stalled, false);
	} else if (w->waiting.first && (!w->making_room || closing)) {
		commit_waiting(w);
	}
	if (closing)
		removal_abandon(w);
	else if (w->doomed && now_ns >= w->doomed_retry_ns)
		removal_slice(w);
	if (w->wal_pages * w->grow.page_bytes >= CHECKPOINT_BYTES || w->wal_commits >= CHECKPOINT_COMMITS ||
	    (idle && w->wal_pages > 0))
		batch_checkpoint(w);
	if (idle) {
		db_rest(w->db);
		statements_rest(w->statements);
		if (w->vacuum)
			removal_vacuum(w);
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
