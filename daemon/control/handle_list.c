/* GET /v1/jobs: live jobs, then ended ones from the store, newest first.
 *
 *	live (now, newest first)	9 8 . . 5 . .
 *	rows (as they come)		. . 7 6 5 4 3	-> 9 8 7 6 5 4 3
 *
 * What is live is written down first, because it may be gone when the rows come; of what is both, the row counts: it
 * ended meanwhile. Where many are live and few of them fit, others have their turn in between. Rows come in pages: where a filter
 * leaves too few of one, the next is asked for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "control/selector.h"
#include "control/server.h"
#include "crew/workload.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define DEFAULT_LIMIT 100
#define MAX_LIMIT 1000
#define TURN 4096 /* live jobs looked at before others have their turn */
#define PAGE 200 /* rows asked of the store at once where not all of them may be wanted */

struct live {
	uint64_t id;
	size_t end; /* of its text, in live_text */
};

struct listing {
	struct call call; /* call.req NULL: the client has left */
	struct selector selector;
	uint64_t below; /* ids below this one; 0: all */
	uint64_t live_below; /* those of live jobs that are still to be looked at */
	struct event turn; /* goes on with these */
	uint32_t limit, page;

	struct buffer live_text;
	struct live *live; /* newest first; room for limit */
	size_t n_live, next_live; /* the first that is not in the answer yet */

	struct buffer answer;
	uint32_t n_shown;
	uint32_t rows; /* of the page that is coming */
	uint64_t last_row; /* lowest id seen */
	int error; /* -ENOMEM: there is no answer */
};

static void listing_free(struct listing *listing)
{
	if (event_initialized(&listing->turn))
		(void)event_del(&listing->turn); /* fails for an event without a base only */
	buffer_fini(&listing->live_text);
	buffer_fini(&listing->answer);
	free(listing->live);
	selector_fini(&listing->selector);
	free(listing);
}

/* Not called any more once there are enough of them. */
static int on_live(void *arg, struct job *job)
{
	struct listing *listing = arg;
	struct job_view view;
	int r;

	job_view(job, &view);
	if (!selector_fits(&listing->selector, &view))
		return 0;
	r = job_text(&listing->live_text, &view);
	if (r < 0)
		return r;
	listing->live[listing->n_live++] = (struct live){ .id = view.id, .end = listing->live_text.len };
	return listing->n_live == listing->limit;
}

/* ---- The answer ---- */

/* false: there are enough. */
static bool begin_entry(struct listing *listing)
{
	if (listing->error < 0 || listing->n_shown == listing->limit)
		return false;
	if (listing->n_shown++ > 0)
		listing->error = buffer_add(&listing->answer, ",", 1);
	return listing->error == 0;
}

/* Those that are newer than this one. */
static void show_live_above(struct listing *listing, uint64_t id)
{
	while (listing->next_live < listing->n_live && listing->live[listing->next_live].id > id && begin_entry(listing)) {
		size_t n = listing->next_live++, at = n > 0 ? listing->live[n - 1].end : 0;

		listing->error = buffer_add(&listing->answer, listing->live_text.data + at, listing->live[n].end - at);
	}
}

/* Nothing fits because there is no such workload, and never was as far as anybody remembers. */
static bool refuse_unknown_workload(struct listing *listing)
{
	const struct workload *workload;
	struct error err = ERROR_INIT;

	if (!listing->selector.workload || listing->n_live + listing->n_shown > 0 || listing->below > 0 ||
	    workloads_find(listing->call.control->options.workloads, listing->selector.workload, &workload, &err) !=
		    -ENOENT)
		return false;
	reply_error(listing->call.req, -ENOENT, &err);
	return true;
}

static void listing_finish(struct listing *listing)
{
	int r;

	show_live_above(listing, 0);
	r = listing->error;
	if (r == 0)
		r = buffer_add(&listing->answer, "],\"paused\":", 11);
	if (r == 0)
		r = document_add(&listing->answer, document_holds(listing->call.control->options.jobs));
	if (r == 0)
		r = buffer_add(&listing->answer, "}", 1);
	if (r < 0 || !refuse_unknown_workload(listing))
		reply_made_text(listing->call.req, r, &listing->answer);
	listing_free(listing);
}

/* ---- Rows ---- */

static void listing_next_page(struct listing *listing);

static void on_page_end(struct listing *listing)
{
	if (!listing->call.req) {
		listing_free(listing);
		return;
	}
	listing->call.req->user = NULL;
	listing->call.req->on_gone = NULL;
	if (listing->rows == listing->page && listing->n_shown < listing->limit && listing->error == 0)
		listing_next_page(listing);
	else
		listing_finish(listing);
}

static int on_row(void *arg, const struct job_view *view)
{
	struct listing *listing = arg;

	if (!view) {
		on_page_end(listing);
		return 0;
	}
	listing->rows++;
	listing->last_row = view->id;
	if (!listing->call.req || !selector_fits(&listing->selector, view))
		return !listing->call.req;
	show_live_above(listing, view->id);
	if (listing->next_live < listing->n_live && listing->live[listing->next_live].id == view->id)
		listing->next_live++;
	if (begin_entry(listing))
		listing->error = job_text(&listing->answer, view);
	return listing->error < 0 || listing->n_shown == listing->limit;
}

static void on_listing_gone(struct http_request *req)
{
	struct listing *listing = req->user;

	listing->call.req = NULL; /* the page that is coming frees it */
}

static void listing_next_page(struct listing *listing)
{
	struct jobs_filter filter;

	listing->rows = 0;
	listing->call.req->user = listing;
	listing->call.req->on_gone = on_listing_gone;
	jobs_list_ended(listing->call.control->options.jobs, listing->last_row, listing->page, selector_filter(&listing->selector, &filter),
			on_row, listing);
}

/* ---- Live jobs ---- */

static void on_walker_gone(struct http_request *req)
{
	listing_free(req->user);
}

static void listing_walk(struct listing *listing)
{
	static const struct timeval now = { .tv_sec = 0 };
	struct jobs_filter filter;
	int r = jobs_walk_newest(listing->call.control->options.jobs, &listing->live_below, TURN,
				 selector_filter(&listing->selector, &filter), on_live, listing);

	if (r == 0 && listing->live_below > 0) {
		r = evtimer_add(&listing->turn, &now); /* an event made active at once would come before what clients have sent */
		if (r == 0)
			return;
		r = -ENOMEM;
	}
	if (r >= 0) {
		listing_next_page(listing);
		return;
	}
	listing->call.req->user = NULL;
	listing->call.req->on_gone = NULL;
	reply_error(listing->call.req, r, NULL);
	listing_free(listing);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* a timer */
	(void)what;
	listing_walk(arg);
}

static bool takes_all(const struct selector *selector)
{
	return !selector->states && !selector->workload && !selector->label && selector->ended_before_unix_us == 0;
}

static int listing_begin(struct listing *listing, const struct call *call, struct error *err)
{
	static const char head[] = "{\"schema\":1,\"jobs\":[";
	uint64_t limit = DEFAULT_LIMIT;
	int r;

	listing->call = *call;
	r = selector_parse_query(&call->query, &listing->selector, err);
	if (r == 0)
		r = query_get_u64(&call->query, "limit", &limit, err);
	if (r == 0)
		r = query_get_u64(&call->query, "below", &listing->below, err);
	if (r < 0)
		return r;
	if (limit == 0 || limit > MAX_LIMIT)
		return error_set(err, -EINVAL, "bad-request", "query: limit is to be 1 to %d", MAX_LIMIT);
	listing->limit = (uint32_t)limit;
	listing->page = takes_all(&listing->selector) || limit > PAGE ? (uint32_t)limit : PAGE;
	listing->last_row = listing->live_below = listing->below;
	listing->live = calloc(limit, sizeof(*listing->live));
	if (!listing->live || buffer_add(&listing->answer, head, sizeof(head) - 1) < 0)
		return -ENOMEM;
	return evtimer_assign(&listing->turn, loop_base(call->control->options.loop), on_turn, listing) < 0 ? -ENOMEM : 0;
}

void handle_list(const struct call *call)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	struct error err = ERROR_INIT;
	int r = listing ? listing_begin(listing, call, &err) : -ENOMEM;

	if (r < 0) {
		reply_error(call->req, r, &err);
		if (listing)
			listing_free(listing);
		return;
	}
	call->req->user = listing;
	call->req->on_gone = on_walker_gone;
	listing_walk(listing);
}
