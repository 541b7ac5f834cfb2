/* The other commands against a daemon played by the test, and what concctl says when there is none. */
#include "ctl_server.h"

#include <sys/stat.h>

/* Serve one document on a connection of its own. */
static void serve(struct server *s, const char *begins, int status, const char *body)
{
	int fd = server_accept(s);

	server_expect_only(fd, begins);
	server_answer(fd, status, body);
	(void)close(fd);
}

static void test_json_documents_are_printed_as_they_came(void **state)
{
	struct server *s = *state;

	concctl_start(s, "status", "--json");
	serve(s, "GET /v1/status ", 200, "{\"schema\":1, \"x\":[1,2]}\n");
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "{\"schema\":1, \"x\":[1,2]}\n");
}

static void test_an_unknown_job_exits_4_and_answers_in_json_too(void **state)
{
	static const char refusal[] = "{\"schema\":1,\"error\":{\"code\":\"no-such-job\",\"message\":\"there is no job 7\"}}";
	static const char *const commands[] = { "show", "results", "follow", "wait", "cancel" };
	struct server *s = *state;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		concctl_start(s, "--json", commands[i], "7");
		serve(s, "", 404, refusal);
		assert_int_equal(concctl_wait(s), 4);
		assert_string_equal(s->stderr_text, "concctl: there is no job 7\n");
		assert_non_null(strstr(s->stdout_text, "\"code\":\"no-such-job\""));
	}
}

static void test_wrong_command_lines_exit_2_without_asking_anybody(void **state)
{
	static const char *const lines[][4] = { { "staus" }, { "status", "x" }, { "show" }, { "show", "x" }, { "show", "7", "8" },
		{ "run" }, { "run", "squares" }, { "run", "squares", "1", "-jx" }, { "run", "squares", "1", "-pnoequals" },
		{ "run", "squares", "-i", "/nonexistent" }, { "wait", "7", "--timeout=10" }, { "--color=blue", "list" },
		{ "list", "-n0" }, { "results", "7", "-o/tmp" }, { "cancel", "@lost" }, { "cancel" }, { "cancel", "7", "--all" },
		{ "rm", "--all", "-wx" }, { "pause", "7", "-lx" }, { "set", "7" }, { "set", "7", "=1" }, { "wait", "0" },
		{ "clean", "7" }, { "clean", "--older-than=soon" }, { "help", "nothing" } };
	struct server *s = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *words[5] = { lines[i][0], lines[i][1], lines[i][2], lines[i][3], NULL };

		concctl_start_to(s, -1, words);
		assert_int_equal(concctl_wait(s), 2);
		assert_string_equal(s->stdout_text, "");
		assert_int_equal(strncmp(s->stderr_text, "concctl: ", 9), 0);
	}
	assert_int_equal(poll(&(struct pollfd){ .fd = s->listener, .events = POLLIN }, 1, 0), 0);
}

static void test_a_daemon_that_is_not_there_is_69_with_the_way_to_start_it(void **state)
{
	struct server *s = *state;

	(void)close(s->listener);
	concctl_start(s, "ping"); /* the socket is still there: stale */
	assert_int_equal(concctl_wait(s), 69);
	assert_non_null(strstr(s->stderr_text, s->socket));
	assert_non_null(strstr(s->stderr_text, "left behind"));
	(void)unlink(s->socket);
	concctl_start(s, "ping");
	assert_int_equal(concctl_wait(s), 69);
	assert_non_null(strstr(s->stderr_text, "there is no socket"));
	assert_non_null(strstr(s->stderr_text, "systemctl start concd"));
	concctl_start(s, "run", "squares", "1", "--json");
	assert_int_equal(concctl_wait(s), 69);
	assert_non_null(strstr(s->stdout_text, "\"code\":\"unreachable\""));
	(void)close(open(s->socket, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	concctl_start(s, "ping");
	assert_int_equal(concctl_wait(s), 69);
	assert_non_null(strstr(s->stderr_text, "is not a socket"));
	server_listen(s);
}

static void test_an_endless_socket_path_is_a_usage_error(void **state)
{
	struct server *s = *state;
	char path[300];

	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	concctl_start(s, "-s", path, "ping");
	assert_int_equal(concctl_wait(s), 2);
}

#define ENDED(id, state, failed) \
	"{\"schema\":1,\"job\":\"" id "\",\"state\":\"" state "\",\"tasks\":{\"done\":1,\"failed\":" #failed "}}"

#define SELECTED(jobs) "{\"schema\":1,\"type\":\"selected\",\"jobs\":\"" jobs "\"}"
#define SUMMARY "{\"schema\":1,\"type\":\"summary\",\"done\":1,\"failed\":0}\n"

/* Answer a verb on many jobs with these lines; `names`: what the request's body is to be. */
static void serve_lines(struct server *s, const char *begins, const char *names, const char *lines)
{
	int fd = server_accept(s);
	struct request request;

	server_read(fd, &request);
	assert_int_equal(strncmp(request.line, begins, strlen(begins)), 0);
	assert_int_equal(request.body.len, strlen(names));
	assert_memory_equal(request.body.data, names, request.body.len);
	buffer_fini(&request.body);
	server_stream(fd, "");
	server_chunk(fd, lines);
	server_stream_end(fd);
	(void)close(fd);
}

static void test_wait_exits_by_what_became_of_all_jobs(void **state)
{
	struct server *s = *state;

	concctl_start(s, "wait", "1", "2");
	serve_lines(s, "POST /v1/jobs/wait?brief=1& ", "1\n2\n", ENDED("1", "done", 0) "\n" ENDED("2", "failed", 1) "\n" SUMMARY);
	assert_int_equal(concctl_wait(s), 1);
	assert_non_null(strstr(s->stdout_text, "job 1: done"));
	assert_non_null(strstr(s->stdout_text, "job 2: failed"));
	concctl_start(s, "wait", "1", "-q");
	serve_lines(s, "POST /v1/jobs/wait?brief=1& ", "1\n", ENDED("1", "done", 0) "\n" SUMMARY);
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "");
}

static void test_wait_that_takes_too_long_exits_124(void **state)
{
	struct server *s = *state;

	concctl_start(s, "wait", "1", "--timeout", "10s");
	serve_lines(s, "POST /v1/jobs/wait?brief=1&timeout_s=10.000 ", "1\n",
		    "{\"schema\":1,\"timeout\":true,\"job\":\"1\",\"state\":\"running\"}\n");
	assert_int_equal(concctl_wait(s), 124);
	assert_non_null(strstr(s->stderr_text, "job 1 is running"));
}

static void test_wait_any_asks_for_the_first_only(void **state)
{
	struct server *s = *state;

	concctl_start(s, "wait", "--any", "-w", "a b", "--json");
	serve_lines(s, "POST /v1/jobs/wait?any=1&&workload=a%20b&selected=1 ", "", SELECTED("2,4") "\n" ENDED("2", "done", 0) "\n" SUMMARY);
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, ENDED("2", "done", 0) "\n");
}

static void test_wait_asks_again_for_those_that_it_was_not_told_of(void **state)
{
	struct server *s = *state;

	concctl_start(s, "wait", "-l", "x", "--json");
	serve_lines(s, "POST /v1/jobs/wait?&label=x&selected=1 ", "",
		    "{\"schema\":1,\"type\":\"selected\",\"jobs\":\"2-4,9\",\"more\":true}\n" SELECTED("11") "\n"
		    ENDED("3", "failed", 1) "\n");
	serve_lines(s, "POST /v1/jobs/wait? ", "2\n4\n9\n11\n", ENDED("9", "done", 0) "\n" ENDED("2", "done", 0) "\n");
	serve_lines(s, "POST /v1/jobs/wait? ", "4\n11\n", ENDED("4", "done", 0) "\n" ENDED("11", "done", 0) "\n" SUMMARY);
	assert_int_equal(concctl_wait(s), 1);
	assert_string_equal(s->stdout_text, ENDED("3", "failed", 1) "\n" ENDED("9", "done", 0) "\n" ENDED("2", "done", 0) "\n"
			    ENDED("4", "done", 0) "\n" ENDED("11", "done", 0) "\n");
	/* The first that has ended is enough, also where its answer was cut. */
	concctl_start(s, "wait", "--any", "5", "6", "--json");
	serve_lines(s, "POST /v1/jobs/wait?any=1& ", "5\n6\n", ENDED("6", "done", 0) "\n");
	assert_int_equal(concctl_wait(s), 0);
	/* Which jobs these are was not told whole: the description is sent again. */
	concctl_start(s, "wait", "@last", "-q");
	serve_lines(s, "POST /v1/jobs/wait?brief=1&&selected=1 ", "@last\n",
		    "{\"schema\":1,\"type\":\"selected\",\"jobs\":\"2\",\"more\":true}\n");
	serve_lines(s, "POST /v1/jobs/wait?brief=1&&selected=1 ", "@last\n", SELECTED("7") "\n" ENDED("7", "done", 0) "\n" SUMMARY);
	assert_int_equal(concctl_wait(s), 0);
}

static void test_an_error_of_one_job_is_said_beside_the_others(void **state)
{
	struct server *s = *state;

	concctl_start(s, "cancel", "1", "@last");
	serve_lines(s, "POST /v1/jobs/cancel?brief=1 ", "1\n@last\n",
		    "{\"schema\":1,\"job\":\"1\",\"error\":{\"code\":\"wrong-state\",\"message\":\"job 1 has ended\"}}\n"
		    "{\"schema\":1,\"job\":\"2\",\"state\":\"cancelled\",\"error\":null}\n" SUMMARY);
	assert_int_equal(concctl_wait(s), 3);
	assert_string_equal(s->stdout_text, "job 2: cancelled\n");
	assert_string_equal(s->stderr_text, "concctl: job 1 has ended\n");
	concctl_start(s, "rm", "--state", "failed,cancelled");
	serve_lines(s, "POST /v1/jobs/rm?&state=failed%2Ccancelled ", "",
		    "{\"schema\":1,\"job\":\"2\",\"removed\":true}\n" SUMMARY);
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "job 2: removed\n");
}

static void test_an_answer_that_ends_before_its_summary_is_69(void **state)
{
	struct server *s = *state;

	concctl_start(s, "pause", "--all");
	serve_lines(s, "POST /v1/jobs/pause?brief=1&all=1 ", "", "{\"schema\":1,\"job\":\"2\",\"state\":\"paused\"}\n");
	assert_int_equal(concctl_wait(s), 69);
	concctl_start(s, "pause", "--all");
	serve_lines(s, "POST /v1/jobs/pause?", "", "{\"schema\":1,\"type\":\"summary\",\"done\":0}\n");
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stderr_text, "concctl: there is no job to pause\n");
}

static void test_the_last_job_is_asked_for(void **state)
{
	struct server *s = *state;
	int fd;

	concctl_start(s, "show", "@last");
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/@last ");
	server_answer(fd, 200, "{\"schema\":1,\"job\":\"12\"}");
	server_expect_only(fd, "GET /v1/jobs/12 ");
	server_answer(fd, 200, "{\"schema\":1,\"job\":\"12\",\"state\":\"done\"}");
	assert_int_equal(concctl_wait(s), 0);
	(void)close(fd);
}

static void test_what_acts_is_not_sent_again_where_its_answer_is_lost(void **state)
{
	struct server *s = *state;
	int fd, other;

	concctl_start(s, "send", "@last", "hello");
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/@last ");
	server_answer(fd, 200, "{\"schema\":1,\"job\":\"12\"}");
	other = server_accept(s);
	server_expect_only(other, "POST /v1/jobs/12/send ");
	(void)close(other); /* the message may have been delivered */
	assert_int_equal(concctl_wait(s), 69);
	assert_int_equal(poll(&(struct pollfd){ .fd = s->listener, .events = POLLIN }, 1, 0), 0);
	(void)close(fd);
}

static void test_results_appear_in_a_file_only_when_they_are_complete(void **state)
{
	struct server *s = *state;
	char path[80];
	size_t len;
	char *text;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/results", s->dir);
	concctl_start(s, "results", "7", "--follow", "--reconnect", "0", "-o", path);
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/7/results?format=frames&from=0 ");
	server_stream(fd, "7");
	server_chunk(fd, "{\"type\":\"results\",\"count\":1,\"bytes\":2}\n1\n");
	(void)close(fd); /* cut short */
	assert_int_equal(concctl_wait(s), 69);
	assert_int_equal(access(path, F_OK), -1);
	concctl_start(s, "results", "7", "-o", path);
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/7/results?format=frames&follow=0&from=0 ");
	server_stream(fd, "7");
	server_chunk(fd, "{\"type\":\"results\",\"count\":1,\"bytes\":2}\n1\n" END_FRAME("done", 3, 0));
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 0);
	text = read_text(path, &len);
	assert_string_equal(text, "1\n");
	free(text);
	(void)close(fd);
	(void)unlink(path); /* the half written one is gone, or the directory could not be removed */
}

static void test_failed_tasks_can_be_listed(void **state)
{
	struct server *s = *state;
	int fd;

	concctl_start(s, "results", "7", "--failed");
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/7/results?format=frames&follow=0&failed=1&from=0 ");
	server_stream(fd, "7");
	server_chunk(fd, "{\"type\":\"failed\",\"index\":4,\"input\":\"a\\tb\",\"state\":\"failed\",\"error\":{\"code\":\"failed\","
			 "\"message\":\"no\\nway\"}}\n" END_FRAME("failed", 2, 1));
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 1);
	assert_string_equal(s->stdout_text, "4\tfailed\ta\\tb\tno\\nway\n");
	(void)close(fd);
}

static void test_follow_prints_states_and_exits_by_the_end(void **state)
{
	struct server *s = *state;
	int fd;

	concctl_start(s, "follow", "7");
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs/7/follow ");
	server_stream(fd, "7");
	server_chunk(fd, "{\"schema\":1,\"type\":\"state\",\"job\":\"7\",\"state\":\"queued\",\"at\":\"2026-11-21T09:29:00Z\",\"waiting\":\"it is not the time\"}\n");
	server_chunk(fd, "{\"schema\":1,\"type\":\"state\",\"job\":\"7\",\"state\":\"running\",\"at\":\"2026-11-21T09:30:00Z\",\"waiting\":\"\"}\n");
	server_chunk(fd, "{\"schema\":1,\"type\":\"job\",\"job\":\"7\",\"state\":\"cancelled\",\"model\":\"pool\",\"shape\":\"1x2x1\","
			 "\"tasks\":{\"total\":3,\"done\":1,\"cancelled\":2}}\n");
	server_stream_end(fd);
	assert_int_equal(concctl_wait(s), 1);
	assert_non_null(strstr(s->stdout_text, "2026-11-21T09:29:00 queued: it is not the time\n2026-11-21T09:30:00 running\n"));
	assert_non_null(strstr(s->stdout_text, "job 7 cancelled: 1 of 3 tasks done, 2 cancelled under pool"));
	(void)close(fd);
}

static void test_long_lists_come_in_pages_and_print_as_one(void **state)
{
	struct server *s = *state;
	struct buffer page = BUFFER_INIT;
	int fd;

	concctl_start(s, "list", "--json", "-n", "1001");
	fd = server_accept(s);
	server_expect_only(fd, "GET /v1/jobs?limit=1000 ");
	assert_int_equal(buffer_printf(&page, "{\"schema\":1,\"jobs\":["), 0);
	for (int i = 2000; i > 1000; i--)
		assert_int_equal(buffer_printf(&page, "%s{\"job\":\"%d\"}", i < 2000 ? "," : "", i), 0);
	assert_int_equal(buffer_printf(&page, "],\"paused\":[{\"workload\":null}]}%c", 0), 0);
	server_answer(fd, 200, (char *)page.data);
	buffer_fini(&page);
	server_expect_only(fd, "GET /v1/jobs?limit=1&below=1001 ");
	server_answer(fd, 200, "{\"schema\":1,\"jobs\":[{\"job\":\"7\"}],\"paused\":[{\"workload\":\"w\"}]}");
	assert_int_equal(concctl_wait(s), 0);
	assert_non_null(strstr(s->stdout_text, "{\"job\":\"1001\"},{\"job\":\"7\"}],\"paused\":[{\"workload\":null}]}\n")); /* once */
	(void)close(fd);
}

#define LISTED(id, state, wall) "{\"job\":\"" id "\",\"state\":\"" state "\",\"workload\":\"w\",\"wall_s\":" wall \
	",\"created\":\"2026-11-2" id "T00:00:00.123Z\",\"tasks\":{\"total\":3,\"done\":1,\"failed\":2}}"
#define LIST "{\"schema\":1,\"jobs\":[" LISTED("3", "done", "2.0") "," LISTED("2", "running", "30.0") "," \
	LISTED("1", "failed", "1.0") "]}"

static void test_lists_have_the_columns_and_the_order_that_are_asked_for(void **state)
{
	struct server *s = *state;

	concctl_start(s, "list", "-o", "job,done,created", "--sort", "time", "-n", "2");
	serve(s, "GET /v1/jobs?limit=1000 ", 200, LIST);
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "JOB  DONE              CREATED\n"
					    "  2  1 of 3, 2 failed  2026-11-22T00:00:00\n"
					    "  3  1 of 3, 2 failed  2026-11-23T00:00:00\n");
	concctl_start(s, "list", "-o", "job", "--sort=state", "-r");
	serve(s, "GET ", 200, LIST);
	assert_int_equal(concctl_wait(s), 0);
	assert_string_equal(s->stdout_text, "JOB\n  3\n  1\n  2\n");
	concctl_start(s, "list", "--sort=created", "-r", "--json", "-n1");
	serve(s, "GET ", 200, LIST);
	assert_int_equal(concctl_wait(s), 0);
	assert_non_null(strstr(s->stdout_text, "\"jobs\":[{\"job\":\"1\","));
	assert_null(strstr(s->stdout_text, "\"job\":\"2\""));
	concctl_start(s, "list", "-o", "job,stat");
	assert_int_equal(concctl_wait(s), 2);
	assert_non_null(strstr(s->stderr_text, "did you mean 'state'?"));
	concctl_start(s, "list", "--sort", "");
	assert_int_equal(concctl_wait(s), 2);
	concctl_start(s, "list", "-o", "job,job,job,job,job,job,job,job,job,job,job,job,job,job,job,job,job");
	assert_int_equal(concctl_wait(s), 2);
	assert_non_null(strstr(s->stderr_text, "at most 16"));
}

static void test_names_travel_safely_in_urls(void **state)
{
	struct server *s = *state;

	concctl_start(s, "params", "a b/../?x=1&y#%");
	serve(s, "GET /v1/workloads/a%20b%2F..%2F%3Fx%3D1%26y%23%25/params ", 200, "{\"schema\":1,\"params\":[]}");
	assert_int_equal(concctl_wait(s), 0);
	concctl_start(s, "list", "--state", "done", "-w", "a&b", "-n", "5");
	serve(s, "GET /v1/jobs?limit=5&state=done&workload=a%26b ", 200, "{\"schema\":1,\"jobs\":[]}");
	assert_int_equal(concctl_wait(s), 0);
}

static void test_answers_of_wrong_shape_are_survived(void **state)
{
	static const char *const commands[] = { "status", "list", "workloads", "models", "version", "ping" };
	static const char *const bodies[] = { "{}", "{\"jobs\":7,\"models\":{},\"workloads\":[7,null,{}],\"crews\":[[]]}",
					      "{\"jobs\":[{\"job\":7,\"tasks\":[]}],\"models\":[\"x\"],\"uptime_s\":\"x\"}" };
	struct server *s = *state;

	for (size_t i = 0; i < ARRAY_SIZE(commands) * ARRAY_SIZE(bodies); i++) {
		concctl_start(s, commands[i % ARRAY_SIZE(commands)]);
		serve(s, "GET ", 200, bodies[i / ARRAY_SIZE(commands)]);
		assert_int_equal(concctl_wait(s), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		concctl_start(s, commands[i]);
		serve(s, "GET ", 200, "no JSON");
		assert_int_equal(concctl_wait(s), 69);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, server_setup, server_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_json_documents_are_printed_as_they_came),
		TEST(test_an_unknown_job_exits_4_and_answers_in_json_too),
		TEST(test_wrong_command_lines_exit_2_without_asking_anybody),
		TEST(test_a_daemon_that_is_not_there_is_69_with_the_way_to_start_it),
		TEST(test_an_endless_socket_path_is_a_usage_error),
		TEST(test_wait_exits_by_what_became_of_all_jobs),
		TEST(test_wait_that_takes_too_long_exits_124),
		TEST(test_wait_any_asks_for_the_first_only),
		TEST(test_wait_asks_again_for_those_that_it_was_not_told_of),
		TEST(test_an_error_of_one_job_is_said_beside_the_others),
		TEST(test_an_answer_that_ends_before_its_summary_is_69),
		TEST(test_the_last_job_is_asked_for),
		TEST(test_what_acts_is_not_sent_again_where_its_answer_is_lost),
		TEST(test_results_appear_in_a_file_only_when_they_are_complete),
		TEST(test_failed_tasks_can_be_listed),
		TEST(test_follow_prints_states_and_exits_by_the_end),
		TEST(test_long_lists_come_in_pages_and_print_as_one),
		TEST(test_lists_have_the_columns_and_the_order_that_are_asked_for),
		TEST(test_names_travel_safely_in_urls),
		TEST(test_answers_of_wrong_shape_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
