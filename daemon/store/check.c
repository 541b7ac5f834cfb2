/* `concd --check-store`: a look through a store from outside, without changing it. Everything is read in one transaction,
 * so that a daemon at work does not disturb it.
 *
 * SQLite's own check finds what is wrong with the file; beyond that every checksum is compared and every row is looked at
 * beside its neighbours: inputs without a gap, outcomes within their jobs, nothing that belongs to no job.
 */
#include "private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ring/step.h"
#include "schema.h"

#define LINE_BYTES 1024
#define FINDINGS_SHOWN 1000

enum {
	INPUTS,
	SEGMENTS,
	PARTS,
	TASKS,
	BEYOND,
	STEPS,
	N_QUERIES,
};

/* Older versions have less: */
#define STEPS_SINCE 2
#define HEADS_SINCE 3

static const char *const sql[N_QUERIES] = {
	[INPUTS] = "SELECT 0, head_count, head_sum, head FROM job WHERE id = ?1 AND head_count > 0 UNION ALL"
		   " SELECT first, count, sum, packed FROM input WHERE job = ?1 ORDER BY 1",
	[SEGMENTS] = "SELECT segment, count, done, failed, cancelled, size, sum, packed FROM segment WHERE job = ?"
		     " ORDER BY segment",
	[PARTS] = "SELECT packed FROM part WHERE job = ? AND segment = ? ORDER BY part",
	[TASKS] = "SELECT task, sum, EXISTS (SELECT 1 FROM segment WHERE job = ?1 AND segment = task / 4096), packed"
		  " FROM task WHERE job = ?1 ORDER BY task",
	/* steps of divided tasks have numbers from 2^62 on */
	[BEYOND] = "SELECT count(*) FROM started WHERE job = ? AND (task >= ? AND task < ? OR task >= ?)",
	[STEPS] = "SELECT step, sum, packed FROM step WHERE job = ? ORDER BY step",
};
static const char inputs_without_heads[] = "SELECT first, count, sum, packed FROM input WHERE job = ? ORDER BY first";
_Static_assert(SEGMENT_TASKS == 4096, "a number in the text above");

struct check {
	sqlite3 *db;
	int64_t version;
	struct query queries[N_QUERIES];
	void (*say)(void *arg, const char *line);
	void *arg;
	uint64_t n_found, n_jobs, n_unfinished, n_outcomes;

	/* The job that is looked at. */
	uint64_t job, total;
	char name[80]; /* "job 7 'squares'" */
	bool open;
	uint64_t states[TASK_CANCELLED + 1]; /* its outcomes */
};

static void say(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void found(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct check *c, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap); /* a long one is cut */
	va_end(ap);
	c->say(c->arg, line);
}

/* Something is wrong with the job that is looked at. */
static void found(struct check *c, const char *format, ...)
{
	char text[LINE_BYTES];
	va_list ap;

	if (++c->n_found > FINDINGS_SHOWN)
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* a long one is cut */
	va_end(ap);
	say(c, "%s%s%s", c->name, *c->name ? ": " : "", text);
}

/* ---- The rows of one job ---- */

static bool holds_inputs(const void *data, size_t len, uint64_t count)
{
	const uint8_t *at = data, *end = at + len, *input;
	size_t input_len;

	while (count > 0 && at) {
		at = packed_next(at, end, &input, &input_len);
		count--;
	}
	return at == end;
}

static void check_input_row(struct check *c, struct query *q, uint64_t *next)
{
	uint64_t first = query_column_u64(q, 0), count = query_column_u64(q, 1);
	size_t len;
	const void *data = query_column_bytes(q, 3, &len);

	if (first > *next)
		found(c, "tasks %" PRIu64 " to %" PRIu64 " have no inputs: they fail", *next, first - 1);
	else if (first < *next)
		found(c, "two rows have inputs of task %" PRIu64, first);
	*next = first + count;
	if (!data || db_sum(data, len) != query_column_u64(q, 2))
		found(c, "the inputs of tasks %" PRIu64 " to %" PRIu64
			 " are damaged: their checksum differs; those that have not run yet fail",
		      first, first + count - 1);
	else if (!holds_inputs(data, len, count))
		found(c, "the inputs of tasks %" PRIu64 " to %" PRIu64 " are not as many", first, first + count - 1);
}

static int check_inputs(struct check *c)
{
	struct query *q = &c->queries[INPUTS];
	uint64_t next = 0;
	int r;

	query_u64(q, c->job);
	while ((r = query_step(q)) == 1)
		check_input_row(c, q, &next);
	if (r == 0 && next != c->total)
		found(c, "it has %" PRIu64 " tasks, and inputs for %" PRIu64, c->total, next);
	return r;
}

/* The outcomes of a segment, decoded, or NULL where they are damaged. */
static struct segment *read_segment(struct check *c, struct query *q, uint64_t number)
{
	_cleanup_buffer_ struct buffer whole = BUFFER_INIT;
	struct query *parts = &c->queries[PARTS];
	uint64_t size = query_column_u64(q, 5);
	struct segment *segment = NULL;
	size_t len;
	const void *data = query_column_bytes(q, 7, &len);
	int r = data ? buffer_add(&whole, data, len) : -ENOMEM;

	query_u64(parts, c->job);
	query_u64(parts, number);
	while (r == 0 && (r = query_step(parts)) == 1) {
		data = query_column_bytes(parts, 0, &len);
		r = data ? buffer_add(&whole, data, len) : -ENOMEM;
	}
	query_reset(parts);
	if (r < 0 || whole.len != size || db_sum(whole.data, whole.len) != query_column_u64(q, 6))
		return NULL;
	return segment_decode(number * SEGMENT_TASKS, whole.data, whole.len, &segment) < 0 ? NULL : segment;
}

static void check_segment_row(struct check *c, struct query *q)
{
	uint64_t number = query_column_u64(q, 0), count = query_column_u64(q, 1);
	uint64_t first = number < UINT64_MAX / SEGMENT_TASKS ? number * SEGMENT_TASKS : UINT64_MAX;
	uint64_t left = c->total > first ? c->total - first : 0;
	struct segment_sums sums = { .done = 0 };
	struct segment *segment;

	for (int i = 0; i < 3; i++)
		c->states[TASK_DONE + i] += query_column_u64(q, 2 + i);
	if (count != (left < SEGMENT_TASKS ? left : SEGMENT_TASKS)) {
		found(c, "a segment has outcomes of %" PRIu64 " tasks from %" PRIu64 " on, which are not the job's", count,
		      first);
		return;
	}
	segment = read_segment(c, q, number);
	if (segment && segment->count == count)
		segment_sum(segment, &sums);
	if (!segment || segment->count != count)
		found(c, "the outcomes of tasks %" PRIu64 " to %" PRIu64 " are damaged: they cannot be read back", first,
		      first + count - 1);
	else if (sums.done != query_column_u64(q, 2) || sums.failed != query_column_u64(q, 3) ||
		 sums.cancelled != query_column_u64(q, 4))
		found(c, "the outcomes of tasks %" PRIu64 " to %" PRIu64 " are others than their row counts", first,
		      first + count - 1);
	segment_unref(segment);
}

static int check_segments(struct check *c)
{
	struct query *q = &c->queries[SEGMENTS];
	int r;

	query_u64(q, c->job);
	while ((r = query_step(q)) == 1)
		check_segment_row(c, q);
	return r;
}

static void check_task_row(struct check *c, struct query *q)
{
	uint64_t task = query_column_u64(q, 0);
	struct task_record record;
	const uint8_t *bytes;
	size_t len;
	const void *data = query_column_bytes(q, 3, &len);

	if (task >= c->total)
		found(c, "an outcome of task %" PRIu64 ", which it does not have", task);
	else if (query_column_int(q, 2) != 0)
		found(c, "two outcomes of task %" PRIu64, task);
	else if (!data || db_sum(data, len) != query_column_u64(q, 1) ||
		 task_record_decode(data, len, &record, &bytes) < 0)
		found(c, "the outcome of task %" PRIu64 " is damaged: it cannot be read back", task);
	else
		c->states[record.state]++;
}

static int check_tasks(struct check *c)
{
	struct query *q = &c->queries[TASKS];
	int r;

	query_u64(q, c->job);
	while ((r = query_step(q)) == 1)
		check_task_row(c, q);
	return r;
}

static int check_started(struct check *c)
{
	struct query *q = &c->queries[BEYOND];
	int r;

	query_u64(q, c->job);
	query_u64(q, c->total);
	query_u64(q, STEP_BIT);
	query_u64(q, step_number(c->total, STEP_SPLIT));
	r = query_step(q);
	if (r == 1 && query_column_int(q, 0) > 0)
		found(c, "tasks that it does not have are marked as begun");
	query_reset(q);
	return r < 0 ? r : 0;
}

static void check_step_row(struct check *c, struct query *q, uint64_t *divided)
{
	uint64_t number = query_column_u64(q, 0), task = step_task(number);
	struct task_record record;
	const uint8_t *bytes;
	size_t len;
	const void *data = query_column_bytes(q, 2, &len);

	if (!step_is(number) || task >= c->total)
		found(c, "parts of task %" PRIu64 ", which it does not have", task);
	else if (step_of(number) != STEP_SPLIT && task != *divided)
		found(c, "parts of task %" PRIu64 ", which was not divided", task);
	else if (!data || db_sum(data, len) != query_column_u64(q, 1) ||
		 task_record_decode(data, len, &record, &bytes) < 0)
		found(c, "%s of task %" PRIu64 " is damaged: the task fails",
		      step_of(number) == STEP_SPLIT ? "what is known of the parts" : "the outcome of a part", task);
	if (step_of(number) == STEP_SPLIT)
		*divided = task;
}

static int check_steps(struct check *c)
{
	struct query *q = &c->queries[STEPS];
	uint64_t divided = UINT64_MAX;
	int r;

	if (c->version < STEPS_SINCE)
		return 0;
	query_u64(q, c->job);
	while ((r = query_step(q)) == 1)
		check_step_row(c, q, &divided);
	return r;
}

/* The row of an ended job beside its outcomes. */
static void check_counts(struct check *c, struct query *q)
{
	static const char *const names[] = { "done", "failed", "cancelled" };

	for (int i = 0; i < 3; i++)
		if (c->states[TASK_DONE + i] != query_column_u64(q, 5 + i))
			found(c, "it has ended with %" PRIu64 " tasks %s, and has outcomes of %" PRIu64,
			      query_column_u64(q, 5 + i), names[i], c->states[TASK_DONE + i]);
}

static int check_job(struct check *c, struct query *q)
{
	const char *workload = query_column_text(q, 1);
	bool ended = query_column_int(q, 4) != 0;
	int r;

	c->job = query_column_u64(q, 0);
	c->open = query_column_int(q, 2) != 0;
	c->total = query_column_u64(q, 3);
	memset(c->states, 0, sizeof(c->states));
	(void)snprintf(c->name, sizeof(c->name), "job %" PRIu64 " '%s'", c->job, workload ? workload : "?");
	c->n_jobs++;
	c->n_unfinished += !ended;
	if (query_column_int(q, 8) == 0)
		found(c, "its specification is damaged: it cannot run");
	r = check_inputs(c);
	if (r == 0)
		r = check_segments(c);
	if (r == 0)
		r = check_tasks(c);
	if (r == 0)
		r = check_started(c);
	if (r == 0)
		r = check_steps(c);
	if (r == 0 && ended)
		check_counts(c, q);
	c->n_outcomes += c->states[TASK_DONE] + c->states[TASK_FAILED] + c->states[TASK_CANCELLED];
	return r;
}

/* ---- The whole ---- */

static int check_jobs(struct check *c)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, c->db, "SELECT id, workload, open, total, ended_us, done, failed, cancelled,"
					 " json_valid(spec) FROM job ORDER BY id");

	for (size_t i = 0; i < (c->version < STEPS_SINCE ? STEPS : N_QUERIES) && r == 0; i++)
		r = query_prepare(&c->queries[i], c->db,
				  i == INPUTS && c->version < HEADS_SINCE ? inputs_without_heads : sql[i]);
	while (r == 0 && (r = query_step(&q)) == 1)
		r = check_job(c, &q);
	for (size_t i = 0; i < N_QUERIES; i++)
		query_finish(&c->queries[i]);
	c->name[0] = '\0';
	return r;
}

/* Rows of jobs that are not there, in one table. Those of deleted jobs are still being removed. */
static int check_orphans(struct check *c, const char *table)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	char text[256];
	int r;

	(void)snprintf(text, sizeof(text),
		       "SELECT job, count(*) FROM \"%.64s\" WHERE job NOT IN (SELECT id FROM job)"
		       " AND job NOT IN (SELECT job FROM doomed) GROUP BY job",
		       table);
	r = query_prepare(&q, c->db, text);
	if (r < 0)
		return r;
	while ((r = query_step(&q)) == 1)
		found(c, "%" PRIu64 " rows of table '%s' belong to job %" PRIu64 ", which is not there",
		      query_column_u64(&q, 1), table, query_column_u64(&q, 0));
	return r;
}

/* Every table that has rows of jobs. */
static int check_relations(struct check *c)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, c->db, "SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS column"
					 " WHERE t.type = 'table' AND t.name != 'doomed' AND column.name = 'job'");

	while (r == 0 && (r = query_step(&q)) == 1) {
		const char *table = query_column_text(&q, 0);

		r = table ? check_orphans(c, table) : -ENOMEM;
	}
	return r;
}

static int check_file(struct check *c)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, c->db, "PRAGMA integrity_check");

	while (r == 0 && (r = query_step(&q)) == 1) {
		const char *text = query_column_text(&q, 0);

		if (!text || strcmp(text, "ok") != 0)
			found(c, "the file is damaged: %s", text ? text : "?");
		r = 0;
	}
	return r;
}

static int check_all(struct check *c)
{
	int r = db_exec(c->db, "BEGIN");

	if (r == 0)
		r = check_file(c);
	if (r == 0)
		r = check_jobs(c);
	if (r == 0)
		r = check_relations(c);
	if (r == -EBADMSG) { /* it cannot be followed any further */
		found(c, "the file is damaged: %s", sqlite3_errmsg(c->db));
		r = 0;
	}
	return r;
}

static void sum_up(struct check *c)
{
	if (c->n_found > FINDINGS_SHOWN)
		say(c, "and %" PRIu64 " more", c->n_found - FINDINGS_SHOWN);
	if (c->n_found == 0)
		say(c, "sound: %" PRIu64 " jobs, %" PRIu64 " of them unfinished, with %" PRIu64 " outcomes", c->n_jobs,
		    c->n_unfinished, c->n_outcomes);
	else
		say(c, "damaged: %" PRIu64 " findings in %" PRIu64 " jobs", c->n_found, c->n_jobs);
}

int store_check(const char *path, void (*on_line)(void *arg, const char *line), void *arg, struct error *err)
{
	struct check c = { .say = on_line, .arg = arg };
	_cleanup_free_ char *words = NULL;
	bool log_there = mark_log_there(path);
	int64_t version = 0;
	int r = access(path, F_OK) < 0 ? -errno : db_open(path, DB_READER, &c.db, NULL);

	if (r == 0)
		r = schema_known(c.db, path, &version, err);
	c.version = version;
	if (r == 0) {
		say(&c, "%s: schema version %" PRId64 "%s", path, version,
		    version < SCHEMA_VERSION ? ", which the next start brings up to date" : "");
		r = version > 0 ? check_all(&c) : 0; /* one that is still empty has no tables */
	}
	if (r == 0 && version > 0 && mark_log_lost(c.db, log_there) && (words = mark_words(path)))
		found(&c, "%s", words);
	if (r == 0)
		sum_up(&c);
	else if (r == -ENOENT)
		error_set(err, r, "internal", "there is no store '%s'; concd makes one when it starts", path);
	else if (r == -EBADMSG)
		error_set(err, r, "internal", "the store '%s' is damaged: it is no database any more; concd moves it aside when it starts, "
			  "as concd(8) says under DAMAGE", path);
	else
		error_set(err, r, "internal", "the store '%s': %s", path, c.db ? sqlite3_errmsg(c.db) : strerror(-r));
	db_close(c.db);
	return r < 0 ? r : c.n_found > 0 ? -EBADMSG : 0;
}
