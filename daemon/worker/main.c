/* concd-worker: the process that runs plugins. `--describe FILE` says what a plugin is; otherwise the daemon starts it
 * with the descriptors of crew/wire.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crew/wire.h"
#include "worker/host.h"
#include "worker/loader.h"

#define EXIT_USAGE 2

static int describe(const char *path)
{
	struct loaded_plugin loaded;
	struct error err = ERROR_INIT;
	int r = loader_open(path, &loaded, &err);

	if (r < 0) {
		(void)fprintf(stderr, "%s\n", err.text); /* nowhere left to complain to */
		return 1;
	}
	r = loader_describe(&loaded.plugin, stdout);
	if (r < 0)
		(void)fprintf(stderr, "plugin '%s': cannot be described: %s\n", path, strerror(-r)); /* likewise */
	loader_close(&loaded);
	return r < 0 ? 1 : 0;
}

/* In a child that a plugin forked: give up what tells the daemon that this process lives. The descriptor of the segment
 * was closed before any plugin code ran, and its mapping is not inherited. */
static void drop_in_child(void)
{
	(void)close(WORKER_FD_SOCKET); /* nothing is written through them that could be lost */
	(void)close(WORKER_FD_EVENT);
	(void)close(WORKER_FD_LOCK);
}

static bool is_started_by_daemon(void)
{
	socklen_t len = sizeof(int);
	int type;

	if (getsockopt(WORKER_FD_SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
		return false;
	return fcntl(WORKER_FD_SEGMENT, F_GETFD) >= 0 && fcntl(WORKER_FD_EVENT, F_GETFD) >= 0;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return; /* the limit stays what it was, and reaching it is a task's error */
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* likewise */
}

static void on_ignored(int signal)
{
	(void)signal; /* a handler and not SIG_IGN, which programs started by a plugin would inherit */
}

/* SIGPIPE: writes say EPIPE. SIGINT and SIGHUP of a terminal go to the daemon as well, which ends its workers in
 * order. */
static void ignore_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGINT, SIGHUP };
	struct sigaction action = { .sa_handler = on_ignored, .sa_flags = SA_RESTART };

	(void)sigemptyset(&action.sa_mask); /* cannot fail */
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		(void)sigaction(ignored[i], &action, NULL); /* cannot fail for these */
}

static int serve(void)
{
	const struct host_fds fds = {
		.socket = WORKER_FD_SOCKET, .segment = WORKER_FD_SEGMENT, .event = WORKER_FD_EVENT
	};

	if (!is_started_by_daemon()) {
		(void)fprintf(stderr, "concd-worker is started by concd; by hand only: concd-worker --describe FILE\n");
		return EXIT_USAGE;
	}
	for (int fd = WORKER_FD_SOCKET; fd <= WORKER_FD_LOCK; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* fails only where there is no lock to keep from programs */
	ignore_signals();
	raise_descriptor_limit();
	if (pthread_atfork(NULL, NULL, drop_in_child) != 0) {
		(void)fprintf(stderr, "worker: no memory\n"); /* the daemon logs it */
		return 1;
	}
	return host_run(&fds);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--describe") == 0)
		return describe(argv[2]);
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("concd-worker " PACKAGE_VERSION) < 0 ? 1 : 0;
	if (argc > 1) {
		(void)fprintf(stderr, "usage: concd-worker --describe FILE | --version\n"); /* nowhere else to say it */
		return EXIT_USAGE;
	}
	return serve();
}
