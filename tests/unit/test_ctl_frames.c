/* ctl/frames.c: the same frames, however the stream is cut. */
#include "unit.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "ctl/frames.h"

static int on_results(void *ctx, uint64_t count, uint64_t bytes)
{
	return buffer_printf(ctx, "[%d/%d:", (int)count, (int)bytes);
}

static int on_bytes(void *ctx, const uint8_t *data, size_t len)
{
	return buffer_add(ctx, data, len);
}

static int on_results_end(void *ctx)
{
	return buffer_add(ctx, "]", 1);
}

static int on_frame(void *ctx, const char *type, const json_t *json)
{
	(void)json;
	return buffer_printf(ctx, "<%s>", type);
}

static const struct frames_ops ops = {
	.on_results = on_results,
	.on_bytes = on_bytes,
	.on_results_end = on_results_end,
	.on_frame = on_frame,
};

static const char stream[] = "{\"type\":\"job\"}\n{\"type\":\"results\",\"count\":2,\"bytes\":8}\na\n{\"b}\n\n"
			     "{\"type\":\"failed\",\"error\":{\"code\":\"x\"}}\n{\"type\":\"results\",\"count\":0,\"bytes\":0}\n"
			     "{\"type\":\"of tomorrow\"}\n{\"type\":\"end\"}\n";
static const char seen[] = "<job>[2/8:a\n{\"b}\n\n]<failed>[0/0:]<of tomorrow><end>";

static void test_frames_are_the_same_however_the_stream_is_cut(void **state)
{
	size_t len = sizeof(stream) - 1;

	(void)state;
	for (size_t step = 1; step <= len; step++) {
		_cleanup_buffer_ struct buffer got = BUFFER_INIT;
		struct error err = ERROR_INIT;
		struct frames frames;

		frames_init(&frames, &ops, &got);
		for (size_t at = 0; at < len; at += step)
			assert_int_equal(frames_feed(&frames, (const uint8_t *)stream + at, len - at < step ? len - at : step,
						     &err), 0);
		frames_fini(&frames);
		assert_int_equal(got.len, sizeof(seen) - 1);
		assert_memory_equal(got.data, seen, got.len);
	}
}

static void expect_refused(const char *text, int result)
{
	_cleanup_buffer_ struct buffer got = BUFFER_INIT;
	struct error err = ERROR_INIT;
	struct frames frames;

	frames_init(&frames, &ops, &got);
	assert_int_equal(frames_feed(&frames, (const uint8_t *)text, strlen(text), &err), result);
	assert_non_null(err.code);
	frames_fini(&frames);
}

static void test_what_is_no_frame_is_refused(void **state)
{
	(void)state;
	expect_refused("\n", -EPROTO);
	expect_refused("plain text\n", -EPROTO);
	expect_refused("{\"type\":\"results\"}\n", -EPROTO);
	expect_refused("{\"type\":\"results\",\"bytes\":-1}\n", -EPROTO);
	expect_refused("{\"type\":\"results\",\"bytes\":\"7\"}\n", -EPROTO);
	expect_refused("{\"type\":\"error\",\"error\":{\"code\":\"internal\",\"message\":\"m\"}}\n", -EREMOTEIO);
	expect_refused("{\"error\":{\"code\":\"internal\",\"message\":\"m\"}}\n", -EREMOTEIO);
}

static void test_a_line_without_end_is_refused_before_it_takes_all_memory(void **state)
{
	_cleanup_free_ uint8_t *text = malloc(1 << 20);
	_cleanup_buffer_ struct buffer got = BUFFER_INIT;
	struct error err = ERROR_INIT;
	struct frames frames;
	int r = 0, n = 0;

	(void)state;
	memset(text, 'x', 1 << 20);
	frames_init(&frames, &ops, &got);
	for (; r == 0 && n < 1000; n++)
		r = frames_feed(&frames, text, 1 << 20, &err);
	assert_int_equal(r, -EPROTO);
	assert_true(n <= (int)(FRAMES_MAX_LINE_BYTES >> 20) + 1);
	frames_fini(&frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_are_the_same_however_the_stream_is_cut),
		cmocka_unit_test(test_what_is_no_frame_is_refused),
		cmocka_unit_test(test_a_line_without_end_is_refused_before_it_takes_all_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
