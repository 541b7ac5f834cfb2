/* Counting live jobs: each knows the counter that it is in. */
#include "jobs/census.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/job.h"

struct census_group {
	uint64_t by_state[CENSUS_STATES];
	uint64_t services[CENSUS_STATES]; /* of its service, which a hold of everything is not meant for */
	UT_hash_handle hh;
	char workload[];
};

/* Made where missing; NULL: out of memory. */
static struct census_group *group_get(struct census *census, const char *workload)
{
	size_t len = strlen(workload);
	struct census_group *group;

	HASH_FIND(hh, census->groups, workload, len, group);
	if (group)
		return group;
	group = calloc(1, sizeof(*group) + len + 1);
	if (!group)
		return NULL;
	memcpy(group->workload, workload, len + 1);
	HASH_ADD_KEYPTR(hh, census->groups, group->workload, len, group);
	return group;
}

void census_fini(struct census *census)
{
	struct census_group *group, *next;

	HASH_ITER(hh, census->groups, group, next) {
		HASH_DEL(census->groups, group);
		free(group);
	}
}

/* NULL: it is not counted. The states are those of job_shown_state(). */
static uint64_t *counter_of(const struct job *job)
{
	struct census *census = &job->jobs->census;
	struct census_group *group;
	enum job_state state;

	if (!job->published || job_state_ended(job->state))
		return NULL;
	if (job->paused)
		return &census->others[job->state];
	state = job->open ? JOB_OPEN : job->state;
	if (job->ending != JOB_ENDING_NO)
		return &census->others[state];
	group = group_get(census, job->workload_name);
	if (group && job->service)
		return &group->services[state];
	return group ? &group->by_state[state] : &census->others[state]; /* no memory: it is told as if a hold were none */
}

void census_review(struct job *job)
{
	uint64_t *now = counter_of(job);

	if (job->counted_in)
		--*job->counted_in;
	if (now)
		++*now;
	job->counted_in = now;
}

void census_count(const struct jobs *jobs, uint64_t by_state[CENSUS_STATES])
{
	for (unsigned int state = 0; state < CENSUS_STATES; state++)
		by_state[state] += jobs->census.others[state];
	for (const struct census_group *group = jobs->census.groups; group; group = group->hh.next) {
		bool held = hold_of_workload(jobs, group->workload) != NULL;
		bool service_held = hold_of_service(jobs, group->workload) != NULL;

		for (unsigned int state = 0; state < CENSUS_STATES; state++) {
			by_state[held ? JOB_PAUSED : state] += group->by_state[state];
			by_state[service_held ? JOB_PAUSED : state] += group->services[state];
		}
	}
}
