/* Counts of jobs by state against a look at each of them, after whatever may happen to jobs and to holds. */
#include "unit.h"

#include "jobs/job.h"

#define N_JOBS 60
#define N_WORKLOADS 3
#define STEPS 20000

static char workload_names[N_WORKLOADS][8] = { "a", "b", "longer" };
static bool held[N_WORKLOADS], all_held;
static struct service *const a_service = (struct service *)(void *)workload_names; /* only looked at */
static uint64_t seed = 7;

static uint64_t random_below(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (seed >> 33) % n;
}

const struct hold *hold_of_workload(const struct jobs *jobs, const char *workload)
{
	bool is_held = all_held;

	(void)jobs;
	for (size_t i = 0; i < N_WORKLOADS; i++)
		is_held = is_held || (held[i] && strcmp(workload_names[i], workload) == 0);
	return is_held ? (const struct hold *)(const void *)workload_names : NULL;
}

const struct hold *hold_of_service(const struct jobs *jobs, const char *workload)
{
	bool is_held = false;

	(void)jobs;
	for (size_t i = 0; i < N_WORKLOADS; i++)
		is_held = is_held || (held[i] && strcmp(workload_names[i], workload) == 0);
	return is_held ? (const struct hold *)(const void *)workload_names : NULL;
}

/* What people are told of one. */
static enum job_state shown(const struct job *job)
{
	if (job->paused)
		return job->state;
	if (job->ending == JOB_ENDING_NO && (job->service ? hold_of_service : hold_of_workload)(job->jobs, job->workload_name))
		return JOB_PAUSED;
	return job->open ? JOB_OPEN : job->state;
}

static void change(struct job *job)
{
	switch (random_below(6)) {
	case 0:
		job->published = !job->published;
		if (!job->published) { /* another one comes in its place */
			job->workload_name = workload_names[random_below(N_WORKLOADS)];
			job->service = random_below(8) == 0 ? a_service : NULL;
			job->state = JOB_QUEUED;
			job->ending = JOB_ENDING_NO;
			job->paused = false;
			job->open = random_below(4) == 0;
		}
		break;
	case 1:
		job->state = (enum job_state)(JOB_QUEUED + random_below(JOB_CANCELLED));
		break;
	case 2:
		job->paused = !job->paused;
		break;
	case 3:
		job->open = !job->open;
		break;
	case 4:
		job->ending = random_below(2) == 0 ? JOB_ENDING_NO : JOB_ENDING_CANCELLED;
		break;
	default:
		break; /* nothing has changed */
	}
	census_review(job);
}

static void counts_are_those_of_a_look_at_each_job(void **state)
{
	struct jobs jobs = { .starting = NULL };
	struct job all[N_JOBS] = { { .jobs = NULL } };

	(void)state;
	for (size_t i = 0; i < N_JOBS; i++)
		all[i] = (struct job){ .jobs = &jobs, .workload_name = workload_names[i % N_WORKLOADS], .state = JOB_QUEUED };
	for (int step = 0; step < STEPS; step++) {
		uint64_t want[CENSUS_STATES] = { 0 }, got[CENSUS_STATES] = { 0 };
		uint64_t hold = random_below(40);

		change(&all[random_below(N_JOBS)]);
		if (hold < N_WORKLOADS)
			held[hold] = !held[hold];
		else if (hold == N_WORKLOADS)
			all_held = !all_held;
		for (size_t i = 0; i < N_JOBS; i++)
			if (all[i].published && !job_state_ended(all[i].state))
				want[shown(&all[i])]++;
		census_count(&jobs, got);
		assert_memory_equal(got, want, sizeof(want));
	}
	for (size_t i = 0; i < N_JOBS; i++) {
		all[i].published = false;
		census_review(&all[i]);
		assert_null(all[i].counted_in);
	}
	census_fini(&jobs.census);
	assert_null(jobs.census.groups);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_those_of_a_look_at_each_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
