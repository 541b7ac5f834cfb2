/* URLs that may be downloaded (see target.h).
 *
 *	http://user:password@host:port/path?query#fragment
 *
 * Here is taken out of them what the gate, messages and file names need; libcurl, which is given the URL as it came,
 * has the last word on what is one. Its own functions for URLs take 7 KiB of stack and several times as long, which
 * tells where ten thousand tasks have a stack each.
 */
#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 255

/* A piece of the URL's text. */
struct piece {
	const char *at;
	size_t len;
};

struct pieces {
	bool secure; /* https */
	struct piece host; /* with its brackets */
	struct piece port; /* empty: the scheme's */
	struct piece path, query; /* the query with its question mark */
};

static struct piece cut(const char *from, const char *to)
{
	return (struct piece){.at = from, .len = (size_t)(to - from)};
}

/* Where the first of these characters is, else `end`. */
static const char *first_of(const char *from, const char *end, const char *set)
{
	while (from < end && strchr(set, *from) == NULL)
		from++;
	return from;
}

static bool begins_with(const char *text, size_t len, const char *with)
{
	size_t n = strlen(with);

	return len >= n && strncasecmp(text, with, n) == 0;
}

static bool port_is_good(struct piece port)
{
	unsigned value = 0;

	if (port.len > 5)
		return false;
	for (size_t i = 0; i < port.len; i++) {
		if (port.at[i] < '0' || port.at[i] > '9')
			return false;
		value = value * 10 + (unsigned)(port.at[i] - '0');
	}
	return port.len == 0 || (value > 0 && value < 65536);
}

/* `[user[:password]@]host[:port]`. NULL, or what is wrong with it. */
static const char *take_authority(const char *at, const char *end, struct pieces *pieces)
{
	const char *login = memrchr(at, '@', (size_t)(end - at)), *host = login != NULL ? login + 1 : at;
	const char *from = host < end && *host == '[' ? first_of(host, end, "]") : host, *colon = first_of(from, end, ":");

	pieces->host = cut(host, colon);
	pieces->port = cut(colon < end ? colon + 1 : end, end);
	if (pieces->host.len == 0)
		return "no host in it";
	if (pieces->host.len > HOST_MAX)
		return "the host's name is too long";
	if (*host == '[' && (from == end || colon != from + 1))
		return "no closing bracket behind the host's address";
	return port_is_good(pieces->port) ? NULL : "bad port number";
}

/* NULL, or why this cannot be downloaded. */
static const char *take_apart(const char *text, size_t len, struct pieces *pieces)
{
	const char *end = text + len, *authority, *path, *query, *why;

	if (len > TARGET_URL_MAX)
		return "longer than 16384 bytes";
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return "not a URL: it has spaces or control characters in it";
	pieces->secure = begins_with(text, len, "https://");
	if (!pieces->secure && !begins_with(text, len, "http://"))
		return memmem(text, len, "://", 3) != NULL ?
			       "neither http nor https" : "not a URL: expected http://HOST/PATH or https://HOST/PATH";
	authority = text + strlen(pieces->secure ? "https://" : "http://");
	path = first_of(authority, end, "/?#");
	why = take_authority(authority, path, pieces);
	if (why != NULL)
		return why;
	query = first_of(path, end, "?#");
	pieces->path = cut(path, query);
	pieces->query = cut(query, first_of(query, end, "#"));
	return NULL;
}

static bool host_is_named(const char *host, size_t len)
{
	static const char local[] = "localhost";
	size_t local_len = sizeof(local) - 1;
	char address[INET_ADDRSTRLEN];
	struct in_addr v4;

	if (host[0] == '[')
		return false;
	if (len < sizeof(address)) {
		memcpy(address, host, len);
		address[len] = '\0';
		if (inet_pton(AF_INET, address, &v4) == 1)
			return false;
	}
	if (len < local_len || strncasecmp(host + len - local_len, local, local_len) != 0)
		return true;
	return len > local_len && host[len - local_len - 1] != '.';
}

/* The pieces one behind the other; NULL: out of memory. */
static char *join(const struct piece *pieces, size_t n)
{
	size_t len = 0;
	char *text, *at;

	for (size_t i = 0; i < n; i++)
		len += pieces[i].len;
	text = at = malloc(len + 1);
	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		at = mempcpy(at, pieces[i].at, pieces[i].len);
	*at = '\0';
	return text;
}

#define PIECE(text) {.at = (text), .len = sizeof(text) - 1}

int target_parse(const char *text, size_t len, struct target *ret_target, const char **ret_why)
{
	static const struct piece schemes[] = {PIECE("http://"), PIECE("https://")}, ports[] = {PIECE("80"), PIECE("443")};
	static const struct piece colon = PIECE(":"), slash = PIECE("/"), nothing = PIECE("");
	const struct piece whole = {.at = text, .len = len};
	struct pieces url = {0};
	struct target target;
	const char *why = take_apart(text, len, &url);
	bool bare; /* with the scheme's own port */

	if (why != NULL) {
		*ret_why = why;
		return -EINVAL;
	}
	bare = url.port.len == 0;
	if (url.path.len == 0)
		url.path = slash;
	target = (struct target){
		.url = join(&whole, 1),
		.shown = join((struct piece[]){schemes[url.secure], url.host, bare ? nothing : colon, url.port, url.path,
					       url.query}, 6),
		.path = join(&url.path, 1),
		.key = join((struct piece[]){url.host, colon, bare ? ports[url.secure] : url.port}, 3),
		.named = host_is_named(url.host.at, url.host.len),
	};
	if (target.url == NULL || target.shown == NULL || target.path == NULL || target.key == NULL) {
		target_fini(&target);
		return -ENOMEM;
	}
	*ret_target = target;
	return 0;
}

void target_fini(struct target *target)
{
	free(target->url);
	free(target->shown);
	free(target->path);
	free(target->key);
	*target = (struct target){0};
}
