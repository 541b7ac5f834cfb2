/* A job's inside: private to daemon/jobs. */
#ifndef CONCD_JOBS_JOB_H
#define CONCD_JOBS_JOB_H

#include <stddef.h>
#include <sys/queue.h>

#include <event2/event_struct.h>
#include <jansson.h>
#include <uthash.h>

#include "base/error.h"
#include "crew/crew.h"
#include "jobs/after.h"
#include "jobs/begin.h"
#include "jobs/census.h"
#include "jobs/halves.h"
#include "jobs/hold.h"
#include "jobs/inputs.h"
#include "jobs/jobs.h"
#include "jobs/order.h"
#include "jobs/parts.h"
#include "jobs/parked.h"
#include "jobs/parked_wait.h"
#include "jobs/quota.h"
#include "jobs/ranges.h"
#include "jobs/results.h"
#include "jobs/retries.h"
#include "jobs/service.h"
#include "jobs/stalls.h"
#include "jobs/throttle.h"
#include "jobs/turns.h"

struct crew;
struct alarm;
struct last;
struct unique;
struct crew_seat;
struct store_crash;
struct store_op;

TAILQ_HEAD(kept_list, job);
struct hook;
TAILQ_HEAD(hook_list, hook);
TAILQ_HEAD(opened_list, job);
TAILQ_HEAD(early_list, job);
TAILQ_HEAD(dirty_list, job);
struct accept;
STAILQ_HEAD(accept_list, accept);

/* Jobs that wait for, or run in, one crew; they take turns. Found by crew. */
struct lane {
	struct crew *crew;
	bool in_order; /* job after job, instead of turns */
	struct job_seat *group; /* of tasks that run apart: its crew is theirs only; else NULL */
	uint32_t n_seats;
	struct turns turns; /* jobs that may have tasks to hand out; has room for every seat */
	struct throttle *throttle; /* of its workload */
	bool unlimited; /* a service's: it would hold its place for ever */
	struct lot *lot; /* its jobs that may be parked; NULL: none */
	uint64_t running; /* workers that its tasks keep busy, as counted there */
	TAILQ_ENTRY(lane) in_line;
	struct throttle *in_line_of; /* it was refused by this one; NULL: by none */
	int32_t last_priority; /* of the job that was served last */
	struct job *current; /* in order: the one that has begun, until nothing of it is left; else NULL */
	UT_hash_handle hh;
};

/* The job's place in a crew. Its own: `main`; tasks that run apart after a death have others (apart.c). */
struct job_seat {
	struct job *job;
	struct crew_seat *seat; /* NULL: not taken */
	struct ranges ready; /* tasks to hand out */
	struct ranges marked; /* of a job that must not run twice: started marks are on disk, to be handed out first */
	uint64_t marking; /* tasks whose started marks are on their way to the disk */
	bool init_failed; /* its crew gave up: nothing more is handed out */
};

/* What is remembered of a task that did not end at its first attempt. Sparse: few tasks have one. */
struct task_history {
	uint64_t task;
	uint16_t attempts; /* begun so far */
	uint16_t crashes; /* that count against it */
	uint16_t unnamed; /* twice the deaths while it was begun for which nobody could be named; see UNNAMED_MAX */
	uint16_t retries; /* tries that its plugin asked for */
	int64_t ready_ns;
	char *cause; /* why its last attempt did not do; owned; NULL: not told */
	UT_hash_handle hh;
};

enum job_ending {
	JOB_ENDING_NO,
	JOB_ENDING_CANCELLED,
	JOB_ENDING_TIMEOUT,
	JOB_ENDING_FAILED, /* its workers cannot be prepared */
	JOB_ENDING_HALTED, /* as many tasks failed as it was told to bear */
	JOB_ENDING_EXPIRED, /* its time to begin has passed */
	JOB_ENDING_PREDECESSOR, /* a job that it was to follow ended badly */
};

/* What an end that comes early does to tasks that have begun. */
enum job_urgency {
	JOB_LET_END, /* nothing */
	JOB_ASK, /* they are asked to end, and killed at the end of grace */
	JOB_KILL, /* they are killed at once, with their processes */
};

struct job {
	struct jobs *jobs;
	unsigned int refs;
	struct hash_link by_id; /* jobs->table, while published */
	TAILQ_ENTRY(job) link; /* jobs->order */
	struct turn turn; /* in its lane, while it may have tasks to hand out; has its priority */
	TAILQ_ENTRY(job) kept_link; /* jobs->kept, once it has ended and is not on disk */
	TAILQ_ENTRY(job) opened_link; /* jobs->opened, while in_opened */
	TAILQ_ENTRY(job) early_link; /* jobs->early, while in_early */
	TAILQ_ENTRY(job) dirty_link; /* jobs->dirty, while in_dirty */
	struct hash_link by_submission; /* jobs->submissions, of jobs that are not on disk */
	bool published, in_opened, in_dirty;
	struct lot *lot; /* where it may be parked, while published; NULL: it may not */
	bool fresh; /* counted there: nothing of it has begun */
	bool on_disk_only; /* a parked one, read to be listed */

	/* Fixed at acceptance. Texts owned. */
	uint64_t id;
	char *submission, *workload_name, *label;
	uint32_t uid;
	bool durable;
	const struct workload *workload; /* NULL: not loaded (an ended job, or its plugin is gone) */
	char *why_no_workload; /* then */
	struct model_choice choice;
	bool own_workers; /* choice.workers was asked for of this job; else the stanza or the model says it */
	char *model_reason; /* owned copy behind choice.reason */
	struct config_pair *params;
	uint32_t *param_flags;
	size_t n_params;
	int64_t timeout_ns, task_timeout_ns, grace_ns, backoff_ns;
	uint32_t max_crashes;
	uint32_t retries;
	struct job_halt halt;
	uint64_t again_of; /* the job that it repeats; 0: none */
	bool again_failed; /* of it, the tasks that did not do */
	int64_t created_unix_us;
	struct service *service; /* owned; NULL: it is none */

	/* Its life. */
	char *on_done; /* the hook that is run when it has ended; owned; NULL: none */
	struct unique *unique; /* its key (unique.c); NULL: none */
	struct accept *accept; /* its acceptance, while that is under way (submit.c) */
	struct job_begin begin; /* what it waits for before that */
	uint64_t *counted_in; /* of jobs->census; NULL: it is not counted (census.c) */
	enum job_state state;
	enum job_ending ending; /* on the way to an end before all tasks are done */
	enum job_urgency urgency; /* then */
	bool paused; /* nothing is handed out */
	bool open; /* more inputs may come */
	struct again *again; /* brings its inputs, and nobody else may; NULL: none, or it is adding some */
	bool adding; /* a piece is on its way to the disk */
	bool cut_short; /* ended early while it was open: not all of it is here */
	bool finishing; /* its last row is being written */
	bool end_failed; /* no memory for its last row: tried again */
	bool from_store; /* an ended job, loaded to be looked at */
	bool removed; /* nothing more of it can be read */
	bool in_early; /* it has begun and is not on disk yet */
	bool refused; /* then the disk did not take it: nothing of it counts */
	int64_t started_ns, ended_ns; /* CLOCK_MONOTONIC, 0: not yet */
	int64_t ready_ns; /* when its newest inputs could have begun */
	int64_t started_unix_us, ended_unix_us;
	uint64_t total, done, failed, cancelled;
	double wall_s; /* of an ended job; of a living one: under earlier daemons, as far as known */
	double cpu_s, wait_s, runq_s;
	uint64_t peak_rss_bytes;
	char *error_code, *error_text;
	/* How long it has run (time_limit.c) */
	struct event *timeout_event; /* its time limit; or the next look whether a task of it has begun */
	int64_t ran_ns; /* under all daemons, as far as known, without what runs since: */
	int64_t runs_since_ns; /* CLOCK_MONOTONIC; 0: its clock stands still */
	int64_t look_ns; /* between two looks */
	bool begun; /* a task of it was seen to run, or to end, under this daemon */
	bool was_held; /* its clock stood still at times: wall_s says more than it ran */

	LIST_ENTRY(job) checkpoint_link; /* jobs->checkpoints */
	int64_t checkpoint_ns; /* CLOCK_MONOTONIC: when the disk is next told how long it has run; 0: it is in no list */
	struct event *open_event; /* an open job waits this long for its next piece */

	/* Its tasks. */
	struct inputs inputs;
	struct results results;
	struct parts parts; /* of the tasks that are divided now */
	struct job_seat main;
	LIST_HEAD(group_list, group) groups; /* of tasks that run apart now */
	uint32_t n_groups;
	struct halves halves; /* those that are to */
	uint64_t input_bytes; /* with these it counts in jobs->quota, until it has ended */
	uint64_t counted_tasks; /* of its tasks, those that count there now */
	uint32_t input_failures; /* reads of its inputs that failed, in a row */
	uint64_t marking; /* tasks whose started marks or crash counts are on their way to the disk */
	struct task_history *history;
	struct stalls *stalls; /* tasks that held their thread; NULL: none did */
	struct buffer stalls_row; /* the same for the disk */
	struct retries waiting; /* tasks to be tried again */
	struct event *retry_event; /* when the first of them is due */
	bool touched; /* in jobs->touched: to be looked at when the burst of news is over */
	TAILQ_ENTRY(job) touched_link;

	struct job_watch *watches;
};

struct jobs {
	struct loop *loop;
	const struct config *config;
	const struct workloads *workloads;
	struct store *store;
	struct crews *crews; /* NULL: nothing is handed out yet */
	uint32_t n_processors;

	struct linear_hash table; /* published jobs by id */
	struct linear_hash submissions; /* those not on disk, by submission */
	struct order order; /* the published ones by id */
	struct census census; /* of these: how many are in which state */
	LIST_HEAD(service_list, service) services; /* of jobs that are services, also of those that are only looked at */
	struct linear_hash parked; /* by id */
	struct dates parked_dates; /* of these */
	STAILQ_HEAD(parked_due, parked_wait) parked_due; /* of these: they are to end */
	bool due_loading; /* some of them are being read */
	bool due_failed; /* and could not be; lots_event tries again */
	struct lot *lots;
	uint32_t n_parkings; /* so far */
	struct event *lots_event; /* looks after lots whose jobs could not be read */
	struct lane *lanes;
	struct throttle throttle; /* of all tasks */
	struct throttle *throttles; /* by workload */
	TAILQ_HEAD(touched_list, job) touched;
	struct event *settle_event; /* runs jobs_settle() from the loop */
	struct dirty_list dirty; /* jobs with outcomes in open segments that are not on disk, or whose end could not be written */
	struct event *flush_event; /* looks at these, a little later */
	bool flush_armed;
	struct event *turn_event; /* answers that come from the loop's next turn */
	struct accept_list turns;
	bool settling; /* jobs_settle() is running */
	struct dates dates; /* of jobs that begin, or expire, later */
	struct alarm *alarm; /* for the first of them */
	LIST_HEAD(checkpoint_list, job) checkpoints; /* running jobs (checkpoint.c) */
	struct event *checkpoint_event;
	struct hook_list hooks, hooks_running; /* of ended jobs (hook.c) */
	struct linear_hash hooks_needing; /* the same, where the job is on disk, by its id */
	uint32_t n_hooks; /* that run */
	struct event *hooks_event; /* tries again to begin those that wait; NULL: never was needed */
	bool hooks_wait; /* for it */
	struct linear_hash uniques; /* keys of jobs that have not ended */
	struct linear_hash followed; /* jobs that others wait for, by id */
	STAILQ_HEAD(followed_list, followed) ended_followed; /* of these, those that have ended: not all of the others know it yet */
	struct event *followed_event; /* tells more of them; NULL: there never were many */
	struct breaking *breakings; /* those that must not be removed yet (after_private.h) */

	uint64_t last_group; /* number of the last group of tasks that run apart */
	struct last *lasts; /* the newest jobs of users (last.c) */
	uint64_t next_id;
	uint64_t ids_on_disk; /* no id below this is given again, whatever happens */
	int64_t served_ns; /* when the last turn was */
	bool held; /* nothing is handed out until the store has caught up */
	uint64_t ops_out; /* our store operations not yet reported */
	uint64_t unwritten_bytes; /* of segments among them */
	uint64_t ended_by_state[JOB_CANCELLED + 1];
	uint64_t tasks_done;
	struct quota quota; /* what is unfinished, submissions on their way to the disk too */
	struct retention *retention; /* removes old jobs; NULL: not started, or there is nothing to do */
	LIST_HEAD(again_list, again) agains;
	LIST_HEAD(removal_list, removal) removals; /* of jobs on disk, under way (remove.c) */
	LIST_HEAD(get_list, get) gets; /* rows that are being read (recover.c) */
	LIST_HEAD(hold_list, hold) holds;
	struct event *review_event; /* goes on with the look at jobs that follows a change of these (hold.c); NULL: there was none */
	uint64_t review_below; /* those that are still to be looked at; 0: none */
	bool review_releases; /* some of them may go on */
	struct early_list early; /* jobs that began before they are on disk, until they are or have ended; a reference each */
	struct opened_list opened; /* ended jobs that are on disk and that somebody looks at */
	struct kept_list kept; /* ended jobs that are not on disk, oldest first */
	uint32_t n_kept;
	uint64_t resident_bytes; /* recorded segments in memory, of all jobs, and inputs of those that are not on disk */
	uint64_t cached_input_bytes; /* of inputs in memory, of all jobs on disk */
	struct buffer packing; /* for one segment */
	bool spill_refused; /* results could not be put out of memory, and that was said */
	struct event *rest_event; /* no job has ended or become whole for a moment, or a while: memory is given back */
	bool has_put_out; /* it was a moment, and what ended jobs that nobody reads have too much is out of memory */
	uint32_t stall_tokens; /* lines that may be logged of tasks that hold their thread */
	int64_t stall_refilled_ns;
	uint64_t stalls_unlogged;
	int64_t unix_offset_us; /* realtime - monotonic, refreshed at each settling */

	struct starting *starting; /* unfinished jobs are still being read (start.c); NULL: all are here */
	bool stopping;
	void (*on_services_stopped)(void *arg); /* NULL: nobody waits for them */
	void *services_stopped_arg;
	uint32_t n_services_stopped; /* told to end with the daemon */
	struct event *stop_event; /* looks whether the store still gets on */
	void (*on_stopped)(void *arg);
	void *stopped_arg;
};

/* job.c */
struct job *job_new(struct jobs *jobs, uint64_t id);
void jobs_tables_init(struct jobs *jobs);
void jobs_tables_fini(struct jobs *jobs);
struct job *jobs_find(const struct jobs *jobs, uint64_t id); /* a published one; NULL: there is none */
struct job *jobs_find_submission(const struct jobs *jobs, const char *submission); /* one that is not on disk; NULL as above */
void job_publish(struct job *job); /* into the table; the table's reference is new */
void job_unpublish(struct job *job);
void job_opened(struct job *job); /* ended, on disk, and looked at: it is to hear of its removal */
void job_set_state(struct job *job, enum job_state state);
enum job_state job_shown_state(const struct job *job); /* what people are told: open, and paused with others, are no states of its own */
void job_notify_progress(struct job *job);
/* Remember to look at this job once the present burst of news is over (jobs_settle()). */
void job_touch(struct job *job);
void job_fail_self(struct job *job, const char *code, const char *text); /* its own error; the first one counts */
uint64_t job_running(const struct job *job); /* tasks that run now, read out of memory that workers can write */
double job_wall_s(const struct job *job); /* since it began, under all daemons, as far as known; of an ended job in all */
void job_record_spec(struct job *job); /* write its specification as it is now (set.c) */

/* log.c: what a job's followers are told of its log */
void job_log_on_line(void *ctx, void *user, const struct crew_log *log);
/* To its followers only. level: enum log_level; worker_pid 0: the daemon says it; text: without control characters. */
void job_tell(struct job *job, unsigned int level, uint32_t worker_pid, const char *text);

/* resolve.c */
/* Check a specification and fill in what is fixed at acceptance. 0, or -errno with words. */
int job_resolve(struct job *job, const struct job_spec *spec, struct error *err);
/* The resolved specification back from its JSON. */
int job_spec_parse(struct job *job, const char *text, struct error *err);

/* spec_text.c */
/* The resolved specification as JSON, malloc'ed. NULL: out of memory, or a text that is not UTF-8. */
char *job_spec_format(const struct job *job);

/* submit.c */
void job_arm_open_timeout(struct job *job);
/* It takes no more inputs; on_disk: the disk was told so with the last piece. */
void job_close(struct job *job, bool on_disk);
void submit_on_turn(int fd, short what, void *arg); /* answers to what is not kept */
void submit_let_go(struct jobs *jobs);

/* early.c */
void early_ended(struct job *job); /* a refused one has nothing out any more */
void early_let_go(struct jobs *jobs); /* at the daemon's end: their seats, then (early_close()) themselves */
void early_close(struct jobs *jobs);

/* last.c */
int lasts_recover(struct jobs *jobs); /* 0 or -errno */
void last_note(const struct job *job); /* it was accepted */
void lasts_close(struct jobs *jobs);

/* refused.c */
/* A submission for which there was no room: it may be known, its answer lost. on_accepted follows, not before this returns, with
 * -EEXIST or -EBUSY and the words of err. 0 or -ENOMEM. */
int refused_look_up(struct jobs *jobs, const char *submission, jobs_accepted_fn on_accepted, void *arg,
		    const struct error *err);

/* count.c: what of it counts in jobs->quota. Nothing of a service does. */
int count_recovered(struct job *job); /* its tasks that have not ended; 0 or -ENOMEM */
void count_ended_tasks(struct job *job); /* as often as it is: those that have ended since do not count any more */
void count_ended(struct job *job);

/* begin.c */
/* Nothing keeps it from beginning: neither a pause, nor its date, nor a job that it follows. */
bool job_may_begin(const struct job *job);
void begin_wait(struct job *job); /* once accepted: from here on its dates are watched */
void begin_recovered(struct job *job); /* the same after a restart, once its outcomes are known */
/* Other dates (0: none) of one that has not begun and has no seat. */
void begin_change(struct job *job, bool new_begins, int64_t begins_unix_us, bool new_expires, int64_t expires_unix_us);
int64_t begin_date(int64_t in_ns); /* so long from now; 0 of 0 */
void begin_forget(struct job *job); /* they are not, any more */
void begin_has(struct job *job); /* its first task was handed out */
/* A task of it is to be handed out. false: not before it is on disk that the job has begun; schedule_ready() follows. */
bool begin_may_hand_out(struct job *job);
void begin_on_alarm(void *arg); /* the struct jobs */
void begin_set_alarm(struct jobs *jobs); /* for the first date there is */
void begin_unparked(struct job *job); /* a live job again: as begin_wait(), where what it waits for is set */
int begin_resolve(struct job *job, const struct job_spec *spec, struct error *err); /* 0, or -EINVAL with words */
int begin_format(const struct job *job, json_t *spec); /* into the specification; 0 or -ENOMEM */
int begin_parse(struct job *job, const json_t *spec); /* 0, -ENOMEM, -EBADMSG */
void begin_view(const struct job *job, struct job_view *view);
/* What it waits for before it may begin; NULL: nothing. */
const char *begin_waiting(const struct job *job, char *scratch, size_t scratch_bytes);

/* checkpoint.c */
int checkpoints_init(struct jobs *jobs); /* 0 or -ENOMEM */
void checkpoints_free(struct jobs *jobs); /* also of half-made jobs */
void checkpoint_begin(struct job *job); /* it has begun: from now on the disk is told how long it has run */
void checkpoint_end(struct job *job); /* its end is being written, or it is freed */
void checkpoints_stop(struct jobs *jobs); /* tell it for the last time */

/* hook.c */
void hooks_init(struct jobs *jobs);
bool hook_needs(const struct jobs *jobs, uint64_t id); /* its hook has not ended yet */
void hook_job_ended(struct job *job); /* it is on disk, with a note of its hook where it has one */
void hooks_recover(struct jobs *jobs); /* those that the last daemon did not get to */
void hooks_forget(struct jobs *jobs);
int hook_resolve(struct job *job, const struct job_spec *spec, struct error *err); /* 0, or -EINVAL with words */

/* unique.c */
void unique_init(struct jobs *jobs); /* nothing is left of it once no key is held */
uint64_t unique_holder_id(const struct job *job); /* the job that has its key now; 0: none, or it has no key */
struct job *unique_holder(const struct job *job); /* the same; NULL where it is parked too */
void unique_hold(struct job *job); /* its key is taken from here on, where it has one and nobody holds it */
void unique_release(struct job *job);
void unique_free(struct job *job);
/* A parked job holds its key without being one. */
struct unique *unique_park(struct job *job); /* the key is the caller's; NULL: it has none */
void unique_unpark(struct job *job, struct unique *unique); /* and back */
int unique_recover(struct jobs *jobs, const struct store_recovered_job *row, const char *key, struct unique **ret_unique);
void unique_drop(struct jobs *jobs, struct unique *unique); /* NULL is fine */
const char *unique_key(const struct job *job); /* NULL: it has none */
int unique_resolve(struct job *job, const struct job_spec *spec, struct error *err); /* once user and workload are set */
int unique_format(const struct job *job, json_t *spec);
int unique_parse(struct job *job, const json_t *spec);

/* lane.c */
struct lane *lane_find(struct jobs *jobs, const struct crew *crew);
struct lane *lane_get(struct jobs *jobs, struct crew *crew, const struct crew_request *request); /* made where missing; NULL: out of memory */
/* A lane goes with its last seat: the crew may end then, and another one get its address. */
void lane_drop(struct jobs *jobs, struct lane *lane);
void lane_insert(struct lane *lane, struct job *job); /* fine where it is in it */
void lane_remove(struct lane *lane, struct job *job);
void lane_forget(struct job *job); /* the same for a job's own lane */
struct job *lane_next(const struct lane *lane); /* whose turn it is; NULL: nobody's */
void lane_served(struct lane *lane, struct job *job); /* it had its turn */
void lane_set_priority(struct job *job, int32_t priority);
static inline bool seat_has_work(const struct job_seat *seat)
{
	return seat->ready.count > 0 || seat->marked.count > 0;
}

/* waiting.c */
const char *schedule_waiting(const struct job *job, char *scratch, size_t scratch_bytes);

/* schedule.c */
int schedule_next(void *ctx, struct crew *crew, uint32_t max_tasks, struct crew_batch *ret_batch);
/* Take the main seat. Where there is none to be had the job ends, and says why. */
void schedule_start(struct job *job);
void schedule_give_up(struct job *job); /* its lane and its seat, of one of which nothing is out */
void schedule_settled(struct jobs *jobs, struct crew *crew); /* there was news from it */
void schedule_returned(struct job_seat *seat, uint64_t tasks); /* so many came back unbegun */
void schedule_ready(struct job *job); /* its seats may have tasks to hand out */
void schedule_abandon(struct job *job); /* at the daemon's end: the crews are going, whatever they hold */
void schedule_leave(struct job *job); /* give up seats that hold nothing and wait for nothing */
/* Another time limit of its tasks (0: none) from now on. 0; -ENOMEM: perhaps not in every crew that it has. */
int schedule_task_timeout(struct job *job, int64_t ns);
void schedule_share(struct job *job); /* what tasks that run apart have of -j the main crew goes without */
int schedule_take_seat(struct job_seat *seat, const struct crew_request *request, uint32_t workers, bool idempotent,
		       struct error *err); /* 0 or -errno with words */
void schedule_leave_seat(struct job_seat *seat);

/* apart.c: tasks that run in processes of their own after a death, alone or in groups */
/* The job's seats: the main one, then each group's. NULL: that was the last. */
struct job_seat *job_seat_next(const struct job *job, const struct job_seat *seat);
/* Others may be in a task's process, and the order of tasks is not promised. */
bool apart_possible(const struct job *job);
/* To be run apart: alone, or, where `death` is not 0, in halves with the others that were met in that death. 0 or -ENOMEM. */
int apart_add(struct job *job, uint64_t task, uint64_t death);
void apart_start(struct job *job); /* groups, as many as may run now */
void apart_leave(struct job *job); /* the crews of those that have ended */
void apart_fini(struct job *job); /* forget them all; their seats are given up */
uint64_t apart_tasks(const struct job *job); /* of groups that run, or may at once */
uint64_t apart_out(const struct job *job); /* of groups: handed out, and not back */
bool apart_has_work(const struct job *job); /* some are to be handed out */
uint64_t apart_remove(struct job *job, uint64_t from, uint64_t count); /* what is not out, as halves_remove() */
bool apart_may_begin(const struct job *job); /* one more of them, within -j: the main crew may still hold theirs. When a task of it
ends, settling kicks their crews. */

/* outcome.c: the callbacks of crew_ops, and what they share */
void outcome_ended(void *ctx, const struct crew_run *run);
void outcome_returned(void *ctx, void *user, uint64_t first, uint64_t count);
void outcome_lost(void *ctx, const struct crew_loss *loss);
void outcome_init_failed(void *ctx, struct crew *crew, void *user, const char *message);
void outcome_cancelled(void *ctx, void *user);
void outcome_put(struct job *job, uint64_t task, struct task_record *record, const void *data, size_t len);
/* Give every task that was not begun this end; in slices, the rest from the loop. */
void outcome_end_ready(struct job *job);
/* End it before all its tasks have ended; or, where that is under way, more urgently. */
void job_end_early(struct job *job, enum job_ending ending, enum job_urgency urgency);
void outcome_check_halt(struct job *job); /* have as many tasks failed as it bears? */
/* Never begun, or to be run again: ready. */
void outcome_ready_again(struct job_seat *seat, uint64_t first, uint64_t count);
/* At the daemon's end: what has a started mark and was not handed out is unbegun, and the disk is told. */
void outcome_unmark(struct job *job);
/* Run again, alone where the crew would put others beside it, and where alone does not change the order of tasks. */
void outcome_run_again(struct job_seat *seat, uint64_t task, bool alone);
struct task_history *history_of(struct job *job, uint64_t task); /* made where missing; NULL: out of memory */
uint16_t history_take_attempts(struct job *job, uint64_t task); /* and forget it */
void outcome_interrupted(struct job *job, uint64_t task);
void outcome_failed(struct job *job, uint64_t task, const char *text); /* it was never begun */

/* crash.c */
/* A death counts against this task: it runs again, alone, once the count is on disk (at once where none is kept there). */
void crash_record_then_run(struct job *job, const struct task_history *history);
int crash_recovered(struct job *job, const struct store_crash *crash); /* 0 or -ENOMEM */

/* stall.c */
void outcome_stall(void *ctx, const struct crew_stall *stall); /* of crew_ops */
void stall_task_ended(struct job *job, uint64_t task, int64_t end_ns); /* of a job with stalls */

/* retry.c */
/* Its plugin asks for another try. true: it waits for that; false: there is none left, or the job is ending. */
bool retry_later(struct job *job, const struct crew_ended *ended);
void retry_forget(struct job *job); /* the heap and its timer */

/* act.c */
int job_may_act(const struct job *job, struct error *err); /* 0, or why nothing can be done to it any more */
/* What is not begun is handed out no more, and the time limit stands still; and back, where nothing else holds it. */
void job_hold_back(struct job *job);
void job_let_go_on(struct job *job);

/* time_limit.c */
void job_clock_review(struct job *job); /* something was changed of what says whether it runs: it has begun, is paused, held ... */
void job_clock_stop(struct job *job); /* it has ended */
int64_t job_ran_ns(const struct job *job); /* so far: pauses do not count */
void job_timeout_change(struct job *job, int64_t ns); /* another limit from now on, in which what it has run counts. 0: none */

/* finish.c */
/* Results of ended jobs that are not on disk go out of memory: so much, and at most *most (counted down) segments. */
void finish_make_room(struct jobs *jobs, uint64_t bytes, uint32_t *most);
void finish_rest(int fd, short what, void *arg); /* jobs->rest_event */
void finish_rest_later(struct jobs *jobs); /* after a time in which nobody else calls this */
void job_check_end(struct job *job); /* starts the end of a job whose tasks have all ended */
/* Tell the disk what a restart must know of a living job: that it takes no more inputs, that it is being ended early. */
void job_record_course(struct job *job);
/* The same, and call on_written (may be NULL) when it is there; status 0 or -errno. At once where the job is not durable. */
void job_record_course_then(struct job *job, void (*on_written)(void *arg, int status), void *arg);
/* What job_record_course() wrote, read back. */
void job_resume_course(struct job *job, const char *error_code, const char *error_text);

/* An ended job that is not on disk goes: out of the table, and with the last one who looks at it. */
void job_forget_kept(struct job *job);

/* again.c */
int again_resolve(struct job *job, const struct job_spec *spec, struct error *err); /* of one with spec->like */
int again_format(const struct job *job, json_t *spec); /* 0, -ENOMEM */
void again_parse(struct job *job, const json_t *spec);
void again_continue(struct job *job); /* recovered while its inputs were being copied */
bool again_needs(const struct jobs *jobs, uint64_t id); /* the inputs of this job are being copied */
void again_let_go(struct jobs *jobs);

/* remove.c */
/* Remove a job that is on disk and has ended: as job_remove(). 0: on_done follows; -ENOMEM; -EBUSY: it is needed. */
int jobs_remove_stored(struct jobs *jobs, uint64_t id, void (*on_done)(void *arg, int status), void *arg);
bool remove_is_under_way(const struct jobs *jobs, uint64_t id);

/* retention.c */
struct retention;
int retention_start(struct jobs *jobs); /* 0, -ENOMEM; jobs->retention stays NULL where everything is kept for ever */
void retention_free(struct retention *retention); /* NULL is fine */
void retention_note_end(struct jobs *jobs); /* one more job has ended */

/* recover.c */
/* Unfinished jobs above this number, until it is that late (CLOCK_MONOTONIC). 1: there may be more; 0: that was all; -errno with
 * words. */
int recover_some(struct jobs *jobs, uint64_t *above, int64_t until_ns, struct error *err);
/* The job is being removed, or is not after all: to those reads of its row that are under way. */
void gets_note_removal(struct jobs *jobs, uint64_t id, bool removed);
/* A job as its row describes it: live or ended, not published, no task ready. NULL: out of memory or not readable, with
 * words. */
struct job *job_from_row(struct jobs *jobs, const struct store_recovered_job *row, struct error *err);

/* start.c */
void start_cancel(struct jobs *jobs); /* where it is under way: what is not here yet stays on the disk */

/* jobs.c */
/* While this many store operations wait, or this much in segments, no more tasks are handed out: outcomes must not outrun
 * the disk. Only our own count: when the last of them is reported, handing out goes on. */
#define STORE_BACKLOG 512
#define STORE_BACKLOG_BYTES (64u << 20)
void jobs_on_settled(void *ctx, struct crew *crew);
void jobs_settle_soon(struct jobs *jobs);
void job_flush_later(struct job *job); /* it has outcomes that are to go to the disk a little later, or its end is to be tried again */
void jobs_op_submitted(struct jobs *jobs);
void jobs_op_done(struct jobs *jobs);

#endif
