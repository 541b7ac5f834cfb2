/* Of what parked jobs wait for besides their turn, and of keys, there is nothing in test_parked.c. */
#include "unit.h"

#include <errno.h>

#include "jobs/job.h"
#include "jobs/park_lane.h"

int parked_wait_new(struct job *job, struct parked_wait **ret_wait)
{
	(void)job;
	*ret_wait = NULL;
	return 0;
}

int parked_wait_recover(struct jobs *of, uint64_t id, const struct park_lane *text, struct parked_wait **ret_wait)
{
	(void)of;
	(void)id;
	(void)text;
	*ret_wait = NULL;
	return 0;
}

void parked_wait_free(struct jobs *of, struct parked_wait *wait)
{
	(void)of;
	assert_null(wait);
}

bool parked_wait_keeps(const struct parked_wait *wait)
{
	(void)wait;
	return false;
}

void parked_wait_start(struct jobs *of, struct parked_wait *wait)
{
	(void)of;
	(void)wait;
}

void parked_wait_hand_over(struct parked_wait *wait, struct job *job)
{
	(void)wait;
	(void)job;
}

void parked_due_go_on(struct jobs *of)
{
	(void)of;
}

const char *unique_key(const struct job *job)
{
	(void)job; /* none has a key */
	return NULL;
}

struct unique *unique_park(struct job *job)
{
	(void)job;
	return NULL;
}

void unique_unpark(struct job *job, struct unique *unique)
{
	(void)job;
	(void)unique;
	fail();
}

int unique_recover(struct jobs *of, const struct store_recovered_job *row, const char *key, struct unique **ret_unique)
{
	(void)of;
	(void)row;
	(void)key;
	(void)ret_unique;
	fail();
	return -ENOMEM;
}

void unique_drop(struct jobs *of, struct unique *unique)
{
	(void)of;
	assert_null(unique);
}
