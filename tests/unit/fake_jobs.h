/* A jobs layer in memory for tests of the control socket: jobs whose outcomes the test sets, and what the rest of the
 * daemon would give (workloads, crews, the store's figures). Linked instead of libjobs, libcrew and libstore. */
#ifndef CONCD_TESTS_FAKE_JOBS_H
#define CONCD_TESTS_FAKE_JOBS_H

#include "base/error.h"
#include "jobs/jobs.h"

struct jobs {
	struct job *all; /* ascending by id */
	uint64_t next_id;
	bool walk_singly; /* jobs_walk_newest() looks at one at a time */
	uint64_t n_told; /* by jobs_list_ended() */

	/* What the next submission meets. */
	int refuse; /* jobs_submit() returns this, with refuse_code */
	const char *refuse_code;
	int accept_status; /* on_accepted is given this */
	uint64_t known_id; /* with -EEXIST */
	bool hold; /* keep acceptances until fake_jobs_release() */
	bool hold_get; /* jobs_get() answers at fake_jobs_release() */

	/* What the last submission said: copies. */
	char workload[64], submission[160], label[160], model[32], shape[32], params[256];
	struct job_spec last;
	uint64_t n_submitted, n_cancelled;
	bool is_held; /* by jobs_hold() */
	char held_name[64];
	int remove_status; /* what job_remove() reports */

	/* The last message: copies, and whom to tell. */
	uint64_t sent_task;
	char sent[64];
	job_sent_fn on_sent;
	void *sent_arg;

	struct held *held;
	unsigned int live_refs; /* references that others hold to jobs */
};

struct job {
	struct jobs *jobs;
	struct job *next;
	struct job_view view;
	struct segment **segments;
	size_t n_segments;
	struct buffer inputs;
	struct job_watch *watches;
	bool ended_elsewhere; /* among the ended: not in jobs_walk_newest(), but in jobs_list_ended() */
	bool listed_twice; /* among the live, and as done in jobs_list_ended() */
	bool slow_segments, slow_inputs; /* -EAGAIN for all but the last that fake_jobs_load() brought */
	uint64_t loaded_segment, wanted_segment, loaded_input, wanted_input; /* their numbers from 1 on */
	uint64_t n_passed; /* segments that readers want no more */
	bool broken; /* -EIO */
	uint32_t n_running;
	bool cancel_asked;
};

struct jobs *fake_jobs_new(void);
void fake_jobs_free(struct jobs *jobs); /* fails the test if references or watches are left */
/* A running job with n tasks, whose inputs are "0", "1", ... or what fake_job_inputs() says. */
struct job *fake_job_add(struct jobs *jobs, uint64_t n_tasks);
void fake_job_inputs(struct job *job, const void *packed, size_t len); /* replaces them */
void fake_job_done(struct job *job, uint64_t task, const void *data, size_t len); /* recorded at once */
void fake_job_failed(struct job *job, uint64_t task, enum task_error error, int signal, const char *message);
void fake_job_end(struct job *job, enum job_state state); /* and tell */
void fake_job_tell(struct job *job); /* on_progress */
void fake_jobs_load(struct jobs *jobs); /* what was asked of the disk last is there now; tells */
void fake_jobs_release(struct jobs *jobs);

#endif
