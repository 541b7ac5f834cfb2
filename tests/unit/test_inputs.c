/* Rows of inputs and their window, over a store that is a table in this file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "jobs/inputs.h"
#include "store/store.h"

#define MAX_INPUT (1u << 20)

/* ---- A store: rows that were added, reads that wait until the test delivers them ---- */

static struct {
	struct input_row rows[4096];
	size_t n;
	struct store_read *waiting;
	int fail_with;
	int loaded;
} fake;

void store_read(struct store *store, struct store_read *read)
{
	(void)store; /* there is one */
	read->next = fake.waiting;
	fake.waiting = read;
}

void store_read_fini(struct store_read *read)
{
	buffer_fini(&read->input);
}

static void store_keep(const struct input_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct input_row *row = &fake.rows[fake.n++];

		assert_true(fake.n <= sizeof(fake.rows) / sizeof(fake.rows[0]));
		*row = rows[i];
		row->packed = malloc(row->bytes);
		assert_non_null(row->packed);
		memcpy(row->packed, rows[i].packed, row->bytes);
	}
}

static void deliver(void)
{
	while (fake.waiting) {
		struct store_read *read = fake.waiting;
		int status = -ENOENT;

		fake.waiting = read->next;
		for (size_t i = 0; i < fake.n; i++) {
			struct input_row *row = &fake.rows[i];

			if (read->task < row->first || read->task >= row->first + row->count)
				continue;
			status = fake.fail_with;
			if (status < 0)
				break;
			assert_int_equal(buffer_add(&read->input, row->packed, row->bytes), 0);
			read->input_first = row->first;
			read->input_count = row->count;
		}
		read->on_done(read, status);
	}
}

static void on_loaded(struct inputs *inputs)
{
	(void)inputs;
	fake.loaded++;
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < fake.n; i++)
		free(fake.rows[i].packed);
	return 0;
}

/* ---- Helpers ---- */

static void pack(struct buffer *b, const void *data, size_t len)
{
	assert_int_equal(buffer_add_varint(b, len), 0);
	assert_int_equal(buffer_add(b, data, len), 0);
}

static void pack_numbers(struct buffer *b, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++) {
		char text[24];
		int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)i);

		pack(b, text, (size_t)len);
	}
}

static void add_numbers(struct inputs *inputs, uint64_t n, bool durable)
{
	struct buffer packed = BUFFER_INIT;
	struct input_row *rows;
	size_t n_rows;

	pack_numbers(&packed, 0, n);
	assert_int_equal(inputs_cut(packed.data, packed.len, 0, MAX_INPUT, &rows, &n_rows), n);
	if (durable)
		store_keep(rows, n_rows);
	assert_int_equal(inputs_add(inputs, rows, n_rows), 0);
	assert_int_equal(inputs->total, n);
	buffer_fini(&packed);
}

/* Numbers 0..n-1 as inputs, kept by the fake store where durable. */
static void fill(struct inputs *inputs, uint64_t n, bool durable)
{
	inputs_init(inputs, durable ? (struct store *)(void *)&fake : NULL, 1, ".", on_loaded);
	add_numbers(inputs, n, durable);
}

/* The same of a job that is not on disk and counts its memory with that of others. */
static void fill_shared(struct inputs *inputs, uint64_t n, uint64_t *shared)
{
	inputs_init(inputs, NULL, 1, ".", on_loaded);
	inputs->shared_bytes = shared;
	add_numbers(inputs, n, false);
}

/* Check that task's input is its number; delivers reads where needed. */
static uint32_t check_peek(struct inputs *inputs, uint64_t task, uint32_t max_tasks)
{
	const uint8_t *packed, *end, *data;
	size_t bytes, len;
	uint32_t count;
	int r = inputs_peek(inputs, task, max_tasks, 3072, &packed, &bytes, &count);

	while (r == -EAGAIN) {
		deliver();
		r = inputs_peek(inputs, task, max_tasks, 3072, &packed, &bytes, &count);
	}
	assert_int_equal(r, 0);
	assert_true(count >= 1 && count <= max_tasks);
	end = packed + bytes;
	for (uint32_t i = 0; i < count; i++) {
		char text[24];

		packed = packed_next(packed, end, &data, &len);
		assert_non_null(packed);
		assert_int_equal(snprintf(text, sizeof(text), "%llu", (unsigned long long)(task + i)), len);
		assert_memory_equal(data, text, len);
	}
	assert_ptr_equal(packed, end);
	return count;
}

/* ---- Tests ---- */

static void every_task_has_its_own_input(void **state)
{
	struct inputs inputs;
	uint64_t n = 200000;

	(void)state;
	fill(&inputs, n, true);
	for (uint64_t task = 0; task < n;)
		task += check_peek(&inputs, task, 64);
	for (uint64_t task = 0; task < n; task += 4099)
		(void)check_peek(&inputs, n - 1 - task, 1);
	deliver();
	inputs_fini(&inputs);
}

static void a_durable_window_stays_within_its_size(void **state)
{
	struct inputs inputs;
	uint64_t n = 400000;

	(void)state;
	fill(&inputs, n, true);
	for (uint64_t task = 0; task < n; task += 1000) {
		(void)check_peek(&inputs, task, 64);
		assert_true(inputs.resident_bytes <= INPUTS_RESIDENT_BYTES);
	}
	deliver();
	inputs_fini(&inputs);
}

static void a_job_that_is_not_kept_spills_and_reads_back(void **state)
{
	struct inputs inputs;
	uint64_t n = 400000;

	(void)state;
	fill(&inputs, n, false);
	assert_true(inputs.spill.fd >= 0);
	for (uint64_t task = 0; task < n;)
		task += check_peek(&inputs, task, 64);
	(void)check_peek(&inputs, 3, 64);
	assert_true(inputs.resident_bytes <= INPUTS_RESIDENT_BYTES + INPUTS_ROW_BYTES);
	assert_null(fake.waiting);
	inputs_fini(&inputs);
}

static void a_job_not_on_disk_keeps_what_shared_memory_has_room_for(void **state)
{
	struct inputs inputs;
	uint64_t n = 400000, shared = 0, others = INPUTS_SHARED_BYTES - (1u << 20);
	uint32_t most = UINT32_MAX;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fill_shared(&inputs, n, &shared);
	assert_true(inputs.spill.fd < 0);
	assert_true(shared == inputs.resident_bytes && shared > INPUTS_RESIDENT_BYTES);
	assert_int_equal(inputs_spill(&inputs, 200000, &most), 0); /* two rows */
	assert_int_equal(UINT32_MAX - most, 2);
	assert_true(inputs.spill.fd >= 0 && shared == inputs.resident_bytes);
	most = 3;
	assert_int_equal(inputs_spill(&inputs, UINT64_MAX, &most), 0);
	assert_int_equal(most, 0);
	for (uint64_t task = 0; task < n;)
		task += check_peek(&inputs, task, 64);
	most = UINT32_MAX;
	assert_int_equal(inputs_spill(&inputs, UINT64_MAX, &most), 0);
	assert_true(inputs.resident_bytes == 0 && shared == 0);
	(void)check_peek(&inputs, 3, 64);
	inputs_fini(&inputs);
	assert_int_equal(shared, 0);

	fill_shared(&inputs, n, &others); /* others have nearly all of it */
	assert_true(inputs.spill.fd >= 0);
	assert_true(others <= INPUTS_SHARED_BYTES);
	for (uint64_t task = 0; task < n;)
		task += check_peek(&inputs, task, 64);
	inputs_fini(&inputs);
	assert_int_equal(others, INPUTS_SHARED_BYTES - (1u << 20));
}

static void fill_cached(struct inputs *inputs, uint64_t n, uint64_t *cached)
{
	inputs_init(inputs, (struct store *)(void *)&fake, 1, ".", on_loaded);
	inputs->cached_bytes = cached;
	add_numbers(inputs, n, true);
}

static void what_came_with_a_durable_job_is_not_read_back_while_there_is_room(void **state)
{
	struct inputs inputs;
	uint64_t n = 400000, cached = 0, all;

	(void)state;
	fill_cached(&inputs, n, &cached);
	assert_true(cached == inputs.resident_bytes && cached > 2 * INPUTS_RESIDENT_BYTES);
	all = cached;
	for (uint64_t task = 0; task < n;)
		task += check_peek(&inputs, task, 64);
	assert_int_equal(fake.loaded, 0);
	/* what was handed out does not stay */
	assert_true(all > INPUTS_RESIDENT_BYTES + INPUTS_ROW_BYTES && cached <= INPUTS_RESIDENT_BYTES + INPUTS_ROW_BYTES);
	(void)check_peek(&inputs, 3, 64); /* but can be had again */
	assert_true(fake.loaded > 0);
	deliver();
	inputs_put_out(&inputs);
	assert_int_equal(cached, 0);
	(void)check_peek(&inputs, 200000, 64);
	deliver();
	assert_true(cached == inputs.resident_bytes && cached > 0);
	inputs_fini(&inputs);
	assert_int_equal(cached, 0);
}

static void a_durable_job_has_its_window_where_others_have_all_the_room(void **state)
{
	struct inputs inputs;
	uint64_t others = INPUTS_CACHED_BYTES;

	(void)state;
	fill_cached(&inputs, 200000, &others);
	assert_true(inputs.resident_bytes <= INPUTS_RESIDENT_BYTES);
	for (uint64_t task = 0; task < 200000;) {
		task += check_peek(&inputs, task, 64);
		assert_true(inputs.resident_bytes <= INPUTS_RESIDENT_BYTES);
	}
	deliver();
	inputs_fini(&inputs);
	assert_int_equal(others, INPUTS_CACHED_BYTES);
}

static void any_byte_may_occur_and_large_inputs_have_a_row_of_their_own(void **state)
{
	static const char odd[] = "a\nb\0c\xff";
	struct buffer packed = BUFFER_INIT;
	char *large = malloc(MAX_INPUT + 1);
	struct inputs inputs;
	struct input_row *rows;
	const uint8_t *at, *data;
	size_t n_rows, bytes, len;
	uint32_t count;

	(void)state;
	assert_non_null(large);
	memset(large, 'x', MAX_INPUT + 1);
	inputs_init(&inputs, NULL, 1, ".", on_loaded);
	pack(&packed, odd, sizeof(odd));
	pack(&packed, "", 0);
	pack(&packed, large, MAX_INPUT);
	assert_int_equal(inputs_cut(packed.data, packed.len, 0, MAX_INPUT, &rows, &n_rows), 3);
	assert_int_equal(n_rows, 2);
	assert_int_equal(inputs_add(&inputs, rows, n_rows), 0);
	assert_int_equal(inputs_peek(&inputs, 0, 64, 3072, &at, &bytes, &count), 0);
	assert_int_equal(count, 2);
	assert_non_null(packed_next(at, at + bytes, &data, &len));
	assert_int_equal(len, sizeof(odd));
	assert_memory_equal(data, odd, len);
	assert_int_equal(inputs_peek(&inputs, 2, 64, 3072, &at, &bytes, &count), 0);
	assert_int_equal(count, 1);
	assert_true(bytes > MAX_INPUT);
	inputs_fini(&inputs);

	packed.len = 0;
	pack(&packed, large, MAX_INPUT + 1);
	assert_int_equal(inputs_cut(packed.data, packed.len, 0, MAX_INPUT, &rows, &n_rows), -EMSGSIZE);
	buffer_fini(&packed);
	free(large);
}

static void malformed_inputs_are_refused(void **state)
{
	static const uint8_t cut[] = { 3, 'a', 'b' };
	static const uint8_t endless[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct input_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(inputs_cut(cut, sizeof(cut), 0, MAX_INPUT, &rows, &n), -EBADMSG);
	assert_int_equal(inputs_cut(endless, sizeof(endless), 0, MAX_INPUT, &rows, &n), -EBADMSG);
	assert_int_equal(inputs_cut(cut, 0, 0, MAX_INPUT, &rows, &n), 0);
	assert_int_equal(n, 0);
	free(rows);
}

static void a_failed_read_is_told_and_tried_again(void **state)
{
	struct inputs inputs;
	const uint8_t *packed;
	size_t bytes;
	uint32_t count;
	uint64_t n = 300000;

	(void)state;
	fill(&inputs, n, true);
	fake.fail_with = -EIO;
	assert_int_equal(inputs_peek(&inputs, n - 1, 1, 3072, &packed, &bytes, &count), -EAGAIN);
	deliver();
	assert_int_equal(fake.loaded, 1);
	assert_int_equal(inputs_peek(&inputs, n - 1, 1, 3072, &packed, &bytes, &count), -EIO);
	fake.fail_with = 0;
	(void)check_peek(&inputs, n - 1, 1);
	assert_int_equal(inputs_peek(&inputs, n, 1, 3072, &packed, &bytes, &count), -ENOENT);
	deliver();
	inputs_fini(&inputs);
}

static void an_answer_after_the_job_is_gone_is_dropped(void **state)
{
	struct inputs inputs;
	const uint8_t *packed;
	size_t bytes;
	uint32_t count;

	(void)state;
	fill(&inputs, 300000, true);
	assert_int_equal(inputs_peek(&inputs, 299999, 1, 3072, &packed, &bytes, &count), -EAGAIN);
	inputs_fini(&inputs);
	deliver();
	assert_int_equal(fake.loaded, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_task_has_its_own_input, setup, teardown),
		cmocka_unit_test_setup_teardown(a_durable_window_stays_within_its_size, setup, teardown),
		cmocka_unit_test_setup_teardown(a_job_that_is_not_kept_spills_and_reads_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_job_not_on_disk_keeps_what_shared_memory_has_room_for, setup, teardown),
		cmocka_unit_test_setup_teardown(what_came_with_a_durable_job_is_not_read_back_while_there_is_room, setup, teardown),
		cmocka_unit_test_setup_teardown(a_durable_job_has_its_window_where_others_have_all_the_room, setup, teardown),
		cmocka_unit_test_setup_teardown(any_byte_may_occur_and_large_inputs_have_a_row_of_their_own, setup,
						teardown),
		cmocka_unit_test_setup_teardown(malformed_inputs_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failed_read_is_told_and_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_after_the_job_is_gone_is_dropped, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
