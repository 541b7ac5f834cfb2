/* Reading concd.conf and its conf.d.
 *
 * All files are opened and parsed first; then the settings of each are applied in order, so that a later file overrides
 * single settings of an earlier one; then the stanzas of workloads, on top of what `defaults` came to in the end. A
 * workload has one stanza: a second one, in whatever file, is refused, because half of each would surprise.
 */
#include "config.h"
#include "config_private.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#define SYSTEM_FILE SYSCONFDIR "/concd.conf"
#define SYSTEM_GROUP "concd"

struct file {
	char *path;
	config_t tree; /* of libconfig */
};

struct loader {
	struct config *config;
	struct error *err;
	struct file *files;
	size_t n_files;
	struct config_places places;
};

static void loader_fini(struct loader *loader)
{
	for (size_t i = 0; i < loader->n_files; i++) {
		config_destroy(&loader->files[i].tree);
		free(loader->files[i].path);
	}
	free(loader->files);
	config_places_fini(&loader->places);
	config_free(loader->config);
}

/* ---- Built-in values ---- */

static const struct config built_in = {
	.socket_mode = 0660,
	.log_level = LOG_LEVEL_INFO,
	.log_target = LOG_TARGET_AUTO,
	.defaults = {
		.durable = true,
		.idempotent = true,
		.deterministic = true,
		.thread_safe = true,
		.grace_ns = 5 * NS_PER_S,
		.idle_timeout_ns = 30 * NS_PER_S,
		.stall_ns = 50 * NS_PER_MS,
		.start_timeout_ns = 30 * NS_PER_S,
		.backoff_ns = NS_PER_S,
		.max_crashes = 2,
		.max_result_bytes = UINT64_C(16) << 20,
		.keep_age_ns = 7 * 86400 * NS_PER_S,
	},
	.keep_jobs = 10000,
	.max_clients = 256,
	.max_clients_per_user = 128,
	.max_request_bytes = UINT64_C(2) << 20,
	.max_jobs = 1000000,
	.max_jobs_per_user = 500000,
	.max_tasks = 10000000,
	.max_queued_tasks = 100000000,
	.max_queued_tasks_per_user = 50000000,
	.max_queued_bytes = UINT64_C(1) << 30,
	.max_queued_bytes_per_user = UINT64_C(1) << 29,
	.max_workers = 100000,
	.max_processes = 512,
	.open_timeout_ns = 600 * NS_PER_S,
	.max_hooks = 4,
	.hook_timeout_ns = 30 * NS_PER_S,
	.keep_ephemeral = 100,
};

static int find_programs(struct config *config, struct error *err)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return error_set(err, -errno, "internal", "/proc/self/exe: %s: concd needs /proc", strerror(errno));
	exe[n] = '\0';
	if (config_find_programs(exe, &config->worker_path, &config->plugin_dir) < 0)
		return config_out_of_memory(err);
	return 0;
}

static int config_new(bool system, struct config **ret_config, struct error *err)
{
	struct config *config = malloc(sizeof(*config));
	int r;

	if (!config)
		return config_out_of_memory(err);
	*config = built_in;
	config->defaults.model = strdup("auto");
	r = config->defaults.model ? config_find_places(system, &config->socket_path, &config->state_dir, err)
				   : config_out_of_memory(err);
	if (r == 0)
		r = find_programs(config, err);
	/* Static storage is fine: the daemon has one thread when it reads its configuration. */
	if (r == 0 && system && getgrnam(SYSTEM_GROUP)) {
		config->socket_group = strdup(SYSTEM_GROUP);
		if (!config->socket_group)
			r = config_out_of_memory(err);
	}
	if (r < 0) {
		config_free(config);
		return r;
	}
	*ret_config = config;
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->n_workloads; i++)
		config_workload_fini(&config->workloads[i]);
	free(config->workloads);
	config_workload_fini(&config->defaults);
	config_hooks_free(config);
	free(config->path);
	free(config->socket_path);
	free(config->socket_group);
	free(config->state_dir);
	free(config->plugin_dir);
	free(config->worker_path);
	free(config);
}

/* ---- Files ---- */

static int parse_file(const char *path, config_t *tree, struct error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	int r;

	if (!dir)
		return config_out_of_memory(err);
	r = config_scan_file(path, dir, err);
	if (r < 0)
		return r;
	config_set_include_dir(tree, dir);
	if (config_read_file(tree, path) == CONFIG_TRUE)
		return 0;
	if (config_error_type(tree) == CONFIG_ERR_FILE_IO)
		return error_set(err, -EIO, "bad-config", "%s: cannot be read", path);
	return error_set(
		err, -EINVAL, "bad-config", "%s:%d: %s: %s", config_error_file(tree) ? config_error_file(tree) : path,
		config_error_line(tree), config_error_text(tree),
		strstr(config_error_text(tree), "uplicate")
			? "a key stands once in a group"
			: "write key = value; with text in quotes, groups in { } and a ; or line end behind each");
}

static int add_file(struct loader *loader, const char *path)
{
	struct file *files = reallocarray(loader->files, loader->n_files + 1, sizeof(*files));
	struct file *file;

	if (!files)
		return config_out_of_memory(loader->err);
	loader->files = files;
	if (loader->n_files == CONFIG_MAX_FILES)
		return error_set(loader->err, -E2BIG, "bad-config", "%s: there are more than %d files", path,
				 CONFIG_MAX_FILES);
	file = &files[loader->n_files];
	file->path = strdup(path);
	if (!file->path)
		return config_out_of_memory(loader->err);
	config_init(&file->tree);
	loader->n_files++;
	return parse_file(path, &file->tree, loader->err);
}

static int is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(struct loader *loader, const char *path)
{
	_cleanup_free_ char *dir = NULL;
	struct dirent **entries;
	int n, r = 0;

	if (asprintf(&dir, "%s.d", path) < 0) {
		dir = NULL;
		return config_out_of_memory(loader->err);
	}
	n = scandir(dir, &entries, is_conf, by_bytes);
	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0)
		return error_set(loader->err, -errno, "bad-config", "%s: cannot be read: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		char *file;

		if (r == 0 && asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0)
			r = config_out_of_memory(loader->err);
		else if (r == 0) {
			r = add_file(loader, file);
			free(file);
		}
		free(entries[i]);
	}
	free(entries);
	return r;
}

/* ---- Settings ---- */

static int apply_settings(struct loader *loader, const config_setting_t *root)
{
	struct config *config = loader->config;
	const struct {
		const char *name;
		const struct option *options;
		void *target;
	} groups[] = {
		{ "control", config_control_options, config },
		{ "log", config_log_options, config },
		{ "keep", config_keep_options, config },
		{ "limits", config_limits_options, config },
		{ "defaults", config_defaults_options, &config->defaults },
	};
	int r = options_read(root, config_top_options, config, &loader->places, loader->err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(groups); i++) {
		const config_setting_t *group = config_setting_get_member(root, groups[i].name);

		if (group)
			r = options_read(group, groups[i].options, groups[i].target, &loader->places, loader->err);
	}
	return r;
}

static int apply_workloads(struct loader *loader, const config_setting_t *root)
{
	const config_setting_t *group = config_setting_get_member(root, "workloads");
	int r = 0;

	if (!group)
		return 0;
	if (config_setting_type(group) != CONFIG_TYPE_GROUP)
		return setting_error(group, loader->err, "must be a group: workloads = { name = { ... }; };");
	for (int i = 0; r == 0 && i < config_setting_length(group); i++)
		r = config_add_workload(loader->config, config_setting_get_elem(group, (unsigned int)i),
					&loader->places, loader->err);
	return r;
}

static int apply_hooks(struct loader *loader, const config_setting_t *root)
{
	const config_setting_t *group = config_setting_get_member(root, "hooks");
	int r = 0;

	if (!group)
		return 0;
	if (config_setting_type(group) != CONFIG_TYPE_GROUP)
		return setting_error(group, loader->err, "must be a group: hooks = { name = [ \"/path\", \"argument\" ]; };");
	for (int i = 0; r == 0 && i < config_setting_length(group); i++)
		r = config_add_hook(loader->config, config_setting_get_elem(group, (unsigned int)i), loader->err);
	return r;
}

/* ---- Loading ---- */

static int load_files(struct loader *loader, const char *path, bool may_be_missing)
{
	int r;

	if (!may_be_missing || access(path, F_OK) == 0) {
		loader->config->path = strdup(path);
		r = loader->config->path ? add_file(loader, path) : config_out_of_memory(loader->err);
		if (r < 0)
			return r;
	}
	r = add_directory(loader, path);
	for (size_t i = 0; r == 0 && i < loader->n_files; i++)
		r = apply_settings(loader, config_root_setting(&loader->files[i].tree));
	for (size_t i = 0; r == 0 && i < loader->n_files; i++)
		r = apply_hooks(loader, config_root_setting(&loader->files[i].tree));
	for (size_t i = 0; r == 0 && i < loader->n_files; i++)
		r = apply_workloads(loader, config_root_setting(&loader->files[i].tree));
	return r;
}

int config_load(const char *path, struct config **ret_config, struct error *err)
{
	_cleanup_(loader_fini) struct loader loader = { .config = NULL, .err = err };
	/* The service runs as a user of its own, with the system's file and so in the system's places. */
	bool system = geteuid() == 0 || (path && strcmp(path, SYSTEM_FILE) == 0);
	int r = config_new(system, &loader.config, err);

	if (r == 0 && path)
		r = load_files(&loader, path, false);
	else if (r == 0 && system)
		r = load_files(&loader, SYSTEM_FILE, true);
	/* a lower max_clients alone is no contradiction */
	if (r == 0 && !config_place_of(&loader.places, "limits.max_clients_per_user") &&
	    loader.config->max_clients_per_user > loader.config->max_clients)
		loader.config->max_clients_per_user = loader.config->max_clients;
	if (r == 0)
		r = config_check(loader.config, &loader.places, err);
	if (r < 0)
		return r;
	*ret_config = take_ptr(loader.config);
	return 0;
}
