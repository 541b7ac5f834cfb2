/* Stanzas of workloads: what one says, on top of `defaults`, and its parameters as the text that plugins take. */
#include "config.h"
#include "config_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define PARAM_BYTES 64

int config_out_of_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "internal", "out of memory");
}

void config_workload_fini(struct workload_config *w)
{
	for (size_t i = 0; i < w->n_params; i++) {
		free(w->params[i].name);
		free(w->params[i].value);
		free(w->params_where[i]);
	}
	free(w->params);
	free(w->params_where);
	free(w->name);
	free(w->plugin);
	free(w->where);
	free(w->model);
	free(w->shape);
	free(w->affinity);
	free(w->on_done);
}

/* A parameter as text, the way the command line gives it. */
static int param_text(const config_setting_t *s, char **ret_value, struct error *err)
{
	char text[PARAM_BYTES];
	const char *value = text;

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		value = config_setting_get_string(s);
		break;
	case CONFIG_TYPE_INT:
		(void)snprintf(text, sizeof(text), "%d", config_setting_get_int(s));
		break;
	case CONFIG_TYPE_INT64:
		(void)snprintf(text, sizeof(text), "%lld", config_setting_get_int64(s));
		break;
	case CONFIG_TYPE_FLOAT:
		(void)snprintf(text, sizeof(text), "%.15g", config_setting_get_float(s));
		break;
	case CONFIG_TYPE_BOOL:
		value = config_setting_get_bool(s) ? "true" : "false";
		break;
	default:
		return setting_error(s, err, "a parameter is a string, a number, true or false");
	}
	*ret_value = strdup(value);
	return *ret_value ? 0 : config_out_of_memory(err);
}

static int read_params(const config_setting_t *group, struct workload_config *w, struct error *err)
{
	size_t n = (size_t)config_setting_length(group);

	if (config_setting_type(group) != CONFIG_TYPE_GROUP)
		return setting_error(group, err, "must be a group: params = { name = value; };");
	if (n == 0)
		return 0;
	w->params = calloc(n, sizeof(*w->params));
	w->params_where = calloc(n, sizeof(*w->params_where));
	if (!w->params || !w->params_where)
		return config_out_of_memory(err);
	w->n_params = n;
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned int)i);
		int r = param_text(s, &w->params[i].value, err);

		if (r < 0)
			return r;
		w->params[i].name = strdup(config_setting_name(s));
		if (!w->params[i].name || setting_where(s, &w->params_where[i]) < 0)
			return config_out_of_memory(err);
	}
	return 0;
}

/* What `defaults` say of tasks that come and go is not for one that is meant never to end. That its own stanza says it is
 * refused later, by config_check(). */
static void fit_service(struct workload_config *w)
{
	w->task_timeout_ns = w->cpu_timeout_ns = 0;
	w->max_tasks = w->max_running = 0;
	w->rate = 0;
	w->retries = 0;
	w->durable = true;
}

static int fill_workload(const config_setting_t *stanza, struct workload_config *w,
			 const struct workload_config *defaults, struct config_places *places, struct error *err)
{
	const config_setting_t *params;
	int r;

	w->model = strdup(defaults->model);
	w->affinity = defaults->affinity ? strdup(defaults->affinity) : NULL;
	w->name = strdup(config_setting_name(stanza));
	if (!w->model || !w->name || (defaults->affinity && !w->affinity) || setting_where(stanza, &w->where) < 0)
		return config_out_of_memory(err);
	r = options_read(stanza, config_workload_options, w, places, err);
	if (r < 0)
		return r;
	if (w->service)
		fit_service(w);
	w->stall_alone = config_setting_get_member(stanza, "stall") != NULL;
	if (!w->plugin) {
		w->plugin = strdup(w->name);
		if (!w->plugin)
			return config_out_of_memory(err);
	}
	params = config_setting_get_member(stanza, "params");
	return params ? read_params(params, w, err) : 0;
}

int config_add_workload(struct config *config, const config_setting_t *stanza, struct config_places *places,
			struct error *err)
{
	const char *name = config_setting_name(stanza);
	const struct workload_config *other = config_find_workload(config, name);
	struct workload_config *all, *w;

	if (!config_name_ok(name))
		return setting_error(stanza, err,
				     "is no name for a workload: write letters, digits, - and _, at most %d",
				     CONFIG_NAME_MAX);
	if (other)
		return setting_error(stanza, err, "the workload has a stanza already, at %s: keep one", other->where);
	if (config->n_workloads == CONFIG_MAX_WORKLOADS)
		return setting_error(stanza, err, "there are more than %d workloads", CONFIG_MAX_WORKLOADS);
	all = reallocarray(config->workloads, config->n_workloads + 1, sizeof(*all));
	if (!all)
		return config_out_of_memory(err);
	config->workloads = all;
	w = &all[config->n_workloads++];
	*w = config->defaults;
	w->model = w->affinity = NULL; /* the texts in `defaults`: copied by fill_workload() */
	return fill_workload(stanza, w, &config->defaults, places, err);
}

const struct workload_config *config_find_workload(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_workloads; i++)
		if (strcmp(config->workloads[i].name, name) == 0)
			return &config->workloads[i];
	return NULL;
}
