/* Binding without harm to others: a name is removed only when nobody serves it, and at the end only when it is still the
 * one made here. The new socket gets its owner and mode under a temporary name and is renamed into place, so that no
 * client ever meets it with other rights, and two daemons that start at once do not remove each other's. */
#include "control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file_error.h"

#define LISTEN_BACKLOG 1024
#define GROUP_BYTES (64u << 10)

static int make_directory(const char *path, bool private_dir, struct error *err)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -ENOMEM;
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, private_dir ? 0700 : 0755) < 0 && errno != EEXIST) {
		int r = -errno;

		return error_set(err, r, "internal", "control socket: directory '%s': %s", dir, strerror(errno));
	}
	return 0;
}

/* Look at what lies at path. 0: nothing, or a stale socket, which may be replaced. */
static int check_path(const char *path, const struct sockaddr_un *addr, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct ucred cred = { .pid = 0 };
	socklen_t len = sizeof(cred);
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : file_error(err, errno, NULL, "control socket", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, -EEXIST, "internal", "control socket '%s': something that is not a socket is there; "
				 "remove it or choose another path", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, -errno, "internal", "control socket '%s': %s", path, strerror(errno));
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno != EAGAIN) {
		if (errno == ECONNREFUSED || errno == ENOENT)
			return 0; /* nobody listens: left behind */
		return error_set(err, -errno, "internal", "control socket '%s': %s", path, strerror(errno));
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		cred.pid = 0;
	return error_set(err, -EADDRINUSE, "internal", "control socket '%s': a daemon serves it already (process %d); "
			 "stop that one first or choose another path", path, (int)cred.pid);
}

static int apply_rights(const char *path, const char *group, mode_t mode, struct error *err)
{
	_cleanup_free_ char *buf = malloc(GROUP_BYTES);
	struct group entry, *found = NULL;

	if (!buf)
		return -ENOMEM;
	if (group) {
		int r = getgrnam_r(group, &entry, buf, GROUP_BYTES, &found);

		if (!found)
			return error_set(err, r ? -r : -ENOENT, "internal", "control socket: there is no group '%s'; create it "
					 "or change control.group", group);
		if (chown(path, (uid_t)-1, found->gr_gid) < 0)
			return error_set(err, -errno, "internal", "control socket: it cannot be given to group '%s': %s; the "
					 "daemon must be root or in that group", group, strerror(errno));
	}
	if (chmod(path, mode) < 0)
		return error_set(err, -errno, "internal", "control socket: mode %04o: %s", (unsigned int)mode,
				 strerror(errno));
	return 0;
}

/* Bind under a name beside the final one. */
static int bind_aside(int fd, const char *path, struct sockaddr_un *addr, struct error *err)
{
	/* the pid makes it ours alone; what an earlier process of that number left is in nobody's use */
	int n = snprintf(addr->sun_path, sizeof(addr->sun_path), "%s.%d", path, (int)getpid());

	if (n < 0 || (size_t)n >= sizeof(addr->sun_path)) {
		/* no room for the longer name: bind in place, with no rights for others until they are applied */
		(void)snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path); /* was checked to fit */
	}
	(void)unlink(addr->sun_path); /* bind() tells if it is there still */
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return file_error(err, errno, NULL, "control socket", addr->sun_path);
	return 0;
}

int control_socket_open(const char *path, const char *group, mode_t mode, bool private_dir,
			struct control_socket *ret_socket, struct error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX }, aside = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *copy = strdup(path);
	struct stat st;
	int r;

	if (!copy)
		return -ENOMEM;
	if (strlen(path) >= sizeof(addr.sun_path))
		return error_set(err, -ENAMETOOLONG, "internal", "control socket '%s': the path has %zu bytes; the system allows "
				 "%zu", path, strlen(path), sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	r = make_directory(path, private_dir, err);
	if (r < 0)
		return r;
	r = check_path(path, &addr, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || fchmod(fd, 0600) < 0) /* the mode that bind() gives the name */
		return error_set(err, -errno, "internal", "control socket '%s': %s", path, strerror(errno));
	r = bind_aside(fd, path, &aside, err);
	if (r < 0)
		return r;
	r = apply_rights(aside.sun_path, group, mode, err);
	if (r == 0 && (listen(fd, LISTEN_BACKLOG) < 0 || stat(aside.sun_path, &st) < 0 ||
		       (strcmp(aside.sun_path, path) != 0 && rename(aside.sun_path, path) < 0)))
		r = error_set(err, -errno, "internal", "control socket '%s': %s", path, strerror(errno));
	if (r < 0) {
		(void)unlink(aside.sun_path); /* the first failure is the one to tell */
		return r;
	}
	*ret_socket = (struct control_socket){ .fd = take_fd(&fd), .path = take_ptr(copy), .device = st.st_dev,
					       .inode = st.st_ino };
	return 0;
}

int control_socket_inherit(int fd, struct control_socket *ret_socket, struct error *err)
{
	int domain = 0, type = 0, listening = 0, flags = fcntl(fd, F_GETFL);
	socklen_t len = sizeof(int);

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || domain != AF_UNIX ||
	    type != SOCK_STREAM || !listening) {
		(void)close(fd); /* nothing of ours went through it */
		return error_set(err, -EINVAL, "internal", "control socket: descriptor %d, handed over by the service manager, is "
				 "no listening Unix stream socket", fd);
	}
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int r = -errno;

		(void)close(fd);
		return error_set(err, r, "internal", "control socket: descriptor %d: %s", fd, strerror(-r));
	}
	*ret_socket = (struct control_socket){ .fd = fd };
	return 0;
}

void control_socket_close(struct control_socket *socket)
{
	struct stat st;

	if (socket->path && lstat(socket->path, &st) == 0 && st.st_dev == socket->device && st.st_ino == socket->inode)
		(void)unlink(socket->path); /* a left socket is stale and will be replaced */
	if (socket->fd >= 0)
		(void)close(socket->fd);
	free(socket->path);
	*socket = (struct control_socket)CONTROL_SOCKET_INIT;
}
