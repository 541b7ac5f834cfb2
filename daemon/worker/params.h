/* The parameters of a workload, parsed once so that a task's look-up costs a few comparisons.
 *
 * Values come as text from the daemon, which has resolved and checked them; what is missing takes the plugin's default.
 * Immutable once built: any thread may read.
 */
#ifndef CONCD_WORKER_PARAMS_H
#define CONCD_WORKER_PARAMS_H

#include <stddef.h>
#include <stdint.h>

struct concd_plugin;
struct error;
struct params;
struct reader;

#define PARAMS_MAX 256

/* Read `n params, then n x (text name, text value)` from a message. Names that the plugin does not declare are ignored.
 * 0; -ENOMEM; -EBADMSG: cut or malformed; -EINVAL: a value that is not of its type. */
int params_read(const struct concd_plugin *plugin, struct reader *reader, struct params **ret_params,
		struct error *err);
/* The plugin's defaults alone. 0, -ENOMEM, -EINVAL. */
int params_default(const struct concd_plugin *plugin, struct params **ret_params, struct error *err);
void params_free(struct params *params); /* NULL is fine */

/* 0; -ENOENT: not declared; -EINVAL: declared with another type (INT, BOOL, DURATION and SIZE are all integers). Text
 * is valid as long as params. */
int params_text(const struct params *params, const char *name, const char **ret_value);
int params_int(const struct params *params, const char *name, int64_t *ret_value);
int params_number(const struct params *params, const char *name, double *ret_value);

/* Parse a value of the type (CONCD_PARAM_*): integers of all kinds into *ret_int, numbers into *ret_number; "" is 0.
 * 0 or -EINVAL; -ERANGE. */
int param_parse(uint32_t type, const char *text, int64_t *ret_int, double *ret_number);

#endif
