/* What the loader refuses, and what it says. */
#include "unit.h"

#include <jansson.h>

#include "base/error.h"
#include "worker/loader.h"

static int run(struct concd_task *task)
{
	(void)task;
	return 0;
}

static const struct concd_plugin good = {
	CONCD_PLUGIN_HEADER, .name = "good-1", .version = "1", .summary = "does \"good\"", .kind = CONCD_KIND_IO,
	.flags = CONCD_IDEMPOTENT, .run = run,
};

static void expect_refused(const struct concd_plugin *plugin, const char *words)
{
	struct error err = ERROR_INIT;
	struct concd_plugin copy;

	assert_int_equal(loader_check(plugin, &copy, &err), -ENOEXEC);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void impossible_headers_are_refused(void **state)
{
	struct concd_plugin plugin = good;

	(void)state;
	expect_refused(NULL, "nowhere");
	plugin.abi = 9;
	expect_refused(&plugin, "ABI 9");
	plugin.abi = CONCD_ABI;
	plugin.size = 8;
	expect_refused(&plugin, "8 bytes");
	plugin.size = 1u << 20;
	expect_refused(&plugin, "1048576 bytes");
}

static void invalid_fields_are_named(void **state)
{
	static const struct {
		const char *name, *version, *summary, *words;
		uint32_t kind, flags, needs, n_params;
	} cases[] = {
		{ NULL, "1", "s", "name", 0, 0, 0, 0 },
		{ "Upper", "1", "s", "name", 0, 0, 0, 0 },
		{ "", "1", "s", "name", 0, 0, 0, 0 },
		{ "a-name-that-is-longer-than-it-may-be", "1", "s", "name", 0, 0, 0, 0 },
		{ "n", NULL, "s", "version", 0, 0, 0, 0 },
		{ "n", "1", "two\nlines", "summary", 0, 0, 0, 0 },
		{ "n", "1", "\xff", "UTF-8", 0, 0, 0, 0 },
		{ "n", "1", "s", "kind 7", 7, 0, 0, 0 },
		{ "n", "1", "s", "flags 0x80", 0, 0x80, 0, 0 },
		{ "n", "1", "s", "needs 0x100", 0, 0, 0x100, 0 },
		{ "n", "1", "s", "table of 3", 0, 0, 0, 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct concd_plugin plugin = good;

		plugin.name = cases[i].name;
		plugin.version = cases[i].version;
		plugin.summary = cases[i].summary;
		plugin.kind = cases[i].kind;
		plugin.flags = cases[i].flags;
		plugin.needs = cases[i].needs;
		plugin.n_params = cases[i].n_params;
		expect_refused(&plugin, cases[i].words);
	}
}

static void functions_that_must_be_there_are_missed(void **state)
{
	struct concd_plugin plugin = good;

	(void)state;
	plugin.run = NULL;
	expect_refused(&plugin, "no function run");
	plugin = good;
	plugin.split = run;
	expect_refused(&plugin, "no combine");
}

static void wrong_parameters_are_named(void **state)
{
	static const struct {
		struct concd_param params[2];
		uint32_t n;
		const char *words;
	} cases[] = {
		{ { { .name = "Bad" } }, 1, "parameter 0" },
		{ { { .name = "a" }, { .name = "a" } }, 2, "'a' is declared twice" },
		{ { { .name = "a", .type = 77 } }, 1, "type 77" },
		{ { { .name = "a", .flags = 4 } }, 1, "flags 0x4" },
		{ { { .name = "a", .type = CONCD_PARAM_INT, .value = "x" } }, 1, "default 'x'" },
		{ { { .name = "a", .type = CONCD_PARAM_DURATION, .value = "5" } }, 1, "default '5'" },
		{ { { .name = "a", .type = CONCD_PARAM_INT, .value = "5", .min = "6" } }, 1, "out of its range" },
		{ { { .name = "a", .type = CONCD_PARAM_SIZE, .value = "2M", .max = "1M" } }, 1, "out of its range" },
		{ { { .name = "a", .type = CONCD_PARAM_INT, .min = "y" } }, 1, "minimum 'y'" },
		{ { { .name = "a", .type = CONCD_PARAM_TEXT, .max = "3" } }, 1, "range" },
		{ { { .name = "a", .value = "c", .choices = "aa|b" } }, 1, "none of the choices" },
		{ { { .name = "a", .type = CONCD_PARAM_INT, .choices = "1|2" } }, 1, "choices are for text" },
		{ { { .name = "a", .help = "two\nlines" } }, 1, "one line" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct concd_plugin plugin = good;

		plugin.params = cases[i].params;
		plugin.n_params = cases[i].n;
		expect_refused(&plugin, cases[i].words);
	}
}

static void an_older_plugin_has_null_for_what_it_lacks_and_a_newer_one_is_cut(void **state)
{
	struct {
		struct concd_plugin plugin;
		void *more[4];
	} newer = { .plugin = good };
	struct concd_plugin older = good, copy;

	(void)state;
	older.size = offsetof(struct concd_plugin, split);
	older.split = older.combine = run;
	assert_int_equal(loader_check(&older, &copy, NULL), 0);
	assert_true(copy.run == run);
	assert_null(copy.split);
	assert_null(copy.combine);
	newer.plugin.size = sizeof(newer);
	assert_int_equal(loader_check(&newer.plugin, &copy, NULL), 0);
	assert_string_equal(copy.name, "good-1");
}

static void the_description_is_one_json_object(void **state)
{
	static const struct concd_param params[] = {
		{ .name = "mode", .value = "b", .choices = "aa|b", .help = "how" },
		{ .name = "key", .flags = CONCD_PARAM_SECRET },
	};
	struct concd_plugin plugin = good;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	json_t *json, *second;

	(void)state;
	plugin.params = params;
	plugin.n_params = 2;
	assert_int_equal(loader_check(&plugin, &plugin, NULL), 0);
	assert_int_equal(loader_describe(&plugin, out), 0);
	fclose(out);
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "summary")), "does \"good\"");
	assert_int_equal(json_integer_value(json_object_get(json, "kind")), CONCD_KIND_IO);
	assert_true(json_is_false(json_object_get(json, "has_split")));
	second = json_array_get(json_object_get(json, "params"), 1);
	assert_string_equal(json_string_value(json_object_get(second, "help")), "");
	json_decref(json);
	free(text);
}

static void files_that_are_no_plugins_are_refused(void **state)
{
	static const struct {
		const char *path;
		int r;
		const char *words;
	} cases[] = {
		{ "/nonexistent.so", -ENOENT, "No such file" },
		{ "/", -ENOEXEC, "not a file" },
		{ "/etc/passwd", -ENOEXEC, "cannot be loaded" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct loaded_plugin loaded;
		struct error err = ERROR_INIT;

		assert_int_equal(loader_open(cases[i].path, &loaded, &err), cases[i].r);
		assert_non_null(strstr(err.text, cases[i].words));
		assert_non_null(strstr(err.text, cases[i].path));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(impossible_headers_are_refused),
		cmocka_unit_test(invalid_fields_are_named),
		cmocka_unit_test(functions_that_must_be_there_are_missed),
		cmocka_unit_test(wrong_parameters_are_named),
		cmocka_unit_test(an_older_plugin_has_null_for_what_it_lacks_and_a_newer_one_is_cut),
		cmocka_unit_test(the_description_is_one_json_object),
		cmocka_unit_test(files_that_are_no_plugins_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
