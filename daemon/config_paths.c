/* Where things are unless a file says otherwise, and making the directories that concd writes to. */
#include "config.h"
#include "config_private.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file_error.h"

#define PRIVATE_DIR "/tmp/concd-%u" /* of a user without XDG_RUNTIME_DIR */

static int format_path(char **ret_path, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int format_path(char **ret_path, const char *format, ...)
{
	char *path;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&path, format, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The length of path without its last component; 0 for one directly under the root. */
static size_t parent_len(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

/* A build tree has concd-worker beside concd, and libtool's .libs folders. 0; -ENOENT: this is none; -ENOMEM. */
static int find_in_build_tree(const char *exe, char **ret_worker_path, char **ret_plugin_dir)
{
	_cleanup_free_ char *worker = NULL, *plugins = NULL;
	size_t len = parent_len(exe, strlen(exe));
	int dir;

	if (len >= 6 && memcmp(exe + len - 6, "/.libs", 6) == 0)
		len -= 6;
	dir = (int)len;
	if (format_path(&worker, "%.*s/concd-worker", dir, exe) < 0 ||
	    format_path(&plugins, "%.*s/plugins/.libs", dir, exe) < 0)
		return -ENOMEM;
	if (access(worker, X_OK) < 0 || !is_dir(plugins))
		return -ENOENT;
	*ret_worker_path = take_ptr(worker);
	*ret_plugin_dir = take_ptr(plugins);
	return 0;
}

int config_find_programs(const char *exe, char **ret_worker_path, char **ret_plugin_dir)
{
	static const char installed[] = SBINDIR "/concd";
	_cleanup_free_ char *worker = NULL, *plugins = NULL;
	size_t len = strlen(exe);
	int stage = 0; /* length of the directory that `make install DESTDIR=` was given */
	int r;

	r = find_in_build_tree(exe, ret_worker_path, ret_plugin_dir);
	if (r != -ENOENT)
		return r;
	if (len > sizeof(installed) - 1 && strcmp(exe + len - (sizeof(installed) - 1), installed) == 0)
		stage = (int)(len - (sizeof(installed) - 1));
	if (format_path(&worker, "%.*s%s/concd-worker", stage, exe, PKGLIBEXECDIR) < 0 ||
	    format_path(&plugins, "%.*s%s", stage, exe, PLUGINDIR) < 0)
		return -ENOMEM;
	*ret_worker_path = take_ptr(worker);
	*ret_plugin_dir = take_ptr(plugins);
	return 0;
}

/* $XDG_RUNTIME_DIR where it is what the XDG specification asks for: an absolute directory of our own. */
static const char *xdg_runtime_dir(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (!dir || *dir != '/' || stat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return NULL;
	return dir;
}

static int find_user_state(char **ret_state_dir, struct error *err)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && *state == '/')
		return format_path(ret_state_dir, "%s/concd", state);
	if (!home || *home != '/') {
		/* Static storage is fine: this runs before there are threads. */
		const struct passwd *pw = getpwuid(geteuid());

		home = pw ? pw->pw_dir : NULL;
	}
	if (!home || *home != '/')
		return error_set(err, -ENOENT, "bad-config",
				 "there is no home directory to keep state in: set state_dir in a file given with -c");
	return format_path(ret_state_dir, "%s/.local/state/concd", home);
}

int config_find_places(bool system, char **ret_socket_path, char **ret_state_dir, struct error *err)
{
	_cleanup_free_ char *socket_path = NULL, *state_dir = NULL;
	const char *runtime = xdg_runtime_dir();
	int r;

	if (system) {
		r = format_path(&socket_path, "%s/concd/control.sock", RUNSTATEDIR);
		if (r == 0)
			r = format_path(&state_dir, "%s/lib/concd", LOCALSTATEDIR);
	} else {
		r = runtime ? format_path(&socket_path, "%s/concd/control.sock", runtime)
			    : format_path(&socket_path, PRIVATE_DIR "/control.sock", (unsigned int)geteuid());
		if (r == 0)
			r = find_user_state(&state_dir, err);
	}
	if (r < 0)
		return error_set(err, r, "bad-config", "%s", strerror(-r));
	*ret_socket_path = take_ptr(socket_path);
	*ret_state_dir = take_ptr(state_dir);
	return 0;
}

/* mkdir -p: parents as the umask has them, the last one with this mode. */
static int make_dir(const char *path, mode_t mode, const char *key, struct error *err)
{
	_cleanup_free_ char *part = strdup(path);

	if (!part)
		return -ENOMEM;
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return error_set(err, -errno, "bad-config", "%s: cannot make '%s': %s: make '%s' for user %u, or set %s to another "
					 "place", key, part, strerror(errno), path, (unsigned int)geteuid(), key);
		*slash = '/';
	}
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return error_set(err, -errno, "bad-config",
				 "%s: cannot make '%s': %s: make it for user %u, or set %s "
				 "to another place",
				 key, path, strerror(errno), (unsigned int)geteuid(), key);
	return 0;
}

static int make_state_dir(const char *path, struct error *err)
{
	struct stat st;
	int r;

	r = make_dir(path, 0700, "state_dir", err);
	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return error_set(err, -errno, "bad-config", "state_dir: '%s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(err, -ENOTDIR, "bad-config", "state_dir: '%s' is not a directory", path);
	if (st.st_uid != geteuid())
		return error_set(
			err, -EPERM, "bad-config",
			"state_dir: '%s' belongs to user %u and concd runs as user %u: run it as its owner, or "
			"set state_dir to another place",
			path, (unsigned int)st.st_uid, (unsigned int)geteuid());
	if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		return file_error(err, errno, "bad-config", "state_dir:", path);
	if (st.st_mode & S_IWOTH)
		return error_set(err, -EPERM, "bad-config", "state_dir: everybody may write to '%s': chmod o-w it",
				 path);
	return 0;
}

/* Anybody may have made the directory under /tmp first. */
static int check_private_dir(const char *dir, const struct stat *st, struct error *err)
{
	char private_dir[32];

	(void)snprintf(private_dir, sizeof(private_dir), PRIVATE_DIR, (unsigned int)geteuid()); /* fits */
	if (strcmp(dir, private_dir) != 0)
		return 0;
	if (!S_ISDIR(st->st_mode) || st->st_uid != geteuid() || (st->st_mode & 077))
		return error_set(err, -EPERM, "bad-config",
				 "control.socket: '%s' is not a directory that only user %u can use: remove it, set "
				 "XDG_RUNTIME_DIR, or set control.socket to another place",
				 dir, (unsigned int)geteuid());
	return 0;
}

int config_make_dirs(const struct config *config, struct error *err)
{
	_cleanup_free_ char *dir = NULL;
	struct stat st;
	int r;

	r = make_state_dir(config->state_dir, err);
	if (r < 0)
		return r;
	dir = strndup(config->socket_path, parent_len(config->socket_path, strlen(config->socket_path)));
	if (!dir)
		return -ENOMEM;
	if (!*dir)
		return 0;
	/* Others reach the system's socket by its group; nobody has a business in an ordinary user's. */
	r = make_dir(dir, geteuid() == 0 ? 0755 : 0700, "control.socket", err);
	if (r < 0)
		return r;
	if (lstat(dir, &st) < 0)
		return error_set(err, -errno, "bad-config", "control.socket: '%s': %s", dir, strerror(errno));
	r = check_private_dir(dir, &st, err);
	if (r < 0)
		return r;
	if (stat(dir, &st) == 0 && (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
		return error_set(err, -EPERM, "bad-config", "control.socket: everybody may write to '%s': chmod o-w it",
				 dir);
	return 0;
}
