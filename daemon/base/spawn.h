/* Child processes: started with exactly the descriptors named, watched and killed through a pidfd, so that a number
 * that the kernel gives to another process is never signalled. */
#ifndef CONCD_BASE_SPAWN_H
#define CONCD_BASE_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#define SPAWN_MAX_FDS 16

struct spawn {
	const char *path; /* of the program; not searched for */
	char *const *argv; /* ends with NULL */
	char *const *envp; /* NULL: this process's own */
	const int *fds; /* the child's descriptor i is fds[i]; -1: /dev/null, for reading and writing */
	size_t n_fds; /* 3..SPAWN_MAX_FDS; the child has no other descriptor */
};

/* Start the program with default signal handling, no signal blocked, in a process group of its own (a Ctrl-C meant for
 * the daemon does not reach it). 0; -errno of opening /dev/null, of the exec (-ENOENT, -EACCES ...) or of fork. The
 * descriptors stay the caller's; *ret_pidfd is the caller's to close (close-on-exec). Does not block noticeably; any
 * thread. */
int spawn_start(const struct spawn *spawn, pid_t *ret_pid, int *ret_pidfd);

/* 0; -ESRCH where it has ended already. */
int spawn_kill(int pidfd, int signal);

/* Reap. 0; -EAGAIN while it runs (unless `block`). Exactly one of signal and exit_status is set, the other is 0. */
int spawn_reap(int pidfd, int block, int *ret_signal, int *ret_exit_status);

#endif
