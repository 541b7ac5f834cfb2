/* Connections: what clients do to HTTP. */
#include "unit.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/loop.h"
#include "control/http.h"
#include "control/http_parse.h"
#include "control_rig.h"

static void expect_reply(struct rig *rig, int fd, int status, const char *word)
{
	struct reply reply;

	rig_receive(rig, fd, &reply);
	if (reply.status != status || !strstr((char *)reply.body.data, word))
		fail_msg("%d, wanted %d with '%s': %s", reply.status, status, word, (char *)reply.body.data);
	reply_fini(&reply);
}

static void malformed_requests_get_json_and_are_closed(void **state)
{
	static const char *const requests[] = {
		"\x01\x02\x03\r\n\r\n",
		"GET\r\n\r\n",
		"GET /v1/ping\r\n\r\n",
		"GET /v1/ping HTTP/2.0\r\n\r\n",
		"GET /v1/ping HTTP/1.1 x\r\n\r\n",
		"GET v1/ping HTTP/1.1\r\n\r\n",
		"G(T /v1/ping HTTP/1.1\r\n\r\n",
		"GET /v1/ping HTTP/1.1\r\nno colon\r\n\r\n",
		"GET /v1/ping HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
		"GET /v1/ping HTTP/1.1\r\nA : b\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nExpect: miracles\r\n\r\n",
		"POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
		"POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		int fd = rig_connect(rig);

		rig_send_text(rig, fd, requests[i]);
		expect_reply(rig, fd, 400, "{\"schema\":1,\"error\":{\"code\":\"bad-request\",\"message\":");
		assert_true(rig_closed(rig, fd));
		(void)close(fd);
	}
	rig_expect(rig, "GET", "/v1/ping", NULL, 200, "pong");
}

static void heads_over_their_limit_are_refused(void **state)
{
	struct rig *rig = *state;
	char big[20000];
	int fd = rig_connect(rig);

	memset(big, 'a', sizeof(big));
	rig_send_text(rig, fd, "GET /v1/ping HTTP/1.1\r\nX: ");
	rig_send(rig, fd, big, sizeof(big));
	expect_reply(rig, fd, 400, "larger than 16 KiB");
	(void)close(fd);
}

static void bodies_over_their_limit_are_refused(void **state)
{
	struct rig *rig = *state;
	static char zeros[3u << 20];
	struct reply reply;
	int fd;

	/* the whole of it is sent, and the answer is read nevertheless */
	rig_ask(rig, "POST", "/v1/jobs", zeros, sizeof(zeros), &reply);
	assert_int_equal(reply.status, 413);
	assert_non_null(strstr((char *)reply.body.data, "\"too-large\""));
	reply_fini(&reply);
	fd = rig_connect(rig);
	rig_send_text(rig, fd, "POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n300000\r\n");
	rig_send(rig, fd, zeros, sizeof(zeros));
	expect_reply(rig, fd, 413, "\"too-large\"");
	(void)close(fd);
	/* just at the limit */
	rig_ask(rig, "POST", "/v1/jobs", zeros, 2u << 20, &reply);
	assert_int_equal(reply.status, 400);
	reply_fini(&reply);
}

static void chunked_bodies_are_taken_in_any_pieces(void **state)
{
	static const char request[] = "POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
				      "A;x=y\r\n{\"workload\r\n00c\r\n\":\"squares\"}\r\n5\r\n\n1\n2\n\r\n0\r\nT: t\r\n\r\n"
				      "GET /v1/ping HTTP/1.1\r\n\r\n";
	struct rig *rig = *state;

	for (size_t piece = 1; piece < sizeof(request); piece = piece * 2 + 1) {
		int fd = rig_connect(rig);

		for (size_t at = 0; at < sizeof(request) - 1; at += piece) {
			size_t n = sizeof(request) - 1 - at;

			rig_send(rig, fd, request + at, n < piece ? n : piece);
		}
		expect_reply(rig, fd, 201, "\"inputs\":2");
		expect_reply(rig, fd, 200, "pong");
		(void)close(fd);
	}
}

static void requests_on_one_connection_are_answered_in_order(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);
	struct job *job = fake_job_add(rig->jobs, 1);
	char byte;

	rig_send_text(rig, fd, "\r\n\nGET /v1/ping HTTP/1.1\r\n\r\nGET /v1/jobs/1/wait HTTP/1.1\n\n"
			       "POST /v1/ping HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /v1/version HTTP/1.1\r\n\r\n");
	expect_reply(rig, fd, 200, "pong");
	assert_int_equal(recv(fd, &byte, 1, 0), -1); /* the second waits, and holds the others back */
	rig_send_text(rig, fd, "GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\nGET /v1/ping HTTP/1.1\r\n\r\n");
	fake_job_end(job, JOB_DONE);
	expect_reply(rig, fd, 200, "\"state\":\"done\"");
	expect_reply(rig, fd, 405, "bad-method");
	expect_reply(rig, fd, 200, "1.2.3");
	expect_reply(rig, fd, 200, "models");
	assert_true(rig_closed(rig, fd)); /* nothing behind "close" is answered */
	(void)close(fd);
}

static void many_pipelined_requests_are_all_answered(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);
	struct buffer b = BUFFER_INIT;

	for (int i = 0; i < 500; i++)
		assert_int_equal(buffer_printf(&b, "GET /v1/ping HTTP/1.1\r\n\r\n"), 0);
	rig_send(rig, fd, b.data, b.len);
	for (int i = 0; i < 500; i++)
		expect_reply(rig, fd, 200, "pong");
	buffer_fini(&b);
	(void)close(fd);
}

static void a_half_closed_client_gets_its_answer(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);
	int fd = rig_connect(rig), waiting = rig_connect(rig);

	rig_send_text(rig, fd, "GET /v1/ping HTTP/1.1\r\n\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	expect_reply(rig, fd, 200, "pong");
	assert_true(rig_closed(rig, fd));
	(void)close(fd);

	rig_send_text(rig, waiting, "GET /v1/jobs/1/wait HTTP/1.1\r\n\r\n");
	assert_int_equal(shutdown(waiting, SHUT_WR), 0);
	rig_turn(rig);
	fake_job_end(job, JOB_DONE);
	expect_reply(rig, waiting, 200, "\"state\":\"done\"");
	assert_true(rig_closed(rig, waiting));
	(void)close(waiting);
}

static void a_request_that_is_cut_leaves_nothing(void **state)
{
	static const char request[] = "POST /v1/jobs HTTP/1.1\r\nContent-Length: 40\r\n\r\n{\"workload\":\"squares\"}\n";
	struct rig *rig = *state;

	for (size_t n = 0; n < sizeof(request); n++) {
		int fd = rig_connect(rig);

		rig_send(rig, fd, request, n);
		if (n % 2)
			assert_int_equal(shutdown(fd, SHUT_WR), 0);
		rig_turn(rig);
		(void)close(fd);
	}
	rig_turn(rig);
	rig_expect(rig, "GET", "/v1/status", NULL, 200, "\"clients\":1,");
	assert_int_equal(rig->jobs->n_submitted, 0);
}

static void too_many_clients_are_told_busy(void **state)
{
	struct rig *rig = *state;
	int fds[30], more;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = rig_connect(rig);
	rig_turn(rig);
	for (int i = 0; i < 100; i++) { /* more than are told */
		more = rig_connect(rig);
		rig_turn(rig);
		(void)close(more);
	}
	rig_turn(rig);
	more = rig_connect(rig);
	rig_send_text(rig, more, "GET /v1/ping HTTP/1.1\r\n\r\n");
	expect_reply(rig, more, 503, "limits.max_clients_per_user");
	assert_true(rig_closed(rig, more));
	(void)close(more);
	rig_send_text(rig, fds[0], "GET /v1/ping HTTP/1.1\r\n\r\n");
	expect_reply(rig, fds[0], 200, "pong");
	(void)close(fds[0]);
	rig_turn(rig);
	rig_expect(rig, "GET", "/v1/ping", NULL, 200, "pong");
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
}

static void continue_is_sent_to_who_waits_for_it(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);

	rig_send_text(rig, fd, "POST /v1/jobs HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 23\r\n\r\n");
	expect_reply(rig, fd, 100, "");
	rig_send_text(rig, fd, "{\"workload\":\"squares\"}\n");
	expect_reply(rig, fd, 201, "\"inputs\":0");
	(void)close(fd);
}

static void http_1_0_gets_no_chunks(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 2);
	int fd = rig_connect(rig);
	struct reply reply;

	fake_job_done(job, 0, "a", 1);
	fake_job_done(job, 1, "b", 1);
	fake_job_end(job, JOB_DONE);
	rig_send_text(rig, fd, "GET /v1/jobs/1/results HTTP/1.0\r\n\r\n");
	rig_receive(rig, fd, &reply);
	assert_null(strstr(reply.head, "chunked"));
	assert_string_equal((char *)reply.body.data, "a\nb\n");
	reply_fini(&reply);
	(void)close(fd);
	fd = rig_connect(rig);
	rig_send_text(rig, fd, "GET /v1/ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	rig_receive(rig, fd, &reply);
	assert_non_null(strstr(reply.head, "keep-alive"));
	reply_fini(&reply);
	rig_send_text(rig, fd, "GET /v1/ping HTTP/1.0\r\n\r\n");
	expect_reply(rig, fd, 200, "pong");
	assert_true(rig_closed(rig, fd));
	(void)close(fd);
}

static void a_head_request_gets_no_body(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);
	char text[512];
	ssize_t n;

	rig_send_text(rig, fd, "HEAD /v1/ping HTTP/1.1\r\nConnection: close\r\n\r\n");
	n = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	assert_memory_equal(text, "HTTP/1.1 405", 12);
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	assert_true(rig_closed(rig, fd));
	(void)close(fd);
}

static void answer_hello(void *ctx, struct http_request *req)
{
	(void)ctx;
	http_reply(req, 200, NULL, "text/plain", "hello", 5);
}

static void keep_request(void *ctx, struct http_request *req)
{
	if (strcmp(req->path, "/keep") != 0)
		answer_hello(ctx, req);
}

static void answer_refusal(void *ctx, struct http_request *req, const char *code, const char *message)
{
	(void)code;
	(void)message;
	answer_hello(ctx, req);
}

/* A server of its own, that waits 10 ms where the daemon waits a minute. */
static void who_stops_in_the_middle_is_closed_and_who_waits_is_not(void **state)
{
	static const struct http_ops ops = { .on_request = keep_request, .on_refused = answer_refusal };
	static const char *const starts[] = { "", "GET / HT", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
					      "GET / HTTP/1.1\r\n\r\n", "GET /keep HTTP/1.1\r\n\r\n" };
	struct rig *rig = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), fds[ARRAY_SIZE(starts)];
	struct http_options options = { .base = loop_base(rig->loop), .listen_fd = listener, .max_clients = 9,
					.max_clients_per_user = 9, .max_head_bytes = 1000, .max_body_bytes = 1000,
					.read_timeout_ns = 10 * NS_PER_MS, .ops = &ops };
	struct http_server *server;

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/own", rig->dir);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 10), 0);
	assert_int_equal(http_open(&options, &server), 0);
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)), 0);
		rig_send_text(rig, fds[i], starts[i]);
	}
	expect_reply(rig, fds[3], 200, "hello");
	for (size_t i = 0; i < 4; i++)
		assert_true(rig_closed(rig, fds[i]));
	assert_int_equal(http_clients(server), 1);
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		(void)close(fds[i]);
	http_close(server);
	(void)close(listener);
	assert_int_equal(unlink(addr.sun_path), 0);
}

/* Anything at all, in any pieces: the server answers or closes, and lives (for the sanitizers). */
static void noise_does_no_harm(void **state)
{
	static const char *const words[] = { "GET ", "POST ", "/v1/jobs", "/v1/ping", " HTTP/1.1\r\n", "\r\n", "\n", ": ",
					     "Content-Length", "5", "chunked", "Transfer-Encoding: chunked\r\n", "%", "?",
					     "=", "&", "{\"workload\":\"squares\"}", "0\r\n\r\n", "\x80", "Expect",
					     "Connection: close\r\n", "/1/results" };
	struct rig *rig = *state;
	unsigned int seed = 3;

	fake_job_add(rig->jobs, 3);
	for (int i = 0; i < 3000; i++) {
		int fd = rig_connect(rig);

		for (int k = rand_r(&seed) % 12; k >= 0; k--) {
			const char *word = words[(size_t)rand_r(&seed) % ARRAY_SIZE(words)];

			(void)!send(fd, word, strlen(word), MSG_NOSIGNAL);
			if (rand_r(&seed) % 3 == 0)
				rig_turn(rig);
		}
		if (rand_r(&seed) % 2)
			rig_turn(rig);
		(void)close(fd);
	}
	rig_turn(rig);
	rig_turn(rig);
	assert_int_equal(rig->jobs->live_refs, 0);
	rig_expect(rig, "GET", "/v1/ping", NULL, 200, "pong");
}

static void escapes_are_decoded_strictly(void **state)
{
	char good[] = "a%20b%2Fc%c3%A9+", bad[][8] = { "%", "%2", "%g1", "%1g", "%00" };

	(void)state;
	assert_int_equal(http_percent_decode(good), 8);
	assert_string_equal(good, "a b/c\xc3\xa9+");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(http_percent_decode(bad[i]), -EBADMSG);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(malformed_requests_get_json_and_are_closed),
		RIG_TEST(heads_over_their_limit_are_refused),
		RIG_TEST(bodies_over_their_limit_are_refused),
		RIG_TEST(chunked_bodies_are_taken_in_any_pieces),
		RIG_TEST(requests_on_one_connection_are_answered_in_order),
		RIG_TEST(many_pipelined_requests_are_all_answered),
		RIG_TEST(a_half_closed_client_gets_its_answer),
		RIG_TEST(a_request_that_is_cut_leaves_nothing),
		RIG_TEST(too_many_clients_are_told_busy),
		RIG_TEST(continue_is_sent_to_who_waits_for_it),
		RIG_TEST(http_1_0_gets_no_chunks),
		RIG_TEST(a_head_request_gets_no_body),
		RIG_TEST(who_stops_in_the_middle_is_closed_and_who_waits_is_not),
		RIG_TEST(noise_does_no_harm),
		cmocka_unit_test(escapes_are_decoded_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
