/* The models: shapes and what a request is resolved to. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <concd/plugin.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "config.h"
#include "crew/model.h"
#include "crew/workload.h"

#define PROCESSORS 4
#define MAX_WORKERS 100000

struct fixture {
	struct plugin_info info;
	struct workload_config config;
	struct workload workload;
};

static void fixture_init(struct fixture *f, uint32_t kind, bool thread_safe)
{
	*f = (struct fixture){
		.info = { .name = (char *)"w", .kind = kind },
		.config = { .name = (char *)"w", .model = (char *)"auto" },
		.workload = { .name = "w", .thread_safe = thread_safe },
	};
	f->workload.info = &f->info;
	f->workload.config = &f->config;
}

static void assert_choice(struct fixture *f, struct model_request request, const char *model, const char *shape,
			  uint32_t workers)
{
	struct error err = ERROR_INIT;
	struct model_choice c;
	char text[SHAPE_TEXT_BYTES];
	int r = model_choose(&f->workload, &request, PROCESSORS, MAX_WORKERS, &c, &err);

	if (r < 0)
		fail_msg("%s", err.text);
	shape_format(&c.crew_shape, text);
	assert_string_equal(c.model->name, model);
	assert_string_equal(text, shape);
	assert_int_equal(c.workers, workers);
	assert_true(c.workers <= shape_workers(&c.crew_shape));
}

static void assert_refused(struct fixture *f, struct model_request request, const char *code, const char *words)
{
	struct error err = ERROR_INIT;
	struct model_choice c;

	assert_int_equal(model_choose(&f->workload, &request, PROCESSORS, MAX_WORKERS, &c, &err), -EINVAL);
	assert_string_equal(err.code, code);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void a_shape_is_three_numbers_from_one_on(void **state)
{
	static const char *const bad[] = { "",
					   "1",
					   "1x1",
					   "1x1x",
					   "0x1x1",
					   "1x1x0",
					   "1x1x1x1",
					   "-1x1x1",
					   " 1x1x1",
					   "1x1x1 ",
					   "1X1X1",
					   "4294967296x1x1",
					   "99999999999999999999x1x1",
					   "1x-1x1",
					   "4096x1x1",
					   "64x64x1",
					   "4095x1x4294967295",
					   "x1x1" };
	struct shape s;
	char text[SHAPE_TEXT_BYTES];

	(void)state;
	assert_int_equal(shape_parse("2x1x500", &s, NULL), 0);
	shape_format(&s, text);
	assert_string_equal(text, "2x1x500");
	assert_int_equal(shape_parse("4095x1x1000000", &s, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = ERROR_INIT;

		if (shape_parse(bad[i], &s, &err) != -EINVAL || strcmp(err.code, "bad-shape") != 0)
			fail_msg("'%s' was taken", bad[i]);
	}
	s = (struct shape){ UINT32_MAX, UINT32_MAX, UINT32_MAX };
	shape_format(&s, text);
	assert_string_equal(text, "4294967295x4294967295x4294967295");
}

static void each_model_has_its_own_default_shape(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, CONCD_KIND_CPU, true);
	assert_choice(&f, (struct model_request){ .model = "sync" }, "sync", "1x1x1", 1);
	assert_choice(&f, (struct model_request){ .model = "async" }, "async", "1x1x1000", 1000);
	assert_choice(&f, (struct model_request){ .model = "thread" }, "thread", "1x1x1", 1);
	assert_choice(&f, (struct model_request){ .model = "pool" }, "pool", "1x4x1", 4);
	assert_choice(&f, (struct model_request){ .model = "process" }, "process", "4x1x1", 4);
}

static void workers_limit_a_job_or_make_a_larger_crew(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, CONCD_KIND_CPU, true);
	assert_choice(&f, (struct model_request){ .model = "async", .workers = 5 }, "async", "1x1x1000", 5);
	assert_choice(&f, (struct model_request){ .model = "async", .workers = 10000 }, "async", "1x1x10000", 10000);
	assert_choice(&f, (struct model_request){ .model = "pool", .workers = 2 }, "pool", "1x4x1", 2);
	assert_choice(&f, (struct model_request){ .model = "process", .workers = 9 }, "process", "9x1x1", 9);
	assert_choice(&f, (struct model_request){ .model = "thread", .workers = 3 }, "thread", "1x3x1", 3);
	assert_choice(&f, (struct model_request){ .model = "process", .workers = 1, .dedicated = true }, "process",
		      "1x1x1", 1);
}

static void auto_follows_the_kind_and_thread_safety_and_says_why(void **state)
{
	struct fixture f;
	struct model_choice c;

	(void)state;
	fixture_init(&f, CONCD_KIND_IO, true);
	assert_choice(&f, (struct model_request){ .model = NULL }, "async", "1x1x1000", 1000);
	fixture_init(&f, CONCD_KIND_IO, false);
	assert_choice(&f, (struct model_request){ .model = "auto" }, "async", "1x1x1000", 1000);
	fixture_init(&f, CONCD_KIND_CPU, true);
	assert_choice(&f, (struct model_request){ .model = "auto" }, "pool", "1x4x1", 4);
	fixture_init(&f, CONCD_KIND_MIXED, true);
	assert_choice(&f, (struct model_request){ .model = "auto", .workers = 2 }, "pool", "1x4x1", 2);
	fixture_init(&f, CONCD_KIND_CPU, false);
	assert_choice(&f, (struct model_request){ .model = "auto" }, "process", "4x1x1", 4);
	fixture_init(&f, CONCD_KIND_MIXED, false);
	assert_int_equal(model_choose(&f.workload, &(struct model_request){ .model = NULL }, 0, 10, &c, NULL), 0);
	assert_string_equal(c.model->name, "process");
	assert_int_equal(c.workers, 1);
	assert_true(c.by_auto);
	assert_true(strlen(c.reason) > 0);
}

static void order_is_promised_only_to_a_single_worker(void **state)
{
	struct fixture f;
	struct model_choice c;

	(void)state;
	fixture_init(&f, CONCD_KIND_CPU, true);
	assert_int_equal(model_choose(&f.workload, &(struct model_request){ .model = "thread" }, 2, 10, &c, NULL), 0);
	assert_true(c.in_order && c.dedicated);
	assert_int_equal(model_choose(&f.workload, &(struct model_request){ .model = "thread", .workers = 2 }, 2, 10,
				      &c, NULL),
			 0);
	assert_true(!c.in_order && c.dedicated);
	assert_int_equal(model_choose(&f.workload, &(struct model_request){ .model = "sync" }, 2, 10, &c, NULL), 0);
	assert_true(c.in_order && !c.dedicated && !c.by_auto);
	assert_int_equal(model_choose(&f.workload, &(struct model_request){ .shape = "1x1x1" }, 2, 10, &c, NULL), 0);
	assert_false(c.in_order);
}

static void a_stanza_sizes_the_crew_of_its_own_model_only(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, CONCD_KIND_IO, true);
	f.config.model = (char *)"async";
	f.config.workers = 100;
	assert_choice(&f, (struct model_request){ .model = NULL }, "async", "1x1x100", 100);
	assert_choice(&f, (struct model_request){ .workers = 10 }, "async", "1x1x100", 10);
	assert_choice(&f, (struct model_request){ .workers = 200 }, "async", "1x1x200", 200);
	assert_choice(&f, (struct model_request){ .model = "pool" }, "pool", "1x4x1", 4);
	f.config.shape = (char *)"2x1x500";
	assert_choice(&f, (struct model_request){ .model = NULL }, "async", "2x1x500", 100);
	assert_choice(&f, (struct model_request){ .workers = 1000 }, "async", "2x1x500", 1000);
	assert_refused(&f, (struct model_request){ .workers = 1001 }, "bad-workers", "holds 1000 workers");
	assert_choice(&f, (struct model_request){ .model = "process" }, "process", "4x1x1", 4);
	f.config.shape = (char *)"1x1x500";
	assert_choice(&f, (struct model_request){ .workers = 1001 }, "async", "1x1x1001", 1001);
}

static void a_bare_shape_names_any_point(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, CONCD_KIND_CPU, true);
	assert_choice(&f, (struct model_request){ .shape = "2x1x500" }, "async", "2x1x500", 1000);
	assert_choice(&f, (struct model_request){ .shape = "2x2x1" }, "process", "2x2x1", 4);
	assert_choice(&f, (struct model_request){ .shape = "1x1x30000" }, "async", "1x1x30000", 30000);
	assert_choice(&f, (struct model_request){ .shape = "2x2x10", .workers = 3 }, "async", "2x2x10", 3);
	assert_choice(&f, (struct model_request){ .shape = "1x8x1", .model = "pool" }, "pool", "1x8x1", 8);
	assert_choice(&f, (struct model_request){ .shape = "1x8x1", .model = "auto" }, "pool", "1x8x1", 8);
}

static void requests_that_cannot_be_met_are_refused_with_the_remedy(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, CONCD_KIND_CPU, true);
	assert_refused(&f, (struct model_request){ .model = "asinc" }, "no-such-model", "did you mean 'async'");
	assert_refused(&f, (struct model_request){ .model = "" }, "no-such-model", "thread, pool");
	assert_refused(&f, (struct model_request){ .model = "sync", .workers = 2 }, "bad-workers",
		       "one task at a time");
	assert_refused(&f, (struct model_request){ .shape = "axb" }, "bad-shape", "2x1x500");
	assert_refused(&f, (struct model_request){ .model = "pool", .shape = "2x1x500" }, "bad-shape", "1 x N x 1");
	assert_refused(&f, (struct model_request){ .model = "sync", .shape = "1x1x2" }, "bad-shape", "1 x 1 x 1");
	assert_refused(&f, (struct model_request){ .shape = "1x2x1", .workers = 3 }, "bad-workers", "holds 2");
	assert_refused(&f, (struct model_request){ .model = "async", .workers = MAX_WORKERS + 1 }, "bad-workers",
		       "limits.max_workers");
	assert_refused(&f, (struct model_request){ .model = "pool", .workers = 4096 }, "bad-workers", "coroutines");
	fixture_init(&f, CONCD_KIND_CPU, false);
	assert_refused(&f, (struct model_request){ .model = "pool" }, "not-thread-safe", "model process");
	assert_refused(&f, (struct model_request){ .shape = "1x2x10" }, "not-thread-safe", "model process");
	assert_choice(&f, (struct model_request){ .model = "thread" }, "thread", "1x1x1", 1);
	assert_choice(&f, (struct model_request){ .model = "pool", .workers = 1, .dedicated = true }, "pool", "1x1x1",
		      1);
	f.workload.info = NULL;
	f.workload.why_not = "it crashed";
	assert_int_equal(model_choose(&f.workload, &(struct model_request){ .model = NULL }, 1, 1, NULL, NULL),
			 -ENOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shape_is_three_numbers_from_one_on),
		cmocka_unit_test(each_model_has_its_own_default_shape),
		cmocka_unit_test(workers_limit_a_job_or_make_a_larger_crew),
		cmocka_unit_test(auto_follows_the_kind_and_thread_safety_and_says_why),
		cmocka_unit_test(order_is_promised_only_to_a_single_worker),
		cmocka_unit_test(a_stanza_sizes_the_crew_of_its_own_model_only),
		cmocka_unit_test(a_bare_shape_names_any_point),
		cmocka_unit_test(requests_that_cannot_be_met_are_refused_with_the_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
