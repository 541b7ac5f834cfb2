/* Every key of concd.conf: its type, its field and its range. A new key is a row here, a line in conf/concd.conf and an
 * entry in concd.conf(5); a test holds the three together. */
#include "config.h"
#include "config_private.h"

const struct option config_top_options[] = {
	{ .name = "control", .type = OPTION_OTHER },
	{ .name = "state_dir", .type = OPTION_PATH, .offset = offsetof(struct config, state_dir) },
	{ .name = "plugin_dir", .type = OPTION_PATH, .offset = offsetof(struct config, plugin_dir) },
	{ .name = "log", .type = OPTION_OTHER },
	{ .name = "defaults", .type = OPTION_OTHER },
	{ .name = "keep", .type = OPTION_OTHER },
	{ .name = "limits", .type = OPTION_OTHER },
	{ .name = "hooks", .type = OPTION_OTHER },
	{ .name = "workloads", .type = OPTION_OTHER },
	{ .name = NULL },
};

const struct option config_control_options[] = {
	{ .name = "socket", .type = OPTION_PATH, .offset = offsetof(struct config, socket_path) },
	{ .name = "group", .type = OPTION_TEXT, .offset = offsetof(struct config, socket_group) },
	{ .name = "mode", .type = OPTION_MODE, .offset = offsetof(struct config, socket_mode) },
	{ .name = NULL },
};

const struct option config_log_options[] = {
	{ .name = "level", .type = OPTION_LEVEL, .offset = offsetof(struct config, log_level) },
	{ .name = "target", .type = OPTION_TARGET, .offset = offsetof(struct config, log_target) },
	{ .name = NULL },
};

#define LIMIT(name_, type_, field_, min_, max_) \
	{ \
		.name = name_, .type = type_, .offset = offsetof(struct config, field_), .min = min_, .max = max_ \
	}

const struct option config_keep_options[] = {
	LIMIT("jobs", OPTION_U64, keep_jobs, "0", "1000000"),
	{ .name = "age",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct config, defaults.keep_age_ns),
	  .min = "1s",
	  .max = "36500d",
	  .zero = true },
	{ .name = NULL },
};

const struct option config_limits_options[] = {
	LIMIT("max_clients", OPTION_U32, max_clients, "1", "10000"),
	LIMIT("max_clients_per_user", OPTION_U32, max_clients_per_user, "1", "10000"),
	/* clients send pieces of 1 MiB of inputs and the job's description in front */
	LIMIT("max_request", OPTION_SIZE, max_request_bytes, "1280K", "2M"),
	LIMIT("max_jobs", OPTION_U64, max_jobs, "1", "100000000"),
	LIMIT("max_jobs_per_user", OPTION_U64, max_jobs_per_user, "1", "100000000"),
	LIMIT("max_tasks", OPTION_U64, max_tasks, "1", "1000000000"),
	LIMIT("max_running", OPTION_U64, max_running, "0", "1000000"),
	LIMIT("max_queued_tasks", OPTION_U64, max_queued_tasks, "1", "1000000000"),
	LIMIT("max_queued_tasks_per_user", OPTION_U64, max_queued_tasks_per_user, "1", "1000000000"),
	LIMIT("max_queued", OPTION_SIZE, max_queued_bytes, "2M", "1024G"),
	LIMIT("max_queued_per_user", OPTION_SIZE, max_queued_bytes_per_user, "2M", "1024G"),
	LIMIT("max_workers", OPTION_U32, max_workers, "1", "1000000"),
	LIMIT("max_processes", OPTION_U32, max_processes, "1", "4095"),
	LIMIT("open_timeout", OPTION_DURATION, open_timeout_ns, "1s", "7d"),
	LIMIT("max_hooks", OPTION_U32, max_hooks, "1", "1000"),
	LIMIT("hook_timeout", OPTION_DURATION, hook_timeout_ns, "100ms", "1h"),
	LIMIT("keep_ephemeral", OPTION_U32, keep_ephemeral, "0", "10000"),
	{ .name = NULL },
};

/* What a stanza may say and `defaults` may say for all of them. */
#define FIELD(field_) offsetof(struct workload_config, field_)
#define COMMON_OPTIONS \
	{ .name = "model", \
	  .type = OPTION_WORD, \
	  .offset = FIELD(model), \
	  .choices = "sync|async|thread|pool|process|auto" }, \
		{ .name = "workers", .type = OPTION_WORKERS, .offset = FIELD(workers), .min = "1", .max = "1000000" }, \
		{ .name = "grace", .type = OPTION_DURATION, .offset = FIELD(grace_ns), .min = "10ms", .max = "1h" }, \
		{ .name = "idle_timeout", \
		  .type = OPTION_DURATION, \
		  .offset = FIELD(idle_timeout_ns), \
		  .min = "0", \
		  .max = "1d" }, \
		{ .name = "stall", \
		  .type = OPTION_DURATION, \
		  .offset = FIELD(stall_ns), \
		  .min = "1ms", \
		  .max = "1h", \
		  .zero = true }, \
		{ .name = "task_timeout", \
		  .type = OPTION_DURATION, \
		  .offset = FIELD(task_timeout_ns), \
		  .min = "1ms", \
		  .max = "365d", \
		  .zero = true }, \
		{ .name = "cpu_timeout", \
		  .type = OPTION_DURATION, \
		  .offset = FIELD(cpu_timeout_ns), \
		  .min = "10ms", \
		  .max = "365d", \
		  .zero = true }, \
		{ .name = "start_timeout", \
		  .type = OPTION_DURATION, \
		  .offset = FIELD(start_timeout_ns), \
		  .min = "100ms", \
		  .max = "1h" }, \
		{ .name = "retries", .type = OPTION_U32, .offset = FIELD(retries), .min = "0", .max = "1000" }, \
		{ .name = "backoff", .type = OPTION_DURATION, .offset = FIELD(backoff_ns), .min = "0", .max = "1d" }, \
		{ .name = "priority", .type = OPTION_I32, .offset = FIELD(priority), .min = "-100", .max = "100" }, \
		{ .name = "max_running", \
		  .type = OPTION_U64, \
		  .offset = FIELD(max_running), \
		  .min = "0", \
		  .max = "1000000" }, \
		{ .name = "rate", .type = OPTION_RATE, .offset = FIELD(rate) }, \
		{ .name = "max_crashes", \
		  .type = OPTION_U32, \
		  .offset = FIELD(max_crashes), \
		  .min = "0", \
		  .max = "1000" }, \
		{ .name = "max_result", \
		  .type = OPTION_SIZE, \
		  .offset = FIELD(max_result_bytes), \
		  .min = "1", \
		  .max = "1G" }, \
		{ .name = "memory_max", \
		  .type = OPTION_SIZE, \
		  .offset = FIELD(memory_max_bytes), \
		  .min = "8M", \
		  .max = "1024G", \
		  .zero = true }, \
		{ .name = "nice", .type = OPTION_U32, .offset = FIELD(nice), .min = "0", .max = "19" }, \
		{ .name = "affinity", .type = OPTION_CPUS, .offset = FIELD(affinity) }, \
		{ .name = "max_tasks", \
		  .type = OPTION_U64, \
		  .offset = FIELD(max_tasks), \
		  .min = "0", \
		  .max = "1000000000" }, \
	{ \
		.name = "stack_size", .type = OPTION_SIZE, .offset = FIELD(stack_bytes), .min = "16K", .max = "64M", \
		.zero = true \
	}

const struct option config_defaults_options[] = {
	COMMON_OPTIONS,
	{ .name = NULL },
};

const struct option config_workload_options[] = {
	{ .name = "plugin", .type = OPTION_PLUGIN, .offset = FIELD(plugin) },
	{ .name = "shape", .type = OPTION_SHAPE, .offset = FIELD(shape) },
	{ .name = "service", .type = OPTION_BOOL, .offset = FIELD(service) },
	{ .name = "on_done", .type = OPTION_TEXT, .offset = FIELD(on_done) },
	{ .name = "durable", .type = OPTION_BOOL, .offset = FIELD(durable) },
	{ .name = "idempotent", .type = OPTION_BOOL, .offset = FIELD(idempotent) },
	{ .name = "deterministic", .type = OPTION_BOOL, .offset = FIELD(deterministic) },
	{ .name = "thread_safe", .type = OPTION_BOOL, .offset = FIELD(thread_safe) },
	{ .name = "keep_age",
	  .type = OPTION_DURATION,
	  .offset = FIELD(keep_age_ns),
	  .min = "1s",
	  .max = "36500d",
	  .zero = true },
	{ .name = "params", .type = OPTION_OTHER },
	COMMON_OPTIONS,
	{ .name = NULL },
};
