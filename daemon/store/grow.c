/* The database's file grows in steps, by room that the file system sets aside without a byte being written: SQLite, as Debian
 * builds it, writes one into each block, and what was never used then goes to the disk with the rest. */
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROW_BYTES (1024 * 1024) /* steps in which the file grows */

int grow_open(struct grow *grow, const char *path, sqlite3 *db)
{
	int r = query_prepare(&grow->page_count, db, "PRAGMA page_count");

	grow->db = db;
	grow->fd = -1;
	if (r == 0)
		r = db_get_int(db, "PRAGMA page_size", &grow->page_bytes);
	if (r == 0)
		r = db_grow_by(db, GROW_BYTES);
	if (r < 0)
		return r;
	grow->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return grow->fd < 0 ? -errno : 0;
}

void grow_end(struct grow *grow)
{
	query_finish(&grow->page_count);
}

void grow_close(struct grow *grow)
{
	if (grow->fd >= 0)
		(void)close(grow->fd); /* nothing was written through it */
	grow->fd = -1;
}

static int errno_of_room(int error)
{
	switch (error) {
	case EDQUOT:
	case EFBIG:
		return -ENOSPC; /* as db_errno() has it */
	case ENOSPC:
	case EROFS:
		return -error;
	default:
		return -EIO;
	}
}

static int grow_to(const struct grow *grow, int64_t bytes)
{
	int64_t end = (bytes + GROW_BYTES - 1) / GROW_BYTES * GROW_BYTES; /* as SQLite would */
	struct stat st;
	int r;

	if (fstat(grow->fd, &st) < 0)
		return -EIO;
	if (st.st_size >= end)
		return 0;
	do
		r = fallocate(grow->fd, 0, st.st_size, end - st.st_size);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return 0;
	if (errno == EOPNOTSUPP || errno == ENOSYS) /* this file system cannot */
		return db_reserve(grow->db, bytes);
	return errno_of_room(errno);
}

int grow_for_commit(struct grow *grow)
{
	int r = query_step(&grow->page_count);
	int64_t pages;

	if (r <= 0)
		return r < 0 ? r : -EIO;
	pages = query_column_int(&grow->page_count, 0);
	query_reset(&grow->page_count);
	return grow_to(grow, pages * grow->page_bytes);
}
