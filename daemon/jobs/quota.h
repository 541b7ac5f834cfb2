/* What is unfinished, in all and of each user, and how much of it the configuration allows.
 *
 * A job counts from the moment it is submitted until it has ended; its tasks until they have ended; the bytes of its
 * inputs as long as the job does, because they stay on the disk as long. Services count in none of these. Limits for one user
 * do not hold for root and for the user the daemon runs as, who may lift them anyway; those for all hold for everybody.
 *
 * Knows nothing of jobs; the control thread's. Each call costs the same whatever is counted.
 */
#ifndef CONCD_JOBS_QUOTA_H
#define CONCD_JOBS_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct error;
struct quota_user;

struct quota_count {
	uint64_t jobs;
	uint64_t tasks;
	uint64_t bytes;
};

struct quota {
	struct quota_count all;
	struct quota_user *users; /* those of whom something is unfinished, by uid */
};

/* What is asked for. */
struct quota_ask {
	uint32_t uid;
	struct quota_count count;
	uint64_t job; /* an open job that is to have these tasks too; 0: a new job */
	uint64_t job_bytes; /* that it has */
};

void quota_fini(struct quota *quota);
/* 0 or -ENOMEM, and then nothing was counted. */
int quota_add(struct quota *quota, uint32_t uid, const struct quota_count *count);
/* Of what was added. */
void quota_sub(struct quota *quota, uint32_t uid, const struct quota_count *count);

/* Is there room? 0; -EBUSY (busy): others have to end first, with the limit, its value, what there is and whose in words; -EMSGSIZE
 * (too-large): of an open job, waiting never makes room. An open job may have its piece, however many tasks that has, where no
 * task is unfinished: it never waits for nobody. */
int quota_check(const struct quota *quota, const struct config *config, const struct quota_ask *ask, struct error *err);
bool quota_is_exempt(uint32_t uid); /* from limits for one user */

/* Each user of whom something is unfinished, while fn returns 0. */
int quota_walk(const struct quota *quota, int (*fn)(void *arg, uint32_t uid, const struct quota_count *count), void *arg);

#endif
