/* What a plugin says of itself: the JSON of `concd-worker --describe`, and parameters checked against it. */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include <concd/plugin.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "crew/workload.h"

#define MAX_PARAMS 256
#define MAX_NAME_BYTES 32

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}

static void cleanup_info(struct plugin_info **info)
{
	plugin_info_free(*info);
}

void plugin_info_free(struct plugin_info *info)
{
	if (!info)
		return;
	free(info->name);
	free(info->version);
	free(info->summary);
	for (size_t i = 0; i < info->n_params; i++) {
		struct plugin_param *p = &info->params[i];

		free(p->name);
		free(p->value);
		free(p->min);
		free(p->max);
		free(p->choices);
		free(p->help);
	}
	free(info->params);
	free(info);
}

const struct plugin_param *plugin_info_find_param(const struct plugin_info *info, const char *name)
{
	for (size_t i = 0; i < info->n_params; i++) {
		if (strcmp(info->params[i].name, name) == 0)
			return &info->params[i];
	}
	return NULL;
}

/* A text member, or "" where it is missing or null. */
static int take_text(json_t *object, const char *key, char **ret_text)
{
	json_t *value = json_object_get(object, key);
	char *text;

	if (value && !json_is_string(value) && !json_is_null(value))
		return -EBADMSG;
	text = strdup(json_is_string(value) ? json_string_value(value) : "");
	if (!text)
		return -ENOMEM;
	*ret_text = text;
	return 0;
}

static int take_u32(json_t *object, const char *key, uint32_t *ret_value)
{
	json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
		return -EBADMSG;
	*ret_value = (uint32_t)json_integer_value(value);
	return 0;
}

static bool is_name(const char *text, const char *more)
{
	size_t len = strlen(text);

	return len > 0 && len <= MAX_NAME_BYTES && strspn(text, more) == len;
}

static int take_param(json_t *object, struct plugin_param *p)
{
	static const char *const keys[] = { "name", "value", "min", "max", "choices", "help" };
	char **const texts[] = { &p->name, &p->value, &p->min, &p->max, &p->choices, &p->help };
	int r;

	if (!json_is_object(object))
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		r = take_text(object, keys[i], texts[i]);
		if (r < 0)
			return r;
	}
	if (take_u32(object, "type", &p->type) < 0 || take_u32(object, "flags", &p->flags) < 0)
		return -EBADMSG;
	return is_name(p->name, "abcdefghijklmnopqrstuvwxyz0123456789_") && p->type <= CONCD_PARAM_SIZE ? 0 : -EBADMSG;
}

static int take_params(json_t *array, struct plugin_info *info, struct error *err)
{
	size_t n = json_array_size(array);
	int r;

	if (!json_is_array(array) || n > MAX_PARAMS)
		return error_set(err, -EBADMSG, "workload-unusable", "its description lists no parameters or too many");
	if (n == 0)
		return 0;
	info->params = calloc(n, sizeof(*info->params));
	if (!info->params)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		info->n_params = i + 1; /* also where it fails half way: plugin_info_free() takes the rest */
		r = take_param(json_array_get(array, i), &info->params[i]);
		if (r == -EBADMSG)
			return error_set(err, r, "workload-unusable", "its parameter number %zu is malformed", i + 1);
		if (r < 0)
			return r;
		if (plugin_info_find_param(info, info->params[i].name) != &info->params[i])
			return error_set(err, -EBADMSG, "workload-unusable", "it declares parameter '%s' twice",
					 info->params[i].name);
	}
	return 0;
}

int plugin_info_parse(const char *json, size_t len, struct plugin_info **ret_info, struct error *err)
{
	_cleanup_(cleanup_json) json_t *root = NULL;
	_cleanup_(cleanup_info) struct plugin_info *info = NULL;
	json_error_t why;
	uint32_t abi;
	int r;

	root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(root))
		return error_set(err, -EBADMSG, "workload-unusable", "its description is not JSON: %s",
				 root ? "not an object" : why.text);
	info = calloc(1, sizeof(*info));
	if (!info)
		return -ENOMEM;
	if (take_u32(root, "abi", &abi) < 0)
		return error_set(err, -EBADMSG, "workload-unusable", "its description names no ABI");
	if (abi != CONCD_ABI)
		return error_set(err, -EBADMSG, "workload-unusable",
				 "it was built for plugin interface %u, this daemon has %u: build it again", abi,
				 CONCD_ABI);
	r = take_text(root, "name", &info->name);
	if (r == 0)
		r = take_text(root, "version", &info->version);
	if (r == 0)
		r = take_text(root, "summary", &info->summary);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || take_u32(root, "kind", &info->kind) < 0 || take_u32(root, "flags", &info->flags) < 0 ||
	    take_u32(root, "needs", &info->needs) < 0)
		return error_set(err, -EBADMSG, "workload-unusable",
				 "its description lacks a field or has one of another type");
	if (!is_name(info->name, "abcdefghijklmnopqrstuvwxyz0123456789-_"))
		return error_set(err, -EBADMSG, "workload-unusable",
				 "its name '%.64s' is not 1 to 32 lower-case letters, digits, '-' and '_'", info->name);
	info->has_init = json_is_true(json_object_get(root, "has_init"));
	info->has_split = json_is_true(json_object_get(root, "has_split"));
	r = take_params(json_object_get(root, "params"), info, err);
	if (r < 0)
		return r;
	*ret_info = take_ptr(info);
	return 0;
}

/* A value as a number to compare with its limits: nanoseconds, bytes or the number itself. long double holds every
 * int64. */
static int to_number(uint32_t type, const char *text, long double *ret_number)
{
	int64_t i;
	uint64_t u;
	double d;
	int r;

	switch (type) {
	case CONCD_PARAM_INT:
		r = text_parse_i64(text, &i);
		if (r == 0)
			*ret_number = (long double)i;
		return r;
	case CONCD_PARAM_DURATION:
		r = text_parse_duration(text, &i);
		if (r == 0)
			*ret_number = (long double)i;
		return r;
	case CONCD_PARAM_SIZE:
		r = text_parse_size(text, &u);
		if (r == 0 && u > INT64_MAX) /* plugins get it as int64 */
			r = -ERANGE;
		if (r == 0)
			*ret_number = (long double)u;
		return r;
	default:
		r = text_parse_double(text, &d);
		if (r == 0)
			*ret_number = (long double)d;
		return r;
	}
}

static const char *type_words(uint32_t type)
{
	switch (type) {
	case CONCD_PARAM_INT:
		return "a whole number";
	case CONCD_PARAM_NUMBER:
		return "a number";
	case CONCD_PARAM_BOOL:
		return "true or false";
	case CONCD_PARAM_DURATION:
		return "a duration such as 500ms, 10s or 2m";
	case CONCD_PARAM_SIZE:
		return "a size such as 4096, 64K or 2M";
	default:
		return "text";
	}
}

static bool is_choice(const char *choices, const char *value)
{
	size_t len = strlen(value);

	for (const char *at = choices;;) {
		size_t n = strcspn(at, "|");

		if (n == len && memcmp(at, value, n) == 0)
			return true;
		if (at[n] == '\0')
			return false;
		at += n + 1;
	}
}

/* A secret is not repeated in messages. */
static const char *shown(const struct plugin_param *param, const char *value)
{
	return param->flags & CONCD_PARAM_SECRET ? "***" : value;
}

static int check_range(const struct plugin_param *param, const char *value, struct error *err)
{
	long double number, limit;
	int r = to_number(param->type, value, &number);

	if (r < 0)
		return error_set(err, -EINVAL, "bad-parameter", "parameter %s is %s, not '%.128s'%s", param->name,
				 type_words(param->type), shown(param, value), r == -ERANGE ? " (too large)" : "");
	if (param->min[0] && to_number(param->type, param->min, &limit) == 0 && number < limit)
		return error_set(err, -EINVAL, "bad-parameter", "parameter %s is at least %s, not '%.128s'",
				 param->name, param->min, shown(param, value));
	if (param->max[0] && to_number(param->type, param->max, &limit) == 0 && number > limit)
		return error_set(err, -EINVAL, "bad-parameter", "parameter %s is at most %s, not '%.128s'", param->name,
				 param->max, shown(param, value));
	return 0;
}

int plugin_param_check(const struct plugin_param *param, const char *value, struct error *err)
{
	bool flag;

	switch (param->type) {
	case CONCD_PARAM_TEXT:
		if (param->choices[0] && !is_choice(param->choices, value))
			return error_set(err, -EINVAL, "bad-parameter", "parameter %s is one of %s, not '%.128s'",
					 param->name, param->choices, shown(param, value));
		return 0;
	case CONCD_PARAM_BOOL:
		if (text_parse_bool(value, &flag) < 0)
			return error_set(err, -EINVAL, "bad-parameter", "parameter %s is %s, not '%.128s'", param->name,
					 type_words(param->type), shown(param, value));
		return 0;
	default:
		return check_range(param, value, err);
	}
}
