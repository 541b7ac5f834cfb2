#include "base/file_error.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static int denied(struct error *err, int error, const char *code, const char *what, const char *path)
{
	unsigned int self = (unsigned int)geteuid();
	char parent[PATH_MAX], where[3 * PATH_MAX]; /* error_set() cuts what is too long */
	const char *at = path;
	struct stat st;
	char *slash;

	(void)snprintf(parent, sizeof(parent), "%s", path); /* cut, it names nothing, and the words are plain */
	while (stat(at, &st) < 0) {
		slash = strrchr(parent, '/');
		if (!slash || slash == parent)
			return error_set(err, -error, code, "%s '%s': %s", what, path, strerror(error));
		*slash = '\0';
		at = parent;
	}
	if (at == path)
		(void)snprintf(where, sizeof(where), "%s '%s'", what, path);
	else
		(void)snprintf(where, sizeof(where), "%s '%s' cannot be made or reached: '%s'", what, path, at);
	if (st.st_uid == self)
		return error_set(err, -error, code, "%s has mode %04o: its owner, user %u, needs rights: chmod u+rw%s it", where,
				 (unsigned int)st.st_mode & 07777, self, S_ISDIR(st.st_mode) ? "x" : "");
	return error_set(err, -error, code, "%s belongs to user %u and has mode %04o, and concd runs as user %u: chown it to user %u, or "
			 "run concd as its owner", where, (unsigned int)st.st_uid, (unsigned int)st.st_mode & 07777, self, self);
}

int file_error(struct error *err, int error, const char *code, const char *what, const char *path)
{
	struct stat st;

	switch (error) {
	case EACCES:
	case EPERM:
		return denied(err, error, code ? code : "denied", what, path);
	case EROFS:
		return error_set(err, -error, code ? code : "denied", "%s '%s' is on a file system that is mounted read-only: mount it for "
				 "writing, or choose another place", what, path);
	case ELOOP:
		if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
			return error_set(err, -error, code ? code : "internal", "%s '%s' is a symbolic link, which is not followed there: put "
					 "the file itself in its place", what, path);
		break;
	case EISDIR:
		return error_set(err, -error, code ? code : "internal", "%s '%s' is a directory: move it away", what, path);
	default:
		break;
	}
	return error_set(err, -error, code ? code : "internal", "%s '%s': %s", what, path, strerror(error));
}
