/* The daemon as one object: it owns every part, starts them in order and stops them in reverse. */
#ifndef CONCD_CONCD_H
#define CONCD_CONCD_H

#include <stdbool.h>

struct concd;
struct error;

struct concd_options {
	const char *config_path; /* NULL: the default places (config.h) */
	bool verbose; /* log level debug, whatever the configuration says */
};

/* Start everything; from here on the control socket answers. 0, or -errno with words; code bad-config for what the
 * user must mend in the configuration. Blocks while plugins that are not cached are described. */
int concd_open(const struct concd_options *options, struct concd **ret_concd, struct error *err);
/* Serve until SIGTERM, SIGINT or a shutdown request; then finish what has begun, within the grace time. 0 or -errno. */
int concd_run(struct concd *concd);
void concd_close(struct concd *concd); /* NULL and half started are fine */

/* Check configuration and plugins without starting: `concd -t`. Prints what was found wrong. 0 or -errno with words. */
int concd_check(const struct concd_options *options, struct error *err);

/* Look through the store and print what is found: `concd --check-store`. 0; -EBADMSG: damage was found and said; else -errno
 * with words, as store_check(). Changes nothing; a daemon may run meanwhile. */
int concd_check_store(const struct concd_options *options, struct error *err);

#endif
