/* The schema and its versions. */
#ifndef CONCD_STORE_SCHEMA_H
#define CONCD_STORE_SCHEMA_H

#include <sqlite3.h>

struct error;

#define SCHEMA_VERSION 2 /* what this program writes: the last row of the migration table */

/* Make the schema of an empty database, or bring an older one up to SCHEMA_VERSION, each step in a transaction of its
 * own. 0 or -errno with words: -ENOTSUP a newer schema, -EBADMSG not a database or another program's. Blocks. */
int schema_migrate(sqlite3 *db, const char *path, struct error *err);

#endif
