/* Loading a plugin, and the checks. */
#include "loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/error.h"
#include "base/text.h"
#include "worker/params.h"

#define NAME_MAX_CHARS 32
#define MIN_PLUGIN_BYTES (offsetof(struct concd_plugin, run) + sizeof(((struct concd_plugin *)0)->run))
#define MAX_PLUGIN_BYTES 4096 /* no host will ever know that many members: the field is garbage */
#define KNOWN_FLAGS (CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC)
#define KNOWN_NEEDS (CONCD_NEEDS_NETWORK | CONCD_NEEDS_FILES | CONCD_NEEDS_PROCESSES | CONCD_NEEDS_THREADS)

#define bad(err, ...) error_set(err, -ENOEXEC, "bad-plugin", __VA_ARGS__)

static bool is_name(const char *name, const char *more)
{
	size_t len = name ? strlen(name) : 0;

	if (len == 0 || len > NAME_MAX_CHARS)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool plain = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9');

		if (!plain && !strchr(more, name[i]))
			return false;
	}
	return true;
}

/* One line of text for people. */
static bool is_line(const char *text)
{
	return text && text_is_utf8(text, strlen(text)) && !text[strcspn(text, "\n\r\t")];
}

static bool is_choice(const char *choices, const char *value)
{
	size_t len = strlen(value);

	for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
		if (strncmp(at, value, len) == 0 && (at[len] == '|' || at[len] == '\0'))
			return true;
	return false;
}

/* Parse a value or limit into a number that compares. */
static int to_number(uint32_t type, const char *text, double *ret_number)
{
	int64_t integer = 0;
	double number = 0;
	int r = param_parse(type, text, &integer, &number);

	*ret_number = type == CONCD_PARAM_NUMBER ? number : (double)integer;
	return r;
}

static int check_range(const struct concd_param *param, struct error *err)
{
	bool ordered = param->type != CONCD_PARAM_TEXT && param->type != CONCD_PARAM_BOOL;
	double value = 0, min = 0, max = 0;

	if ((param->min || param->max) && !ordered)
		return bad(err, "parameter '%s': a range is for numbers, durations and sizes", param->name);
	if (to_number(param->type, param->value ? param->value : "", &value) < 0)
		return bad(err, "parameter '%s': the default '%s' is not of its type", param->name, param->value);
	if (param->min && (!*param->min || to_number(param->type, param->min, &min) < 0))
		return bad(err, "parameter '%s': the minimum '%s' is not of its type", param->name, param->min);
	if (param->max && (!*param->max || to_number(param->type, param->max, &max) < 0))
		return bad(err, "parameter '%s': the maximum '%s' is not of its type", param->name, param->max);
	if ((param->min && value < min) || (param->max && value > max))
		return bad(err, "parameter '%s': the default '%s' is out of its range", param->name,
			   param->value ? param->value : "");
	return 0;
}

static int check_param(const struct concd_plugin *plugin, uint32_t i, struct error *err)
{
	const struct concd_param *param = &plugin->params[i];
	const char *const lines[] = { param->value, param->choices, param->help };

	if (!is_name(param->name, "_"))
		return bad(err, "parameter %u has no valid name (lower-case letters, digits, '_'; at most %d)", i,
			   NAME_MAX_CHARS);
	for (uint32_t k = 0; k < i; k++)
		if (strcmp(plugin->params[k].name, param->name) == 0)
			return bad(err, "parameter '%s' is declared twice", param->name);
	if (param->type > CONCD_PARAM_SIZE)
		return bad(err, "parameter '%s' has the unknown type %u", param->name, param->type);
	if (param->flags & ~CONCD_PARAM_SECRET)
		return bad(err, "parameter '%s' has unknown flags %#x", param->name, param->flags);
	for (size_t k = 0; k < sizeof(lines) / sizeof(lines[0]); k++)
		if (lines[k] && !is_line(lines[k]))
			return bad(err, "parameter '%s': default, choices and help must each be one line of UTF-8",
				   param->name);
	if (param->choices && param->type != CONCD_PARAM_TEXT)
		return bad(err, "parameter '%s': choices are for text", param->name);
	if (param->choices && !is_choice(param->choices, param->value ? param->value : ""))
		return bad(err, "parameter '%s': the default '%s' is none of the choices '%s'", param->name,
			   param->value ? param->value : "", param->choices);
	return check_range(param, err);
}

static int check_fields(const struct concd_plugin *plugin, struct error *err)
{
	if (!is_name(plugin->name, "-_"))
		return bad(err, "its name is not valid (lower-case letters, digits, '-', '_'; at most %d)",
			   NAME_MAX_CHARS);
	if (!is_line(plugin->version) || !is_line(plugin->summary))
		return bad(err, "its version and summary must each be one line of UTF-8");
	if (plugin->kind > CONCD_KIND_IO)
		return bad(err, "its kind %u is unknown", plugin->kind);
	if (plugin->flags & ~KNOWN_FLAGS)
		return bad(err, "its flags %#x have unknown bits", plugin->flags);
	if (plugin->needs & ~KNOWN_NEEDS)
		return bad(err, "its needs %#x have unknown bits", plugin->needs);
	if (plugin->n_params > PARAMS_MAX || (plugin->n_params > 0 && !plugin->params))
		return bad(err, "its table of %u parameters is missing or too long (at most %d)", plugin->n_params,
			   PARAMS_MAX);
	if (!plugin->run)
		return bad(err, "it has no function run");
	if (plugin->split && !plugin->combine)
		return bad(err, "it has split but no combine");
	for (uint32_t i = 0; i < plugin->n_params; i++) {
		int r = check_param(plugin, i, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int loader_check(const struct concd_plugin *exported, struct concd_plugin *ret_plugin, struct error *err)
{
	struct concd_plugin plugin = { .size = 0 };
	int r;

	if (!exported)
		return bad(err, "the symbol %s points nowhere", CONCD_PLUGIN_SYMBOL);
	if (exported->abi != CONCD_ABI)
		return bad(err, "it was built for plugin ABI %u, this concd has ABI %u: build it against this concd's "
			   "header", exported->abi, CONCD_ABI);
	if (exported->size < MIN_PLUGIN_BYTES || exported->size > MAX_PLUGIN_BYTES)
		return bad(err, "it says that its description has %u bytes, which cannot be (%zu in this concd): does "
			   "it use CONCD_PLUGIN_HEADER?", exported->size, sizeof(plugin));
	memcpy(&plugin, exported, exported->size < sizeof(plugin) ? exported->size : sizeof(plugin));
	r = check_fields(&plugin, err);
	if (r < 0)
		return r;
	*ret_plugin = plugin;
	return 0;
}

static int open_file(const char *path, struct loaded_plugin *loaded, struct error *err)
{
	const struct concd_plugin *const *exported;
	struct stat st;

	if (stat(path, &st) < 0)
		return error_set(err, -errno, "bad-plugin", "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return bad(err, "it is not a file");
	if (!strchr(path, '/'))
		return bad(err, "its path needs a '/', or the system would search its library path for it");
	loaded->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!loaded->handle)
		return bad(err, "cannot be loaded: %s", dlerror());
	exported = dlsym(loaded->handle, CONCD_PLUGIN_SYMBOL);
	if (!exported)
		return bad(err, "is not a concd plugin: it exports no symbol %s", CONCD_PLUGIN_SYMBOL);
	return loader_check(*exported, &loaded->plugin, err);
}

int loader_open(const char *path, struct loaded_plugin *ret_loaded, struct error *err)
{
	struct loaded_plugin loaded = { .handle = NULL };
	int r = open_file(path, &loaded, err);

	if (r < 0) {
		loader_close(&loaded);
		error_prefix(err, "plugin '%s'", path);
		return r;
	}
	*ret_loaded = loaded;
	return 0;
}

void loader_close(struct loaded_plugin *loaded)
{
	if (loaded->handle)
		(void)dlclose(loaded->handle); /* nothing of it is used any more */
	loaded->handle = NULL;
}

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

static json_t *describe_params(const struct concd_plugin *plugin)
{
	json_t *params = json_array();

	for (uint32_t i = 0; params && i < plugin->n_params; i++) {
		const struct concd_param *p = &plugin->params[i];
		json_t *param = json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:s}", "name", p->name, "type",
					  (int)p->type, "flags", (int)p->flags, "value", text_or_empty(p->value), "min",
					  text_or_empty(p->min), "max", text_or_empty(p->max), "choices",
					  text_or_empty(p->choices), "help", text_or_empty(p->help));

		if (!param || json_array_append_new(params, param) < 0) {
			json_decref(params);
			return NULL;
		}
	}
	return params;
}

int loader_describe(const struct concd_plugin *plugin, FILE *out)
{
	json_t *params = describe_params(plugin), *document;
	int r = 0;

	if (!params)
		return -ENOMEM;
	/* "o" takes the reference to params, also where packing fails */
	document = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:b, s:b, s:o}", "name", plugin->name, "version",
			     plugin->version, "summary", plugin->summary, "kind", (int)plugin->kind, "flags",
			     (int)plugin->flags, "needs", (int)plugin->needs, "abi", (int)plugin->abi, "has_init",
			     plugin->worker_init != NULL, "has_split", plugin->split != NULL, "params", params);
	if (!document)
		return -EINVAL;
	if (json_dumpf(document, out, JSON_COMPACT) < 0 || fputc('\n', out) == EOF || fflush(out) == EOF)
		r = -EIO;
	json_decref(document);
	return r;
}
