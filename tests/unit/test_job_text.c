/* Jobs as text. */
#include "unit.h"

#include <math.h>

#include <jansson.h>

#include "base/buffer.h"
#include "config.h"
#include "control/server.h"
#include "jobs/jobs.h"

/* The keys of JOB, as ctl/PROTOCOL.md has them. */
static const char *const keys[] = {
	"schema", "job", "state", "workload", "label", "submission", "user", "model", "auto", "model_reason", "shape",
	"workers", "dedicated", "durable", "priority", "tasks", "params", "timeout_s", "task_timeout_s", "grace_s",
	"retries", "backoff_s", "halt", "retrying", "created", "started", "ended", "wall_s", "cpu_s", "wait_s", "runq_s",
	"speedup", "peak_rss_bytes", "waiting", "error", "on_done", "unique", "begins", "expires", "after",
	"after_failed", "service", "retry_of",
};

const char *job_state_name(enum job_state state)
{
	return state == JOB_CANCELLED ? "cancelled" : "running";
}

static json_t *parsed(struct buffer *text)
{
	json_t *object = json_loadb((const char *)text->data, text->len, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(object);
	assert_null(memchr(text->data, '\n', text->len)); /* it may be a line */
	buffer_fini(text);
	return object;
}

static json_t *job_of(const struct job_view *view)
{
	struct buffer text = BUFFER_INIT;

	assert_int_equal(job_text(&text, view), 0);
	return parsed(&text);
}

static struct job_view a_view(void)
{
	return (struct job_view){ .id = 7, .workload = "squares", .state = JOB_RUNNING, .uid = 1000, .model = "pool",
				  .model_reason = "", .shape = { 1, 2, 1 }, .workers = 2, .grace_ns = 5000000000,
				  .backoff_ns = 1000000000, .total = 20, .queued = 5, .running = 2, .done = 13,
				  .created_unix_us = 1700000000000000, .waiting = "" };
}

static void assert_text(const json_t *object, const char *key, const char *want)
{
	const json_t *value = json_object_get(object, key);

	if (want)
		assert_string_equal(json_string_value(value), want);
	else
		assert_true(json_is_null(value));
}

static void assert_real(const json_t *object, const char *key, double want)
{
	assert_true(json_is_real(json_object_get(object, key)));
	assert_true(fabs(json_real_value(json_object_get(object, key)) - want) <= want * 1e-15 + 5e-10);
}

static void assert_integer(const json_t *object, const char *key, json_int_t want)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	assert_int_equal(json_integer_value(json_object_get(object, key)), want);
}

static void what_a_job_does_not_have_is_null(void **state)
{
	const struct job_view view = a_view();
	json_t *job = job_of(&view), *tasks = json_object_get(job, "tasks");

	(void)state;
	assert_int_equal(json_object_size(job), sizeof(keys) / sizeof(keys[0]));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_non_null(json_object_get(job, keys[i]));
	assert_text(job, "job", "7");
	assert_text(job, "state", "running");
	assert_text(job, "shape", "1x2x1");
	assert_text(job, "created", "2023-11-14T22:13:20.000Z");
	assert_integer(job, "user", 1000);
	assert_integer(tasks, "total", 20);
	assert_integer(tasks, "done", 13);
	assert_int_equal(json_object_size(tasks), 6);
	assert_real(job, "grace_s", 5);
	assert_real(job, "wall_s", 0);
	assert_int_equal(json_object_size(json_object_get(job, "params")), 0);
	assert_int_equal(json_array_size(json_object_get(job, "after")), 0);
	for (const char *const *key = (const char *const[]){ "label", "submission", "timeout_s", "task_timeout_s", "halt",
							     "started", "ended", "speedup", "peak_rss_bytes", "error", "on_done",
							     "unique", "begins", "expires", "after_failed", "service",
							     "retry_of", NULL }; *key; key++)
		assert_true(json_is_null(json_object_get(job, *key)));
	json_decref(job);
}

static void what_a_job_has_is_there(void **state)
{
	static const struct config_pair params[] = { { (char *)"dir", (char *)"/d\n" }, { (char *)"token", (char *)"t0p" } };
	static const uint64_t after[] = { 3, UINT64_MAX };
	static const uint32_t flags[] = { 0, 1 };
	const struct job_log line = { .level = "info", .text = "up \"and\" running", .unix_us = 1700000000000000 };
	struct job_view view = a_view();
	json_t *job, *value;

	(void)state;
	view.params = params;
	view.param_flags = flags;
	view.n_params = 2;
	view.after = after;
	view.n_after = 2;
	view.halt = (struct job_halt){ .when = JOB_HALT_SOON, .percent = 10 };
	view.timeout_ns = 1500000000;
	view.wall_s = 2;
	view.cpu_s = 3;
	view.wait_s = 1;
	view.priority = -100;
	view.peak_rss_bytes = 4096;
	view.error_code = "timeout";
	view.retry_of = 5;
	view.open = true;
	view.expires_unix_us = 1;
	view.service = (struct service_view){ .is_service = true, .cause = "it crashed", .restarts = 3, .line = &line };
	job = job_of(&view);
	assert_text(json_object_get(job, "params"), "dir", "/d\n");
	assert_text(json_object_get(job, "params"), "token", "***");
	assert_string_equal(json_string_value(json_array_get(json_object_get(job, "after"), 1)), "18446744073709551615");
	assert_text(job, "after_failed", "cancel");
	assert_text(json_object_get(job, "halt"), "when", "soon");
	assert_integer(json_object_get(job, "halt"), "percent", 10);
	assert_real(job, "timeout_s", 1.5);
	assert_real(job, "speedup", 2);
	assert_integer(job, "priority", -100);
	assert_integer(job, "peak_rss_bytes", 4096);
	assert_text(json_object_get(job, "error"), "code", "timeout");
	assert_text(json_object_get(job, "error"), "message", "");
	assert_text(job, "retry_of", "5");
	assert_text(job, "expires", "1970-01-01T00:00:00.000Z");
	assert_text(json_object_get(job, "tasks"), "total", NULL);
	value = json_object_get(job, "service");
	assert_integer(value, "restarts", 3);
	assert_text(value, "cause", "it crashed");
	assert_text(json_object_get(value, "last_line"), "message", line.text);
	json_decref(job);
}

/* A text of n bytes, each of which is longer in JSON. */
static char *long_text(size_t n, int c)
{
	char *text = malloc(n + 1);

	assert_non_null(text);
	memset(text, c, n);
	text[n] = '\0';
	return text;
}

/* Sanitizers see what is written outside. */
static void the_longest_job_has_room(void **state)
{
	char *control = long_text(5000, 1), *broken = long_text(5000, 0xff);
	struct config_pair params[40];
	struct job_view view = {
		.id = UINT64_MAX, .workload = control, .label = broken, .submission = control, .uid = UINT32_MAX,
		.state = JOB_CANCELLED, .total = UINT64_MAX, .queued = UINT64_MAX, .running = UINT64_MAX,
		.done = UINT64_MAX, .failed = UINT64_MAX, .cancelled = UINT64_MAX, .model = "process",
		.model_reason = broken, .shape = { UINT32_MAX, UINT32_MAX, UINT32_MAX }, .workers = UINT32_MAX,
		.params = params, .n_params = 40, .timeout_ns = INT64_MAX, .task_timeout_ns = INT64_MAX,
		.grace_ns = INT64_MAX, .backoff_ns = INT64_MAX, .retries = UINT32_MAX, .priority = INT32_MIN,
		.halt = { .when = JOB_HALT_NOW, .fail = UINT64_MAX }, .retrying = UINT64_MAX, .on_done = control,
		.unique = broken, .begins_unix_us = INT64_MAX, .expires_unix_us = INT64_MAX,
		.created_unix_us = INT64_MAX, .started_unix_us = INT64_MIN, .ended_unix_us = INT64_MAX, .wall_s = 1e-300,
		.cpu_s = 1e300, .wait_s = -1e300, .runq_s = 8999999999.999999, .peak_rss_bytes = UINT64_MAX,
		.error_code = "predecessor", .error_text = control, .waiting = broken, .retry_of = UINT64_MAX,
		.service = { .is_service = true, .cause = broken },
	};
	struct buffer text = BUFFER_INIT;
	json_t *value;

	(void)state;
	for (size_t i = 0; i < 40; i++)
		params[i] = (struct config_pair){ .name = long_text(i + 1, 2), .value = i % 2 ? control : broken };
	assert_int_equal(job_text(&text, &view), 0);
	assert_true(text.len <= text.cap);
	/* numbers beyond 63 bits are written as they are, whatever a reader makes of them */
	assert_null(json_loadb((const char *)text.data, text.len, 0, NULL));
	view.total = view.queued = view.running = view.done = view.failed = view.cancelled = INT64_MAX;
	view.halt.fail = view.retrying = view.peak_rss_bytes = INT64_MAX;
	view.wall_s = 1;
	text.len = 0;
	assert_int_equal(job_text(&text, &view), 0);
	value = parsed(&text);
	assert_text(value, "workload", control);
	assert_int_equal(json_string_length(json_object_get(value, "label")), 3 * 5000); /* U+FFFD for each byte */
	assert_real(value, "cpu_s", 1e300);
	assert_real(value, "runq_s", 8999999999.999999);
	assert_int_equal(json_object_size(json_object_get(value, "params")), 40);
	json_decref(value);
	for (size_t i = 0; i < 40; i++)
		free(params[i].name);
	free(control);
	free(broken);
}

/* Each of its members is that of JOB. */
static void assert_part(const json_t *part, const json_t *job, const char *but)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)part, key, value)
		if (strcmp(key, but) != 0)
			assert_true(json_equal(value, json_object_get(job, key)));
}

static void lines_say_what_jobs_say(void **state)
{
	struct job_view view = a_view();
	struct buffer text = BUFFER_INIT;
	json_t *job, *part;

	(void)state;
	view.wall_s = 2.5;
	view.cpu_s = 1.25;
	view.error_code = "halted";
	view.error_text = "gr\xc3\xbc\xc3\x9f \xff";
	view.by_auto = true;
	job = job_of(&view);

	assert_int_equal(job_text_brief(&text, &view), 0);
	part = parsed(&text);
	assert_int_equal(json_object_size(part), 5);
	assert_part(part, job, "");
	json_decref(part);

	assert_int_equal(job_text_progress(&text, &view), 0);
	part = parsed(&text);
	assert_int_equal(json_object_size(part), 4);
	assert_text(part, "type", "progress");
	assert_part(part, job, "type");
	json_decref(part);

	for (int with_schema = 0; with_schema < 2; with_schema++) {
		assert_int_equal(job_text_line(&text, &view, "end", with_schema), 0);
		part = parsed(&text);
		assert_int_equal(json_object_size(part), 16 + with_schema);
		assert_text(part, "type", "end");
		assert_part(part, job, "type");
		json_decref(part);
	}
	json_decref(job);
}

static void text_goes_behind_what_is_there(void **state)
{
	const struct job_view view = a_view();
	struct buffer text = BUFFER_INIT;
	json_t *both;

	(void)state;
	assert_int_equal(buffer_add(&text, "[", 1), 0);
	assert_int_equal(job_text(&text, &view), 0);
	assert_int_equal(buffer_add(&text, ",", 1), 0);
	assert_int_equal(job_text(&text, &view), 0);
	assert_int_equal(document_add_members(&text, json_pack("{s:[], s:i}", "more", "last", 1)), 0);
	assert_int_equal(document_add_members(&text, NULL), -ENOMEM); /* and nothing is changed */
	assert_int_equal(buffer_add(&text, "]", 1), 0);
	both = parsed(&text);
	assert_int_equal(json_array_size(both), 2);
	assert_part(json_array_get(both, 0), json_array_get(both, 1), "");
	assert_int_equal(json_object_size(json_array_get(both, 1)), sizeof(keys) / sizeof(keys[0]) + 2);
	assert_integer(json_array_get(both, 1), "last", 1);
	json_decref(both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_job_does_not_have_is_null),
		cmocka_unit_test(what_a_job_has_is_there),
		cmocka_unit_test(the_longest_job_has_room),
		cmocka_unit_test(lines_say_what_jobs_say),
		cmocka_unit_test(text_goes_behind_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
