/* What a living job is to follow from now on: its new predecessors are looked for, and then become its own.
 *
 *	after_look_new() ──> after_look_start() ──> on_found ──> after_look_take() ──> after_look_break()
 *
 * All of them are looked at anew in the turn of the loop in which on_found is called, so what after_look_take() gives is true as
 * long as that turn lasts. The control thread's.
 */
#ifndef CONCD_JOBS_AFTER_LOOK_H
#define CONCD_JOBS_AFTER_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct afters;
struct after_look;
struct error;
struct job;
struct jobs;

/* any: however they end. The caller keeps `job`, and the ids are copied, each once. NULL: out of memory. */
struct after_look *after_look_new(struct job *job, const uint64_t *ids, size_t n, bool any);
void after_look_free(struct after_look *look); /* NULL is fine; not while it looks */
/* on_found is called once, perhaps before this returns. */
void after_look_start(struct after_look *look, void (*on_found)(void *arg), void *arg);
/* The predecessors; the job is among the followers of those that have not ended, and afters_free() ends that. 0; or, with words,
 * -ENOENT (no-such-job), -EINVAL (bad-request: somebody would wait for himself), -E2BIG (too-large), -ENOMEM, -EIO. */
int after_look_take(struct after_look *look, struct afters **ret_afters, struct error *err);
/* The job follows them now: it ends, where that counts and one of them ended badly before. */
void after_look_break(struct after_look *look);

/* after_circle.c: would some of these jobs wait for themselves if `job` followed them? 0; -EINVAL, -E2BIG with words. */
int after_circle(struct jobs *jobs, const struct job *job, const uint64_t *ids, size_t n, struct error *err);

#endif
