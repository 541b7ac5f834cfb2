/* What the files of the configuration's reader share. Nobody else includes it, but for their tests. */
#ifndef CONCD_CONFIG_PRIVATE_H
#define CONCD_CONFIG_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include <libconfig.h>

struct config;
struct error;
struct workload_config;

#define CONFIG_FILE_MAX_BYTES (1u << 20)
#define CONFIG_KEY_BYTES 160 /* of a key's full path in messages; longer ones are cut */
#define CONFIG_MAX_FILES 256
#define CONFIG_MAX_WORKLOADS 1000
#define CONFIG_NAME_MAX 32 /* bytes of a workload's or plugin's name */

/* ---- config_scan.c: what libconfig does not see ---- */

/* Read a file, and those it includes, before libconfig does: refuses what is not a regular file of text, what
 * everybody may write to, integers that libconfig would cut silently, and numbers with a unit that lack their quotes.
 * Relative includes are looked up in include_dir. 0 or -errno with file and line. */
int config_scan_file(const char *path, const char *include_dir, struct error *err);

/* ---- config_option.c: settings by table ---- */

enum option_type {
	OPTION_TEXT, /* char * */
	OPTION_PATH, /* char *, absolute */
	OPTION_WORD, /* char *, one of `choices` */
	OPTION_SHAPE, /* char * */
	OPTION_CPUS, /* char * */
	OPTION_PLUGIN, /* char * */
	OPTION_BOOL, /* bool */
	OPTION_U32, /* uint32_t */
	OPTION_I32, /* int32_t */
	OPTION_U64, /* uint64_t */
	OPTION_WORKERS, /* uint32_t, "auto" is 0 */
	OPTION_DURATION, /* int64_t, nanoseconds */
	OPTION_RATE, /* double, a second */
	OPTION_SIZE, /* uint64_t, bytes */
	OPTION_MODE, /* mode_t, "0660" */
	OPTION_LEVEL, /* enum log_level */
	OPTION_TARGET, /* enum log_target */
	OPTION_OTHER, /* the caller reads it */
};

struct option {
	const char *name;
	enum option_type type;
	size_t offset; /* of the field in the struct that the group fills */
	const char *min, *max; /* as people write them, for the numeric types */
	const char *choices; /* for OPTION_WORD, separated by '|' */
	bool zero; /* "0" is right besides min..max */
};

/* The tables. Ended by a row without a name. */
extern const struct option config_top_options[]; /* of the whole file */
extern const struct option config_control_options[];
extern const struct option config_log_options[];
extern const struct option config_keep_options[];
extern const struct option config_limits_options[];
extern const struct option config_defaults_options[];
extern const struct option config_workload_options[];

/* Where each setting was read: "FILE:LINE", for errors found when everything is known. */
struct config_place {
	char *key; /* full path, such as "limits.max_jobs" */
	char *where;
};

struct config_places {
	struct config_place *items;
	size_t n;
};

void config_places_fini(struct config_places *places);
/* "FILE:LINE" of the last setting of this key, or NULL: built in. Valid until the next option_read(). */
const char *config_place_of(const struct config_places *places, const char *key);

/* Read the members of a group into target by a table; OPTION_OTHER rows are only known to exist. 0 or -errno. */
int options_read(const config_setting_t *group, const struct option *options, void *target,
		 struct config_places *places, struct error *err);
int setting_where(const config_setting_t *setting, char **ret_where); /* new "FILE:LINE"; 0 or -ENOMEM */
int setting_error(const config_setting_t *setting, struct error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4))); /* -EINVAL, with file, line and key in front */
bool config_name_ok(const char *name); /* letters, digits, '-', '_'; at most CONFIG_NAME_MAX */

/* ---- config_workload.c: stanzas ---- */

/* Read one stanza and append it to config->workloads. 0 or -errno. */
int config_add_workload(struct config *config, const config_setting_t *stanza, struct config_places *places,
			struct error *err);
void config_workload_fini(struct workload_config *w);
int config_out_of_memory(struct error *err); /* -ENOMEM, with words */

/* ---- config_hook.c: commands for ended jobs ---- */

int config_add_hook(struct config *config, const config_setting_t *setting, struct error *err); /* 0 or -errno */
void config_hooks_free(struct config *config);

/* ---- config_paths.c: where things are unless a file says otherwise ---- */

/* concd-worker and the plugins of a program that runs as `exe`: of its build tree, of its staged installation, or of
 * the configured directories. New strings. 0 or -ENOMEM. */
int config_find_programs(const char *exe, char **ret_worker_path, char **ret_plugin_dir);
/* Socket and state directory, of the system's daemon or of an ordinary user's. New strings. 0 or -errno with words. */
int config_find_places(bool system, char **ret_socket_path, char **ret_state_dir, struct error *err);

/* ---- config_check.c: what no single setting shows ---- */

int config_check(const struct config *config, const struct config_places *places, struct error *err);

#endif
