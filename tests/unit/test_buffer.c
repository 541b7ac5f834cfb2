/* base/buffer.c: growing, varints, packed inputs, and reading what others wrote. */
#include "unit.h"

#include "base/buffer.h"

static void test_appends_keep_every_byte_in_order(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint8_t byte = (uint8_t)i;

		assert_int_equal(buffer_add(&b, &byte, 1), 0);
	}
	assert_int_equal(b.len, 10000);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(b.data[i], (uint8_t)i);
}

static void test_an_impossible_size_is_refused_and_changes_nothing(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	(void)state;
	assert_int_equal(buffer_add(&b, "abc", 3), 0);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX), -ENOMEM);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX / 2), -ENOMEM);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "abc", 3);
}

static void test_a_freed_buffer_is_usable_again(void **state)
{
	struct buffer b = BUFFER_INIT;

	(void)state;
	buffer_fini(&b);
	assert_int_equal(buffer_add(&b, "x", 1), 0);
	buffer_fini(&b);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
	assert_int_equal(buffer_add(&b, NULL, 0), 0);
	buffer_fini(&b);
}

static void test_printf_appends_text_longer_than_the_room(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	(void)state;
	assert_int_equal(buffer_printf(&b, "%s-%0*d", "a", 500, 7), 0);
	assert_int_equal(buffer_printf(&b, "%s", "!"), 0);
	assert_int_equal(b.len, 503);
	assert_memory_equal(b.data, "a-0", 3);
	assert_memory_equal(b.data + 501, "7!", 2);
}

static void test_printf_is_whole_around_the_end_of_the_room(void **state)
{
	(void)state;
	for (int len = 60; len < 70; len++) {
		_cleanup_buffer_ struct buffer b = BUFFER_INIT;

		assert_int_equal(buffer_add(&b, "x", 1), 0); /* the least room there is */
		assert_int_equal(buffer_printf(&b, "%0*d", len, 7), 0);
		assert_int_equal(b.len, len + 1);
		assert_memory_equal(b.data, "x0", 2);
		assert_int_equal(b.data[len], '7');
	}
}

static void test_strings_are_appended_up_to_the_null(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	(void)state;
	assert_int_equal(buffer_add_strings(&b, NULL), 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(buffer_add_strings(&b, "one", "", " and two", NULL), 0);
	assert_int_equal(b.len, 11);
	assert_memory_equal(b.data, "one and two", 11);
}

static void test_every_varint_reads_back_as_it_was_written(void **state)
{
	static const uint64_t values[] = { 0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		uint8_t bytes[VARINT_MAX_BYTES];
		const uint8_t *end = varint_put(bytes, values[i]);
		uint64_t value = 42;

		assert_true(end - bytes <= VARINT_MAX_BYTES);
		assert_ptr_equal(varint_get(bytes, end, &value), end);
		assert_true(value == values[i]);
		for (const uint8_t *cut = bytes; cut < end; cut++)
			assert_null(varint_get(bytes, cut, &value));
	}
}

static void test_a_varint_over_64_bits_is_refused(void **state)
{
	static const uint8_t too_long[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01 };
	static const uint8_t too_big[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 };
	uint64_t value;

	(void)state;
	assert_null(varint_get(too_long, too_long + sizeof(too_long), &value));
	assert_null(varint_get(too_big, too_big + sizeof(too_big), &value));
}

static void test_packed_inputs_come_back_with_any_byte_in_them(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} inputs[] = { { "", 0 }, { "a", 1 }, { "a\0b\n", 4 }, { "\xff\xfe", 2 } };
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	const uint8_t *at, *data;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		assert_int_equal(buffer_add_varint(&b, inputs[i].len), 0);
		assert_int_equal(buffer_add(&b, inputs[i].data, inputs[i].len), 0);
	}
	at = b.data;
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		at = packed_next(at, b.data + b.len, &data, &len);
		assert_non_null(at);
		assert_int_equal(len, inputs[i].len);
		assert_memory_equal(data, inputs[i].data, len);
	}
	assert_ptr_equal(at, b.data + b.len);
}

static void test_a_packed_input_longer_than_its_run_is_refused(void **state)
{
	static const uint8_t cut[] = { 5, 'a', 'b' };
	static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'a' };
	const uint8_t *data;
	size_t len;

	(void)state;
	assert_null(packed_next(cut, cut + sizeof(cut), &data, &len));
	assert_null(packed_next(huge, huge + sizeof(huge), &data, &len));
	assert_null(packed_next(cut, cut, &data, &len));
}

static void test_a_message_reads_back_field_by_field(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;
	size_t len;

	(void)state;
	assert_int_equal(buffer_add_varint(&b, 300), 0);
	assert_int_equal(buffer_add_text(&b, "text"), 0);
	assert_int_equal(buffer_add_text(&b, NULL), 0);
	assert_int_equal(buffer_add_text(&b, "\x01\x02"), 0);
	{
		struct reader r = READER_INIT(b.data, b.len);
		_cleanup_free_ char *text = NULL, *empty = NULL;

		assert_int_equal(reader_varint(&r), 300);
		text = reader_text(&r);
		assert_string_equal(text, "text");
		empty = reader_text(&r);
		assert_string_equal(empty, "");
		assert_memory_equal(reader_bytes(&r, &len), "\x01\x02", 2);
		assert_int_equal(len, 2);
		assert_false(r.failed);
		assert_ptr_equal(r.at, r.end);
	}
}

static void test_a_failed_read_makes_every_later_read_fail(void **state)
{
	static const uint8_t message[] = { 9, 'a', 1, 'b' };
	struct reader r = READER_INIT(message, sizeof(message));
	size_t len = 7;

	(void)state;
	assert_null(reader_text(&r));
	assert_true(r.failed);
	assert_int_equal(reader_varint(&r), 0);
	(void)reader_bytes(&r, &len);
	assert_int_equal(len, 0);
	assert_true(r.failed);
}

static void test_a_text_with_a_nul_in_it_is_refused(void **state)
{
	static const uint8_t message[] = { 3, 'a', 0, 'b' };
	struct reader r = READER_INIT(message, sizeof(message));

	(void)state;
	assert_null(reader_text(&r));
	assert_true(r.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_appends_keep_every_byte_in_order),
		cmocka_unit_test(test_an_impossible_size_is_refused_and_changes_nothing),
		cmocka_unit_test(test_a_freed_buffer_is_usable_again),
		cmocka_unit_test(test_printf_appends_text_longer_than_the_room),
		cmocka_unit_test(test_printf_is_whole_around_the_end_of_the_room),
		cmocka_unit_test(test_strings_are_appended_up_to_the_null),
		cmocka_unit_test(test_every_varint_reads_back_as_it_was_written),
		cmocka_unit_test(test_a_varint_over_64_bits_is_refused),
		cmocka_unit_test(test_packed_inputs_come_back_with_any_byte_in_them),
		cmocka_unit_test(test_a_packed_input_longer_than_its_run_is_refused),
		cmocka_unit_test(test_a_message_reads_back_field_by_field),
		cmocka_unit_test(test_a_failed_read_makes_every_later_read_fail),
		cmocka_unit_test(test_a_text_with_a_nul_in_it_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
