/* PROTOCOL.md against the code: its table of requests and the one of the server, its table of errors and the one both
 * ends compile. */
#include "unit.h"

#include "base/buffer.h"
#include "base/io.h"
#include "control/server.h"
#include "ctl/protocol.h"

struct exit_name {
	const char *code;
	int http, exit;
};

#define ROW(code, http, exit) { code, http, exit },
static const struct exit_name errors[] = { PROTOCOL_ERRORS(ROW) };

static struct buffer read_page(void)
{
	const char *top = getenv("top_srcdir");
	struct buffer page = BUFFER_INIT;
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/ctl/PROTOCOL.md", top ? top : ".");
	assert_int_equal(io_read_file(path, 1u << 20, &page), 0);
	assert_int_equal(buffer_add(&page, "", 1), 0);
	return page;
}

/* Is "KEY=" in the text, as a word? */
static bool has_key(const char *text, const char *key, size_t len)
{
	for (const char *at = text; (at = memmem(at, strlen(at), key, len)); at += len)
		if (at[len] == '=' && at > text && (at[-1] == '?' || at[-1] == '&'))
			return true;
	return false;
}

static void every_request_of_the_page_is_served_and_the_other_way_round(void **state)
{
	struct buffer page = read_page();
	char *save = NULL;
	size_t listed = 0, n = 0;

	(void)state;
	while (routes_at(n))
		n++;
	for (char *line = strtok_r((char *)page.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char method[8], target[256];
		const struct route *route = NULL;
		const char *path_end;

		if (sscanf(line, "| `%7[A-Z] %255[^`]`", method, target) != 2)
			continue;
		listed++;
		path_end = target + strcspn(target, "?[");
		for (size_t i = 0; i < n; i++)
			if (strcmp(routes_at(i)->method, method) == 0 &&
			    strlen(routes_at(i)->path) == (size_t)(path_end - target) &&
			    strncmp(routes_at(i)->path, target, (size_t)(path_end - target)) == 0)
				route = routes_at(i);
		if (!route)
			fail_msg("PROTOCOL.md lists '%s %s', which is not served", method, target);
		for (const char *key = route->keys; *key; key += strspn(key, " ")) {
			size_t len = strcspn(key, " ");

			if (!has_key(target, key, len))
				fail_msg("'%s %s' takes '%.*s', which PROTOCOL.md does not list there", method, route->path,
					 (int)len, key);
			key += len;
		}
		for (const char *key = path_end; (key = strpbrk(key, "?&")); key++) {
			size_t len = strcspn(key + 1, "=");
			const char *known = route->keys;

			while (*known && !(strncmp(known, key + 1, len) == 0 && strchr(" ", known[len]))) {
				known += strcspn(known, " ");
				known += strspn(known, " ");
			}
			if (!*known)
				fail_msg("PROTOCOL.md lists '%.*s' for '%s %s'", (int)len, key + 1, method, route->path);
		}
	}
	assert_int_equal(listed, n);
	buffer_fini(&page);
}

static void every_error_of_the_page_is_known_and_the_other_way_round(void **state)
{
	struct buffer page = read_page();
	char *save = NULL;
	size_t listed = 0;

	(void)state;
	for (char *line = strtok_r((char *)page.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char code[64];
		int http, exit_status;
		size_t i = 0;

		if (sscanf(line, "| `%63[a-z-]` | %d | %d |", code, &http, &exit_status) != 3)
			continue;
		listed++;
		while (i < sizeof(errors) / sizeof(errors[0]) && strcmp(errors[i].code, code) != 0)
			i++;
		if (i == sizeof(errors) / sizeof(errors[0]))
			fail_msg("PROTOCOL.md lists the error '%s', which is unknown", code);
		assert_int_equal(errors[i].http, http);
		assert_int_equal(errors[i].exit, exit_status);
		assert_int_equal(protocol_http_status(code), http);
	}
	assert_int_equal(listed, sizeof(errors) / sizeof(errors[0]));
	buffer_fini(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_of_the_page_is_served_and_the_other_way_round),
		cmocka_unit_test(every_error_of_the_page_is_known_and_the_other_way_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
