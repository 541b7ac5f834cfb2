/* Tasks that run apart from all others after a death that another task may have been the reason of: alone, or in the groups
 * of halves.h. Each group has a crew of its own, of one process that gets nothing else: what ends that process was one of
 * them. A lone task's is a process with one worker; a group's has as many as its crew had in each process, so that its tasks
 * meet each other as they did before.
 *
 * Groups share the job's -j with its main crew, which goes without as many workers as they have tasks (schedule_share()).
 * They are not on disk: after a restart their tasks run as any others.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "jobs/job.h"

#define GROUP_CREW (UINT64_C(1) << 63) /* in crew_request.dedicated: no job has such a number */

struct group {
	struct job_seat seat;
	LIST_ENTRY(group) link;
};

struct job_seat *job_seat_next(const struct job *job, const struct job_seat *seat)
{
	struct group *group = seat == &job->main ? LIST_FIRST(&job->groups) :
						   LIST_NEXT(container_of(seat, struct group, seat), link);

	return group ? &group->seat : NULL;
}

bool apart_possible(const struct job *job)
{
	const struct shape *shape = &job->choice.crew_shape;

	return !job->choice.in_order && (uint64_t)shape->threads * shape->coroutines > 1;
}

/* ---- How many ---- */

static uint64_t seat_out(const struct job_seat *seat)
{
	return seat->seat ? crew_seat_out(seat->seat) : 0; /* given up at the daemon's end */
}

static uint64_t seat_tasks(const struct job_seat *seat)
{
	return seat->ready.count + seat->marked.count + seat->marking + seat_out(seat);
}

/* Groups at once: as many as the job may have workers, but not more processes than do good. */
static uint32_t groups_most(const struct job *job)
{
	uint32_t most = job->choice.crew_shape.processes;

	if (most < job->jobs->n_processors)
		most = job->jobs->n_processors;
	return most < job->choice.workers ? most : job->choice.workers;
}

uint64_t apart_tasks(const struct job *job)
{
	uint32_t most = groups_most(job);
	uint64_t n = most > job->n_groups ? halves_next_count(&job->halves, most - job->n_groups) : 0;

	for (const struct job_seat *seat = job_seat_next(job, &job->main); seat; seat = job_seat_next(job, seat))
		n += seat_tasks(seat);
	return n;
}

uint64_t apart_out(const struct job *job)
{
	uint64_t n = 0;

	for (const struct job_seat *seat = job_seat_next(job, &job->main); seat; seat = job_seat_next(job, seat))
		n += seat_out(seat);
	return n;
}

bool apart_has_work(const struct job *job)
{
	if (job->halves.count > 0)
		return true;
	for (const struct job_seat *seat = job_seat_next(job, &job->main); seat; seat = job_seat_next(job, seat)) {
		if (seat_has_work(seat))
			return true;
	}
	return false;
}

/* ---- Their crews ---- */

static int take_seat(struct group *group, struct error *err)
{
	struct job *job = group->seat.job;
	const struct shape *shape = &job->choice.crew_shape;
	uint32_t n = (uint32_t)group->seat.ready.count; /* they were begun at once */
	struct crew_request request = {
		.workload = job->workload,
		.shape = { .processes = 1, .threads = 1, .coroutines = 1 },
		.dedicated = ++job->jobs->last_group | GROUP_CREW,
	};

	if (n > 1) {
		request.shape.threads = shape->threads < n ? shape->threads : n;
		request.shape.coroutines = shape->coroutines;
	}
	return schedule_take_seat(&group->seat, &request, n, false, err);
}

/* Without memory, or a crew, they run with the others. */
static void give_back(struct job *job, struct ranges *tasks, const char *why)
{
	uint64_t from, n;

	log_warning("jobs: job %llu: tasks that should run apart run with the others: %s", (unsigned long long)job->id, why);
	while ((n = ranges_first(tasks, UINT64_MAX, &from)) > 0) {
		ranges_drop_first(tasks, n);
		if (ranges_add(&job->main.ready, from, n) == 0)
			continue;
		for (uint64_t task = from; task < from + n; task++)
			outcome_failed(job, task, "the daemon has no memory to run it again");
	}
	ranges_fini(tasks);
}

static bool start_one(struct job *job)
{
	struct error err = ERROR_INIT;
	struct ranges tasks;
	struct group *group;

	if (halves_next(&job->halves, &tasks) <= 0)
		return false; /* without memory: when something of the job has changed */
	group = calloc(1, sizeof(*group));
	if (!group) {
		give_back(job, &tasks, "out of memory");
		return true;
	}
	group->seat.job = job;
	group->seat.ready = tasks;
	if (take_seat(group, &err) < 0) {
		give_back(job, &group->seat.ready, err.text);
		free(group);
		return true;
	}
	log_debug("jobs: job %llu: %llu task%s in a process of %s own", (unsigned long long)job->id,
		  (unsigned long long)group->seat.ready.count, group->seat.ready.count == 1 ? " runs" : "s run",
		  group->seat.ready.count == 1 ? "its" : "their");
	LIST_INSERT_HEAD(&job->groups, group, link);
	job->n_groups++;
	return true;
}

void apart_start(struct job *job)
{
	if (halves_split(&job->halves) < 0)
		job_touch(job); /* no memory: again from the loop */
	while (job->halves.count > 0 && job->n_groups < groups_most(job) && start_one(job))
		;
	schedule_share(job);
	for (struct job_seat *seat = job_seat_next(job, &job->main); seat; seat = job_seat_next(job, seat)) {
		if (seat_has_work(seat))
			crew_kick(crew_of(seat->seat));
	}
}

void apart_leave(struct job *job)
{
	struct job_seat *seat, *next;

	for (seat = job_seat_next(job, &job->main); seat; seat = next) {
		struct group *group = container_of(seat, struct group, seat);

		next = job_seat_next(job, seat);
		if (seat_tasks(seat) > 0)
			continue;
		schedule_leave_seat(seat);
		ranges_fini(&seat->ready);
		ranges_fini(&seat->marked);
		LIST_REMOVE(group, link);
		free(group);
		job->n_groups--;
		schedule_share(job);
		job_touch(job); /* the next group may start, its main crew may have more workers for it */
	}
}

void apart_fini(struct job *job)
{
	struct group *group;

	while ((group = LIST_FIRST(&job->groups))) {
		ranges_fini(&group->seat.ready);
		ranges_fini(&group->seat.marked);
		LIST_REMOVE(group, link);
		free(group);
	}
	job->n_groups = 0;
	halves_fini(&job->halves);
}

/* ---- Their tasks ---- */

int apart_add(struct job *job, uint64_t task, uint64_t death)
{
	int r;

	if (death > 0 && death != job->halves.death)
		log_info("jobs: job %llu: some tasks were begun each time a worker process died and nothing said of which: they "
			 "run in halves, each in a process of its own", (unsigned long long)job->id);
	r = death > 0 ? halves_meet(&job->halves, death, task) : halves_add_lone(&job->halves, task);
	if (r == 0)
		schedule_share(job); /* before the main crew takes the worker that is free now */
	return r;
}

uint64_t apart_remove(struct job *job, uint64_t from, uint64_t count)
{
	uint64_t n = halves_remove(&job->halves, from, count);

	for (struct job_seat *seat = job_seat_next(job, &job->main); seat; seat = job_seat_next(job, seat)) {
		uint64_t before = seat->ready.count + seat->marked.count;

		(void)ranges_remove(&seat->ready, from, count); /* see halves_remove() */
		(void)ranges_remove(&seat->marked, from, count);
		n += before - seat->ready.count - seat->marked.count;
	}
	return n;
}

bool apart_may_begin(const struct job *job)
{
	uint64_t held = apart_out(job) + (job->main.seat ? crew_seat_holds(job->main.seat) : 0);

	return held < job->choice.workers;
}
