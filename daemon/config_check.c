/* What no single setting shows: combinations that cannot work or are not safe, once everything is known. */
#include "config.h"
#include "config_private.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define MAX_RUNNERS 4095 /* of one crew: owners that fit a chunk's claim word */

struct check {
	const struct config *config;
	const struct config_places *places;
	struct error *err;
	const struct workload_config *workload; /* whose keys refuse() is given; NULL: full paths */
};

/* Where a stanza's value comes from: itself, else `defaults`, else it is built in and the stanza made it wrong. */
static const char *workload_place(const struct check *c, const char *key, const char *full_key)
{
	const char *where = config_place_of(c->places, full_key);
	char default_key[CONFIG_KEY_BYTES];

	if (where)
		return where;
	(void)snprintf(default_key, sizeof(default_key), "defaults.%s", key); /* keys are short */
	where = config_place_of(c->places, default_key);
	return where ? where : c->workload->where;
}

static int refuse(const struct check *c, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(const struct check *c, const char *key, const char *format, ...)
{
	char text[ERROR_TEXT_BYTES], full_key[CONFIG_KEY_BYTES];
	const char *where;
	va_list ap;

	if (c->workload) {
		(void)snprintf(full_key, sizeof(full_key), "workloads.%s.%s", c->workload->name, key); /* both short */
		where = workload_place(c, key, full_key);
	} else {
		(void)snprintf(full_key, sizeof(full_key), "%s", key);
		where = config_place_of(c->places, key);
	}

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* a cut message is still a message */
	va_end(ap);
	return error_set(c->err, -EINVAL, "bad-config", "%s: %s: %s", where ? where : "built-in", full_key, text);
}

static int check_socket(const struct check *c)
{
	const struct config *config = c->config;
	size_t len = strlen(config->socket_path);

	if (len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return refuse(c, "control.socket", "\"%.200s\" has %zu bytes: a socket's path has at most %zu",
			      config->socket_path, len, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	if (config->socket_path[len - 1] == '/')
		return refuse(c, "control.socket", "\"%.200s\" is a directory: write the path of the socket itself",
			      config->socket_path);
	/* Static storage is fine: this runs in the main thread only. */
	if (config->socket_group && !getgrnam(config->socket_group))
		return refuse(c, "control.group",
			      "there is no group '%s': make it with `groupadd --system %s`, or name "
			      "another",
			      config->socket_group, config->socket_group);
	return 0;
}

static int check_dir(const struct check *c, const char *key, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return 0; /* made, or missed with a reason, where it is used */
	if (!S_ISDIR(st.st_mode))
		return refuse(c, key, "'%.200s' is not a directory", path);
	if (st.st_mode & S_IWOTH)
		return refuse(c, key, "everybody may write to '%.200s': chmod o-w it, or set another", path);
	return 0;
}

static int check_dirs(const struct check *c)
{
	const struct config *config = c->config;
	int r = check_dir(c, "state_dir", config->state_dir);

	if (r == 0)
		r = check_dir(c, "plugin_dir", config->plugin_dir);
	if (r < 0)
		return r;
	if (strcmp(config->state_dir, config->plugin_dir) == 0)
		return refuse(c, "state_dir",
			      "is the same as plugin_dir: the daemon writes to it, and plugins are code");
	if (config_place_of(c->places, "plugin_dir") && access(config->plugin_dir, R_OK) < 0)
		return refuse(c, "plugin_dir", "'%.200s' cannot be read: %s", config->plugin_dir, strerror(errno));
	return 0;
}

static int check_limits(const struct check *c)
{
	const struct config *config = c->config;

	if (config->max_clients_per_user > config->max_clients)
		return refuse(c, "limits.max_clients_per_user", "%u is more than limits.max_clients (%u): lower it",
			      config->max_clients_per_user, config->max_clients);
	return 0;
}

/* A stanza's shape is well-formed when it comes here. */
static void shape_numbers(const char *shape, uint64_t ret_numbers[3])
{
	unsigned int p = 0, t = 0, n = 0;

	(void)sscanf(shape, "%ux%ux%u", &p, &t, &n); /* checked when it was read */
	ret_numbers[0] = p;
	ret_numbers[1] = t;
	ret_numbers[2] = n;
}

static int check_shape(const struct check *c)
{
	const struct workload_config *w = c->workload;
	uint64_t shape[3], runners, workers;

	shape_numbers(w->shape, shape);
	if (__builtin_mul_overflow(shape[0], shape[1], &runners) || runners > MAX_RUNNERS)
		return refuse(c, "shape", "\"%s\" has more than %d threads in all: write a smaller one", w->shape,
			      MAX_RUNNERS);
	if (__builtin_mul_overflow(runners, shape[2], &workers) || workers > c->config->max_workers)
		return refuse(c, "shape", "\"%s\" has more workers than limits.max_workers (%u): write a smaller one",
			      w->shape, c->config->max_workers);
	if (shape[0] > c->config->max_processes)
		return refuse(c, "shape",
			      "\"%s\" has more processes than limits.max_processes (%u): write a smaller one", w->shape,
			      c->config->max_processes);
	if (!w->thread_safe && shape[1] > 1)
		return refuse(c, "shape",
			      "\"%s\" has threads, and thread_safe is false: write processes instead, such "
			      "as \"%llux1x%llu\"",
			      w->shape, (unsigned long long)runners, (unsigned long long)shape[2]);
	return 0;
}

/* Does the stanza itself say this, and not only `defaults`? */
static bool stanza_says(const struct check *c, const char *key)
{
	char full_key[CONFIG_KEY_BYTES];

	(void)snprintf(full_key, sizeof(full_key), "workloads.%s.%s", c->workload->name, key); /* both short */
	return config_place_of(c->places, full_key) != NULL;
}

/* A service has one worker of its own and no end that comes by the clock or by a count: what `defaults` say of these does
 * not concern it, and its stanza must not. */
static int check_service(const struct check *c)
{
	static const char *const meaningless[] = { "shape", "task_timeout", "cpu_timeout", "retries", "max_crashes",
						   "max_tasks", "max_running", "rate", "durable" };
	const struct workload_config *w = c->workload;

	if (stanza_says(c, "model") && strcmp(w->model, "thread") != 0 && strcmp(w->model, "process") != 0 &&
	    strcmp(w->model, "auto") != 0)
		return refuse(c, "model", "a service runs in a worker process of its own, under thread or process, not under "
			      "%s: write one of these", w->model);
	if (stanza_says(c, "workers") && w->workers > 1)
		return refuse(c, "workers", "a service has one task, and so one worker: remove this line");
	for (size_t i = 0; i < ARRAY_SIZE(meaningless); i++)
		if (stanza_says(c, meaningless[i]))
			return refuse(c, meaningless[i], "says nothing for a service (service = true), whose one task goes on "
				      "for ever and starts again after `backoff`: remove this line");
	return 0;
}

static int check_workload(const struct check *c)
{
	const struct workload_config *w = c->workload;
	const char *model = w->model;

	if (w->on_done && strcmp(w->on_done, "none") != 0 && !config_find_hook(c->config, w->on_done))
		return refuse(c, "on_done", "\"%.60s\" is none of `hooks`: write hooks = { %.40s = [ \"/path/of/program\" ]; "
			      "};", w->on_done, w->on_done);
	if (w->service && !w->durable)
		return refuse(c, "durable", "a service outlives the daemon, and its job with it: remove this line");
	if (w->service)
		return check_service(c);

	if (w->shape && check_shape(c) < 0)
		return -EINVAL;
	if (w->workers > c->config->max_workers)
		return refuse(c, "workers", "%u is more than limits.max_workers (%u): lower it", w->workers,
			      c->config->max_workers);
	if (strcmp(model, "sync") == 0 && w->workers > 1)
		return refuse(c, "workers",
			      "model sync runs one task at a time: write workers = 1 here, or take another "
			      "model");
	if (strcmp(model, "process") == 0 && w->workers > c->config->max_processes)
		return refuse(c, "workers",
			      "%u is more than limits.max_processes (%u), and model process needs one for "
			      "each: lower it",
			      w->workers, c->config->max_processes);
	if (!w->thread_safe && !w->shape && w->workers != 1 &&
	    (strcmp(model, "pool") == 0 || (strcmp(model, "thread") == 0 && w->workers > 1)))
		return refuse(c, "model",
			      "%s runs tasks on several threads, and thread_safe is false: write model = "
			      "\"process\"",
			      model);
	return 0;
}

int config_check(const struct config *config, const struct config_places *places, struct error *err)
{
	struct check c = { .config = config, .places = places, .err = err };
	int r = check_socket(&c);

	if (r == 0)
		r = check_dirs(&c);
	if (r == 0)
		r = check_limits(&c);
	for (size_t i = 0; r == 0 && i < config->n_workloads; i++) {
		c.workload = &config->workloads[i];
		r = check_workload(&c);
	}
	return r;
}
