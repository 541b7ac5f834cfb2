/* Numbers, strings and base64 of the streams. */
#include "unit.h"

#include <jansson.h>

#include "base/text.h"
#include "control/base64.h"
#include "control/format.h"
#include "store/segment.h"

static void numbers_are_those_of_printf(void **state)
{
	uint64_t value = 1;
	uint8_t text[64];
	char want[64];

	(void)state;
	for (int i = 0; i < 400; i++, value = value * 6364136223846793005u + 1442695040888963407u) {
		uint64_t v = value >> (i % 64);

		*text_put_u64(text, v) = 0;
		(void)snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
		assert_string_equal((char *)text, want);
	}
	*text_put_u64(text, 0) = 0;
	assert_string_equal((char *)text, "0");
	*text_put_u64(text, UINT64_MAX) = 0;
	assert_string_equal((char *)text, "18446744073709551615");
}

static void seconds_are_exact_and_short(void **state)
{
	static const struct {
		int64_t ns;
		const char *want;
	} cases[] = { { 0, "0.0" }, { 1, "0.000000001" }, { 1500000000, "1.5" }, { 999999999, "0.999999999" },
		      { 100, "0.0000001" }, { 12345678900, "12.3456789" }, { INT64_MAX, "9223372036.854775807" },
		      { -5, "0.0" }, { 1020000000, "1.02" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t text[FORMAT_SECONDS_BYTES];

		*format_seconds(text, cases[i].ns) = 0;
		assert_string_equal((char *)text, cases[i].want);
	}
	for (int64_t ns = 1; ns < 1000000000; ns += ns / 7 + 1) {
		uint8_t text[FORMAT_SECONDS_BYTES];
		char want[32], *end;

		*format_seconds(text, ns) = 0;
		(void)snprintf(want, sizeof(want), "0.%09lld", (long long)ns);
		for (end = want + strlen(want); end[-1] == '0';)
			*--end = '\0';
		assert_string_equal((char *)text, want);
	}
}

static void the_end_of_a_line_is_kept_for_those_that_end_so(void **state)
{
	static const struct task_record records[] = {
		{ .state = TASK_DONE, .attempts = 1, .worker_pid = 7 },
		{ .state = TASK_DONE, .attempts = 1, .worker_pid = 7 },
		{ .state = TASK_DONE, .attempts = 1, .worker_pid = 7, .worker_thread = 1 },
		{ .state = TASK_DONE, .attempts = UINT16_MAX, .worker_pid = UINT32_MAX, .worker_thread = UINT16_MAX },
		{ .state = TASK_CANCELLED },
		{ .state = TASK_CANCELLED },
		{ .state = TASK_DONE, .attempts = 2, .worker_pid = 7, .worker_thread = 1 },
	};
	struct format_tail tail = { .len = 0 };

	(void)state;
	for (size_t i = 0; i < 3 * sizeof(records) / sizeof(records[0]); i++) {
		struct format_task task = { .job = "1", .index = i, .record = &records[i / 3], .began = i % 3 == 2 };
		uint8_t alone[1024], kept[1024];
		size_t len = (size_t)(format_task_json(alone, &task) - alone);

		task.tail = &tail;
		assert_int_equal(format_task_json(kept, &task) - kept, len);
		assert_memory_equal(kept, alone, len);
	}
}

static void json_lines_are_read_back_the_same(void **state)
{
	unsigned int seed = 5;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		uint8_t input[40], data[40], text[4096];
		struct task_record record = { .state = TASK_DONE, .length = (uint32_t)rand_r(&seed) % 40,
					      .wall_s = 1e-7F * (float)i, .attempts = 65535, .worker_pid = 4194304,
					      .worker_thread = 4095, .signal = 64, .error = TASK_ERROR_QUARANTINED };
		struct format_task task = { .job = "18446744073709551615", .index = UINT64_MAX >> 11, .input = input,
					    .input_len = (size_t)rand_r(&seed) % 40, .record = &record, .data = data };
		unsigned int mask = i % 3 ? 0x7f : 0xff; /* a third of them is hardly ever UTF-8 */
		uint8_t *end;
		json_t *line, *value;

		for (size_t k = 0; k < sizeof(input); k++) {
			input[k] = (uint8_t)((unsigned int)rand_r(&seed) & mask);
			data[k] = (uint8_t)((unsigned int)rand_r(&seed) & mask);
			if (i % 3 == 2) /* plain texts */
				input[k] = (uint8_t)('A' + input[k] % 26);
		}
		if (i % 9 == 2 && task.input_len > 0) /* with one byte that is not */
			input[(size_t)i % task.input_len] = (uint8_t)"\"\\\x1f\x7f"[i / 9 % 4];
		if (i % 2)
			record.state = TASK_FAILED;
		memset(text, '#', sizeof(text));
		end = i % 4 == 1 ? format_failed_frame(text, &task) : format_task_json(text, &task);
		assert_true((size_t)(end - text) <= format_task_room(task.input_len, record.length));
		line = json_loadb((char *)text, (size_t)(end - text), JSON_ALLOW_NUL, NULL);
		assert_non_null(line);
		value = json_object_get(line, "input");
		if (value) {
			assert_int_equal(json_string_length(value), task.input_len);
			assert_memory_equal(json_string_value(value), input, task.input_len);
		} else {
			uint8_t decoded[64];
			size_t len;

			value = json_object_get(line, "input_b64");
			assert_non_null(value);
			assert_int_equal(base64_decode(json_string_value(value), json_string_length(value), decoded,
						       &len), 0);
			assert_int_equal(len, task.input_len);
			assert_memory_equal(decoded, input, len);
		}
		json_decref(line);
	}
}

static void base64_is_strict(void **state)
{
	static const char *const bad[] = { "a", "ab", "abc", "a===", "====", "ab=c", "ab\n=", "a b=", "YQ==YQ==" };
	uint8_t data[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), data, &len), -EBADMSG);
	assert_int_equal(base64_decode("", 0, data, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(base64_decode("+/8=", 4, data, &len), 0);
	assert_int_equal(len, 2);
	assert_memory_equal(data, "\xfb\xff", 2);
}

static void a_results_head_has_its_size(void **state)
{
	uint8_t text[FORMAT_RESULTS_HEAD_BYTES + 1];

	(void)state;
	memset(text, '#', sizeof(text));
	format_results_head(text, 245760, 4000000000u);
	assert_memory_equal(text, "{\"type\":\"results\",\"count\":245760,\"bytes\":4000000000}\n#",
			    FORMAT_RESULTS_HEAD_BYTES + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_those_of_printf),
		cmocka_unit_test(seconds_are_exact_and_short),
		cmocka_unit_test(the_end_of_a_line_is_kept_for_those_that_end_so),
		cmocka_unit_test(json_lines_are_read_back_the_same),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(a_results_head_has_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
