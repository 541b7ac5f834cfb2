/* One look at a URL or a TCP address: does it answer, how, and how fast. Used by run on the task's stack. */
#ifndef CONCD_PLUGINS_MONITOR_CHECK_H
#define CONCD_PLUGINS_MONITOR_CHECK_H

#include <concd/plugin.h>

#include <stdbool.h>

#include "../downloader/target.h"

struct session;

/* What is looked at. Zeroed, then filled by check_target_parse(); freed by check_target_fini(). */
struct check_target {
	char *shown; /* for people: without user and password */
	bool is_url;
	struct target url; /* is_url */
	char *host, *port; /* else */
};

/* "http://HOST/PATH", "https://HOST/PATH", "HOST:PORT" or "[ADDRESS]:PORT". 0; -ENOMEM; -EINVAL with the reason (static
 * text) in *ret_why. */
int check_target_parse(const char *text, size_t len, struct check_target *ret_target, const char **ret_why);
void check_target_fini(struct check_target *target); /* a zeroed one is fine */

/* Texts are valid while the task runs. */
struct check_options {
	int64_t timeout_ns; /* of one check */
	int64_t status; /* the answer that is right; 0: any below 400 */
	const char *user_agent, *ca_file; /* "": the system's */
};

#define CHECK_TEXT_BYTES 200

struct check {
	bool ok;
	int64_t took_ns;
	char text[CHECK_TEXT_BYTES]; /* "200", "connected", or what is wrong */
};

/* Each check makes a connection of its own. 0: *ret_check says what was found; -ECANCELED; -ENOMEM. */
CONCD_YIELDS int check_run(struct concd_task *task, struct session *session, const struct check_target *target,
			   const struct check_options *options, struct check *ret_check);

#endif
