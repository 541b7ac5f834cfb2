/* The end of a job: every outcome on its way to the disk, then its row, then the news. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "config.h"
#include "jobs/job.h"
#include "store/store.h"

struct state_op {
	struct store_op op;
	struct job *job;
	enum job_state state;
	void (*on_written)(void *arg, int status); /* NULL: nobody asks */
	void *arg;
};

static enum job_state final_state(const struct job *job)
{
	/* A cancel that came too late for every task of a whole job changed nothing. */
	if ((job->ending == JOB_ENDING_CANCELLED || job->ending == JOB_ENDING_PREDECESSOR) &&
	    (job->cancelled > 0 || job->total == 0 || job->cut_short))
		return JOB_CANCELLED;
	if (job->failed > 0 || job->cancelled > 0 || job->error_code)
		return JOB_FAILED;
	return JOB_DONE;
}

/* When no job has ended for a moment, results and inputs of ended jobs that are not on disk go to their spill files, a few
 * segments at a time, until all together have no more than this: what comes next has the room, and need not write them out,
 * or its own inputs, while it runs. After three seconds the allocator's memory goes to the kernel (daemon/main.c lets it keep what
 * is freed while jobs come one after another). */
#define KEPT_BYTES (16u << 20)
#define PAUSE_MS 10
#define REST_S 3
#define PUT_OUT_SLICE 16

void job_forget_kept(struct job *job)
{
	struct jobs *jobs = job->jobs;

	TAILQ_REMOVE(&jobs->kept, job, kept_link);
	jobs->n_kept--;
	if (job->submission)
		linear_hash_remove(&jobs->submissions, &job->by_submission);
	job_unpublish(job);
}

/* Jobs that are not on disk stay for `results`, the last few of them. */
static void keep_ephemeral(struct job *job)
{
	struct jobs *jobs = job->jobs;
	struct job *at, *next;

	TAILQ_INSERT_TAIL(&jobs->kept, job, kept_link);
	jobs->n_kept++;
	for (at = TAILQ_FIRST(&jobs->kept); at && jobs->n_kept > jobs->config->keep_ephemeral; at = next) {
		next = TAILQ_NEXT(at, kept_link);
		if (at->watches)
			continue;
		job_forget_kept(at);
	}
}

void finish_make_room(struct jobs *jobs, uint64_t bytes, uint32_t *most)
{
	uint64_t goal = jobs->resident_bytes - bytes;
	struct job *at;

	TAILQ_FOREACH(at, &jobs->kept, kept_link) { /* oldest first */
		if (jobs->resident_bytes <= goal || *most == 0)
			return;
		if (at->watches)
			continue;
		results_put_out(at, jobs->resident_bytes - goal, most);
		if (jobs->resident_bytes > goal) /* what cannot be written stays: results_put_out() said so */
			(void)inputs_spill(&at->inputs, jobs->resident_bytes - goal, most);
	}
}

void finish_rest(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval at_once = { .tv_sec = 0 }, rest = { .tv_sec = REST_S };
	struct jobs *jobs = arg;
	uint32_t left = PUT_OUT_SLICE;
	uint64_t before = jobs->resident_bytes;
	bool more;

	(void)fd; /* a timer */
	(void)what;
	if (before > KEPT_BYTES)
		finish_make_room(jobs, before - KEPT_BYTES, &left);
	more = left == 0 && jobs->resident_bytes < before; /* a full disk takes none, however often it is tried */
	if (more || !jobs->has_put_out) {
		/* Out of memory: the next end tries again. Once more after the longer rest: who is still read may not be then. */
		(void)event_add(jobs->rest_event, more ? &at_once : &rest);
		jobs->has_put_out = jobs->has_put_out || !more;
		return;
	}
	buffer_fini(&jobs->packing);
	(void)malloc_trim(0); /* says whether there was anything */
}

void finish_rest_later(struct jobs *jobs)
{
	static const struct timeval pause = { .tv_usec = PAUSE_MS * 1000 };

	jobs->has_put_out = false;
	(void)event_add(jobs->rest_event, &pause); /* out of memory: the next end tries again */
}

static void job_ended(struct job *job, enum job_state state)
{
	struct jobs *jobs = job->jobs;

	finish_rest_later(jobs);
	if (job->refused) {
		early_ended(job);
		return;
	}
	job_ref(job);
	schedule_leave(job);
	count_ended(job);
	jobs->ended_by_state[state]++;
	unique_release(job);
	job_set_state(job, state);
	/* A log that says of every job that it is done drowns the rest: `list` knows them. */
	log_write(state == JOB_DONE ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
		  "jobs: job %" PRIu64 " '%s': %s: %" PRIu64 " done, %" PRIu64 " failed, %" PRIu64
		 " cancelled, %.3f s under %s",
		 job->id, job->workload_name, job_state_name(state), job->done, job->failed, job->cancelled,
		 job->wall_s, job->choice.model->name);
	if (job->durable) {
		job_unpublish(job);
		job_opened(job);
	} else {
		keep_ephemeral(job);
	}
	after_job_ended(jobs, job->id, state);
	hook_job_ended(job);
	retention_note_end(jobs);
	job_unref(job);
}

static void on_state_written(struct store_op *op, int status)
{
	struct state_op *write = container_of(op, struct state_op, op);
	struct job *job = write->job;
	struct jobs *jobs = job->jobs;

	if (status < 0 && !job->refused)
		log_error("jobs: job %" PRIu64 ": its end: %s", job->id, strerror(-status));
	job_ended(job, write->state);
	job_unref(job);
	free(write);
	jobs_op_done(jobs);
}

static void record_sums(struct job *job)
{
	job->ended_ns = clock_mono_ns();
	job->ended_unix_us = clock_unix_us();
	if (job->started_ns > 0)
		job->wall_s += (double)(job->ended_ns - job->started_ns) / 1e9;
	job->started_ns = 0; /* wall_s says it all from here on */
	checkpoint_end(job);
	job_clock_stop(job);
	if (job->open_event)
		(void)event_del(job->open_event);
	retry_forget(job);
	begin_forget(job);
	if (job->main.seat && job->n_groups == 0)
		job->peak_rss_bytes = crew_seat_peak_rss_bytes(job->main.seat);
}

static int write_state(struct job *job, enum job_state state)
{
	struct state_op *write = calloc(1, sizeof(*write));

	if (!write)
		return -ENOMEM;
	if (job->stalls && job->stalls_row.len == 0 && stalls_encode(job->stalls, &job->stalls_row) < 0)
		buffer_fini(&job->stalls_row); /* no memory: what is lost has been logged */
	write->job = job_ref(job);
	write->state = state;
	write->op = (struct store_op){
		.type = STORE_JOB_STATE,
		.job = job->id,
		.on_done = on_state_written,
		.u.state = {
			.state = (uint8_t)state,
			.priority = job->turn.priority,
			.total = job->total,
			.started_unix_us = job->started_unix_us,
			.ended_unix_us = job->ended_unix_us,
			.done = job->done,
			.failed = job->failed,
			.cancelled = job->cancelled,
			.cpu_s = job->cpu_s,
			.wait_s = job->wait_s,
			.runq_s = job->runq_s,
			.wall_s = job->wall_s,
			.peak_rss_bytes = job->peak_rss_bytes,
			.error_code = job->error_code,
			.error_text = job->error_text,
			.hook = job->on_done != NULL,
			.stalls = job->stalls_row.data,
			.stalls_bytes = job->stalls_row.len,
		},
	};
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &write->op);
	return 0;
}

/* ---- What a restart must know of a living job ---- */

static const struct {
	enum job_ending ending;
	const char *code;
} courses[] = {
	{ JOB_ENDING_CANCELLED, "cancelled" },
	{ JOB_ENDING_TIMEOUT, "timeout" },
	{ JOB_ENDING_FAILED, "worker-init" },
	{ JOB_ENDING_HALTED, "halted" },
	{ JOB_ENDING_EXPIRED, "expired" },
	{ JOB_ENDING_PREDECESSOR, "predecessor" },
};

static void on_course_written(struct store_op *op, int status)
{
	struct state_op *write = container_of(op, struct state_op, op);
	struct jobs *jobs = write->job->jobs;

	if (status < 0)
		log_warning("jobs: job %" PRIu64 ": its course is not on disk, a restart would not know it: %s",
			    write->job->id, strerror(-status));
	if (write->on_written)
		write->on_written(write->arg, status);
	job_unref(write->job);
	free(write);
	jobs_op_done(jobs);
}

void job_record_course(struct job *job)
{
	/* Out of memory: the job's end is not in doubt, only what a kill before it makes of it. */
	job_record_course_then(job, NULL, NULL);
}

void job_record_course_then(struct job *job, void (*on_written)(void *arg, int status), void *arg)
{
	struct state_op *write = job->durable ? calloc(1, sizeof(*write)) : NULL;

	if (!write) {
		if (on_written)
			on_written(arg, job->durable ? -ENOMEM : 0);
		return;
	}
	write->on_written = on_written;
	write->arg = arg;
	write->job = job_ref(job);
	write->op = (struct store_op){
		.type = STORE_JOB_STATE,
		.job = job->id,
		.on_done = on_course_written,
		.u.state = {
			.state = job->paused ? JOB_PAUSED : JOB_QUEUED,
			.open = job->open,
			.priority = job->turn.priority,
			.started_unix_us = job->started_unix_us,
			.wall_s = job->wall_s,
			.error_code = job->error_code,
			.error_text = job->error_text,
		},
	};
	if (job->started_ns > 0)
		write->op.u.state.wall_s += (double)(clock_mono_ns() - job->started_ns) / 1e9;
	for (size_t i = 0; i < ARRAY_SIZE(courses); i++)
		if (courses[i].ending == job->ending)
			write->op.u.state.error_code = courses[i].code;
	jobs_op_submitted(job->jobs);
	store_submit(job->jobs->store, &write->op);
}

void job_resume_course(struct job *job, const char *error_code, const char *error_text)
{
	for (size_t i = 0; i < ARRAY_SIZE(courses); i++)
		if (strcmp(courses[i].code, error_code) == 0)
			job->ending = courses[i].ending;
	job->cut_short = job->ending == JOB_ENDING_CANCELLED || job->ending == JOB_ENDING_PREDECESSOR;
	if (job->ending != JOB_ENDING_CANCELLED)
		job_fail_self(job, error_code, error_text ? error_text : "");
}

/* ---- The end ---- */

/* Its last outcomes and its row go to the disk in one transaction. */
static int write_end(struct job *job)
{
	struct store *store = job->jobs->store;
	int r = 0;

	store_gather(store);
	if (results_flush(job, true)) {
		r = -ENOMEM;
	} else {
		job->finishing = true;
		record_sums(job);
		r = write_state(job, final_state(job));
	}
	store_gathered(store);
	return r;
}

void job_check_end(struct job *job)
{
	uint64_t ended = job->done + job->failed + job->cancelled;

	if (job->open || job->adding || job->finishing || job->from_store || job_state_ended(job->state) ||
	    job->marking > 0 || ended < job->total)
		return;
	if (job->main.seat && crew_seat_out(job->main.seat) > 0)
		return;
	if (apart_out(job) > 0)
		return;
	if (!job->durable) {
		job->end_failed = false;
		job->finishing = true;
		record_sums(job);
		job_ended(job, final_state(job));
		return;
	}
	job->end_failed = write_end(job) < 0;
	if (job->end_failed) { /* no memory now */
		job->finishing = false;
		job_flush_later(job);
	}
}
