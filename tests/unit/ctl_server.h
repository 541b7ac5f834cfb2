/* A daemon played by the test: it listens on a private socket, starts the real concctl, reads what concctl asks and
 * answers as the test says, one step after the other in one thread. alarm() ends a test in which somebody waits for
 * ever. */
#ifndef CONCD_TESTS_CTL_SERVER_H
#define CONCD_TESTS_CTL_SERVER_H

#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/io.h"

extern char **environ;

struct server {
	char dir[32];
	char socket[64], out[64], err[64];
	int listener;
	pid_t pid; /* concctl; 0: none */
	char *stdout_text, *stderr_text; /* of the last concctl, after concctl_wait() */
	size_t stdout_len;
};

/* A request as it came. */
struct request {
	char line[512]; /* "POST /v1/jobs HTTP/1.1" */
	struct buffer body;
};

static inline void server_listen(struct server *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)unlink(s->socket);
	strcpy(address.sun_path, s->socket);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s->listener, 10), 0);
}

static inline int server_setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));

	(void)alarm(60);
	(void)signal(SIGPIPE, SIG_IGN);
	strcpy(s->dir, "/tmp/ctl-server-XXXXXX");
	if (!mkdtemp(s->dir))
		return -1;
	(void)snprintf(s->socket, sizeof(s->socket), "%s/socket", s->dir);
	(void)snprintf(s->out, sizeof(s->out), "%s/out", s->dir);
	(void)snprintf(s->err, sizeof(s->err), "%s/err", s->dir);
	server_listen(s);
	*state = s;
	return 0;
}

static inline int server_teardown(void **state)
{
	struct server *s = *state;

	if (s->pid > 0) {
		(void)kill(s->pid, SIGKILL);
		(void)waitpid(s->pid, NULL, 0);
	}
	(void)close(s->listener);
	(void)unlink(s->socket);
	(void)unlink(s->out);
	(void)unlink(s->err);
	free(s->stdout_text);
	free(s->stderr_text);
	if (rmdir(s->dir) < 0)
		return -1; /* something was left behind */
	free(s);
	return 0;
}

/* Start concctl with these words; standard output goes to out_fd, or with -1 to a file. */
static inline void concctl_start_to(struct server *s, int out_fd, const char *const *words)
{
	const char *builddir = getenv("top_builddir");
	char *argv[32] = { (char *)(uintptr_t)"concctl", (char *)(uintptr_t)"-s", s->socket };
	posix_spawn_file_actions_t actions;
	char path[256];
	int n = 3;

	for (; *words; words++)
		argv[n++] = (char *)(uintptr_t)*words;
	(void)snprintf(path, sizeof(path), "%s/concctl", builddir ? builddir : ".");
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	if (out_fd >= 0)
		(void)posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
	else
		(void)posix_spawn_file_actions_addopen(&actions, 1, s->out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)posix_spawn_file_actions_addopen(&actions, 2, s->err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(posix_spawn(&s->pid, path, &actions, NULL, argv, environ), 0);
	(void)posix_spawn_file_actions_destroy(&actions);
}

#define concctl_start(s, ...) concctl_start_to(s, -1, (const char *const[]){ __VA_ARGS__, NULL })

static inline char *read_text(const char *path, size_t *ret_len)
{
	struct buffer b = BUFFER_INIT;

	(void)io_read_file(path, 64 << 20, &b); /* a file that is not there is empty */
	*ret_len = b.len;
	assert_int_equal(buffer_add(&b, "", 1), 0);
	return (char *)b.data;
}

/* Wait for its end. The exit status. */
static inline int concctl_wait(struct server *s)
{
	size_t len;
	int status;

	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	s->pid = 0;
	free(s->stdout_text);
	free(s->stderr_text);
	s->stdout_text = read_text(s->out, &s->stdout_len);
	s->stderr_text = read_text(s->err, &len);
	if (!WIFEXITED(status))
		fail_msg("concctl was ended by signal %d; it said: %s", WTERMSIG(status), s->stderr_text);
	return WEXITSTATUS(status);
}

static inline int server_accept(struct server *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Read a request whole. The caller frees body. False at the end of the connection. */
static inline bool server_read(int fd, struct request *r)
{
	char head[4096] = "";
	const char *length;
	size_t n = 0;

	*r = (struct request){ .body = BUFFER_INIT };
	while (!strstr(head, "\r\n\r\n")) {
		assert_true(n < sizeof(head) - 1);
		if (read(fd, head + n, 1) != 1)
			return false;
		head[++n] = '\0';
	}
	(void)snprintf(r->line, sizeof(r->line), "%.*s", (int)strcspn(head, "\r"), head);
	length = strstr(head, "Content-Length: ");
	n = length ? strtoul(length + 16, NULL, 10) : 0;
	assert_int_equal(buffer_reserve(&r->body, n + 1), 0);
	assert_int_equal(io_read_full(fd, r->body.data, n), n);
	r->body.len = n;
	r->body.data[n] = '\0';
	return true;
}

/* Read a request and check how its first line begins. */
static inline void server_expect(int fd, const char *begins, struct request *r)
{
	assert_true(server_read(fd, r));
	if (strncmp(r->line, begins, strlen(begins)) != 0)
		fail_msg("'%s' does not begin with '%s'", r->line, begins);
}

static inline void server_expect_only(int fd, const char *begins)
{
	struct request r;

	server_expect(fd, begins, &r);
	buffer_fini(&r.body);
}

static inline void server_send(int fd, const char *text)
{
	(void)io_write_full(fd, text, strlen(text)); /* concctl may have gone: its exit status is looked at */
}

static inline void server_answer(int fd, int status, const char *body)
{
	struct buffer b = BUFFER_INIT;

	assert_int_equal(buffer_printf(&b, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body), 0);
	(void)io_write_full(fd, b.data, b.len); /* as above */
	buffer_fini(&b);
}

static inline void server_stream(int fd, const char *job)
{
	char head[128];

	(void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Concd-Job: %s\r\n\r\n", job);
	server_send(fd, head);
}

static inline void server_chunk(int fd, const char *text)
{
	struct buffer b = BUFFER_INIT;

	assert_int_equal(buffer_printf(&b, "%zx\r\n%s\r\n", strlen(text), text), 0);
	(void)io_write_full(fd, b.data, b.len); /* as above */
	buffer_fini(&b);
}

static inline void server_stream_end(int fd)
{
	server_send(fd, "0\r\n\r\n");
}

#define JOB_FRAME \
	"{\"type\":\"job\",\"job\":\"7\",\"state\":\"queued\",\"model\":\"pool\",\"shape\":\"1x2x1\",\"workers\":2," \
	"\"auto\":false,\"model_reason\":\"\",\"total\":3}\n"
#define END_FRAME(state, done, failed) \
	"{\"type\":\"end\",\"job\":\"7\",\"state\":\"" state "\",\"model\":\"pool\",\"shape\":\"1x2x1\",\"workers\":2," \
	"\"auto\":false,\"tasks\":{\"total\":3,\"done\":" #done ",\"failed\":" #failed ",\"cancelled\":0},\"wall_s\":0.5}\n"

#endif
