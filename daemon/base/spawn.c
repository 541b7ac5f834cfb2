/* Child processes, by posix_spawn: fork() of a large daemon copies its page tables. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"

extern char **environ;

/* Sources that lie among the targets could be overwritten before their turn: move those up. moved[i] is the descriptor
 * to use, own[i] says that it was made here. */
struct sources {
	int fd[SPAWN_MAX_FDS];
	bool own[SPAWN_MAX_FDS];
	size_t n;
};

static void sources_fini(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->own[i])
			(void)close(s->fd[i]); /* a duplicate: nothing to lose */
	}
}

static int sources_init(struct sources *s, const struct spawn *spawn)
{
	s->n = 0;
	for (size_t i = 0; i < spawn->n_fds; i++) {
		int fd = spawn->fds[i];

		s->own[i] = false;
		if (fd < 0) {
			fd = open("/dev/null", O_RDWR | O_CLOEXEC);
			if (fd < 0)
				return -errno;
			s->own[i] = true;
		}
		s->fd[i] = fd;
		s->n = i + 1;
		if (fd < (int)spawn->n_fds) {
			int up = fcntl(fd, F_DUPFD_CLOEXEC, (int)spawn->n_fds);

			if (up < 0)
				return -errno;
			if (s->own[i])
				(void)close(fd); /* replaced by its duplicate */
			s->fd[i] = up;
			s->own[i] = true;
		}
	}
	return 0;
}

static int add_actions(posix_spawn_file_actions_t *actions, const struct sources *s)
{
	int r = 0;

	for (size_t i = 0; i < s->n && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(actions, s->fd[i], (int)i);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(actions, (int)s->n);
	return -r;
}

static int set_attributes(posix_spawnattr_t *attr)
{
	sigset_t all, none;
	int r;

	(void)sigfillset(&all); /* neither can fail */
	(void)sigemptyset(&none);
	r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setpgroup(attr, 0);
	if (r == 0)
		r = posix_spawnattr_setflags(attr,
					     POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	return -r;
}

int spawn_start(const struct spawn *spawn, pid_t *ret_pid, int *ret_pidfd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	struct sources sources;
	pid_t pid = -1;
	int pidfd = -1, r;

	if (spawn->n_fds < 3 || spawn->n_fds > SPAWN_MAX_FDS)
		return -EINVAL;
	r = sources_init(&sources, spawn);
	if (r < 0)
		goto out;
	r = -posix_spawn_file_actions_init(&actions);
	if (r < 0)
		goto out;
	r = -posix_spawnattr_init(&attr);
	if (r < 0)
		goto out_actions;
	r = add_actions(&actions, &sources);
	if (r == 0)
		r = set_attributes(&attr);
	if (r == 0)
		r = -posix_spawn(&pid, spawn->path, &actions, &attr, spawn->argv, spawn->envp ? spawn->envp : environ);
	if (r == 0) {
		pidfd = pidfd_open(pid, 0); /* the child is not reaped yet: the number is still its own */
		if (pidfd < 0) {
			r = -errno;
			(void)kill(pid, SIGKILL); /* it cannot have been reaped */
			(void)waitpid(pid, NULL, 0);
		}
	}
	(void)posix_spawnattr_destroy(&attr); /* never fails */
out_actions:
	(void)posix_spawn_file_actions_destroy(&actions); /* never fails */
out:
	sources_fini(&sources);
	if (r < 0)
		return r;
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

int spawn_kill(int pidfd, int signal)
{
	return pidfd_send_signal(pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int spawn_reap(int pidfd, int block, int *ret_signal, int *ret_exit_status)
{
	siginfo_t info;

	info.si_pid = 0; /* stays so where nothing has ended */
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | (block ? 0 : WNOHANG)) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (info.si_pid == 0)
		return -EAGAIN;
	*ret_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
	*ret_exit_status = info.si_code == CLD_EXITED ? info.si_status : 0;
	return 0;
}
