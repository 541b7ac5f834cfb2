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
#include <stdint.h>
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
	size_t origin_len; /* up to the path */
	bool plain;
};

static struct piece cut(const char *from, const char *to)
{
	return (struct piece){.at = from, .len = (size_t)(to - from)};
}

/* What a character of a URL is. */
enum {
	BAD = 1, /* not allowed */
	ENDS_AUTHORITY = 2,
	ENDS_PATH = 4,
	SPECIAL = 8, /* libcurl may read more into it than the character */
};

static const uint8_t kind_of[256] = {
	[0 ... ' '] = BAD,
	[0x7f] = BAD,
	[0x80 ... 0xff] = SPECIAL,
	['/'] = ENDS_AUTHORITY,
	['?'] = ENDS_AUTHORITY | ENDS_PATH,
	['#'] = ENDS_AUTHORITY | ENDS_PATH | SPECIAL,
	['%'] = SPECIAL,
	['@'] = SPECIAL,
	['['] = SPECIAL,
	[']'] = SPECIAL,
	['\\'] = SPECIAL,
};

static uint8_t kind(char c)
{
	return kind_of[(unsigned char)c];
}

/* Where the first character of this kind is, else `end`. */
static const char *first_of(const char *from, const char *end, uint8_t wanted)
{
	while (from < end && !(kind(*from) & wanted))
		from++;
	return from;
}

static const char *first_char(const char *from, const char *end, char c)
{
	while (from < end && *from != c)
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
	const char *from = host < end && *host == '[' ? first_char(host, end, ']') : host, *colon = first_char(from, end, ':');

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

/* Is all that libcurl reads in path and query what stands there? Dots between slashes it takes out, and a question mark
 * with nothing behind it. */
static bool rest_is_plain(struct piece path, const char *end)
{
	return path.len > 0 && memmem(path.at, path.len, "/.", 2) == NULL && end[-1] != '?';
}

/* NULL, or why this cannot be downloaded. */
static const char *take_apart(const char *text, size_t len, struct pieces *pieces)
{
	const char *end = text + len, *authority, *path, *query, *why;
	uint8_t seen = 0;

	if (len > TARGET_URL_MAX)
		return "longer than 16384 bytes";
	for (size_t i = 0; i < len; i++)
		seen |= kind(text[i]);
	if (seen & BAD)
		return "not a URL: it has spaces or control characters in it";
	pieces->secure = begins_with(text, len, "https://");
	if (!pieces->secure && !begins_with(text, len, "http://"))
		return memmem(text, len, "://", 3) != NULL ?
			       "neither http nor https" : "not a URL: expected http://HOST/PATH or https://HOST/PATH";
	authority = text + strlen(pieces->secure ? "https://" : "http://");
	path = first_of(authority, end, ENDS_AUTHORITY);
	why = take_authority(authority, path, pieces);
	if (why != NULL)
		return why;
	query = first_of(path, end, ENDS_PATH);
	pieces->path = cut(path, query);
	pieces->query = cut(query, first_char(query, end, '#'));
	pieces->origin_len = (size_t)(path - text);
	pieces->plain = !(seen & SPECIAL) && rest_is_plain(pieces->path, end);
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

/* A text of these pieces, one behind the other, at *at, which goes on behind it. */
static char *join(char **at, const struct piece *pieces, size_t n)
{
	char *text = *at, *end = text;

	for (size_t i = 0; i < n; i++)
		end = mempcpy(end, pieces[i].at, pieces[i].len);
	*end = '\0';
	*at = end + 1;
	return text;
}

#define PIECE(text) {.at = (text), .len = sizeof(text) - 1}

int target_parse(const char *text, size_t len, struct target *ret_target, const char **ret_why)
{
	static const struct piece schemes[] = {PIECE("http://"), PIECE("https://")}, ports[] = {PIECE("80"), PIECE("443")};
	static const struct piece colon = PIECE(":"), slash = PIECE("/"), nothing = PIECE("");
	struct pieces url = {0};
	const char *why = take_apart(text, len, &url);
	bool bare = url.port.len == 0; /* with the scheme's own port */
	char *at;

	if (why != NULL) {
		*ret_why = why;
		return -EINVAL;
	}
	if (url.path.len == 0)
		url.path = slash;
	/* For each text a NUL; two for a path that is not there, four for the port's number. */
	at = malloc(2 * len + url.path.len + url.host.len + url.port.len + 4 + 2 + 5);
	if (at == NULL)
		return -ENOMEM;
	*ret_target = (struct target){
		.origin_len = url.origin_len,
		.plain = url.plain,
		.named = host_is_named(url.host.at, url.host.len),
	};
	ret_target->url = join(&at, &(struct piece){.at = text, .len = len}, 1);
	ret_target->shown = join(&at, (struct piece[]){schemes[url.secure], url.host, bare ? nothing : colon, url.port,
						       url.path, url.query}, 6);
	ret_target->path = join(&at, &url.path, 1);
	ret_target->key = join(&at, (struct piece[]){url.host, colon, bare ? ports[url.secure] : url.port}, 3);
	return 0;
}

void target_fini(struct target *target)
{
	free(target->url);
	*target = (struct target){0};
}
