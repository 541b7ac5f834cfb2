/* One verb on many jobs: what `cancel`, `kill`, `pause`, `resume`, `set`, `rm` and `wait` have in common.
 *
 *	named: the ids ────────────────────────────┐
 *	described: live jobs, then pages of ended ──┴─> act on each (64 at once) ──> wait for each, if asked ──> summary
 *
 * The answer is a stream, one JSON line a job and a summary. What has not been told when the client leaves stays as it
 * is. Jobs of others are passed over where they are described, and refused where they are named; so are those whose state
 * does not allow it.
 */
#ifndef CONCD_CONTROL_SELECTION_H
#define CONCD_CONTROL_SELECTION_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "jobs/jobs.h"

struct call;
struct error;
struct job;
struct job_view;
struct query;
struct slot;

/* What the query says beside the selector. */
struct verb_options {
	bool wait; /* until it has ended */
	bool any; /* until one has */
	bool brief; /* lines with number and state only */
	bool selected; /* begin with which jobs these are */
	double timeout_s; /* of the waiting; negative: none */
	bool failed; /* retry: tasks that did not do only */
	json_t *said; /* a line for the beginning; nothing to act on is then no error. Owned by the selection. NULL: none */
	struct job_changes changes; /* set; its texts belong to the selection */
};

struct verb {
	const char *name;
	const char *words; /* in "there is no job to ..." */
	bool on_ended; /* descriptions select ended jobs, not live ones */
	bool on_ended_states; /* live ones, and those that have ended in a state that the description names */
	bool for_all; /* who may look may do it */
	bool ends_pauses; /* of single jobs: what is paused as a whole is said to be where it finds none */
	bool not_services; /* which never end: `all` and `state` do not mean them */
	bool (*fits)(const struct job_view *view, const struct verb_options *options); /* of what is described; NULL: all */
	/* Act. 0: done; 1: slot_done() follows, or was called; -errno with words. NULL: there is nothing to do but wait. */
	int (*act)(struct slot *slot, struct job *job, const struct verb_options *options, struct error *err);
	const char *removed; /* the job is gone afterwards: "removed":true is said of it */
};

/* The answer of an act() that returned 1; status 0 or -errno. */
void slot_done(struct slot *slot, int status, const struct error *err);
/* Say this of the job instead of what is usual; before slot_done(). Takes ownership; NULL: out of memory. */
void slot_says(struct slot *slot, json_t *line);
uint32_t slot_uid(const struct slot *slot); /* who asks */

/* Where all of a workload, or everything, is meant, and by somebody who may do that: hold or release it, and answer, after
 * a release with the selection. false: that was not the case, or nothing was held. (handle_hold.c) */
bool hold_start(const struct call *call, bool resume, const struct verb *verb, const struct verb_options *options);

/* Serve the request. */
void selection_start(const struct call *call, const struct verb *verb, const struct verb_options *options);

#endif
