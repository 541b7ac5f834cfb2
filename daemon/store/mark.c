/* A mark by which a log that is missing is noticed, which SQLite does not: without its log a database that was not closed is
 * sound, and as old as the last checkpoint. It happens to who copies the file of a daemon at work.
 *
 *	              in the file   seen through the log
 *	opened           (none)            (none)     until the first checkpoint, which the writer makes when it is idle
 *	checkpoint         1                 1
 *	then               1                 2        and so it stays until before the next one
 *	closed           (none)            (none)     the log is gone
 *
 * So who reads 1 where there is no log has lost one. A copy made through SQLite (.backup), or a file into which another
 * program has taken the log, has 2 and lacks nothing.
 */
#include "private.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"

bool mark_log_there(const char *path)
{
	_cleanup_free_ char *log = NULL;
	struct stat st;

	if (asprintf(&log, "%s-wal", path) < 0)
		return true;
	return stat(log, &st) == 0 && st.st_size > 0; /* who only reads makes an empty one */
}

bool mark_log_lost(sqlite3 *db, bool log_there)
{
	int64_t value = 0;

	return !log_there && db_get_int(db, "SELECT value FROM meta WHERE key = 'log'", &value) == 0 && value == 1;
}

char *mark_words(const char *path)
{
	char *words = NULL;

	if (asprintf(&words,
		     "the log of the store, '%s-wal', is missing, without which it is not whole: the latest jobs and results "
		     "are lost",
		     path) < 0)
		return NULL;
	return words;
}

int mark_checkpoint(sqlite3 *db, int *ret_in_log, int *ret_moved)
{
	int rc;

	/* Where a mark cannot be made, on a full disk, a missing log may stay unnoticed until the next checkpoint, no more. */
	(void)db_exec(db, "INSERT OR REPLACE INTO meta VALUES ('log', 1)");
	rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, ret_in_log, ret_moved);
	(void)db_exec(db, "UPDATE meta SET value = 2 WHERE key = 'log'");
	return rc;
}

void mark_closed(sqlite3 *db)
{
	/* Where the mark stays the log has to stay as well. */
	if (db_exec(db, "DELETE FROM meta WHERE key = 'log'") < 0)
		(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* cannot fail */
}
