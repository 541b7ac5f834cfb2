/* A mebibyte beside the database, given up when the disk is full: without it not even a DELETE could be written. */
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"

#define RESERVE_BYTES (1024 * 1024)
#define ROOM_BYTES (4 * RESERVE_BYTES) /* free before a reserve is taken out of it: it must not cause what it is for */

static char *reserve_path(const char *db_path)
{
	char *path;

	return asprintf(&path, "%s-reserve", db_path) < 0 ? NULL : path;
}

int reserve_make(const char *db_path)
{
	_cleanup_free_ char *path = reserve_path(db_path);
	_cleanup_close_ int fd = -1;
	struct statvfs fs;
	int r;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) >= RESERVE_BYTES)
		return 0;
	if (fstatvfs(fd, &fs) < 0)
		r = -errno;
	else if ((uint64_t)fs.f_bavail * fs.f_frsize < ROOM_BYTES)
		r = -ENOSPC;
	else
		r = -posix_fallocate(fd, 0, RESERVE_BYTES);
	if (r < 0)
		(void)unlink(path); /* half a reserve: the next attempt makes it anew */
	return r;
}

void reserve_give_up(const char *db_path)
{
	_cleanup_free_ char *path = reserve_path(db_path);

	if (path)
		(void)unlink(path); /* where it is not there, there is nothing to give up */
}
