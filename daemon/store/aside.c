/* A damaged store is put aside under another name, with its log, and an empty one takes its place. Nothing of it is ever
 * changed or removed: who has a tool to mend it finds every byte. */
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

static const char *const suffixes[] = { "", "-wal", "-journal" };

/* Give every file its new name as a second one. 0; -EEXIST: the name is taken; -errno. */
static int link_all(const char *path, const char *aside)
{
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *from = NULL, *to = NULL;

		if (asprintf(&from, "%s%s", path, suffixes[i]) < 0 || asprintf(&to, "%s%s", aside, suffixes[i]) < 0)
			return -ENOMEM;
		if (link(from, to) < 0 && !(errno == ENOENT && i > 0))
			return -errno;
	}
	return 0;
}

/* Take the old names away. The index of the log is made anew from it. */
static int unlink_all(const char *path)
{
	_cleanup_free_ char *index = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *name = NULL;

		if (asprintf(&name, "%s%s", path, suffixes[i]) < 0)
			return -ENOMEM;
		if (unlink(name) < 0 && errno != ENOENT)
			return -errno;
	}
	if (asprintf(&index, "%s-shm", path) < 0)
		return -ENOMEM;
	(void)unlink(index); /* where it is not there, nothing is to be done */
	return 0;
}

static int sync_dir(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Linked first and unlinked when that is on disk: a kill in between leaves every file under one name at least, and the
 * damaged store is found again. */
static int move(const char *path, const char *aside)
{
	int r = link_all(path, aside);

	if (r == 0)
		r = sync_dir(path);
	if (r == 0)
		r = unlink_all(path);
	return r == 0 ? sync_dir(path) : r;
}

int store_move_aside(const char *path, char **ret_aside, struct error *err)
{
	time_t now = time(NULL);
	char date[32] = "";
	struct tm tm;
	int r = -EEXIST;

	if (gmtime_r(&now, &tm))
		(void)strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm); /* fits */
	for (int i = 1; r == -EEXIST && i < 100; i++) {
		char *aside = NULL;

		if (asprintf(&aside, i > 1 ? "%s.damaged-%s.%d" : "%s.damaged-%s", path, date, i) < 0)
			return -ENOMEM;
		r = move(path, aside);
		if (r == 0)
			*ret_aside = aside;
		else
			free(aside);
	}
	return r < 0 ? error_set(err, r, "internal", "the damaged store '%s' cannot be moved aside: %s", path, strerror(-r)) : 0;
}
