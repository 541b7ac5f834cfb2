/* Services: jobs with one task that is meant never to end. Private to daemon/jobs; the control thread's.
 *
 *	        begin                 the task ended, was lost, or could not be prepared; or it is told to stop
 *	DOWN ──────────> UP ──────────────────────────────────────────────────────────────────> LEAVING
 *	  ^                                                                                        │
 *	  └────────────────────── its task has come back, its seat is given up ────────────────────┘
 *
 * There is one job for each stanza with `service = true`: made when there is none, kept over restarts of the daemon by
 * its row in the store, which says that it is a service and of which stanza. While it is up it has a seat in a crew of
 * its own; every start is a new crew and so a new worker process. Its one task has no outcome until the job itself is
 * ended: what would be one is a reason to start again, after a back-off where nobody asked for it (service_delay.h).
 * Counts are of this daemon's life.
 */
#ifndef CONCD_JOBS_SERVICE_H
#define CONCD_JOBS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crew_ended;
struct crew_loss;
struct error;
struct job;
struct job_log;
struct job_spec;
struct jobs;
struct service;
struct service_view;

/* Make the job a service. 0 or -ENOMEM. */
int service_init(struct job *job);
void service_fini(struct job *job); /* fine on a job that is none */
void service_note_line(struct job *job, const struct job_log *log); /* the last of its log */
void service_keep_down(struct job *job); /* a recovered one that is paused, or held */

/* The model of a service of this workload, for its specification. */
const char *service_model(const char *model_of_stanza);
/* May this specification be submitted for this workload? 0, or -EINVAL with words: a service is not run by hand. */
int service_check_spec(struct jobs *jobs, const struct job_spec *spec, struct error *err);

/* After the recovery: end the services that have no stanza any more, give the others what their stanza says now, and make
 * those that are missing (they are on disk and begin later). */
void services_start(struct jobs *jobs);
/* Nobody is answered any more: the daemon ends. */
void services_let_go(struct jobs *jobs);

/* ---- What happens to its task. All of these: false where the job is no service or is being ended, and the task gets an
 * outcome as any other. ---- */
bool service_ended(struct job *job, const struct crew_ended *ended);
bool service_lost(struct job *job, const struct crew_loss *loss, const char *what);
bool service_init_failed(struct job *job, const char *message); /* the task is ready again already */
bool service_start_failed(struct job *job, const char *message); /* likewise */

/* ---- For scheduling and settling ---- */
bool service_is_up(const struct job *job); /* true also of a job that is none */
/* What remains once the present news has been dealt with: the last step of settling a job. */
void service_settle(struct job *job);
/* Why it is down, in words; NULL: it is not, or nobody knows. */
const char *service_waiting(const struct job *job, char *scratch, size_t scratch_bytes);
void service_view(const struct job *job, struct service_view *ret_view);
/* The living one of that workload; NULL: none, or it is being ended. */
struct job *services_find(const struct jobs *jobs, const char *workload);
/* Living ones; of these, those that fail as often as service_view() says. */
void services_count(const struct jobs *jobs, uint64_t *ret_all, uint64_t *ret_failing);

/* job_pause() and job_resume() of a service, after their checks. */
int service_pause(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err);
void service_resume(struct job *job); /* also of one whose workload is not held any more */
/* Its workload is held: it is asked to end, and stays down. */
void service_hold(struct job *job);
/* Call on_done, as that of service_pause(), when one that is kept down has come down. false: it has, and on_done is not called. */
bool service_wait_until_down(struct job *job, void (*on_done)(void *arg, int status), void *arg);

#endif
