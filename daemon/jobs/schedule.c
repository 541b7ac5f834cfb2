/* Which task runs next: crews pull, and the jobs that wait for a crew take turns in its lane.
 *
 * A job has a seat in the crew of its shape, and further ones, each in a crew of its own, for groups of tasks that run apart
 * after a death (apart.c). Each of these crews is a lane; those of groups have one job.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "ring/step.h"
#include "store/store.h"

#define INPUT_TRIES 3 /* reads of an input that fail before its task does */

/* ---- Taking seats ---- */

static struct crew_job crew_job_of(const struct job *job, uint32_t workers, bool idempotent)
{
	return (struct crew_job){
		.id = job->id,
		.workers = workers,
		.task_timeout_ns = job->task_timeout_ns,
		.grace_ns = job->grace_ns,
		.idempotent = idempotent,
		.params = job->params,
		.n_params = job->n_params,
	};
}

int schedule_take_seat(struct job_seat *seat, const struct crew_request *request, uint32_t workers, bool idempotent,
		       struct error *err)
{
	struct job *job = seat->job;
	struct jobs *jobs = job->jobs;
	const struct crew_job crew_job = crew_job_of(job, workers, idempotent);
	struct crew *crew;
	struct lane *lane;
	int r = crews_get(jobs->crews, request, &crew, err);

	if (r < 0)
		return r;
	lane = lane_get(jobs, crew, request);
	if (!lane || turns_reserve(&lane->turns, lane->n_seats + 1u) < 0) {
		lane_drop(jobs, lane);
		return error_set(err, -ENOMEM, "internal", "out of memory");
	}
	r = crew_join(crew, &crew_job, seat, &seat->seat);
	if (r < 0) {
		lane_drop(jobs, lane);
		return error_set(err, r, "internal", "no seat in the crew: %s", strerror(-r));
	}
	lane->n_seats++;
	lane->unlimited = job->service != NULL; /* its crew is its own */
	if (seat == &job->main)
		lot_seated(job, lane);
	else
		lane->group = seat;
	return 0;
}

void schedule_start(struct job *job)
{
	struct error err = ERROR_INIT;
	struct crew_request request = {
		.workload = job->workload,
		.shape = job->choice.crew_shape,
		.in_order = job->choice.in_order,
		.dedicated = job->choice.dedicated ? job->id : 0,
	};
	int r;

	if (!job->jobs->crews || !job->workload || job->main.seat || job_state_ended(job->state) || !job_may_begin(job) ||
	    !service_is_up(job))
		return;
	r = schedule_take_seat(&job->main, &request, job->choice.workers, job->workload->idempotent, &err);
	if (r == 0 || r == -ESHUTDOWN)
		return; /* while stopping: the next daemon runs it */
	if (service_start_failed(job, err.text))
		return;
	log_error("jobs: job %llu: %s", (unsigned long long)job->id, err.text);
	job_fail_self(job, "worker-init", err.text); /* better than to wait for ever */
	job_end_early(job, JOB_ENDING_FAILED, JOB_ASK);
}

int schedule_task_timeout(struct job *job, int64_t ns)
{
	struct crew_job crew_job = crew_job_of(job, 1, true); /* these two are the seat's */
	int r = 0;

	crew_job.task_timeout_ns = ns;
	for (struct job_seat *seat = &job->main; seat && r == 0; seat = job_seat_next(job, seat))
		r = seat->seat ? crew_set_task_timeout(seat->seat, &crew_job) : 0;
	if (r == 0)
		job->task_timeout_ns = ns;
	return r;
}

void schedule_share(struct job *job)
{
	uint64_t apart = apart_tasks(job);

	if (job->main.seat)
		crew_set_workers(job->main.seat, apart < job->choice.workers ? job->choice.workers - (uint32_t)apart : 0);
}

/* ---- Lanes ---- */

void schedule_ready(struct job *job)
{
	if (!job_may_begin(job) || job->ending != JOB_ENDING_NO || job_state_ended(job->state))
		return;
	if (job->jobs->crews && (job->halves.count > 0 || job->n_groups > 0))
		apart_start(job);
	if (!job->main.seat && seat_has_work(&job->main))
		schedule_start(job); /* it could not begin before */
	if (job->main.seat && seat_has_work(&job->main)) {
		struct lane *lane = lane_find(job->jobs, crew_of(job->main.seat));

		lane_insert(lane, job);
		crew_kick(lane->crew);
	}
}

void schedule_leave_seat(struct job_seat *seat)
{
	struct jobs *jobs = seat->job->jobs;
	struct lane *lane = lane_find(jobs, crew_of(seat->seat));

	crew_leave(seat->seat);
	seat->seat = NULL;
	lane->n_seats--;
	lane_drop(jobs, lane);
}

/* Without crew_leave(): tasks may be out, and crews_close() frees the crew's side. */
static void seat_abandon(struct job_seat *seat)
{
	struct jobs *jobs = seat->job->jobs;
	struct lane *lane = lane_find(jobs, crew_of(seat->seat));

	seat->seat = NULL;
	lane->n_seats--;
	lane_drop(jobs, lane);
}

void schedule_abandon(struct job *job)
{
	lane_forget(job);
	for (struct job_seat *seat = &job->main; seat; seat = job_seat_next(job, seat)) {
		if (seat->seat)
			seat_abandon(seat);
	}
}

void schedule_leave(struct job *job)
{
	bool ended = job_state_ended(job->state) || job->finishing || !service_is_up(job);

	apart_leave(job);
	if (job->main.seat && ended && crew_seat_out(job->main.seat) == 0 && job->marking == 0) {
		lane_forget(job);
		schedule_leave_seat(&job->main);
	}
}

/* ---- Started marks ---- */

struct mark_op {
	struct store_op op;
	struct job_seat *seat; /* holds a reference to its job */
	struct store_range range;
};

static void on_marked(struct store_op *op, int status)
{
	struct mark_op *mark = container_of(op, struct mark_op, op);
	struct job_seat *seat = mark->seat;
	struct job *job = seat->job;

	job->marking -= mark->range.count;
	seat->marking -= mark->range.count;
	if (parts_failing(job, mark->range.first))
		parts_drop(job, mark->range.first, mark->range.count);
	else if (status == 0)
		status = ranges_add(&seat->marked, mark->range.first, mark->range.count);
	if (status < 0)
		log_error("jobs: job %llu: started marks: %s", (unsigned long long)job->id, strerror(-status));
	/* Neither ready nor out any more: they would be missing for ever. At the daemon's end the next one runs them. */
	for (uint64_t i = 0; status < 0 && job->jobs->crews && i < mark->range.count; i++)
		outcome_failed(job, mark->range.first + i, "it must not run twice, and that it began could not be recorded");
	if (job->jobs->stopping)
		outcome_unmark(job);
	jobs_op_done(job->jobs);
	if (job->ending != JOB_ENDING_NO)
		outcome_end_ready(job);
	schedule_ready(job);
	job_touch(job);
	job_unref(job);
	free(mark);
}

/* The numbers to be handed out next, at most max: as ranges_first(). They are at the front of a range, so that
 * ranges_remove() of them never fails. */
static uint64_t next_of(const struct job *job, const struct ranges *set, uint64_t max, uint64_t *ret_from)
{
	return job->parts.open ? parts_first(job, set, max, ret_from) : ranges_first(set, max, ret_from);
}

/* Of a job that must not run twice: have marks written for as many tasks as there are workers for. */
static void mark_more(struct job_seat *seat)
{
	struct job *job = seat->job;
	uint64_t ahead = job->marking + seat->marked.count + crew_seat_out(seat->seat), from, n;
	struct mark_op *mark;

	if (ahead >= job->choice.workers)
		return;
	n = next_of(job, &seat->ready, job->choice.workers - ahead, &from);
	mark = n > 0 ? calloc(1, sizeof(*mark)) : NULL;
	if (!mark) {
		if (n > 0)
			job_touch(job); /* no memory: from the loop again */
		return;
	}
	(void)ranges_remove(&seat->ready, from, n); /* see next_of() */
	job->marking += n;
	seat->marking += n;
	job_ref(job);
	mark->seat = seat;
	mark->range = (struct store_range){ from, n };
	mark->op = (struct store_op){
		.type = STORE_STARTED_SET,
		.job = job->id,
		.u.started = { &mark->range, 1 },
		.on_done = on_marked,
	};
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &mark->op);
}

static bool needs_marks(const struct job *job)
{
	return job->durable && !job->workload->idempotent && !job->service; /* which starts again by its nature */
}

/* ---- Handing out ---- */

/* The first task's input cannot be had. A disk may recover; a damaged row does not, and its tasks must not wait for ever. */
static void input_failed(struct job_seat *seat, struct ranges *source, uint64_t task, int error)
{
	struct job *job = seat->job;

	bool damaged = error == -EBADMSG;

	if (job->input_failures < INPUT_TRIES) { /* else it was said, and the next ones say it in their outcomes */
		log_error("jobs: job %llu: inputs from task %llu on: %s", (unsigned long long)job->id,
			  (unsigned long long)task, damaged ? "they are damaged on the disk, the tasks fail" :
			  strerror(-error));
		job->input_failures = damaged ? INPUT_TRIES : job->input_failures + 1;
	}
	if (job->input_failures >= INPUT_TRIES) {
		(void)ranges_remove(source, task, 1); /* see next_of() */
		outcome_failed(job, task, damaged ? "its input is damaged on the disk" :
						    "its input cannot be read back from the disk");
	}
	job_touch(job); /* from the loop again */
}

static int seat_peek(struct job *job, uint64_t from, uint32_t n, struct crew_batch *ret_batch, uint32_t *ret_count)
{
	if (!step_is(from))
		return inputs_peek(&job->inputs, from, n, RING_CHUNK_INPUT_BYTES, &ret_batch->packed,
				   &ret_batch->packed_bytes, ret_count);
	parts_peek(job, from, n, RING_CHUNK_INPUT_BYTES, &ret_batch->packed, &ret_batch->packed_bytes, ret_count);
	return 0;
}

/* A batch of this seat's tasks. 0; -EAGAIN: none until something of the job has changed, which settles it; -EBUSY: the crew
 * takes none of any job now. */
static int seat_next(struct job_seat *seat, uint32_t max_tasks, struct crew_batch *ret_batch)
{
	struct job *job = seat->job;
	struct ranges *source = needs_marks(job) ? &seat->marked : &seat->ready;
	uint32_t room, count;
	uint64_t from, n;
	bool parts;
	int r;

	if (job->paused || hold_of(job) || !service_is_up(job))
		return -EAGAIN;
	if (job->choice.in_order && job->waiting.n > 0)
		return -EAGAIN; /* a task that is to be tried again holds its place */
	if (job->choice.in_order && job->marking > 0 && !needs_marks(job))
		return -EAGAIN; /* so does one whose crash is being recorded */
	if (needs_marks(job))
		mark_more(seat);
	parts = job->parts.open && ranges_first_from(source, STEP_BIT, 1, &from) > 0;
	room = crew_seat_room(seat->seat, source->count, parts);
	if (job->choice.in_order && (job->retries > 0 || parts_possible(job)) && room > 1)
		room = 1; /* what would be behind it in its chunk could not be held */
	if (room > max_tasks)
		room = max_tasks;
	if (room == 0)
		return crew_takes(seat->seat) ? -EAGAIN : -EBUSY;
	n = next_of(job, source, room, &from);
	if (n == 0 || !begin_may_hand_out(job))
		return -EAGAIN;
	r = seat_peek(job, from, (uint32_t)n, ret_batch, &count);
	if (r < 0) {
		if (r != -EAGAIN)
			input_failed(seat, source, from, r);
		return -EAGAIN;
	}
	job->input_failures = 0;
	ret_batch->seat = seat->seat;
	ret_batch->first = from;
	ret_batch->count = count;
	(void)ranges_remove(source, from, count); /* see next_of() */
	if (job->started_ns == 0) {
		job->started_ns = clock_mono_ns();
		if (job->started_unix_us == 0) /* else under an earlier daemon */
			job->started_unix_us = clock_unix_us();
		lot_begun(job);
		job_touch(job); /* becomes `running` when the burst is over: no watcher is called from here */
	} else if (job->timeout_ns > 0 && !job->begun) {
		job_touch(job); /* what was out before came back unbegun: it is looked at again whether something begins */
	}
	return 0;
}

/* The next job's tasks, in a lane of several jobs. */
static int lane_hand_out(struct lane *lane, uint32_t max_tasks, struct crew_batch *ret_batch)
{
	struct job *job;

	while ((job = lane_next(lane))) {
		uint32_t most;
		int r;

		if (!seat_has_work(&job->main)) {
			/* In order, the next job begins when this one has nothing out either. */
			if (lane->in_order &&
			    (crew_seat_out(job->main.seat) > 0 || job->marking > 0 || job->waiting.n > 0 ||
			     job->parts.open))
				return -EAGAIN;
			lane_remove(lane, job);
			continue;
		}
		if (hold_of(job))
			return -EAGAIN; /* the others of its lane are held too; they are touched when that is over */
		if (lane->lot && !lane->current && lot_goes_first(job->jobs, lane->lot, &job->turn))
			return -EAGAIN;
		most = throttle_allows(job->jobs, lane, max_tasks);
		r = most > 0 ? seat_next(&job->main, most, ret_batch) : -EBUSY;
		if (r == 0)
			lane_served(lane, job);
		if (r == 0 || r == -EBUSY || lane->in_order)
			return r == 0 ? 0 : -EAGAIN;
		lane_remove(lane, job); /* schedule_ready() puts it back */
	}
	throttle_leave(lane);
	return -EAGAIN;
}

int schedule_next(void *ctx, struct crew *crew, uint32_t max_tasks, struct crew_batch *ret_batch)
{
	struct jobs *jobs = ctx;
	struct lane *lane = lane_find(jobs, crew);
	int r;

	if (!lane || jobs->stopping)
		return -EAGAIN;
	if (jobs->ops_out > STORE_BACKLOG || jobs->unwritten_bytes > STORE_BACKLOG_BYTES) {
		jobs->held = true;
		return -EAGAIN;
	}
	if (!lane->group) {
		r = lane_hand_out(lane, max_tasks, ret_batch);
	} else {
		max_tasks = seat_has_work(lane->group) && apart_may_begin(lane->group->job) ?
				    throttle_allows(jobs, lane, max_tasks) : 0;
		r = max_tasks > 0 && seat_next(lane->group, max_tasks, ret_batch) == 0 ? 0 : -EAGAIN;
	}
	if (r == 0)
		throttle_took(jobs, lane, ret_batch->count);
	if (lane->lot)
		lot_refill(jobs, lane->lot);
	return r;
}

void schedule_give_up(struct job *job)
{
	if (!job->main.seat)
		return;
	lane_forget(job);
	schedule_leave_seat(&job->main);
}

void schedule_settled(struct jobs *jobs, struct crew *crew)
{
	struct lane *lane = lane_find(jobs, crew);

	if (lane)
		throttle_settled(jobs, lane);
}

void schedule_returned(struct job_seat *seat, uint64_t tasks)
{
	throttle_returned(lane_find(seat->job->jobs, crew_of(seat->seat)), tasks);
}
