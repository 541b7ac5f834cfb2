/* config_paths.c: where programs, plugins, the socket and the state are, and directories that nobody else can use. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "config.h"
#include "config_private.h"

static char dir[] = "/tmp/concd-test-paths-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

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

static void test_programs_are_found_in_a_build_tree_a_stage_and_installed(void **state)
{
	_cleanup_free_ char *worker = NULL, *plugins = NULL;
	char path[256], expected[300];

	(void)state;
	path_in(path, "tree");
	assert_int_equal(mkdir(path, 0700), 0);
	path_in(path, "tree/plugins");
	assert_int_equal(mkdir(path, 0700), 0);
	path_in(path, "tree/plugins/.libs");
	assert_int_equal(mkdir(path, 0700), 0);
	path_in(path, "tree/concd");
	assert_int_equal(config_find_programs(path, &worker, &plugins), 0);
	assert_string_equal(worker, PKGLIBEXECDIR "/concd-worker"); /* no worker beside it: no build tree */
	assert_string_equal(plugins, PLUGINDIR);
	free(worker);
	free(plugins);

	write_file("tree/concd-worker", "");
	path_in(expected, "tree/concd-worker");
	assert_int_equal(chmod(expected, 0700), 0);
	assert_int_equal(config_find_programs(path, &worker, &plugins), 0);
	assert_string_equal(worker, expected);
	path_in(expected, "tree/plugins/.libs");
	assert_string_equal(plugins, expected);
	free(worker);
	free(plugins);

	path_in(path, "tree/.libs/lt-concd");
	assert_int_equal(config_find_programs(path, &worker, &plugins), 0);
	assert_string_equal(plugins, expected);
	free(worker);
	free(plugins);

	assert_int_equal(config_find_programs("/stage" SBINDIR "/concd", &worker, &plugins), 0);
	assert_string_equal(worker, "/stage" PKGLIBEXECDIR "/concd-worker");
	assert_string_equal(plugins, "/stage" PLUGINDIR);
}

static void test_an_ordinary_user_gets_places_of_their_own(void **state)
{
	_cleanup_free_ char *socket_path = NULL, *state_dir = NULL;
	char expected[300];

	(void)state;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
	assert_int_equal(setenv("XDG_STATE_HOME", "/some/state", 1), 0);
	assert_int_equal(config_find_places(false, &socket_path, &state_dir, NULL), 0);
	path_in(expected, "concd/control.sock");
	assert_string_equal(socket_path, expected);
	assert_string_equal(state_dir, "/some/state/concd");
	free(socket_path);
	free(state_dir);

	assert_int_equal(setenv("XDG_RUNTIME_DIR", "relative", 1), 0);
	assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
	assert_int_equal(setenv("HOME", "/home/x", 1), 0);
	assert_int_equal(config_find_places(false, &socket_path, &state_dir, NULL), 0);
	(void)snprintf(expected, sizeof(expected), "/tmp/concd-%u/control.sock", (unsigned int)geteuid()); /* fits */
	assert_string_equal(socket_path, expected);
	assert_string_equal(state_dir, "/home/x/.local/state/concd");
	free(socket_path);
	free(state_dir);

	assert_int_equal(config_find_places(true, &socket_path, &state_dir, NULL), 0);
	assert_string_equal(socket_path, RUNSTATEDIR "/concd/control.sock");
	assert_string_equal(state_dir, LOCALSTATEDIR "/lib/concd");
}

static void test_directories_are_made_private_and_unsafe_ones_refused(void **state)
{
	struct config *config = NULL;
	struct error err = ERROR_INIT;
	char text[1024], path[256];
	struct stat st;

	(void)state;
	(void)snprintf(text, sizeof(text), "state_dir = \"%s/deep/er/state\";\ncontrol = { socket = \"%s/run/s\"; };\n",
		       dir, dir); /* fits */
	write_file("concd.conf", text);
	path_in(path, "concd.conf");
	assert_int_equal(config_load(path, &config, &err), 0);
	assert_int_equal(config_make_dirs(config, &err), 0);
	assert_int_equal(config_make_dirs(config, &err), 0); /* also when they are there */
	assert_int_equal(stat(config->state_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	path_in(path, "run");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 022, 0);
	assert_int_equal(chmod(config->state_dir, 0777), 0);
	assert_int_equal(config_make_dirs(config, &err), -EPERM);
	assert_non_null(strstr(err.text, "everybody may write"));
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs_are_found_in_a_build_tree_a_stage_and_installed),
		cmocka_unit_test(test_an_ordinary_user_gets_places_of_their_own),
		cmocka_unit_test(test_directories_are_made_private_and_unsafe_ones_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
