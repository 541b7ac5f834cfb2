/* config*.c: what a configuration file says, and what is said about a wrong one. */
#include "unit.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "config.h"
#include "config_private.h"
#include "crew/model.h"

static char dir[] = "/tmp/concd-test-config-XXXXXX";
static char main_file[64];

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf -- '%s'", dir); /* fits */
	return system(command);
}

static void path_in(char ret_path[256], const char *name)
{
	assert_true(snprintf(ret_path, 256, "%s/%s", dir, name) < 256);
}

static void write_file(const char *name, const char *text)
{
	_cleanup_close_ int fd = -1;
	char path[256];

	path_in(path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
}

static int make_dir(void **state)
{
	char path[256];

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(main_file, sizeof(main_file), "%s/concd.conf", dir); /* fits */
	path_in(path, "concd.conf.d");
	return mkdir(path, 0700);
}

/* Each test begins with an empty conf.d. */
static int empty_conf_d(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -f -- '%s'/concd.conf.d/*", dir); /* fits */
	return system(command);
}

static struct config *load(const char *text)
{
	struct config *config = NULL;
	struct error err = ERROR_INIT;

	write_file("concd.conf", text);
	if (config_load(main_file, &config, &err) < 0)
		fail_msg("refused: %s", err.text);
	return config;
}

/* The text is refused with a message that begins with `place` ("concd.conf:3: "), with or without the directory in front
 * (libconfig names an included file as it was included), and has `word` in it. */
static void refused(const char *text, const char *place, const char *word)
{
	struct config *config = NULL;
	struct error err = ERROR_INIT;
	const char *said;

	write_file("concd.conf", text);
	if (config_load(main_file, &config, &err) == 0) {
		config_free(config);
		fail_msg("accepted: %s", text);
	}
	assert_null(config);
	assert_string_equal(err.code, "bad-config");
	said = strncmp(err.text, dir, strlen(dir)) == 0 ? err.text + strlen(dir) + 1 : err.text;
	if (strncmp(said, place, strlen(place)) != 0 || !strstr(said, word))
		fail_msg("'%s' should begin with %s and name '%s'", err.text, place, word);
}

static void test_an_empty_file_gives_the_built_in_defaults(void **state)
{
	struct config *config = load("# nothing\n");

	(void)state;
	assert_string_equal(config->path, main_file);
	assert_int_equal(config->socket_mode, 0660);
	assert_string_equal(config->defaults.model, "auto");
	assert_int_equal(config->defaults.workers, 0);
	assert_true(config->defaults.grace_ns == 5 * NS_PER_S);
	assert_true(config->defaults.idle_timeout_ns == 30 * NS_PER_S);
	assert_true(config->defaults.stall_ns == 50 * NS_PER_MS);
	assert_true(config->defaults.task_timeout_ns == 0);
	assert_int_equal(config->defaults.retries, 0);
	assert_int_equal(config->defaults.max_crashes, 2);
	assert_true(config->defaults.thread_safe && config->defaults.idempotent && config->defaults.deterministic);
	assert_int_equal(config->n_workloads, 0);
	assert_true(config->max_workers >= 30000);
	assert_true(config->defaults.durable && config->defaults.keep_age_ns == 7 * 86400 * NS_PER_S);
	assert_int_equal(config->keep_jobs, 10000);
	assert_null(config_find_workload(config, "squares"));
	config_free(config);
}

static void test_a_stanza_stands_on_defaults_and_defaults_on_built_in(void **state)
{
	struct config *config =
		load("defaults = { grace = \"2s\"; workers = 3; };\n"
		     "workloads = {\n"
		     "  squares = { plugin = \"sq\"; model = \"process\"; grace = \"7s\"; stack_size = \"128K\"; };\n"
		     "  sleeper = { shape = \"2x1x500\"; idempotent = false; };\n"
		     "};\n");
	const struct workload_config *w = config_find_workload(config, "squares");

	(void)state;
	assert_int_equal(config->n_workloads, 2);
	assert_string_equal(w->plugin, "sq");
	assert_string_equal(w->model, "process");
	assert_true(w->grace_ns == 7 * NS_PER_S);
	assert_int_equal(w->workers, 3);
	assert_true(w->stack_bytes == 131072);
	assert_non_null(strstr(w->where, "concd.conf:3"));
	w = config_find_workload(config, "sleeper");
	assert_string_equal(w->plugin, "sleeper"); /* no plugin named: the stanza's name */
	assert_string_equal(w->model, "auto");
	assert_string_equal(w->shape, "2x1x500");
	assert_false(w->idempotent);
	assert_true(w->grace_ns == 2 * NS_PER_S);
	assert_true(w->backoff_ns == NS_PER_S);
	config_free(config);
}

static void test_parameters_become_text_with_their_place(void **state)
{
	struct config *config =
		load("workloads = { w = { params = {\n"
		     "  dir = \"\";\n  n = 7;\n  big = 5000000000L;\n  half = 0.5;\n  on = true;\n}; }; };\n");
	const struct workload_config *w = &config->workloads[0];
	static const char *const expected[] = { "dir", "", "n", "7", "big", "5000000000", "half", "0.5", "on", "true" };

	(void)state;
	assert_int_equal(w->n_params, 5);
	for (size_t i = 0; i < w->n_params; i++) {
		assert_string_equal(w->params[i].name, expected[2 * i]);
		assert_string_equal(w->params[i].value, expected[2 * i + 1]);
		assert_int_equal(w->params_where[i][strlen(w->params_where[i]) - 1], '2' + (int)i);
	}
	config_free(config);
}

static void test_later_files_override_settings_and_add_workloads(void **state)
{
	struct config *config;

	(void)state;
	write_file("concd.conf.d/20-b.conf", "defaults = { grace = \"3s\"; };\nlimits = { max_jobs = 22; };\n"
					     "workloads = { b = { }; };\n");
	write_file("concd.conf.d/10-a.conf",
		   "limits = { max_jobs = 11; max_tasks = 11; };\nworkloads = { a = { }; };\n");
	write_file("concd.conf.d/30-c.conf.bak", "broken");
	write_file("concd.conf.d/.hidden.conf", "broken");
	config = load("limits = { max_jobs = 1; max_tasks = 1; max_clients = 7; };\nworkloads = { m = { }; };\n");
	assert_true(config->max_jobs == 22);
	assert_true(config->max_tasks == 11);
	assert_int_equal(config->max_clients, 7);
	assert_int_equal(config->n_workloads, 3);
	assert_string_equal(config->workloads[0].name, "m");
	assert_string_equal(config->workloads[1].name, "a");
	assert_true(config->workloads[0].grace_ns == 3 * NS_PER_S); /* whichever file `defaults` stands in */
	config_free(config);
}

static void test_a_second_stanza_of_a_workload_is_refused_with_both_places(void **state)
{
	(void)state;
	write_file("concd.conf.d/x.conf", "\n\nworkloads = { a = { }; };\n");
	refused("workloads = { a = { }; };\n", "concd.conf.d/x.conf:3: workloads.a: ", "concd.conf:1");
}

static void test_an_unknown_key_is_refused_with_the_one_that_was_meant(void **state)
{
	(void)state;
	refused("\ncontrl = { };\n", "concd.conf:2: contrl: ", "did you mean 'control'?");
	refused("limits = {\n max_job = 3; };\n", "concd.conf:2: limits.max_job: ", "'max_jobs'");
	refused("workloads = { a = { modle = \"pool\"; }; };\n", "concd.conf:1: workloads.a.modle: ", "'model'");
	refused("log = { banana = 1; };\n", "concd.conf:1: log.banana: ", "level, target");
	refused("defaults = { plugin = \"x\"; };\n", "concd.conf:1: defaults.plugin: ", "unknown key");
}

static void test_integers_that_libconfig_would_cut_are_refused(void **state)
{
	(void)state;
	refused("limits = {\n  max_jobs = 5000000000;\n};\n", "concd.conf:2: max_jobs: 5000000000 ", "L behind");
	refused("a = -2147483649;\n", "concd.conf:1: a: -2147483649 ", "32 bits");
	refused("a = 0xFFFFFFFF;\n", "concd.conf:1: a: 0xFFFFFFFF ", "32 bits");
	refused("a = 99999999999999999999L;\n", "concd.conf:1: a: 99999999999999999999L ", "64 bits");
	refused("a = 99999999999999999999999999999999999999999999999999999999999999;\n",
		"concd.conf:1: a: ", "32 bits");
	refused("defaults = { grace = 30s; };\n", "concd.conf:1: grace: 30s ", "quotes");
	refused("/* 5000000000 */ # 5000000000\n// 5000000000\na = \"5000000000 \\\" 5000000000\"; b = 5000000000;\n",
		"concd.conf:3: b: 5000000000 ", "32 bits");
}

static void test_numbers_in_comments_strings_names_and_floats_are_left_alone(void **state)
{
	struct config *config = load("# 5000000000\n// 5000000000\n/* 5000000000\n5000000000 */\n"
				     "workloads = { w5000000000 = { params = { a = \"5000000000 \\\" 5000000000\"; "
				     "f = 5000000000.5; e = 5e9; h = 0x7FFFFFFF; i = -2147483648; j = 2147483647; "
				     "l = -9223372036854775808L; }; }; };\n");

	(void)state;
	assert_int_equal(config->workloads[0].n_params, 7);
	assert_string_equal(config->workloads[0].params[6].value, "-9223372036854775808");
	config_free(config);
}

static void test_each_wrong_value_is_named_with_what_would_be_right(void **state)
{
	static const struct {
		const char *text, *key, *right;
	} cases[] = {
		{ "control = 5;", "control", "{ ... }" },
		{ "state_dir = \"relative\";", "state_dir", "absolute" },
		{ "control = { socket = 5; };", "control.socket", "in quotes" },
		{ "control = { mode = \"0666\"; };", "control.mode", "\"0660\"" },
		{ "control = { mode = \"rw\"; };", "control.mode", "\"0660\"" },
		{ "control = { mode = 660; };", "control.mode", "in quotes" },
		{ "control = { group = \"no-such-group-here\"; };", "control.group", "groupadd" },
		{ "log = { level = \"loud\"; };", "log.level", "debug" },
		{ "log = { target = \"syslog\"; };", "log.target", "journal" },
		{ "defaults = { grace = \"5\"; };", "defaults.grace", "\"10s\"" },
		{ "defaults = { grace = 5; };", "defaults.grace", "\"10s\"" },
		{ "defaults = { grace = \"0\"; };", "defaults.grace", "\"10ms\"" },
		{ "defaults = { task_timeout = \"400d\"; };", "defaults.task_timeout", "\"0\"" },
		{ "defaults = { max_result = \"2G\"; };", "defaults.max_result", "\"1G\"" },
		{ "defaults = { max_result = \"1x\"; };", "defaults.max_result", "\"64M\"" },
		{ "defaults = { memory_max = \"1M\"; };", "defaults.memory_max", "\"0\"" },
		{ "defaults = { nice = 20; };", "defaults.nice", "from 0 to 19" },
		{ "defaults = { affinity = \"3-1\"; };", "defaults.affinity", "0-1,3" },
		{ "workloads = { a = { affinity = 1; }; };", "workloads.a.affinity", "in quotes" },
		{ "defaults = { max_tasks = \"5\"; };", "defaults.max_tasks", "without quotes" },
		{ "defaults = { retries = -1; };", "defaults.retries", "from 0 to 1000" },
		{ "defaults = { retries = \"3\"; };", "defaults.retries", "without quotes" },
		{ "defaults = { workers = 0; };", "defaults.workers", "\"auto\"" },
		{ "defaults = { model = \"fork\"; };", "defaults.model", "process" },
		{ "defaults = { model = \"\"; };", "defaults.model", "process" },
		{ "defaults = { model = \"a\\tb\"; };", "defaults.model", "control character" },
		{ "workloads = 5;", "workloads", "{ ... }" },
		{ "workloads = { a = 5; };", "workloads.a", "{ ... }" },
		{ "workloads = { a = { shape = \"2x2\"; }; };", "workloads.a.shape", "2x1x500" },
		{ "workloads = { a = { shape = \"0x1x1\"; }; };", "workloads.a.shape", "at least 1" },
		{ "workloads = { a = { shape = \"1x1x99999999999\"; }; };", "workloads.a.shape", "2x1x500" },
		{ "workloads = { a = { plugin = \"../x\"; }; };", "workloads.a.plugin", "absolute path" },
		{ "workloads = { a = { idempotent = 1; }; };", "workloads.a.idempotent", "true or false" },
		{ "workloads = { a = { params = 5; }; };", "workloads.a.params", "name = value" },
		{ "workloads = { a = { params = { x = { }; }; }; };", "workloads.a.params.x", "a string" },
		{ "workloads = { a*b = { }; };", "workloads.a*b", "letters" },
		{ "workloads = { a = { service = true; model = \"pool\"; }; };", "workloads.a.model", "thread or process" },
		{ "workloads = { a = { service = true; workers = 2; }; };", "workloads.a.workers", "one task" },
		{ "workloads = { a = { service = true; task_timeout = \"1s\"; }; };", "workloads.a.task_timeout",
		  "says nothing" },
		{ "workloads = { a = { service = 1; }; };", "workloads.a.service", "true or false" },
		{ "limits = { max_jobs = 1.5; };", "limits.max_jobs", "integer" },
		{ "limits = { max_request = \"1K\"; };", "limits.max_request", "\"1280K\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[256], place[128];

		(void)snprintf(text, sizeof(text), "# line 1\n%s\n", cases[i].text); /* fits */
		(void)snprintf(place, sizeof(place), "concd.conf:2: %s: ", cases[i].key);
		refused(text, place, cases[i].right);
	}
}

static void test_priorities_and_rates_have_ranges(void **state)
{
	static const struct {
		const char *text, *key, *right;
	} cases[] = {
		{ "defaults = { priority = 101; };", "defaults.priority", "from -100 to 100" },
		{ "defaults = { priority = \"high\"; };", "defaults.priority", "an integer from -100 to 100" },
		{ "defaults = { rate = \"10\"; };", "defaults.rate", "/s, /min or /h" },
		{ "defaults = { rate = \"fast\"; };", "defaults.rate", "is no rate" },
		{ "defaults = { rate = \"-1/s\"; };", "defaults.rate", "is no rate" },
		{ "defaults = { rate = \"1e9/s\"; };", "defaults.rate", "out of range" },
		{ "defaults = { rate = 10; };", "defaults.rate", "in quotes" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char place[128];

		(void)snprintf(place, sizeof(place), "concd.conf:1: %s: ", cases[i].key);
		refused(cases[i].text, place, cases[i].right);
	}
}

static void test_combinations_that_cannot_work_are_refused(void **state)
{
	static const struct {
		const char *text, *place, *word;
	} cases[] = {
		{ "workloads = { a = { model = \"sync\"; workers = 2; }; };",
		  "concd.conf:1: workloads.a.workers: ", "sync" },
		{ "defaults = { workers = 2; };\nworkloads = { a = { model = \"sync\"; }; };",
		  "concd.conf:1: workloads.a.workers: ", "sync" },
		{ "workloads = { a = { thread_safe = false; model = \"pool\"; }; };",
		  "concd.conf:1: workloads.a.model: ", "\"process\"" },
		{ "workloads = { a = { thread_safe = false; shape = \"1x4x1\"; }; };",
		  "concd.conf:1: workloads.a.shape: ", "4x1x1" },
		{ "workloads = { a = { shape = \"100x100x1\"; }; };", "concd.conf:1: workloads.a.shape: ", "4095" },
		{ "workloads = { a = { shape = \"1x1x2000000\"; }; };",
		  "concd.conf:1: workloads.a.shape: ", "limits.max_workers" },
		{ "limits = { max_processes = 2; };\nworkloads = { a = { shape = \"3x1x1\"; }; };",
		  "concd.conf:2: workloads.a.shape: ", "limits.max_processes" },
		{ "limits = { max_workers = 2; };\nworkloads = {\n a = { workers = 3; }; };",
		  "concd.conf:3: workloads.a.workers: ", "limits.max_workers" },
		{ "workloads = { a = { service = true;\n durable = false; }; };", "concd.conf:2: workloads.a.durable: ",
		  "service" },
		{ "limits = { max_clients = 3;\n max_clients_per_user = 4; };",
		  "concd.conf:2: limits.max_clients_per_user: ", "(3)" },
		{ "state_dir = \"/dev/null\";", "concd.conf:1: state_dir: ", "not a directory" },
		{ "state_dir = \"/tmp\";", "concd.conf:1: state_dir: ", "everybody" },
		{ "plugin_dir = \"/tmp\";", "concd.conf:1: plugin_dir: ", "everybody" },
		{ "plugin_dir = \"/nonexistent/plugins\";", "concd.conf:1: plugin_dir: ", "No such file" },
		{ "control = { socket = \"/run/\"; };", "concd.conf:1: control.socket: ", "directory" },
		{ "control = { socket = "
		  "\"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaa/x\"; };",
		  "concd.conf:1: control.socket: ", "107" },
	};
	struct config *config;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		refused(cases[i].text, cases[i].place, cases[i].word);
	config = load("limits = { max_clients = 3; };\n"); /* alone no contradiction to the built-in share of a user */
	assert_int_equal(config->max_clients_per_user, 3);
	config_free(config);
}

static void test_broken_text_is_refused_by_line(void **state)
{
	(void)state;
	refused("a = 1;\n= 2;\n", "concd.conf:2: ", "syntax error");
	refused("log = { };\nlog = { };\n", "concd.conf:2: ", "once");
	refused("\n\nstate_dir = \"/x;\n\n", "concd.conf:3: ", "never closed");
	refused("\n/* x\n\n", "concd.conf:2: ", "never closed");
	refused("log = { level = ", "concd.conf:1: ", "syntax error");
	refused("\n@include \"missing.conf\"\n", "concd.conf:2: ", "missing.conf");
	refused("@include missing\n", "concd.conf:1: ", "quotes");
}

static void test_bytes_that_are_no_text_are_refused(void **state)
{
	struct config *config;
	struct error err = ERROR_INIT;
	_cleanup_close_ int fd = open(main_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(io_write_full(fd, "a = 1;\n\0\n", 9), 0);
	assert_int_equal(config_load(main_file, &config, &err), -EINVAL);
	assert_non_null(strstr(err.text, "concd.conf:2: there is a NUL byte"));
}

static void test_included_files_are_read_and_checked_too(void **state)
{
	struct config *config;

	(void)state;
	write_file("more.conf", "log = { level = \"debug\"; };\n");
	config = load("@include \"more.conf\"\n");
	assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
	config_free(config);
	write_file("more.conf", "\nlimits = { max_jobs = 5000000000; };\n");
	refused("\n@include \"more.conf\"\n", "concd.conf:2: included: ", "more.conf:2: max_jobs: 5000000000 ");
	write_file("more.conf", "\nlogg = { };\n");
	refused("\n@include \"more.conf\"\n", "more.conf:2: logg: ", "'log'");
	write_file("more.conf", "@include \"more.conf\"\n");
	refused("@include \"more.conf\"\n", "concd.conf:1: ", "deep");
}

static void test_files_that_are_none_are_refused(void **state)
{
	struct config *config;
	struct error err = ERROR_INIT, err2 = ERROR_INIT, err3 = ERROR_INIT;
	char path[256];

	(void)state;
	assert_int_equal(config_load("/nonexistent/concd.conf", &config, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/concd.conf: cannot be read"));
	assert_int_equal(config_load(dir, &config, &err2), -EINVAL);
	assert_non_null(strstr(err2.text, "not a regular file"));
	path_in(path, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(config_load(path, &config, &err3), -EINVAL); /* and does not wait for a writer */
}

static void test_a_file_that_everybody_may_write_is_refused(void **state)
{
	struct config *config;
	struct error err = ERROR_INIT;

	(void)state;
	write_file("concd.conf", "");
	assert_int_equal(chmod(main_file, 0666), 0);
	assert_int_equal(config_load(main_file, &config, &err), -EPERM);
	assert_non_null(strstr(err.text, "chmod o-w"));
	assert_int_equal(chmod(main_file, 0600), 0);
}

/* The shipped file, with its commented settings in force, must say exactly what is built in. */
static void test_the_shipped_file_shows_the_built_in_values(void **state)
{
	_cleanup_buffer_ struct buffer shipped = BUFFER_INIT, text = BUFFER_INIT;
	const char *top = getenv("top_srcdir"), *line, *next;
	struct config *config, *plain;
	const struct group *gr = getgrgid(getegid());
	char path[4096];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/conf/concd.conf", top ? top : "."); /* a cut path is not found */
	assert_int_equal(io_read_file(path, 1 << 20, &shipped), 0);
	assert_int_equal(buffer_add(&shipped, "", 1), 0);
	for (line = (const char *)shipped.data; *line; line = next) {
		next = strchr(line, '\n') + 1;
		if (line[0] == '#' && line[1] != ' ' && line[1] != '\n') {
			line++;
			/* the one value that depends on the machine */
			if (gr && strncmp(line, "\tgroup", 6) == 0) {
				assert_int_equal(buffer_printf(&text, "\tgroup = \"%s\";\n", gr->gr_name), 0);
				continue;
			}
		}
		assert_int_equal(buffer_add(&text, line, (size_t)(next - line)), 0);
	}
	assert_int_equal(buffer_add(&text, "", 1), 0);
	plain = load("");
	config = load((const char *)text.data);
	assert_int_equal(config->socket_mode, plain->socket_mode);
	assert_int_equal(config->log_level, plain->log_level);
	assert_int_equal(config->log_target, plain->log_target);
	assert_memory_equal(&config->max_clients, &plain->max_clients,
			    sizeof(*config) - offsetof(struct config, max_clients));
	assert_string_equal(config->defaults.model, plain->defaults.model);
	config->defaults.model = (free(config->defaults.model), NULL);
	plain->defaults.model = (free(plain->defaults.model), NULL);
	assert_memory_equal(&config->defaults, &plain->defaults, sizeof(config->defaults));
	config_free(config);
	config_free(plain);
}

static void test_models_and_shapes_are_those_of_the_model_table(void **state)
{
	static const char *const shapes[] = { "1x1x1", "2x1x500", "0x1x1",  "1x1",    "1x1x1x1", "-1x1x1",
					      "1X1x1", " 1x1x1",  "1x1x1 ", "01x1x1", "" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < models_count(); i++) {
		(void)snprintf(text, sizeof(text), "defaults = { model = \"%s\"; };", models_at(i)->name); /* fits */
		config_free(load(text));
	}
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct config *config = NULL;
		struct shape shape;
		bool good = shape_parse(shapes[i], &shape, NULL) == 0;

		(void)snprintf(text, sizeof(text), "workloads = { a = { shape = \"%s\"; }; };", shapes[i]); /* fits */
		write_file("concd.conf", text);
		assert_int_equal(config_load(main_file, &config, NULL) == 0, good);
		config_free(config);
	}
}

static bool has_word(const struct buffer *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr((const char *)text->data, word); at; at = strstr(at + 1, word))
		if (!strchr("abcdefghijklmnopqrstuvwxyz_", at[-1]) && !strchr("abcdefghijklmnopqrstuvwxyz_", at[len]))
			return true;
	return false;
}

static void test_every_key_is_in_the_shipped_file_and_in_the_manual(void **state)
{
	static const char *const files[] = { "conf/concd.conf", "conf/concd.conf.5" };
	const struct option *const tables[] = {
		config_top_options,    config_control_options,	config_log_options,
		config_keep_options,   config_limits_options, config_defaults_options, config_workload_options
	};
	const char *top = getenv("top_srcdir");

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		_cleanup_buffer_ struct buffer text = BUFFER_INIT;
		char path[4096];

		(void)snprintf(path, sizeof(path), "%s/%s", top ? top : ".", files[f]); /* a cut path is not found */
		assert_int_equal(io_read_file(path, 1 << 20, &text), 0);
		assert_int_equal(buffer_add(&text, "", 1), 0);
		for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
			for (const struct option *o = tables[t]; o->name; o++)
				if (!has_word(&text, o->name))
					fail_msg("%s does not mention %s", files[f], o->name);
	}
}

#define TEST(name) cmocka_unit_test_setup(name, empty_conf_d)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_empty_file_gives_the_built_in_defaults),
		TEST(test_a_stanza_stands_on_defaults_and_defaults_on_built_in),
		TEST(test_parameters_become_text_with_their_place),
		TEST(test_later_files_override_settings_and_add_workloads),
		TEST(test_a_second_stanza_of_a_workload_is_refused_with_both_places),
		TEST(test_an_unknown_key_is_refused_with_the_one_that_was_meant),
		TEST(test_integers_that_libconfig_would_cut_are_refused),
		TEST(test_numbers_in_comments_strings_names_and_floats_are_left_alone),
		TEST(test_each_wrong_value_is_named_with_what_would_be_right),
		TEST(test_priorities_and_rates_have_ranges),
		TEST(test_combinations_that_cannot_work_are_refused),
		TEST(test_broken_text_is_refused_by_line),
		TEST(test_bytes_that_are_no_text_are_refused),
		TEST(test_included_files_are_read_and_checked_too),
		TEST(test_files_that_are_none_are_refused),
		TEST(test_a_file_that_everybody_may_write_is_refused),
		TEST(test_models_and_shapes_are_those_of_the_model_table),
		TEST(test_the_shipped_file_shows_the_built_in_values),
		TEST(test_every_key_is_in_the_shipped_file_and_in_the_manual),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
