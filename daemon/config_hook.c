/* The group `hooks`: commands by name, each a list of texts that starts with a program's absolute path. */
#include "config.h"
#include "config_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define MAX_HOOKS 100
#define MAX_ARGUMENTS 64

static void hook_fini(struct config_hook *hook)
{
	for (size_t i = 0; i < hook->n; i++)
		free(hook->argv[i]);
	free(hook->argv);
	free(hook->name);
	*hook = (struct config_hook){ .name = NULL };
}

void config_hooks_free(struct config *config)
{
	for (size_t i = 0; i < config->n_hooks; i++)
		hook_fini(&config->hooks[i]);
	free(config->hooks);
}

const struct config_hook *config_find_hook(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_hooks; i++)
		if (strcmp(config->hooks[i].name, name) == 0)
			return &config->hooks[i];
	return NULL;
}

/* A later file's hook of the same name takes the place of the earlier one's. */
static struct config_hook *hook_slot(struct config *config, const char *name)
{
	struct config_hook *hooks;

	for (size_t i = 0; i < config->n_hooks; i++)
		if (strcmp(config->hooks[i].name, name) == 0) {
			hook_fini(&config->hooks[i]);
			return &config->hooks[i];
		}
	hooks = reallocarray(config->hooks, config->n_hooks + 1, sizeof(*hooks));
	if (!hooks)
		return NULL;
	config->hooks = hooks;
	hooks[config->n_hooks] = (struct config_hook){ .name = NULL };
	return &hooks[config->n_hooks++];
}

static int fill_hook(const config_setting_t *s, struct config_hook *hook, struct error *err)
{
	size_t n = (size_t)config_setting_length(s);

	hook->name = strdup(config_setting_name(s));
	hook->argv = calloc(n, sizeof(*hook->argv));
	if (!hook->name || !hook->argv)
		return config_out_of_memory(err);
	for (size_t i = 0; i < n; i++) {
		const char *text = config_setting_get_string_elem(s, (int)i);

		if (!text)
			return setting_error(s, err, "argument %zu is no text: put it in quotes", i);
		hook->argv[i] = strdup(text);
		if (!hook->argv[i])
			return config_out_of_memory(err);
		hook->n = i + 1;
	}
	if (hook->argv[0][0] != '/')
		return setting_error(s, err, "\"%.60s\" is no absolute path: no shell looks for the program", hook->argv[0]);
	if (access(hook->argv[0], X_OK) < 0)
		return setting_error(s, err, "\"%.200s\" cannot be executed: %s", hook->argv[0], strerror(errno));
	return 0;
}

int config_add_hook(struct config *config, const config_setting_t *s, struct error *err)
{
	const char *name = config_setting_name(s);
	int type = config_setting_type(s);
	struct config_hook *hook;

	if (!config_name_ok(name) || strcmp(name, "none") == 0)
		return setting_error(s, err, "is no name for a hook: write letters, digits, - and _, at most %d, but not none",
				     CONFIG_NAME_MAX);
	if ((type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST) || config_setting_length(s) < 1 ||
	    config_setting_length(s) > MAX_ARGUMENTS)
		return setting_error(s, err, "must be a list of 1 to %d texts, a program and its arguments: %s = [ \"/usr/bin/"
				     "logger\", \"job {job} {state}\" ];", MAX_ARGUMENTS, name);
	if (config->n_hooks == MAX_HOOKS && !config_find_hook(config, name))
		return setting_error(s, err, "there are more than %d hooks", MAX_HOOKS);
	hook = hook_slot(config, name);
	if (!hook)
		return config_out_of_memory(err);
	/* filled in by its place: what fails in between is freed with the configuration */
	return fill_hook(s, hook, err);
}
