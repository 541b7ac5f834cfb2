/* ctl/connect.c: which socket is tried, and what is said of one that cannot be reached. */
#include "unit.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl/connect.h"
#include "ctl/protocol.h"

struct place {
	char dir[64];
	char socket[PATH_MAX];
};

static int setup(void **state)
{
	static struct place place;
	char run[80];

	(void)snprintf(place.dir, sizeof(place.dir), "/tmp/concd-test-XXXXXX");
	assert_non_null(mkdtemp(place.dir));
	(void)snprintf(run, sizeof(run), "%s/concd", place.dir);
	assert_int_equal(mkdir(run, 0700), 0);
	(void)snprintf(place.socket, sizeof(place.socket), "%s/control.sock", run);
	assert_int_equal(unsetenv("CONCD_SOCKET"), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", place.dir, 1), 0);
	*state = &place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", place->dir);
	return system(command);
}

static void make_file(const char *path)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
}

/* A daemon of the system's would come before those of the tests. */
static bool system_has_one(void)
{
	return access(SYSTEM_SOCKET, F_OK) == 0;
}

static void what_was_said_comes_first_then_the_environment(void **state)
{
	struct error err = ERROR_INIT;
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(setenv("CONCD_SOCKET", "/from/environment", 1), 0);
	assert_int_equal(socket_find("/given", path, &err), 0);
	assert_string_equal(path, "/given");
	assert_int_equal(socket_find(NULL, path, &err), 0);
	assert_string_equal(path, "/from/environment");
	assert_int_equal(setenv("CONCD_SOCKET", "", 1), 0); /* as if it were not set */
	assert_int_equal(socket_find(NULL, path, &err), 0);
	assert_string_not_equal(path, "/from/environment");
}

static void ones_own_is_found_where_it_exists(void **state)
{
	struct place *place = *state;
	struct error err = ERROR_INIT;
	char path[PATH_MAX];

	if (system_has_one())
		return;
	assert_int_equal(socket_find(NULL, path, &err), 0);
	assert_string_equal(path, "");
	make_file(place->socket);
	assert_int_equal(socket_find(NULL, path, &err), 0);
	assert_string_equal(path, place->socket);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "not/absolute", 1), 0);
	assert_int_equal(socket_find(NULL, path, &err), 0);
	assert_string_not_equal(path, place->socket);
}

static void a_path_that_no_socket_can_have_is_refused(void **state)
{
	struct place *place = *state;
	struct error err = ERROR_INIT, again = ERROR_INIT;
	char path[PATH_MAX], dir[PATH_MAX], text[108 + 1];

	memset(text, 'x', sizeof(text) - 1);
	text[108] = '\0';
	assert_int_equal(socket_find(text, path, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "at most 107 bytes"));
	text[107] = '\0';
	assert_int_equal(socket_find(text, path, &err), 0);

	/* What lies at such a place of one's own, too. */
	if (system_has_one())
		return;
	(void)snprintf(dir, sizeof(dir), "%s/%s", place->dir, text);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
	strcat(dir, "/concd");
	assert_int_equal(mkdir(dir, 0700), 0);
	strcat(dir, "/control.sock");
	make_file(dir);
	assert_int_equal(socket_connect(NULL, &again), -ENAMETOOLONG);
	assert_non_null(strstr(again.text, dir));
}

static void who_cannot_be_reached_is_said_with_what_to_do(void **state)
{
	struct place *place = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct error none = ERROR_INIT, no_socket = ERROR_INIT, left = ERROR_INIT, nowhere = ERROR_INIT;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(socket_connect(place->socket, &none), -ENOENT);
	assert_non_null(strstr(none.text, "there is no socket"));
	assert_non_null(strstr(none.text, "start it with"));
	make_file(place->socket);
	assert_int_equal(socket_connect(place->socket, &no_socket), -ECONNREFUSED);
	assert_non_null(strstr(no_socket.text, "is not a socket"));
	assert_int_equal(unlink(place->socket), 0);
	memcpy(address.sun_path, place->socket, strlen(place->socket) + 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(socket_connect(place->socket, &left), -ECONNREFUSED);
	assert_non_null(strstr(left.text, "left behind by a daemon that has ended"));
	assert_int_equal(unlink(place->socket), 0);
	if (system_has_one())
		return;
	assert_int_equal(socket_connect(NULL, &nowhere), -ENOENT);
	assert_non_null(strstr(nowhere.text, SYSTEM_SOCKET));
	assert_non_null(strstr(nowhere.text, place->socket)); /* where one's own would be */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_said_comes_first_then_the_environment),
		TEST(ones_own_is_found_where_it_exists),
		TEST(a_path_that_no_socket_can_have_is_refused),
		TEST(who_cannot_be_reached_is_said_with_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
