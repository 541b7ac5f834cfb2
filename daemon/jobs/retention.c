/* Ended jobs are kept for a time and up to a number; then they go.
 *
 *	timer, or enough jobs have ended ──> page ──> remove what is due of it ──> next page ... ──> timer
 *	                                     newest first; those that ended last are remembered
 *
 * One page at a time and its removals before the next: a store with a million ended jobs is never held up. The rows of
 * removed jobs go in slices of the store's own. What counts for the number is when they ended: a job that ran for days, and that many
 * others have overtaken, is a new one when it ends. A job whose results somebody reads stays until he has them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "config.h"
#include "jobs/job.h"
#include "jobs/latest.h"
#include "store/store.h"

#define PAGE 200 /* rows looked at in one go */
#define FIRST_LOOK_NS (1 * NS_PER_S) /* after the start */
#define LONGEST_NS (60 * NS_PER_S) /* between two looks */
#define SHORTEST_NS (250 * NS_PER_MS)
#define ENDED_MAX 500 /* ends that bring a look forward */

struct retention {
	struct jobs *jobs;
	struct event *timer;
	int64_t interval_ns;
	uint64_t ended_since; /* the last look began */
	bool looking;

	struct store_read read; /* of the page */
	uint64_t below, removed;
	struct latest kept; /* of the rows so far, by number alone */
	uint32_t rows; /* of the last page */
	uint32_t out; /* removals not reported */
};

static int64_t age_limit_ns(const struct config *config, const char *workload)
{
	const struct workload_config *stanza = config_find_workload(config, workload);

	return stanza ? stanza->keep_age_ns : config->defaults.keep_age_ns;
}

static void arm(struct retention *r, int64_t ns)
{
	struct timeval tv = { .tv_sec = ns / NS_PER_S, .tv_usec = ns % NS_PER_S / NS_PER_US };

	if (evtimer_add(r->timer, &tv) < 0)
		log_warning("jobs: no timer for removing old jobs, the next end tries again: out of memory");
}

static void look_done(struct retention *r)
{
	if (r->removed > 0)
		log_info("jobs: %" PRIu64 " ended jobs removed: older or more than `keep` allows", r->removed);
	r->looking = false;
	latest_fini(&r->kept);
	arm(r, r->interval_ns);
}

static void next_page(struct retention *r);

static void go_on(struct retention *r)
{
	if (r->out > 0)
		return;
	if (r->rows == PAGE && !r->jobs->stopping)
		next_page(r);
	else
		look_done(r);
}

static void on_removed(void *arg, int status)
{
	struct retention *r = arg;

	r->removed += status == 0; /* else the next look finds it again */
	r->out--;
	go_on(r);
}

/* Which job is due now that this row is known: its own, or one of a row before it. 0: none. */
static uint64_t find_due(struct retention *r, const struct store_recovered_job *row, int64_t now_us)
{
	const struct config *config = r->jobs->config;
	int64_t age_ns = age_limit_ns(config, row->job.workload);
	uint64_t due;

	if (age_ns > 0 && now_us - row->state.ended_unix_us > age_ns / NS_PER_US)
		return row->job.id;
	if (config->keep_jobs == 0 || latest_add(&r->kept, row->state.ended_unix_us, row->job.id, &due) <= 0)
		return 0; /* without memory none is due now */
	return due;
}

static bool is_read(const struct jobs *jobs, uint64_t id)
{
	const struct job *job;

	TAILQ_FOREACH(job, &jobs->opened, opened_link)
		if (job->id == id && job->watches)
			return true;
	return false;
}

static void on_page(struct store_read *read, int status)
{
	struct retention *r = container_of(read, struct retention, read);
	struct jobs *jobs = r->jobs;
	int64_t now_us = clock_unix_us();

	r->rows = status == 0 ? (uint32_t)read->n_jobs : 0;
	r->out = 1; /* until all are asked for */
	for (size_t i = 0; i < r->rows && !jobs->stopping; i++) {
		uint64_t due = find_due(r, &read->jobs[i], now_us);

		r->below = read->jobs[i].job.id;
		if (due == 0 || is_read(jobs, due))
			continue;
		r->out++;
		if (jobs_remove_stored(jobs, due, on_removed, r) < 0)
			r->out--; /* the next look tries again */
	}
	store_read_fini(read);
	r->out--;
	jobs_op_done(jobs);
	go_on(r);
}

static void next_page(struct retention *r)
{
	r->read = (struct store_read){ .type = STORE_READ_JOBS, .below = r->below, .limit = PAGE, .on_done = on_page };
	jobs_op_submitted(r->jobs);
	store_read(r->jobs->store, &r->read);
}

static void look(struct retention *r)
{
	if (r->looking || r->jobs->stopping)
		return;
	r->looking = true;
	r->ended_since = r->below = r->removed = 0;
	latest_init(&r->kept, (size_t)r->jobs->config->keep_jobs);
	next_page(r);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* a timer, or made active */
	(void)what;
	look(arg);
}

/* A quarter of the shortest age, within bounds; 0: nothing is ever removed. */
static int64_t interval_ns(const struct config *config)
{
	int64_t shortest = config->defaults.keep_age_ns, ns;

	for (size_t i = 0; i < config->n_workloads; i++) {
		int64_t age = config->workloads[i].keep_age_ns;

		if (age > 0 && (shortest == 0 || age < shortest))
			shortest = age;
	}
	if (shortest == 0)
		return config->keep_jobs > 0 ? LONGEST_NS : 0;
	ns = shortest / 4;
	return ns > LONGEST_NS ? LONGEST_NS : ns < SHORTEST_NS ? SHORTEST_NS : ns;
}

int retention_start(struct jobs *jobs)
{
	struct retention *r;
	int64_t ns = interval_ns(jobs->config);

	if (ns == 0)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->jobs = jobs;
	r->interval_ns = ns;
	r->timer = event_new(loop_base(jobs->loop), -1, 0, on_timer, r);
	if (!r->timer) {
		free(r);
		return -ENOMEM;
	}
	arm(r, FIRST_LOOK_NS);
	jobs->retention = r;
	return 0;
}

void retention_free(struct retention *r)
{
	if (!r)
		return;
	event_free(r->timer);
	latest_fini(&r->kept);
	free(r);
}

void retention_note_end(struct jobs *jobs)
{
	struct retention *r = jobs->retention;
	uint64_t enough = jobs->config->keep_jobs / 20;

	if (!r || jobs->config->keep_jobs == 0)
		return;
	r->ended_since++;
	if (r->ended_since >= (enough > ENDED_MAX ? ENDED_MAX : enough > 0 ? enough : 1) && !r->looking)
		event_active(r->timer, EV_TIMEOUT, 0);
}
