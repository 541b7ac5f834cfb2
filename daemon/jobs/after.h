/* Jobs that follow others. Private to daemon/jobs; the story is in after.c. */
#ifndef CONCD_JOBS_AFTER_H
#define CONCD_JOBS_AFTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "jobs/jobs.h"

struct parked_wait;

void after_init(struct jobs *jobs); /* nothing is left of it once nobody follows anybody */
/* Look for the jobs that it follows. 0: all are there; 1: on_found (may be NULL) follows, and then after_status(); -errno: one
 * is not, see after_status(). */
int after_find(struct job *job, void (*on_found)(struct job *job, void *arg), void *arg);
int after_status(const struct job *job, struct error *err); /* 0, -ENOENT, -EIO, -ENOMEM with words */
/* To its followers: some at once, more of them from the loop. */
void after_job_ended(struct jobs *jobs, uint64_t id, enum job_state state);
void after_go_on(struct jobs *jobs); /* the store has caught up a little: where somebody waits to be told for that */
void after_close(struct jobs *jobs);
void after_break(struct job *job); /* end it, where one of them was found to have ended badly */
/* The same, because of this one. */
void after_broken_by(struct job *job, uint64_t predecessor, enum job_state state);
void after_unparked(struct job *job, const struct parked_wait *wait); /* those that this awaits have not ended */
bool after_needs(const struct jobs *jobs, uint64_t id); /* jobs are to end for its sake, and the disk does not know it */
bool after_forgets(const struct job *job); /* one of them is forgotten by a restart */
bool after_is_over(const struct job *job); /* all that it follows have ended */
void after_forget(struct job *job); /* it waits for none any more */
void after_free(struct job *job);
bool after_is_looked_for(const struct job *job); /* it is not known yet whether all of them are there */
int after_resolve(struct job *job, const struct job_spec *spec, struct error *err);
int after_format(const struct job *job, json_t *spec);
int after_parse(struct job *job, const json_t *spec);
void after_view(const struct job *job, struct job_view *view);
/* "it begins when job 3 has succeeded", where `begin` is "it begins"; NULL, and scratch as it was: it follows none any more. */
const char *after_waiting(const struct job *job, const char *begin, char *scratch, size_t scratch_bytes);

#endif
