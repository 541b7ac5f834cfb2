/* Preloaded into concd by the crash tests: ends the process by SIGKILL before or after the k-th of the calls that make
 * something durable or visible, so that a round dies at a known step instead of somewhere.
 *
 *	CONCD_KILL_AT	"K:before" or "K:after"
 *	CONCD_KILL_ARMED	1: counting from the start (recovery); else from the first SIGRTMIN
 *	CONCD_KILL_CALLS	"store": only calls that write files; "other": only the rest; "migration": only calls that
 *			write files between the log line that announces a migration and the next one; else all
 *	CONCD_KILL_LOG	file that gets the name of the call at which the process died
 *
 * Counted are write, writev, pwrite64, fdatasync, fsync, ftruncate64, send, sendmsg and posix_spawn. The counters are
 * removed from the environment of what the daemon spawns by unsetting the variables at the start.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int armed; /* relaxed everywhere: a call more or less around the arming does not matter */
static atomic_long calls;
static long kill_at;
static int kill_after;
static int skip_store, skip_other, only_migration;
static int log_fd = -1;

static void on_arm(int signal)
{
	(void)signal;
	atomic_store_explicit(&armed, 1, memory_order_relaxed);
}

__attribute__((constructor)) static void prepare(void)
{
	const char *at = getenv("CONCD_KILL_AT"), *log = getenv("CONCD_KILL_LOG"), *from = getenv("CONCD_KILL_ARMED");
	const char *which = getenv("CONCD_KILL_CALLS");

	if (!at)
		return;
	kill_at = strtol(at, NULL, 10);
	kill_after = strstr(at, ":after") != NULL;
	skip_store = which && strcmp(which, "other") == 0;
	only_migration = which && strcmp(which, "migration") == 0;
	skip_other = which && (only_migration || strcmp(which, "store") == 0);
	if (log)
		log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (from && *from == '1')
		atomic_store_explicit(&armed, 1, memory_order_relaxed);
	(void)signal(SIGRTMIN, on_arm);
	(void)unsetenv("CONCD_KILL_AT");
	(void)unsetenv("LD_PRELOAD");
}

static void die(const char *call, const char *when)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s %s\n", when, call);

	(void)!syscall(SYS_write, log_fd, line, (size_t)n);
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}

/* Counts one call; true: the process dies after it. */
static int counted(const char *call, int of_store)
{
	long k;

	if (kill_at == 0 || !atomic_load_explicit(&armed, memory_order_relaxed))
		return 0;
	if (of_store ? skip_store : skip_other)
		return 0;
	k = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
	if (k != kill_at)
		return 0;
	if (!kill_after)
		die(call, "before");
	return 1;
}

/* The log tells where a migration begins and that it is over. */
static void look_at_log(const void *data, size_t len)
{
	static const char begin[] = "store: migrating ";

	if (only_migration)
		atomic_store_explicit(&armed, len >= sizeof(begin) && memcmp(data, begin, sizeof(begin) - 1) == 0,
				      memory_order_relaxed);
}

#define WRAP(type, name, of_store, params, args) \
	type name params; /* the declaration that -Wmissing-prototypes wants */ \
	type name params \
	{ \
		static type(*real) params; \
		int last; \
		type result; \
\
		if (!real) \
			*(void **)&real = dlsym(RTLD_NEXT, #name); \
		last = counted(#name, of_store); \
		result = real args; \
		if (last) \
			die(#name, "after"); \
		return result; \
	}

ssize_t write(int fd, const void *data, size_t len); /* the declaration that -Wmissing-prototypes wants */
ssize_t write(int fd, const void *data, size_t len)
{
	static ssize_t (*real)(int fd, const void *data, size_t len);
	ssize_t result;
	int last;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "write");
	last = counted("write", 0);
	result = real(fd, data, len);
	if (last)
		die("write", "after");
	if (fd == STDERR_FILENO)
		look_at_log(data, len);
	return result;
}

WRAP(ssize_t, writev, 0, (int fd, const struct iovec *vec, int n), (fd, vec, n))
WRAP(ssize_t, pwrite64, 1, (int fd, const void *data, size_t len, off64_t at), (fd, data, len, at))
WRAP(ssize_t, pwrite, 1, (int fd, const void *data, size_t len, off_t at), (fd, data, len, at))
WRAP(ssize_t, send, 0, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags))
WRAP(ssize_t, sendmsg, 0, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(int, fdatasync, 1, (int fd), (fd))
WRAP(int, fsync, 1, (int fd), (fd))
WRAP(int, ftruncate64, 1, (int fd, off64_t len), (fd, len))
WRAP(int, posix_spawn, 0,
     (pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *actions,
      const posix_spawnattr_t *restrict attr, char *const argv[restrict], char *const envp[restrict]),
     (pid, path, actions, attr, argv, envp))
