/* Child processes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/spawn.h"

static int start(const char *script, const int *fds, size_t n_fds, int *ret_pidfd)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	pid_t pid;

	return spawn_start(&(struct spawn){ .path = "/bin/sh", .argv = argv, .fds = fds, .n_fds = n_fds }, &pid,
			   ret_pidfd);
}

static void a_child_has_the_named_descriptors_and_no_other(void **state)
{
	int pair[2], pidfd, stray, signal, status;
	char text[256];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	stray = open("/dev/null", O_RDONLY); /* not close-on-exec, as a careless library would leave it */
	assert_true(stray >= 0);
	assert_int_equal(start("echo /proc/self/fd/*; echo three >&3", (int[]){ -1, pair[1], 2, pair[1] }, 4, &pidfd),
			 0);
	(void)close(pair[1]);
	n = io_read_full(pair[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	/* 4 is the directory that the shell itself reads. */
	assert_string_equal(text,
			    "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3 /proc/self/fd/4\nthree\n");
	assert_int_equal(spawn_reap(pidfd, 1, &signal, &status), 0);
	assert_int_equal(status, 0);
	(void)close(pidfd);
	(void)close(pair[0]);
	(void)close(stray);
}

static void low_descriptors_may_be_permuted(void **state)
{
	int a[2], b[2], low_a, low_b, pidfd, signal, status;
	char text[16] = "";

	(void)state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	low_a = a[1];
	low_b = b[1];
	/* Both are among the targets of a child with 16 descriptors, and each goes where the other is. */
	assert_true(low_a < SPAWN_MAX_FDS && low_b < SPAWN_MAX_FDS);
	{
		int fds[SPAWN_MAX_FDS];
		char script[64];

		for (size_t i = 0; i < SPAWN_MAX_FDS; i++)
			fds[i] = -1;
		fds[low_a] = low_b;
		fds[low_b] = low_a;
		(void)snprintf(script, sizeof(script), "echo to-b >/proc/self/fd/%d; echo to-a >/proc/self/fd/%d",
			       low_a, low_b);
		assert_int_equal(start(script, fds, SPAWN_MAX_FDS, &pidfd), 0);
	}
	assert_int_equal(spawn_reap(pidfd, 1, &signal, &status), 0);
	(void)close(a[1]);
	(void)close(b[1]);
	assert_true(io_read_full(a[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "to-a\n");
	memset(text, 0, sizeof(text));
	assert_true(io_read_full(b[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "to-b\n");
	(void)close(a[0]);
	(void)close(b[0]);
	(void)close(pidfd);
}

static void a_program_that_is_missing_is_an_error(void **state)
{
	char *argv[] = { (char *)"x", NULL };
	pid_t pid;
	int pidfd;

	(void)state;
	assert_int_equal(spawn_start(&(struct spawn){ .path = "/nonexistent/x",
						      .argv = argv,
						      .fds = (int[]){ -1, -1, -1 },
						      .n_fds = 3 },
				     &pid, &pidfd),
			 -ENOENT);
}

static void an_ignored_signal_is_not_inherited(void **state)
{
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	int pidfd, sig, status;

	(void)state;
	assert_int_equal(start("kill -PIPE $$; exit 0", (int[]){ -1, -1, -1 }, 3, &pidfd), 0);
	assert_int_equal(spawn_reap(pidfd, 1, &sig, &status), 0);
	assert_int_equal(sig, SIGPIPE);
	assert_int_equal(status, 0);
	(void)close(pidfd);
	(void)signal(SIGPIPE, before);
}

static void a_killed_child_is_reaped_once(void **state)
{
	struct pollfd poll_fd;
	int pidfd, sig, status;

	(void)state;
	assert_int_equal(start("sleep 1000", (int[]){ -1, -1, -1 }, 3, &pidfd), 0);
	assert_int_equal(spawn_reap(pidfd, 0, &sig, &status), -EAGAIN);
	assert_int_equal(spawn_kill(pidfd, SIGKILL), 0);
	poll_fd = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	assert_int_equal(poll(&poll_fd, 1, 10000), 1);
	assert_int_equal(spawn_reap(pidfd, 0, &sig, &status), 0);
	assert_int_equal(sig, SIGKILL);
	assert_int_equal(spawn_kill(pidfd, SIGKILL), -ESRCH);
	assert_int_equal(spawn_reap(pidfd, 0, &sig, &status), -ECHILD);
	(void)close(pidfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_has_the_named_descriptors_and_no_other),
		cmocka_unit_test(low_descriptors_may_be_permuted),
		cmocka_unit_test(a_program_that_is_missing_is_an_error),
		cmocka_unit_test(an_ignored_signal_is_not_inherited),
		cmocka_unit_test(a_killed_child_is_reaped_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
