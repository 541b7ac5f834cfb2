/* Who follows whom: what after.c and parked_wait.c share. */
#ifndef CONCD_JOBS_AFTER_PRIVATE_H
#define CONCD_JOBS_AFTER_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/linear_hash.h"
#include "jobs/jobs.h"

struct parked_wait;

/* Somebody who waits for the end of a job. */
struct follower {
	LIST_ENTRY(follower) link; /* of its followers */
	struct followed *followed; /* NULL: it does not wait */
	struct parked_wait *wait; /* of a parked one; NULL: it is a member of a struct after */
};

/* A job that others wait for. */
struct followed {
	uint64_t id;
	bool has_ended; /* they are being told, in jobs->ended_followed: */
	bool breaks; /* to some of them it is bad news: it must not be removed before they have it */
	enum job_state state; /* so it ended */
	STAILQ_ENTRY(followed) next;
	LIST_HEAD(, follower) followers;
	struct hash_link link; /* jobs->followed */
};

/* One predecessor of one job in memory. */
struct after {
	struct job *job; /* the follower, which has this */
	uint64_t id;
	bool forgotten; /* it is not durable: forgotten with its daemon */
	bool ended;
	struct follower follower;
};

struct afters {
	bool any; /* however they end */
	bool broken; /* one ended badly, and the job ends for it */
	uint32_t n_awaited; /* not known to have ended */
	uint32_t n_looking; /* not known yet whether they are there */
	int status; /* of looking for them: the first that is wrong, and which */
	uint64_t culprit;
	uint64_t breaker; /* the one that broke it, kept from being removed until that is on disk; 0: none */
	void (*on_found)(struct job *job, void *arg); /* once, when n_looking is 0; NULL: nobody waits for that */
	void *arg;
	uint32_t n;
	uint64_t *ids; /* of all of them; behind at[] */
	struct after at[]; /* n */
};

/* n: at most so many. NULL: out of memory. */
struct afters *afters_new(size_t n, bool any);
struct after *afters_add(struct afters *afters, struct job *job, uint64_t id); /* the one that it has already, where it has it */
void afters_free(struct jobs *jobs, struct afters *afters); /* they wait for none any more; NULL is fine */

struct followed *followed_find(const struct jobs *jobs, uint64_t id); /* NULL: nobody waits for it */
uint64_t follower_id(const struct follower *follower); /* which job it is of */
int follower_wait(struct jobs *jobs, struct follower *follower, uint64_t id); /* 0 or -ENOMEM */
void follower_leave(struct jobs *jobs, struct follower *follower); /* fine on one that does not wait */

/* Somebody is to end because job `id` ended badly, and the disk does not know it yet: the job cannot be removed until then. */
void breaking_begin(struct jobs *jobs, uint64_t id);
void breaking_end(struct jobs *jobs, uint64_t id);

#endif
