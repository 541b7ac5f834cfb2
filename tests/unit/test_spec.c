/* Bodies of submissions. */
#include "unit.h"

#include "base/clock.h"
#include "base/error.h"
#include "control/spec.h"
#include "ctl/protocol.h"

static void packs_to(enum input_format format, const char *data, size_t len, const char *packed, size_t packed_len,
		     uint64_t want)
{
	struct buffer b = BUFFER_INIT;
	struct error err = ERROR_INIT;
	uint64_t count = 0;

	assert_int_equal(inputs_pack(format, (const uint8_t *)data, len, &b, &count, &err), 0);
	assert_int_equal(count, want);
	assert_int_equal(b.len, packed_len);
	if (packed_len > 0)
		assert_memory_equal(b.data, packed, packed_len);
	buffer_fini(&b);
}

static void lines_become_packed_inputs(void **state)
{
	(void)state;
	packs_to(INPUT_LINES, "", 0, "", 0, 0);
	packs_to(INPUT_LINES, "a\nbc\n", 5, "\1a\2bc", 5, 2);
	packs_to(INPUT_LINES, "a\nbc", 4, "\1a\2bc", 5, 2);
	packs_to(INPUT_LINES, "\n", 1, "\0", 1, 1);
	packs_to(INPUT_LINES, "\n\nx\n", 4, "\0\0\1x", 4, 3);
	packs_to(INPUT_LINES, "a\r\nb\0c\n", 7, "\2a\r\3b\0c", 7, 2);
	packs_to(INPUT_NUL, "a\nb\0\0c", 6, "\3a\nb\0\1c", 7, 3);
	packs_to(INPUT_PACKED, "\1a\0", 3, "\1a\0", 3, 2);
}

/* Lines of every length around the border of one and two bytes of varint, mixed. */
static void long_and_short_lines_mix(void **state)
{
	static char data[200000];
	struct buffer b = BUFFER_INIT;
	size_t len = 0, n = 0;
	const uint8_t *at, *input = NULL;
	uint64_t count = 0;
	size_t input_len = 0;

	(void)state;
	for (; n < 1000; n++) {
		memset(data + len, (int)('a' + n % 26), n * 7 % 260);
		len += n * 7 % 260;
		data[len++] = '\n';
	}
	assert_int_equal(inputs_pack(INPUT_LINES, (uint8_t *)data, len, &b, &count, NULL), 0);
	assert_int_equal(count, n);
	at = b.data;
	for (size_t i = 0; i < n; i++) {
		at = packed_next(at, b.data + b.len, &input, &input_len);
		assert_non_null(at);
		assert_int_equal(input_len, i * 7 % 260);
		for (size_t k = 0; k < input_len; k++)
			assert_int_equal(input[k], 'a' + i % 26);
	}
	assert_ptr_equal(at, b.data + b.len);
	buffer_fini(&b);
}

static void an_input_over_its_limit_is_named(void **state)
{
	struct buffer b = BUFFER_INIT;
	struct error err = ERROR_INIT;
	uint8_t *data = malloc(PROTOCOL_MAX_INPUT_BYTES + 8);
	uint64_t count = 0;

	(void)state;
	memset(data, 'x', PROTOCOL_MAX_INPUT_BYTES + 8);
	data[1] = '\n';
	data[PROTOCOL_MAX_INPUT_BYTES + 2] = '\n';
	assert_int_equal(inputs_pack(INPUT_LINES, data, PROTOCOL_MAX_INPUT_BYTES + 3, &b, &count, &err), 0);
	assert_int_equal(count, 2);
	count = 0;
	assert_int_equal(inputs_pack(INPUT_NUL, data, PROTOCOL_MAX_INPUT_BYTES + 1, &b, &count, &err), -EMSGSIZE);
	assert_string_equal(err.code, "too-large");
	assert_non_null(strstr(err.text, "input 0 has 1048577 bytes"));
	buffer_fini(&b);
	free(data);
}

static void refused(const char *body, const char *words)
{
	struct submission submission;
	struct error err = ERROR_INIT;

	if (submission_parse((const uint8_t *)body, strlen(body), &submission, &err) == 0 || !strstr(err.text, words))
		fail_msg("%s: wanted '%s', got '%s'", body, words, err.text);
	submission_fini(&submission);
}

static void wrong_bodies_are_refused_by_name(void **state)
{
	static const char *const types[][2] = {
		{ "\"submission\":\"\"", "'submission' is to be" }, { "\"submission\":7", "'submission' is to be" },
		{ "\"workers\":-1", "'workers' is to be" }, { "\"workers\":1.5", "'workers' is to be" },
		{ "\"workers\":\"2\"", "'workers' is to be" }, { "\"workers\":5000000000", "more than there can be" },
		{ "\"model\":1", "'model' is to be" }, { "\"model\":\"a\\u0000b\"", "'model' is to be" },
		{ "\"shape\":[]", "'shape' is to be" }, { "\"dedicated\":1", "'dedicated' is to be" },
		{ "\"durable\":null", "'durable' is to be" }, { "\"open\":\"yes\"", "'open' is to be" },
		{ "\"params\":[]", "'params' is to be" }, { "\"params\":{\"dir\":1}", "value of 'dir'" },
		{ "\"timeout_s\":-1", "'timeout_s' is to be" }, { "\"timeout_s\":1e300", "'timeout_s' is to be" },
		{ "\"task_timeout_s\":\"1\"", "'task_timeout_s' is to be" }, { "\"label\":{}", "'label' is to be" },
		{ "\"inputs\":\"a\"", "'inputs' is to be" }, { "\"inputs\":[1]", "'inputs' is to be" },
		{ "\"inputs_b64\":[\"a\"]", "number 0 is not base64" },
		{ "\"inputs_b64\":[\"YQ==\",\"Y!==\"]", "number 1 is not base64" },
		{ "\"inputs\":[\"a\"],\"inputs_b64\":[\"YQ==\"]", "given together" },
		{ "\"inputs_format\":\"csv\"", "lines, nul and packed" }, { "\"dry_run\":0", "'dry_run' is to be" },
		{ "\"on_done\":[\"/bin/sh\"]", "'on_done' is to be" }, { "\"unique\":\"\"", "'unique' is to be" },
		{ "\"after\":\"7\"", "'after' is to be" }, { "\"after\":[7]", "'after' is to be" },
		{ "\"after\":[\"@\"]", "'after' is to be" }, { "\"after_failed\":true", "'after_failed' is to be" },
		{ "\"delay_s\":-1", "'delay_s' is to be" }, { "\"expire_s\":\"1h\"", "'expire_s' is to be" },
		{ "\"wrokers\":1", "did you mean 'workers'" }, { "\"zzzzzzzzzz\":1", "unknown key 'zzzzzzzzzz'" },
		{ "\"workload\":\"x\"", "duplicate" },
	};
	char body[256];

	(void)state;
	refused("", "the body is empty");
	refused("5", "line 1");
	refused("[]", "JSON object");
	refused("{\"workload\"", "line 1");
	refused("{}", "'workload' is missing");
	refused("{\"workload\":\"\"}", "'workload' is to be");
	refused("{\"workload\":\"squares\"} x", "a newline is to follow");
	refused("{\"workload\":\"squares\",\"inputs\":[]}\nx", "in the object and behind it");
	refused("{\"workload\":\"squares\",\"inputs_format\":\"packed\"}\n\5x", "number 0 is cut");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		(void)snprintf(body, sizeof(body), "{\"workload\":\"squares\",%s}", types[i][0]);
		refused(body, types[i][1]);
	}
}

static void inputs_may_lie_in_the_object(void **state)
{
	static const char body[] = "{\"workload\":\"w\",\"inputs\":[\"a\\u0000\\nb\",\"\"]}\n";
	static const char coded[] = "{\"workload\":\"w\",\"inputs_b64\":[\"/wA=\",\"\",\"YWJj\"]}";
	struct submission s;

	(void)state;
	assert_int_equal(submission_parse((const uint8_t *)body, sizeof(body) - 1, &s, NULL), 0);
	assert_int_equal(s.n_inputs, 2);
	assert_int_equal(s.inputs.len, 6);
	assert_memory_equal(s.inputs.data, "\4a\0\nb\0", 6);
	submission_fini(&s);
	assert_int_equal(submission_parse((const uint8_t *)coded, sizeof(coded) - 1, &s, NULL), 0);
	assert_int_equal(s.n_inputs, 3);
	assert_int_equal(s.inputs.len, 8);
	assert_memory_equal(s.inputs.data, "\2\xff\0\0\3abc", 8);
	submission_fini(&s);
}

static void absent_keys_mean_the_stanza(void **state)
{
	static const char body[] = "{\"workload\":\"w\"}\r\n1";
	struct submission s;

	(void)state;
	assert_int_equal(submission_parse((const uint8_t *)body, sizeof(body) - 1, &s, NULL), 0);
	assert_true(s.spec.durable);
	assert_null(s.spec.submission);
	assert_null(s.spec.model.model);
	assert_int_equal(s.spec.timeout_ns, 0);
	assert_int_equal(s.spec.task_timeout_ns, -1);
	assert_int_equal(s.n_inputs, 1);
	submission_fini(&s);
}

/* Cut and changed bodies must be refused or taken, never read past their end (for the sanitizers). */
static void damaged_bodies_do_no_harm(void **state)
{
	static const char body[] = "{\"workload\":\"w\",\"params\":{\"a\":\"b\"},\"inputs_format\":\"packed\"}\n\3abc\1x";
	unsigned int seed = 7;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint8_t copy[sizeof(body)], *exact;
		struct submission s;
		size_t len = (size_t)rand_r(&seed) % sizeof(body);

		memcpy(copy, body, sizeof(body));
		copy[(size_t)rand_r(&seed) % sizeof(body)] = (uint8_t)rand_r(&seed);
		exact = malloc(len + 1);
		memcpy(exact, copy, len);
		(void)submission_parse(exact, len, &s, NULL);
		submission_fini(&s);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_become_packed_inputs),
		cmocka_unit_test(long_and_short_lines_mix),
		cmocka_unit_test(an_input_over_its_limit_is_named),
		cmocka_unit_test(wrong_bodies_are_refused_by_name),
		cmocka_unit_test(inputs_may_lie_in_the_object),
		cmocka_unit_test(absent_keys_mean_the_stanza),
		cmocka_unit_test(damaged_bodies_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
