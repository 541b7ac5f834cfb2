/* What goes along with a handle from one transfer to the next (see handle.h).
 *
 * For each transfer libcurl parses the URL and puts it together again, which is a sixth of what it computes for a small
 * download. A handle that goes from one URL to another of the same scheme and host is told only the path and the query.
 */
#include "handle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void forget(struct handle *handle)
{
	free(handle->origin);
	handle->origin = NULL;
}

/* Parsed as libcurl would by itself. 0; -EINVAL: not to be told in parts; -ENOMEM. */
static int parse(struct handle *handle, const char *url, size_t origin_len)
{
	forget(handle);
	if (handle->parts == NULL)
		handle->parts = curl_url();
	if (handle->parts == NULL)
		return -ENOMEM;
	if (curl_url_set(handle->parts, CURLUPART_URL, url, 0) != CURLUE_OK)
		return -EINVAL;
	handle->origin = malloc(origin_len);
	if (handle->origin == NULL)
		return -ENOMEM;
	memcpy(handle->origin, url, origin_len);
	handle->origin_len = origin_len;
	return 0;
}

/* Path and query, `/...[?...]`, instead of those of the URL before. */
static int replace(struct handle *handle, const char *rest)
{
	const char *query = strchrnul(rest, '?');
	char *path = strndup(rest, (size_t)(query - rest));
	CURLUcode code;

	if (path == NULL)
		return -ENOMEM;
	code = curl_url_set(handle->parts, CURLUPART_PATH, path, 0);
	free(path);
	if (code == CURLUE_OK)
		code = curl_url_set(handle->parts, CURLUPART_QUERY, *query != '\0' ? query + 1 : NULL, 0);
	return code == CURLUE_OK ? 0 : -ENOMEM; /* nothing else can be wrong with plain ones */
}

int handle_set_url(struct handle *handle, const char *url, size_t origin_len, bool plain)
{
	bool known = handle->origin != NULL && handle->origin_len == origin_len &&
		     memcmp(handle->origin, url, origin_len) == 0;
	int r = -EINVAL;

	/* One that is used once gains nothing. */
	if (plain && handle->used)
		r = known ? replace(handle, url + origin_len) : parse(handle, url, origin_len);
	if (r == -ENOMEM || curl_easy_setopt(handle->easy, CURLOPT_URL, url) != CURLE_OK) {
		forget(handle);
		return -ENOMEM;
	}
	/* The parts go before the text, which libcurl wants nevertheless: else it makes one of the parts. */
	(void)curl_easy_setopt(handle->easy, CURLOPT_CURLU, r == 0 ? handle->parts : NULL);
	return 0;
}

int handle_set_agent(struct handle *handle, const char *agent)
{
	struct curl_slist *list = NULL;
	char *header, *text;

	if (handle->agent_text != NULL && strcmp(handle->agent_text, agent) == 0)
		return 0;
	text = strdup(agent);
	if (text == NULL)
		return -ENOMEM;
	if (agent[0] != '\0') {
		if (asprintf(&header, "User-Agent: %s", agent) < 0)
			header = NULL;
		list = header != NULL ? curl_slist_append(NULL, header) : NULL;
		free(header);
		if (list == NULL) {
			free(text);
			return -ENOMEM;
		}
	}
	(void)curl_easy_setopt(handle->easy, CURLOPT_HTTPHEADER, list); /* it only stores the pointer */
	curl_slist_free_all(handle->agent); /* NULL is fine */
	free(handle->agent_text);
	handle->agent = list;
	handle->agent_text = text;
	return 0;
}

void handle_fini(struct handle *handle)
{
	if (handle->easy != NULL)
		curl_easy_cleanup(handle->easy);
	curl_url_cleanup(handle->parts); /* NULL is fine, as for the list */
	curl_slist_free_all(handle->agent);
	free(handle->agent_text);
	forget(handle);
	*handle = (struct handle){0};
}
