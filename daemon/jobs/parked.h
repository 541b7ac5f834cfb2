/* Parked jobs: those that wait far back in the queue are a short record in memory and otherwise only on disk.
 *
 * Jobs that would share a crew, or would each get a crew of the same shape, stand in one lot. Of each priority at most
 * PARK_WINDOW of them wait in their lane; what comes behind is parked, and loaded when fewer than PARK_REFILL are left
 * before it, when somebody looks at it (jobs_get()), and so before anything is done to it. The next one out is by
 * priority and by how long it has waited, as in a lane. No task of a lower priority is handed out while it is being
 * loaded (lot_goes_first()). Jobs with many tasks have their turns again and again without leaving their lane; whoever would
 * be before the next of them is loaded too, so that up to PARK_LIVE_MAX jobs take turns.
 *
 *	accepted ──> in its lane ──> begun          may park: on disk whole, nothing begun, nobody looks at it,
 *	                │  ^                                  no service
 *	                v  │
 *	               parked
 *
 * A job that may not begin yet, for its date, for jobs that it follows or because it is paused, is parked whatever waits
 * before it; what it waits for is known here too (parked_wait.h), and it stands in line when that is over.
 *
 * A parked job is unfinished like any other: it counts in limits, `status` and `list`. It is in jobs->parked and not in
 * jobs->table, so jobs_walk_newest() does not meet it; jobs_list_ended() does.
 */
#ifndef CONCD_JOBS_PARKED_H
#define CONCD_JOBS_PARKED_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/linear_hash.h"
#include "crew/model.h"
#include "jobs/turns.h"

#define PARK_WINDOW 64
#define PARK_REFILL 32
#define PARK_LIVE_MAX 1024 /* of a lot: so many in memory where those before it have their turns again and again */
#define PARK_MORE 16

struct job;
struct jobs;
struct lane;
struct lot_load;
struct parked_wait;
struct store_recovered_job;
struct unique;
struct workload;

struct lot_key {
	const struct workload *workload;
	struct shape shape;
	bool in_order, dedicated;
	bool unused[2]; /* zero: the key is compared as bytes */
};

struct lot {
	struct lot_key key;
	struct lane *lane; /* of its jobs that are in memory; NULL: none, or one for each (dedicated) */
	uint32_t n_live; /* its jobs that are in memory */
	uint32_t n_fresh; /* of these, with nothing begun, and nothing of their own that keeps them from it */
	uint32_t n_parked; /* with those that do not stand in line, and those that are being loaded */
	uint32_t n_paused; /* of these, by themselves */
	struct turns waiting; /* the others: in the order in which they are loaded */
	struct lot_load *loading; /* the next ones, being read; NULL: none */
	struct turn next; /* of these the first, as it was then */
	int32_t next_priority; /* the highest of them */
	bool failed; /* they could not be read; lots_event tries again */
	UT_hash_handle hh;
};

/* There may be very many: 72 bytes, which malloc() makes 80. */
struct parked {
	struct turn turn; /* in its lot, where it stands in line; has its id */
	struct hash_link link; /* jobs->parked, by turn.id */
	struct lot *lot;
	uint64_t input_bytes;
	struct parked_wait *wait; /* dates and the like; owned; NULL: none */
	struct unique *unique; /* its key; owned; NULL: none */
	bool paused;
	bool loading; /* it was in line, and its row is being read */
	uint32_t number; /* of its parking: what began to be read before is older than its row */
};

/* Of a job that may be parked one day, its lane as text (park_lane.h), to be kept in its row. "" else; malloc'ed; NULL: out of
 * memory. */
char *park_lane_of(const struct job *job);

/* A job is published, has begun, is unpublished: fine of any job, as often as it is. */
void lot_enter(struct job *job);
void lot_begun(struct job *job);
void lot_review(struct job *job); /* it waits for something of its own, or does no more */
void lot_leave(struct job *job);
void lot_seated(struct job *job, struct lane *lane); /* it has its seat, in this lane */

/* Park it if it may be and enough others come before it. n_own: references of the caller and of whom it knows. is_new: it was
 * accepted just now. true: the job is unpublished, and goes with the last of these. */
bool job_park(struct job *job, unsigned int n_own, bool is_new);
/* The same for a row at recovery. true: it is parked. */
bool park_row(struct jobs *jobs, const struct store_recovered_job *row);
/* When jobs->n_parkings was that, it was not parked yet: a row whose reading began then may be older than what was set since. */
bool parked_since(const struct parked *parked, uint32_t n_parkings);
/* The record of a parked job is there: make it a live one of its row. NULL: it cannot be read, which was logged. The
 * caller has a reference. */
struct parked *parked_find(const struct jobs *jobs, uint64_t id);
struct job *parked_take(struct parked *parked, struct jobs *jobs, const struct store_recovered_job *row);
/* What it waits for is over, perhaps: it stands in line where nothing else keeps it. And back. */
void parked_lines_up(struct jobs *jobs, struct parked *parked);
void parked_leaves_line(struct parked *parked);
/* Fewer may be left before the first of them: load some. Cheap where nothing is to be done. */
void lot_refill(struct jobs *jobs, struct lot *lot);
/* How many are parked, as people are told: those that a hold keeps back are paused. */
void lots_count(const struct jobs *jobs, uint64_t *ret_queued, uint64_t *ret_paused);
void lots_refill(struct jobs *jobs); /* every one of them */
/* Its lane has somebody with this turn, but one of higher priority comes first and is being loaded: the lane is kicked then. */
bool lot_goes_first(struct jobs *jobs, struct lot *lot, const struct turn *turn);
void lots_init(struct jobs *jobs);
void lots_close(struct jobs *jobs); /* frees all; no job is left */

#endif
