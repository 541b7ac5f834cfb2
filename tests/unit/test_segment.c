/* Segments: filling, packing, unpacking what can be trusted and what cannot. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/segment.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct task_record done_record(void)
{
	return (struct task_record){ .state = TASK_DONE, .attempts = 1 };
}

static void put(struct segment *segment, uint32_t index, const struct task_record *record, const char *text)
{
	assert_int_equal(segment_put(segment, index, record, text, strlen(text)), 0);
}

/* What a pool leaves of no-op tasks: chunks of 64 from two runners, 40 ns a task, one number as result. */
static struct segment *noop_segment(void)
{
	struct segment *segment = segment_new(0, SEGMENT_TASKS);

	assert_non_null(segment);
	for (uint32_t i = 0; i < SEGMENT_TASKS; i++) {
		struct task_record record = { .state = TASK_DONE, .attempts = 1, .worker_pid = 4711 };
		char text[16];
		uint64_t ns = 40 + random_u64() % 8;

		record.worker_thread = (uint16_t)(i / 64 % 2);
		record.begin_unix_us = INT64_C(1767225600000000) + i * 40 / 1000;
		record.wall_s = record.cpu_s = (float)ns * 1e-9f;
		record.queue_s = 0.003f + (float)i * 40e-9f;
		(void)snprintf(text, sizeof(text), "%u", 1000000 + i);
		put(segment, i, &record, text);
	}
	return segment;
}

static struct task_record random_record(void)
{
	struct task_record record = {
		.begin_unix_us = (int64_t)(random_u64() >> random_u64() % 64),
		.wall_s = (float)(random_u64() % 2000000000) * 1e-9f,
		.cpu_s = (float)(random_u64() % 1000) * 1e-3f,
		.runq_s = random_u64() % 3 ? 0 : 0.25f,
		.queue_s = (float)(random_u64() % 100000) * 0.5f,
		.worker_pid = (uint32_t)(random_u64() >> random_u64() % 64),
		.worker_thread = (uint16_t)random_u64(),
		.attempts = (uint16_t)(random_u64() % 4),
		.state = (uint8_t)(TASK_DONE + random_u64() % 3),
	};

	if (record.state != TASK_DONE) {
		record.error = (uint8_t)(1 + random_u64() % (TASK_ERROR_COUNT - 1));
		record.signal = (uint8_t)(random_u64() % 65);
	}
	return record;
}

static struct segment *random_segment(uint32_t count)
{
	struct segment *segment = segment_new(SEGMENT_TASKS * 7, count);
	uint8_t bytes[300];

	assert_non_null(segment);
	for (uint32_t i = 0; i < count; i++) {
		struct task_record record = random_record();
		/* 5 has no factor in common with a power of two: every index once, in disorder */
		uint32_t index = count & (count - 1) ? i : i * 5 % count;
		size_t len = random_u64() % sizeof(bytes);

		for (size_t k = 0; k < len; k++)
			bytes[k] = (uint8_t)random_u64();
		assert_int_equal(segment_put(segment, index, &record, bytes, len), 0);
	}
	return segment;
}

static void assert_seconds(float got, float wanted)
{
	if (wanted >= 0.016f)
		assert_true(fabsf(got - wanted) <= 0);
	else
		assert_true(fabsf(got - wanted) < 1.0e-9f);
}

static void assert_same_record(const struct task_record *got, const struct task_record *wanted)
{
	assert_int_equal(got->length, wanted->length);
	assert_true(got->begin_unix_us == wanted->begin_unix_us);
	assert_seconds(got->wall_s, wanted->wall_s);
	assert_seconds(got->cpu_s, wanted->cpu_s);
	assert_seconds(got->runq_s, wanted->runq_s);
	assert_seconds(got->queue_s, wanted->queue_s);
	assert_int_equal(got->worker_pid, wanted->worker_pid);
	assert_int_equal(got->worker_thread, wanted->worker_thread);
	assert_int_equal(got->attempts, wanted->attempts);
	assert_int_equal(got->state, wanted->state);
	assert_int_equal(got->error, wanted->error);
	assert_int_equal(got->signal, wanted->signal);
	assert_true(got->recorded);
}

static void assert_survives_packing(const struct segment *segment)
{
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
	struct segment *got = NULL;

	assert_int_equal(segment_encode(segment, &blob), 0);
	assert_int_equal(segment_decode(segment->first, blob.data, blob.len, &got), 0);
	assert_true(got->first == segment->first);
	assert_int_equal(got->count, segment->count);
	assert_int_equal(got->ended, segment->count);
	assert_int_equal(got->n_recorded, segment->count);
	assert_int_equal(got->special, segment->special);
	for (uint32_t i = 0; i < segment->count; i++) {
		const struct task_record *a = &got->records[i], *b = &segment->records[i];

		assert_same_record(a, b);
		if (b->length > 0)
			assert_memory_equal(got->bytes.data + a->offset, segment->bytes.data + b->offset, b->length);
	}
	segment_unref(got);
}

static void packing_keeps_every_field_of_every_task(void **state)
{
	(void)state;
	for (uint32_t count = 1; count <= SEGMENT_TASKS; count *= 2) {
		struct segment *segment = random_segment(count);

		assert_survives_packing(segment);
		segment_unref(segment);
	}
}

static void packing_keeps_segments_of_odd_size_and_without_bytes(void **state)
{
	struct segment *segment = segment_new(0, 3);
	struct task_record record = done_record();

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		put(segment, i, &record, "");
	assert_survives_packing(segment);
	segment_unref(segment);
	segment = random_segment(4095);
	assert_survives_packing(segment);
	segment_unref(segment);
}

static void noop_tasks_take_few_bytes(void **state)
{
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
	struct segment *segment = noop_segment();

	(void)state;
	assert_survives_packing(segment);
	assert_int_equal(segment_encode(segment, &blob), 0);
	assert_true(blob.len <= SEGMENT_TASKS * 12); /* 7 of them are the result */
	segment_unref(segment);
}

static void times_that_are_no_times_pack_as_limits(void **state)
{
	const float odd[] = { NAN, INFINITY, -INFINITY, -1.0f, 3e38f };
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
	struct segment *segment = segment_new(0, ARRAY_SIZE(odd)), *got = NULL;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(odd); i++) {
		struct task_record record = done_record();

		record.wall_s = record.cpu_s = record.queue_s = record.runq_s = odd[i];
		put(segment, i, &record, "x");
	}
	assert_int_equal(segment_encode(segment, &blob), 0);
	assert_int_equal(segment_decode(0, blob.data, blob.len, &got), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(odd); i++) {
		bool huge = i == 1 || i == 4;

		assert_true(huge ? got->records[i].wall_s > 1e9f : fabsf(got->records[i].wall_s) <= 0);
		assert_true(huge ? got->records[i].queue_s > 1e9f : fabsf(got->records[i].queue_s) <= 0);
	}
	segment_unref(got);
	segment_unref(segment);
}

static void a_second_outcome_is_refused(void **state)
{
	struct segment *segment = segment_new(0, 2);
	struct task_record record = done_record();

	(void)state;
	put(segment, 1, &record, "first");
	assert_int_equal(segment_put(segment, 1, &record, "second", 6), -EALREADY);
	assert_int_equal(segment->ended, 1);
	assert_int_equal(segment->bytes.len, 5);
	assert_false(segment_full(segment));
	put(segment, 0, &record, "");
	assert_true(segment_full(segment));
	segment_unref(segment);
}

/* Each text as a worker's ring has it: with bytes behind it up to the next multiple of 8. */
static int put_run(struct segment *segment, uint32_t index, uint32_t n, const char texts[][40], bool recorded)
{
	struct task_record record = done_record();
	struct segment_fill fill;
	size_t bytes = 0;
	int r;

	for (uint32_t i = 0; i < n; i++)
		bytes += strlen(texts[i]);
	r = segment_fill_begin(segment, index, n, bytes, &fill);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		record.length = (uint32_t)strlen(texts[i]);
		record.recorded = recorded;
		segment_fill(&fill, &record, (const uint8_t *)texts[i]);
	}
	segment_fill_end(&fill);
	return 0;
}

static void a_run_is_put_whole_or_not_at_all(void **state)
{
	static const char texts[][40] = { "one", "", "a result of more than sixteen bytes", "eleven....!", "eight888",
					  "tab\there" };
	struct segment *segment = segment_new(0, 8);
	struct task_record record = done_record();

	(void)state;
	put(segment, 7, &record, "last");
	assert_int_equal(put_run(segment, 2, 6, texts, false), -EALREADY);
	assert_int_equal(segment->ended, 1);
	assert_int_equal(segment->bytes.len, 4);
	assert_int_equal(segment->records[2].state, TASK_QUEUED);
	assert_int_equal(put_run(segment, 0, 5, texts, true), 0);
	assert_false(segment->special);
	assert_int_equal(segment->n_recorded, 5);
	assert_int_equal(put_run(segment, 5, 1, texts + 5, false), 0);
	assert_true(segment->special);
	assert_int_equal(segment->ended, 7);
	assert_int_equal(segment->n_recorded, 5);
	for (uint32_t i = 0; i < 6; i++) {
		const struct task_record *r = &segment->records[i];

		assert_int_equal(r->length, strlen(texts[i]));
		assert_memory_equal(segment->bytes.data + r->offset, texts[i], r->length);
	}
	put(segment, 6, &record, "");
	assert_true(segment_full(segment));
	segment_unref(segment);
}

/* Long results at its beginning do not make a segment ask for more than there may be. */
static void runs_of_any_length_fill_a_segment(void **state)
{
	static const uint8_t bytes[2048];
	struct segment *segment = segment_new(0, SEGMENT_TASKS);
	struct task_record record = done_record();
	struct segment_fill fill;
	size_t all = 0;

	(void)state;
	for (uint32_t i = 0; i < SEGMENT_TASKS; i += 64) {
		record.length = i == 64 ? sizeof(bytes) : i % 19;
		assert_int_equal(segment_fill_begin(segment, i, 64, (size_t)64 * record.length, &fill), 0);
		for (uint32_t k = 0; k < 64; k++)
			segment_fill(&fill, &record, bytes);
		segment_fill_end(&fill);
		all += (size_t)64 * record.length;
		assert_int_equal(segment->bytes.len, all);
		assert_true(segment->bytes.cap >= all + SEGMENT_SPARE_BYTES);
	}
	assert_true(segment_full(segment) && segment->bytes.cap <= 2 << 20);
	segment_unref(segment);
}

static void recorded_outcomes_are_counted(void **state)
{
	struct segment *segment = segment_new(0, 2);
	struct task_record record = done_record();

	(void)state;
	record.recorded = true;
	put(segment, 0, &record, "");
	record.recorded = false;
	put(segment, 1, &record, "");
	assert_int_equal(segment->n_recorded, 1);
	segment_unref(segment_ref(segment));
	segment_unref(segment);
	segment_unref(NULL);
}

static bool special_after(const char *data, size_t len, enum task_state task_state)
{
	struct segment *segment = segment_new(0, 1);
	struct task_record record = { .state = (uint8_t)task_state };
	bool special;

	assert_int_equal(segment_put(segment, 0, &record, data, len), 0);
	special = segment->special;
	segment_unref(segment);
	return special;
}

static void special_bytes_are_seen_wherever_they_stand(void **state)
{
	char data[40];

	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		bool wanted = byte == 0 || byte == '\t' || byte == '\n' || byte == '\r' || byte == '\\';

		for (size_t len = 1; len < sizeof(data); len += 3) {
			for (size_t at = 0; at < len; at++) {
				memset(data, 'a' + (int)at % 3, sizeof(data));
				data[at] = (char)byte;
				if (special_after(data, len, TASK_DONE) != wanted)
					fail_msg("byte %d at %zu of %zu", byte, at, len);
			}
		}
	}
	assert_false(special_after("", 0, TASK_DONE));
	assert_false(special_after("line\nof an error", 16, TASK_FAILED));
}

static void one_outcome_survives_packing(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
		struct task_record record = random_record(), got;
		const uint8_t *data;

		record.length = 5;
		record.recorded = true;
		assert_int_equal(task_record_encode(&record, "12345", &blob), 0);
		assert_int_equal(task_record_decode(blob.data, blob.len, &got, &data), 0);
		assert_same_record(&got, &record);
		assert_memory_equal(data, "12345", 5);
		for (size_t len = 0; len < blob.len; len++)
			assert_int_equal(task_record_decode(blob.data, len, &got, &data), -EBADMSG);
	}
}

static void cut_and_lengthened_segments_are_refused(void **state)
{
	_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
	struct segment *segment = random_segment(16), *got = NULL;

	(void)state;
	assert_int_equal(segment_encode(segment, &blob), 0);
	for (size_t len = 0; len < blob.len; len++) {
		_cleanup_free_ uint8_t *copy = malloc(len > 0 ? len : 1); /* ASan sees one byte too far */

		assert_non_null(copy);
		memcpy(copy, blob.data, len);
		assert_int_equal(segment_decode(0, copy, len, &got), -EBADMSG);
	}
	assert_int_equal(buffer_add(&blob, "", 1), 0);
	assert_int_equal(segment_decode(0, blob.data, blob.len, &got), -EBADMSG);
	assert_int_equal(segment_decode(1, blob.data, blob.len - 1, &got), -EBADMSG); /* no segment begins there */
	assert_null(got);
	segment_unref(segment);
}

/* Whatever is accepted must be sound: bytes within bounds, states and numbers that exist. */
static void assert_sound(const struct segment *segment)
{
	uint64_t sum = 0;

	assert_true(segment->count > 0 && segment->count <= SEGMENT_TASKS);
	for (uint32_t i = 0; i < segment->count; i++) {
		const struct task_record *record = &segment->records[i];

		assert_true(record->state >= TASK_DONE && record->state <= TASK_CANCELLED);
		assert_true(record->error < TASK_ERROR_COUNT);
		assert_true((uint64_t)record->offset + record->length <= segment->bytes.len);
		assert_true(record->wall_s >= 0 && record->queue_s >= 0);
		sum += record->length;
	}
	assert_true(sum == segment->bytes.len);
}

static void random_damage_is_refused_or_harmless(void **state)
{
	static const uint32_t counts[] = { 1, 2, 64, 300 };
	uint32_t n_accepted = 0;

	(void)state;
	for (uint32_t round = 0; round < 20000; round++) {
		_cleanup_buffer_ struct buffer blob = BUFFER_INIT;
		struct segment *segment = random_segment(counts[round % 256 == 0 ? 3 : round % 3]), *got = NULL;
		unsigned int n_changes = 1 + random_u64() % 4;

		assert_int_equal(segment_encode(segment, &blob), 0);
		while (n_changes-- > 0) {
			/* half of them where headers and records are */
			size_t span = random_u64() % 2 && blob.len > 40 ? 40 : blob.len;

			blob.data[random_u64() % span] = (uint8_t)(random_u64() % 3 ? random_u64() : 0xff);
		}
		if (random_u64() % 8 == 0)
			blob.len = random_u64() % blob.len;
		if (segment_decode(0, blob.data, blob.len, &got) == 0) {
			assert_sound(got);
			n_accepted++;
			segment_unref(got);
		}
		segment_unref(segment);
	}
	assert_true(n_accepted < 20000);
}

static void random_bytes_are_refused_or_harmless(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 100000; round++) {
		uint8_t bytes[64];
		size_t len = random_u64() % sizeof(bytes);
		struct segment *got = NULL;
		struct task_record record;
		const uint8_t *data;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)random_u64();
		bytes[0] = 1;
		bytes[1] &= 1;
		if (segment_decode(0, bytes, len, &got) == 0) {
			assert_sound(got);
			segment_unref(got);
		}
		if (task_record_decode(bytes, len, &record, &data) == 0)
			assert_true(data + record.length == bytes + len);
	}
}

static void a_run_is_unpacked_task_by_task(void **state)
{
	struct segment *segment = random_segment(500);

	(void)state;
	for (uint32_t from = 0; from < 500; from += 61) {
		const uint32_t n = 1 + (uint32_t)(random_u64() % (500 - from));
		struct segment_unpack unpack;
		struct task_record record;
		const uint8_t *data;
		uint8_t *blob, *end;
		size_t bytes = 0;

		for (uint32_t i = from; i < from + n; i++)
			bytes += segment->records[i].length;
		blob = malloc(SEGMENT_HEAD_BYTES + (size_t)n * SEGMENT_RECORD_BYTES + bytes);
		end = segment_encode_run(segment, from, n, bytes, blob);
		assert_int_equal(segment_unpack_begin(blob, (size_t)(end - blob), &unpack), 0);
		assert_int_equal(unpack.left, n);
		for (uint32_t i = from; i < from + n; i++) {
			assert_int_equal(segment_unpack_next(&unpack, &record, &data), 1);
			assert_same_record(&record, &segment->records[i]);
			assert_memory_equal(data, segment->bytes.data + segment->records[i].offset, record.length);
		}
		assert_int_equal(segment_unpack_next(&unpack, &record, &data), 0);
		assert_int_equal(segment_unpack_next(&unpack, &record, &data), 0);
		free(blob);
	}
	segment_unref(segment);
}

static void names_are_those_of_the_protocol(void **state)
{
	(void)state;
	assert_string_equal(task_state_name(TASK_CANCELLED), "cancelled");
	assert_string_equal(task_error_name(TASK_ERROR_NONE), "");
	for (int i = 1; i < TASK_ERROR_COUNT; i++)
		assert_true(strlen(task_error_name((enum task_error)i)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packing_keeps_every_field_of_every_task),
		cmocka_unit_test(packing_keeps_segments_of_odd_size_and_without_bytes),
		cmocka_unit_test(noop_tasks_take_few_bytes),
		cmocka_unit_test(times_that_are_no_times_pack_as_limits),
		cmocka_unit_test(a_second_outcome_is_refused),
		cmocka_unit_test(a_run_is_put_whole_or_not_at_all),
		cmocka_unit_test(runs_of_any_length_fill_a_segment),
		cmocka_unit_test(recorded_outcomes_are_counted),
		cmocka_unit_test(special_bytes_are_seen_wherever_they_stand),
		cmocka_unit_test(one_outcome_survives_packing),
		cmocka_unit_test(cut_and_lengthened_segments_are_refused),
		cmocka_unit_test(random_damage_is_refused_or_harmless),
		cmocka_unit_test(random_bytes_are_refused_or_harmless),
		cmocka_unit_test(a_run_is_unpacked_task_by_task),
		cmocka_unit_test(names_are_those_of_the_protocol),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
