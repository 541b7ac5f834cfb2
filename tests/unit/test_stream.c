/* Result streams, over fake jobs. */
#include "unit.h"

#include <inttypes.h>
#include <malloc.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/loop.h"
#include "control_rig.h"
#include "ctl/protocol.h"

/* Ask for a stream and leave it open. */
static int begin(struct rig *rig, const char *target)
{
	int fd = rig_connect(rig);
	char *text;

	assert_true(asprintf(&text, "GET %s HTTP/1.1\r\n\r\n", target) > 0);
	rig_send_text(rig, fd, text);
	free(text);
	return fd;
}

static void expect_body(struct rig *rig, int fd, const char *want)
{
	struct reply reply;

	rig_receive(rig, fd, &reply);
	assert_int_equal(reply.status, 200);
	assert_false(reply.cut);
	assert_string_equal((char *)reply.body.data, want);
	reply_fini(&reply);
	(void)close(fd);
}

static void expect_stream(struct rig *rig, const char *target, const char *want)
{
	expect_body(rig, begin(rig, target), want);
}

/* Four tasks: plain, with all that needs escaping, failed, and a result that is not UTF-8. */
static struct job *add_mixed_job(struct rig *rig)
{
	struct job *job = fake_job_add(rig->jobs, 4);

	fake_job_inputs(job, "\1a\4b\tc\n\2\"x\1\xff", 12);
	fake_job_done(job, 0, "one", 3);
	fake_job_done(job, 1, "t\t\\\r\n\0!", 7);
	fake_job_failed(job, 2, TASK_ERROR_CRASHED, 11, "it \"crashed\"");
	fake_job_done(job, 3, "\xfe", 1);
	job->segments[0]->special = true;
	return job;
}

static void plain_lines_are_escaped_and_failures_left_out(void **state)
{
	struct rig *rig = *state;
	struct job *job = add_mixed_job(rig);
	struct reply reply;

	fake_job_end(job, JOB_FAILED);
	rig_ask(rig, "GET", "/v1/jobs/1/results", NULL, 0, &reply);
	assert_non_null(strstr(reply.head, "X-Concd-Job: 1\r\n"));
	assert_int_equal(reply.body.len, 4 + 12 + 2);
	assert_memory_equal(reply.body.data, "one\nt\\t\\\\\\r\\n\0!\n\xfe\n", 18);
	reply_fini(&reply);
	rig_ask(rig, "GET", "/v1/jobs/1/results?nul=1&tag=1", NULL, 0, &reply);
	assert_int_equal(reply.body.len, 6 + 13 + 4);
	assert_memory_equal(reply.body.data, "a\tone\0b\tc\n\tt\t\\\r\n\0!\0\xff\t\xfe\0", 23);
	reply_fini(&reply);
	expect_stream(rig, "/v1/jobs/1/results?from=3", "\xfe\n");
	expect_stream(rig, "/v1/jobs/1/results?from=9", "");
	expect_stream(rig, "/v1/jobs/1/results?failed=1&tag=1", "\"x\tcrashed\tit \"crashed\"\n");
	expect_stream(rig, "/v1/jobs/1/results?order=done&tag=1&from=3", "\xff\t\xfe\n");
}

static void json_lines_have_every_key(void **state)
{
	struct rig *rig = *state;
	struct job *job = add_mixed_job(rig);

	fake_job_end(job, JOB_FAILED);
	expect_stream(rig, "/v1/jobs/1/results?format=json",
		"{\"schema\":1,\"type\":\"task\",\"job\":\"1\",\"index\":0,\"input\":\"a\",\"state\":\"done\",\"result\":\"one\","
		"\"wall_s\":1.5,\"cpu_s\":0.25,\"wait_s\":1.0,\"runq_s\":0.25,\"queue_s\":0.0,\"attempts\":1,"
		"\"worker\":\"4711.0\"}\n"
		"{\"schema\":1,\"type\":\"task\",\"job\":\"1\",\"index\":1,\"input\":\"b\\tc\\n\",\"state\":\"done\","
		"\"result\":\"t\\t\\\\\\r\\n\\u0000!\","
		"\"wall_s\":1.5,\"cpu_s\":0.25,\"wait_s\":1.0,\"runq_s\":0.25,\"queue_s\":0.0,\"attempts\":1,"
		"\"worker\":\"4711.0\"}\n"
		"{\"schema\":1,\"type\":\"task\",\"job\":\"1\",\"index\":2,\"input\":\"\\\"x\",\"state\":\"failed\","
		"\"error\":{\"code\":\"crashed\",\"message\":\"it \\\"crashed\\\"\",\"signal\":\"SIGSEGV\"},"
		"\"wall_s\":0.0,\"cpu_s\":0.0,\"wait_s\":0.0,\"runq_s\":0.0,\"queue_s\":0.0,\"attempts\":1,"
		"\"worker\":\"4711.0\"}\n"
		"{\"schema\":1,\"type\":\"task\",\"job\":\"1\",\"index\":3,\"input_b64\":\"/w==\",\"state\":\"done\","
		"\"result_b64\":\"/g==\","
		"\"wall_s\":1.5,\"cpu_s\":0.25,\"wait_s\":1.0,\"runq_s\":0.25,\"queue_s\":0.0,\"attempts\":1,"
		"\"worker\":\"4711.0\"}\n"
		"{\"schema\":1,\"type\":\"job\",\"job\":\"1\",\"state\":\"failed\",\"workload\":\"squares\",\"model\":\"pool\","
		"\"auto\":false,\"shape\":\"1x2x1\",\"workers\":2,\"tasks\":{\"total\":4,\"queued\":0,\"running\":0,"
		"\"done\":3,\"failed\":1,\"cancelled\":0},\"wall_s\":2.0,\"cpu_s\":0.0,\"wait_s\":0.0,\"runq_s\":0.0,"
		"\"speedup\":0.0,\"peak_rss_bytes\":null,\"error\":null}\n");
}

static void frames_carry_lines_and_failures_in_order(void **state)
{
	struct rig *rig = *state;
	struct job *job = add_mixed_job(rig);
	struct reply reply;

	fake_job_end(job, JOB_FAILED);
	rig_ask(rig, "GET", "/v1/jobs/1/results?format=frames&nul=1", NULL, 0, &reply);
	static const char want[] =
		"{\"type\":\"job\",\"job\":\"1\",\"state\":\"failed\",\"model\":\"pool\",\"shape\":\"1x2x1\",\"workers\":2,"
		"\"auto\":false,\"model_reason\":\"\",\"waiting\":\"\",\"total\":4}\n"
		"{\"type\":\"results\",\"count\":     2,\"bytes\":        12}\none\0t\t\\\r\n\0!\0"
		"{\"type\":\"failed\",\"index\":2,\"input\":\"\\\"x\",\"state\":\"failed\",\"error\":{\"code\":\"crashed\","
		"\"message\":\"it \\\"crashed\\\"\",\"signal\":\"SIGSEGV\"}}\n"
		"{\"type\":\"results\",\"count\":     1,\"bytes\":         2}\n\xfe\0"
		"{\"type\":\"end\",\"job\":\"1\",\"state\":\"failed\",";

	assert_true(reply.body.len > sizeof(want));
	assert_memory_equal(reply.body.data, want, sizeof(want) - 1);
	reply_fini(&reply);
}

/* What comes next; news in quick succession wait for each other a little. */
static void receive(struct rig *rig, int fd, char text[256])
{
	const int64_t deadline_ns = clock_mono_ns() + 10 * NS_PER_S;
	ssize_t n = -1;

	while (n <= 0 && clock_mono_ns() < deadline_ns) {
		rig_turn(rig);
		n = recv(fd, text, 255, MSG_DONTWAIT);
	}
	assert_true(n > 0);
	text[n] = '\0';
}

static void input_order_waits_and_done_order_does_not(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 9000);
	int input = begin(rig, "/v1/jobs/1/results"), done = begin(rig, "/v1/jobs/1/results?order=done&tag=1");
	char text[256];

	fake_job_done(job, 8500, "late", 4);
	fake_job_done(job, 1, "b", 1);
	fake_job_tell(job);
	receive(rig, done, text);
	assert_non_null(strstr(text, "\r\n1\tb\n8500\tlate\n\r\n"));
	receive(rig, input, text);
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n"); /* the head only */
	fake_job_done(job, 0, "a", 1);
	fake_job_tell(job);
	receive(rig, input, text);
	assert_string_equal(text, "00000004\r\na\nb\n\r\n");
	receive(rig, done, text);
	assert_string_equal(text, "00000004\r\n0\ta\n\r\n");
	(void)close(input);
	(void)close(done);
	rig_turn(rig);
	assert_int_equal(rig->jobs->live_refs, 0);
}

static void follow_0_sends_what_is_there(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 4);

	expect_stream(rig, "/v1/jobs/1/results?follow=0", "");
	fake_job_done(job, 0, "a", 1);
	fake_job_done(job, 2, "c", 1);
	expect_stream(rig, "/v1/jobs/1/results?follow=0", "a\n");
	expect_stream(rig, "/v1/jobs/1/results?follow=0&order=done", "a\nc\n");
}

static void a_job_that_ended_early_skips_what_never_was(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 10000);

	fake_job_done(job, 9999, "z", 1);
	fake_job_end(job, JOB_CANCELLED);
	expect_stream(rig, "/v1/jobs/1/results", "z\n");
	expect_stream(rig, "/v1/jobs/1/results?order=done", "z\n");
}

static void wrong_stream_keys_are_refused(void **state)
{
	struct rig *rig = *state;

	fake_job_add(rig->jobs, 1);
	rig_expect(rig, "GET", "/v1/jobs/1/results?format=xml", NULL, 400, "plain, json and frames");
	rig_expect(rig, "GET", "/v1/jobs/1/results?order=size", NULL, 400, "neither input nor done");
	rig_expect(rig, "GET", "/v1/jobs/1/results?from=-1", NULL, 400, "not a number");
	rig_expect(rig, "GET", "/v1/jobs/1/results?progress=1", NULL, 400, "json or frames");
	rig_expect(rig, "GET", "/v1/jobs/1/results?format=json&tag=1", NULL, 400, "plain and frames");
	rig_expect(rig, "GET", "/v1/jobs/1/results?packed=1", NULL, 400, "format=json");
	rig_expect(rig, "GET", "/v1/jobs/1/results?format=json&packed=1&order=done", NULL, 400, "order of inputs");
	rig_expect(rig, "GET", "/v1/jobs/1/results?format=json&packed=1&failed=1", NULL, 400, "without failed");
	rig_expect(rig, "GET", "/v1/jobs/1/results?stream=plain", NULL, 400, "unknown key 'stream'");
	rig_expect(rig, "GET", "/v1/jobs/2/results", NULL, 404, "no-such-job");
	assert_int_equal(rig->jobs->live_refs, 0);
}

static void one_request_runs_a_whole_job(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);

	rig_send_text(rig, fd, "POST /v1/jobs?stream=plain&tag=1 HTTP/1.1\r\nContent-Length: 26\r\n\r\n"
			       "{\"workload\":\"squares\"}\n5\n6\n");
	fake_job_done(rig->jobs->all, 0, "25", 2);
	fake_job_done(rig->jobs->all, 1, "36", 2);
	fake_job_end(rig->jobs->all, JOB_DONE);
	expect_body(rig, fd, "5\t25\n6\t36\n");
	assert_int_equal(rig->jobs->live_refs, 0);
}

static void results_on_disk_are_waited_for(void **state)
{
	static const char *const targets[] = { "/v1/jobs/1/results?tag=1", "/v1/jobs/1/results?tag=1&order=done",
					       "/v1/jobs/1/results?tag=1&follow=0" };
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 5000);

	for (uint64_t i = 0; i < 5000; i++)
		fake_job_done(job, i, "r", 1);
	fake_job_end(job, JOB_DONE);
	job->slow_segments = job->slow_inputs = true;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		int fd = begin(rig, targets[i]);
		struct reply reply;

		rig_receive(rig, fd, &reply);
		assert_false(reply.cut);
		assert_int_equal(reply.body.len, 5000 * 4 + 10 + 90 * 2 + 900 * 3 + 4000 * 4 - 5000);
		reply_fini(&reply);
		(void)close(fd);
	}
}

static void a_stream_that_cannot_go_on_is_cut(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 2);
	int fd = begin(rig, "/v1/jobs/1/results?format=json");
	struct reply reply;

	job->broken = true;
	fake_job_tell(job);
	rig_receive(rig, fd, &reply);
	assert_true(reply.cut);
	assert_non_null(strstr((char *)reply.body.data, "\"type\":\"error\""));
	reply_fini(&reply);
	(void)close(fd);
	assert_int_equal(rig->jobs->live_refs, 0);
}

static void progress_comes_when_asked_for(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 2);
	int fd = begin(rig, "/v1/jobs/1/results?format=frames&progress=1");
	struct reply reply;

	fake_job_done(job, 0, "a", 1);
	fake_job_tell(job);
	rig_turn(rig);
	fake_job_done(job, 1, "b", 1);
	fake_job_end(job, JOB_DONE);
	rig_receive(rig, fd, &reply);
	assert_non_null(strstr((char *)reply.body.data,
			       "{\"type\":\"progress\",\"total\":2,\"done\":0,\"failed\":0,\"cancelled\":0,\"running\":0}\n"));
	reply_fini(&reply);
	(void)close(fd);
}

/* A million bytes a line, one after another, whatever they hold. */
static void long_results_come_whole(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 3);
	size_t n = 1u << 20;
	uint8_t *data = malloc(n);
	struct buffer inputs = BUFFER_INIT;
	struct reply reply;

	memset(data, 'x', n);
	fake_job_done(job, 0, data, n);
	memset(data, '\n', n);
	fake_job_done(job, 1, data, n);
	memset(data, 1, n);
	fake_job_done(job, 2, data, n);
	job->segments[0]->special = true;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(buffer_add_varint(&inputs, n), 0);
		assert_int_equal(buffer_add(&inputs, data, n), 0);
	}
	fake_job_inputs(job, inputs.data, inputs.len);
	fake_job_end(job, JOB_DONE);
	rig_ask(rig, "GET", "/v1/jobs/1/results", NULL, 0, &reply);
	assert_false(reply.cut);
	assert_int_equal(reply.body.len, 4 * n + 3);
	reply_fini(&reply);
	rig_ask(rig, "GET", "/v1/jobs/1/results?format=json", NULL, 0, &reply);
	assert_false(reply.cut);
	assert_true(reply.body.len > (1 + 2 + 6 + 18) * n);
	reply_fini(&reply);
	buffer_fini(&inputs);
	free(data);
}

static void many_results_come_in_order(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 100000);
	int fd = begin(rig, "/v1/jobs/1/results?format=plain");
	struct buffer want = BUFFER_INIT;
	struct reply reply;

	for (uint64_t i = 0; i < 100000; i++) {
		char text[24];
		int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)(i * i * 12345));

		fake_job_done(job, i, text, (size_t)n);
		assert_int_equal(buffer_printf(&want, "%s\n", text), 0);
		if (i % 7777 == 0) {
			fake_job_tell(job);
			rig_turn(rig);
		}
	}
	fake_job_end(job, JOB_DONE);
	rig_receive(rig, fd, &reply);
	assert_false(reply.cut);
	assert_int_equal(reply.body.len, want.len);
	assert_memory_equal(reply.body.data, want.data, want.len);
	assert_int_equal(job->n_passed, 100000 / SEGMENT_TASKS); /* all but the last, of which more might have come */
	reply_fini(&reply);
	buffer_fini(&want);
	(void)close(fd);
}

/* A sanitizer has an allocator of its own. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* How many bytes the socket holds for the reader says nothing of the daemon; its memory does. */
static size_t allocated_bytes(void)
{
	struct mallinfo2 info;

	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

/* At `at` lies the line of this task. */
static bool is_line_of(const uint8_t *at, uint64_t task)
{
	char begins[96];

	(void)snprintf(begins, sizeof(begins), "{\"schema\":1,\"type\":\"task\",\"job\":\"1\",\"index\":%" PRIu64 ",", task);
	return strncmp((const char *)at, begins, strlen(begins)) == 0;
}

/* The packed runs of a stream, with a few lines between them: how many tasks they are about, which follow each other from
 * `first` on; *ret_rest is behind them. */
static uint64_t unpack(const struct buffer *body, uint64_t first, const uint8_t **ret_rest)
{
	const uint8_t *at = body->data, *end = at + body->len, *data;
	uint64_t task = first, n_first, n, inputs, bytes;

	while (strncmp((const char *)at, PROTOCOL_PACKED_BEGIN, sizeof(PROTOCOL_PACKED_BEGIN) - 1) == 0) {
		struct segment_unpack outcomes;
		struct task_record record;
		const uint8_t *blob;
		size_t len, want;
		int got = sscanf((const char *)at, PROTOCOL_PACKED_BEGIN ",\"job\":\"1\",\"first\":%" SCNu64 ",\"count\":%" SCNu64
				 ",\"inputs\":%" SCNu64 ",\"bytes\":%" SCNu64, &n_first, &n, &inputs, &bytes);

		assert_int_equal(got, 4);
		assert_true(n_first == task);
		at = (const uint8_t *)strchr((const char *)at, '\n') + 1;
		blob = at + inputs;
		assert_true(blob + bytes <= end);
		assert_int_equal(segment_unpack_begin(blob, bytes, &outcomes), 0);
		assert_int_equal(outcomes.left, n);
		for (; segment_unpack_next(&outcomes, &record, &data) == 1; task++) {
			char text[24];

			want = (size_t)snprintf(text, sizeof(text), "%" PRIu64, task * task);
			assert_int_equal(record.length, want);
			assert_memory_equal(data, text, want);
			at = packed_next(at, blob, &data, &len);
			assert_non_null(at);
			want = (size_t)snprintf(text, sizeof(text), "%" PRIu64, task);
			assert_int_equal(len, want);
			assert_memory_equal(data, text, want);
		}
		assert_ptr_equal(at, blob);
		for (at = blob + bytes; is_line_of(at, task); task++) /* of the few that were left of a segment */
			at = (const uint8_t *)strchr((const char *)at, '\n') + 1;
	}
	*ret_rest = at;
	return task - first;
}

static void many_outcomes_come_packed_when_asked_for_and_few_as_lines(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 10000);
	const uint8_t *rest;
	struct reply reply;
	char text[24];

	for (uint64_t i = 0; i < 10000; i++)
		fake_job_done(job, i, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, i * i));
	fake_job_end(job, JOB_DONE);
	rig_ask(rig, "GET", "/v1/jobs/1/results?format=json&packed=1&from=77", NULL, 0, &reply);
	assert_true(unpack(&reply.body, 77, &rest) == 10000 - 77);
	assert_true(reply.body.len < 10000 * 30);
	assert_int_equal(strncmp((const char *)rest, "{\"schema\":1,\"type\":\"job\"", 24), 0);
	assert_int_equal(job->n_passed, 10000 / SEGMENT_TASKS);
	reply_fini(&reply);
	rig_ask(rig, "GET", "/v1/jobs/1/results?format=json&packed=1&from=9990", NULL, 0, &reply);
	assert_true(unpack(&reply.body, 9990, &rest) == 0);
	assert_true(is_line_of(rest, 9990));
	reply_fini(&reply);
}

static void readers_that_do_not_read_cost_little(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 400000);
	int fds[8];
	size_t before;
	struct reply reply;

	for (uint64_t i = 0; i < 400000; i++)
		fake_job_done(job, i, "0123456789012345678901234567890123456789", 40);
	fake_job_end(job, JOB_DONE);
	before = allocated_bytes();
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = begin(rig, i % 2 ? "/v1/jobs/1/results" : "/v1/jobs/1/results?order=done");
	for (int i = 0; i < 100; i++)
		rig_turn(rig);
	assert_true(allocated_bytes() < before + ARRAY_SIZE(fds) * (1u << 20));
	rig_expect(rig, "GET", "/v1/ping", NULL, 200, "pong");
	rig_receive(rig, fds[3], &reply); /* and one that reads on gets it all */
	assert_int_equal(reply.body.len, 400000 * 41);
	reply_fini(&reply);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
	rig_turn(rig);
	assert_int_equal(rig->jobs->live_refs, 0);
}

static void a_lost_client_cancels_where_it_said_so(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 10);
	int fd = begin(rig, "/v1/jobs/1/results");

	(void)close(fd);
	rig_turn(rig);
	assert_int_equal(rig->jobs->live_refs, 0);
	assert_false(job->cancel_asked);
	fd = begin(rig, "/v1/jobs/1/results?cancel_on_close=1");
	(void)close(fd);
	rig_turn(rig);
	assert_int_equal(rig->jobs->live_refs, 0);
	assert_true(job->cancel_asked);
	/* with more of its bytes waiting it is found by the tick */
	fd = begin(rig, "/v1/jobs/1/results?cancel_on_close=1");
	rig_send_text(rig, fd, "more that waits in the socket");
	(void)close(fd);
	for (int i = 0; i < 1000 && rig->jobs->live_refs > 0; i++) {
		(void)event_base_loop(loop_base(rig->loop), EVLOOP_ONCE);
		rig_turn(rig);
	}
	assert_int_equal(rig->jobs->live_refs, 0);
}

/* Clients vanish at random points of streams, of waiting and of reading (for the sanitizers). */
static void vanishing_clients_leave_nothing(void **state)
{
	static const char *const targets[] = { "/v1/jobs/1/results", "/v1/jobs/1/results?format=json&progress=1",
					       "/v1/jobs/1/results?format=frames&order=done&progress=1",
					       "/v1/jobs/1/follow", "/v1/jobs/1/wait", "/v1/jobs/1/results?follow=0",
					       "/v1/jobs/1/results?order=done&cancel_on_close=1" };
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 30000);
	int fds[20] = { 0 };
	unsigned int seed = 11;
	static char scrap[300000];
	uint64_t next = 0;
	struct reply reply = { .status = 0 };

	for (int i = 0; i < 6000; i++) {
		size_t k = (size_t)rand_r(&seed) % ARRAY_SIZE(fds);

		if (fds[k] == 0) {
			fds[k] = begin(rig, targets[(size_t)rand_r(&seed) % ARRAY_SIZE(targets)]);
		} else if (rand_r(&seed) % 3 == 0) {
			(void)close(fds[k]);
			fds[k] = 0;
		} else if (rand_r(&seed) % 8 == 0) {
			(void)shutdown(fds[k], rand_r(&seed) % 2 ? SHUT_WR : SHUT_RD);
		} else {
			(void)!recv(fds[k], scrap, (size_t)rand_r(&seed) % sizeof(scrap), 0);
		}
		for (int n = rand_r(&seed) % 8; n > 0 && next < 30000; n--, next++) {
			if (next % 50 == 0)
				fake_job_failed(job, next, TASK_ERROR_FAILED, 0, "no");
			else
				fake_job_done(job, next, scrap, (size_t)rand_r(&seed) % 3000);
		}
		fake_job_tell(job);
		if (rand_r(&seed) % 2)
			rig_turn(rig);
	}
	for (size_t k = 0; k < ARRAY_SIZE(fds); k++)
		if (fds[k])
			(void)close(fds[k]);
	rig_turn(rig);
	/* Those that had shut down their writing side are found by the tick, and may be too many for one more until then; the rest is
	 * closed with the server. */
	for (int64_t until_ns = clock_mono_ns() + 10 * NS_PER_S; reply.status != 200; reply_fini(&reply)) {
		assert_true(clock_mono_ns() < until_ns);
		rig_ask(rig, "GET", "/v1/ping", NULL, 0, &reply);
	}
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(plain_lines_are_escaped_and_failures_left_out),
		RIG_TEST(json_lines_have_every_key),
		RIG_TEST(frames_carry_lines_and_failures_in_order),
		RIG_TEST(input_order_waits_and_done_order_does_not),
		RIG_TEST(follow_0_sends_what_is_there),
		RIG_TEST(a_job_that_ended_early_skips_what_never_was),
		RIG_TEST(wrong_stream_keys_are_refused),
		RIG_TEST(one_request_runs_a_whole_job),
		RIG_TEST(results_on_disk_are_waited_for),
		RIG_TEST(a_stream_that_cannot_go_on_is_cut),
		RIG_TEST(progress_comes_when_asked_for),
		RIG_TEST(long_results_come_whole),
		RIG_TEST(many_results_come_in_order),
		RIG_TEST(many_outcomes_come_packed_when_asked_for_and_few_as_lines),
		RIG_TEST(readers_that_do_not_read_cost_little),
		RIG_TEST(a_lost_client_cancels_where_it_said_so),
		RIG_TEST(vanishing_clients_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
