/* Every request of the control socket, over fake jobs. */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "ctl/protocol.h"
#include "control_rig.h"

static void requests_about_the_daemon_are_answered(void **state)
{
	struct rig *rig = *state;

	rig_expect(rig, "GET", "/v1/ping", NULL, 200, "{\"schema\":1,\"pong\":true}");
	rig_expect(rig, "GET", "/v1/version", NULL, 200,
		   "{\"schema\":1,\"version\":\"1.2.3\",\"protocol\":1,\"abi\":1}");
	fake_job_add(rig->jobs, 3);
	rig_expect(rig, "GET", "/v1/status", NULL, 200, "\"jobs\":{\"open\":0,\"queued\":0,\"running\":1,");
	rig_expect(rig, "GET", "/v1/status", NULL, 200, "\"tasks_done\":123,\"clients\":1,");
	rig_expect(rig, "GET", "/v1/models", NULL, 200, "{\"name\":\"pool\",\"shape\":");
	rig_expect(rig, "GET", "/v1/workloads", NULL, 200, "{\"name\":\"squares\",\"plugin\":\"/lib/squares.so\"");
	rig_expect(rig, "GET", "/v1/workloads", NULL, 200, "\"usable\":false,\"why_not\":\"its ABI is 9\"");
}

static void params_show_the_stanza_and_hide_secrets(void **state)
{
	struct rig *rig = *state;

	rig_expect(rig, "GET", "/v1/workloads/squares/params", NULL, 200,
		   "{\"name\":\"dir\",\"type\":\"text\",\"default\":\"\",\"value\":\"/tmp\",");
	rig_expect(rig, "GET", "/v1/workloads/squares/params", NULL, 200,
		   "{\"name\":\"token\",\"type\":\"text\",\"default\":\"\",\"value\":\"***\",");
	rig_expect(rig, "GET", "/v1/workloads/s%71uares/params", NULL, 200, "\"workload\":\"squares\"");
	rig_expect(rig, "GET", "/v1/workloads/nope/params", NULL, 404, "\"no-such-workload\"");
	rig_expect(rig, "GET", "/v1/workloads/wrong/params", NULL, 409, "\"workload-unusable\"");
	rig_expect(rig, "GET", "/v1/workloads//params", NULL, 404, "\"no-such-request\"");
	rig_expect(rig, "GET", "/v1/workloads/%zz/params", NULL, 400, "\"bad-request\"");
}

static void wrong_paths_methods_and_keys_are_named(void **state)
{
	struct rig *rig = *state;

	rig_expect(rig, "GET", "/v1/pong", NULL, 404, "did you mean '/v1/ping'?");
	rig_expect(rig, "GET", "/", NULL, 404, "\"no-such-request\"");
	rig_expect(rig, "GET", "/v1/ping/", NULL, 404, "\"no-such-request\"");
	rig_expect(rig, "POST", "/v1/ping", NULL, 405, "with GET, not with POST");
	rig_expect(rig, "DELETE", "/v1/jobs", NULL, 405, "\"bad-method\"");
	rig_expect(rig, "GET", "/v1/ping?x=1", NULL, 400, "takes no query keys");
	rig_expect(rig, "GET", "/v1/jobs?limmit=1", NULL, 400, "did you mean 'limit'?");
	rig_expect(rig, "GET", "/v1/jobs?limit=1&limit=2", NULL, 400, "given twice");
	rig_expect(rig, "GET", "/v1/jobs?limit=x", NULL, 400, "not a number");
	rig_expect(rig, "GET", "/v1/jobs?limit=0", NULL, 400, "1 to 1000");
	rig_expect(rig, "GET", "/v1/jobs?below=18446744073709551616", NULL, 400, "not a number");
	rig_expect(rig, "GET", "/v1/jobs?state=fine", NULL, 400, "no state of a job");
	rig_expect(rig, "GET", "/v1/jobs?state=%4", NULL, 400, "escape");
	rig_expect(rig, "GET", "/v1/jobs?state=%00", NULL, 400, "escape");
	rig_expect(rig, "GET", "/v1/jobs/7x", NULL, 404, "\"no-such-job\"");
	rig_expect(rig, "GET", "/v1/jobs/-1", NULL, 404, "\"no-such-job\"");
	rig_expect(rig, "GET", "/v1/jobs/18446744073709551615", NULL, 404, "there is no job 18446744073709551615");
}

static void a_submission_is_parsed_accepted_and_answered(void **state)
{
	struct rig *rig = *state;

	rig_expect(rig, "POST", "/v1/jobs",
		   "{\"workload\":\"squares\",\"model\":\"pool\",\"workers\":2,\"submission\":\"me-1\",\"label\":\"l\","
		   "\"params\":{\"dir\":\"/x\",\"k\":\"v\"},\"timeout_s\":1.5,\"durable\":false,\"shape\":\"1x2x1\","
		   "\"dedicated\":true}\n5\n6\n7",
		   201, "{\"schema\":1,\"job\":\"1\",\"inputs\":3,\"state\":\"running\",\"model\":\"pool\",\"shape\":"
			"\"1x2x1\",\"workers\":2,\"auto\":false,\"model_reason\":\"\"}");
	assert_string_equal(rig->jobs->workload, "squares");
	assert_string_equal(rig->jobs->submission, "me-1");
	assert_string_equal(rig->jobs->label, "l");
	assert_string_equal(rig->jobs->params, "dir=/x;k=v;");
	assert_string_equal(rig->jobs->shape, "1x2x1");
	assert_int_equal(rig->jobs->last.timeout_ns, 1500000000);
	assert_int_equal(rig->jobs->last.task_timeout_ns, -1);
	assert_int_equal(rig->jobs->last.uid, getuid());
	assert_false(rig->jobs->last.durable);
	assert_true(rig->jobs->last.model.dedicated);
	assert_memory_equal(rig->jobs->all->inputs.data, "\0015\0016\0017", 6);
}

static void a_refused_submission_says_why(void **state)
{
	struct rig *rig = *state;
	static const char body[] = "{\"workload\":\"squares\"}\n1\n";

	rig->jobs->refuse = -EBUSY;
	rig->jobs->refuse_code = "busy";
	rig_expect(rig, "POST", "/v1/jobs", body, 503, "\"code\":\"busy\",\"message\":\"refused by the test\"");
	rig->jobs->refuse_code = "no-such-model";
	rig_expect(rig, "POST", "/v1/jobs", body, 404, "\"no-such-model\"");
	rig_expect(rig, "POST", "/v1/jobs", "{\"workload\":\"squares\",\"dry_run\":true}", 404, "\"no-such-model\"");
	rig->jobs->refuse = 0;
	rig_expect(rig, "POST", "/v1/jobs", "{\"workload\":\"squares\",\"dry_run\":true}\n1\n2\n", 200,
		   "\"dry_run\":true,\"model\":\"pool\",\"shape\":\"1x2x1\",\"workers\":2,\"dedicated\":false,");
	assert_int_equal(rig->jobs->n_submitted, 0);
	rig->jobs->accept_status = -ENOSPC;
	rig_expect(rig, "POST", "/v1/jobs", body, 507, "\"full\"");
	rig_expect(rig, "POST", "/v1/jobs", "", 400, "the body is empty");
	rig_expect(rig, "POST", "/v1/jobs?stream=wav", body, 400, "plain, json and frames");
	control_drain(rig->control);
	rig_expect(rig, "POST", "/v1/jobs", body, 503, "\"stopping\"");
}

static void a_known_submission_names_its_job(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 2);

	job->view.state = JOB_DONE;
	rig->jobs->accept_status = -EEXIST;
	rig->jobs->known_id = 1;
	rig_expect(rig, "POST", "/v1/jobs", "{\"workload\":\"squares\"}\n1\n", 200,
		   "\"job\":\"1\",\"inputs\":2,\"state\":\"done\"");
	rig_expect(rig, "POST", "/v1/jobs", "{\"workload\":\"squares\"}\n1\n", 200, "\"known\":true");
	fake_job_done(job, 0, "a", 1);
	fake_job_done(job, 1, "b", 1);
	rig_expect(rig, "POST", "/v1/jobs?stream=plain", "{\"workload\":\"squares\"}\n1\n", 200, "a\nb\n");
	rig->jobs->known_id = 99;
	rig_expect(rig, "POST", "/v1/jobs", "{\"workload\":\"squares\"}\n1\n", 404, "\"no-such-job\"");
}

static void a_client_that_leaves_before_acceptance_is_forgotten(void **state)
{
	struct rig *rig = *state;
	static const char *const targets[] = { "/v1/jobs?stream=plain&cancel_on_close=1", "/v1/jobs" };

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		int fd = rig_connect(rig);
		char *text;

		rig->jobs->hold = true;
		assert_true(asprintf(&text, "POST %s HTTP/1.1\r\nContent-Length: 24\r\n\r\n{\"workload\":\"squares\"}\n1",
				     targets[i]) > 0);
		rig_send_text(rig, fd, text);
		free(text);
		(void)close(fd);
		rig_turn(rig);
		rig->jobs->hold = false;
		fake_jobs_release(rig->jobs);
	}
	/* the first wanted its job cancelled with it, the second did not */
	assert_int_equal(rig->jobs->n_submitted, 2);
	assert_int_equal(rig->jobs->n_cancelled, 1);
	assert_true(rig->jobs->all->cancel_asked);
}

static void inputs_are_added_from_the_number_on_disk(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 2);

	rig_expect(rig, "POST", "/v1/jobs/1/inputs?from=2", "a\nb\n", 409, "\"wrong-state\"");
	job->view.open = true;
	rig_expect(rig, "POST", "/v1/jobs/1/inputs?from=3", "a\nb\n", 409, "\"have\":2");
	rig_expect(rig, "POST", "/v1/jobs/1/inputs", "a\nb\n", 400, "'from' is missing");
	rig_expect(rig, "POST", "/v1/jobs/1/inputs?from=2&format=csv", "a\n", 400, "lines, nul and packed");
	rig_expect(rig, "POST", "/v1/jobs/1/inputs?from=2&format=packed", "\7a\n", 400, "cut or malformed");
	rig_expect(rig, "POST", "/v1/jobs/1/inputs?from=2", "a\nb\n", 200, "{\"schema\":1,\"job\":\"1\",\"inputs\":4}");
	rig_expect(rig, "POST", "/v1/jobs/1/inputs?from=4&last=1", "a\nb\n", 200, "\"inputs\":6");
	assert_false(job->view.open);
	rig_expect(rig, "POST", "/v1/jobs/5/inputs?from=4", "a\n", 404, "\"no-such-job\"");
	control_drain(rig->control);
	rig_expect(rig, "POST", "/v1/jobs/1/inputs?from=6", "a\n", 503, "\"stopping\"");
}

static void a_job_is_shown_without_its_secrets(void **state)
{
	static const struct config_pair params[] = { { (char *)"dir", (char *)"/d" }, { (char *)"token", (char *)"t0p" } };
	static const uint32_t flags[] = { 0, 1 };
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 20);
	struct reply reply;

	job->view.params = params;
	job->view.param_flags = flags;
	job->view.n_params = 2;
	job->n_running = 2;
	job->view.label = "caf\xc3\xa9";
	job->view.error_code = "interrupted";
	job->view.error_text = "bad \xff byte";
	job->view.stack_note = "3 of the 4 stacks";
	rig_ask(rig, "GET", "/v1/jobs/1", NULL, 0, &reply);
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr((char *)reply.body.data, "\"params\":{\"dir\":\"/d\",\"token\":\"***\"}"));
	assert_null(strstr((char *)reply.body.data, "t0p"));
	assert_non_null(strstr((char *)reply.body.data, "\"total\":20,"));
	assert_non_null(strstr((char *)reply.body.data, "\"created\":\"2023-11-14T22:13:20.000Z\",\"started\":null"));
	assert_non_null(strstr((char *)reply.body.data, "\"stack_note\":\"3 of the 4 stacks\""));
	assert_non_null(strstr((char *)reply.body.data, "\"label\":\"caf\xc3\xa9\""));
	assert_non_null(strstr((char *)reply.body.data, "\"message\":\"bad \xef\xbf\xbd byte\""));
	assert_non_null(strstr((char *)reply.body.data,
			       "\"running_tasks\":[{\"index\":0,\"worker\":\"4711.0\",\"attempts\":1,\"progress\":null,\"cause\":null}"));
	reply_fini(&reply);
	job->view.open = true;
	rig_expect(rig, "GET", "/v1/jobs/1", NULL, 200, "\"total\":null");
	job->broken = true;
	rig_expect(rig, "GET", "/v1/jobs/1", NULL, 500, "cannot be read");
}

static void waiting_ends_with_the_job_or_its_time(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);
	int fd = rig_connect(rig), gone = rig_connect(rig);
	struct reply reply;

	rig_expect(rig, "GET", "/v1/jobs/1/wait?timeout_s=0.01", NULL, 200,
		   "{\"schema\":1,\"timeout\":true,\"job\":\"1\",\"state\":\"running\"}");
	rig_expect(rig, "GET", "/v1/jobs/1/wait?timeout_s=-1", NULL, 400, "number of seconds");
	rig_send_text(rig, fd, "GET /v1/jobs/1/wait?timeout_s=1000 HTTP/1.1\r\n\r\n");
	rig_send_text(rig, gone, "GET /v1/jobs/1/wait HTTP/1.1\r\n\r\n");
	assert_int_equal(rig->jobs->live_refs, 2);
	(void)close(gone);
	rig_turn(rig);
	assert_int_equal(rig->jobs->live_refs, 1);
	fake_job_end(job, JOB_FAILED);
	rig_receive(rig, fd, &reply);
	assert_non_null(strstr((char *)reply.body.data, "\"state\":\"failed\""));
	reply_fini(&reply);
	(void)close(fd);
	assert_int_equal(rig->jobs->live_refs, 0);
	rig_expect(rig, "GET", "/v1/jobs/1/wait", NULL, 200, "\"state\":\"failed\"");
}

static void cancelling_answers_when_it_is_done(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);
	int fd = rig_connect(rig);
	struct reply reply;
	char byte;

	rig_expect(rig, "POST", "/v1/jobs/1/cancel?wait=maybe", NULL, 400, "neither 0 nor 1");
	rig_expect(rig, "POST", "/v1/jobs/1/cancel?wait=0", NULL, 200, "\"state\":\"running\"");
	assert_true(job->cancel_asked);
	rig_send_text(rig, fd, "POST /v1/jobs/1/cancel HTTP/1.1\r\n\r\n");
	assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), -1);
	fake_job_end(job, JOB_CANCELLED);
	rig_receive(rig, fd, &reply);
	assert_non_null(strstr((char *)reply.body.data, "\"state\":\"cancelled\""));
	reply_fini(&reply);
	(void)close(fd);
	rig_expect(rig, "POST", "/v1/jobs/1/cancel", NULL, 409, "\"wrong-state\"");
}

static void a_message_is_answered_when_it_is_there(void **state)
{
	static const struct {
		int status;
		const char *words;
	} cases[] = { { 0, "{\"schema\":1,\"job\":\"1\",\"task\":1,\"bytes\":5}" },
		      { -EBUSY, "\"busy\"" },
		      { -ESRCH, "\"wrong-state\"" } };
	struct rig *rig = *state;
	char *large = calloc(1, PROTOCOL_MAX_MESSAGE_BYTES + 2);
	int fd = rig_connect(rig);
	struct reply reply;

	fake_job_add(rig->jobs, 2);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rig_send_text(rig, fd, "POST /v1/jobs/1/send?task=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
		rig_turn(rig);
		assert_int_equal(rig->jobs->sent_task, 1);
		assert_string_equal(rig->jobs->sent, "hello");
		rig->jobs->on_sent(rig->jobs->sent_arg, cases[i].status);
		rig_receive(rig, fd, &reply);
		assert_non_null(strstr((char *)reply.body.data, cases[i].words));
		reply_fini(&reply);
	}
	/* a client that does not wait */
	rig_send_text(rig, fd, "POST /v1/jobs/1/send?task=0 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
	rig_turn(rig);
	assert_string_equal(rig->jobs->sent, "hi");
	(void)close(fd);
	rig_turn(rig);
	rig->jobs->on_sent(rig->jobs->sent_arg, 0);

	rig_expect(rig, "POST", "/v1/jobs/1/send", "x", 400, "\"bad-selector\"");
	rig_expect(rig, "POST", "/v1/jobs/1/send?task=2", "x", 404, "\"no-such-task\"");
	rig_expect(rig, "POST", "/v1/jobs/1/send?task=-1", "x", 400, "\"bad-request\"");
	memset(large, 'x', PROTOCOL_MAX_MESSAGE_BYTES + 1);
	rig_expect(rig, "POST", "/v1/jobs/1/send?task=0", large, 413, "\"too-large\"");
	free(large);
	assert_int_equal(rig->jobs->live_refs, 0);
}

static void followers_hear_states_and_the_end(void **state)
{
	struct rig *rig = *state;
	struct job *job = fake_job_add(rig->jobs, 1);
	int fd = rig_connect(rig);
	struct reply reply;

	rig_send_text(rig, fd, "GET /v1/jobs/1/follow HTTP/1.1\r\n\r\n");
	fake_job_done(job, 0, "x", 1);
	fake_job_tell(job);
	rig_turn(rig);
	fake_job_end(job, JOB_DONE);
	rig_receive(rig, fd, &reply);
	assert_non_null(strstr((char *)reply.body.data, "{\"schema\":1,\"type\":\"state\",\"job\":\"1\",\"state\":\"running\""));
	assert_non_null(strstr((char *)reply.body.data, "{\"schema\":1,\"type\":\"progress\",\"job\":\"1\",\"tasks\":{"));
	assert_non_null(strstr((char *)reply.body.data, "\"state\":\"done\",\"at\":"));
	assert_non_null(strstr((char *)reply.body.data, "{\"schema\":1,\"type\":\"job\",\"job\":\"1\",\"state\":\"done\""));
	reply_fini(&reply);
	(void)close(fd);
	assert_int_equal(rig->jobs->live_refs, 0);
}

static void what_concerns_jobs_waits_until_they_are_there(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig), gone = rig_connect(rig);
	struct reply reply;

	control_attach(rig->control, NULL, NULL, NULL);
	rig_send_text(rig, gone, "GET /v1/jobs HTTP/1.1\r\n\r\n");
	rig_send_text(rig, fd, "GET /v1/jobs/99 HTTP/1.1\r\n\r\nGET /v1/jobs HTTP/1.1\r\n\r\n");
	rig_turn(rig);
	(void)close(gone);
	rig_turn(rig);
	rig_expect(rig, "GET", "/v1/ping", NULL, 200, "pong");
	rig_expect(rig, "GET", "/v1/status", NULL, 200, "\"trouble\":\"starting");
	control_attach(rig->control, rig->jobs, NULL, NULL);
	rig_receive(rig, fd, &reply);
	assert_int_equal(reply.status, 404);
	reply_fini(&reply);
	rig_receive(rig, fd, &reply);
	assert_int_equal(reply.status, 200);
	reply_fini(&reply);
	(void)close(fd);
}

static void who_waits_for_jobs_may_be_told_of_the_end(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);

	control_attach(rig->control, NULL, NULL, NULL);
	rig_send_text(rig, fd, "GET /v1/jobs HTTP/1.1\r\n\r\n");
	rig_turn(rig);
	control_close(rig->control); /* the daemon was stopped meanwhile */
	rig->control = NULL;
	(void)close(fd);
}

static void shutdown_is_answered_and_told(void **state)
{
	struct rig *rig = *state;

	rig_expect(rig, "POST", "/v1/shutdown", NULL, 200, "{\"schema\":1,\"stopping\":true}");
	assert_int_equal(rig->shutdowns, 1);
	rig_expect(rig, "POST", "/v1/jobs", "{\"workload\":\"squares\"}", 503, "\"stopping\"");
}

/* Another user's client: only root can be two users. As somebody else there is one user, who may do everything here. */
static void what_belongs_to_others_is_denied(void **state)
{
	static const struct {
		const char *target;
		int status;
	} cases[] = { { "POST /v1/jobs/1/cancel", 403 }, { "POST /v1/jobs/1/send?task=0", 403 },
		      { "POST /v1/jobs/1/inputs?from=2", 403 },
		      { "GET /v1/jobs/1/results?cancel_on_close=1", 403 }, { "POST /v1/shutdown", 403 },
		      { "GET /v1/jobs/1", 200 }, { "GET /v1/jobs/1/results?follow=0", 200 } };
	struct rig *rig = *state;
	struct reply reply;
	char path[64];

	if (geteuid() != 0)
		return;
	fake_job_add(rig->jobs, 2)->view.uid = 12345;
	(void)snprintf(path, sizeof(path), "%s/sub", rig->dir);
	assert_int_equal(chmod(rig->dir, 0755), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(rig->config.socket_path, 0666), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text;
		int fd;

		assert_int_equal(seteuid(65534), 0);
		fd = rig_connect(rig); /* the credentials are those of connect() */
		assert_int_equal(seteuid(0), 0);
		assert_true(asprintf(&text, "%s HTTP/1.1\r\n\r\n", cases[i].target) > 0);
		rig_send_text(rig, fd, text);
		rig_receive(rig, fd, &reply);
		assert_int_equal(reply.status, cases[i].status);
		assert_int_equal(strstr((char *)reply.body.data, "\"denied\"") != NULL, cases[i].status == 403);
		reply_fini(&reply);
		free(text);
		(void)close(fd);
	}
	assert_int_equal(rig->shutdowns, 0);
	assert_false(rig->jobs->all->cancel_asked);
}

/* ---- The socket ---- */

static void a_living_daemon_is_not_displaced(void **state)
{
	struct rig *rig = *state;
	struct control_options options = { .loop = rig->loop, .config = &rig->config, .listen_fd = -1, .version = "2" };
	struct control *second = NULL;
	struct error err = ERROR_INIT;
	char pid[32];

	assert_int_equal(control_open(&options, &second, &err), -EADDRINUSE);
	(void)snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	assert_non_null(strstr(err.text, pid));
	rig_turn(rig);
	rig_expect(rig, "GET", "/v1/ping", NULL, 200, "pong");
}

static void a_stale_socket_is_replaced_and_another_file_is_not(void **state)
{
	struct rig *rig = *state;
	struct config config = rig->config;
	struct control_options options = { .loop = rig->loop, .config = &config, .listen_fd = -1, .version = "2" };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct control *second = NULL;
	struct error err = ERROR_INIT;
	struct stat st;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/other", rig->dir);
	config.socket_path = path;
	config.socket_mode = 0660;
	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	(void)close(fd);
	assert_int_equal(control_open(&options, &second, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	/* somebody else's by the time it closes */
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	control_close(second);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(control_open(&options, &second, &err), -EEXIST);
	assert_int_equal(unlink(path), 0);
}

static void wrong_socket_settings_are_named(void **state)
{
	struct rig *rig = *state;
	struct config config = rig->config;
	struct control_options options = { .loop = rig->loop, .config = &config, .listen_fd = -1, .version = "2" };
	struct control *second = NULL;
	struct error err = ERROR_INIT;
	char path[200];

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	config.socket_path = path;
	assert_int_equal(control_open(&options, &second, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "199 bytes"));
	err = (struct error)ERROR_INIT;
	(void)snprintf(path, sizeof(path), "%s/third", rig->dir);
	config.socket_group = (char *)"no-such-group-here";
	assert_int_equal(control_open(&options, &second, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no-such-group-here"));
	err = (struct error)ERROR_INIT;
	options.listen_fd = dup(0);
	assert_int_equal(control_open(&options, &second, &err), -EINVAL);
}

static void an_inherited_socket_is_served_and_left_in_place(void **state)
{
	struct rig *rig = *state;
	struct config config = rig->config;
	struct control_options options = { .loop = rig->loop, .config = &config, .version = "2" };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct control *second = NULL;
	char path[64], *own = rig->config.socket_path;

	(void)snprintf(path, sizeof(path), "%s/inherited", rig->dir);
	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	options.listen_fd = fd;
	assert_int_equal(control_open(&options, &second, NULL), 0);
	rig->config.socket_path = path;
	rig_expect(rig, "GET", "/v1/ping", NULL, 200, "pong");
	rig->config.socket_path = own;
	control_close(second);
	assert_int_equal(unlink(path), 0);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(requests_about_the_daemon_are_answered),
		RIG_TEST(params_show_the_stanza_and_hide_secrets),
		RIG_TEST(wrong_paths_methods_and_keys_are_named),
		RIG_TEST(a_submission_is_parsed_accepted_and_answered),
		RIG_TEST(a_refused_submission_says_why),
		RIG_TEST(a_known_submission_names_its_job),
		RIG_TEST(a_client_that_leaves_before_acceptance_is_forgotten),
		RIG_TEST(inputs_are_added_from_the_number_on_disk),
		RIG_TEST(a_job_is_shown_without_its_secrets),
		RIG_TEST(waiting_ends_with_the_job_or_its_time),
		RIG_TEST(cancelling_answers_when_it_is_done),
		RIG_TEST(a_message_is_answered_when_it_is_there),
		RIG_TEST(followers_hear_states_and_the_end),
		RIG_TEST(what_concerns_jobs_waits_until_they_are_there),
		RIG_TEST(who_waits_for_jobs_may_be_told_of_the_end),
		RIG_TEST(shutdown_is_answered_and_told),
		RIG_TEST(what_belongs_to_others_is_denied),
		RIG_TEST(a_living_daemon_is_not_displaced),
		RIG_TEST(a_stale_socket_is_replaced_and_another_file_is_not),
		RIG_TEST(wrong_socket_settings_are_named),
		RIG_TEST(an_inherited_socket_is_served_and_left_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
