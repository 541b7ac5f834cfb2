/* A job's specification as it stands in its row, taken apart. A list of 100 jobs reads as many of them, and jansson takes 4.5
 * microseconds for each: so what every job has is read as job_spec_format() writes it, member by member. The rest, which few
 * have, is a document. */
#include "jobs/spec_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define MAX_DIGITS 18 /* what always fits into 64 bits */

void spec_read_fini(struct spec_read *spec)
{
	free(spec->params);
	json_decref(spec->document);
	*spec = (struct spec_read)SPEC_READ_INIT;
}

/* ---- As it is written: each takes what is expected and moves on; false: something else is there ---- */

static bool take(const char **at, const char *literal)
{
	size_t len = strlen(literal);

	if (strncmp(*at, literal, len) != 0)
		return false;
	*at += len;
	return true;
}

/* A string without escapes. */
static bool take_text(const char **at, struct spec_span *ret_span)
{
	const char *begin = *at + 1, *end = begin;

	if (**at != '"')
		return false;
	while ((unsigned char)*end >= ' ' && *end != '"' && *end != '\\')
		end++;
	if (*end != '"' || !text_is_utf8(begin, (size_t)(end - begin)))
		return false;
	*ret_span = (struct spec_span){ .at = begin, .len = (size_t)(end - begin) };
	*at = end + 1;
	return true;
}

static bool take_number(const char **at, int64_t *ret_value)
{
	const char *digits = *at + (**at == '-'), *end = digits;
	int64_t value = 0;

	while (*end >= '0' && *end <= '9' && end - digits < MAX_DIGITS)
		value = value * 10 + (*end++ - '0');
	if (end == digits || (*digits == '0' && end - digits > 1))
		return false;
	*ret_value = digits > *at ? -value : value;
	*at = end;
	return *end == ','; /* no further digit */
}

static bool take_bool(const char **at, bool *ret_value)
{
	*ret_value = **at == 't';
	return take(at, *ret_value ? "true" : "false");
}

/* Only said of jobs that have it. */
static bool take_own_workers(const char **at, bool *ret_value)
{
	*ret_value = take(at, ",\"own_workers\":true");
	return true;
}

static bool take_head(const char **at, struct spec_read *spec)
{
	return take(at, "{\"model\":") && take_text(at, &spec->model) && take(at, ",\"shape\":") &&
	       take_text(at, &spec->shape) && take(at, ",\"workers\":") && take_number(at, &spec->workers) &&
	       take_own_workers(at, &spec->own_workers) && take(at, ",\"dedicated\":") && take_bool(at, &spec->dedicated) &&
	       take(at, ",\"auto\":") && take_bool(at, &spec->by_auto) && take(at, ",\"timeout_ns\":") && take_number(at, &spec->timeout_ns) &&
	       take(at, ",\"task_timeout_ns\":") && take_number(at, &spec->task_timeout_ns) && take(at, ",\"grace_ns\":") &&
	       take_number(at, &spec->grace_ns) && take(at, ",\"max_crashes\":") && take_number(at, &spec->max_crashes) &&
	       take(at, ",\"reason\":") && take_text(at, &spec->reason) && take(at, ",\"params\":{");
}

/* Up to and with the brace at their end. 0; -EAGAIN; -ENOMEM. */
static int take_params(const char **at, struct spec_read *spec)
{
	size_t room = 0;

	if (take(at, "}"))
		return 0;
	do {
		struct spec_param param;

		if (!take_text(at, &param.name) || !take(at, ":") || !take_text(at, &param.value))
			return -EAGAIN;
		if (spec->n_params == room) {
			struct spec_param *more = reallocarray(spec->params, room = room ? 2 * room : 8, sizeof(*more));

			if (!more)
				return -ENOMEM;
			spec->params = more;
		}
		spec->params[spec->n_params++] = param;
	} while (take(at, ","));
	return take(at, "}") ? 0 : -EAGAIN;
}

/* ,"label":...} as a document of its own. */
static int take_rest(const char *at, struct spec_read *spec)
{
	_cleanup_free_ char *text = strdup(at);

	if (!text)
		return -ENOMEM;
	*text = '{';
	spec->document = json_loads(text, 0, NULL);
	return spec->document ? 0 : -EAGAIN;
}

int spec_read_written(struct spec_read *spec, const char *text)
{
	const char *at = text;
	int r = take_head(&at, spec) ? take_params(&at, spec) : -EAGAIN;

	if (r == 0 && strcmp(at, "}") != 0)
		r = at[0] == ',' && at[1] == '"' ? take_rest(at, spec) : -EAGAIN;
	if (r < 0)
		spec_read_fini(spec);
	return r;
}

/* ---- As a document ---- */

static int read_params(struct spec_read *spec, json_t *params)
{
	const char *name;
	json_t *value;

	if (json_object_size(params) == 0)
		return 0;
	spec->params = calloc(json_object_size(params), sizeof(*spec->params));
	if (!spec->params)
		return -ENOMEM;
	json_object_foreach(params, name, value) {
		struct spec_param *param = &spec->params[spec->n_params++];

		param->name = (struct spec_span){ .at = name, .len = strlen(name) };
		if (json_is_string(value))
			param->value = (struct spec_span){ .at = json_string_value(value), .len = json_string_length(value) };
		else
			param->value = (struct spec_span){ .at = "", .len = 0 };
	}
	return 0;
}

int spec_read_document(struct spec_read *spec, const char *text)
{
	json_int_t workers, timeout_ns, task_timeout_ns, grace_ns, max_crashes;
	json_t *params = NULL;
	int dedicated, by_auto, r = -EBADMSG;

	spec->document = json_loads(text, 0, NULL);
	if (spec->document &&
	    json_unpack(spec->document, "{s:s%, s:s%, s:I, s:b, s:b, s:s%, s:I, s:I, s:I, s:I, s:o}", "model", &spec->model.at,
			&spec->model.len, "shape", &spec->shape.at, &spec->shape.len, "workers", &workers, "dedicated",
			&dedicated, "auto", &by_auto, "reason", &spec->reason.at, &spec->reason.len, "timeout_ns",
			&timeout_ns, "task_timeout_ns", &task_timeout_ns, "grace_ns", &grace_ns, "max_crashes",
			&max_crashes, "params", &params) == 0)
		r = read_params(spec, params);
	if (r < 0) {
		spec_read_fini(spec);
		return r;
	}
	spec->workers = workers;
	spec->own_workers = json_is_true(json_object_get(spec->document, "own_workers"));
	spec->dedicated = dedicated;
	spec->by_auto = by_auto;
	spec->timeout_ns = timeout_ns;
	spec->task_timeout_ns = task_timeout_ns;
	spec->grace_ns = grace_ns;
	spec->max_crashes = max_crashes;
	return 0;
}

int spec_read(struct spec_read *spec, const char *text)
{
	int r = spec_read_written(spec, text);

	return r == -EAGAIN ? spec_read_document(spec, text) : r;
}
