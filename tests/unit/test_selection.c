/* Verbs on many jobs, over fake jobs. */
#include "unit.h"

#include <sys/stat.h>

#include "control/selector.h"
#include "control_rig.h"

/* Ask, and check that the whole answer has these texts in it, each that begins with '!' not. */
static void ask(struct rig *rig, const char *target, const char *names, const char *const *texts)
{
	struct reply reply;

	rig_ask(rig, "POST", target, names, strlen(names), &reply);
	assert_int_equal(reply.status, 200);
	assert_false(reply.cut);
	for (; *texts; texts++) {
		const char *text = *texts + (**texts == '!');
		bool is_there = strstr((const char *)reply.body.data, text) != NULL;

		if (is_there == (**texts == '!'))
			fail_msg("%s: '%s' in: %s", target, *texts, (const char *)reply.body.data);
	}
	reply_fini(&reply);
}
#define ASK(rig, target, names, ...) ask(rig, target, names, (const char *const[]){ __VA_ARGS__, NULL })

static void numbers_are_sorted_and_each_is_there_once_however_they_come(void **state)
{
	uint64_t seed = 11, ids[40], copy[40];

	(void)state;
	for (int round = 0; round < 5000; round++) {
		size_t n = (size_t)round % 41, cut, left;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		cut = n > 0 ? (seed >> 40) % (n + 1) : 0;
		for (size_t i = 0; i < n; i++) {
			size_t k = i < cut ? i : i - cut;

			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			/* random ones, and parts that fall and rise */
			ids[i] = round % 5 == 0 ? (seed >> 40) % 30 : (i < cut) == (round % 3 == 0) ? 2 * k + 1 : 100 - 2 * k;
			if (round % 7 == 0 && i > 0 && (seed >> 33) % 4 == 0)
				ids[i] = ids[i - 1];
		}
		memcpy(copy, ids, sizeof(copy));
		left = selector_sort(ids, n);
		for (size_t i = 0; i + 1 < left; i++)
			assert_true(ids[i] < ids[i + 1]);
		for (size_t i = 0; i < n; i++) {
			bool is_there = false;

			for (size_t k = 0; k < left; k++)
				is_there = is_there || ids[k] == copy[i];
			assert_true(is_there);
		}
		assert_true(left <= n);
	}
}

static void many_live_jobs_are_looked_at_in_turns(void **state)
{
	struct rig *rig = *state;
	struct job *jobs[30];
	int fd;

	for (size_t i = 0; i < 30; i++)
		jobs[i] = fake_job_add(rig->jobs, 1);
	jobs[7]->view.label = "x";
	rig->jobs->walk_singly = true;
	ASK(rig, "/v1/jobs/pause?label=x", "", "\"job\":\"8\"", "\"done\":1,\"failed\":0");
	rig_expect(rig, "POST", "/v1/jobs/cancel?label=nosuch", NULL, 404, "there is no such job to cancel");
	fd = rig_connect(rig); /* who leaves meanwhile */
	rig_send_text(rig, fd, "POST /v1/jobs/cancel?all=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	for (int i = 0; i < 3; i++)
		rig_turn(rig);
	close(fd);
	for (int i = 0; i < 100; i++)
		rig_turn(rig);
}

static int begin_asking(struct rig *rig, const char *target, const char *names)
{
	int fd = rig_connect(rig);
	char head[256];

	(void)snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", target,
		       strlen(names), names);
	rig_send_text(rig, fd, head);
	for (int i = 0; i < 20; i++)
		rig_turn(rig);
	return fd;
}

static void wrong_combinations_are_refused_before_anything_is_done(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);

	rig_expect(rig, "POST", "/v1/jobs/cancel", NULL, 400, "\"bad-selector\"");
	rig_expect(rig, "POST", "/v1/jobs/cancel", " ,\n", 400, "nothing is selected");
	rig_expect(rig, "POST", "/v1/jobs/cancel?older_than_s=5", NULL, 400, "nothing is selected");
	rig_expect(rig, "POST", "/v1/jobs/cancel?all=1", "1", 400, "named and described");
	rig_expect(rig, "POST", "/v1/jobs/cancel?label=x", "1", 400, "\"bad-selector\"");
	rig_expect(rig, "POST", "/v1/jobs/rm?older_than_s=1", "1", 400, "\"bad-selector\"");
	rig_expect(rig, "POST", "/v1/jobs/cancel?all=1&state=running", NULL, 400, "leave out 'all'");
	rig_expect(rig, "POST", "/v1/jobs/cancel?all=2", NULL, 400, "neither 0 nor 1");
	rig_expect(rig, "POST", "/v1/jobs/cancel?state=running,fine", NULL, 400, "'fine' is no state");
	rig_expect(rig, "POST", "/v1/jobs/cancel?state=running,", NULL, 400, "'' is no state");
	rig_expect(rig, "POST", "/v1/jobs/cancel", "1 x", 400, "'x' is no job");
	rig_expect(rig, "POST", "/v1/jobs/cancel", "0", 400, "'0' is no job");
	rig_expect(rig, "POST", "/v1/jobs/cancel", "-1", 400, "'-1' is no job");
	rig_expect(rig, "POST", "/v1/jobs/cancel", "18446744073709551616", 400, "is no job");
	rig_expect(rig, "POST", "/v1/jobs/cancel", "1111111111111111111111111111111111111111111111", 400, "is no job");
	rig_expect(rig, "POST", "/v1/jobs/rm?all=1&older_than_s=-1", NULL, 400, "older_than_s");
	rig_expect(rig, "POST", "/v1/jobs/wait?timeout_s=x", "1", 400, "timeout_s");
	rig_expect(rig, "POST", "/v1/jobs/set", "1", 400, "nothing to set");
	rig_expect(rig, "POST", "/v1/jobs/rm?wait=1", "1", 400, "unknown key");
	rig_expect(rig, "POST", "/v1/jobs/cancel?workload=nosuch", NULL, 404, "\"no-such-workload\"");
	rig_expect(rig, "POST", "/v1/jobs/cancel?label=nosuch", NULL, 404, "there is no such job to cancel");
	rig_expect(rig, "GET", "/v1/jobs?workload=nosuch", NULL, 404, "\"no-such-workload\"");
	rig_expect(rig, "GET", "/v1/jobs?workload=squares&label=none", NULL, 200, "\"jobs\":[]");
	assert_false(job->cancel_asked);
}

static void what_is_named_is_acted_on_and_each_has_a_line(void **state)
{
	struct rig *rig = *state;
	struct job *a = fake_job_add(rig->jobs, 1), *b = fake_job_add(rig->jobs, 1), *c = fake_job_add(rig->jobs, 1);

	c->view.state = JOB_DONE;
	ASK(rig, "/v1/jobs/cancel?wait=0&brief=1", "1, 2\n3 99", "{\"schema\":1,\"job\":\"1\",\"state\":\"running\"",
	    "\"job\":\"2\",\"state\"", "\"job\":\"3\",\"error\":{\"code\":\"wrong-state\"",
	    "\"job\":\"99\",\"error\":{\"code\":\"no-such-job\"",
	    "{\"schema\":1,\"type\":\"summary\",\"verb\":\"cancel\",\"done\":2,\"failed\":2}");
	assert_true(a->cancel_asked && b->cancel_asked && !c->cancel_asked);
	ASK(rig, "/v1/jobs/pause", "1", "\"state\":\"paused\",\"workload\":\"squares\"", "\"done\":1,\"failed\":0");
	ASK(rig, "/v1/jobs/set?workers=9", "1", "\"error\":{\"code\":\"bad-workers\"", "\"done\":0,\"failed\":1");
	ASK(rig, "/v1/jobs/set?workers=1&timeout_s=2.5", "1", "\"workers\":1", "\"timeout_s\":2.5", "\"done\":1");
	rig_expect(rig, "POST", "/v1/jobs/set?timeout_s=x", "1", 400, "timeout_s");
	rig_expect(rig, "POST", "/v1/jobs/set?backoff_s=-1", "1", 400, "backoff_s");
	rig_expect(rig, "POST", "/v1/jobs/set?retries=-1", "1", 400, "retries");
	rig_expect(rig, "POST", "/v1/jobs/1/set", NULL, 400, "nothing to set");
	ASK(rig, "/v1/jobs/rm", "@last", "{\"schema\":1,\"job\":\"3\",\"removed\":true}");
	rig_expect(rig, "GET", "/v1/jobs/@last", NULL, 200, "\"job\":\"2\"");
}

static void what_is_described_means_those_that_the_verb_fits(void **state)
{
	struct rig *rig = *state;
	struct job *jobs[6];

	for (size_t i = 0; i < 6; i++)
		jobs[i] = fake_job_add(rig->jobs, 1);
	jobs[1]->view.label = "x";
	jobs[2]->view.state = JOB_PAUSED;
	jobs[3]->view.state = JOB_FAILED;
	jobs[3]->ended_elsewhere = true;
	jobs[3]->view.ended_unix_us = 1000000;
	jobs[4]->view.state = JOB_DONE;
	jobs[4]->ended_elsewhere = true;
	jobs[4]->view.ended_unix_us = INT64_MAX;
	jobs[5]->view.state = JOB_CANCELLED; /* not on disk, kept */
	ASK(rig, "/v1/jobs/resume?all=1", "", "\"job\":\"3\"", "!\"job\":\"1\"", "\"done\":1,\"failed\":0");
	ASK(rig, "/v1/jobs/pause?label=x", "", "\"job\":\"2\"", "\"done\":1,\"failed\":0");
	ASK(rig, "/v1/jobs/pause?state=running,queued&workload=squares", "", "\"job\":\"1\"", "\"job\":\"3\"",
	    "!\"job\":\"2\"", "\"done\":2,\"failed\":0");
	ASK(rig, "/v1/jobs/rm?all=1&older_than_s=60", "", "\"job\":\"4\"", "!\"job\":\"5\"", "\"done\":1,\"failed\":0");
	ASK(rig, "/v1/jobs/rm?all=1&older_than_s=0", "", "\"job\":\"5\"", "\"done\":1,\"failed\":0"); /* the clock was ahead when it ended */
	ASK(rig, "/v1/jobs/rm?state=done,failed,cancelled", "", "\"job\":\"6\"", "!\"job\":\"4\"", "\"done\":1,\"failed\":0");
	ASK(rig, "/v1/jobs/rm?all=1", "", "\"done\":0,\"failed\":0");
	ASK(rig, "/v1/jobs/rm?workload=squares&older_than_s=1", "", "\"done\":0,\"failed\":0");
}

static void everything_and_a_workload_are_held_as_such(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);

	ASK(rig, "/v1/jobs/pause?workload=squares", "", "{\"schema\":1,\"workload\":\"squares\",\"paused\":true}",
	    "\"done\":1,\"failed\":0", "!\"job\"");
	assert_true(rig->jobs->is_held);
	assert_int_equal(job->view.state, JOB_RUNNING);
	rig_expect(rig, "POST", "/v1/jobs/pause?workload=squares", NULL, 409, "paused already");
	rig_expect(rig, "GET", "/v1/status", NULL, 200,
		   "\"paused\":[{\"workload\":\"squares\",\"since\":\"2023-11-14T22:13:20.000Z\"}]");
	job->view.state = JOB_PAUSED;
	ASK(rig, "/v1/jobs/resume?workload=squares&brief=1", "", "\"workload\":\"squares\",\"paused\":false}",
	    "\"job\":\"1\",\"state\":\"running\"", "\"done\":2,\"failed\":0");
	assert_false(rig->jobs->is_held);
	ASK(rig, "/v1/jobs/pause?all=1", "", "\"workload\":null,\"paused\":true}");
	ASK(rig, "/v1/jobs/resume?all=1", "", "\"workload\":null,\"paused\":false}", "\"done\":1,\"failed\":0");
	ASK(rig, "/v1/jobs/resume?all=1", "", "\"done\":0,\"failed\":0");
	ASK(rig, "/v1/jobs/pause?workload=squares&state=running", "", "\"job\":\"1\"");
	assert_false(rig->jobs->is_held);
}

static void a_retry_names_the_new_job(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 3);
	struct reply reply;
	int fd;

	ASK(rig, "/v1/jobs/retry", "1", "\"code\":\"wrong-state\"", "\"failed\":1");
	job->view.state = JOB_FAILED;
	job->view.done = 2;
	fake_job_add(rig->jobs, 0)->view.state = JOB_DONE;
	fd = begin_asking(rig, "/v1/jobs/retry?all=1&failed=1", "");
	fake_jobs_release(rig->jobs); /* it is accepted */
	rig_receive(rig, fd, &reply);
	assert_non_null(strstr((char *)reply.body.data, "{\"schema\":1,\"job\":\"3\",\"retry_of\":\"1\",\"state\":"));
	assert_non_null(strstr((char *)reply.body.data, "\"done\":1,\"failed\":0"));
	reply_fini(&reply);
	(void)close(fd);
	rig_expect(rig, "GET", "/v1/jobs/3", NULL, 200, "\"retry_of\":\"1\"");
}

static void a_failure_of_the_disk_is_told_of_its_job(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);

	job->view.state = JOB_DONE;
	rig->jobs->remove_status = -ENOSPC;
	ASK(rig, "/v1/jobs/rm", "1", "\"job\":\"1\",\"error\":{\"code\":\"full\"", "\"done\":0,\"failed\":1");
}

/* As another user asks; `words` is to be in the answer. */
static void ask_as_nobody(struct rig *rig, const char *target, const char *names, const char *words)
{
	struct reply reply;
	char text[256];
	int fd;

	assert_int_equal(seteuid(65534), 0);
	fd = rig_connect(rig); /* the credentials are those of connect() */
	assert_int_equal(seteuid(0), 0);
	(void)snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", target,
		       strlen(names), names);
	rig_send_text(rig, fd, text);
	rig_receive(rig, fd, &reply);
	if (!strstr((const char *)reply.body.data, words))
		fail_msg("%s: no '%s' in: %s", target, words, (const char *)reply.body.data);
	reply_fini(&reply);
	(void)close(fd);
}

static void jobs_of_others_are_refused_by_name_and_passed_over_else(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);
	char path[64];

	if (geteuid() != 0)
		return; /* only root can ask as somebody else */
	job->view.uid = 12345;
	(void)snprintf(path, sizeof(path), "%s/sub", rig->dir);
	assert_int_equal(chmod(rig->dir, 0755), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(rig->config.socket_path, 0666), 0);
	ask_as_nobody(rig, "/v1/jobs/cancel", "1", "\"code\":\"denied\"");
	ask_as_nobody(rig, "/v1/jobs/cancel", "@last", "there is no last job");
	ask_as_nobody(rig, "/v1/jobs/cancel?all=1", "", "\"done\":0,\"failed\":0");
	ask_as_nobody(rig, "/v1/jobs/wait?all=1&timeout_s=0.01", "", "\"timeout\":true");
	assert_false(job->cancel_asked);
}

static void wait_answers_as_jobs_end_and_any_with_the_first(void **state)
{
	struct rig *rig = *state;
	struct job *a = fake_job_add(rig->jobs, 1), *b = fake_job_add(rig->jobs, 1);
	struct reply reply;
	int all = begin_asking(rig, "/v1/jobs/wait?brief=1", "1 2");
	int any = begin_asking(rig, "/v1/jobs/wait?brief=1&any=1&all=1", "");
	int cancel = begin_asking(rig, "/v1/jobs/cancel?brief=1", "2");

	assert_true(b->cancel_asked);
	fake_job_end(b, JOB_CANCELLED);
	rig_receive(rig, any, &reply);
	assert_non_null(strstr((char *)reply.body.data, "\"job\":\"2\",\"state\":\"cancelled\""));
	assert_null(strstr((char *)reply.body.data, "\"job\":\"1\""));
	reply_fini(&reply);
	rig_receive(rig, cancel, &reply);
	assert_non_null(strstr((char *)reply.body.data, "\"job\":\"2\",\"state\":\"cancelled\""));
	reply_fini(&reply);
	fake_job_end(a, JOB_DONE);
	rig_receive(rig, all, &reply);
	assert_non_null(strstr((char *)reply.body.data, "\"job\":\"1\",\"state\":\"done\""));
	assert_non_null(strstr((char *)reply.body.data, "\"done\":2,\"failed\":0"));
	reply_fini(&reply);
	(void)close(all);
	(void)close(any);
	(void)close(cancel);
}

static void who_waits_may_be_told_first_which_jobs_are_waited_for(void **state)
{
	struct rig *rig = *state;

	for (int i = 0; i < 9000; i++)
		fake_job_add(rig->jobs, 1)->view.label = i % 2 ? "x" : NULL;
	ASK(rig, "/v1/jobs/wait?brief=1&selected=1&timeout_s=0", "7 3 4 5", "{\"schema\":1,\"type\":\"selected\",\"jobs\":\"7,3-5\"}\n");
	ASK(rig, "/v1/jobs/wait?brief=1&timeout_s=0", "7 3 4 5", "!selected");
	ASK(rig, "/v1/jobs/wait?brief=1&selected=1&timeout_s=0.2&label=x", "", "\"jobs\":\"2,4,6,8,10,", "8192\",\"more\":true}\n",
	    "\"jobs\":\"8194,", "9000\"}\n", "!8192,");
	ASK(rig, "/v1/jobs/wait?brief=1&selected=1&all=1&timeout_s=0.2", "", "\"jobs\":\"1-9000\"}\n");
	rig_expect(rig, "POST", "/v1/jobs/cancel?selected=1", "1", 400, "unknown key");
}

static void a_wait_that_takes_too_long_names_one_that_has_not_ended(void **state)
{
	struct rig *rig = *state;

	fake_job_add(rig->jobs, 1);
	fake_job_add(rig->jobs, 1)->view.state = JOB_DONE;
	ASK(rig, "/v1/jobs/wait?timeout_s=0.05", "2 1",
	    "{\"schema\":1,\"timeout\":true,\"job\":\"1\",\"state\":\"running\"}", "\"state\":\"done\"", "!summary");
}

static void a_client_that_leaves_takes_nothing_with_it(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);
	int fd = begin_asking(rig, "/v1/jobs/wait", "1");

	assert_non_null(job->watches);
	(void)close(fd);
	for (int i = 0; i < 20; i++)
		rig_turn(rig);
	assert_null(job->watches);
	rig->jobs->hold_get = true;
	fd = begin_asking(rig, "/v1/jobs/pause", "1 1 1");
	(void)close(fd);
	for (int i = 0; i < 20; i++)
		rig_turn(rig);
	fake_jobs_release(rig->jobs);
	for (int i = 0; i < 20; i++)
		rig_turn(rig);
	assert_int_equal(job->view.state, JOB_RUNNING); /* what was not told stays as it is */
}

static void a_thousand_jobs_are_acted_on_in_one_request(void **state)
{
	struct rig *rig = *state;

	for (int i = 0; i < 1000; i++)
		fake_job_add(rig->jobs, 1);
	ASK(rig, "/v1/jobs/pause?state=running&brief=1", "", "\"job\":\"1\",", "\"job\":\"500\",", "\"job\":\"1000\",",
	    "\"done\":1000,\"failed\":0");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_combinations_are_refused_before_anything_is_done),
		TEST(what_is_named_is_acted_on_and_each_has_a_line),
		TEST(what_is_described_means_those_that_the_verb_fits),
		TEST(many_live_jobs_are_looked_at_in_turns),
		cmocka_unit_test(numbers_are_sorted_and_each_is_there_once_however_they_come),
		TEST(everything_and_a_workload_are_held_as_such),
		TEST(a_retry_names_the_new_job),
		TEST(a_failure_of_the_disk_is_told_of_its_job),
		TEST(jobs_of_others_are_refused_by_name_and_passed_over_else),
		TEST(wait_answers_as_jobs_end_and_any_with_the_first),
		TEST(who_waits_may_be_told_first_which_jobs_are_waited_for),
		TEST(a_wait_that_takes_too_long_names_one_that_has_not_ended),
		TEST(a_client_that_leaves_takes_nothing_with_it),
		TEST(a_thousand_jobs_are_acted_on_in_one_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
