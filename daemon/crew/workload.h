/* The workloads this daemon knows: their plugins' descriptions, joined with their stanzas.
 *
 * A plugin is described by `concd-worker --describe FILE`, under a time limit, in a process of its own: the daemon
 * never maps plugin code. Descriptions are cached in the store by path, device, inode, size, mtime and ABI.
 */
#ifndef CONCD_CREW_WORKLOAD_H
#define CONCD_CREW_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct error;
struct loop;
struct store;
struct workload_config;
struct workloads;

/* What a plugin says of itself (include/concd/plugin.h), as text and numbers. */
struct plugin_param {
	char *name;
	uint32_t type, flags; /* CONCD_PARAM_* */
	char *value, *min, *max, *choices, *help; /* never NULL: "" where not given */
};

struct plugin_info {
	char *name, *version, *summary;
	uint32_t kind, flags, needs; /* CONCD_KIND_*, CONCD_THREAD_SAFE ..., CONCD_NEEDS_* */
	bool has_init, has_split;
	struct plugin_param *params;
	size_t n_params;
};

/* Parse what --describe printed (JSON). 0 or -EBADMSG with the reason. */
int plugin_info_parse(const char *json, size_t len, struct plugin_info **ret_info, struct error *err);
void plugin_info_free(struct plugin_info *info); /* NULL is fine */
const struct plugin_param *plugin_info_find_param(const struct plugin_info *info, const char *name);

struct workload {
	const char *name; /* of the stanza, or of the plugin where there is none */
	char *plugin_path;
	const struct plugin_info *info; /* NULL: not usable, see why_not */
	const char *why_not; /* why the plugin could not be described; NULL: usable */
	const struct workload_config *config; /* the stanza, or the defaults under this name */
	bool thread_safe, idempotent, deterministic; /* plugin's promise and configuration's permission together */
};

/* Describe every plugin that a stanza names or that lies in plugin_dir, at most `jobs` at once. Blocks (start-up and
 * `concd -t`); uses and fills the store's cache where store is given. A plugin that cannot be described is logged and
 * kept with why_not; so is a stanza whose parameters its plugin does not take. 0; -ENOMEM; -errno where nothing could
 * be run. */
int workloads_open(const struct config *config, struct store *store, struct workloads **ret_workloads,
		   struct error *err);
void workloads_close(struct workloads *workloads);

size_t workloads_count(const struct workloads *workloads);
const struct workload *workloads_at(const struct workloads *workloads, size_t i); /* sorted by name */
/* The workload called name. 0; -ENOENT (code no-such-workload, with "did you mean"); -ENOEXEC (code
 * workload-unusable): known, but its plugin cannot be used, with the reason. */
int workloads_find(const struct workloads *workloads, const char *name, const struct workload **ret_workload,
		   struct error *err);

/* Check one parameter's text against its declaration. 0, or -EINVAL (code bad-parameter) with name, value and what
 * would be right. */
int plugin_param_check(const struct plugin_param *param, const char *value, struct error *err);

#endif
