/* The tables, as a list of migrations: row n brings a database of version n to version n + 1. A row that has been
 * released is never changed; a new version is a new row.
 *
 *	job      one row a job                    doomed   deleted jobs whose rows are still being removed
 *	input    packed inputs, up to 1 MiB       started  marks of tasks that must not run twice
 *	segment  outcomes of 4,096 tasks          worker   worker processes that live
 *	part     the rest of a huge segment       plugin   cached descriptions
 *	task     outcomes, segment still open     meta     next_id: no id below is ever given out again; log: see mark.c
 *	crash    deaths that count against tasks  hook     ended jobs whose hook is still to be run
 *	step     parts of divided tasks without an outcome, and what they gave
 *
 * Numbers are signed 64-bit, times microseconds since 1970 (0: not yet). `sum` is db_sum() of the bytes beside it.
 * Bytes are the last column: what stands behind them is only reached by reading through them. Every further table or
 * index is one more page in each commit that accepts a job: so a few bytes of inputs are in the job's row (head), a job
 * that was submitted without an id is in no index, and unfinished jobs are found by looking at all.
 */
#include "schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "db.h"

#define APPLICATION_ID 0x636f6e63 /* "conc" */

static const char *const migrations[] = {
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT INTO meta VALUES ('next_id', 1);"
	"CREATE TABLE job (id INTEGER PRIMARY KEY, submission TEXT NOT NULL UNIQUE, workload TEXT NOT NULL,"
	" spec TEXT NOT NULL, uid INTEGER NOT NULL, created_us INTEGER NOT NULL, state INTEGER NOT NULL,"
	" open INTEGER NOT NULL, total INTEGER NOT NULL, started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL,"
	" done INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL, cpu_s REAL NOT NULL,"
	" wait_s REAL NOT NULL, runq_s REAL NOT NULL, wall_s REAL NOT NULL, peak_rss INTEGER NOT NULL,"
	" error_code TEXT, error_text TEXT);"
	"CREATE TABLE input (job INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,"
	" sum INTEGER NOT NULL, packed BLOB NOT NULL, PRIMARY KEY (job, first)) WITHOUT ROWID;"
	"CREATE TABLE segment (job INTEGER NOT NULL, segment INTEGER NOT NULL, count INTEGER NOT NULL,"
	" done INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL, cpu_s REAL NOT NULL,"
	" wait_s REAL NOT NULL, runq_s REAL NOT NULL, size INTEGER NOT NULL, sum INTEGER NOT NULL,"
	" packed BLOB NOT NULL, PRIMARY KEY (job, segment));"
	"CREATE TABLE part (job INTEGER NOT NULL, segment INTEGER NOT NULL, part INTEGER NOT NULL,"
	" packed BLOB NOT NULL, PRIMARY KEY (job, segment, part));"
	"CREATE TABLE task (job INTEGER NOT NULL, task INTEGER NOT NULL, sum INTEGER NOT NULL, packed BLOB NOT NULL,"
	" PRIMARY KEY (job, task)) WITHOUT ROWID;"
	"CREATE TABLE started (job INTEGER NOT NULL, task INTEGER NOT NULL, PRIMARY KEY (job, task)) WITHOUT ROWID;"
	"CREATE TABLE doomed (job INTEGER PRIMARY KEY);"
	"CREATE TABLE worker (pid INTEGER NOT NULL, start_time INTEGER NOT NULL, PRIMARY KEY (pid, start_time))"
	" WITHOUT ROWID;"
	"CREATE TABLE plugin (key TEXT NOT NULL UNIQUE, description TEXT NOT NULL);",

	"CREATE TABLE crash (job INTEGER NOT NULL, task INTEGER NOT NULL, crashes INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL, cause TEXT NOT NULL, PRIMARY KEY (job, task)) WITHOUT ROWID;"
	"CREATE TABLE step (job INTEGER NOT NULL, step INTEGER NOT NULL, sum INTEGER NOT NULL, packed BLOB NOT NULL,"
	" PRIMARY KEY (job, step));"
	"ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
	/* stalls: of an ended job, tasks that held their thread */
	"ALTER TABLE job ADD COLUMN stalls BLOB;"
	"CREATE TABLE hold (workload TEXT PRIMARY KEY, since_us INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE hook (job INTEGER PRIMARY KEY);"
	/* lane: which jobs it takes turns with, of one that may wait on disk alone; bytes: of its inputs */
	"ALTER TABLE job ADD COLUMN lane TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE job ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;",

	/* The table anew, because SQLite takes no constraint away: submission is '' where the client named none. head: the
	 * inputs of tasks 0 to head_count - 1 */
	"CREATE TABLE new_job (id INTEGER PRIMARY KEY, submission TEXT NOT NULL, workload TEXT NOT NULL,"
	" spec TEXT NOT NULL, uid INTEGER NOT NULL, created_us INTEGER NOT NULL, state INTEGER NOT NULL,"
	" open INTEGER NOT NULL, total INTEGER NOT NULL, started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL,"
	" done INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL, cpu_s REAL NOT NULL,"
	" wait_s REAL NOT NULL, runq_s REAL NOT NULL, wall_s REAL NOT NULL, peak_rss INTEGER NOT NULL,"
	" error_code TEXT, error_text TEXT, priority INTEGER NOT NULL DEFAULT 0, stalls BLOB,"
	" lane TEXT NOT NULL DEFAULT '', bytes INTEGER NOT NULL DEFAULT 0, head_count INTEGER NOT NULL DEFAULT 0,"
	" head_sum INTEGER NOT NULL DEFAULT 0, head BLOB);"
	"INSERT INTO new_job SELECT id, submission, workload, spec, uid, created_us, state, open, total, started_us,"
	" ended_us, done, failed, cancelled, cpu_s, wait_s, runq_s, wall_s, peak_rss, error_code, error_text, priority,"
	" stalls, lane, bytes, 0, 0, NULL FROM job;"
	"DROP TABLE job;"
	"ALTER TABLE new_job RENAME TO job;"
	"CREATE UNIQUE INDEX job_submission ON job (submission) WHERE submission != '';"
	/* A table of rows, as that of segments: to find a place among keys, SQLite reads all of what lies with each that it
	 * compares, and in a table without rows of its own that was 128 KiB of inputs. */
	"CREATE TABLE new_input (job INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,"
	" sum INTEGER NOT NULL, packed BLOB NOT NULL, PRIMARY KEY (job, first));"
	"INSERT INTO new_input SELECT job, first, count, sum, packed FROM input ORDER BY job, first;"
	"DROP TABLE input;"
	"ALTER TABLE new_input RENAME TO input;",
};

_Static_assert(ARRAY_SIZE(migrations) == SCHEMA_VERSION, "one row per version");

/* Only possible while nothing has been written, and page_size and auto_vacuum not any more once in WAL mode. A commit
 * that accepts a job writes a few whole pages, which wants them small; a segment goes through many, which wants them
 * large: with pages of 4 KiB it costs a quarter more processor time. Older stores have pages of 16 KiB and keep them. */
static int set_up_empty(sqlite3 *db)
{
	return db_exec(db, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;");
}

static int run_migration(sqlite3 *db, size_t version)
{
	char pragmas[96];
	int r = db_exec(db, "BEGIN IMMEDIATE");

	(void)snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id = %d; PRAGMA user_version = %zu;",
		       APPLICATION_ID, version + 1); /* fits: two numbers */
	if (r == 0)
		r = db_exec(db, migrations[version]);
	if (r == 0)
		r = db_exec(db, pragmas);
	if (r == 0)
		r = db_exec(db, "COMMIT");
	return r;
}

/* Reads the header and the schema: the first look into the file. */
static int look(sqlite3 *db, int64_t *ret_application, int64_t *ret_version, int64_t *ret_tables)
{
	int r = db_get_int(db, "PRAGMA application_id", ret_application);

	if (r == 0)
		r = db_get_int(db, "PRAGMA user_version", ret_version);
	if (r == 0)
		r = db_get_int(db, "SELECT count(*) FROM sqlite_schema", ret_tables);
	return r;
}

int schema_known(sqlite3 *db, const char *path, int64_t *ret_version, struct error *err)
{
	int64_t application = 0, version = 0, tables = 0;
	int r = look(db, &application, &version, &tables);

	if (r < 0)
		return error_set(err, r, "internal", "the store '%s': %s", path, sqlite3_errmsg(db));
	if (application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0))
		return error_set(err, -EINVAL, "internal", "the store '%s' is the database of another program", path);
	if (version < 0 || version > SCHEMA_VERSION)
		return error_set(err, -ENOTSUP, "internal",
				 "the store '%s' has schema version %" PRId64
				 ", this concd knows versions up to %d; use the newer concd that wrote it",
				 path, version, SCHEMA_VERSION);
	*ret_version = version;
	return 0;
}

int schema_migrate(sqlite3 *db, const char *path, struct error *err)
{
	int64_t version = 0;
	bool empty;
	int r = schema_known(db, path, &version, err);

	if (r < 0)
		return r;
	empty = version == 0;
	/* A copy that SQLite made (VACUUM INTO) has lost the mode. */
	r = empty ? set_up_empty(db) : db_exec(db, "PRAGMA journal_mode = WAL");
	for (size_t v = (size_t)version; r == 0 && v < SCHEMA_VERSION; v++) {
		if (!empty)
			log_info("store: migrating '%s' from schema version %zu to %zu", path, v, v + 1);
		r = run_migration(db, v);
		if (!empty && r == 0)
			log_info("store: '%s' has schema version %zu now", path, v + 1);
	}
	if (r < 0)
		return error_set(err, r, "internal", "the store '%s': making its schema: %s", path, sqlite3_errmsg(db));
	return 0;
}
