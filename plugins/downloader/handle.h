/* libcurl's handle for a transfer, which goes from one transfer to the next, with what it was
 * told before. The runner's thread. */
#ifndef CONCD_PLUGINS_DOWNLOADER_HANDLE_H
#define CONCD_PLUGINS_DOWNLOADER_HANDLE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

struct handle {
	CURL *easy; /* owned */
	bool used; /* by an earlier transfer */
	CURLU *parts; /* the URL in parts, which the easy handle may refer to; NULL: never told one so */
	char *origin; /* what `parts` has up to the path, as text, without a NUL; NULL: nothing useful */
	size_t origin_len;
	struct curl_slist *agent; /* the header that says who asks; NULL: none */
	char *agent_text; /* what it says; NULL: never told */
};

/* The URL of the next exchange. origin_len: of its beginning, up to the path; plain: what comes behind is path and query
 * as they stand there. 0 or -ENOMEM; libcurl judges the URL in the exchange. */
int handle_set_url(struct handle *handle, const char *url, size_t origin_len, bool plain);
/* What to call ourselves; empty: nothing. The same as CURLOPT_USERAGENT, of which libcurl makes a header for each
 * transfer. 0 or -ENOMEM. */
int handle_set_agent(struct handle *handle, const char *agent);
void handle_fini(struct handle *handle); /* a zeroed one is fine */

#endif
