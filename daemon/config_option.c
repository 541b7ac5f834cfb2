/* Reading settings by the tables of config_table.c: one function for all groups, one reader per type. */
#include "config.h"
#include "config_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpu_list.h"
#include "base/error.h"
#include "base/text.h"

#define MAX_DEPTH 8 /* of nested groups in a message; no known key lies deeper than 4 */
#define ALLOWED_BYTES 400

/* ---- Where a setting stands ---- */

static void setting_key(const config_setting_t *setting, char ret_key[CONFIG_KEY_BYTES])
{
	const char *names[MAX_DEPTH];
	size_t n = 0, len = 0;

	for (; setting && n < MAX_DEPTH; setting = config_setting_parent(setting))
		if (config_setting_name(setting)) /* the root and members of lists have none */
			names[n++] = config_setting_name(setting);
	ret_key[0] = '\0';
	while (n > 0 && len < CONFIG_KEY_BYTES) {
		len += (size_t)snprintf(ret_key + len, CONFIG_KEY_BYTES - len, "%s%s", len > 0 ? "." : "", names[--n]);
	}
}

static const char *setting_file(const config_setting_t *setting)
{
	const char *file = config_setting_source_file(setting);

	return file ? file : "configuration";
}

int setting_where(const config_setting_t *setting, char **ret_where)
{
	char *where;

	if (asprintf(&where, "%s:%u", setting_file(setting), (unsigned int)config_setting_source_line(setting)) < 0)
		return -ENOMEM;
	*ret_where = where;
	return 0;
}

int setting_error(const config_setting_t *setting, struct error *err, const char *format, ...)
{
	char key[CONFIG_KEY_BYTES], text[ERROR_TEXT_BYTES];
	va_list ap;

	setting_key(setting, key);
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* a cut message is still a message */
	va_end(ap);
	return error_set(err, -EINVAL, "bad-config", "%s:%u: %s: %s", setting_file(setting),
			 (unsigned int)config_setting_source_line(setting), key, text);
}

void config_places_fini(struct config_places *places)
{
	for (size_t i = 0; i < places->n; i++) {
		free(places->items[i].key);
		free(places->items[i].where);
	}
	free(places->items);
	*places = (struct config_places){ .items = NULL, .n = 0 };
}

static int places_add(struct config_places *places, const config_setting_t *setting)
{
	struct config_place *items = reallocarray(places->items, places->n + 1, sizeof(*items));
	struct config_place place = { .key = NULL, .where = NULL };
	char key[CONFIG_KEY_BYTES];

	if (!items)
		return -ENOMEM;
	places->items = items;
	setting_key(setting, key);
	place.key = strdup(key);
	if (!place.key || setting_where(setting, &place.where) < 0) {
		free(place.key);
		return -ENOMEM;
	}
	places->items[places->n++] = place;
	return 0;
}

const char *config_place_of(const struct config_places *places, const char *key)
{
	for (size_t i = places->n; i > 0; i--)
		if (strcmp(places->items[i - 1].key, key) == 0)
			return places->items[i - 1].where;
	return NULL;
}

/* ---- Reading one value ---- */

static int set_text(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* The value as a string of printable bytes, or NULL with the error set. */
static const char *need_text(const config_setting_t *s, const char *right, struct error *err)
{
	const char *text = config_setting_get_string(s);

	if (!text || !*text) {
		(void)setting_error(s, err, "must be %s, in quotes", right);
		return NULL;
	}
	for (const char *c = text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f) {
			(void)setting_error(s, err, "has a control character: write %s", right);
			return NULL;
		}
	}
	return text;
}

bool config_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	return len > 0 && len <= CONFIG_NAME_MAX && !name[len];
}

static bool shape_ok(const char *text)
{
	for (int part = 0; part < 3; part++) {
		char number[12];
		uint64_t value;
		size_t len = strspn(text, "0123456789");

		if (len == 0 || len >= sizeof(number))
			return false;
		memcpy(number, text, len);
		number[len] = '\0';
		if (text_parse_u64(number, &value) < 0 || value == 0 || value > UINT32_MAX)
			return false;
		text += len;
		if (*text != (part < 2 ? 'x' : '\0'))
			return false;
		text++;
	}
	return true;
}

static bool word_ok(const char *word, const char *choices)
{
	size_t len = strlen(word);

	for (const char *at = choices; at; at = strchr(at, '|')) {
		at += *at == '|' ? 1 : 0;
		if (strncmp(at, word, len) == 0 && (at[len] == '|' || at[len] == '\0'))
			return true;
	}
	return false;
}

static int read_text(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	static const char *const right[] = {
		[OPTION_TEXT] = "a name",
		[OPTION_PATH] = "an absolute path such as \"/var/lib/concd\"",
		[OPTION_WORD] = "one word",
		[OPTION_SHAPE] = "PROCESSESxTHREADSxCOROUTINES, each at least 1, such as \"2x1x500\"",
		[OPTION_CPUS] = "processors by number, such as \"0-1,3\"",
		[OPTION_PLUGIN] = "the name of a plugin in plugin_dir (letters, digits, - and _), or the absolute path "
				  "of its .so file",
	};
	const char *text = need_text(s, o->choices ? o->choices : right[o->type], err);
	cpu_set_t cpus;
	bool ok = true;

	if (!text)
		return -EINVAL;
	if (o->type == OPTION_PATH)
		ok = *text == '/' && strlen(text) < 4096;
	else if (o->type == OPTION_WORD)
		ok = word_ok(text, o->choices);
	else if (o->type == OPTION_SHAPE)
		ok = shape_ok(text);
	else if (o->type == OPTION_CPUS)
		ok = cpu_list_parse(text, &cpus) == 0;
	else if (o->type == OPTION_PLUGIN)
		ok = *text == '/' || config_name_ok(text);
	if (!ok)
		return setting_error(s, err, "\"%.60s\" is wrong: write %s%s", text, o->choices ? "one of " : "",
				     o->choices ? o->choices : right[o->type]);
	return set_text(field, text);
}

static int read_bool(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	(void)o; /* nothing but the type limits it */
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		return setting_error(s, err, "must be true or false, without quotes");
	*(bool *)field = config_setting_get_bool(s) != 0;
	return 0;
}

static int read_count(const config_setting_t *s, const struct option *o, uint64_t *ret_value, struct error *err)
{
	bool workers = o->type == OPTION_WORKERS;
	int type = config_setting_type(s);
	uint64_t min = 0, max = 0;
	int64_t value;

	(void)text_parse_u64(o->min, &min); /* the table's own texts */
	(void)text_parse_u64(o->max, &max);
	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return setting_error(s, err, "must be %san integer from %s to %s, without quotes",
				     workers ? "\"auto\" or " : "", o->min, o->max);
	value = type == CONFIG_TYPE_INT ? config_setting_get_int(s) : (int64_t)config_setting_get_int64(s);
	if (value < 0 || (uint64_t)value < min || (uint64_t)value > max)
		return setting_error(s, err, "%lld is out of range: write %san integer from %s to %s", (long long)value,
				     workers ? "\"auto\" or " : "", o->min, o->max);
	*ret_value = (uint64_t)value;
	return 0;
}

static int read_u32(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	const char *text = config_setting_get_string(s);
	uint64_t value = 0;
	int r = 0;

	if (!(o->type == OPTION_WORKERS && text && strcmp(text, "auto") == 0))
		r = read_count(s, o, &value, err);
	if (r < 0)
		return r;
	*(uint32_t *)field = (uint32_t)value; /* every row's max fits */
	return 0;
}

static int read_i32(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	int type = config_setting_type(s);
	int64_t value, min = 0, max = 0;

	(void)text_parse_i64(o->min, &min); /* the table's own texts */
	(void)text_parse_i64(o->max, &max);
	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return setting_error(s, err, "must be an integer from %s to %s, without quotes", o->min, o->max);
	value = type == CONFIG_TYPE_INT ? config_setting_get_int(s) : (int64_t)config_setting_get_int64(s);
	if (value < min || value > max)
		return setting_error(s, err, "%lld is out of range: write an integer from %s to %s", (long long)value,
				     o->min, o->max);
	*(int32_t *)field = (int32_t)value; /* every row's range fits */
	return 0;
}

static int read_u64(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	uint64_t value;
	int r = read_count(s, o, &value, err);

	if (r < 0)
		return r;
	*(uint64_t *)field = value;
	return 0;
}

static int read_duration(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	const char *text = need_text(s, "a duration such as \"500ms\", \"10s\" or \"2m\"", err);
	int64_t ns, min = 0, max = 0;

	if (!text)
		return -EINVAL;
	(void)text_parse_duration(o->min, &min); /* the table's own texts */
	(void)text_parse_duration(o->max, &max);
	if (text_parse_duration(text, &ns) < 0)
		return setting_error(s, err,
				     "\"%.60s\" is no duration: write a number and one of ns us ms s m h d, "
				     "such as \"500ms\", \"10s\" or \"2m\"",
				     text);
	if ((ns < min || ns > max) && !(o->zero && ns == 0))
		return setting_error(s, err, "\"%.60s\" is out of range: write a duration from \"%s\" to \"%s\"%s",
				     text, o->min, o->max, o->zero ? ", or \"0\"" : "");
	*(int64_t *)field = ns;
	return 0;
}

static int read_size(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	const char *text = need_text(s, "a size such as \"4096\", \"512K\" or \"64M\"", err);
	uint64_t bytes, min = 0, max = 0;

	if (!text)
		return -EINVAL;
	(void)text_parse_size(o->min, &min); /* the table's own texts */
	(void)text_parse_size(o->max, &max);
	if (text_parse_size(text, &bytes) < 0)
		return setting_error(s, err,
				     "\"%.60s\" is no size: write a number of bytes with or without one of "
				     "K M G T, such as \"4096\", \"512K\" or \"64M\"",
				     text);
	if ((bytes < min || bytes > max) && !(o->zero && bytes == 0))
		return setting_error(s, err, "\"%.60s\" is out of range: write a size from \"%s\" to \"%s\"%s", text,
				     o->min, o->max, o->zero ? ", or \"0\"" : "");
	*(uint64_t *)field = bytes;
	return 0;
}

#define RATE_MIN 1e-5
#define RATE_MAX 1e6

/* "10/s", "600/min", "0.5/h"; "0" is no limit. */
static int parse_rate(const char *text, double *ret_rate)
{
	static const struct {
		const char *unit;
		double s;
	} units[] = { { "/s", 1 }, { "/min", 60 }, { "/h", 3600 } };
	char number[32];
	size_t len = strcspn(text, "/");
	double rate;

	(void)snprintf(number, sizeof(number), "%.*s", (int)(len < sizeof(number) ? len : 0), text);
	if (text_parse_double(number, &rate) < 0 || rate < 0)
		return -EINVAL;
	if (rate == 0 && !text[len]) {
		*ret_rate = 0;
		return 0;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(text + len, units[i].unit) == 0) {
			*ret_rate = rate / units[i].s;
			return *ret_rate < RATE_MIN || *ret_rate > RATE_MAX ? -ERANGE : 0;
		}
	return -EINVAL;
}

static int read_rate(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	const char *text = need_text(s, "a rate such as \"10/s\", \"600/min\" or \"5/h\"", err);
	double rate;
	int r;

	(void)o; /* one range for all */
	if (!text)
		return -EINVAL;
	r = parse_rate(text, &rate);
	if (r == -ERANGE)
		return setting_error(s, err, "\"%.60s\" is out of range: write a rate from \"0.04/h\" to \"1000000/s\", or \"0\"",
				     text);
	if (r < 0)
		return setting_error(s, err, "\"%.60s\" is no rate: write a number and /s, /min or /h, such as \"10/s\" or "
				     "\"600/min\", or \"0\": no limit", text);
	*(double *)field = rate;
	return 0;
}

static int read_mode(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	static const char right[] = "\"0600\" (the owner) or \"0660\" (the owner and the group)";
	const char *text = need_text(s, right, err);
	unsigned int mode = 0;
	size_t len;

	(void)o; /* one option has this type */
	if (!text)
		return -EINVAL;
	len = strspn(text, "01234567");
	for (size_t i = 0; i < len && len <= 4; i++)
		mode = mode * 8 + (unsigned int)(text[i] - '0');
	if (len < 3 || len > 4 || text[len])
		return setting_error(s, err, "\"%.60s\" is no file mode: write %s", text, right);
	if ((mode & 0600) != 0600 || (mode & ~0660u))
		return setting_error(s, err, "\"%.60s\" is unsafe: whoever reaches the socket runs workloads: write %s",
				     text, right);
	*(mode_t *)field = mode;
	return 0;
}

static int read_log_word(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	bool level = o->type == OPTION_LEVEL;
	const char *right = level ? "error, warning, info or debug" : "auto, journal or stderr";
	const char *text = need_text(s, right, err);
	int r;

	if (!text)
		return -EINVAL;
	r = level ? log_level_parse(text, field) : log_target_parse(text, field);
	return r < 0 ? setting_error(s, err, "\"%.60s\" is wrong: write %s", text, right) : 0;
}

static int read_nothing(const config_setting_t *s, const struct option *o, void *field, struct error *err)
{
	(void)s;
	(void)o;
	(void)field;
	(void)err;
	return 0;
}

static int (*const readers[])(const config_setting_t *s, const struct option *o, void *field, struct error *err) = {
	[OPTION_TEXT] = read_text,	   [OPTION_PATH] = read_text,	    [OPTION_WORD] = read_text,
	[OPTION_SHAPE] = read_text,	   [OPTION_PLUGIN] = read_text,	    [OPTION_BOOL] = read_bool,
	[OPTION_U32] = read_u32,	   [OPTION_I32] = read_i32,	    [OPTION_RATE] = read_rate,	    [OPTION_U64] = read_u64,	    [OPTION_WORKERS] = read_u32,
	[OPTION_DURATION] = read_duration, [OPTION_SIZE] = read_size,	    [OPTION_MODE] = read_mode,
	[OPTION_LEVEL] = read_log_word,	   [OPTION_TARGET] = read_log_word,
	[OPTION_OTHER] = read_nothing,	   [OPTION_CPUS] = read_text,
};

/* ---- Reading a group ---- */

static const char *option_name_at(const void *options, size_t i)
{
	return ((const struct option *)options)[i].name;
}

static int refuse_unknown(const config_setting_t *s, const struct option *options, struct error *err)
{
	char allowed[ALLOWED_BYTES] = "";
	const char *nearest;
	size_t n = 0, len = 0;

	for (; options[n].name; n++)
		if (len < sizeof(allowed))
			len += (size_t)snprintf(allowed + len, sizeof(allowed) - len, "%s%s", n > 0 ? ", " : "",
						options[n].name);
	nearest = text_nearest(config_setting_name(s), options, n, option_name_at);
	if (nearest)
		return setting_error(s, err, "unknown key: did you mean '%s'?", nearest);
	return setting_error(s, err, "unknown key: known here are %s", allowed);
}

int options_read(const config_setting_t *group, const struct option *options, void *target,
		 struct config_places *places, struct error *err)
{
	if (config_setting_type(group) != CONFIG_TYPE_GROUP)
		return setting_error(group, err, "must be a group: %s = { ... };", config_setting_name(group));
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned int)i);
		const struct option *o = options;
		int r;

		while (o->name && strcmp(o->name, config_setting_name(s)) != 0)
			o++;
		if (!o->name)
			return refuse_unknown(s, options, err);
		r = readers[o->type](s, o, (char *)target + o->offset, err);
		if (r == 0)
			r = places_add(places, s);
		if (r < 0)
			return error_set(err, r, "bad-config", "%s", strerror(-r));
	}
	return 0;
}
