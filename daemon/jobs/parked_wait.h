/* What a parked job waits for besides its turn: dates, jobs that it follows. Most parked jobs have none of it.
 *
 * It stands in its lot's line only once nothing of this keeps it from beginning. One that is to end before that, because it
 * expires or because a job that it follows ended badly, is due: it is loaded as soon as possible, whatever waits before it,
 * and ends as a live job. Those that are due are loaded a few at a time, and more only when the disk has got on with their ends.
 */
#ifndef CONCD_JOBS_PARKED_WAIT_H
#define CONCD_JOBS_PARKED_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "jobs/after_private.h"
#include "jobs/dates.h"

struct job;
struct jobs;
struct park_lane;
struct parked;

struct parked_wait {
	struct parked *parked;
	struct date date; /* the next one, in jobs->parked_dates */
	int64_t expires_unix_us; /* 0: never */
	STAILQ_ENTRY(parked_wait) due_link; /* jobs->parked_due */
	uint64_t broken_by; /* a job that it follows and that ended badly; 0: none did */
	uint8_t broken_state; /* how: enum job_state; JOB_OPEN: nobody knows any more */
	bool delayed : 1; /* its date to begin has not come */
	bool after_any : 1; /* it does not matter how they end */
	bool is_due : 1; /* in jobs->parked_due */
	uint16_t n_awaited; /* of followers[]: those that have not ended */
	uint16_t n;
	struct follower followers[];
};

/* Of a live job that is to be parked. 0: there may be nothing, *ret_wait NULL; -ENOMEM. */
int parked_wait_new(struct job *job, struct parked_wait **ret_wait);
/* The same at recovery, of job `id`. 0; -ENOMEM; -EAGAIN: what it follows has to be looked at more closely: it cannot be parked now. */
int parked_wait_recover(struct jobs *jobs, uint64_t id, const struct park_lane *lane, struct parked_wait **ret_wait);
void parked_wait_free(struct jobs *jobs, struct parked_wait *wait); /* NULL is fine */

bool parked_wait_keeps(const struct parked_wait *wait); /* it does not stand in line; NULL: it does */
bool parked_wait_awaits(const struct parked_wait *wait, uint64_t id); /* this one has not ended; NULL: it has */

/* It belongs to a record now: what came meanwhile is acted on. */
void parked_wait_start(struct jobs *jobs, struct parked_wait *wait);
/* The job is live again, and its record is going. wait may be NULL. */
void parked_wait_hand_over(struct parked_wait *wait, struct job *job);
/* The same of a job that is only looked at. */
void parked_wait_describe(const struct parked_wait *wait, struct job *job);

void parked_predecessor_ended(struct jobs *jobs, struct follower *follower, enum job_state state);
void parked_on_alarm(struct jobs *jobs); /* dates have come, or the clock was set */
void parked_due_go_on(struct jobs *jobs); /* load some of those that are due; cheap where there are none */
void parked_due_close(struct jobs *jobs);

#endif
