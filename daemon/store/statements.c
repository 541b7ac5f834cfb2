/* What the writer says to SQLite. */
#include "statements.h"

#include <errno.h>
#include <stdlib.h>

#define BLOB_REST_BYTES (64u * 1024) /* at rest */

static const char *const sql[N_STATEMENTS] = {
	[JOB_FIND_SUBMISSION] = "SELECT id FROM job WHERE submission = ? AND submission != ''",
	[JOB_EXISTS] = "SELECT 1 FROM job WHERE id = ?",
	[JOB_INSERT] = "INSERT INTO job (" JOB_COLUMNS ", lane, bytes, head_count, head_sum, head"
		       ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[JOB_EXTEND] = "UPDATE job SET total = ?3, open = ?4, bytes = bytes + ?5 WHERE id = ?1 AND total = ?2 AND open",
	[JOB_UPDATE] = "UPDATE job SET state = ?2, open = open AND ?3, started_us = ?4, ended_us = ?5, done = ?6,"
		       " failed = ?7, cancelled = ?8, cpu_s = ?9, wait_s = ?10, runq_s = ?11, wall_s = ?12,"
		       " peak_rss = ?13, error_code = ?14, error_text = ?15, priority = ?16,"
		       " stalls = coalesce(?17, stalls) WHERE id = ?1",
	[JOB_RESPECIFY] = "UPDATE job SET spec = ?2, lane = ?3 WHERE id = ?1",
	[JOB_REMOVE] = "DELETE FROM job WHERE id = ?",
	[INPUT_INSERT] = "INSERT INTO input (job, first, count, sum, packed) VALUES (?, ?, ?, ?, ?)",
	[SEGMENT_INSERT] = "INSERT INTO segment (job, segment, count, done, failed, cancelled, cpu_s, wait_s, runq_s,"
			   " size, sum, packed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[SEGMENT_EXISTS] = "SELECT 1 FROM segment WHERE job = ? AND segment = ?",
	[PART_INSERT] = "INSERT INTO part (job, segment, part, packed) VALUES (?, ?, ?, ?)",
	[TASK_INSERT] = "INSERT INTO task (job, task, sum, packed) VALUES (?, ?, ?, ?)",
	[TASK_FOLD] = "DELETE FROM task WHERE job = ? AND task >= ? AND task < ?",
	[STARTED_INSERT] = "INSERT OR IGNORE INTO started (job, task) VALUES (?, ?)",
	[STARTED_REMOVE] = "DELETE FROM started WHERE job = ? AND task >= ? AND task < ?",
	[STEP_INSERT] = "INSERT INTO step (job, step, sum, packed) VALUES (?, ?, ?, ?)",
	[STEP_REMOVE] = "DELETE FROM step WHERE job = ? AND step >= ? AND step < ?",
	[CRASH_INSERT] = "INSERT OR REPLACE INTO crash (job, task, crashes, attempts, cause) VALUES (?, ?, ?, ?, ?)",
	[CRASH_REMOVE] = "DELETE FROM crash WHERE job = ? AND task >= ? AND task < ?",
	[WORKER_INSERT] = "INSERT OR IGNORE INTO worker (pid, start_time) VALUES (?, ?)",
	[WORKER_REMOVE] = "DELETE FROM worker WHERE pid = ? AND start_time = ?",
	[PLUGIN_INSERT] = "INSERT OR REPLACE INTO plugin (key, description) VALUES (?, ?)",
	/* Each build of a plugin has a key of its own: the descriptions of the last 256 are enough. */
	[PLUGIN_PRUNE] = "DELETE FROM plugin WHERE rowid <= (SELECT max(rowid) FROM plugin) - 256",
	[HOLD_INSERT] = "INSERT OR REPLACE INTO hold (workload, since_us) VALUES (?, ?)",
	[HOLD_REMOVE] = "DELETE FROM hold WHERE ?1 IN ('', workload)",
	[HOOK_INSERT] = "INSERT OR IGNORE INTO hook (job) VALUES (?)",
	[HOOK_REMOVE] = "DELETE FROM hook WHERE job = ?",
	[NEXT_ID_RAISE] = "UPDATE meta SET value = max(value, ?) WHERE key = 'next_id'",
	[DOOMED_INSERT] = "INSERT OR IGNORE INTO doomed (job) VALUES (?)",
	[DOOMED_FIRST] = "SELECT job FROM doomed ORDER BY job LIMIT 1",
	[DOOMED_REMOVE] = "DELETE FROM doomed WHERE job = ?",
	[SLICE_PART] = "DELETE FROM part WHERE rowid IN (SELECT rowid FROM part WHERE job = ? LIMIT 1)",
	[SLICE_SEGMENT] = "DELETE FROM segment WHERE rowid IN (SELECT rowid FROM segment WHERE job = ? LIMIT 16)",
	[SLICE_TASK] = "DELETE FROM task WHERE job = ?1 AND task IN (SELECT task FROM task WHERE job = ?1 LIMIT 512)",
	[SLICE_STARTED] =
		"DELETE FROM started WHERE job = ?1 AND task IN (SELECT task FROM started WHERE job = ?1 LIMIT 4096)",
	[SLICE_STEP] = "DELETE FROM step WHERE rowid IN (SELECT rowid FROM step WHERE job = ? LIMIT 512)",
	[SLICE_CRASH] = "DELETE FROM crash WHERE job = ?1 AND task IN (SELECT task FROM crash WHERE job = ?1 LIMIT 512)",
	[SLICE_INPUT] =
		"DELETE FROM input WHERE job = ?1 AND first IN (SELECT first FROM input WHERE job = ?1 LIMIT 4)",
};

int statements_new(sqlite3 *db, struct statements **ret_statements)
{
	struct statements *st = calloc(1, sizeof(*st));
	int r = 0;

	if (!st)
		return -ENOMEM;
	for (size_t i = 0; i < N_STATEMENTS && r == 0; i++)
		r = query_prepare(&st->queries[i], db, sql[i]);
	if (r < 0) {
		statements_free(st);
		return r;
	}
	*ret_statements = st;
	return 0;
}

void statements_free(struct statements *st)
{
	if (!st)
		return;
	for (size_t i = 0; i < N_STATEMENTS; i++)
		query_finish(&st->queries[i]);
	buffer_fini(&st->blob);
	free(st);
}

void statements_rest(struct statements *st)
{
	if (st->blob.cap > BLOB_REST_BYTES)
		buffer_fini(&st->blob);
}
