/* Submissions. */
#include "submission.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "ctl.h"
#include "options.h"
#include "protocol.h"
#include "select.h"

#define SUBMISSION_BYTES 16
#define TIME_BYTES 6 /* of them: milliseconds since 1970 */
#define MAX_WORKERS UINT32_MAX
#define MAX_RETRIES 1000
#define MAX_HALT INT32_MAX
#define MAX_HOOK_BYTES 32

/* json_object_set_new() with a value that cannot be made is an error we look at once, in the end. */
static void set(json_t *json, bool *failed, const char *key, json_t *value)
{
	if (json_object_set_new(json, key, value) < 0)
		*failed = true;
}

static int check_text(const char *option, const char *text, struct error *err)
{
	if (text && !text_is_utf8(text, strlen(text)))
		return error_set(err, -EINVAL, "usage", "%s is not UTF-8", option);
	return 0;
}

/* The time comes first: ids of one hour lie side by side in the store's index, so that a commit seldom reads another page
 * of it, however many jobs there are. */
static int add_submission_id(json_t *json, bool *failed, struct error *err)
{
	uint8_t id[SUBMISSION_BYTES];
	char text[2 * SUBMISSION_BYTES + 1];
	uint64_t ms;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return error_set(err, -errno, "internal", "no random numbers: %s", strerror(errno));
	ms = htobe64((uint64_t)(clock_unix_us() / 1000) << 16);
	memcpy(id, &ms, TIME_BYTES);
	for (size_t i = 0; i < sizeof(id); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", id[i]);
	set(json, failed, "submission", json_string(text));
	return 0;
}

static int add_params(json_t *json, bool *failed, const struct args *args, struct error *err)
{
	json_t *params = json_object();

	for (size_t i = 0; i < args->n_values; i++) {
		const char *text = args->values[i].value, *equals;
		char *key;
		int r;

		if (strcmp(args->values[i].option->name, "param") != 0)
			continue;
		equals = strchr(text, '=');
		r = check_text("option '--param'", text, err);
		if (r == 0 && (!equals || equals == text))
			r = error_set(err, -EINVAL, "usage",
				      "option '--param': '%s' is no KEY=VALUE; for example -p dir=/tmp", text);
		key = r == 0 ? strndup(text, (size_t)(equals - text)) : NULL;
		if (!key) {
			json_decref(params);
			return r < 0 ? r : -ENOMEM;
		}
		set(params, failed, key, json_string(equals + 1));
		free(key);
	}
	if (json_object_size(params) > 0)
		set(json, failed, "params", params);
	else
		json_decref(params);
	return 0;
}

static int add_workers(json_t *json, bool *failed, const struct args *args, struct error *err)
{
	const char *text = args_text(args, "workers");
	uint64_t workers = 0;
	int r;

	if (!text || strcmp(text, "auto") == 0)
		return 0;
	r = text_parse_u64(text, &workers);
	if (r < 0 || workers == 0 || workers > MAX_WORKERS)
		return error_set(err, -EINVAL, "usage",
				 "option '--workers': '%s' is neither a number from 1 on nor auto; for example -j 10",
				 text);
	set(json, failed, "workers", json_integer((json_int_t)workers));
	return 0;
}

/* "soon,fail=3", "now,fail=10%" */
static int add_halt(json_t *json, bool *failed, const struct args *args, struct error *err)
{
	const char *text = args_text(args, "halt"), *number;
	uint64_t value = 0;
	char digits[24];
	bool soon, percent;
	size_t len;

	if (!text)
		return 0;
	soon = strncmp(text, "soon,fail=", 10) == 0;
	number = soon ? text + 10 : strncmp(text, "now,fail=", 9) == 0 ? text + 9 : "";
	len = strspn(number, "0123456789");
	percent = strcmp(number + len, "%") == 0;
	(void)snprintf(digits, sizeof(digits), "%.*s", (int)(len < sizeof(digits) ? len : 0), number);
	if ((number[len] && !percent) || text_parse_u64(digits, &value) < 0 || value == 0 ||
	    value > (percent ? 100 : MAX_HALT))
		return error_set(err, -EINVAL, "usage",
				 "option '--halt': '%s' is neither soon,fail=N nor now,fail=N, where N may be a "
				 "percentage; for example --halt soon,fail=3 or --halt now,fail=10%%", text);
	set(json, failed, "halt", json_pack("{s:s, s:I}", "when", soon ? "soon" : "now", percent ? "percent" : "fail",
					    (json_int_t)value));
	return 0;
}

static int add_count(json_t *json, bool *failed, const struct args *args, const char *option, uint64_t max,
		     struct error *err)
{
	uint64_t value = UINT64_MAX;
	int r = args_count(args, option, 0, max, &value, err);

	if (r == 0 && value != UINT64_MAX)
		set(json, failed, option, json_integer((json_int_t)value));
	return r;
}

static int add_priority(json_t *json, bool *failed, const struct args *args, struct error *err)
{
	const char *text = args_text(args, "priority");
	int64_t value = 0;

	if (!text)
		return 0;
	if (text_parse_i64(text, &value) < 0 || value < PROTOCOL_MIN_PRIORITY || value > PROTOCOL_MAX_PRIORITY)
		return error_set(err, -EINVAL, "usage",
				 "option '--priority': '%s' is no number from %d to %d; for example --priority 10", text,
				 PROTOCOL_MIN_PRIORITY, PROTOCOL_MAX_PRIORITY);
	set(json, failed, "priority", json_integer((json_int_t)value));
	return 0;
}

static int add_time(json_t *json, bool *failed, const struct args *args, const char *option, const char *key,
		    struct error *err)
{
	int64_t ns = -1;
	int r = args_duration(args, option, &ns, err);

	if (r == 0 && ns >= 0)
		set(json, failed, key, json_real((double)ns / (double)NS_PER_S));
	return r;
}

/* --after 3,5 --after @last */
static int add_after(json_t *json, bool *failed, struct ctl *ctl, struct error *err)
{
	const struct args *args = &ctl->args;
	const char *policy = args_text(args, "after-failed");
	json_t *jobs = json_array();
	int r = 0;

	for (size_t i = 0; i < args->n_values && r == 0; i++) {
		_cleanup_free_ char *list = NULL;
		char *rest, *word;
		uint64_t id = 0;

		if (strcmp(args->values[i].option->name, "after") != 0)
			continue;
		list = rest = strdup(args->values[i].value);
		while (r == 0 && (word = strsep(&rest, ","))) {
			char text[24];

			r = select_job(ctl, word, &id, err);
			(void)snprintf(text, sizeof(text), "%" PRIu64, id);
			if (r == 0 && json_array_append_new(jobs, json_string(text)) < 0)
				*failed = true;
		}
	}
	if (r < 0)
		error_prefix(err, "option '--after'");
	else if (policy && strcmp(policy, "cancel") != 0 && strcmp(policy, "run") != 0)
		r = error_set(err, -EINVAL, "usage", "option '--after-failed': '%s' is neither cancel nor run", policy);
	else if (policy && json_array_size(jobs) == 0)
		r = error_set(err, -EINVAL, "usage", "option '--after-failed' goes with --after JOB, which is missing");
	if (r == 0 && json_array_size(jobs) > 0)
		set(json, failed, "after", json_incref(jobs));
	if (r == 0 && policy)
		set(json, failed, "after_failed", json_string(policy));
	json_decref(jobs);
	return r;
}

static int add_texts(json_t *json, bool *failed, const struct args *args, struct error *err)
{
	static const char *const names[] = { "model", "shape", "label", "unique" };
	const char *label = args_text(args, "label"), *unique = args_text(args, "unique");
	const char *hook = args_text(args, "on-done");

	if (label && strlen(label) > PROTOCOL_MAX_LABEL_BYTES)
		return error_set(err, -EINVAL, "usage", "option '--label': a label has at most %d bytes",
				 PROTOCOL_MAX_LABEL_BYTES);
	if (unique && (!*unique || strlen(unique) > PROTOCOL_MAX_LABEL_BYTES))
		return error_set(err, -EINVAL, "usage", "option '--unique': a key has 1 to %d bytes",
				 PROTOCOL_MAX_LABEL_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *text = args_text(args, names[i]);
		char option[32];
		int r;

		(void)snprintf(option, sizeof(option), "option '--%s'", names[i]);
		r = check_text(option, text, err);
		if (r < 0)
			return r;
		if (text)
			set(json, failed, names[i], json_string(text));
	}
	if (hook && (!*hook || strlen(hook) > MAX_HOOK_BYTES || !text_is_utf8(hook, strlen(hook))))
		return error_set(err, -EINVAL, "usage", "option '--on-done': '%s' is no name of a hook", hook);
	if (hook)
		set(json, failed, "on_done", json_string(hook));
	return 0;
}

int submission_make(struct ctl *ctl, json_t **ret_json, struct error *err)
{
	const struct args *args = &ctl->args;
	json_t *json = json_object();
	bool failed = !json;
	int r = check_text("the workload's name", args->words[0], err);

	set(json, &failed, "workload", json_string(args->words[0]));
	set(json, &failed, "inputs_format", json_string("packed"));
	if (r == 0)
		r = add_submission_id(json, &failed, err);
	if (r == 0)
		r = add_texts(json, &failed, args, err);
	if (r == 0)
		r = add_workers(json, &failed, args, err);
	if (r == 0)
		r = add_params(json, &failed, args, err);
	if (r == 0)
		r = add_time(json, &failed, args, "timeout", "timeout_s", err);
	if (r == 0)
		r = add_time(json, &failed, args, "task-timeout", "task_timeout_s", err);
	if (r == 0)
		r = add_count(json, &failed, args, "retries", MAX_RETRIES, err);
	if (r == 0)
		r = add_time(json, &failed, args, "backoff", "backoff_s", err);
	if (r == 0)
		r = add_time(json, &failed, args, "delay", "delay_s", err);
	if (r == 0)
		r = add_time(json, &failed, args, "expire", "expire_s", err);
	if (r == 0)
		r = add_priority(json, &failed, args, err);
	if (r == 0)
		r = add_after(json, &failed, ctl, err);
	if (r == 0)
		r = add_halt(json, &failed, args, err);
	if (args_flag(args, "dedicated"))
		set(json, &failed, "dedicated", json_true());
	if (args_flag(args, "no-durable"))
		set(json, &failed, "durable", json_false());
	if (args_flag(args, "dry-run"))
		set(json, &failed, "dry_run", json_true());
	if (r == 0 && failed)
		r = error_set(err, -ENOMEM, "internal", "out of memory");
	if (r < 0) {
		json_decref(json);
		return r;
	}
	*ret_json = json;
	return 0;
}

static int append(const char *data, size_t len, void *b)
{
	return buffer_add(b, data, len);
}

int submission_write(json_t *json, bool open, struct buffer *b)
{
	if (open && json_object_set_new(json, "open", json_true()) < 0)
		return -ENOMEM;
	if (json_dump_callback(json, append, b, JSON_COMPACT) < 0)
		return -ENOMEM;
	return buffer_add(b, "\n", 1);
}
