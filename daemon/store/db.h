/* A thin layer over sqlite3: connections set up alike, result codes as -errno, and queries whose bindings are checked
 * once, when they are stepped. A connection and its queries belong to one thread at a time. */
#ifndef CONCD_STORE_DB_H
#define CONCD_STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

struct error;

enum db_role {
	DB_WRITER, /* creates the file */
	DB_READER,
};

/* Open an existing or (DB_WRITER) new database and set the connection up; says nothing about its schema. 0 or -errno
 * with words. */
int db_open(const char *path, enum db_role role, sqlite3 **ret_db, struct error *err);
void db_close(sqlite3 *db); /* its queries must be finished; NULL is fine */

/* The connection's last failure, whose result code was rc: -ENOSPC for every kind of full, -EEXIST for a key that is
 * there, -EMSGSIZE, -ENOMEM, -EACCES, -EROFS, -EBUSY, -EBADMSG (not a database, damaged), else -EIO. 0 for success. */
int db_errno(sqlite3 *db, int rc);
int db_exec(sqlite3 *db, const char *sql); /* 0 or -errno */
int db_get_int(sqlite3 *db, const char *sql, int64_t *ret_value); /* first column of the first row; -ENOENT: none */

/* Have the database file grow in steps of so many bytes, and be at least so long (it never shrinks by this). 0,
 * -ENOSPC, -EIO. */
int db_grow_by(sqlite3 *db, int step_bytes);
int db_reserve(sqlite3 *db, int64_t bytes);

/* Give back what a connection caches, where it is much: what a large job leaves would stay for ever. */
void db_rest(sqlite3 *db);

struct query {
	sqlite3_stmt *stmt;
	int rc; /* the first binding that failed */
	int n_bound;
};

int query_prepare(struct query *q, sqlite3 *db, const char *sql); /* 0 or -errno */
void query_finish(struct query *q); /* zeroed memory is fine */

/* Bind the next parameter. Bytes and texts must stay until query_reset(). */
void query_int(struct query *q, int64_t value);
void query_u64(struct query *q, uint64_t value); /* kept as a signed 64-bit number */
void query_double(struct query *q, double value);
void query_text(struct query *q, const char *text); /* NULL: SQL's NULL */
void query_bytes(struct query *q, const void *data, size_t len);

/* 1: a row is there; 0: the end; else -errno. After 0 or an error the query is reset and can be bound anew; after 1
 * go on with query_step() or end with query_reset(). */
int query_step(struct query *q);
void query_reset(struct query *q);
/* Step a query without rows. 0 or -errno; *ret_changes (may be NULL): rows that it changed. */
int query_run(struct query *q, int *ret_changes);

uint64_t query_column_u64(struct query *q, int column);
int64_t query_column_int(struct query *q, int column);
double query_column_double(struct query *q, int column);
/* Valid until the next step or reset; "" and a length of 0 for NULL. NULL only when out of memory. */
const char *query_column_text(struct query *q, int column);
const void *query_column_bytes(struct query *q, int column, size_t *ret_len);

/* A checksum for what rests in a row: SQLite notices torn and lost pages, not flipped bits inside a value. */
uint32_t db_sum(const void *data, size_t len);

#endif
