/* The keys of `set`. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "control/server.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define MAX_SECONDS 1e9

static int take_seconds(const struct query *query, const char *key, int64_t *ret_ns, struct error *err)
{
	double s;

	if (text_parse_double(query_get(query, key), &s) < 0 || s < 0 || s > MAX_SECONDS)
		return error_set(err, -EINVAL, "bad-request", "%s: '%.40s' is not a number of seconds from 0 to 1e9", key,
				 query_get(query, key));
	*ret_ns = (int64_t)(s * 1e9);
	return 0;
}

/* A copy: the request may be gone when it is used. */
static int take_word(const struct query *query, const char *key, char ret_word[JOB_CHANGE_TEXT_BYTES], struct error *err)
{
	const char *word = query_get(query, key);
	size_t len = word ? strlen(word) : 0;

	if (word && (len == 0 || len >= JOB_CHANGE_TEXT_BYTES))
		return error_set(err, -EINVAL, "bad-request", "%s: '%.40s' is none", key, word);
	if (word)
		memcpy(ret_word, word, len + 1);
	return 0;
}

/* after=3,5 after=none after_failed=run */
static int take_after(const struct query *query, struct job_changes *changes, struct error *err)
{
	const char *after = query_get(query, "after"), *failed = query_get(query, "after_failed");
	bool none = after && (!*after || strcmp(after, "none") == 0);
	int n;

	changes->what |= (none ? JOB_CHANGE_NO_AFTER : after ? JOB_CHANGE_AFTER : 0) | (failed ? JOB_CHANGE_AFTER_ANY : 0);
	changes->after = none ? NULL : after;
	n = changes->after ? text_parse_u64_list(after, NULL, JOB_MAX_AFTER) : 0;
	if (n == -E2BIG)
		return error_set(err, -EINVAL, "bad-request", "after: a job follows at most %d others", JOB_MAX_AFTER);
	if (n < 0)
		return error_set(err, -EINVAL, "bad-request", "after: '%.40s' is no list of jobs: numbers with commas between them, or none", after);
	if (failed && strcmp(failed, "cancel") != 0 && strcmp(failed, "run") != 0)
		return error_set(err, -EINVAL, "bad-request", "after_failed: '%.40s' is neither cancel nor run", failed);
	if (failed && none)
		return error_set(err, -EINVAL, "bad-request", "after_failed: it is to follow no job, of which it would say something");
	changes->after_any = failed && strcmp(failed, "run") == 0;
	return 0;
}

/* What is set together with what says that it is. */
static int take_more(const struct query *query, struct job_changes *changes, struct error *err)
{
	const struct {
		const char *key;
		unsigned int what;
		int64_t *ns;
	} durations[] = {
		{ "task_timeout_s", JOB_CHANGE_TASK_TIMEOUT, &changes->task_timeout_ns },
		{ "delay_s", JOB_CHANGE_DELAY, &changes->delay_ns },
		{ "expire_s", JOB_CHANGE_EXPIRE, &changes->expire_ns },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(durations) && r == 0; i++) {
		if (!query_get(query, durations[i].key))
			continue;
		changes->what |= durations[i].what;
		r = take_seconds(query, durations[i].key, durations[i].ns, err);
	}
	if (r == 0)
		r = take_word(query, "model", changes->model, err);
	if (r == 0)
		r = take_word(query, "shape", changes->shape, err);
	changes->what |= (*changes->model ? JOB_CHANGE_MODEL : 0) | (*changes->shape ? JOB_CHANGE_SHAPE : 0);
	return r < 0 ? r : take_after(query, changes, err);
}

int settings_parse(const struct query *query, struct job_changes *ret_changes, struct error *err)
{
	struct job_changes changes = { .what = 0 };
	const char *priority = query_get(query, "priority");
	int r = query_get_u64(query, "workers", &changes.workers, err);

	if (r == 0)
		r = query_get_u64(query, "retries", &changes.retries, err);
	if (r == 0 && priority && text_parse_i64(priority, &changes.priority) < 0)
		r = error_set(err, -EINVAL, "bad-request", "priority: '%.40s' is not a whole number", priority);
	if (r == 0 && query_get(query, "timeout_s"))
		r = take_seconds(query, "timeout_s", &changes.timeout_ns, err);
	if (r == 0 && query_get(query, "backoff_s"))
		r = take_seconds(query, "backoff_s", &changes.backoff_ns, err);
	changes.label = query_get(query, "set_label");
	if (r == 0 && changes.label && !text_is_utf8(changes.label, strlen(changes.label)))
		r = error_set(err, -EINVAL, "bad-request", "set_label: a label is text in UTF-8");
	if (r == 0 && changes.label && strlen(changes.label) > PROTOCOL_MAX_LABEL_BYTES)
		r = error_set(err, -EINVAL, "bad-request", "set_label: a label has at most %d bytes",
			      PROTOCOL_MAX_LABEL_BYTES);
	if (r == 0)
		r = take_more(query, &changes, err);
	if (r < 0)
		return r;
	changes.what |= (query_get(query, "workers") ? JOB_CHANGE_WORKERS : 0) | (priority ? JOB_CHANGE_PRIORITY : 0) |
		       (query_get(query, "retries") ? JOB_CHANGE_RETRIES : 0) |
		       (query_get(query, "timeout_s") ? JOB_CHANGE_TIMEOUT : 0) |
		       (query_get(query, "backoff_s") ? JOB_CHANGE_BACKOFF : 0) | (changes.label ? JOB_CHANGE_LABEL : 0);
	if (changes.what == 0)
		return error_set(err, -EINVAL, "bad-request", "nothing to set: workers, priority, timeout_s, task_timeout_s, retries, "
				 "backoff_s, set_label, model, shape, delay_s, expire_s, after and after_failed are what can be");
	*ret_changes = changes;
	return 0;
}
