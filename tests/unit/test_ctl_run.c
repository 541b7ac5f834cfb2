/* `concctl run` against a daemon played by the test: what it asks, what it prints, how it exits, and what it does when
 * connections break, signals come and readers go. */
#include "ctl_server.h"

/* Serve one `run` of which everything fits one request. The caller closes. */
static int serve_submission(struct server *s, struct request *r)
{
	int fd = server_accept(s);

	server_expect(fd, "POST /v1/jobs?stream=frames&stalls=1 ", r);
	return fd;
}

static void test_results_go_out_as_they_came_and_failures_are_named(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd;

	concctl_start(s, "run", "squares", "1", "-m", "pool", "two\nlines", "3", "-j2", "-p", "a=b=c", "--timeout", "1m");
	fd = serve_submission(s, &r);
	assert_non_null(strstr((char *)r.body.data, "\"workload\":\"squares\""));
	assert_non_null(strstr((char *)r.body.data, "\"model\":\"pool\""));
	assert_non_null(strstr((char *)r.body.data, "\"workers\":2"));
	assert_non_null(strstr((char *)r.body.data, "\"params\":{\"a\":\"b=c\"}"));
	assert_non_null(strstr((char *)r.body.data, "\"timeout_s\":60.0"));
	assert_null(strstr((char *)r.body.data, "\"open\""));
	assert_non_null(strstr((char *)r.body.data, "}\n\001" "1\011two\nlines\001" "3")); /* packed */
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME "{\"type\":\"results\",\"count\":1,\"bytes\":2}\n1");
	server_chunk(fd, "\n{\"type\":\"failed\",\"index\":1,\"input\":\"two\\nlines\",\"state\":\"failed\",\"error\":"
			 "{\"code\":\"crashed\",\"message\":\"died\",\"signal\":\"SIGSEGV\"}}\n{\"type\":\"res");
	server_chunk(fd, "ults\",\"count\":1,\"bytes\":7}\n\\\\x\\ny\n");
	server_chunk(fd, "{\"type\":\"progress\",\"total\":3,\"done\":2}\n" END_FRAME("failed", 2, 1));
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 1);
	assert_string_equal(s->stdout_text, "1\n\\\\x\\ny\n");
	assert_non_null(strstr(s->stderr_text, "concctl: task 1 (input 'two?lines'): crashed: died, signal SIGSEGV\n"));
	assert_non_null(strstr(s->stderr_text, "job 7 failed: 2 of 3 tasks done, 1 failed in 500 ms under pool (1x2x1)"));
	assert_null(strchr(s->stderr_text, '\r')); /* no progress line where there is no terminal */
	(void)close(fd);
}

static void test_failed_inputs_that_are_no_text_are_named_too(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd;

	concctl_start(s, "run", "squares", "1");
	fd = serve_submission(s, &r);
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, "{\"type\":\"failed\",\"index\":0,\"input\":\"a\\u0000b\",\"error\":{\"code\":\"failed\"}}\n"
			 "{\"type\":\"failed\",\"index\":1,\"input_b64\":\"//4=\",\"error\":{\"code\":\"failed\"}}\n"
			 END_FRAME("failed", 1, 2));
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 1);
	assert_non_null(strstr(s->stderr_text, "task 0 (input 'a?b'): failed\n"));
	assert_non_null(strstr(s->stderr_text, "task 1 (input '2 bytes that are no text'): failed\n"));
	(void)close(fd);
}

static void test_success_is_quiet_when_asked_and_exits_0(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd;

	concctl_start(s, "run", "squares", "1", "-q", "--unordered", "--tag", "-0");
	fd = server_accept(s);
	server_expect(fd, "POST /v1/jobs?stream=frames&order=done&tasks=1&tag=1&nul=1 ", &r);
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME END_FRAME("done", 3, 0));
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "");
	assert_string_equal(s->stderr_text, "");
	(void)close(fd);
}

static void test_json_is_passed_on_alone(void **state)
{
	static const char lines[] = "{\"schema\":1,\"type\":\"task\",\"index\":0}\n{\"schema\":1,\"type\":\"task\",\"index\":1}\n"
				    "{\"schema\":1,\"type\":\"job\",\"job\":\"7\",\"state\":\"failed\",\"tasks\":{\"failed\":1}}\n";
	struct server *s = *state;
	int fd;

	concctl_start(s, "--json", "run", "squares", "1", "2");
	fd = server_accept(s);
	server_expect_only(fd, "POST /v1/jobs?stream=json ");
	server_stream(fd, "7");
	for (const char *c = lines; *c; c++)
		server_chunk(fd, (char[]){ *c, '\0' });
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 1);
	assert_string_equal(s->stdout_text, lines);
	assert_string_equal(s->stderr_text, "");
	(void)close(fd);
}

static void submission_of(const struct request *r, char id[33])
{
	const char *at = strstr((const char *)r->body.data, "\"submission\":\"");

	assert_non_null(at);
	(void)snprintf(id, 33, "%s", at + 14);
}

static void test_a_submission_whose_answer_was_lost_is_sent_again_as_the_same(void **state)
{
	struct server *s = *state;
	char first[33], second[33];
	struct request r;
	int fd;

	concctl_start(s, "run", "squares", "1");
	fd = serve_submission(s, &r);
	submission_of(&r, first);
	buffer_fini(&r.body);
	(void)close(fd);
	(void)close(s->listener); /* the daemon is gone for a moment */
	server_listen(s);
	fd = serve_submission(s, &r);
	submission_of(&r, second);
	buffer_fini(&r.body);
	assert_string_equal(first, second);
	assert_int_equal(strlen(first), 32);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME END_FRAME("done", 3, 0));
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 0);
	(void)close(fd);
}

static void test_a_daemon_that_ends_does_not_refuse_what_was_sent_before(void **state)
{
	static const char stopping[] = "{\"schema\":1,\"error\":{\"code\":\"stopping\",\"message\":\"it is shutting down\"}}";
	static const char busy[] = "{\"schema\":1,\"error\":{\"code\":\"busy\",\"message\":\"there is no room\"}}";
	struct server *s = *state;
	struct request r;
	int fd;

	for (int refused = 0; refused < 2; refused++) {
		concctl_start(s, "run", "squares", "1");
		fd = serve_submission(s, &r);
		buffer_fini(&r.body);
		(void)close(fd); /* it may have been accepted */
		fd = serve_submission(s, &r);
		buffer_fini(&r.body);
		server_answer(fd, 503, stopping);
		(void)close(fd);
		fd = serve_submission(s, &r);
		buffer_fini(&r.body);
		if (refused) { /* the next one, which knows what was accepted, has the last word */
			server_answer(fd, 503, busy);
		} else {
			server_stream(fd, "7");
			server_chunk(fd, JOB_FRAME END_FRAME("done", 3, 0));
			server_stream_end(fd);
		}
		assert_int_equal(concctl_wait(s), refused ? 75 : 0);
		(void)close(fd);
	}
	assert_non_null(strstr(s->stderr_text, "there is no room"));
}

static void test_a_broken_stream_is_taken_up_without_a_byte_lost_or_doubled(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd;

	concctl_start(s, "run", "squares", "1", "2", "3", "4", "5");
	fd = serve_submission(s, &r);
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME "{\"type\":\"results\",\"count\":2,\"bytes\":6}\n10\n20\n");
	server_chunk(fd, "{\"type\":\"results\",\"count\":3,\"bytes\":9}\n30\n4"); /* ends in the middle of a task */
	(void)close(fd);
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/7/results?format=frames&stalls=1&from=2 ");
	server_stream(fd, "7");
	server_chunk(fd, "{\"type\":\"results\",\"count\":1,\"bytes\":3}\n30\n"); /* cut into other frames this time */
	(void)close(fd);
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/7/results?format=frames&stalls=1&from=3 ");
	server_stream(fd, "7");
	server_chunk(fd, "{\"type\":\"results\",\"count\":2,\"bytes\":6}\n40\n50\n" END_FRAME("done", 3, 0));
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "10\n20\n30\n40\n50\n");
	(void)close(fd);
}

static void test_a_stream_that_breaks_behind_its_end_is_complete(void **state)
{
	static const char lines[] = "{\"schema\":1,\"type\":\"task\",\"index\":0}\n"
				    "{\"schema\":1,\"type\":\"job\",\"job\":\"7\",\"state\":\"done\",\"tasks\":{\"failed\":0}}\n";
	struct server *s = *state;
	struct request r;
	int fd;

	concctl_start(s, "--json", "run", "squares", "1");
	fd = server_accept(s);
	server_expect_only(fd, "POST /v1/jobs?stream=json ");
	server_stream(fd, "7");
	server_chunk(fd, lines);
	(void)close(fd); /* the last chunk, which is empty, does not come any more */
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, lines);
	concctl_start(s, "run", "squares", "1", "2", "3");
	fd = serve_submission(s, &r);
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME "{\"type\":\"results\",\"count\":3,\"bytes\":6}\n1\n4\n9\n" END_FRAME("done", 3, 0));
	(void)close(fd);
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "1\n4\n9\n");
	assert_int_equal(poll(&(struct pollfd){ .fd = s->listener, .events = POLLIN }, 1, 0), 0); /* nobody asked again */
}

static void test_ctrl_c_cancels_the_job_and_exits_130(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd, cancel;

	concctl_start(s, "run", "squares", "1");
	fd = serve_submission(s, &r);
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME);
	(void)kill(s->pid, SIGINT);
	cancel = server_accept(s);
	server_expect_only(cancel, "POST /v1/jobs/7/cancel ");
	server_answer(cancel, 200, "{\"schema\":1,\"job\":\"7\",\"state\":\"cancelled\"}");
	assert_int_equal(concctl_wait(s), 130);
	assert_non_null(strstr(s->stderr_text, "job 7 was cancelled"));
	(void)close(fd);
	(void)close(cancel);
}

static void test_ctrl_c_cancels_also_before_the_jobs_number_is_known(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd, cancel;

	concctl_start(s, "run", "squares", "1");
	fd = serve_submission(s, &r);
	buffer_fini(&r.body);
	(void)kill(s->pid, SIGINT); /* nothing was answered yet */
	server_stream(fd, "7");
	cancel = server_accept(s);
	server_expect_only(cancel, "POST /v1/jobs/7/cancel ");
	server_answer(cancel, 409, "{\"schema\":1,\"error\":{\"code\":\"wrong-state\",\"message\":\"it has ended\"}}");
	assert_int_equal(concctl_wait(s), 130);
	(void)close(fd);
	(void)close(cancel);
}

static void test_sigterm_leaves_the_job_running_and_says_which(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd;

	concctl_start(s, "run", "squares", "1");
	fd = serve_submission(s, &r);
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME);
	(void)kill(s->pid, SIGTERM);
	assert_int_equal(concctl_wait(s), 130);
	assert_non_null(strstr(s->stderr_text, "job 7 goes on"));
	assert_int_equal(poll(&(struct pollfd){ .fd = s->listener, .events = POLLIN }, 1, 0), 0); /* nobody asked to cancel */
	(void)close(fd);
}

static void test_a_reader_that_goes_away_cancels_the_job_even_while_nothing_is_printed(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd, cancel, out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	concctl_start_to(s, out[1], (const char *const[]){ "run", "squares", "1", NULL });
	(void)close(out[1]);
	fd = serve_submission(s, &r);
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME);
	(void)close(out[0]);
	cancel = server_accept(s);
	server_expect_only(cancel, "POST /v1/jobs/7/cancel ");
	server_answer(cancel, 200, "{\"schema\":1,\"job\":\"7\",\"state\":\"cancelled\"}");
	assert_int_equal(concctl_wait(s), 130);
	(void)close(fd);
	(void)close(cancel);
}

static void test_a_full_disk_behind_standard_output_is_said_and_loses_no_job(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd, full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_true(full >= 0);
	concctl_start_to(s, full, (const char *const[]){ "run", "squares", "1", NULL });
	(void)close(full);
	fd = serve_submission(s, &r);
	buffer_fini(&r.body);
	server_stream(fd, "7");
	server_chunk(fd, JOB_FRAME "{\"type\":\"results\",\"count\":1,\"bytes\":2}\n1\n");
	assert_int_equal(concctl_wait(s), 1);
	assert_non_null(strstr(s->stderr_text, "No space left on device"));
	assert_non_null(strstr(s->stderr_text, "concctl results 7"));
	(void)close(fd);
}

static void test_detach_prints_the_number_only_and_dry_run_runs_nothing(void **state)
{
	struct server *s = *state;
	struct request r;
	int fd;

	concctl_start(s, "run", "-d", "squares", "1", "2");
	fd = server_accept(s);
	server_expect_only(fd, "POST /v1/jobs HTTP");
	server_answer(fd, 201, "{\"schema\":1,\"job\":\"9\",\"inputs\":2,\"state\":\"queued\"}");
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "9\n");
	assert_string_equal(s->stderr_text, "");
	(void)close(fd);
	concctl_start(s, "run", "--dry-run", "squares", "1", "2");
	fd = server_accept(s);
	server_expect(fd, "POST /v1/jobs HTTP", &r);
	assert_non_null(strstr((char *)r.body.data, "\"dry_run\":true"));
	buffer_fini(&r.body);
	server_answer(fd, 200, "{\"schema\":1,\"dry_run\":true,\"model\":\"pool\",\"shape\":\"1x2x1\",\"workers\":2,"
			       "\"dedicated\":false,\"model_reason\":\"\",\"tasks\":2}");
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "2 tasks would run under pool (1x2x1), 2 at once\n");
	(void)close(fd);
}

/* A file with more lines than one piece takes. */
static void write_lines(struct server *s, char path[80], int n)
{
	FILE *file;

	(void)snprintf(path, 80, "%s/lines", s->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < n; i++)
		(void)fprintf(file, "%07d\n", i);
	assert_int_equal(fclose(file), 0);
}

/* How many packed inputs there are. */
static size_t count_packed(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *data;
	size_t len, n = 0;

	for (; at && at < end; n++)
		at = packed_next(at, end, &data, &len);
	assert_non_null(at);
	return n;
}

static void test_many_inputs_travel_in_pieces_while_results_stream(void **state)
{
	struct server *s = *state;
	int fd, results, pieces = 0;
	size_t have, lost = 0;
	struct request r;
	char path[80], answer[80];

	write_lines(s, path, 300000); /* 2.4 MB packed: 128 KiB, 512 KiB, 1 MiB and the rest */
	concctl_start(s, "run", "squares", "-i", path);
	fd = server_accept(s);
	server_expect(fd, "POST /v1/jobs HTTP", &r);
	assert_non_null(strstr((char *)r.body.data, "\"open\":true"));
	have = count_packed((uint8_t *)memchr(r.body.data, '\n', r.body.len) + 1, r.body.data + r.body.len);
	buffer_fini(&r.body);
	(void)snprintf(answer, sizeof(answer), "{\"schema\":1,\"job\":\"7\",\"inputs\":%zu}", have);
	server_answer(fd, 201, answer);
	(void)close(fd);
	/* Two connections come, in either order. */
	results = -1;
	for (bool last = false; !last || results < 0;) {
		fd = server_accept(s);
		while (server_read(fd, &r)) {
			if (strncmp(r.line, "GET /v1/jobs/7/results?format=frames&stalls=1&from=0 ", 53) == 0) {
				buffer_fini(&r.body);
				results = fd;
				fd = -1;
				break;
			}
			(void)snprintf(answer, sizeof(answer), "POST /v1/jobs/7/inputs?from=%zu&format=packed", have);
			if (lost > 0) {
				/* Its answer was lost, so it comes once more, and is on disk already. */
				(void)snprintf(answer, sizeof(answer),
					       "{\"schema\":1,\"error\":{\"code\":\"wrong-offset\",\"message\":\"\",\"have\":%zu}}",
					       have);
				server_answer(fd, 409, answer);
				lost = 0;
				last = strstr(r.line, "&last=1 ") != NULL;
			} else {
				assert_int_equal(strncmp(r.line, answer, strlen(answer)), 0);
				lost = count_packed(r.body.data, r.body.data + r.body.len);
				have += lost;
				pieces++;
				buffer_fini(&r.body);
				break; /* the connection ends without an answer */
			}
			buffer_fini(&r.body);
		}
		if (fd >= 0)
			(void)close(fd);
	}
	assert_int_equal(have, 300000);
	assert_int_equal(pieces, 3);
	server_stream(results, "7");
	server_chunk(results, JOB_FRAME END_FRAME("done", 3, 0));
	server_stream_end(results);
	assert_int_equal(concctl_wait(s), 0);
	(void)close(results);
	(void)unlink(path);
}

/* Serve a detached run of which the daemon takes some pieces, and then no more: the answer to the last of them is lost. */
static void refuse_pieces(struct server *s, size_t most)
{
	static const char refusal[] = "{\"schema\":1,\"error\":{\"code\":\"wrong-state\",\"message\":\"it takes no more inputs\"}}";
	bool lost = false, refused = false;
	char answer[120];
	struct request r;
	size_t have;
	int fd = server_accept(s);

	server_expect(fd, "POST /v1/jobs HTTP", &r);
	have = count_packed((uint8_t *)memchr(r.body.data, '\n', r.body.len) + 1, r.body.data + r.body.len);
	buffer_fini(&r.body);
	(void)snprintf(answer, sizeof(answer), "{\"schema\":1,\"job\":\"7\",\"inputs\":%zu}", have);
	server_answer(fd, 201, answer);
	(void)close(fd);
	while (!refused) {
		fd = server_accept(s);
		while (!refused && server_read(fd, &r)) {
			refused = have >= most || lost;
			if (refused) {
				server_answer(fd, 409, refusal);
			} else {
				have += count_packed(r.body.data, r.body.data + r.body.len);
				lost = strstr(r.line, "&last=1 ") != NULL;
				(void)snprintf(answer, sizeof(answer), "{\"schema\":1,\"job\":\"7\",\"inputs\":%zu}", have);
				if (!lost)
					server_answer(fd, 200, answer);
			}
			buffer_fini(&r.body);
			if (lost)
				break;
		}
		(void)close(fd);
	}
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/7 ");
	(void)snprintf(answer, sizeof(answer), "{\"schema\":1,\"job\":\"7\",\"state\":\"cancelled\",\"tasks\":{\"total\":%zu}}", have);
	server_answer(fd, 200, answer);
	(void)close(fd);
}

static void test_a_detached_run_is_an_error_where_not_all_of_it_was_accepted(void **state)
{
	struct server *s = *state;
	char path[80];

	write_lines(s, path, 300000);
	concctl_start(s, "run", "squares", "-d", "-i", path);
	refuse_pieces(s, 1);
	assert_int_equal(concctl_wait(s), 3);
	assert_string_equal(s->stdout_text, "");
	assert_non_null(strstr(s->stderr_text, "job 7 is cancelled and takes no more inputs"));
	concctl_start(s, "run", "squares", "-d", "-i", path);
	refuse_pieces(s, SIZE_MAX); /* it has all, and has ended since */
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "7\n");
	(void)unlink(path);
}

static void test_a_daemons_refusal_decides_the_exit_status(void **state)
{
	static const struct {
		int http;
		const char *code;
		int status;
	} cases[] = { { 400, "bad-parameter", 2 }, { 404, "no-such-workload", 4 }, { 404, "no-such-model", 4 },
		      { 409, "workload-unusable", 3 }, { 503, "busy", 75 }, { 507, "full", 75 }, { 503, "stopping", 75 },
		      { 403, "denied", 77 }, { 413, "too-large", 2 }, { 500, "internal", 1 }, { 400, "of-tomorrow", 1 } };
	struct server *s = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct request r;
		char body[200];
		int fd;

		concctl_start(s, "run", "squares", "1");
		fd = serve_submission(s, &r);
		buffer_fini(&r.body);
		(void)snprintf(body, sizeof(body), "{\"schema\":1,\"error\":{\"code\":\"%s\",\"message\":\"because\"}}",
			       cases[i].code);
		server_answer(fd, cases[i].http, body);
		assert_int_equal(concctl_wait(s), cases[i].status);
		assert_string_equal(s->stdout_text, "");
		assert_string_equal(s->stderr_text, "concctl: because\n");
		(void)close(fd);
	}
}

static void test_garbage_in_the_stream_is_an_error_and_no_crash(void **state)
{
	static const char *const garbage[] = { "hello\n", "{\n", "{\"type\":7}\n", "{\"type\":\"results\",\"count\":1}\n",
					       "{\"type\":\"results\",\"count\":1,\"bytes\":-1}\n", "[]\n" };
	struct server *s = *state;

	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		struct request r;
		int fd;

		concctl_start(s, "run", "squares", "1");
		fd = serve_submission(s, &r);
		buffer_fini(&r.body);
		server_stream(fd, "7");
		server_chunk(fd, garbage[i]);
		server_stream_end(fd);
		assert_int_equal(concctl_wait(s), 1);
		assert_non_null(strstr(s->stderr_text, "concctl: "));
		(void)close(fd);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, server_setup, server_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_results_go_out_as_they_came_and_failures_are_named),
		TEST(test_failed_inputs_that_are_no_text_are_named_too),
		TEST(test_success_is_quiet_when_asked_and_exits_0),
		TEST(test_json_is_passed_on_alone),
		TEST(test_a_submission_whose_answer_was_lost_is_sent_again_as_the_same),
		TEST(test_a_daemon_that_ends_does_not_refuse_what_was_sent_before),
		TEST(test_a_broken_stream_is_taken_up_without_a_byte_lost_or_doubled),
		TEST(test_a_stream_that_breaks_behind_its_end_is_complete),
		TEST(test_ctrl_c_cancels_the_job_and_exits_130),
		TEST(test_ctrl_c_cancels_also_before_the_jobs_number_is_known),
		TEST(test_sigterm_leaves_the_job_running_and_says_which),
		TEST(test_a_reader_that_goes_away_cancels_the_job_even_while_nothing_is_printed),
		TEST(test_a_full_disk_behind_standard_output_is_said_and_loses_no_job),
		TEST(test_detach_prints_the_number_only_and_dry_run_runs_nothing),
		TEST(test_many_inputs_travel_in_pieces_while_results_stream),
		TEST(test_a_detached_run_is_an_error_where_not_all_of_it_was_accepted),
		TEST(test_a_daemons_refusal_decides_the_exit_status),
		TEST(test_garbage_in_the_stream_is_an_error_and_no_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
