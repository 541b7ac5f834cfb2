/* Keys of which one job at most is alive: whoever submits with the key of a job that has not ended joins that job.
 *
 * A key is one user's and one workload's, so that nobody can keep others from theirs by taking it. It is held from the
 * moment in which the job is on its way to the disk, so that of two that come at once the second joins the first, until the
 * job has ended. The keys of live jobs are in memory only: after a restart they come back with the jobs, whose
 * specifications have them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "jobs/job.h"

struct unique {
	struct job *job; /* whose it is */
	bool held; /* it is in jobs->uniques */
	UT_hash_handle hh;
	size_t key_at; /* in scope */
	char scope[]; /* user, workload and key, in one text; the first two have no '/' in them */
};

static int set_key(struct job *job, const char *key)
{
	char user[16];
	int user_len = snprintf(user, sizeof(user), "%u/", job->uid);
	size_t key_at = (size_t)user_len + strlen(job->workload_name) + 1, size = key_at + strlen(key) + 1;
	struct unique *unique = calloc(1, sizeof(*unique) + size);

	if (!unique)
		return -ENOMEM;
	unique->job = job;
	unique->key_at = key_at;
	(void)snprintf(unique->scope, size, "%s%s/%s", user, job->workload_name, key); /* fits */
	job->unique = unique;
	return 0;
}

int unique_resolve(struct job *job, const struct job_spec *spec, struct error *err)
{
	if (spec->unique && set_key(job, spec->unique) < 0)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	return 0;
}

int unique_format(const struct job *job, json_t *spec)
{
	if (!job->unique)
		return 0;
	return json_object_set_new(spec, "unique", json_string(unique_key(job))) < 0 ? -ENOMEM : 0;
}

int unique_parse(struct job *job, const json_t *spec)
{
	const char *key = json_string_value(json_object_get(spec, "unique"));

	return key ? set_key(job, key) : 0;
}

const char *unique_key(const struct job *job)
{
	return job->unique ? job->unique->scope + job->unique->key_at : NULL;
}

struct job *unique_holder(const struct job *job)
{
	struct unique *unique = NULL;

	if (job->unique)
		HASH_FIND_STR(job->jobs->uniques, job->unique->scope, unique);
	return unique ? unique->job : NULL;
}

void unique_hold(struct job *job)
{
	if (!job->unique || job->unique->held || unique_holder(job))
		return;
	HASH_ADD_STR(job->jobs->uniques, scope, job->unique);
	job->unique->held = true;
}

void unique_release(struct job *job)
{
	if (!job->unique || !job->unique->held)
		return;
	HASH_DEL(job->jobs->uniques, job->unique);
	job->unique->held = false;
}

void unique_free(struct job *job)
{
	unique_release(job);
	free(job->unique);
	job->unique = NULL;
}
