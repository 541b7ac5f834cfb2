/* GET /v1/jobs, over fake jobs. */
#include "unit.h"

#include <jansson.h>

#include "control_rig.h"

static void lists_are_newest_first_and_filtered(void **state)
{
	struct rig *rig = *state;
	struct reply reply;

	for (int i = 0; i < 1200; i++) {
		struct job *job = fake_job_add(rig->jobs, 0);

		job->ended_elsewhere = i % 3 != 0;
		if (job->ended_elsewhere)
			job->view.state = i % 3 == 1 ? JOB_DONE : JOB_FAILED;
		if (i % 2)
			job->view.workload = "other";
	}
	rig_ask(rig, "GET", "/v1/jobs?limit=3", NULL, 0, &reply);
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr((char *)reply.body.data, "\"jobs\":[{\"schema\":1,\"job\":\"1200\""));
	assert_non_null(strstr((char *)reply.body.data, "\"job\":\"1198\""));
	assert_null(strstr((char *)reply.body.data, "\"job\":\"1197\""));
	reply_fini(&reply);
	/* every sixth job: several pages of ended ones go by before 150 are found */
	rig_ask(rig, "GET", "/v1/jobs?limit=150&state=done&workload=other&below=1190", NULL, 0, &reply);
	assert_non_null(strstr((char *)reply.body.data, "\"jobs\":[{\"schema\":1,\"job\":\"1184\""));
	assert_non_null(strstr((char *)reply.body.data, "\"job\":\"290\""));
	assert_null(strstr((char *)reply.body.data, "\"job\":\"284\""));
	reply_fini(&reply);
	rig_ask(rig, "GET", "/v1/jobs?state=running&workload=squares&limit=1", NULL, 0, &reply);
	assert_non_null(strstr((char *)reply.body.data, "\"jobs\":[{\"schema\":1,\"job\":\"1195\""));
	reply_fini(&reply);
	rig_expect(rig, "GET", "/v1/jobs?state=paused", NULL, 200, "{\"schema\":1,\"jobs\":[],\"paused\":[]}");
}

/* The numbers of the jobs in an answer, as "9 8 7". */
static void assert_listed(struct rig *rig, const char *target, const char *want)
{
	char got[256] = "";
	struct reply reply;
	json_t *list, *job;
	size_t i;

	rig_ask(rig, "GET", target, NULL, 0, &reply);
	assert_int_equal(reply.status, 200);
	list = json_loadb((char *)reply.body.data, reply.body.len, 0, NULL);
	json_array_foreach(json_object_get(list, "jobs"), i, job)
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i > 0 ? " " : "",
			       json_string_value(json_object_get(job, "job")));
	assert_string_equal(got, want);
	json_decref(list);
	reply_fini(&reply);
}

static void a_list_tells_each_job_once_and_takes_no_more_rows_than_it_shows(void **state)
{
	struct rig *rig = *state;
	struct job *both = NULL;
	struct reply reply;

	for (int i = 1; i <= 9; i++) { /* 1, 2, 5 and 9 are live */
		struct job *job = fake_job_add(rig->jobs, 0);

		job->ended_elsewhere = i != 1 && i != 2 && i != 5 && i != 9;
		job->view.state = job->ended_elsewhere ? JOB_DONE : JOB_RUNNING;
		both = i == 5 ? job : both;
	}
	assert_listed(rig, "/v1/jobs", "9 8 7 6 5 4 3 2 1");
	assert_listed(rig, "/v1/jobs?limit=1", "9");
	assert_listed(rig, "/v1/jobs?below=6", "5 4 3 2 1");
	assert_listed(rig, "/v1/jobs?below=1", "");
	assert_listed(rig, "/v1/jobs?state=running", "9 5 2 1");
	assert_listed(rig, "/v1/jobs?state=running&limit=3&below=9", "5 2 1");
	assert_listed(rig, "/v1/jobs?state=done&limit=2", "8 7");
	rig->jobs->n_told = 0;
	assert_listed(rig, "/v1/jobs?limit=4", "9 8 7 6");
	assert_int_equal(rig->jobs->n_told, 3);
	both->listed_twice = true; /* it ended between the two looks */
	assert_listed(rig, "/v1/jobs", "9 8 7 6 5 4 3 2 1");
	assert_listed(rig, "/v1/jobs?limit=5", "9 8 7 6 5");
	assert_listed(rig, "/v1/jobs?limit=6", "9 8 7 6 5 4");
	rig_ask(rig, "GET", "/v1/jobs?below=6&limit=1", NULL, 0, &reply);
	assert_non_null(strstr((char *)reply.body.data, "\"job\":\"5\",\"state\":\"done\"")); /* as the disk knows it */
	reply_fini(&reply);
}

static void a_long_look_at_live_jobs_goes_on_in_turns(void **state)
{
	struct rig *rig = *state;
	int fd, gone;
	struct reply reply;

	rig->jobs->walk_singly = true;
	for (int i = 1; i <= 7; i++) /* 3 and 6 have ended */
		fake_job_add(rig->jobs, 0)->ended_elsewhere = i % 3 == 0;
	assert_listed(rig, "/v1/jobs", "7 6 5 4 3 2 1");
	assert_listed(rig, "/v1/jobs?limit=2&below=6", "5 4");
	assert_listed(rig, "/v1/jobs?state=running", "7 6 5 4 3 2 1"); /* as the test's jobs say of themselves */
	fd = rig_connect(rig);
	gone = rig_connect(rig);
	rig_send_text(rig, gone, "GET /v1/jobs?state=done HTTP/1.1\r\n\r\n");
	rig_send_text(rig, fd, "GET /v1/jobs?state=done HTTP/1.1\r\n\r\n");
	(void)close(gone); /* in the middle, perhaps */
	rig_receive(rig, fd, &reply);
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr((char *)reply.body.data, "\"jobs\":[]"));
	reply_fini(&reply);
	(void)close(fd);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(lists_are_newest_first_and_filtered),
		RIG_TEST(a_long_look_at_live_jobs_goes_on_in_turns),
		RIG_TEST(a_list_tells_each_job_once_and_takes_no_more_rows_than_it_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
