/* The jobs of a worker process: a short list, because a crew serves few jobs at once. */
#include "jobtable.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "crew/wire.h"
#include "worker/params.h"

#define NO_MEMORY_NAP_NS 1000000

struct jobtable {
	struct params *plain_params; /* constant */
	pthread_mutex_t lock;
	pthread_cond_t learnt;

	/* Under the lock. Newest first; jobs no longer listed stay until their last reference is gone. */
	struct worker_job *first;
};

int jobtable_open(struct params *plain_params, struct jobtable **ret_table)
{
	struct jobtable *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->plain_params = plain_params;
	(void)pthread_mutex_init(&table->lock, NULL); /* neither can fail with default attributes */
	(void)pthread_cond_init(&table->learnt, NULL);
	*ret_table = table;
	return 0;
}

static void free_job(struct worker_job *job)
{
	if (!job->plain)
		params_free(job->params);
	free(job);
}

void jobtable_close(struct jobtable *table)
{
	if (!table)
		return;
	while (table->first) {
		struct worker_job *job = table->first;

		table->first = job->next;
		free_job(job);
	}
	(void)pthread_cond_destroy(&table->learnt); /* nobody waits */
	(void)pthread_mutex_destroy(&table->lock);
	free(table);
}

static struct worker_job *find_locked(struct jobtable *table, uint64_t id)
{
	for (struct worker_job *job = table->first; job; job = job->next)
		if (job->listed && job->id == id)
			return job;
	return NULL;
}

static void drop_if_unused_locked(struct jobtable *table, struct worker_job *job)
{
	struct worker_job **at = &table->first;

	if (job->listed || job->refs > 0)
		return;
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	free_job(job);
}

static void unlist_locked(struct jobtable *table, uint64_t id)
{
	struct worker_job *job = find_locked(table, id);

	if (!job)
		return;
	job->listed = false;
	drop_if_unused_locked(table, job);
}

int jobtable_add(struct jobtable *table, const struct worker_job *job)
{
	struct worker_job *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	copy->id = job->id;
	copy->workers = job->workers;
	copy->flags = job->flags;
	copy->task_timeout_ns = job->task_timeout_ns;
	copy->grace_ns = job->grace_ns;
	copy->params = job->params; /* the table's from here */
	copy->listed = true;
	(void)pthread_mutex_lock(&table->lock); /* a default mutex does not fail */
	unlist_locked(table, job->id);
	copy->next = table->first;
	table->first = copy;
	(void)pthread_cond_broadcast(&table->learnt);
	(void)pthread_mutex_unlock(&table->lock);
	return 0;
}

void jobtable_forget(struct jobtable *table, uint64_t id)
{
	(void)pthread_mutex_lock(&table->lock);
	unlist_locked(table, id);
	(void)pthread_mutex_unlock(&table->lock);
}

/* NULL: out of memory. */
static struct worker_job *add_plain_locked(struct jobtable *table, uint64_t id)
{
	struct worker_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->id = id;
	job->params = table->plain_params;
	job->plain = true;
	job->listed = true;
	job->next = table->first;
	table->first = job;
	return job;
}

int jobtable_cancel(struct jobtable *table, uint64_t id, uint32_t reason)
{
	bool known;

	(void)pthread_mutex_lock(&table->lock);
	/* A job that was not announced is plain; a task of it may have begun that has not come to its look-up. */
	known = find_locked(table, id) || add_plain_locked(table, id);
	for (struct worker_job *job = table->first; job; job = job->next)
		if (job->id == id)
			atomic_store_explicit(&job->cancel, reason, memory_order_relaxed); /* see the header */
	(void)pthread_mutex_unlock(&table->lock);
	return known ? 0 : -ENOMEM;
}

int64_t jobtable_shortest_timeout_ns(struct jobtable *table)
{
	int64_t shortest = 0;

	(void)pthread_mutex_lock(&table->lock);
	for (struct worker_job *job = table->first; job; job = job->next)
		if (job->task_timeout_ns > 0 && (shortest == 0 || job->task_timeout_ns < shortest))
			shortest = job->task_timeout_ns;
	(void)pthread_mutex_unlock(&table->lock);
	return shortest;
}

static struct worker_job *get_plain_locked(struct jobtable *table, uint64_t id, uint32_t workers)
{
	const struct timespec nap = { .tv_nsec = NO_MEMORY_NAP_NS };
	struct worker_job *job;

	while (!(job = find_locked(table, id)) && !(job = add_plain_locked(table, id))) {
		/* Its task is begun and has to end somehow: others may give memory back. */
		(void)pthread_mutex_unlock(&table->lock);
		(void)nanosleep(&nap, NULL);
		(void)pthread_mutex_lock(&table->lock);
	}
	if (job->refs == 0) /* nobody reads it yet */
		job->workers = workers;
	return job;
}

struct worker_job *jobtable_get(struct jobtable *table, uint64_t id, uint32_t chunk_flags)
{
	struct worker_job *job;

	(void)pthread_mutex_lock(&table->lock);
	if (chunk_flags & WIRE_CHUNK_PLAIN) {
		job = get_plain_locked(table, id, chunk_flags & ~WIRE_CHUNK_PLAIN);
	} else {
		while (!(job = find_locked(table, id)))
			(void)pthread_cond_wait(&table->learnt, &table->lock);
	}
	job->refs++;
	(void)pthread_mutex_unlock(&table->lock);
	return job;
}

void jobtable_put(struct jobtable *table, struct worker_job *job)
{
	(void)pthread_mutex_lock(&table->lock);
	job->refs--;
	/* relaxed: it is set under this lock */
	if (job->plain && job->refs == 0 && atomic_load_explicit(&job->cancel, memory_order_relaxed) == 0)
		job->listed = false; /* the next chunk says again what it is */
	drop_if_unused_locked(table, job);
	(void)pthread_mutex_unlock(&table->lock);
}
