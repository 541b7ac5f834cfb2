/* Submissions: one JSON object, then raw inputs.
 *
 * Lines become packed inputs without touching them one by one: the whole run is copied one byte up, and each
 * separator's place takes the length of the line behind it.
 *
 *	a b \n c d e \n      ->      2 a b 3 c d e
 *
 * That works while lines are shorter than 128 bytes, whose length is one byte; from the first longer one on they are
 * copied singly.
 */
#include "control/spec.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "control/base64.h"
#include "ctl/protocol.h"

#define SHORT_INPUT 128 /* lengths below take one byte as varint */
#define MAX_SECONDS 1e9

int input_format_parse(const char *text, enum input_format *ret_format, struct error *err)
{
	static const char *const names[] = { [INPUT_LINES] = "lines", [INPUT_NUL] = "nul",
					     [INPUT_PACKED] = "packed" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_format = (enum input_format)i;
			return 0;
		}
	return error_set(err, -EINVAL, "bad-request", "'%.40s' is no format of inputs: lines, nul and packed are", text);
}

static int too_long(uint64_t index, size_t len, struct error *err)
{
	return error_set(err, -EMSGSIZE, "too-large", "input %llu has %zu bytes; at most %u are allowed",
			 (unsigned long long)index, len, PROTOCOL_MAX_INPUT_BYTES);
}

/* Inputs one after another, for lengths of any size. */
static int pack_singly(uint8_t separator, const uint8_t *at, const uint8_t *end, struct buffer *packed,
		       uint64_t *count, struct error *err)
{
	while (at < end) {
		const uint8_t *stop = memchr(at, separator, (size_t)(end - at));
		size_t len = (size_t)((stop ? stop : end) - at);

		if (len > PROTOCOL_MAX_INPUT_BYTES)
			return too_long(*count, len, err);
		if (buffer_reserve(packed, len + VARINT_MAX_BYTES) < 0)
			return -ENOMEM;
		(void)buffer_add_varint(packed, len); /* room was reserved for both */
		(void)buffer_add(packed, at, len);
		++*count;
		at += len + 1;
	}
	return 0;
}

static int pack_separated(uint8_t separator, const uint8_t *data, size_t len, struct buffer *packed, uint64_t *count,
			  struct error *err)
{
	const uint8_t *at = data, *end = data + len;
	uint64_t n = 0;
	uint8_t *out;

	if (buffer_reserve(packed, len + 1) < 0)
		return -ENOMEM;
	out = packed->data + packed->len;
	memcpy(out + 1, data, len);
	while (at < end) {
		const uint8_t *stop = memchr(at, separator, (size_t)(end - at));
		size_t line = (size_t)((stop ? stop : end) - at);

		if (line >= SHORT_INPUT)
			break;
		out[at - data] = (uint8_t)line;
		at += line + 1;
		n++;
	}
	/* a last one without its separator leaves `at` one past the end, where its copy ends */
	packed->len += (size_t)(at - data);
	*count += n;
	return at < end ? pack_singly(separator, at, end, packed, count, err) : 0;
}

static int pack_packed(const uint8_t *data, size_t len, struct buffer *packed, uint64_t *count, struct error *err)
{
	const uint8_t *at = data, *end = data + len;

	while (at < end) {
		const uint8_t *input;
		size_t n;

		at = packed_next(at, end, &input, &n);
		if (!at)
			return error_set(err, -EINVAL, "bad-request", "packed inputs: number %llu is cut or malformed",
					 (unsigned long long)*count);
		if (n > PROTOCOL_MAX_INPUT_BYTES)
			return too_long(*count, n, err);
		++*count;
	}
	return buffer_add(packed, data, len);
}

int inputs_pack(enum input_format format, const uint8_t *data, size_t len, struct buffer *packed, uint64_t *count,
		struct error *err)
{
	if (len == 0)
		return 0;
	if (format == INPUT_PACKED)
		return pack_packed(data, len, packed, count, err);
	return pack_separated(format == INPUT_NUL ? '\0' : '\n', data, len, packed, count, err);
}

/* ---- The object ---- */

enum spec_key {
	KEY_WORKLOAD, KEY_SUBMISSION, KEY_INPUTS, KEY_INPUTS_B64, KEY_INPUTS_FORMAT, KEY_OPEN, KEY_MODEL, KEY_SHAPE,
	KEY_DEDICATED, KEY_WORKERS, KEY_PARAMS, KEY_TIMEOUT_S, KEY_TASK_TIMEOUT_S, KEY_RETRIES, KEY_BACKOFF_S, KEY_HALT,
	KEY_DELAY_S, KEY_EXPIRE_S, KEY_AFTER, KEY_AFTER_FAILED, KEY_UNIQUE, KEY_ON_DONE, KEY_PRIORITY,
	KEY_DURABLE, KEY_LABEL, KEY_DRY_RUN,
	KEY_COUNT,
};

static const struct {
	const char *name;
	const char *type; /* in words */
} spec_keys[KEY_COUNT] = {
	[KEY_WORKLOAD] = { "workload", "a string" },
	[KEY_SUBMISSION] = { "submission", "a string of 1 to 128 bytes" },
	[KEY_INPUTS] = { "inputs", "an array of strings" },
	[KEY_INPUTS_B64] = { "inputs_b64", "an array of base64-coded strings" },
	[KEY_INPUTS_FORMAT] = { "inputs_format", "lines, nul or packed" },
	[KEY_OPEN] = { "open", "true or false" },
	[KEY_MODEL] = { "model", "a string" },
	[KEY_SHAPE] = { "shape", "a string such as 2x1x500" },
	[KEY_DEDICATED] = { "dedicated", "true or false" },
	[KEY_WORKERS] = { "workers", "an integer from 0 (auto) on" },
	[KEY_PARAMS] = { "params", "an object of strings" },
	[KEY_TIMEOUT_S] = { "timeout_s", "a number of seconds from 0 (none) to 1e9" },
	[KEY_TASK_TIMEOUT_S] = { "task_timeout_s", "a number of seconds from 0 (none) to 1e9" },
	[KEY_RETRIES] = { "retries", "an integer from 0 to 1000" },
	[KEY_BACKOFF_S] = { "backoff_s", "a number of seconds from 0 to 1e9" },
	[KEY_PRIORITY] = { "priority", "an integer from -100 to 100" },
	[KEY_HALT] = { "halt", "an object with `when` (now or soon) and either `fail` (from 1 on) or `percent` (1 to 100)" },
	[KEY_DELAY_S] = { "delay_s", "a number of seconds from 0 (none) to 1e9" },
	[KEY_EXPIRE_S] = { "expire_s", "a number of seconds from 0 (never) to 1e9" },
	[KEY_AFTER] = { "after", "an array of at most 1000 jobs, each a string such as \"7\"" },
	[KEY_AFTER_FAILED] = { "after_failed", "cancel or run" },
	[KEY_UNIQUE] = { "unique", "a string of 1 to 128 bytes" },
	[KEY_ON_DONE] = { "on_done", "a string of 1 to 32 bytes" },
	[KEY_DURABLE] = { "durable", "true or false" },
	[KEY_LABEL] = { "label", "a string of at most 128 bytes" },
	[KEY_DRY_RUN] = { "dry_run", "true or false" },
};

static const char *spec_key_at(const void *names, size_t i)
{
	(void)names; /* the one table */
	return spec_keys[i].name;
}

static int wrong_type(enum spec_key key, struct error *err)
{
	return error_set(err, -EINVAL, "bad-request", "'%s' is to be %s", spec_keys[key].name, spec_keys[key].type);
}

/* A string without NUL of min..max bytes. */
static int take_text(enum spec_key key, const json_t *value, size_t min, size_t max, const char **ret, struct error *err)
{
	size_t len = json_string_length(value);

	if (!json_is_string(value) || len < min || len > max || memchr(json_string_value(value), 0, len))
		return wrong_type(key, err);
	*ret = json_string_value(value);
	return 0;
}

static int take_bool(enum spec_key key, const json_t *value, bool *ret, struct error *err)
{
	if (!json_is_boolean(value))
		return wrong_type(key, err);
	*ret = json_is_true(value);
	return 0;
}

static int take_seconds(enum spec_key key, const json_t *value, int64_t *ret_ns, struct error *err)
{
	double s = json_number_value(value);

	if (!json_is_number(value) || !(s >= 0) || s > MAX_SECONDS)
		return wrong_type(key, err);
	*ret_ns = (int64_t)llround(s * 1e9);
	if (*ret_ns == 0 && s > 0)
		*ret_ns = 1; /* very short is not none */
	return 0;
}

static int take_params(struct submission *submission, json_t *value, struct error *err)
{
	const char *name;
	json_t *text;
	size_t n = 0;

	if (!json_is_object(value))
		return wrong_type(KEY_PARAMS, err);
	submission->params = calloc(json_object_size(value) + 1, sizeof(*submission->params));
	if (!submission->params)
		return -ENOMEM;
	json_object_foreach(value, name, text) {
		if (!json_is_string(text) ||
		    memchr(json_string_value(text), 0, json_string_length(text)))
			return error_set(err, -EINVAL, "bad-request", "'params': the value of '%.64s' is to be a string", name);
		/* config_pair has owned texts elsewhere; here they stay the object's and are only read */
		submission->params[n].name = (char *)name;
		submission->params[n++].value = (char *)json_string_value(text);
	}
	submission->spec.params = submission->params;
	submission->spec.n_params = n;
	return 0;
}

static int take_retries(const json_t *value, int64_t *ret_retries, struct error *err)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > JOB_MAX_RETRIES)
		return wrong_type(KEY_RETRIES, err);
	*ret_retries = json_integer_value(value);
	return 0;
}

static int take_priority(const json_t *value, int32_t *ret_priority, struct error *err)
{
	if (!json_is_integer(value) || json_integer_value(value) < PROTOCOL_MIN_PRIORITY ||
	    json_integer_value(value) > PROTOCOL_MAX_PRIORITY)
		return wrong_type(KEY_PRIORITY, err);
	*ret_priority = (int32_t)json_integer_value(value);
	return 0;
}

/* {"when":"now","fail":3} or {"when":"soon","percent":10} */
static int take_halt(json_t *value, struct job_halt *ret_halt, struct error *err)
{
	const char *when = NULL;
	json_int_t fail = 0, percent = 0;

	if (json_unpack(value, "{s:s, s?I, s?I !}", "when", &when, "fail", &fail, "percent", &percent) < 0 ||
	    (strcmp(when, "now") != 0 && strcmp(when, "soon") != 0) || json_object_size(value) != 2 ||
	    !(fail >= 1 || (percent >= 1 && percent <= 100)))
		return wrong_type(KEY_HALT, err);
	*ret_halt = (struct job_halt){
		.when = strcmp(when, "now") == 0 ? JOB_HALT_NOW : JOB_HALT_SOON,
		.fail = (uint64_t)fail,
		.percent = (uint32_t)percent,
	};
	return 0;
}

static int take_after(struct submission *submission, const json_t *value, struct error *err)
{
	const json_t *id;
	size_t i;

	if (!json_is_array(value) || json_array_size(value) > JOB_MAX_AFTER)
		return wrong_type(KEY_AFTER, err);
	submission->after = calloc(json_array_size(value) + 1, sizeof(*submission->after));
	if (!submission->after)
		return -ENOMEM;
	json_array_foreach(value, i, id) {
		if (!json_is_string(id) || text_parse_u64(json_string_value(id), &submission->after[i]) < 0)
			return wrong_type(KEY_AFTER, err);
	}
	submission->spec.after = submission->after;
	submission->spec.n_after = i;
	return 0;
}

static int take_after_failed(const json_t *value, bool *ret_any, struct error *err)
{
	const char *text = json_is_string(value) ? json_string_value(value) : "";

	if (strcmp(text, "cancel") != 0 && strcmp(text, "run") != 0)
		return wrong_type(KEY_AFTER_FAILED, err);
	*ret_any = strcmp(text, "run") == 0;
	return 0;
}

static int take_inputs(struct submission *submission, enum spec_key key, const json_t *array, struct error *err)
{
	const json_t *value;
	size_t i;

	if (!json_is_array(array))
		return wrong_type(key, err);
	if (submission->n_inputs > 0)
		return error_set(err, -EINVAL, "bad-request", "'inputs' and 'inputs_b64' are given together");
	json_array_foreach(array, i, value) {
		_cleanup_free_ uint8_t *decoded = NULL;
		const uint8_t *data = (const uint8_t *)json_string_value(value);
		size_t len = json_string_length(value);

		if (!json_is_string(value))
			return wrong_type(key, err);
		if (key == KEY_INPUTS_B64) {
			decoded = malloc(len + 1);
			if (!decoded)
				return -ENOMEM;
			if (base64_decode((const char *)data, len, decoded, &len) < 0)
				return error_set(err, -EINVAL, "bad-request", "'inputs_b64': number %zu is not base64", i);
			data = decoded;
		}
		if (len > PROTOCOL_MAX_INPUT_BYTES)
			return too_long(i, len, err);
		if (buffer_reserve(&submission->inputs, len + VARINT_MAX_BYTES) < 0)
			return -ENOMEM;
		(void)buffer_add_varint(&submission->inputs, len); /* room was reserved for both */
		(void)buffer_add(&submission->inputs, data, len);
		submission->n_inputs++;
	}
	return 0;
}

static int64_t *seconds_of(struct job_spec *spec, enum spec_key key)
{
	return key == KEY_TIMEOUT_S ? &spec->timeout_ns : key == KEY_TASK_TIMEOUT_S ? &spec->task_timeout_ns :
	       key == KEY_BACKOFF_S ? &spec->backoff_ns : key == KEY_DELAY_S ? &spec->delay_ns : &spec->expire_ns;
}

/* When it may begin and when it gives up. */
static int take_terms(struct submission *submission, enum spec_key key, json_t *value, struct error *err)
{
	struct job_spec *spec = &submission->spec;

	switch (key) {
	case KEY_TIMEOUT_S:
	case KEY_TASK_TIMEOUT_S:
	case KEY_BACKOFF_S:
	case KEY_DELAY_S:
	case KEY_EXPIRE_S:
		return take_seconds(key, value, seconds_of(spec, key), err);
	case KEY_RETRIES:
		return take_retries(value, &spec->retries, err);
	case KEY_PRIORITY:
		return take_priority(value, &spec->priority, err);
	case KEY_HALT:
		return take_halt(value, &spec->halt, err);
	case KEY_UNIQUE:
		return take_text(key, value, 1, PROTOCOL_MAX_LABEL_BYTES, &spec->unique, err);
	case KEY_ON_DONE:
		return take_text(key, value, 1, 32, &spec->on_done, err);
	case KEY_AFTER:
		return take_after(submission, value, err);
	case KEY_AFTER_FAILED:
		return take_after_failed(value, &spec->after_any, err);
	default:
		return -EINVAL; /* there is none left */
	}
}

static int take_key(struct submission *submission, enum spec_key key, json_t *value, enum input_format *format,
		    struct error *err)
{
	struct job_spec *spec = &submission->spec;
	const char *text = NULL;
	int r;

	switch (key) {
	case KEY_WORKLOAD:
		return take_text(key, value, 1, SIZE_MAX, &spec->workload, err);
	case KEY_SUBMISSION:
		return take_text(key, value, 1, PROTOCOL_MAX_SUBMISSION_BYTES, &spec->submission, err);
	case KEY_INPUTS:
	case KEY_INPUTS_B64:
		return take_inputs(submission, key, value, err);
	case KEY_INPUTS_FORMAT:
		r = take_text(key, value, 1, SIZE_MAX, &text, err);
		return r < 0 ? r : input_format_parse(text, format, err);
	case KEY_OPEN:
		return take_bool(key, value, &spec->open, err);
	case KEY_MODEL:
		return take_text(key, value, 1, SIZE_MAX, &spec->model.model, err);
	case KEY_SHAPE:
		return take_text(key, value, 1, SIZE_MAX, &spec->model.shape, err);
	case KEY_DEDICATED:
		return take_bool(key, value, &spec->model.dedicated, err);
	case KEY_WORKERS:
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return wrong_type(key, err);
		if (json_integer_value(value) > UINT32_MAX)
			return error_set(err, -EINVAL, "bad-workers", "%lld workers are more than there can be",
					 (long long)json_integer_value(value));
		spec->model.workers = (uint32_t)json_integer_value(value);
		return 0;
	case KEY_PARAMS:
		return take_params(submission, value, err);
	case KEY_DURABLE:
		return take_bool(key, value, &spec->durable, err);
	case KEY_LABEL:
		return take_text(key, value, 0, PROTOCOL_MAX_LABEL_BYTES, &spec->label, err);
	case KEY_DRY_RUN:
		return take_bool(key, value, &spec->dry_run, err);
	default:
		return take_terms(submission, key, value, err);
	}
}

static int take_object(struct submission *submission, enum input_format *format, struct error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(submission->root, name, value) {
		size_t key = 0;
		int r;

		while (key < KEY_COUNT && strcmp(spec_keys[key].name, name) != 0)
			key++;
		if (key == KEY_COUNT) {
			const char *meant = text_nearest(name, NULL, KEY_COUNT, spec_key_at);

			return error_set(err, -EINVAL, "bad-request", "unknown key '%.64s'%s%s%s", name,
					 meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
		}
		r = take_key(submission, (enum spec_key)key, value, format, err);
		if (r < 0)
			return r;
	}
	if (!submission->spec.workload)
		return error_set(err, -EINVAL, "bad-request", "'workload' is missing: it names what to run");
	return 0;
}

/* What follows the object: nothing but space, or a newline and inputs. */
static int take_rest(struct submission *submission, enum input_format format, const uint8_t *at, const uint8_t *end,
		     struct error *err)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
		at++;
	if (at == end)
		return 0;
	if (*at != '\n')
		return error_set(err, -EINVAL, "bad-request", "a newline is to follow the object, and then the inputs");
	at++;
	if (at == end)
		return 0;
	if (json_object_get(submission->root, "inputs") || json_object_get(submission->root, "inputs_b64"))
		return error_set(err, -EINVAL, "bad-request", "inputs are given in the object and behind it");
	return inputs_pack(format, at, (size_t)(end - at), &submission->inputs, &submission->n_inputs, err);
}

int submission_parse(const uint8_t *body, size_t len, struct submission *ret_submission, struct error *err)
{
	enum input_format format = INPUT_LINES;
	json_error_t where;
	int r;

	*ret_submission = (struct submission){ .spec = { .durable = true, .task_timeout_ns = -1, .retries = -1,
							 .backoff_ns = -1,
							 .priority = JOB_PRIORITY_UNSET },
					       .inputs = BUFFER_INIT };
	if (len == 0)
		return error_set(err, -EINVAL, "bad-request", "the body is empty: it is to begin with a JSON object");
	ret_submission->root = json_loadb((const char *)body, len,
					  JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
	if (!ret_submission->root)
		return error_set(err, -EINVAL, "bad-request", "body, line %d, column %d: %s", where.line, where.column,
				 where.text);
	if (!json_is_object(ret_submission->root))
		return error_set(err, -EINVAL, "bad-request", "the body is to begin with a JSON object");
	r = take_object(ret_submission, &format, err);
	if (r < 0)
		return r;
	return take_rest(ret_submission, format, body + where.position, body + len, err);
}

void submission_fini(struct submission *submission)
{
	buffer_fini(&submission->inputs);
	free(submission->params);
	free(submission->after);
	json_decref(submission->root);
	*submission = (struct submission){ .inputs = BUFFER_INIT };
}
