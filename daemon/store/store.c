/* The store as the control thread sees it: opening and closing, the queues to the two threads, and the way back.
 *
 * What a thread has finished goes to a list; one posted call (the bell) has the loop thread take the lists and run the
 * callbacks, so that a commit of a thousand ops is one call.
 */
#include "private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "schema.h"

#define LATE_NS (1 * NS_PER_MS)

void op_list_init(struct op_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

void op_list_add(struct op_list *list, struct store_op *op)
{
	op->next = NULL;
	*list->end = op;
	list->end = &op->next;
}

void op_list_join(struct op_list *list, struct op_list *tail)
{
	if (!tail->first)
		return;
	*list->end = tail->first;
	list->end = tail->end;
	op_list_init(tail);
}

struct store_op *op_list_take(struct op_list *list)
{
	struct store_op *op = list->first;

	if (!op)
		return NULL;
	list->first = op->next;
	if (!list->first)
		list->end = &list->first;
	return op;
}

static void read_list_init(struct read_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void read_list_add(struct read_list *list, struct store_read *read)
{
	read->next = NULL;
	*list->end = read;
	list->end = &read->next;
}

/* ---- The way back ---- */

/* A submission that nothing else is done with. */
static bool is_lone(const struct store_op *first)
{
	return first && !first->next && first->type == STORE_JOB_ADD;
}

/* Run the callbacks of what is finished. They may submit more, so the lists are taken first. */
static void run_finished(struct store *store)
{
	struct op_list ops;
	struct store_read *read;
	struct store_op *op;
	bool lone;

	loop_may_sleep(store->loop);
	op_list_init(&ops);
	pthread_mutex_lock(&store->lock);
	op_list_join(&ops, &store->ops_done);
	read = store->reads_done.first;
	read_list_init(&store->reads_done);
	pthread_mutex_unlock(&store->lock);
	lone = is_lone(ops.first) && store->ops_out == 1;
	while ((op = op_list_take(&ops))) {
		store->ops_out--;
		op->on_done(op, op->status);
	}
	while (read) {
		struct store_read *next = read->next;

		store->reads_out--;
		read->on_done(read, read->status);
		read = next;
	}
	if (lone && store->ops_out == 0)
		expect_answered(store);
}

static void on_bell(struct loop_call *call)
{
	struct bell *bell = container_of(call, struct bell, call);

	if (!bell->store) { /* closed while this was posted */
		free(bell);
		return;
	}
	pthread_mutex_lock(&bell->store->lock);
	bell->store->bell_posted = false; /* before the lists are taken: what comes later rings again */
	pthread_mutex_unlock(&bell->store->lock);
	run_finished(bell->store);
}

static void ring_bell(struct store *store, bool post)
{
	if (post)
		loop_post(store->loop, &store->bell->call);
}

void store_report_ops(struct store *store, struct op_list *done)
{
	bool post;

	if (!done->first)
		return;
	pthread_mutex_lock(&store->lock);
	if (is_lone(done->first))
		expect_next(store);
	op_list_join(&store->ops_done, done);
	/* Once closing, store_close() waits for the lists itself. */
	post = !store->bell_posted && !store->closing;
	store->bell_posted |= post;
	pthread_cond_signal(&store->finished);
	pthread_mutex_unlock(&store->lock);
	ring_bell(store, post);
}

void store_report_read(struct store *store, struct store_read *read)
{
	bool post;

	pthread_mutex_lock(&store->lock);
	read_list_add(&store->reads_done, read);
	post = !store->bell_posted && !store->closing;
	store->bell_posted |= post;
	pthread_cond_signal(&store->finished);
	pthread_mutex_unlock(&store->lock);
	ring_bell(store, post);
}

/* ---- Submitting ---- */

/* Queue what was gathered and wake the writer where it sleeps. */
static void queue_gathered(struct store *store)
{
	bool wake;

	store->late_ns = 0;
	pthread_mutex_lock(&store->lock);
	op_list_join(&store->ops, &store->gathered);
	wake = store->writer_waits && store->ops.first;
	if (store->ops.first)
		expect_over(store);
	if (wake)
		store->writer_waits = false; /* it is told once */
	pthread_mutex_unlock(&store->lock);
	if (wake) /* unlocked: else it would wake up only to wait for the lock */
		pthread_cond_signal(&store->writer_wake);
}

static void gather(struct store *store, struct store_op *op)
{
	op->status = 0;
	store->ops_out++;
	op_list_add(&store->gathered, op);
}

void store_submit(struct store *store, struct store_op *op)
{
	gather(store, op);
	if (!store->gathering)
		queue_gathered(store);
	expect_commit(store, op->type == STORE_JOB_ADD && store->ops_out == 1);
}

void store_gather(struct store *store)
{
	assert(!store->gathering);
	store->gathering = true;
}

void store_gathered(struct store *store)
{
	assert(store->gathering);
	store->gathering = false;
	queue_gathered(store);
}

/* ---- Late ones ---- */

static int arm_late(struct store *store, int64_t ns)
{
	struct timeval tv = { .tv_usec = (ns + NS_PER_US - 1) / NS_PER_US };

	return event_add(store->late_event, &tv);
}

/* It is not stopped when they are queued before their time, so it may be another one's that rings. */
static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct store *store = arg;
	int64_t left_ns;

	(void)fd; /* a timer */
	(void)what;
	if (store->late_ns == 0)
		return;
	left_ns = store->late_ns + LATE_NS - clock_mono_ns();
	if (left_ns <= 0 || arm_late(store, left_ns) < 0)
		queue_gathered(store);
}

void store_submit_late(struct store *store, struct store_op *op)
{
	gather(store, op);
	if (store->late_ns > 0)
		return;
	store->late_ns = clock_mono_ns();
	if (!event_pending(store->late_event, EV_TIMEOUT, NULL) && arm_late(store, LATE_NS) < 0)
		queue_gathered(store); /* no memory for the timer */
}

void store_read(struct store *store, struct store_read *read)
{
	read->status = 0;
	read->input = (struct buffer)BUFFER_INIT;
	read->segment = NULL;
	read->jobs = NULL;
	read->n_jobs = 0;
	read->next_below = 0;
	store->reads_out++;
	pthread_mutex_lock(&store->lock);
	read_list_add(&store->reads, read);
	pthread_mutex_unlock(&store->lock);
	pthread_cond_signal(&store->reader_wake); /* unlocked: it wants the lock first of all */
}

void store_read_fini(struct store_read *read)
{
	buffer_fini(&read->input);
	segment_unref(take_ptr(read->segment));
	for (size_t i = 0; i < read->n_jobs; i++)
		job_row_fini(&read->jobs[i]);
	free(take_ptr(read->jobs));
	read->n_jobs = 0;
}

uint64_t store_queued(const struct store *store)
{
	return store->ops_out;
}

bool store_stalled(const struct store *store, const char **ret_why)
{
	const char *why = atomic_load_explicit(&store->stall_why, memory_order_relaxed); /* a constant text */

	if (why && ret_why)
		*ret_why = why;
	return why != NULL;
}

const char *store_damaged(const struct store *store)
{
	return store->damaged;
}

void store_stats(const struct store *store, struct store_stats *ret_stats)
{
	/* relaxed: numbers to look at, nothing depends on one having been seen with another */
	*ret_stats = (struct store_stats){
		.commits = atomic_load_explicit(&store->n_commits, memory_order_relaxed),
		.ops = atomic_load_explicit(&store->n_ops, memory_order_relaxed),
		.bytes = atomic_load_explicit(&store->n_bytes, memory_order_relaxed),
	};
}

/* ---- Opening and closing ---- */

static int init_waiting(struct store *store)
{
	pthread_condattr_t attr;
	int r = -pthread_mutex_init(&store->lock, NULL);

	if (r == 0)
		r = -pthread_condattr_init(&attr);
	if (r < 0)
		return r;
	/* These cannot fail on Linux once the attribute exists. */
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&store->writer_wake, &attr);
	(void)pthread_cond_init(&store->reader_wake, &attr);
	(void)pthread_cond_init(&store->finished, &attr);
	(void)pthread_condattr_destroy(&attr);
	return 0;
}

static struct store *store_new(struct loop *loop, const char *path)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store || init_waiting(store) < 0) {
		free(store);
		return NULL;
	}
	store->loop = loop;
	op_list_init(&store->ops);
	op_list_init(&store->ops_done);
	op_list_init(&store->gathered);
	read_list_init(&store->reads);
	read_list_init(&store->reads_done);
	store->path = strdup(path);
	store->late_event = event_new(loop_base(loop), -1, 0, on_late, store);
	store->bell = calloc(1, sizeof(*store->bell));
	if (store->bell)
		*store->bell = (struct bell){ .call = { .fn = on_bell }, .store = store };
	return store;
}

/* Also of one that was only half opened. The threads have ended. */
static void store_free(struct store *store)
{
	store_reader_free(store->reader);
	db_close(store->db);
	writer_free(store->writer); /* last: the last connection to go takes the log with it */
	if (store->bell && store->bell_posted)
		store->bell->store = NULL; /* frees itself when it runs */
	else
		free(store->bell);
	if (store->late_event)
		event_free(store->late_event);
	pthread_cond_destroy(&store->writer_wake);
	pthread_cond_destroy(&store->reader_wake);
	pthread_cond_destroy(&store->finished);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store->damaged);
	free(store);
}

/* The rows without which no daemon can start: SQLite notices a damaged page when it reads it. */
static int look_at_jobs(sqlite3 *db, const char *path, struct error *err)
{
	int64_t unused;
	int r = db_get_int(db, "SELECT count(*) + total(length(spec)) FROM job WHERE ended_us = 0", &unused);

	if (r == 0)
		r = db_get_int(db, "SELECT value FROM meta WHERE key = 'next_id'", &unused);
	if (r == -ENOENT)
		r = -EBADMSG;
	return r < 0 ? error_set(err, r, "internal", "the store '%s': reading its jobs: %s", path, sqlite3_errmsg(db)) : 0;
}

static int open_database(const char *path, sqlite3 **ret_db, struct error *err)
{
	sqlite3 *db = NULL;
	int r = db_open(path, DB_WRITER, &db, err);

	if (r < 0)
		return r;
	r = schema_migrate(db, path, err);
	if (r == 0)
		r = look_at_jobs(db, path, err);
	if (r < 0) {
		db_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

/* What can still be read of the numbers that were given out: none is to be given again. 1: nothing can. */
static int64_t salvage_next_id(const char *path)
{
	static const char *const sources[] = {
		"SELECT value - 1 FROM meta WHERE key = 'next_id'",
		"SELECT max(id) FROM job",
		"SELECT max(id) FROM job INDEXED BY job_submission WHERE submission != ''",
		"SELECT max(job) FROM input",
		"SELECT max(job) FROM segment",
	};
	int64_t highest = 0;
	sqlite3 *db = NULL;

	if (db_open(path, DB_READER, &db, NULL) < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		int64_t id;

		if (db_get_int(db, sources[i], &id) == 0 && id > highest && id < INT64_MAX)
			highest = id;
	}
	db_close(db);
	return highest + 1;
}

static int set_next_id(sqlite3 *db, int64_t next_id)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, db, "UPDATE meta SET value = ? WHERE key = 'next_id'");

	if (r < 0)
		return r;
	query_int(&q, next_id);
	return query_run(&q, NULL);
}

/* After damage: never silently, and never at the expense of what is there. */
static int start_anew(struct store *store, const struct error *why, sqlite3 **ret_db, struct error *err)
{
	int64_t next_id = salvage_next_id(store->path);
	_cleanup_free_ char *aside = NULL;
	int r = store_move_aside(store->path, &aside, err);

	if (r < 0) {
		log_error("store: damage: %s", why->text);
		return r;
	}
	if (asprintf(&store->damaged, "the store was damaged and moved to '%s': its jobs do not run", aside) < 0)
		store->damaged = NULL;
	log_error("store: damage: %s", why->text);
	log_error("store: it was moved to '%s', nothing of it is lost; an empty one takes its place: the jobs that it had "
		  "accepted DO NOT RUN; job numbers go on at %" PRId64, aside, next_id);
	r = open_database(store->path, ret_db, err);
	if (r == 0 && next_id > 1 && set_next_id(*ret_db, next_id) < 0)
		log_warning("store: job numbers begin again at 1, ignoring: %s", sqlite3_errmsg(*ret_db));
	return r;
}

static int open_connections(struct store *store, struct error *err)
{
	struct error why = ERROR_INIT;
	bool log_there = mark_log_there(store->path);
	sqlite3 *db = NULL;
	int r = open_database(store->path, &db, &why);

	if (r == -EBADMSG)
		r = start_anew(store, &why, &db, err);
	else if (r < 0 && err)
		*err = why;
	if (r < 0)
		return r;
	if (mark_log_lost(db, log_there) && (store->damaged = mark_words(store->path)))
		log_error("store: %s", store->damaged);
	r = writer_new(store, db, &store->writer, err);
	if (r < 0) {
		mark_closed(db);
		db_close(db);
		return r;
	}
	r = db_open(store->path, DB_READER, &store->db, err);
	if (r < 0)
		return r;
	r = db_open(store->path, DB_READER, &db, err);
	if (r < 0)
		return r;
	r = store_reader_new(db, &store->reader);
	if (r < 0) {
		error_set(err, r, "internal", "the store '%s': %s", store->path, sqlite3_errmsg(db));
		db_close(db);
	}
	return r;
}

/* Signals are the control thread's. */
static int start_threads(struct store *store)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	r = -pthread_sigmask(SIG_BLOCK, &all, &old);
	if (r < 0)
		return r;
	r = -pthread_create(&store->writer_thread, NULL, writer_main, store);
	store->writer_started = r == 0;
	if (r == 0) {
		r = -pthread_create(&store->reader_thread, NULL, reader_main, store);
		store->reader_started = r == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL); /* what was just in force */
	return r;
}

static void stop_threads(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	store->stop = true;
	expect_over(store);
	pthread_cond_signal(&store->writer_wake);
	pthread_cond_signal(&store->reader_wake);
	pthread_mutex_unlock(&store->lock);
	if (store->writer_started)
		pthread_join(store->writer_thread, NULL);
	if (store->reader_started)
		pthread_join(store->reader_thread, NULL);
}

int store_open(struct loop *loop, const struct store_options *options, struct store **ret_store, struct error *err)
{
	struct store *store = store_new(loop, options->path);
	int r = -ENOMEM;

	if (!store)
		return error_set(err, r, "internal", "the store: out of memory");
	if (store->path && store->bell && store->late_event)
		r = open_connections(store, err);
	if (r == 0) {
		int reserve = reserve_make(store->path);

		if (reserve < 0)
			log_warning("store: '%s-reserve' cannot be made: %s; going on without: should the disk fill "
				    "up, deleting jobs may fail",
				    store->path, strerror(-reserve));
		r = start_threads(store);
	}
	if (r < 0) {
		error_set(err, r, "internal", "the store '%s': %s", options->path, strerror(-r));
		stop_threads(store);
		store_free(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	pthread_mutex_lock(&store->lock);
	store->closing = true;
	expect_over(store);
	pthread_cond_signal(&store->writer_wake);
	pthread_mutex_unlock(&store->lock);
	/* Callbacks may submit more: until nothing is out. */
	while (store->ops_out > 0 || store->reads_out > 0) {
		queue_gathered(store);
		pthread_mutex_lock(&store->lock);
		while (!store->ops_done.first && !store->reads_done.first)
			pthread_cond_wait(&store->finished, &store->lock);
		pthread_mutex_unlock(&store->lock);
		run_finished(store);
	}
	stop_threads(store);
	store_free(store);
}
