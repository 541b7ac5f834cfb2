/* Limits on the tasks of a workload in all its jobs together, and on all tasks: how many run at once, how many begin in
 * a second.
 *
 * What runs is counted in workers that the tasks handed out keep busy, lane by lane: exactly for the lane that asks, and
 * for the others as of the last news from their crews, which is never too few. A lane that is refused waits in the
 * throttle's line, and its crew is kicked when there is room again: work is conserved, whoever comes first in line is
 * asked first.
 *
 * The rate is a bucket of tokens, one for each task, that holds a tenth of a second's worth (one at least): so much may
 * begin together after a pause, and otherwise tasks are evenly spread. A task that comes back unbegun gives its token back.
 */
#ifndef CONCD_JOBS_THROTTLE_H
#define CONCD_JOBS_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <uthash.h>

struct event;
struct job;
struct jobs;
struct lane;
struct workload;

TAILQ_HEAD(lane_line, lane);

struct throttle {
	const struct workload *workload; /* NULL: of all of them */
	uint64_t max_running; /* 0: no limit */
	uint64_t running;
	double rate; /* tasks a second; 0: no limit */
	double tokens;
	int64_t filled_ns; /* tokens are those of this time */
	struct event *event; /* when there will be a token */
	struct lane_line line;
	UT_hash_handle hh;
};

/* The limits of all tasks: jobs->throttle. */
void throttle_init(struct throttle *throttle, uint64_t max_running);
/* That of a workload, made where missing; NULL: out of memory. It stays: what began a moment ago is not forgotten. */
struct throttle *throttle_get(struct jobs *jobs, const struct workload *workload);
void throttles_close(struct jobs *jobs); /* no lane is left */

/* How many of these tasks the lane's crew may be given now. 0: none, and it is in line. */
uint32_t throttle_allows(struct jobs *jobs, struct lane *lane, uint32_t tasks);
void throttle_took(struct jobs *jobs, struct lane *lane, uint32_t tasks); /* they are handed out */
void throttle_returned(struct lane *lane, uint64_t tasks); /* they came back unbegun */
void throttle_settled(struct jobs *jobs, struct lane *lane); /* there was news from its crew */
void throttle_leave(struct lane *lane); /* the line: it has nothing to give */
void throttle_forget(struct jobs *jobs, struct lane *lane); /* the lane goes */
/* Why this lane is refused; false: it is not. */
bool throttle_waiting(const struct lane *lane, char *scratch, size_t scratch_bytes);

#endif
