/* Parked jobs: those that wait far back in the queue are a short record in memory and otherwise only on disk.
 *
 * Jobs that would share a crew, or would each get a crew of the same shape, stand in one lot. Of each priority at most
 * PARK_WINDOW of them wait in their lane; what comes behind is parked, and loaded when fewer than PARK_REFILL are left
 * before it, when somebody looks at it (jobs_get()), and so before anything is done to it. The next one out is by
 * priority and by how long it has waited, as in a lane.
 *
 *	accepted ──> in its lane ──> begun          may park: on disk whole, nothing begun, nobody looks at it,
 *	                │  ^                                  no date, no predecessor, no service
 *	                v  │                                  no unique key
 *	               parked
 *
 * A parked job is unfinished like any other: it counts in limits, `status` and `list`. It is in jobs->parked and not in
 * jobs->table, so jobs_walk() does not meet it; jobs_list_ended() does.
 */
#ifndef CONCD_JOBS_PARKED_H
#define CONCD_JOBS_PARKED_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "crew/model.h"
#include "jobs/turns.h"

#define PARK_WINDOW 64
#define PARK_REFILL 32
#define PARK_LANE_BYTES (SHAPE_TEXT_BYTES + 2) /* of a lane's text */

struct job;
struct jobs;
struct lane;
struct lot_load;
struct store_recovered_job;
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
	uint32_t n_fresh; /* of these, with nothing begun */
	uint32_t n_parked; /* with the paused ones, and those that are being loaded */
	struct turns waiting; /* the others: in the order in which they are loaded */
	struct lot_load *loading; /* the next ones, being read; NULL: none */
	UT_hash_handle hh;
};

struct parked {
	struct turn turn; /* in its lot, unless it is paused or being loaded; has its id */
	struct lot *lot;
	uint64_t input_bytes;
	bool paused;
	UT_hash_handle hh; /* jobs->parked, by turn.id */
};

/* Of a job that may be parked one day, its lane as text, to be kept in its row: a restart parks it without looking at more.
 * "" else. */
void park_lane_format(const struct job *job, char ret_text[PARK_LANE_BYTES]);

/* A job is published, has begun, is unpublished: fine of any job, as often as it is. */
void lot_enter(struct job *job);
void lot_begun(struct job *job);
void lot_leave(struct job *job);
void lot_seated(struct job *job, struct lane *lane); /* it has its seat, in this lane */

/* Park it if it may be and enough others come before it. n_own: references of the caller and of whom it knows. is_new: it was
 * accepted just now. true: the job is unpublished, and goes with the last of these. */
bool job_park(struct job *job, unsigned int n_own, bool is_new);
/* The same for a row at recovery. true: it is parked. */
bool park_row(struct jobs *jobs, const struct store_recovered_job *row);
/* The record of a parked job is there: make it a live one of its row. NULL: it cannot be read, which was logged. The
 * caller has a reference. */
struct parked *parked_find(const struct jobs *jobs, uint64_t id);
struct job *parked_take(struct parked *parked, struct jobs *jobs, const struct store_recovered_job *row);
/* Fewer may be left before the first of them: load some. Cheap where nothing is to be done. */
void lot_refill(struct jobs *jobs, struct lot *lot);
void lots_refill(struct jobs *jobs); /* every one of them */
void lots_close(struct jobs *jobs); /* frees all; no job is left */

#endif
