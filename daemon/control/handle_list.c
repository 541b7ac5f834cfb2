/* GET /v1/jobs: live jobs, then ended ones from the store, newest first.
 *
 *	live (now, newest first)	9 8 . . 5 . .
 *	rows (as they come)		. . 7 6 5 4 3	-> 9 8 7 6 5 4 3
 *
 * What is live is written down at once, because it may be gone when the rows come; of what is both, the row counts: it
 * ended meanwhile. Rows come in pages: where a filter leaves too few of one, the next is asked for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "control/selector.h"
#include "control/server.h"
#include "crew/workload.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define DEFAULT_LIMIT 100
#define MAX_LIMIT 1000
#define PAGE 200 /* rows asked of the store at once where not all of them may be wanted */

struct live {
	uint64_t id;
	size_t end; /* of its text, in live_text */
};

struct listing {
	struct call call; /* call.req NULL: the client has left */
	struct selector selector;
	uint64_t below; /* ids below this one; 0: all */
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
	buffer_fini(&listing->live_text);
	buffer_fini(&listing->answer);
	free(listing->live);
	selector_fini(&listing->selector);
	free(listing);
}

static int on_live(void *arg, struct job *job)
{
	struct listing *listing = arg;
	struct job_view view;
	int r;

	if (listing->n_live == listing->limit)
		return 1;
	job_view(job, &view);
	if (!selector_fits(&listing->selector, &view))
		return 0;
	r = job_text(&listing->live_text, &view);
	if (r < 0)
		return r;
	listing->live[listing->n_live++] = (struct live){ .id = view.id, .end = listing->live_text.len };
	return 0;
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
	listing->last_row = listing->below;
	listing->live = calloc(limit, sizeof(*listing->live));
	if (!listing->live || buffer_add(&listing->answer, head, sizeof(head) - 1) < 0)
		return -ENOMEM;
	r = jobs_walk_newest(call->control->options.jobs, listing->below, on_live, listing);
	return r < 0 ? r : 0;
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
	listing_next_page(listing);
}
