/* Workloads: plugins described, joined with stanzas; parameters. A shell script stands in for concd-worker, the
 * store's two calls are replaced here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <concd/plugin.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "config.h"
#include "crew/describe.h"
#include "crew/workload.h"
#include "store/store.h"

/* ---- The store: one cached row ---- */

static char cached_key[1024], cached_text[4096];
static unsigned int puts_seen;

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	assert_int_equal(op->type, STORE_PLUGIN_PUT);
	puts_seen++;
	(void)snprintf(cached_key, sizeof(cached_key), "%s", op->u.plugin.key);
	(void)snprintf(cached_text, sizeof(cached_text), "%s", op->u.plugin.description);
	op->on_done(op, 0);
}

int store_plugin_find(struct store *store, const char *key, struct buffer *ret_description)
{
	(void)store;
	if (strcmp(key, cached_key) != 0)
		return -ENOENT;
	return buffer_printf(ret_description, "%s", cached_text);
}

/* ---- A directory with a worker and plugins ---- */

struct fixture {
	char dir[64];
	char worker[96];
	struct config config;
};

static void put_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* A plugin file's content is the shell code that describes it. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/concd-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->worker, sizeof(f->worker), "%s/worker", f->dir);
	put_file(f->worker, "#!/bin/sh\n[ \"$1\" = --describe ] || exit 9\n. \"$2\"\n", 0755);
	f->config = (struct config){
		.plugin_dir = f->dir,
		.worker_path = f->worker,
		.defaults = { .model = (char *)"auto", .thread_safe = true, .idempotent = true, .deterministic = true },
	};
	cached_key[0] = '\0';
	puts_seen = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

#define PARAMS \
	"[{\"name\":\"n\",\"type\":1,\"flags\":0,\"value\":\"3\",\"min\":\"1\",\"max\":\"9\",\"choices\":null," \
	"\"help\":\"how many\"}]"

static void put_plugin(struct fixture *f, const char *name, const char *script)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s.so", f->dir, name);
	put_file(path, script, 0644);
}

static void put_good_plugin(struct fixture *f, const char *name)
{
	char script[1024];

	(void)snprintf(
		script, sizeof(script),
		"cat <<'END'\n{\"abi\":1,\"name\":\"%s\",\"version\":\"1\",\"summary\":\"s\",\"kind\":2,\"flags\":7,"
		"\"needs\":1,\"has_init\":true,\"has_split\":false,\"params\":" PARAMS "}\nEND\n",
		name);
	put_plugin(f, name, script);
}

static struct workloads *open_workloads(struct fixture *f, struct store *store)
{
	struct error err = ERROR_INIT;
	struct workloads *w = NULL;

	if (workloads_open(&f->config, store, &w, &err) < 0)
		fail_msg("%s", err.text);
	return w;
}

static void a_plugin_without_a_stanza_has_its_own_name_and_the_defaults(void **state)
{
	struct fixture *f = *state;
	const struct workload *w = NULL;
	struct workloads *all;
	char libs[96];

	(void)snprintf(libs, sizeof(libs), "%s/.libs", f->dir);
	assert_int_equal(mkdir(libs, 0755), 0);
	put_good_plugin(f, ".libs/beta");
	put_good_plugin(f, "alpha");
	/* Its name is what it says, not its file's: .libs/ is no part of it. */
	put_plugin(f, ".libs/beta",
		   "printf '{\"abi\":1,\"name\":\"beta\",\"kind\":0,\"flags\":1,\"needs\":0,\"params\":[]}'");
	all = open_workloads(f, NULL);
	assert_int_equal(workloads_count(all), 2);
	assert_string_equal(workloads_at(all, 0)->name, "alpha");
	assert_string_equal(workloads_at(all, 1)->name, "beta");
	assert_int_equal(workloads_find(all, "alpha", &w, NULL), 0);
	assert_true(w->thread_safe && w->idempotent && w->deterministic && w->info->has_init);
	assert_string_equal(w->config->name, "alpha");
	assert_string_equal(w->config->model, "auto");
	assert_string_equal(plugin_info_find_param(w->info, "n")->help, "how many");
	assert_int_equal(workloads_find(all, "beta", &w, NULL), 0);
	assert_true(w->thread_safe && !w->idempotent);
	workloads_close(all);
}

static void a_stanza_tightens_what_its_plugin_promises(void **state)
{
	struct fixture *f = *state;
	struct config_pair params[] = { { (char *)"n", (char *)"4" } };
	struct workload_config stanza = {
		.name = (char *)"mine",
		.plugin = (char *)"alpha",
		.model = (char *)"pool",
		.thread_safe = false,
		.idempotent = true,
		.params = params,
		.n_params = 1,
	};
	const struct workload *w = NULL;
	struct workloads *all;

	put_good_plugin(f, "alpha");
	f->config.workloads = &stanza;
	f->config.n_workloads = 1;
	all = open_workloads(f, NULL);
	assert_int_equal(workloads_count(all), 2); /* under its own name as well */
	assert_int_equal(workloads_find(all, "mine", &w, NULL), 0);
	assert_true(!w->thread_safe && w->idempotent && !w->deterministic);
	assert_ptr_equal(w->config, &stanza);
	workloads_close(all);
}

static void assert_unusable(struct workloads *all, const char *name, const char *words)
{
	struct error err = ERROR_INIT;
	const struct workload *w = NULL;

	assert_int_equal(workloads_find(all, name, &w, &err), -ENOEXEC);
	assert_string_equal(err.code, "workload-unusable");
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void broken_plugins_are_kept_with_the_reason(void **state)
{
	struct fixture *f = *state;
	struct config_pair params[] = { { (char *)"m", (char *)"4" } };
	struct workload_config stanzas[] = {
		{ .name = (char *)"gone", .plugin = (char *)"nosuch" },
		{ .name = (char *)"typo",
		  .plugin = (char *)"good",
		  .params = params,
		  .n_params = 1,
		  .where = (char *)"concd.conf:7" },
	};
	struct error err = ERROR_INIT;
	const struct workload *w = NULL;
	struct workloads *all;

	put_good_plugin(f, "good");
	put_plugin(f, "crash", "kill -SEGV $$");
	put_plugin(f, "fails", "echo 'no symbol concd_plugin_v1' >&2; exit 1");
	put_plugin(f, "silent", "exit 3");
	put_plugin(f, "old", "echo '{\"abi\":0,\"name\":\"old\"}'");
	put_plugin(f, "noise", "echo hello");
	put_plugin(f, "flood", "while :; do echo 0123456789012345678901234567890123456789; done");
	f->config.workloads = stanzas;
	f->config.n_workloads = 2;
	all = open_workloads(f, NULL);
	assert_int_equal(workloads_count(all), 2 + 7);
	assert_unusable(all, "gone", "nosuch.so");
	assert_unusable(all, "typo", "concd.conf:7: plugin 'good' has no parameter 'm'");
	assert_unusable(all, "crash", "SIGSEGV");
	assert_unusable(all, "fails", "no symbol concd_plugin_v1");
	assert_unusable(all, "silent", "status 3");
	assert_unusable(all, "old", "interface 0");
	assert_unusable(all, "noise", "not JSON");
	assert_unusable(all, "flood", "without end");
	assert_int_equal(workloads_find(all, "good", &w, NULL), 0);
	assert_int_equal(workloads_find(all, "goof", &w, &err), -ENOENT);
	assert_non_null(strstr(err.text, "did you mean 'good'"));
	workloads_close(all);
}

static void a_plugin_that_hangs_is_killed_after_the_limit(void **state)
{
	struct fixture *f = *state;
	char path[128];
	struct describe d[2] = { { .path = path }, { .path = path } };
	int64_t begin = clock_mono_ns();

	put_plugin(f, "hang", "exec sleep 1000");
	(void)snprintf(path, sizeof(path), "%s/hang.so", f->dir);
	assert_int_equal(describe_all(f->worker, d, 2, 2, 50), 0);
	assert_non_null(strstr(d[0].why_not, "hangs"));
	assert_non_null(strstr(d[1].why_not, "hangs"));
	assert_true(clock_mono_ns() - begin < 10 * NS_PER_S);
	buffer_fini(&d[0].out);
	buffer_fini(&d[1].out);
}

static void a_cached_description_is_used_until_the_file_changes(void **state)
{
	struct fixture *f = *state;
	struct store *store = (struct store *)(void *)f; /* only passed on */
	const struct workload *w = NULL;
	struct workloads *all;
	char moved[96];

	put_good_plugin(f, "alpha");
	workloads_close(open_workloads(f, store));
	assert_int_equal(puts_seen, 1);
	(void)snprintf(moved, sizeof(moved), "%s/none", f->dir);
	assert_int_equal(rename(f->worker, moved), 0); /* nobody could describe it now */
	all = open_workloads(f, store);
	assert_int_equal(workloads_find(all, "alpha", &w, NULL), 0);
	workloads_close(all);
	assert_int_equal(puts_seen, 1);
	assert_int_equal(rename(moved, f->worker), 0);
	put_plugin(f, "alpha", "echo {}");
	all = open_workloads(f, store);
	assert_unusable(all, "alpha", "names no ABI");
	workloads_close(all);
}

static void a_missing_worker_program_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	struct workloads *all = NULL;

	put_good_plugin(f, "alpha");
	f->config.worker_path = (char *)"/nonexistent/concd-worker";
	assert_int_equal(workloads_open(&f->config, NULL, &all, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/concd-worker"));
	assert_null(all);
}

static void malformed_descriptions_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"abi\":1}",
		"{\"abi\":-1,\"name\":\"x\"}",
		"{\"abi\":1,\"name\":\"X y\",\"kind\":0,\"flags\":0,\"needs\":0,\"params\":[]}",
		"{\"abi\":1,\"name\":\"\",\"kind\":0,\"flags\":0,\"needs\":0,\"params\":[]}",
		"{\"abi\":1,\"name\":\"x\",\"kind\":\"0\",\"flags\":0,\"needs\":0,\"params\":[]}",
		"{\"abi\":1,\"name\":\"x\",\"kind\":0,\"flags\":4294967296,\"needs\":0,\"params\":[]}",
		"{\"abi\":1,\"name\":7,\"kind\":0,\"flags\":0,\"needs\":0,\"params\":[]}",
		"{\"abi\":1,\"name\":\"x\",\"kind\":0,\"flags\":0,\"needs\":0}",
		"{\"abi\":1,\"name\":\"x\",\"kind\":0,\"flags\":0,\"needs\":0,\"params\":[1]}",
		"{\"abi\":1,\"name\":\"x\",\"kind\":0,\"flags\":0,\"needs\":0,\"params\":[{\"name\":\"a\",\"type\":9,"
		"\"flags\":0}]}",
		"{\"abi\":1,\"name\":\"x\",\"kind\":0,\"flags\":0,\"needs\":0,\"params\":[{\"name\":\"a\",\"type\":0,"
		"\"flags\":0},"
		"{\"name\":\"a\",\"type\":0,\"flags\":0}]}",
		"{\"abi\":1,\"name\":\"x\",\"name\":\"y\",\"kind\":0,\"flags\":0,\"needs\":0,\"params\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct plugin_info *info = NULL;
		struct error err = ERROR_INIT;

		if (plugin_info_parse(bad[i], strlen(bad[i]), &info, &err) != -EBADMSG || !err.code)
			fail_msg("taken: %s", bad[i]);
	}
}

static void assert_value(const struct plugin_param *p, const char *value, bool good)
{
	struct error err = ERROR_INIT;
	int r = plugin_param_check(p, value, &err);

	if (r != (good ? 0 : -EINVAL))
		fail_msg("%s = '%s': %d %s", p->name, value, r, err.text);
	if (!good) {
		assert_string_equal(err.code, "bad-parameter");
		assert_non_null(strstr(err.text, p->name));
	}
}

static struct plugin_param param(uint32_t type, const char *min, const char *max, const char *choices)
{
	return (struct plugin_param){ .name = (char *)"p",
				      .type = type,
				      .value = (char *)"",
				      .min = (char *)min,
				      .max = (char *)max,
				      .choices = (char *)choices,
				      .help = (char *)"" };
}

static void parameters_have_their_type_and_range(void **state)
{
	struct plugin_param p = param(CONCD_PARAM_INT, "-5", "9223372036854775806", "");
	struct error err = ERROR_INIT;

	(void)state;
	assert_value(&p, "-5", true);
	assert_value(&p, "-6", false);
	assert_value(&p, "9223372036854775806", true);
	assert_value(&p, "9223372036854775807", false);
	assert_value(&p, "9223372036854775808", false);
	assert_value(&p, "1.5", false);
	assert_value(&p, "", false);
	p = param(CONCD_PARAM_DURATION, "1ms", "1h", "");
	assert_value(&p, "60m", true);
	assert_value(&p, "61m", false);
	assert_value(&p, "10", false);
	p = param(CONCD_PARAM_SIZE, "", "1M", "");
	assert_value(&p, "1024K", true);
	assert_value(&p, "1025K", false);
	p = param(CONCD_PARAM_NUMBER, "0", "", "");
	assert_value(&p, "0.5", true);
	assert_value(&p, "nan", false);
	p = param(CONCD_PARAM_BOOL, "", "", "");
	assert_value(&p, "on", true);
	assert_value(&p, "maybe", false);
	p = param(CONCD_PARAM_TEXT, "", "", "red|blue");
	assert_value(&p, "blue", true);
	assert_value(&p, "re", false);
	assert_value(&p, "", false);
	assert_value(&p, "red|blue", false);
	p.flags = CONCD_PARAM_SECRET;
	assert_int_equal(plugin_param_check(&p, "hunter2", &err), -EINVAL);
	assert_null(strstr(err.text, "hunter2"));
	p = param(CONCD_PARAM_TEXT, "", "", "");
	assert_value(&p, "anything", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_plugin_without_a_stanza_has_its_own_name_and_the_defaults, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_stanza_tightens_what_its_plugin_promises, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_plugins_are_kept_with_the_reason, setup, teardown),
		cmocka_unit_test_setup_teardown(a_plugin_that_hangs_is_killed_after_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cached_description_is_used_until_the_file_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_worker_program_is_an_error, setup, teardown),
		cmocka_unit_test(malformed_descriptions_are_refused),
		cmocka_unit_test(parameters_have_their_type_and_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
