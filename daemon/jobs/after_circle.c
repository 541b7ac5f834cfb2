/* Would a job wait for itself? Where its new predecessors wait for others, it must not be among those: all who follow it, by
 * whatever others, are gone through, and none of them may be a new predecessor. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <uthash.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "jobs/after_look.h"
#include "jobs/after_private.h"
#include "jobs/job.h"

#define MAX_MET 65536 /* jobs that follow it: some 20 ms */
#define SHOWN 8 /* jobs of a circle that are named */

struct met {
	uint64_t id;
	uint64_t follows; /* one of those that it does, and that was met before */
	UT_hash_handle hh;
};

static struct met *met_find(struct met *mets, uint64_t id)
{
	struct met *met;

	HASH_FIND(hh, mets, &id, sizeof(id), met);
	return met;
}

static int meet(struct met **mets, uint64_t id, uint64_t follows)
{
	struct met *met;

	if (met_find(*mets, id))
		return 0;
	if (HASH_COUNT(*mets) == MAX_MET)
		return -E2BIG;
	met = calloc(1, sizeof(*met));
	if (!met)
		return -ENOMEM;
	met->id = id;
	met->follows = follows;
	HASH_ADD(hh, *mets, id, sizeof(met->id), met);
	return 0;
}

/* The job itself and all who follow it. The table keeps the order in which they were added: it is the queue too. */
static int meet_followers(const struct jobs *jobs, uint64_t id, struct met **mets)
{
	int r = meet(mets, id, 0);

	for (const struct met *met = *mets; met && r == 0; met = met->hh.next) {
		const struct followed *followed = followed_find(jobs, met->id);
		const struct follower *follower;

		if (!followed)
			continue;
		LIST_FOREACH(follower, &followed->followers, link) {
			r = meet(mets, follower_id(follower), met->id);
			if (r < 0)
				break;
		}
	}
	return r;
}

/* "which follows job 9, which follows job 7" */
static int refuse(struct met *mets, uint64_t id, uint64_t predecessor, struct error *err)
{
	char text[SHOWN * 40] = "";
	size_t len = 0, left = 0;
	unsigned int shown = 0;

	for (const struct met *met = met_find(mets, predecessor); met && met->id != id; met = met_find(mets, met->follows)) {
		if (shown++ < SHOWN - 1 || met->follows == id)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s which follows job %" PRIu64, left > 0 ? " ..." : ",",
						met->follows);
		else
			left++;
	}
	return error_set(err, -EINVAL, "bad-request", "job %" PRIu64 " cannot follow job %" PRIu64 "%s: none of them would ever begin",
			 id, predecessor, text);
}

static bool waits(struct jobs *jobs, uint64_t id)
{
	const struct parked *parked;
	struct job *job;

	job = jobs_find(jobs, id);
	if (job)
		return !after_is_over(job);
	parked = parked_find(jobs, id);
	return parked && parked->wait && parked->wait->n_awaited > 0;
}

int after_circle(struct jobs *jobs, const struct job *job, const uint64_t *ids, size_t n, struct error *err)
{
	struct met *mets = NULL, *met, *next;
	bool possible = false;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		if (ids[i] == job->id)
			return error_set(err, -EINVAL, "bad-request", "job %" PRIu64 " cannot follow itself", job->id);
		possible = possible || waits(jobs, ids[i]);
	}
	if (!possible || !followed_find(jobs, job->id))
		return 0;
	r = meet_followers(jobs, job->id, &mets);
	if (r == -E2BIG)
		(void)error_set(err, r, "too-large", "more than %d jobs follow job %" PRIu64 ", by themselves or by others: whether one of "
				"them is among those that it is to follow is not looked for", MAX_MET, job->id);
	else if (r < 0)
		(void)error_set(err, r, "internal", "out of memory");
	for (size_t i = 0; i < n && r == 0; i++)
		if (met_find(mets, ids[i]))
			r = refuse(mets, job->id, ids[i], err);
	HASH_ITER(hh, mets, met, next) {
		HASH_DEL(mets, met);
		free(met);
	}
	return r;
}
