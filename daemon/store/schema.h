/* The schema and its versions. */
#ifndef CONCD_STORE_SCHEMA_H
#define CONCD_STORE_SCHEMA_H

#include <stdint.h>

#include <sqlite3.h>

struct error;

#define SCHEMA_VERSION 3 /* what this program writes: the last row of the migration table */

/* Make the schema of an empty database, or bring an older one up to SCHEMA_VERSION, each step in a transaction of its
 * own. 0 or -errno with words as schema_known(). Blocks. */
int schema_migrate(sqlite3 *db, const char *path, struct error *err);

/* Is this a store that this program knows, perhaps of an older version (0: still empty)? 0 or -errno with words: -EBADMSG
 * damaged, -ENOTSUP a newer schema, -EINVAL another program's database. */
int schema_known(sqlite3 *db, const char *path, int64_t *ret_version, struct error *err);

#endif
