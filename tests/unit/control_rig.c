/* The rig. */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "control_rig.h"
#include "jobs/jobs.h"

#define PATIENCE_NS (20 * NS_PER_S)

static void on_shutdown(void *arg)
{
	((struct rig *)arg)->shutdowns++;
}

int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct error err = ERROR_INIT;
	struct control_options options;

	assert_non_null(rig);
	log_open(LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
	strcpy(rig->dir, "/tmp/concd-test-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	assert_int_equal(loop_open(&rig->loop), 0);
	rig->jobs = fake_jobs_new();
	rig->config = (struct config){ .socket_mode = 0600, .state_dir = rig->dir, .max_clients = 40,
				       .max_clients_per_user = 30, .max_request_bytes = 2u << 20 };
	assert_true(asprintf(&rig->config.socket_path, "%s/sub/control.sock", rig->dir) > 0);
	options = (struct control_options){ .loop = rig->loop, .config = &rig->config, .listen_fd = -1,
					    .version = "1.2.3", .on_shutdown = on_shutdown, .arg = rig };
	assert_int_equal(control_open(&options, &rig->control, &err), 0);
	control_attach(rig->control, rig->jobs, NULL, NULL);
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;
	char sub[64];

	control_close(rig->control);
	fake_jobs_free(rig->jobs);
	loop_close(rig->loop);
	assert_int_equal(access(rig->config.socket_path, F_OK), -1);
	(void)snprintf(sub, sizeof(sub), "%s/sub", rig->dir);
	assert_int_equal(rmdir(sub), 0);
	assert_int_equal(rmdir(rig->dir), 0);
	free(rig->config.socket_path);
	free(rig);
	return 0;
}

void rig_turn(struct rig *rig)
{
	for (int i = 0; i < 3; i++)
		assert_true(event_base_loop(loop_base(rig->loop), EVLOOP_NONBLOCK) >= 0);
	if (!rig->jobs->hold && !rig->jobs->hold_get)
		fake_jobs_release(rig->jobs);
	fake_jobs_load(rig->jobs);
}

int rig_connect(struct rig *rig)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(addr.sun_path, rig->config.socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void rig_send(struct rig *rig, int fd, const void *data, size_t len)
{
	int64_t end_ns = clock_mono_ns() + PATIENCE_NS;
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_true(clock_mono_ns() < end_ns);
		} else {
			at += n;
			len -= (size_t)n;
		}
		rig_turn(rig);
	}
	rig_turn(rig);
}

void rig_send_text(struct rig *rig, int fd, const char *text)
{
	rig_send(rig, fd, text, strlen(text));
}

/* Read at most n bytes; 0 at the end. */
static size_t receive_some(struct rig *rig, int fd, void *data, size_t n)
{
	int64_t end_ns = clock_mono_ns() + PATIENCE_NS;

	for (;;) {
		ssize_t r = recv(fd, data, n, 0);

		if (r >= 0)
			return (size_t)r;
		if (errno == ECONNRESET)
			return 0;
		assert_int_equal(errno, EAGAIN);
		assert_true(clock_mono_ns() < end_ns);
		rig_turn(rig);
	}
}

bool rig_closed(struct rig *rig, int fd)
{
	char byte;

	return receive_some(rig, fd, &byte, 1) == 0;
}

/* Read until the text ends in `stop`. False: cut. */
static bool receive_until(struct rig *rig, int fd, struct buffer *b, const char *stop)
{
	size_t n = strlen(stop), from = b->len;

	for (;;) {
		assert_int_equal(buffer_reserve(b, 2), 0);
		if (receive_some(rig, fd, b->data + b->len, 1) == 0)
			return false;
		b->len++;
		b->data[b->len] = 0;
		if (b->len - from >= n && memcmp(b->data + b->len - n, stop, n) == 0)
			return true;
	}
}

static bool receive_exactly(struct rig *rig, int fd, struct buffer *b, size_t n)
{
	assert_int_equal(buffer_reserve(b, n + 1), 0);
	while (n > 0) {
		size_t r = receive_some(rig, fd, b->data + b->len, n);

		if (r == 0)
			return false;
		b->len += r;
		n -= r;
	}
	b->data[b->len] = 0;
	return true;
}

static bool receive_chunks(struct rig *rig, int fd, struct buffer *body)
{
	struct buffer line = BUFFER_INIT;
	bool whole = false;

	for (;;) {
		unsigned long n;

		line.len = 0;
		if (!receive_until(rig, fd, &line, "\r\n"))
			break;
		n = strtoul((const char *)line.data, NULL, 16);
		if (n > 0 && !receive_exactly(rig, fd, body, n))
			break;
		line.len = 0;
		if (!receive_until(rig, fd, &line, "\r\n"))
			break;
		if (n == 0) {
			whole = true;
			break;
		}
	}
	buffer_fini(&line);
	return whole;
}

void rig_receive(struct rig *rig, int fd, struct reply *ret_reply)
{
	struct reply reply = { .body = BUFFER_INIT };
	struct buffer head = BUFFER_INIT;
	const char *length;

	assert_int_equal(buffer_add(&reply.body, "", 1), 0);
	reply.body.len = 0;
	reply.cut = !receive_until(rig, fd, &head, "\r\n\r\n");
	if (!reply.cut) {
		reply.status = atoi((const char *)head.data + 9);
		length = strstr((const char *)head.data, "Content-Length: ");
		if (length)
			reply.cut = !receive_exactly(rig, fd, &reply.body, strtoul(length + 16, NULL, 10));
		else if (strstr((const char *)head.data, "chunked"))
			reply.cut = !receive_chunks(rig, fd, &reply.body);
		else if (reply.status != 100)
			while (receive_exactly(rig, fd, &reply.body, 1))
				;
	}
	reply.body.data[reply.body.len] = 0;
	reply.head = (char *)head.data; /* ownership moves */
	*ret_reply = reply;
}

void reply_fini(struct reply *reply)
{
	free(reply->head);
	buffer_fini(&reply->body);
}

void rig_ask(struct rig *rig, const char *method, const char *target, const void *body, size_t len,
	     struct reply *ret_reply)
{
	int fd = rig_connect(rig);
	char *head;

	assert_true(asprintf(&head, "%s %s HTTP/1.1\r\nHost: concd\r\nContent-Length: %zu\r\n\r\n", method, target, len) >
		    0);
	rig_send_text(rig, fd, head);
	rig_send(rig, fd, body, len);
	rig_receive(rig, fd, ret_reply);
	free(head);
	(void)close(fd);
	rig_turn(rig);
}

void rig_expect(struct rig *rig, const char *method, const char *target, const char *body, int status,
		const char *word)
{
	struct reply reply;

	rig_ask(rig, method, target, body, body ? strlen(body) : 0, &reply);
	if (reply.status != status || !strstr((const char *)reply.body.data, word))
		fail_msg("%s %s: %d, wanted %d with '%s': %s", method, target, reply.status, status, word,
			 (const char *)reply.body.data);
	reply_fini(&reply);
}

/* ---- What is left of the jobs ---- */

bool jobs_have_parked(const struct jobs *jobs)
{
	(void)jobs;
	return false;
}
