/* sleeper: waits for the time given as input and returns it: the stand-in for work that only waits. */
#include <concd/plugin.h>

#include <stdbool.h>
#include <string.h>

#define SHOWN_MAX 40 /* of a refused input */

static const struct unit {
	const char *name;
	int64_t ns;
} units[] = {
	{"", INT64_C(1000000000)}, /* a plain number is in seconds */
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", INT64_C(1000000000)},
	{"m", INT64_C(60000000000)},
	{"h", INT64_C(3600000000000)},
	{"d", INT64_C(86400000000000)},
};

/* "1s", "500ms", "0.05": digits, perhaps a point and digits, perhaps a unit, nothing else. False: not a duration, or
 * longer than int64 nanoseconds can say. */
static bool parse_duration(const char *text, size_t len, int64_t *ret_ns)
{
	const char *end = text + len, *p = text;
	int64_t whole = 0, ns;
	double fraction = 0, scale = 1;

	for (; p < end && *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *p - '0', &whole))
			return false;
	if (p == text)
		return false;
	if (p < end && *p == '.') {
		const char *point = p++;

		for (; p < end && *p >= '0' && *p <= '9'; p++)
			fraction += (double)(*p - '0') * (scale /= 10);
		if (p == point + 1)
			return false;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strlen(units[i].name) != (size_t)(end - p) || memcmp(units[i].name, p, (size_t)(end - p)) != 0)
			continue;
		if (__builtin_mul_overflow(whole, units[i].ns, &ns) ||
		    __builtin_add_overflow(ns, (int64_t)(fraction * (double)units[i].ns + 0.5), &ns))
			return false;
		*ret_ns = ns;
		return true;
	}
	return false;
}

static int run(struct concd_task *task)
{
	char shown[SHOWN_MAX + 1];
	int64_t duration_ns;
	const char *input;
	size_t len, i;
	int r;

	input = concd_input(task, &len);
	if (!parse_duration(input, len, &duration_ns)) {
		for (i = 0; i < len && i < SHOWN_MAX; i++)
			shown[i] = input[i] >= ' ' && input[i] <= '~' ? input[i] : '?';
		shown[i] = '\0';
		return concd_fail(task, CONCD_FAIL_INPUT,
				  "'%s%s' is not a duration: expected for example 1s, 500ms, 2m or 0.05 (seconds)",
				  shown, len > SHOWN_MAX ? "..." : "");
	}
	r = concd_sleep(task, duration_ns);
	if (r < 0)
		return r;
	return concd_result(task, input, len);
}

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "sleeper",
	.version = "1.0",
	.summary = "waits for the time given as input: 1s, 500ms, 0.05",
	.kind = CONCD_KIND_IO,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.run = run,
};
CONCD_PLUGIN(plugin)
