/* URLs that may be downloaded (see target.h). */
#include "target.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 255

static bool host_is_named(const char *host)
{
	static const char local[] = "localhost";
	size_t len = strlen(host), local_len = sizeof(local) - 1;
	struct in_addr v4;

	if (host[0] == '[' || inet_pton(AF_INET, host, &v4) == 1)
		return false;
	if (len < local_len || strcasecmp(host + len - local_len, local) != 0)
		return true;
	return len > local_len && host[len - local_len - 1] != '.';
}

static const char *reason(CURLUcode code)
{
	switch (code) {
	case CURLUE_UNSUPPORTED_SCHEME:
		return "neither http nor https";
	case CURLUE_NO_HOST:
		return "no host in it";
	case CURLUE_BAD_PORT_NUMBER:
		return "bad port number";
	default:
		return "not a URL: expected http://HOST/PATH or https://HOST/PATH";
	}
}

/* A part of the URL as a string that free() takes. */
static int get_part(CURLU *url, CURLUPart part, unsigned flags, char **ret_text)
{
	char *text, *copy;
	CURLUcode code;

	code = curl_url_get(url, part, &text, flags);
	if (code != CURLUE_OK)
		return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
	copy = strdup(text);
	curl_free(text);
	if (copy == NULL)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}

static int fill(CURLU *url, struct target *target, const char **ret_why)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	int r;

	r = get_part(url, CURLUPART_SCHEME, 0, &scheme);
	if (r < 0)
		goto out;
	if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
		*ret_why = reason(CURLUE_UNSUPPORTED_SCHEME);
		r = -EINVAL;
		goto out;
	}
	r = get_part(url, CURLUPART_HOST, 0, &host);
	if (r < 0)
		goto out;
	if (host[0] == '\0' || strlen(host) > HOST_MAX) {
		*ret_why = host[0] == '\0' ? reason(CURLUE_NO_HOST) : "the host's name is too long";
		r = -EINVAL;
		goto out;
	}
	r = get_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port);
	if (r < 0)
		goto out;
	r = get_part(url, CURLUPART_PATH, 0, &target->path);
	if (r < 0)
		goto out;
	r = get_part(url, CURLUPART_URL, 0, &target->url);
	if (r < 0)
		goto out;
	(void)curl_url_set(url, CURLUPART_USER, NULL, 0); /* removing a part cannot fail */
	(void)curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
	(void)curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
	r = get_part(url, CURLUPART_URL, 0, &target->shown);
	if (r < 0)
		goto out;
	if (asprintf(&target->key, "%s:%s", host, port) < 0) {
		target->key = NULL;
		r = -ENOMEM;
		goto out;
	}
	target->named = host_is_named(host);
out:
	free(scheme);
	free(host);
	free(port);
	return r;
}

int target_parse(const char *text, size_t len, struct target *ret_target, const char **ret_why)
{
	struct target target = {0};
	const char *slashes;
	CURLUcode code;
	CURLU *url;
	int r;

	*ret_why = reason(CURLUE_MALFORMED_INPUT);
	if (len > TARGET_URL_MAX) {
		*ret_why = "longer than 16384 bytes";
		return -EINVAL;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f) {
			*ret_why = "not a URL: it has spaces or control characters in it";
			return -EINVAL;
		}
	}
	url = curl_url();
	if (url == NULL)
		return -ENOMEM;
	code = curl_url_set(url, CURLUPART_URL, text, 0);
	if (code == CURLUE_OUT_OF_MEMORY) {
		r = -ENOMEM;
	} else if (code != CURLUE_OK) {
		*ret_why = reason(code);
		r = -EINVAL;
	} else {
		r = fill(url, &target, ret_why);
		slashes = strstr(text, "://"); /* libcurl takes one or three slashes for two */
		if (r == 0 && (slashes == NULL || slashes[3] == '/'))
			r = -EINVAL;
	}
	curl_url_cleanup(url);
	if (r < 0) {
		target_fini(&target);
		return r;
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
