/* A specification taken apart: as it is written, and as any document. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/spec_read.h"

#define HEAD(reason, params) \
	"{\"model\":\"pool\",\"shape\":\"1x2x1\",\"workers\":2,\"dedicated\":false,\"auto\":true,\"timeout_ns\":0," \
	"\"task_timeout_ns\":1500,\"grace_ns\":5000000000,\"max_crashes\":2,\"reason\":\"" reason "\",\"params\":{" params "}"

static void assert_span(const struct spec_span *span, const char *want)
{
	assert_int_equal(span->len, strlen(want));
	assert_memory_equal(span->at, want, span->len);
}

static void assert_same_span(const struct spec_span *a, const struct spec_span *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->at, b->at, a->len);
}

static void what_is_written_is_read_without_a_document(void **state)
{
	struct spec_read spec = SPEC_READ_INIT;

	(void)state;
	assert_int_equal(spec_read_written(&spec, HEAD("it is CPU-bound", "\"dir\":\"/d\",\"n\":\"gr\xc3\xbc\xc3\x9f\"") "}"), 0);
	assert_span(&spec.model, "pool");
	assert_span(&spec.shape, "1x2x1");
	assert_span(&spec.reason, "it is CPU-bound");
	assert_int_equal(spec.workers, 2);
	assert_int_equal(spec.task_timeout_ns, 1500);
	assert_int_equal(spec.grace_ns, 5000000000);
	assert_int_equal(spec.max_crashes, 2);
	assert_false(spec.own_workers);
	assert_false(spec.dedicated);
	assert_true(spec.by_auto);
	assert_int_equal(spec.n_params, 2);
	assert_span(&spec.params[1].name, "n");
	assert_span(&spec.params[1].value, "gr\xc3\xbc\xc3\x9f");
	assert_null(spec.document);
	spec_read_fini(&spec);
}

static void a_number_of_workers_may_be_the_jobs_own(void **state)
{
	static const char text[] =
		"{\"model\":\"pool\",\"shape\":\"1x2x1\",\"workers\":2,\"own_workers\":true,\"dedicated\":false,\"auto\":true,"
		"\"timeout_ns\":0,\"task_timeout_ns\":0,\"grace_ns\":0,\"max_crashes\":0,\"reason\":\"\",\"params\":{}}";
	struct spec_read spec = SPEC_READ_INIT;

	(void)state;
	assert_int_equal(spec_read_written(&spec, text), 0);
	assert_true(spec.own_workers);
	spec_read_fini(&spec);
	assert_int_equal(spec_read_document(&spec, text), 0);
	assert_true(spec.own_workers);
	spec_read_fini(&spec);
}

static void what_few_jobs_have_is_a_document(void **state)
{
	struct spec_read spec = SPEC_READ_INIT;

	(void)state;
	assert_int_equal(spec_read_written(&spec, HEAD("", "") ",\"label\":\"night \\\"run\\\"\",\"service\":true}"), 0);
	assert_int_equal(spec.n_params, 0);
	assert_int_equal(json_object_size(spec.document), 2);
	assert_string_equal(json_string_value(json_object_get(spec.document, "label")), "night \"run\"");
	spec_read_fini(&spec);
}

static void what_is_written_otherwise_is_read_as_well(void **state)
{
	static const char *const texts[] = {
		"{\"shape\":\"1x1x1\", \"model\":\"sync\",\"workers\":1,\"dedicated\":true,\"auto\":false,\"reason\":\"a\\tb\","
		"\"timeout_ns\":9223372036854775807,\"task_timeout_ns\":3,\"grace_ns\":4,\"max_crashes\":5,"
		"\"params\":{\"q\\\"\":\"x\\n\",\"odd\":7},\"label\":\"l\"}",
		HEAD("a \\\"quote\\\"", "") "}",
		HEAD("", "\"dir\":\"a\\\\b\"") "}",
	};
	struct spec_read spec = SPEC_READ_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(spec_read_written(&spec, texts[i]), -EAGAIN);
		assert_int_equal(spec_read(&spec, texts[i]), 0);
		spec_read_fini(&spec);
	}
	assert_int_equal(spec_read(&spec, texts[0]), 0);
	assert_span(&spec.model, "sync");
	assert_span(&spec.reason, "a\tb");
	assert_true(spec.timeout_ns == INT64_MAX);
	assert_true(spec.dedicated);
	assert_span(&spec.params[0].name, "q\"");
	assert_span(&spec.params[0].value, "x\n");
	assert_span(&spec.params[1].value, "");
	assert_string_equal(json_string_value(json_object_get(spec.document, "label")), "l");
	spec_read_fini(&spec);
}

static void what_is_damaged_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "{", "null", "{}", "[]", HEAD("", ""), HEAD("", "") "}}", HEAD("", "") ",}", HEAD("", "\"a\":\"b\",") "}",
		HEAD("\xff", "") "}", HEAD("\x01", "") "}", HEAD("", "\"a\"") "}", HEAD("", "") ",\"label\":}",
	};
	struct spec_read spec = SPEC_READ_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(spec_read(&spec, texts[i]), -EBADMSG);
}

/* What is read the quick way is what the document says. */
static void assert_same(const char *text)
{
	struct spec_read quick = SPEC_READ_INIT, slow = SPEC_READ_INIT;

	if (spec_read_written(&quick, text) < 0)
		return;
	assert_int_equal(spec_read_document(&slow, text), 0);
	assert_same_span(&quick.model, &slow.model);
	assert_same_span(&quick.shape, &slow.shape);
	assert_same_span(&quick.reason, &slow.reason);
	assert_int_equal(quick.workers, slow.workers);
	assert_int_equal(quick.timeout_ns, slow.timeout_ns);
	assert_int_equal(quick.task_timeout_ns, slow.task_timeout_ns);
	assert_int_equal(quick.grace_ns, slow.grace_ns);
	assert_int_equal(quick.max_crashes, slow.max_crashes);
	assert_int_equal(quick.own_workers, slow.own_workers);
	assert_int_equal(quick.dedicated, slow.dedicated);
	assert_int_equal(quick.by_auto, slow.by_auto);
	assert_int_equal(quick.n_params, slow.n_params);
	for (size_t i = 0; i < quick.n_params; i++) {
		assert_same_span(&quick.params[i].name, &slow.params[i].name);
		assert_same_span(&quick.params[i].value, &slow.params[i].value);
	}
	assert_true(json_equal(json_object_get(quick.document, "label"), json_object_get(slow.document, "label")) ||
		    !json_object_get(slow.document, "label"));
	spec_read_fini(&quick);
	spec_read_fini(&slow);
}

static void both_ways_of_reading_agree_on_whatever_both_take(void **state)
{
	static const char text[] = HEAD("why", "\"dir\":\"/d\",\"n\":\"\xc3\xbc\"") ",\"label\":\"x\",\"retries\":3}";
	char changed[sizeof(text)];

	(void)state;
	assert_same(text);
	for (size_t at = 0; at < sizeof(text) - 1; at++) { /* every change of one byte, and every cut */
		for (int c = 0; c < 256; c++) {
			memcpy(changed, text, sizeof(text));
			changed[at] = (char)c;
			assert_same(changed);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_without_a_document),
		cmocka_unit_test(a_number_of_workers_may_be_the_jobs_own),
		cmocka_unit_test(what_few_jobs_have_is_a_document),
		cmocka_unit_test(what_is_written_otherwise_is_read_as_well),
		cmocka_unit_test(what_is_damaged_is_refused),
		cmocka_unit_test(both_ways_of_reading_agree_on_whatever_both_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
