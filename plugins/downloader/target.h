/* A URL that may be downloaded, taken apart. Any thread. */
#ifndef CONCD_PLUGINS_DOWNLOADER_TARGET_H
#define CONCD_PLUGINS_DOWNLOADER_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#define TARGET_URL_MAX 16384

struct target {
	char *url; /* for libcurl; the texts below are in the same memory */
	const char *shown; /* without user, password and fragment, for results and messages */
	const char *path;
	const char *key; /* host:port */
	size_t origin_len; /* of the url's beginning, up to its path */
	bool plain; /* nothing in the url is special: what comes after origin_len is path and query as they stand */
	bool named; /* the host has to be looked up: it is neither an address nor localhost */
};

/* 0; -ENOMEM; -EINVAL with the reason in *ret_why (static text): not a URL, or neither http nor https. */
int target_parse(const char *url, size_t len, struct target *ret_target, const char **ret_why);
void target_fini(struct target *target); /* a zeroed one is fine */

#endif
