/* The part of a request behind '?'. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "control/http_parse.h"
#include "control/server.h"

#define KEY_MAX_BYTES 32

/* The next of the words of `keys`, from *at on; its length, 0: there is none. */
static size_t next_key(const char **at)
{
	*at += strspn(*at, " ");
	return strcspn(*at, " ");
}

static bool is_key(const char *keys, const char *text)
{
	size_t len, want = strlen(text);

	for (; (len = next_key(&keys)) > 0; keys += len)
		if (len == want && memcmp(keys, text, len) == 0)
			return true;
	return false;
}

struct key_list {
	size_t n;
	char names[QUERY_MAX_PAIRS][KEY_MAX_BYTES];
};

static const char *key_at(const void *names, size_t i)
{
	return ((const struct key_list *)names)->names[i];
}

static int refuse_key(const char *key, const char *keys, struct error *err)
{
	struct key_list known = { .n = 0 };
	const char *meant, *at = keys;
	size_t len;

	for (; (len = next_key(&at)) > 0 && known.n < QUERY_MAX_PAIRS; at += len)
		(void)snprintf(known.names[known.n++], KEY_MAX_BYTES, "%.*s", (int)len, at); /* our own words */
	if (known.n == 0)
		return error_set(err, -EINVAL, "bad-request", "query: '%.64s': this request takes no query keys", key);
	meant = text_nearest(key, &known, known.n, key_at);
	if (meant)
		return error_set(err, -EINVAL, "bad-request", "query: unknown key '%.64s'; did you mean '%s'?", key, meant);
	return error_set(err, -EINVAL, "bad-request", "query: unknown key '%.64s'; known here: %s", key, keys);
}

static int add_pair(char *pair, const char *keys, struct query *query, struct error *err)
{
	char *value = strchr(pair, '=');

	if (value)
		*value++ = '\0';
	else
		value = pair + strlen(pair); /* "key" alone: an empty value */
	if (http_percent_decode(pair) < 0 || http_percent_decode(value) < 0)
		return error_set(err, -EINVAL, "bad-request", "query: a bad %%XX escape at '%.64s'", pair);
	if (!is_key(keys, pair))
		return refuse_key(pair, keys, err);
	if (query_get(query, pair))
		return error_set(err, -EINVAL, "bad-request", "query: '%s' is given twice", pair);
	assert(query->n < QUERY_MAX_PAIRS); /* more keys than any table row has */
	query->pairs[query->n].key = pair;
	query->pairs[query->n++].value = value;
	return 0;
}

int query_parse(char *text, const char *keys, struct query *ret_query, struct error *err)
{
	ret_query->n = 0;
	while (text && *text) {
		char *next = strchr(text, '&');

		if (next)
			*next++ = '\0';
		if (*text) {
			int r = add_pair(text, keys, ret_query, err);

			if (r < 0)
				return r;
		}
		text = next;
	}
	return 0;
}

const char *query_get(const struct query *query, const char *key)
{
	for (size_t i = 0; i < query->n; i++)
		if (strcmp(query->pairs[i].key, key) == 0)
			return query->pairs[i].value;
	return NULL;
}

int query_get_bool(const struct query *query, const char *key, bool *ret_value, struct error *err)
{
	const char *text = query_get(query, key);

	if (text && text_parse_bool(text, ret_value) < 0)
		return error_set(err, -EINVAL, "bad-request", "%s: '%.64s' is neither 0 nor 1", key, text);
	return 0;
}

int query_get_u64(const struct query *query, const char *key, uint64_t *ret_value, struct error *err)
{
	const char *text = query_get(query, key);

	if (text && text_parse_u64(text, ret_value) < 0)
		return error_set(err, -EINVAL, "bad-request", "%s: '%.64s' is not a number from 0 on", key, text);
	return 0;
}
