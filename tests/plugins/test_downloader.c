/* downloader, against tests/tools/http_server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "plugins/downloader/file.h"

#define URL_SIZE 512

static struct {
	pid_t pid;
	int to, port;
	char dir[64];
} server = {.dir = "/tmp/concd-downloader-XXXXXX"};

static int start_server(void **state)
{
	const char *builddir = getenv("top_builddir");
	char path[4096], line[64] = "", option[] = "--until-eof", *argv[] = {path, option, NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	int in[2], out[2];
	FILE *file;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/tests/tools/http_server", builddir != NULL ? builddir : ".");
	assert_non_null(mkdtemp(server.dir));
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	assert_int_equal(posix_spawn(&server.pid, path, &actions, NULL, argv, envp), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	server.to = in[1];
	file = fdopen(out[0], "r");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	assert_int_equal(sscanf(line, "port %d", &server.port), 1);
	fclose(file);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	close(server.to); /* it ends with its standard input */
	waitpid(server.pid, NULL, 0);
	rmdir(server.dir);
	return 0;
}

static struct harness_task *get(struct harness *h, const char *path)
{
	char url[URL_SIZE];

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server.port, path);
	return harness_add(h, url);
}

static struct harness *open_downloader(void)
{
	return harness_open("plugins/downloader");
}

static void expect_result(const struct harness_task *t, const char *format, ...)
{
	char want[2 * URL_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(want, sizeof(want), format, ap);
	va_end(ap);
	if (t->returned != 0)
		fail_msg("%s: failed: %s", t->input, t->failure != NULL ? t->failure : strerror(-t->returned));
	assert_string_equal(t->result, want);
}

static void expect_failure(const struct harness_task *t, uint32_t why, const char *words)
{
	if (t->returned == 0)
		fail_msg("%s: done: %s", t->input, t->result);
	assert_non_null(t->failure);
	if (strstr(t->failure, words) == NULL)
		fail_msg("'%s' lacks '%s'", t->failure, words);
	assert_int_equal(t->why, why);
}

/* What the server has counted. */
static void get_stats(const char *path, unsigned long long *ret_connections, unsigned long long *ret_max_active)
{
	struct harness *h = open_downloader();
	unsigned long long requests, active;
	struct harness_task *t;
	FILE *file;
	char name[128];

	harness_param(h, "dir", server.dir);
	assert_int_equal(harness_start(h), 0);
	t = get(h, path);
	harness_run(h);
	assert_int_equal(t->returned, 0);
	(void)snprintf(name, sizeof(name), "%s/stats", server.dir);
	file = fopen(name, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "connections %llu requests %llu active %llu max-active %llu", ret_connections, &requests,
				&active, ret_max_active),
			 4);
	fclose(file);
	unlink(name);
	harness_close(h);
}

static unsigned count_files(bool remove_them)
{
	DIR *dir = opendir(server.dir);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		n++;
		if (remove_them)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	return n;
}

static void a_result_says_status_bytes_and_final_url(void **state)
{
	struct harness *h = open_downloader();
	struct harness_task *plain, *empty, *large, *redirected, *local, *secret, *fragment, *bare;
	char url[URL_SIZE];

	(void)state;
	assert_int_equal(harness_start(h), 0);
	plain = get(h, "/bytes/1000");
	empty = get(h, "/status/204");
	large = get(h, "/bytes/20000000");
	redirected = get(h, "/redirect/10");
	(void)snprintf(url, sizeof(url), "http://localhost:%d/bytes/3", server.port);
	local = harness_add(h, url);
	(void)snprintf(url, sizeof(url), "http://me:word@127.0.0.1:%d/bytes/3", server.port);
	secret = harness_add(h, url);
	fragment = get(h, "/bytes/5?q=1#part");
	(void)snprintf(url, sizeof(url), "HTTP://127.0.0.1:%d?status#part", server.port);
	bare = harness_add(h, url);
	harness_run(h);
	expect_result(plain, "200 1000 http://127.0.0.1:%d/bytes/1000", server.port);
	expect_result(empty, "204 0 http://127.0.0.1:%d/status/204", server.port);
	expect_result(large, "200 20000000 http://127.0.0.1:%d/bytes/20000000", server.port);
	expect_result(redirected, "200 2 http://127.0.0.1:%d/bytes/2", server.port);
	expect_result(local, "200 3 http://localhost:%d/bytes/3", server.port);
	expect_result(secret, "200 3 http://127.0.0.1:%d/bytes/3", server.port);
	expect_result(fragment, "200 5 http://127.0.0.1:%d/bytes/5?q=1", server.port);
	assert_non_null(bare->failure);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/?status: the server answered 404", server.port);
	assert_string_equal(bare->failure, url);
	assert_true(large->progress > 0.9);
	harness_close(h);
}

static void what_is_no_web_address_is_refused(void **state)
{
	static const char *const inputs[] = {"", "x", "/etc/passwd", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://a/",
					     "http://", "http:///x", "http://a:99999/", "http://a b/", "http://a/\n",
					     "http://a/\x01", "http://[::1/", "http://[::1]80/", "http://a:0/", "http://a:8o/", "http://@/",
					     "http:/a/", "http:////a/", "HTTP", "javascript:alert(1)"};
	struct harness *h = open_downloader();
	struct harness_task *t;
	char *longest;

	(void)state;
	assert_int_equal(harness_start(h), 0);
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		t = harness_add(h, inputs[i]);
		harness_run(h);
		expect_failure(t, CONCD_FAIL_INPUT, "': ");
	}
	t = harness_add(h, "http://a<b/"); /* refused by libcurl */
	harness_run(h);
	expect_failure(t, CONCD_FAIL_INPUT, "http://a<b/: ");
	t = harness_add_bytes(h, "http://127.0.0.1/\0x", 19);
	harness_run(h);
	expect_failure(t, CONCD_FAIL_INPUT, "control characters");
	longest = malloc(1 << 20);
	assert_non_null(longest);
	memset(longest, 'a', 1 << 20);
	memcpy(longest, "http://a/", 9);
	t = harness_add_bytes(h, longest, 1 << 20);
	harness_run(h);
	expect_failure(t, CONCD_FAIL_INPUT, "longer than 16384");
	assert_true(strlen(t->failure) < 300);
	free(longest);
	harness_close(h);
}

static void failures_say_whether_trying_again_may_help(void **state)
{
	struct harness *h = open_downloader();
	struct harness_task *not_found, *gone, *broken, *busy, *many, *drop, *part, *refused, *stalled, *big;

	(void)state;
	harness_param(h, "stall_timeout", "200ms");
	harness_param(h, "max_bytes", "5000");
	assert_int_equal(harness_start(h), 0);
	not_found = get(h, "/nothing");
	gone = get(h, "/status/410");
	broken = get(h, "/status/500");
	busy = get(h, "/status/503/7");
	many = get(h, "/status/429");
	drop = get(h, "/drop");
	part = get(h, "/drop/100");
	refused = harness_add(h, "http://127.0.0.1:1/");
	stalled = get(h, "/stall");
	big = get(h, "/bytes/5001");
	harness_run(h);
	expect_failure(not_found, CONCD_FAIL_PERMANENT, "/nothing: the server answered 404");
	expect_failure(gone, CONCD_FAIL_PERMANENT, "410");
	expect_failure(broken, CONCD_FAIL_RETRY, "500");
	expect_failure(busy, CONCD_FAIL_RETRY, "503");
	assert_int_equal(busy->retry_after_ns, INT64_C(7000000000));
	expect_failure(many, CONCD_FAIL_RETRY, "429");
	assert_int_equal(many->retry_after_ns, -1);
	expect_failure(drop, CONCD_FAIL_RETRY, "/drop: ");
	expect_failure(part, CONCD_FAIL_RETRY, "900 bytes");
	expect_failure(refused, CONCD_FAIL_RETRY, "127.0.0.1");
	expect_failure(stalled, CONCD_FAIL_RETRY, "nothing came for 0.2 s");
	expect_failure(big, CONCD_FAIL_PERMANENT, "larger than max_bytes = 5000");
	harness_close(h);
}

static void redirects_are_limited_and_stay_on_the_web(void **state)
{
	struct harness *h = open_downloader();
	struct harness_task *enough, *too_many, *file, *nowhere;

	(void)state;
	harness_param(h, "max_redirects", "3");
	assert_int_equal(harness_start(h), 0);
	enough = get(h, "/redirect/3");
	too_many = get(h, "/redirect/4");
	file = get(h, "/redirect-to?url=file:///etc/passwd");
	nowhere = get(h, "/status/302");
	harness_run(h);
	assert_int_equal(enough->returned, 0);
	expect_failure(too_many, CONCD_FAIL_PERMANENT, "max_redirects = 3");
	expect_failure(file, CONCD_FAIL_PERMANENT, "neither http nor https");
	expect_failure(nowhere, CONCD_FAIL_PERMANENT, "without saying where");
	harness_close(h);
}

static void the_time_limit_covers_all_redirects(void **state)
{
	struct harness *h = open_downloader();
	struct harness_task *t;

	(void)state;
	harness_param(h, "timeout", "150ms");
	assert_int_equal(harness_start(h), 0);
	t = get(h, "/redirect-to?url=/slow/1000");
	harness_run(h);
	expect_failure(t, CONCD_FAIL_RETRY, "imed out");
	harness_close(h);
}

static void files_appear_complete_under_safe_and_unique_names(void **state)
{
	struct harness *h = open_downloader();
	struct harness_task *first, *second, *escape, *failed, *partial, *empty;
	char path[256], data[100];
	struct stat st;
	FILE *file;

	(void)state;
	harness_param(h, "dir", server.dir);
	assert_int_equal(harness_start(h), 0);
	first = get(h, "/bytes/100");
	harness_run(h);
	second = get(h, "/bytes/100");
	escape = get(h, "/bytes/3/..%2f..%2f.evil");
	failed = get(h, "/status/404");
	partial = get(h, "/drop/500");
	empty = get(h, "/bytes/0");
	harness_run(h);
	expect_result(first, "200 100 http://127.0.0.1:%d/bytes/100 %s/100", server.port, server.dir);
	expect_result(second, "200 100 http://127.0.0.1:%d/bytes/100 %s/100.1", server.port, server.dir);
	expect_result(escape, "200 3 http://127.0.0.1:%d/bytes/3/..%%2f..%%2f.evil %s/_._.._.evil", server.port, server.dir);
	expect_result(empty, "200 0 http://127.0.0.1:%d/bytes/0 %s/0", server.port, server.dir);
	assert_int_not_equal(failed->returned, 0);
	assert_int_not_equal(partial->returned, 0);
	(void)snprintf(path, sizeof(path), "%s/100.1", server.dir);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fread(data, 1, sizeof(data), file), 100);
	fclose(file);
	assert_memory_equal(data, "abcdefghijklmnopqrstuvwxyzabcd", 30);
	(void)snprintf(path, sizeof(path), "%s/0", server.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(count_files(true), 4); /* no temporary one is left */
	harness_close(h);
}

static void a_directory_that_cannot_be_written_is_named(void **state)
{
	static const char *const dirs[] = {"/nonexistent/directory", "/proc/self/cmdline"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct harness *h = open_downloader();
		struct harness_task *t;

		harness_param(h, "dir", dirs[i]);
		assert_int_equal(harness_start(h), 0);
		t = get(h, "/bytes/10");
		harness_run(h);
		expect_failure(t, CONCD_FAIL_PERMANENT, dirs[i]);
		harness_close(h);
	}
}

static void a_relative_directory_is_refused(void **state)
{
	struct harness *h = open_downloader();
	struct harness_task *t;

	(void)state;
	harness_param(h, "dir", "downloads");
	assert_int_equal(harness_start(h), 0);
	t = get(h, "/bytes/10");
	harness_run(h);
	expect_failure(t, CONCD_FAIL_PERMANENT, "not an absolute path");
	harness_close(h);
}

static void a_cancelled_download_ends_and_leaves_no_file(void **state)
{
	struct harness *h = open_downloader();
	struct harness_task *slow, *waiting;

	(void)state;
	harness_param(h, "dir", server.dir);
	harness_param(h, "per_host", "1");
	assert_int_equal(harness_start(h), 0);
	slow = get(h, "/slow/100000");
	waiting = get(h, "/bytes/1");
	while (slow->progress <= 0) /* until some of it is there */
		assert_true(harness_turn(h, true));
	assert_int_equal(count_files(false), 1);
	harness_cancel(slow);
	harness_run(h);
	assert_int_equal(slow->returned, -ECANCELED);
	assert_int_equal(waiting->returned, 0); /* its turn came */
	assert_int_equal(count_files(true), 1);
	harness_close(h);
}

static void connections_are_kept_and_used_again(void **state)
{
	unsigned long long before, after, max;
	struct harness *h;

	(void)state;
	get_stats("/stats", &before, &max);
	h = open_downloader();
	assert_int_equal(harness_start(h), 0);
	for (int i = 0; i < 20; i++) {
		get(h, "/bytes/10");
		get(h, "/redirect/2");
		harness_run(h);
	}
	harness_close(h);
	get_stats("/stats", &after, &max);
	assert_true(after - before <= 2 + 2 + 2); /* two at once; one a get_stats */
}

/* A handle that goes from one URL to the next keeps nothing of the one before. */
static void urls_after_each_other_are_asked_for_as_they_stand(void **state)
{
	static const struct {
		const char *path, *lands; /* NULL: 404 */
		unsigned long long bytes;
	} urls[] = {
		{"/bytes/1", "/bytes/1", 1},
		{"/bytes/2", "/bytes/2", 2}, /* from here on the handle has been used */
		{"/bytes/3?ms=1", "/bytes/3?ms=1", 3},
		{"/redirect-to?url=/bytes/4", "/bytes/4", 4},
		{"/redirect-to", NULL, 0}, /* without the query before */
		{"/redirect-to?url=/bytes/5", "/bytes/5", 5},
		{"/x/../bytes/6", "/x/../bytes/6", 6},
		{"/bytes/7?a=/../b", "/bytes/7?a=/../b", 7},
		{"/bytes/8#part", "/bytes/8", 8},
		{"/bytes/9?", "/bytes/9?", 9},
		{"/bytes/10", "/bytes/10", 10},
		{"/agent/me", "/agent/me", 2},
		{"/agent/you", NULL, 0},
	};
	struct harness *h = open_downloader();

	(void)state;
	harness_param(h, "user_agent", "me");
	assert_int_equal(harness_start(h), 0);
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct harness_task *t = get(h, urls[i].path);

		harness_run(h);
		if (urls[i].lands != NULL)
			expect_result(t, "200 %llu http://127.0.0.1:%d%s", urls[i].bytes, server.port, urls[i].lands);
		else
			expect_failure(t, CONCD_FAIL_PERMANENT, "404");
	}
	harness_close(h);
}

static void many_run_at_once_and_per_host_holds_them_back(void **state)
{
	unsigned long long connections, max;

	(void)state;
	for (int limited = 0; limited < 2; limited++) {
		struct harness *h = open_downloader();
		struct harness_task *tasks[100];

		get_stats("/stats?reset", &connections, &max);
		if (limited)
			harness_param(h, "per_host", "7");
		assert_int_equal(harness_start(h), 0);
		for (int i = 0; i < 100; i++)
			tasks[i] = get(h, "/bytes/100?ms=30");
		harness_run(h);
		for (int i = 0; i < 100; i++)
			assert_int_equal(tasks[i]->returned, 0);
		harness_close(h);
		get_stats("/stats", &connections, &max);
		if (limited)
			assert_int_equal(max, 7);
		else
			assert_true(max > 20);
	}
}

/* On this machine a connection is there at once, or not: then it is waited for. */
static void a_server_that_accepts_nothing_is_waited_for(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	struct harness *h = open_downloader();
	struct harness_task *tasks[6];
	unsigned waited = 0;
	char url[URL_SIZE];
	int fd;

	(void)state;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 0), 0); /* room for one or two connections that nobody accepts */
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	harness_param(h, "connect_timeout", "200ms");
	harness_param(h, "stall_timeout", "200ms");
	assert_int_equal(harness_start(h), 0);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(at.sin_port));
	for (size_t i = 0; i < 6; i++)
		tasks[i] = harness_add(h, url);
	harness_run(h);
	for (size_t i = 0; i < 6; i++) {
		assert_int_not_equal(tasks[i]->returned, 0);
		assert_non_null(tasks[i]->failure);
		if (strstr(tasks[i]->failure, "nothing came for 0.2 s") == NULL) {
			expect_failure(tasks[i], CONCD_FAIL_RETRY, "imeout"); /* libcurl's words differ otherwise */
			waited++;
		}
	}
	assert_true(waited >= 3);
	harness_close(h);
	close(fd);
}

static void names_from_urls_are_safe(void **state)
{
	static const char *const cases[][2] = {
		{"/a/b/file.txt", "file.txt"},
		{"/", "index"},
		{"", "index"},
		{"/..", "_."},
		{"/.hidden", "_hidden"},
		{"/%2e%2e", "_."},
		{"/a%2fb", "a_b"},
		{"/a%00b", "a_b"},
		{"/a%0ab%7f", "a_b_"},
		{"/a\\b", "a_b"},
		{"/100%25%zz%4", "100%%zz%4"},
		{"/caf%C3%A9", "caf\xc3\xa9"},
		{"/%C3%28%ff%C0%AF", "_(___"},
		{"/%ED%A0%80%C2%85x", "____x"}, /* a surrogate, a control character */
		{"/a b", "a b"},
	};
	char name[FILE_NAME_SIZE], path[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		file_name_from_path(cases[i][0], name);
		assert_string_equal(name, cases[i][1]);
	}
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	file_name_from_path(path, name);
	assert_int_equal(strlen(name), FILE_NAME_MAX);
	for (size_t i = 0; i < 340; i++) /* a character of three bytes is not cut in two */
		memcpy(path + 1 + 3 * i, "\xe2\x82\xac", 3);
	file_name_from_path(path, name);
	assert_int_equal(strlen(name), FILE_NAME_MAX / 3 * 3);
}

static void a_full_row_of_names_still_finds_one(void **state)
{
	char name[FILE_NAME_SIZE];
	struct file file = {0};

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(file_open(&file, server.dir, "x"), 0);
		assert_int_equal(file_write(&file, "y", 1), 0);
		assert_int_equal(file_keep(&file, "x", name), 0);
		if (i == 1)
			assert_string_equal(name, "x.1");
	}
	assert_int_equal(count_files(true), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_result_says_status_bytes_and_final_url),
		cmocka_unit_test(what_is_no_web_address_is_refused),
		cmocka_unit_test(failures_say_whether_trying_again_may_help),
		cmocka_unit_test(redirects_are_limited_and_stay_on_the_web),
		cmocka_unit_test(the_time_limit_covers_all_redirects),
		cmocka_unit_test(files_appear_complete_under_safe_and_unique_names),
		cmocka_unit_test(a_directory_that_cannot_be_written_is_named),
		cmocka_unit_test(a_relative_directory_is_refused),
		cmocka_unit_test(a_cancelled_download_ends_and_leaves_no_file),
		cmocka_unit_test(connections_are_kept_and_used_again),
		cmocka_unit_test(urls_after_each_other_are_asked_for_as_they_stand),
		cmocka_unit_test(many_run_at_once_and_per_host_holds_them_back),
		cmocka_unit_test(a_server_that_accepts_nothing_is_waited_for),
		cmocka_unit_test(names_from_urls_are_safe),
		cmocka_unit_test(a_full_row_of_names_still_finds_one),
	};

	return cmocka_run_group_tests_name("downloader", tests, start_server, stop_server);
}
