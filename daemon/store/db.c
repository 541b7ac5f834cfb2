/* sqlite3 with the project's manners. */
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file_error.h"
#include "base/io.h"

#define BUSY_TIMEOUT_MS 5000 /* nobody else writes, but somebody may look with the sqlite3 tool */
#define DB_MODE 0600
#define CACHE_KEEP_BYTES (256 * 1024)

/* secure_delete is on in Debian's build and would write every freed page once more. temp_store: a statement that is
 * undone needs no file in /var/tmp. The pages that a writer dirties in a burst stay in memory until its commit. */
static const char writer_setup[] = "PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF; PRAGMA temp_store = MEMORY;"
				   "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864;"
				   "PRAGMA cache_size = -1024; PRAGMA trusted_schema = OFF;";
/* What is read is seldom read again: rows of inputs and results go through, and the kernel has them too. */
static const char reader_setup[] = "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -256;"
				   "PRAGMA trusted_schema = OFF;";

/* What the kernel said. sqlite3_system_errno() is not set where a COMMIT fails: ask the files, the log first. */
static int last_errno(sqlite3 *db)
{
	sqlite3_file *log = NULL;
	int error = sqlite3_system_errno(db);

	if (error == 0 && sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK && log &&
	    log->pMethods)
		(void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &error); /* or it stays 0 */
	if (error == 0)
		(void)sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &error);
	return error;
}

/* SQLite calls only ENOSPC "full". Over a quota or a file size limit it is the same to us. */
static int errno_of_io_error(sqlite3 *db, int otherwise)
{
	switch (db ? last_errno(db) : 0) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return -ENOSPC;
	case EROFS:
		return -EROFS;
	default:
		return otherwise;
	}
}

int db_errno(sqlite3 *db, int rc)
{
	switch (rc & 0xff) { /* the primary code */
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : errno_of_io_error(db, -EIO);
	case SQLITE_CONSTRAINT:
		return rc == SQLITE_CONSTRAINT_NOTNULL || rc == SQLITE_CONSTRAINT_CHECK ? -EINVAL : -EEXIST;
	case SQLITE_TOOBIG:
		return -EMSGSIZE;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CANTOPEN:
		return errno_of_io_error(db, -EACCES);
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

int db_exec(sqlite3 *db, const char *sql)
{
	return db_errno(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int db_get_int(sqlite3 *db, const char *sql, int64_t *ret_value)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, db, sql);

	if (r < 0)
		return r;
	r = query_step(&q);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*ret_value = query_column_int(&q, 0);
	return 0;
}

/* SQLite takes a file of a few bytes for an empty database and would write over it. With a journal beside it, it may be
 * the beginning of a database whose making was cut short. */
static bool is_foreign(int fd, const char *path)
{
	static const char magic[] = "SQLite format 3"; /* with its NUL */
	_cleanup_free_ char *journal = NULL;
	char head[sizeof(magic)];
	ssize_t n = io_pread_full(fd, head, sizeof(head), 0);

	if (n == 0 || (n == sizeof(head) && memcmp(head, magic, sizeof(head)) == 0))
		return false;
	return asprintf(&journal, "%s-journal", path) < 0 || access(journal, F_OK) < 0;
}

/* What SQLite keeps beside the database must be ours as well, or it takes the whole for read-only. */
static int check_beside(const char *path, struct error *err)
{
	static const char *const suffixes[] = { "-wal", "-shm", "-journal" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *name = NULL;

		if (asprintf(&name, "%s%s", path, suffixes[i]) < 0)
			return -ENOMEM;
		if (faccessat(AT_FDCWD, name, R_OK | W_OK, AT_EACCESS) < 0 && errno != ENOENT && chmod(name, DB_MODE) < 0)
			return file_error(err, EACCES, NULL, "a file of the store,", name);
	}
	return 0;
}

/* Make the file ourselves, so that it never exists with another mode; sqlite gives -wal and -shm the same. Closed again
 * before sqlite opens it: closing any descriptor of a file drops the process's locks on it. */
static int make_file(const char *path, struct error *err)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int fd = -1;
	_cleanup_close_ int dir_fd = -1;
	const char *dir;
	int r;

	if (!copy)
		return -ENOMEM;
	dir = dirname(copy);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return file_error(err, errno, NULL, "the state directory", dir);
	if (access(dir, W_OK | X_OK) < 0) /* the log and its index are made beside the database */
		return file_error(err, errno, NULL, "the state directory", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, DB_MODE);
	if (fd < 0)
		return file_error(err, errno, NULL, "the store", path);
	r = check_beside(path, err);
	if (r < 0)
		return r;
	if (is_foreign(fd, path))
		return error_set(err, -EBADMSG, "internal",
				 "the store '%s' is not a database", path);
	if (fchmod(fd, DB_MODE) < 0 && errno != EPERM)
		return error_set(err, -errno, "internal", "the store '%s': %s", path, strerror(errno));
	if (fsync(dir_fd) < 0)
		return error_set(err, -errno, "internal", "the state directory '%s': %s", dir, strerror(errno));
	return 0;
}

int db_open(const char *path, enum db_role role, sqlite3 **ret_db, struct error *err)
{
	int flags = SQLITE_OPEN_NOMUTEX;
	sqlite3 *db = NULL;
	int r = 0;

	flags |= role == DB_WRITER ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	if (role == DB_WRITER)
		r = make_file(path, err);
	if (r < 0)
		return r;
	r = db_errno(db, sqlite3_open_v2(path, &db, flags, NULL));
	if (r == 0)
		r = db_errno(db, sqlite3_extended_result_codes(db, 1));
	if (r == 0)
		r = db_errno(db, sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS));
	if (r == 0)
		r = db_exec(db, role == DB_WRITER ? writer_setup : reader_setup);
	if (r < 0) {
		error_set(err, r, "internal", "the store '%s': %s", path, db ? sqlite3_errmsg(db) : strerror(-r));
		db_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

void db_close(sqlite3 *db)
{
	(void)sqlite3_close_v2(db); /* only ever SQLITE_OK; a checkpoint that fails is made at the next opening */
}

int db_grow_by(sqlite3 *db, int step_bytes)
{
	return db_errno(db, sqlite3_file_control(db, "main", SQLITE_FCNTL_CHUNK_SIZE, &step_bytes));
}

int db_reserve(sqlite3 *db, int64_t bytes)
{
	return db_errno(db, sqlite3_file_control(db, "main", SQLITE_FCNTL_SIZE_HINT, &bytes));
}

void db_rest(sqlite3 *db)
{
	int used = 0, unused = 0;

	if (sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_USED, &used, &unused, 0) == SQLITE_OK && used > CACHE_KEEP_BYTES)
		(void)sqlite3_db_release_memory(db); /* always SQLITE_OK */
}

int query_prepare(struct query *q, sqlite3 *db, const char *sql)
{
	*q = (struct query){ .stmt = NULL };
	return db_errno(db, sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->stmt, NULL));
}

void query_finish(struct query *q)
{
	(void)sqlite3_finalize(q->stmt); /* repeats the last step's failure, which was seen there */
	*q = (struct query){ .stmt = NULL };
}

static void bound(struct query *q, int rc)
{
	if (rc != SQLITE_OK && q->rc == SQLITE_OK)
		q->rc = rc;
}

void query_int(struct query *q, int64_t value)
{
	bound(q, sqlite3_bind_int64(q->stmt, ++q->n_bound, value));
}

void query_u64(struct query *q, uint64_t value)
{
	query_int(q, (int64_t)value);
}

void query_double(struct query *q, double value)
{
	bound(q, sqlite3_bind_double(q->stmt, ++q->n_bound, value));
}

void query_text(struct query *q, const char *text)
{
	bound(q, sqlite3_bind_text(q->stmt, ++q->n_bound, text, -1, SQLITE_STATIC));
}

void query_bytes(struct query *q, const void *data, size_t len)
{
	/* A NULL pointer would bind NULL: no bytes are an empty blob. */
	bound(q, sqlite3_bind_blob64(q->stmt, ++q->n_bound, len > 0 ? data : "", len, SQLITE_STATIC));
}

int query_step(struct query *q)
{
	int rc = q->rc, r;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(q->stmt);
	if (rc == SQLITE_ROW)
		return 1;
	r = db_errno(sqlite3_db_handle(q->stmt), rc);
	query_reset(q);
	return r;
}

void query_reset(struct query *q)
{
	(void)sqlite3_reset(q->stmt); /* repeats the step's failure */
	q->rc = SQLITE_OK;
	q->n_bound = 0;
}

int query_run(struct query *q, int *ret_changes)
{
	int r = query_step(q);

	if (r == 1)
		query_reset(q);
	if (r < 0)
		return r;
	if (ret_changes)
		*ret_changes = sqlite3_changes(sqlite3_db_handle(q->stmt));
	return 0;
}

uint64_t query_column_u64(struct query *q, int column)
{
	return (uint64_t)sqlite3_column_int64(q->stmt, column);
}

int64_t query_column_int(struct query *q, int column)
{
	return sqlite3_column_int64(q->stmt, column);
}

double query_column_double(struct query *q, int column)
{
	return sqlite3_column_double(q->stmt, column);
}

const char *query_column_text(struct query *q, int column)
{
	if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
		return "";
	return (const char *)sqlite3_column_text(q->stmt, column);
}

const void *query_column_bytes(struct query *q, int column, size_t *ret_len)
{
	const void *data = sqlite3_column_blob(q->stmt, column);
	int len = sqlite3_column_bytes(q->stmt, column);

	*ret_len = len > 0 ? (size_t)len : 0;
	if (len == 0 && sqlite3_errcode(sqlite3_db_handle(q->stmt)) != SQLITE_NOMEM)
		return ""; /* sqlite gives NULL for an empty blob */
	return data;
}

uint32_t db_sum(const void *data, size_t len)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	const uint8_t *at = data;
	uint64_t sum = len * odd, word;

	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum = (sum ^ word) * odd;
		sum ^= sum >> 32;
	}
	word = 0;
	if (len > 0)
		memcpy(&word, at, len);
	sum = (sum ^ word) * odd;
	return (uint32_t)(sum ^ sum >> 32);
}
