/* A worker process that does wrong what can be done wrong on the socketpair: $HOSTILE says what. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "crew/wire.h"

/* Varints, with descriptors. */
static void say(const uint64_t *values, size_t n, const int *fds, size_t n_fds)
{
	uint8_t data[256], *at = data;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	struct iovec iov = { .iov_base = data };
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1 };

	for (size_t i = 0; i < n; i++)
		at = varint_put(at, values[i]);
	iov.iov_len = (size_t)(at - data);
	if (n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&head);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	(void)!sendmsg(WORKER_FD_SOCKET, &head, MSG_NOSIGNAL);
}

#define SAY(...) say((const uint64_t[]){ __VA_ARGS__ }, sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t), NULL, 0)
#define SAY_FDS(fds, n, ...) \
	say((const uint64_t[]){ __VA_ARGS__ }, sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t), fds, n)

static void do_wrong(const char *what)
{
	int pair[2] = { -1, -1 };
	const int event = eventfd(0, EFD_CLOEXEC);

	if (pipe(pair) < 0)
		exit(9);
	if (strcmp(what, "unknown-type") == 0)
		SAY(4711);
	else if (strcmp(what, "nothing") == 0)
		(void)!send(WORKER_FD_SOCKET, "\xff", 1, MSG_NOSIGNAL);
	else if (strcmp(what, "to-worker-type") == 0)
		SAY(WIRE_JOB, 1);
	else if (strcmp(what, "ready-without-fd") == 0)
		SAY(WIRE_READY, 0, 1, 0);
	else if (strcmp(what, "ready-other-runner") == 0)
		SAY_FDS(&event, 1, WIRE_READY, 7, 1, 0);
	else if (strcmp(what, "ready-too-many") == 0)
		SAY_FDS(((const int[]){ event, event }), 2, WIRE_READY, 0, 2, 0);
	else if (strcmp(what, "ready-unguarded") == 0) /* more than it has */
		SAY_FDS(&event, 1, WIRE_READY, 0, 1, 1001);
	else if (strcmp(what, "ready-pipe") == 0)
		SAY_FDS(&pair[1], 1, WIRE_READY, 0, 1, 0);
	else if (strcmp(what, "overdue-range") == 0)
		SAY(WIRE_OVERDUE, 0, UINT64_MAX, 0, 0);
	else if (strcmp(what, "dropped-cut") == 0)
		SAY(WIRE_DROPPED);
	else if (strcmp(what, "init-failed-cut") == 0)
		SAY(WIRE_INIT_FAILED, 200);
	else if (strcmp(what, "too-long") == 0) {
		char *data = calloc(1, WIRE_MAX_BYTES + 4096);

		(void)!send(WORKER_FD_SOCKET, data, WIRE_MAX_BYTES + 4096, MSG_NOSIGNAL);
		free(data);
	} else if (strcmp(what, "hang-up") == 0) {
		(void)close(WORKER_FD_SOCKET);
	} else if (strcmp(what, "flood") == 0) {
		for (int i = 0; i < 20000; i++)
			(void)!write(STDERR_FILENO, "\033[2Jflood\n", 10);
		exit(7);
	} else if (strcmp(what, "exit") == 0) {
		(void)!write(STDERR_FILENO, "no licence\n", 11);
		exit(5);
	} else if (strcmp(what, "ready-then-die") == 0) {
		SAY_FDS(&event, 1, WIRE_READY, 0, 1, 0);
		exit(6);
	}
}

int main(void)
{
	const char *what = getenv("HOSTILE");

	do_wrong(what ? what : "");
	for (;;) /* and never ends by itself */
		(void)pause();
}
