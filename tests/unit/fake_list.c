/* Looking through jobs in memory, as jobs.h says. */
#include "unit.h"

#include "fake_jobs.h"

/* One at a time where the test says so. */
int jobs_walk_newest(struct jobs *jobs, uint64_t *below, uint32_t look, const struct jobs_filter *filter,
		     int (*fn)(void *arg, struct job *job), void *arg)
{
	uint64_t id = *below > 0 ? *below - 1 : jobs->next_id;
	int r = 0;

	(void)filter; /* whoever asks looks himself, too */
	look = jobs->walk_singly ? 1 : look;
	for (; id > 0 && r == 0 && look > 0; id--)
		for (struct job *job = jobs->all; job && r == 0; job = job->next)
			if (job->view.id == id && !job->ended_elsewhere) {
				look--;
				r = fn(arg, job);
			}
	*below = id > 0 ? id + 1 : 0;
	return r;
}

static void tell_ended(struct jobs *jobs, uint64_t below, uint32_t limit,
		       int (*fn)(void *arg, const struct job_view *view), void *arg)
{
	for (uint64_t id = jobs->next_id; id > 0; id--)
		for (struct job *job = jobs->all; job; job = job->next) {
			struct job_view view = job->view;

			if (view.id != id || !(job->ended_elsewhere || job->listed_twice) || (below > 0 && id >= below))
				continue;
			if (job->listed_twice)
				view.state = JOB_DONE;
			jobs->n_told++;
			if (fn(arg, &view) != 0 || --limit == 0)
				return;
		}
}

void jobs_list_ended(struct jobs *jobs, uint64_t below, uint32_t limit, const struct jobs_filter *filter,
		     int (*fn)(void *arg, const struct job_view *view), void *arg)
{
	(void)filter; /* whoever asks looks himself, too */
	tell_ended(jobs, below, limit, fn, arg);
	fn(arg, NULL);
}
