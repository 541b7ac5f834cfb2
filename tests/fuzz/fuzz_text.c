/* Numbers, durations, sizes and shapes as people write them. */
#include "fuzz.h"

#include <errno.h>
#include <math.h>

#include "base/error.h"
#include "base/text.h"
#include "crew/model.h"

static const char *name_at(const void *names, size_t i)
{
	return ((const char *const *)names)[i];
}

static void check_numbers(const char *text)
{
	uint64_t u = 1;
	int64_t i = 1;
	double d;
	char again[32];
	int r = text_parse_u64(text, &u);

	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
	if (r == 0 && *text != '0') {
		(void)snprintf(again, sizeof(again), "%llu", (unsigned long long)u); /* fits */
		FUZZ_CHECK(strcmp(again, text) == 0);
	}
	r = text_parse_i64(text, &i);
	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
	if (r == 0 && *text != '0' && strncmp(text, "-0", 2) != 0) {
		(void)snprintf(again, sizeof(again), "%lld", (long long)i); /* fits */
		FUZZ_CHECK(strcmp(again, text) == 0);
	}
	if (text_parse_double(text, &d) == 0)
		FUZZ_CHECK(isfinite(d));
}

static void check_units(const char *text)
{
	char shown[TEXT_DURATION_BYTES];
	uint64_t bytes;
	int64_t ns;

	if (text_parse_duration(text, &ns) == 0) {
		FUZZ_CHECK(ns >= 0);
		text_format_duration(ns, shown);
		FUZZ_CHECK(memchr(shown, 0, sizeof(shown)));
	}
	if (text_parse_size(text, &bytes) == 0) {
		text_format_size(bytes, shown);
		FUZZ_CHECK(memchr(shown, 0, sizeof(shown)));
	}
}

static void check_shape(const char *text)
{
	struct shape shape, second;
	struct error err = ERROR_INIT;
	char again[SHAPE_TEXT_BYTES];

	(void)model_find(text); /* one or none */
	if (shape_parse(text, &shape, &err) < 0) {
		FUZZ_CHECK(err.code && *err.text);
		return;
	}
	FUZZ_CHECK(shape.processes > 0 && shape.threads > 0 && shape.coroutines > 0);
	shape_format(&shape, again);
	FUZZ_CHECK(shape_parse(again, &second, NULL) == 0 && memcmp(&shape, &second, sizeof(shape)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "sync", "async", "thread", "pool", "process", "auto", "" };
	char *text = fuzz_text(data, size);
	bool truth;

	check_numbers(text);
	check_units(text);
	check_shape(text);
	(void)text_parse_bool(text, &truth); /* one or none */
	(void)text_nearest(text, names, sizeof(names) / sizeof(names[0]), name_at); /* one or none */
	FUZZ_CHECK(text_is_utf8(data, 0));
	(void)text_is_utf8(data, size); /* is or is not */
	free(text);
	return 0;
}
