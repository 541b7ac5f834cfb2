/* Which jobs a verb on many is meant for. */
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/error.h"
#include "control/selection_private.h"
#include "crew/workload.h"
#include "jobs/jobs.h"

#define LOOK 2048 /* live jobs looked at before others have their turn */
#define PAGE 200 /* ended and parked jobs asked of the store at once */

static void add_id(struct selection *s, uint64_t id)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		uint64_t *ids = reallocarray(s->ids, cap, sizeof(*ids));

		if (!ids) {
			s->failed = true;
			return;
		}
		s->ids = ids;
		s->cap = cap;
	}
	s->ids[s->n++] = id;
}

/* Is it of those that have ended, or have not, whichever the verb means? */
static bool is_of_age(const struct selection *s, enum job_state state)
{
	if (s->verb->on_ended_states && s->selector.states & 1u << state)
		return true;
	return job_state_ended(state) == s->verb->on_ended;
}

static bool means_ended(const struct selection *s)
{
	const unsigned int ended = 1u << JOB_DONE | 1u << JOB_FAILED | 1u << JOB_CANCELLED;

	return s->verb->on_ended || (s->verb->on_ended_states && s->selector.states & ended);
}

static bool wanted(const struct selection *s, const struct job_view *view)
{
	if (view->service.is_service && s->verb->not_services && !s->selector.workload && !s->selector.label)
		return false;
	return is_of_age(s, view->state) && !view->removed &&
	       (s->verb->for_all || call_may(&s->call, view->uid)) && (!s->verb->fits || s->verb->fits(view, &s->options)) &&
	       selector_fits(&s->selector, view);
}

static int on_live(void *arg, struct job *job)
{
	struct selection *s = arg;
	struct job_view view;

	job_view(job, &view);
	if (wanted(s, &view))
		add_id(s, view.id);
	return s->failed ? -ENOMEM : 0;
}

static int on_hold(void *arg, const char *workload, int64_t since_unix_us)
{
	(void)workload; /* one is enough */
	(void)since_unix_us;
	*(bool *)arg = true;
	return 1;
}

static bool is_held(const struct selection *s)
{
	bool held = false;

	(void)jobs_walk_holds(s->jobs, on_hold, &held); /* what on_hold() returned */
	return held;
}

/* Descriptions that fit nothing are an error, so that a misspelt one is seen; `all` of nothing is none. */
static void found(struct selection *s)
{
	const struct workload *workload;
	struct error err = ERROR_INIT;
	int r = 0;

	if (!s->call.req) {
		selection_free(s);
		return;
	}
	if (s->failed) {
		selection_refuse(s, -ENOMEM, NULL);
		return;
	}
	s->n = selector_sort(s->ids, s->n); /* those in memory may have been told twice */
	if (s->n == 0 && s->selector.workload)
		r = workloads_find(s->call.control->options.workloads, s->selector.workload, &workload, &err);
	if (s->n == 0 && !s->selector.all && !s->options.said && s->selector.ended_before_unix_us == 0 && r != -ENOENT) {
		err = (struct error)ERROR_INIT;
		r = error_set(&err, -ENOENT, "no-such-job", "there is no such job to %s%s", s->verb->words,
			      s->verb->ends_pauses && is_held(s) ? ": what is paused as a whole goes on with `concctl resume --all`, or "
			      "-w WORKLOAD; `concctl status` says what that is" : "");
	}
	if (s->n == 0 && r < 0 && !s->options.said)
		selection_refuse(s, r, &err);
	else
		selection_answer(s);
}

static int on_row(void *arg, const struct job_view *view)
{
	struct selection *s = arg;
	struct jobs_filter filter;

	if (view) {
		s->rows++;
		s->last_row = view->id;
		if (s->call.req && wanted(s, view))
			add_id(s, view->id);
		return s->failed || !s->call.req;
	}
	if (s->rows < PAGE || s->failed || !s->call.req) {
		found(s);
		return 0;
	}
	s->rows = 0;
	jobs_list_ended(s->jobs, s->last_row, PAGE, selector_filter(&s->selector, &filter), on_row, s);
	return 0;
}

static int by_id_and_place(const void *a, const void *b)
{
	const uint64_t *x = *(const uint64_t *const *)a, *y = *(const uint64_t *const *)b;

	return *x != *y ? *x < *y ? -1 : 1 : x < y ? -1 : x > y ? 1 : 0;
}

/* A job that was named twice, perhaps once as @last, is meant once: where it came first. */
static void answer_once(struct selection *s)
{
	uint64_t **places = calloc(s->n + 1, sizeof(*places));
	size_t left = 0;

	for (size_t i = 0; i < s->n && places; i++)
		places[i] = &s->ids[i];
	if (!places) {
		selection_refuse(s, -ENOMEM, NULL);
		return;
	}
	qsort(places, s->n, sizeof(uint64_t *), by_id_and_place);
	for (size_t i = s->n; i > 1; i--) /* from the end: what the one before it says is still there */
		if (*places[i - 1] == *places[i - 2])
			*places[i - 1] = 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->ids[i] != 0)
			s->ids[left++] = s->ids[i];
	s->n = left;
	free(places);
	selection_answer(s);
}

static void on_last(void *arg, int status, uint64_t id)
{
	struct selection *s = arg;
	struct error err = ERROR_INIT;

	if (!s->call.req) {
		selection_free(s);
		return;
	}
	if (status < 0) {
		selection_refuse(s, error_set(&err, status, status == -ENOENT ? "no-such-job" : "internal",
				    status == -ENOENT ? "there is no last job: you have submitted none that is still here" :
							"the last job cannot be read"), &err);
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->ids[i] == SELECTOR_LAST)
			s->ids[i] = id;
	answer_once(s);
}

static void find_named(struct selection *s)
{
	bool last = false;

	s->ids = take_ptr(s->selector.named);
	s->n = s->selector.n_named;
	for (size_t i = 0; i < s->n; i++)
		last = last || s->ids[i] == SELECTOR_LAST;
	if (last)
		jobs_last(s->jobs, s->call.req->peer.uid, on_last, s);
	else
		answer_once(s);
}

/* Newest first: jobs that are accepted meanwhile are not met. */
void selection_find_on(struct selection *s)
{
	static const struct timeval at_once = { .tv_sec = 0 };
	struct jobs_filter filter;

	(void)jobs_walk_newest(s->jobs, &s->live_below, LOOK, selector_filter(&s->selector, &filter), on_live,
			       s); /* its error is in s->failed */
	s->walking = s->live_below > 0 && !s->failed && evtimer_add(&s->kick, &at_once) == 0;
	if (s->walking)
		return;
	s->failed = s->failed || s->live_below > 0;
	if ((means_ended(s) || jobs_have_parked(s->jobs)) && !s->failed)
		jobs_list_ended(s->jobs, 0, PAGE, selector_filter(&s->selector, &filter), on_row, s);
	else
		found(s);
}

void selection_find(struct selection *s)
{
	if (s->described)
		selection_find_on(s);
	else
		find_named(s);
}
