/* Asking plugins to describe themselves. A plugin that hangs is killed, one that prints without end is cut off. */
#include "crew/describe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/spawn.h"

#define MAX_JOBS 64
#define MAX_OUT_BYTES (256u << 10)
#define MAX_ERR_BYTES 4096u

/* One process that is describing. */
struct child {
	struct describe *describe; /* NULL: free place */
	int pidfd, out, err;
	int64_t deadline_ns;
	struct buffer words; /* its standard error */
};

static void say(struct describe *d, const char *why)
{
	if (d->why_not[0] == '\0')
		(void)snprintf(d->why_not, sizeof(d->why_not), "%s", why); /* cut where it is long */
}

static void child_fini(struct child *c)
{
	int *const fds[] = { &c->pidfd, &c->out, &c->err };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			(void)close(*fds[i]); /* read ends and a pidfd: nothing to lose */
		*fds[i] = -1;
	}
	buffer_fini(&c->words);
	c->describe = NULL;
}

static int child_start(struct child *c, const char *worker_path, struct describe *d, int timeout_ms)
{
	char *argv[] = { (char *)worker_path, (char *)"--describe", (char *)d->path,
			 NULL }; /* exec does not write them */
	_cleanup_close_ int out_r = -1, out_w = -1, err_r = -1, err_w = -1;
	int pair[2], pidfd, r;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	out_r = pair[0];
	out_w = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	err_r = pair[0];
	err_w = pair[1];
	if (fcntl(out_r, F_SETFL, O_NONBLOCK) < 0 || fcntl(err_r, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = spawn_start(
		&(struct spawn){ .path = worker_path, .argv = argv, .fds = (int[]){ -1, out_w, err_w }, .n_fds = 3 },
		&pid, &pidfd);
	if (r < 0)
		return r;
	*c = (struct child){
		.describe = d,
		.pidfd = pidfd,
		.out = take_fd(&out_r),
		.err = take_fd(&err_r),
		.deadline_ns = clock_mono_ns() + timeout_ms * NS_PER_MS,
	};
	return 0;
}

/* Read what is there. 0 at end of file, -EFBIG over max_bytes, -EAGAIN while more may come. */
static int read_some(int fd, struct buffer *b, size_t max_bytes)
{
	for (;;) {
		ssize_t n;
		int r = buffer_reserve(b, 4096);

		if (r < 0)
			return r;
		n = read(fd, b->data + b->len, b->cap - b->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		b->len += (size_t)n;
		if (b->len > max_bytes)
			return -EFBIG;
	}
}

static void say_words(struct child *c, const char *else_words)
{
	char *text = (char *)c->words.data;
	size_t len = c->words.len;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	if (len == 0) {
		say(c->describe, else_words);
		return;
	}
	text[len] = '\0'; /* a byte behind the text: it was reserved, or trimmed */
	say(c->describe, text);
}

/* It has ended: what it left in its pipes, and how it went. */
static void child_end(struct child *c)
{
	char words[96];
	int signal = 0, status = 0;

	(void)read_some(c->out, &c->describe->out,
			MAX_OUT_BYTES); /* a grandchild may hold the pipe: what is there counts */
	(void)read_some(c->err, &c->words, MAX_ERR_BYTES);
	(void)buffer_reserve(&c->words, 1); /* for the NUL; without memory the words are only trimmed */
	(void)spawn_reap(c->pidfd, 1, &signal, &status);
	if (signal != 0) {
		(void)snprintf(words, sizeof(words), "it crashed while it was described (signal %d, SIG%s)", signal,
			       sigabbrev_np(signal) ? sigabbrev_np(signal) : "?");
		say(c->describe, words);
	} else if (status != 0) {
		(void)snprintf(words, sizeof(words), "describing it ended with status %d", status);
		if (c->words.len < c->words.cap)
			say_words(c, words);
		else
			say(c->describe, words);
	}
	child_fini(c);
}

static void child_kill(struct child *c, const char *why)
{
	say(c->describe, why);
	(void)spawn_kill(c->pidfd, SIGKILL); /* -ESRCH: it has just ended by itself */
	child_end(c);
}

static void child_serve(struct child *c, const struct pollfd fds[3], int64_t now_ns)
{
	if (fds[1].revents && read_some(c->out, &c->describe->out, MAX_OUT_BYTES) == -EFBIG) {
		child_kill(c, "it prints without end while it is described");
		return;
	}
	if (fds[2].revents && read_some(c->err, &c->words, MAX_ERR_BYTES) == -EFBIG)
		c->words.len = MAX_ERR_BYTES; /* the beginning says most */
	if (fds[0].revents)
		child_end(c);
	else if (now_ns >= c->deadline_ns)
		child_kill(c, "it hangs while it is described (killed after the time limit)");
}

static void serve_all(struct child *children, size_t n)
{
	struct pollfd fds[3 * MAX_JOBS];
	int64_t now = clock_mono_ns(), next = INT64_MAX;
	int wait_ms;

	for (size_t i = 0; i < n; i++) {
		struct child *c = &children[i];
		bool used = c->describe != NULL;

		fds[3 * i] = (struct pollfd){ .fd = used ? c->pidfd : -1, .events = POLLIN };
		fds[3 * i + 1] = (struct pollfd){ .fd = used ? c->out : -1, .events = POLLIN };
		fds[3 * i + 2] = (struct pollfd){ .fd = used ? c->err : -1, .events = POLLIN };
		if (used && c->deadline_ns < next)
			next = c->deadline_ns;
	}
	if (next == INT64_MAX)
		return; /* nobody is running */
	wait_ms = next <= now ? 0 : (int)((next - now) / NS_PER_MS) + 1;
	if (poll(fds, 3 * n, wait_ms) < 0)
		memset(fds, 0, sizeof(fds)); /* interrupted: only the deadlines are looked at */
	now = clock_mono_ns();
	for (size_t i = 0; i < n; i++) {
		if (children[i].describe)
			child_serve(&children[i], &fds[3 * i], now);
	}
}

int describe_all(const char *worker_path, struct describe *list, size_t n, uint32_t jobs, int timeout_ms)
{
	struct child children[MAX_JOBS];
	size_t next = 0, running = 0, started = 0;
	int r = 0;

	if (jobs > MAX_JOBS)
		jobs = MAX_JOBS;
	if (jobs == 0)
		jobs = 1;
	if (n == 0)
		return 0;
	for (size_t i = 0; i < jobs; i++)
		children[i] = (struct child){ .describe = NULL, .pidfd = -1, .out = -1, .err = -1 };
	do {
		for (size_t i = 0; i < jobs; i++) {
			while (next < n && !children[i].describe) {
				r = child_start(&children[i], worker_path, &list[next], timeout_ms);
				if (r < 0)
					(void)snprintf(list[next].why_not, sizeof(list[next].why_not),
						       "concd-worker could not be started: %s", strerror(-r));
				else
					started++;
				next++;
			}
		}
		serve_all(children, jobs);
		running = 0;
		for (size_t i = 0; i < jobs; i++)
			running += children[i].describe != NULL;
	} while (next < n || running > 0);
	return started == 0 ? r : 0;
}
