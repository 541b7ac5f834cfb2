/* Parameters: parsed once, found by name. */
#include "params.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "concd/plugin.h"

struct param_value {
	const char *name; /* the plugin's */
	uint32_t type;
	char *text; /* owned */
	int64_t integer;
	double number;
};

struct params {
	size_t n;
	struct param_value values[];
};

int param_parse(uint32_t type, const char *text, int64_t *ret_int, double *ret_number)
{
	uint64_t size;
	bool flag;
	int r;

	if (!*text) {
		*ret_int = 0;
		*ret_number = 0;
		return 0;
	}
	switch (type) {
	case CONCD_PARAM_TEXT:
		return 0;
	case CONCD_PARAM_INT:
		return text_parse_i64(text, ret_int);
	case CONCD_PARAM_NUMBER:
		return text_parse_double(text, ret_number);
	case CONCD_PARAM_BOOL:
		r = text_parse_bool(text, &flag);
		if (r == 0)
			*ret_int = flag;
		return r;
	case CONCD_PARAM_DURATION:
		return text_parse_duration(text, ret_int);
	case CONCD_PARAM_SIZE:
		r = text_parse_size(text, &size);
		if (r == 0)
			*ret_int = (int64_t)size; /* the parser's range ends below 2^63 */
		return r;
	default:
		return -EINVAL;
	}
}

static struct param_value *find(const struct params *params, const char *name)
{
	for (size_t i = 0; i < params->n; i++)
		if (strcmp(params->values[i].name, name) == 0)
			return (struct param_value *)&params->values[i];
	return NULL;
}

/* Takes ownership of text. */
static int set_value(struct param_value *value, char *text, struct error *err)
{
	if (!text)
		return -ENOMEM;
	free(value->text);
	value->text = text; /* owned from here, whatever it says */
	value->integer = 0;
	value->number = 0;
	if (param_parse(value->type, text, &value->integer, &value->number) < 0)
		return error_set(err, -EINVAL, "bad-parameter", "parameter '%s': '%s' is not a value of its type",
				 value->name, text);
	return 0;
}

int params_default(const struct concd_plugin *plugin, struct params **ret_params, struct error *err)
{
	size_t n = plugin->n_params;
	struct params *params = calloc(1, sizeof(*params) + n * sizeof(params->values[0]));

	if (!params)
		return -ENOMEM;
	params->n = n;
	for (size_t i = 0; i < n; i++) {
		const struct concd_param *declared = &plugin->params[i];
		int r;

		params->values[i].name = declared->name;
		params->values[i].type = declared->type;
		r = set_value(&params->values[i], strdup(declared->value ? declared->value : ""), err);
		if (r < 0) {
			params_free(params);
			return r;
		}
	}
	*ret_params = params;
	return 0;
}

static int read_pair(struct params *params, struct reader *reader, struct error *err)
{
	_cleanup_free_ char *name = reader_text(reader);
	_cleanup_free_ char *text = reader_text(reader);
	struct param_value *value;

	if (reader->failed)
		return -EBADMSG;
	value = find(params, name);
	return value ? set_value(value, take_ptr(text), err) : 0;
}

int params_read(const struct concd_plugin *plugin, struct reader *reader, struct params **ret_params,
		struct error *err)
{
	uint64_t n = reader_varint(reader);
	struct params *params;
	int r;

	if (reader->failed || n > PARAMS_MAX)
		return -EBADMSG;
	r = params_default(plugin, &params, err);
	for (uint64_t i = 0; r == 0 && i < n; i++) {
		r = read_pair(params, reader, err);
		if (r < 0)
			params_free(params);
	}
	if (r < 0)
		return r;
	*ret_params = params;
	return 0;
}

void params_free(struct params *params)
{
	if (!params)
		return;
	for (size_t i = 0; i < params->n; i++)
		free(params->values[i].text);
	free(params);
}

int params_text(const struct params *params, const char *name, const char **ret_value)
{
	const struct param_value *value = find(params, name);

	if (!value)
		return -ENOENT;
	if (value->type != CONCD_PARAM_TEXT)
		return -EINVAL;
	*ret_value = value->text;
	return 0;
}

int params_int(const struct params *params, const char *name, int64_t *ret_value)
{
	const struct param_value *value = find(params, name);

	if (!value)
		return -ENOENT;
	if (value->type == CONCD_PARAM_TEXT || value->type == CONCD_PARAM_NUMBER)
		return -EINVAL;
	*ret_value = value->integer;
	return 0;
}

int params_number(const struct params *params, const char *name, double *ret_value)
{
	const struct param_value *value = find(params, name);

	if (!value)
		return -ENOENT;
	if (value->type != CONCD_PARAM_NUMBER)
		return -EINVAL;
	*ret_value = value->number;
	return 0;
}
