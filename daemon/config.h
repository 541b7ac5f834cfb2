/* The configuration, read once and handed down as plain structs. config.c is the only reader of files and environment
 * variables that configure the daemon. */
#ifndef CONCD_CONFIG_H
#define CONCD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"

struct error;

/* A name and its value as text: a workload's parameter. */
struct config_pair {
	char *name;
	char *value;
};

/* What a workload's stanza says, with `defaults` and built-in values filled in. */
struct workload_config {
	char *name;
	char *plugin; /* name of the plugin: FILE.so in plugin_dir, or an absolute path */
	char *where; /* file:line of the stanza; NULL: no stanza */
	char *model; /* "sync" ... "auto" */
	char *shape; /* "PxTxC"; NULL: by model */
	uint32_t workers; /* 0: auto */
	bool service; /* one job that is meant never to end, started with the daemon */
	char *on_done; /* the hook of its jobs; NULL: none */
	bool durable; /* false: its jobs are not kept on disk */
	bool idempotent, deterministic, thread_safe; /* false: takes back what the plugin promises */
	bool stall_alone; /* stall_ns holds with one coroutine a thread too: the stanza itself says it */
	int64_t grace_ns, idle_timeout_ns, stall_ns /* 0: off */, start_timeout_ns, backoff_ns;
	int64_t task_timeout_ns; /* 0: none */
	int64_t cpu_timeout_ns; /* processor time of a task; 0: no limit */
	uint32_t retries;
	int32_t priority;
	uint64_t max_running; /* tasks of all its jobs at once; 0: no limit */
	double rate; /* of them begun in a second; 0: no limit */
	uint32_t max_crashes; /* 0: no limit */
	uint64_t max_result_bytes;
	uint64_t stack_bytes; /* 0: by the number of coroutines */
	uint64_t memory_max_bytes; /* of a worker process; 0: no limit */
	int64_t keep_age_ns; /* of its ended jobs; 0: for ever */
	uint64_t max_tasks; /* begun by a worker process before it is replaced; 0: no limit */
	uint32_t nice; /* 0..19 */
	char *affinity; /* processors, "0-1,3"; NULL: any */
	struct config_pair *params;
	char **params_where; /* file:line of each of params */
	size_t n_params;
};

/* A command that is run when a job has ended. */
struct config_hook {
	char *name;
	char **argv; /* n of them; the first is an absolute path */
	size_t n;
};

struct config {
	char *path; /* the main file; NULL: built-in defaults only */
	char *socket_path;
	char *socket_group; /* NULL: the process's own */
	mode_t socket_mode;
	char *state_dir;
	char *plugin_dir;
	char *worker_path; /* concd-worker */
	enum log_level log_level;
	enum log_target log_target;
	struct workload_config defaults; /* model and affinity are the only texts */
	struct workload_config *workloads; /* in the order of the files */
	size_t n_workloads;
	struct config_hook *hooks;
	size_t n_hooks;

	uint64_t keep_jobs; /* ended ones; 0: no limit */

	/* limits = { ... } */
	uint32_t max_clients; /* connections at once */
	uint32_t max_clients_per_user;
	uint64_t max_request_bytes; /* body of one request */
	uint64_t max_jobs, max_jobs_per_user; /* that have not ended */
	uint64_t max_tasks; /* of one job */
	uint64_t max_running; /* tasks at once, in all; 0: no limit */
	uint64_t max_queued_tasks, max_queued_tasks_per_user; /* that have not ended */
	uint64_t max_queued_bytes, max_queued_bytes_per_user; /* inputs of jobs that have not ended */
	uint32_t max_workers; /* processes x threads x coroutines of one crew */
	uint32_t max_processes; /* worker processes in all */
	int64_t open_timeout_ns; /* an open job without a new piece */
	uint32_t max_hooks; /* that run at once */
	int64_t hook_timeout_ns;
	uint32_t keep_ephemeral; /* ended --no-durable jobs kept for `results` */
};

/* Read the configuration: the file path, then path.d / *.conf in the order of their names, later files overriding
 * single settings and adding workloads. path NULL: SYSCONFDIR/concd.conf for root, where it may be missing; an ordinary
 * user gets built-in defaults. Checks everything that needs no plugin. Blocks, writes nothing. 0, or -errno with the
 * first error's file, line, key and remedy (code bad-config). *ret_config is the caller's, config_free(). */
int config_load(const char *path, struct config **ret_config, struct error *err);
void config_free(struct config *config); /* NULL is fine */

/* Make the state directory (0700) and the socket's directory where they are missing, and refuse those that belong to
 * somebody else or that others may write to. Blocks. 0 or -errno with words. */
int config_make_dirs(const struct config *config, struct error *err);

/* The hook called name, or NULL. */
const struct config_hook *config_find_hook(const struct config *config, const char *name);
/* The stanza called name, or NULL. */
const struct workload_config *config_find_workload(const struct config *config, const char *name);

#endif
