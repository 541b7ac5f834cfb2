/* ctl/http.c against answers that come whole, byte by byte, cut short and broken. The other end of a socket pair is
 * played from the client's own on_wait: it sends the next bytes whenever the client has to wait. */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "ctl/http.h"

struct peer {
	int fd; /* the daemon's end; -1: closed */
	const char *answer;
	size_t len, at;
	size_t step; /* bytes sent each time */
	bool deaf; /* never reads the request */
};

static void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
}

static int on_wait(void *arg)
{
	struct peer *p = arg;
	size_t n = p->len - p->at < p->step ? p->len - p->at : p->step;
	char request[4096];

	/* Closing with something unread would be a reset. */
	while (!p->deaf && p->fd >= 0 && recv(p->fd, request, sizeof(request), MSG_DONTWAIT) > 0)
		;
	if (p->fd >= 0 && n > 0)
		assert_int_equal(write(p->fd, p->answer + p->at, n), n);
	p->at += n;
	if (n == 0)
		peer_close(p);
	return 0;
}

static struct http *open_pair(struct peer *p, const char *answer, size_t len, size_t step)
{
	struct http *http;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(http_open(fds[0], &http), 0);
	*p = (struct peer){ .fd = fds[1], .answer = answer, .len = len, .step = step };
	http->on_wait = on_wait;
	http->on_wait_arg = p;
	http->timeout_ms = 10000; /* a test that waits for what never comes has failed */
	return http;
}

/* Send a request and read the answer whole. The result of the first call that failed. */
static int ask(struct http *http, struct http_reply *reply, struct buffer *body)
{
	int r = http_send(http, "GET", "/v1/ping", NULL, 0);

	if (r == 0)
		r = http_head(http, reply);
	if (r == 0)
		r = http_read_all(http, 1 << 20, body);
	return r;
}

static void check(const char *answer, int result, const char *body, bool usable)
{
	static const size_t steps[] = { 1, 2, 7, 1000000 };

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		_cleanup_buffer_ struct buffer got = BUFFER_INIT;
		struct http_reply reply;
		struct peer peer;
		struct http *http = open_pair(&peer, answer, strlen(answer), steps[i]);
		int r = ask(http, &reply, &got);

		if (r != result)
			fail_msg("step %zu of '%s': %d, not %d", steps[i], answer, r, result);
		if (result == 0) {
			assert_int_equal(got.len, strlen(body));
			assert_memory_equal(got.data ? (const char *)got.data : "", body, got.len);
		}
		assert_int_equal(http_usable(http), usable);
		http_close(http);
		peer_close(&peer);
	}
}

#define OK "HTTP/1.1 200 OK\r\n"

static void test_bodies_arrive_whole_however_they_are_cut(void **state)
{
	(void)state;
	check(OK "Content-Length: 5\r\n\r\nhello", 0, "hello", true);
	check(OK "content-length:  5 \r\nX-Y: z\r\n\r\nhello", 0, "hello", true);
	check(OK "Content-Length: 0\r\n\r\n", 0, "", true);
	check(OK "Content-Length: 5\r\nConnection: close\r\n\r\nhello", 0, "hello", false);
	check(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", 0, "hello", true);
	check(OK "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n00\r\nTrailer: x\r\n\r\n", 0, "0123456789", true);
	check(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, "", true);
	check(OK "\r\nhello", 0, "hello", false);
	check("HTTP/1.0 200 OK\nContent-Length: 2\n\nhi", 0, "hi", false);
	check("HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 2\r\n\r\nhi", 0, "hi", true);
	check("HTTP/1.1 204 No Content\r\n\r\n", 0, "", true);
}

static void test_an_answer_cut_short_is_a_lost_connection(void **state)
{
	(void)state;
	check("", -ECONNRESET, NULL, false);
	check("HTTP/1.1 200", -ECONNRESET, NULL, false);
	check(OK "Content-Length: 5\r\n", -ECONNRESET, NULL, false);
	check(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhe", -ECONNRESET, NULL, false);
	check(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", -ECONNRESET, NULL, false);
	check(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", -ECONNRESET, NULL, false);
	check(OK "Content-Length: 6\r\n\r\nhello", -ECONNRESET, NULL, false);
}

static void test_what_is_no_http_is_refused(void **state)
{
	(void)state;
	check("SSH-2.0-OpenSSH\r\n", -EPROTO, NULL, false);
	check("HTTP/2.0 200 OK\r\n\r\n", -EPROTO, NULL, false);
	check("HTTP/1.1 OK\r\n\r\n", -EPROTO, NULL, false);
	check("HTTP/1.1 99 Low\r\n\r\n", -EPROTO, NULL, false);
	check(OK "no colon\r\n\r\n", -EPROTO, NULL, false);
	check(OK "Content-Length: -5\r\n\r\n", -EPROTO, NULL, false);
	check(OK "Content-Length: 99999999999999999999\r\n\r\n", -EPROTO, NULL, false);
	check(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", -EPROTO, NULL, false);
	check(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -EPROTO, NULL, false);
	check(OK "Transfer-Encoding: gzip\r\n\r\n", -EPROTO, NULL, false);
	check(OK "X-Concd-Job: 123456789012345678901234567890\r\n\r\n", -EPROTO, NULL, false);
	check(OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", -EPROTO, NULL, false);
	check(OK "Transfer-Encoding: chunked\r\n\r\n\r\n", -EPROTO, NULL, false);
	check(OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", -EPROTO, NULL, false);
	check(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhelXX\r\n", -EPROTO, NULL, false);
}

static void test_heads_without_end_are_refused(void **state)
{
	_cleanup_free_ char *answer = malloc(200000);
	_cleanup_buffer_ struct buffer body = BUFFER_INIT;
	struct http_reply reply;
	struct peer peer;
	struct http *http;

	(void)state;
	memset(answer, 'a', 200000);
	http = open_pair(&peer, answer, 200000, 5000);
	assert_int_equal(ask(http, &reply, &body), -EPROTO); /* one endless line */
	http_close(http);
	peer_close(&peer);
	for (size_t i = 0; i < 200000; i++)
		answer[i] = "X: y\n"[i % 5];
	memcpy(answer, "HTTP/1.1 200 O\n", 15);
	http = open_pair(&peer, answer, 200000, 5000);
	assert_int_equal(ask(http, &reply, &body), -EPROTO); /* endless lines */
	http_close(http);
	peer_close(&peer);
}

static void test_a_body_over_the_callers_limit_is_refused(void **state)
{
	static const char answer[] = OK "Content-Length: 5\r\n\r\nhello";
	_cleanup_buffer_ struct buffer body = BUFFER_INIT;
	struct http_reply reply;
	struct peer peer;
	struct http *http = open_pair(&peer, answer, strlen(answer), 100);

	(void)state;
	assert_int_equal(http_send(http, "GET", "/", NULL, 0), 0);
	assert_int_equal(http_head(http, &reply), 0);
	assert_int_equal(http_read_all(http, 4, &body), -EFBIG);
	http_close(http);
	peer_close(&peer);
}

static void test_one_connection_serves_request_after_request(void **state)
{
	static const char answer[] = OK "Content-Length: 5\r\nX-Concd-Job: 42\r\n\r\nhello";
	struct peer peer;
	struct http *http = open_pair(&peer, answer, strlen(answer), 3);

	(void)state;
	for (int i = 0; i < 3; i++) {
		_cleanup_buffer_ struct buffer body = BUFFER_INIT;
		struct http_reply reply;

		peer.at = 0;
		assert_int_equal(ask(http, &reply, &body), 0);
		assert_int_equal(body.len, 5);
		assert_int_equal(reply.status, 200);
		assert_string_equal(reply.job, "42");
		assert_true(http_usable(http));
	}
	http_close(http);
	peer_close(&peer);
}

static void test_a_request_carries_all_its_parts(void **state)
{
	struct iovec parts[] = { { .iov_base = (void *)(uintptr_t)"one", .iov_len = 3 }, { .iov_base = NULL, .iov_len = 0 },
				 { .iov_base = (void *)(uintptr_t)"two", .iov_len = 3 } };
	char text[1024] = "";
	struct peer peer;
	struct http *http = open_pair(&peer, "", 0, 1);

	(void)state;
	assert_int_equal(http_send(http, "POST", "/v1/jobs?x=1", parts, 3), 0);
	assert_true(read(peer.fd, text, sizeof(text) - 1) > 0);
	assert_int_equal(strncmp(text, "POST /v1/jobs?x=1 HTTP/1.1\r\n", 28), 0);
	assert_non_null(strstr(text, "\r\nContent-Length: 6\r\n"));
	assert_non_null(strstr(text, "\r\n\r\nonetwo"));
	http_close(http);
	peer_close(&peer);
}

static void test_an_early_refusal_of_a_large_request_is_still_read(void **state)
{
	static const char answer[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
	_cleanup_free_ char *large = calloc(1, 4 << 20);
	struct iovec part = { .iov_base = large, .iov_len = 4 << 20 };
	_cleanup_buffer_ struct buffer body = BUFFER_INIT;
	struct http_reply reply;
	struct peer peer;
	struct http *http = open_pair(&peer, answer, strlen(answer), 1000);

	(void)state;
	peer.deaf = true;
	assert_int_equal(http_send(http, "POST", "/v1/jobs", &part, 1), 0);
	assert_int_equal(http_head(http, &reply), 0);
	assert_int_equal(reply.status, 413);
	assert_int_equal(http_read_all(http, 100, &body), 0);
	assert_false(http_usable(http));
	http_close(http);
	peer_close(&peer);
}

static void test_a_signal_and_a_closed_output_end_the_wait(void **state)
{
	_cleanup_buffer_ struct buffer body = BUFFER_INIT;
	struct http_reply reply;
	struct peer peer;
	struct http *http = open_pair(&peer, "", 0, 1);
	int wake[2], out[2];

	(void)state;
	http->on_wait = NULL; /* the daemon stays silent */
	assert_int_equal(pipe2(wake, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	http->wake_fd = wake[0];
	http->out_fd = out[1];
	http->timeout_ms = 20;
	assert_int_equal(ask(http, &reply, &body), -ETIMEDOUT);
	http->timeout_ms = 10000;
	assert_int_equal(write(wake[1], "", 1), 1);
	assert_int_equal(ask(http, &reply, &body), -EINTR);
	http->wake_fd = -1;
	(void)close(out[0]);
	assert_int_equal(ask(http, &reply, &body), -EPIPE);
	http_close(http);
	peer_close(&peer);
	(void)close(wake[0]);
	(void)close(wake[1]);
	(void)close(out[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies_arrive_whole_however_they_are_cut),
		cmocka_unit_test(test_an_answer_cut_short_is_a_lost_connection),
		cmocka_unit_test(test_what_is_no_http_is_refused),
		cmocka_unit_test(test_heads_without_end_are_refused),
		cmocka_unit_test(test_a_body_over_the_callers_limit_is_refused),
		cmocka_unit_test(test_one_connection_serves_request_after_request),
		cmocka_unit_test(test_a_request_carries_all_its_parts),
		cmocka_unit_test(test_an_early_refusal_of_a_large_request_is_still_read),
		cmocka_unit_test(test_a_signal_and_a_closed_output_end_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
