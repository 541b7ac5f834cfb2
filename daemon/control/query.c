/* The part of a request behind '?'. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "control/http_parse.h"
#include "control/server.h"

#define KEYS_MAX QUERY_MAX_PAIRS
#define KEY_MAX_BYTES 32

struct key_list {
	size_t n;
	char names[KEYS_MAX][KEY_MAX_BYTES];
};

static const char *key_at(const void *names, size_t i)
{
	return ((const struct key_list *)names)->names[i];
}

static void split_keys(const char *keys, struct key_list *ret_list)
{
	ret_list->n = 0;
	while (*keys && ret_list->n < KEYS_MAX) {
		size_t len = strcspn(keys, " ");

		(void)snprintf(ret_list->names[ret_list->n++], KEY_MAX_BYTES, "%.*s", (int)len, keys); /* our own words */
		keys += len;
		keys += strspn(keys, " ");
	}
}

static int refuse_key(const char *key, const char *keys, const struct key_list *known, struct error *err)
{
	const char *meant = text_nearest(key, known, known->n, key_at);

	if (known->n == 0)
		return error_set(err, -EINVAL, "bad-request", "query: '%.64s': this request takes no query keys", key);
	if (meant)
		return error_set(err, -EINVAL, "bad-request", "query: unknown key '%.64s'; did you mean '%s'?", key, meant);
	return error_set(err, -EINVAL, "bad-request", "query: unknown key '%.64s'; known here: %s", key, keys);
}

static int add_pair(char *pair, const char *keys, const struct key_list *known, struct query *query, struct error *err)
{
	char *value = strchr(pair, '=');
	size_t i;

	if (value)
		*value++ = '\0';
	else
		value = pair + strlen(pair); /* "key" alone: an empty value */
	if (http_percent_decode(pair) < 0 || http_percent_decode(value) < 0)
		return error_set(err, -EINVAL, "bad-request", "query: a bad %%XX escape at '%.64s'", pair);
	for (i = 0; i < known->n && strcmp(known->names[i], pair) != 0; i++)
		;
	if (i == known->n)
		return refuse_key(pair, keys, known, err);
	if (query_get(query, pair))
		return error_set(err, -EINVAL, "bad-request", "query: '%s' is given twice", pair);
	query->pairs[query->n].key = pair;
	query->pairs[query->n++].value = value;
	return 0;
}

int query_parse(char *text, const char *keys, struct query *ret_query, struct error *err)
{
	struct query query = { .n = 0 };
	struct key_list known;

	split_keys(keys, &known); /* at most QUERY_MAX_PAIRS, and none twice: pairs has room */
	while (text && *text) {
		char *next = strchr(text, '&');

		if (next)
			*next++ = '\0';
		if (*text) {
			int r = add_pair(text, keys, &known, &query, err);

			if (r < 0)
				return r;
		}
		text = next;
	}
	*ret_query = query;
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
