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
#include "store/store.h"

/* There may be very many: as small as it can be. */
struct unique {
	struct hash_link link; /* jobs->uniques */
	union { /* whose it is */
		struct job *job;
		uint64_t id; /* where it is parked */
	};
	bool parked;
	bool held; /* it is in jobs->uniques */
	uint8_t key_at; /* in scope */
	char scope[]; /* user, workload and key, in one text; the first two have no '/' in them */
};

static uint64_t hash_unique(const struct hash_link *link)
{
	return hash_text(container_of(link, struct unique, link)->scope);
}

void unique_init(struct jobs *jobs)
{
	linear_hash_init(&jobs->uniques, hash_unique);
}

static struct unique *unique_new(uint32_t uid, const char *workload, const char *key)
{
	char user[16];
	int user_len = snprintf(user, sizeof(user), "%u/", uid);
	size_t key_at = (size_t)user_len + strlen(workload) + 1, size = key_at + strlen(key) + 1;
	struct unique *unique = calloc(1, offsetof(struct unique, scope) + size);

	if (!unique)
		return NULL;
	unique->key_at = (uint8_t)key_at; /* a workload's name has 32 bytes at most */
	(void)snprintf(unique->scope, size, "%s%s/%s", user, workload, key); /* fits */
	return unique;
}

static int set_key(struct job *job, const char *key)
{
	job->unique = unique_new(job->uid, job->workload_name, key);
	if (!job->unique)
		return -ENOMEM;
	job->unique->job = job;
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

static struct unique *find(const struct jobs *jobs, const struct unique *like)
{
	struct hash_link *link = like ? linear_hash_find(&jobs->uniques, hash_unique(&like->link)) : NULL;

	for (; link; link = link->next)
		if (strcmp(container_of(link, struct unique, link)->scope, like->scope) == 0)
			return container_of(link, struct unique, link);
	return NULL;
}

static void hold(struct jobs *jobs, struct unique *unique)
{
	if (!unique || unique->held || find(jobs, unique))
		return;
	linear_hash_add(&jobs->uniques, &unique->link);
	unique->held = true;
}

static void release(struct jobs *jobs, struct unique *unique)
{
	if (!unique || !unique->held)
		return;
	linear_hash_remove(&jobs->uniques, &unique->link);
	unique->held = false;
}

uint64_t unique_holder_id(const struct job *job)
{
	const struct unique *unique = find(job->jobs, job->unique);

	return !unique ? 0 : unique->parked ? unique->id : unique->job->id;
}

struct job *unique_holder(const struct job *job)
{
	const struct unique *unique = find(job->jobs, job->unique);

	return unique && !unique->parked ? unique->job : NULL;
}

void unique_hold(struct job *job)
{
	hold(job->jobs, job->unique);
}

void unique_release(struct job *job)
{
	release(job->jobs, job->unique);
}

/* ---- Of parked jobs ---- */

struct unique *unique_park(struct job *job)
{
	struct unique *unique = job->unique;

	job->unique = NULL;
	if (unique) {
		unique->parked = true;
		unique->id = job->id;
	}
	return unique;
}

void unique_unpark(struct job *job, struct unique *unique)
{
	unique_free(job); /* the same, as its specification has it */
	unique->parked = false;
	unique->job = job;
	job->unique = unique;
}

int unique_recover(struct jobs *jobs, const struct store_recovered_job *row, const char *key, struct unique **ret_unique)
{
	struct unique *unique = unique_new(row->job.uid, row->job.workload, key);

	if (!unique)
		return -ENOMEM;
	unique->parked = true;
	unique->id = row->job.id;
	hold(jobs, unique);
	*ret_unique = unique;
	return 0;
}

void unique_drop(struct jobs *jobs, struct unique *unique)
{
	release(jobs, unique);
	free(unique);
}

void unique_free(struct job *job)
{
	unique_release(job);
	free(job->unique);
	job->unique = NULL;
}
