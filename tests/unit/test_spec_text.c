/* What a job's row says of how it runs. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "config.h"
#include "crew/model.h"
#include "jobs/job.h"
#include "jobs/spec_read.h"

/* Of those that add what few jobs have. */
int begin_format(const struct job *job, json_t *spec)
{
	return job->begin.begins_unix_us > 0 ? json_object_set_new(spec, "begins_us", json_integer(5)) : 0;
}

int unique_format(const struct job *job, json_t *spec)
{
	(void)job;
	(void)spec;
	return 0;
}

int again_format(const struct job *job, json_t *spec)
{
	(void)job;
	(void)spec;
	return 0;
}

int64_t job_ran_ns(const struct job *job)
{
	return job->ran_ns;
}

static struct job *a_job(void)
{
	static char reason[] = "because";
	static struct job job;

	job = (struct job){
		.model_reason = reason,
		.timeout_ns = INT64_MAX,
		.task_timeout_ns = 3,
		.grace_ns = 5000000000,
		.max_crashes = 2,
	};
	job.choice = (struct model_choice){ .model = model_find("process"), .workers = 7, .by_auto = true };
	assert_int_equal(shape_parse("7x1x1", &job.choice.crew_shape, NULL), 0);
	return &job;
}

static json_t *formatted(const struct job *job)
{
	char *text = job_spec_format(job);
	struct spec_read read = SPEC_READ_INIT;
	json_t *spec;

	assert_non_null(text);
	assert_int_equal(spec_read(&read, text), 0);
	assert_int_equal(read.max_crashes, job->max_crashes);
	spec_read_fini(&read);
	spec = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(spec);
	free(text);
	return spec;
}

static void assert_text(const json_t *object, const char *key, const char *text)
{
	assert_non_null(json_object_get(object, key));
	assert_string_equal(json_string_value(json_object_get(object, key)), text);
}

static void assert_number(const json_t *object, const char *key, int64_t value)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	assert_int_equal(json_integer_value(json_object_get(object, key)), value);
}

static void a_specification_says_how_its_job_runs(void **state)
{
	json_t *spec = formatted(a_job());

	(void)state;
	assert_text(spec, "model", "process");
	assert_text(spec, "shape", "7x1x1");
	assert_text(spec, "reason", "because");
	assert_number(spec, "workers", 7);
	assert_number(spec, "timeout_ns", INT64_MAX);
	assert_number(spec, "task_timeout_ns", 3);
	assert_number(spec, "grace_ns", 5000000000);
	assert_number(spec, "max_crashes", 2);
	assert_true(json_is_false(json_object_get(spec, "dedicated")));
	assert_true(json_is_true(json_object_get(spec, "auto")));
	assert_int_equal(json_object_size(json_object_get(spec, "params")), 0);
	assert_true(json_is_object(json_object_get(spec, "params")));
	assert_int_equal(json_object_size(spec), 11); /* and no more */
	json_decref(spec);
}

static void any_text_comes_back_from_a_specification(void **state)
{
	static char names[2][8] = { "dir", "q\"\\" };
	static char values[2][16] = { "a\nb\t\x01\"\\/", "gr\xc3\xbc\xc3\x9f" };
	struct config_pair params[] = { { .name = names[0], .value = values[0] }, { .name = names[1], .value = values[1] } };
	struct job *job = a_job();
	json_t *spec;

	(void)state;
	job->params = params;
	job->n_params = 2;
	spec = formatted(job);
	assert_text(json_object_get(spec, "params"), "dir", values[0]);
	assert_text(json_object_get(spec, "params"), "q\"\\", values[1]);
	json_decref(spec);
}

static void what_few_jobs_have_stands_beside_the_rest(void **state)
{
	static char label[] = "night \"run\"", hook[] = "/bin/true";
	struct job *job = a_job();
	json_t *spec;

	(void)state;
	job->label = label;
	job->on_done = hook;
	job->retries = 3;
	job->backoff_ns = 1000;
	job->halt = (struct job_halt){ .when = JOB_HALT_SOON, .fail = 2, .percent = 10 };
	job->begin.begins_unix_us = 1;
	job->ran_ns = 77;
	spec = formatted(job);
	assert_text(spec, "model", "process");
	assert_text(spec, "label", label);
	assert_text(spec, "on_done", hook);
	assert_number(spec, "retries", 3);
	assert_number(spec, "backoff_ns", 1000);
	assert_number(spec, "begins_us", 5);
	assert_number(spec, "timeout_used_ns", 77);
	assert_int_equal(json_array_size(json_object_get(spec, "halt")), 3);
	json_decref(spec);
}

static void a_text_that_is_not_utf8_is_refused_and_a_label_left_out(void **state)
{
	static char name[] = "dir", value[] = "\xff", label[] = "\xff";
	struct config_pair param = { .name = name, .value = value };
	struct job *job = a_job();
	json_t *spec;

	(void)state;
	job->label = label;
	spec = formatted(job);
	assert_null(json_object_get(spec, "label"));
	json_decref(spec);
	job->params = &param;
	job->n_params = 1;
	assert_null(job_spec_format(job));
}

static void what_is_written_is_what_is_read_quickly(void **state)
{
	static char label[] = "night", name[] = "dir", value[] = "/d";
	struct config_pair param = { .name = name, .value = value };
	struct job *job = a_job();

	(void)state;
	job->timeout_ns = 0;
	for (int i = 0; i < 8; i++) {
		struct spec_read read = SPEC_READ_INIT;
		char *text;

		job->label = i & 1 ? label : NULL;
		job->params = &param;
		job->n_params = i & 2 ? 1 : 0;
		job->own_workers = i & 4;
		text = job_spec_format(job);
		assert_non_null(text);
		assert_int_equal(spec_read_written(&read, text), 0); /* else a list takes longer */
		assert_int_equal(read.n_params, job->n_params);
		assert_int_equal(read.own_workers, job->own_workers);
		assert_int_equal(json_object_size(read.document), i & 1);
		spec_read_fini(&read);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_specification_says_how_its_job_runs),
		cmocka_unit_test(any_text_comes_back_from_a_specification),
		cmocka_unit_test(what_few_jobs_have_stands_beside_the_rest),
		cmocka_unit_test(what_is_written_is_what_is_read_quickly),
		cmocka_unit_test(a_text_that_is_not_utf8_is_refused_and_a_label_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
