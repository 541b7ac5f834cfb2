/* Finding and connecting to the control socket. */
#include "connect.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "protocol.h"

#define HOW_TO_START "start it with 'systemctl start concd', or for yourself with 'concd'"
#define PRIVATE_DIR "/tmp/concd-%u" /* of a user without XDG_RUNTIME_DIR */
#define NAME_BYTES 64

static int check_length(const char *path, struct error *err)
{
	struct sockaddr_un address;

	if (strlen(path) < sizeof(address.sun_path))
		return 0;
	return error_set(err, -ENAMETOOLONG, "usage", "socket '%s': a socket's path has at most %zu bytes", path,
			 sizeof(address.sun_path) - 1);
}

static bool is_own_directory(const char *dir)
{
	struct stat st;

	return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/* The socket of a daemon that this user started, by the same rule as the daemon's own. What lies in /tmp and is not
 * ours is somebody else's, whatever its name: false then. */
static bool own_path(char path[PATH_MAX])
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	int n;

	if (dir && *dir == '/' && is_own_directory(dir)) {
		n = snprintf(path, PATH_MAX, "%s/concd/control.sock", dir);
		return n > 0 && n < PATH_MAX;
	}
	(void)snprintf(path, PATH_MAX, PRIVATE_DIR, (unsigned int)geteuid());
	if (!is_own_directory(path))
		return false;
	strcat(path, "/control.sock");
	return true;
}

int socket_find(const char *given, char ret_path[PATH_MAX], struct error *err)
{
	const char *env = getenv("CONCD_SOCKET");
	struct stat st;
	int r;

	if (!given && env && *env)
		given = env;
	if (given) {
		r = check_length(given, err);
		if (r < 0)
			return r;
		strcpy(ret_path, given);
		return 0;
	}
	strcpy(ret_path, SYSTEM_SOCKET);
	/* A directory that may not be searched hides a daemon that does exist: connecting will say so. */
	if (lstat(SYSTEM_SOCKET, &st) == 0 || errno == EACCES)
		return 0;
	if (!own_path(ret_path) || lstat(ret_path, &st) < 0) {
		ret_path[0] = '\0';
		return 0;
	}
	return check_length(ret_path, err);
}

static void user_name(uid_t uid, char name[NAME_BYTES])
{
	const struct passwd *pw = getpwuid(uid);

	if (pw)
		(void)snprintf(name, NAME_BYTES, "%s", pw->pw_name);
	else
		(void)snprintf(name, NAME_BYTES, "%u", (unsigned int)uid);
}

static void group_name(gid_t gid, char name[NAME_BYTES])
{
	const struct group *gr = getgrgid(gid);

	if (gr)
		(void)snprintf(name, NAME_BYTES, "%s", gr->gr_name);
	else
		(void)snprintf(name, NAME_BYTES, "%u", (unsigned int)gid);
}

/* The part of path that refuses: the first directory that may not be searched, or the socket itself. */
static void refusing_part(const char *path, char part[PATH_MAX])
{
	(void)snprintf(part, PATH_MAX, "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (access(part, X_OK) < 0)
			return;
		*slash = '/';
	}
}

/* What lets this user in, given who may. */
static void add_remedy(struct error *err, const struct stat *st, const char *owner, const char *group, const char *me)
{
	size_t used = strlen(err->text), room = sizeof(err->text) - used;
	char *at = err->text + used;
	const struct group *gr = getgrgid(st->st_gid);

	/* Nobody is to be told to join root. */
	if (st->st_gid == 0 || !(st->st_mode & (S_ISDIR(st->st_mode) ? S_IXGRP : S_IWGRP))) {
		(void)snprintf(at, room, ". Only %s may use it: run this as %s, or set control.group and control.mode "
			       "in concd.conf", owner, owner);
		return;
	}
	for (char **member = gr ? gr->gr_mem : NULL; member && *member; member++)
		if (strcmp(*member, me) == 0) {
			(void)snprintf(at, room, " and have been put in group %s: log in again, or try 'newgrp %s'",
				       group, group);
			return;
		}
	(void)snprintf(at, room, " and not in group %s. To be let in: sudo usermod -aG %s %s, then log in again", group,
		       group, me);
}

static int explain_refusal(const char *path, struct error *err)
{
	char part[PATH_MAX], owner[NAME_BYTES], group[NAME_BYTES], me[NAME_BYTES];
	struct stat st;

	refusing_part(path, part);
	user_name(geteuid(), me);
	if (lstat(part, &st) < 0)
		return error_set(err, -EACCES, "denied", "permission denied on %s; you are %s (uid %u)", path, me,
				 (unsigned int)geteuid());
	user_name(st.st_uid, owner);
	group_name(st.st_gid, group);
	(void)error_set(err, -EACCES, "denied",
			"permission denied on %s (owner %s, group %s, mode %04o); you are %s (uid %u)", part, owner,
			group, (unsigned int)(st.st_mode & 07777), me, (unsigned int)geteuid());
	if (err)
		add_remedy(err, &st, owner, group, me);
	return -EACCES;
}

static int explain(const char *path, int errnum, struct error *err)
{
	struct stat st;

	if (errnum == EACCES || errnum == EPERM)
		return explain_refusal(path, err);
	if (errnum == ENOENT || errnum == ENOTDIR)
		return error_set(err, -errnum, "unreachable",
				 "cannot reach concd: there is no socket %s; is concd running? " HOW_TO_START, path);
	if (errnum == ECONNREFUSED && stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return error_set(err, -errnum, "unreachable", "cannot reach concd: %s is not a socket", path);
	if (errnum == ECONNREFUSED)
		return error_set(err, -errnum, "unreachable",
				 "cannot reach concd: nobody listens on %s (left behind by a daemon that has ended); "
				 HOW_TO_START, path);
	return error_set(err, -errnum, "unreachable", "cannot reach concd at %s: %s", path, strerror(errnum));
}

int socket_connect(const char *given, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int r = socket_find(given, path, err);

	if (r < 0)
		return r;
	if (!path[0]) {
		if (!own_path(path))
			strcpy(path, getenv("XDG_RUNTIME_DIR") ? "one of your own in $XDG_RUNTIME_DIR/concd" :
			       "one of your own (XDG_RUNTIME_DIR is not set)");
		return error_set(err, -ENOENT, "unreachable",
				 "cannot reach concd: there is no socket " SYSTEM_SOCKET " nor %s; is concd running? "
				 HOW_TO_START " (another socket: -s or CONCD_SOCKET)", path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, -errno, "internal", "cannot make a socket: %s", strerror(errno));
	memcpy(address.sun_path, path, strlen(path) + 1);
	while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		if (errno != EINTR)
			return explain(path, errno, err);
	return take_fd(&fd);
}
