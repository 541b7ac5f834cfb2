/* GET /v1/jobs: live jobs, then ended ones from the store, newest first.
 *
 * Ended jobs come in pages; where a filter leaves too few of a page, the next one is asked for. What is found is kept
 * as documents, sorted by id, because live and ended ids interleave.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "control/selector.h"
#include "control/server.h"
#include "crew/workload.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"

#define DEFAULT_LIMIT 100
#define MAX_LIMIT 1000
#define PAGE 200 /* rows asked of the store at once */

struct entry {
	uint64_t id;
	json_t *document;
};

struct listing {
	struct call call; /* call.req NULL: the client has left */
	struct selector selector;
	uint64_t below; /* ids below this one; 0: all */
	uint32_t limit;

	struct entry *live, *ended; /* room for limit of each */
	size_t n_live, n_ended;

	uint32_t rows; /* of the page that is coming */
	uint64_t last_row; /* lowest id seen */
	bool failed; /* out of memory */
};

static void free_entries(struct entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_decref(entries[i].document);
	free(entries);
}

static void listing_free(struct listing *listing)
{
	free_entries(listing->live, listing->n_live);
	free_entries(listing->ended, listing->n_ended);
	selector_fini(&listing->selector);
	free(listing);
}

static bool wanted(const struct listing *listing, const struct job_view *view)
{
	if (listing->below > 0 && view->id >= listing->below)
		return false;
	return selector_fits(&listing->selector, view);
}

/* Live jobs come oldest first and the newest are wanted: a ring holds the last `limit` of them. */
struct live_ring {
	const struct listing *listing;
	const struct job **jobs; /* room for limit */
	uint64_t n; /* put in so far */
};

static int on_live(void *arg, struct job *job)
{
	struct live_ring *ring = arg;
	struct job_view view;

	job_view(job, &view);
	if (wanted(ring->listing, &view))
		ring->jobs[ring->n++ % ring->listing->limit] = job;
	return 0;
}

static int add_live(struct listing *listing)
{
	_cleanup_free_ const struct job **jobs = calloc(listing->limit, sizeof(struct job *));
	struct live_ring ring = { .listing = listing, .jobs = jobs };
	int r;

	if (!jobs)
		return -ENOMEM;
	r = jobs_walk(listing->call.control->options.jobs, on_live, &ring);
	if (r < 0)
		return r;
	for (uint64_t i = ring.n > listing->limit ? ring.n - listing->limit : 0; i < ring.n; i++) {
		struct job_view view;
		struct entry *entry = &listing->live[listing->n_live];

		job_view(jobs[i % listing->limit], &view);
		*entry = (struct entry){ .id = view.id, .document = document_job(&view) };
		if (!entry->document)
			return -ENOMEM;
		listing->n_live++;
	}
	return 0;
}

static int by_id_descending(const void *a, const void *b)
{
	uint64_t x = ((const struct entry *)a)->id, y = ((const struct entry *)b)->id;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Nothing fits because there is no such workload, and never was as far as anybody remembers. */
static bool refuse_unknown_workload(struct listing *listing)
{
	const struct workload *workload;
	struct error err = ERROR_INIT;

	if (!listing->selector.workload || listing->n_live + listing->n_ended > 0 || listing->below > 0 ||
	    workloads_find(listing->call.control->options.workloads, listing->selector.workload, &workload, &err) !=
		    -ENOENT)
		return false;
	reply_error(listing->call.req, -ENOENT, &err);
	listing_free(listing);
	return true;
}

/* Put both together and answer. */
static void listing_finish(struct listing *listing)
{
	size_t n = listing->n_live + listing->n_ended;
	struct entry *all = calloc(n + 1, sizeof(*all));
	json_t *array = all && !listing->failed ? json_array() : NULL;
	uint64_t last = UINT64_MAX;

	if (array) {
		if (listing->n_live > 0)
			memcpy(all, listing->live, listing->n_live * sizeof(*all));
		if (listing->n_ended > 0)
			memcpy(all + listing->n_live, listing->ended, listing->n_ended * sizeof(*all));
		qsort(all, n, sizeof(*all), by_id_descending);
	}
	for (size_t i = 0; i < n && array && json_array_size(array) < listing->limit; i++) {
		if (all[i].id == last) /* it ended while the list was made */
			continue;
		last = all[i].id;
		if (json_array_append(array, all[i].document) < 0) {
			json_decref(array);
			array = NULL;
		}
	}
	free(all);
	reply_json(listing->call.req, 200,
		   array ? json_pack("{s:i, s:o, s:o}", "schema", PROTOCOL_SCHEMA, "jobs", array, "paused",
				     document_holds(listing->call.control->options.jobs)) : NULL);
	listing_free(listing);
}

static void listing_next_page(struct listing *listing);

static void on_ended_row(void *arg, const struct job_view *view)
{
	struct listing *listing = arg;

	if (!view) {
		if (!listing->call.req) {
			listing_free(listing);
			return;
		}
		listing->call.req->user = NULL;
		listing->call.req->on_gone = NULL;
		if (listing->rows == PAGE && listing->n_ended < listing->limit && !listing->failed)
			listing_next_page(listing);
		else if (!refuse_unknown_workload(listing))
			listing_finish(listing);
		return;
	}
	listing->rows++;
	listing->last_row = view->id;
	if (listing->n_ended >= listing->limit || listing->failed || !wanted(listing, view))
		return;
	listing->ended[listing->n_ended].id = view->id;
	listing->ended[listing->n_ended].document = document_job(view);
	if (listing->ended[listing->n_ended].document)
		listing->n_ended++;
	else
		listing->failed = true;
}

static void on_listing_gone(struct http_request *req)
{
	struct listing *listing = req->user;

	listing->call.req = NULL; /* the page that is coming frees it */
}

static void listing_next_page(struct listing *listing)
{
	listing->rows = 0;
	listing->call.req->user = listing;
	listing->call.req->on_gone = on_listing_gone;
	jobs_list_ended(listing->call.control->options.jobs, listing->last_row, PAGE, on_ended_row, listing);
}

static int listing_begin(struct listing *listing, const struct call *call, struct error *err)
{
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
	listing->last_row = listing->below;
	listing->live = calloc(limit, sizeof(*listing->live));
	listing->ended = calloc(limit, sizeof(*listing->ended));
	if (!listing->live || !listing->ended)
		return -ENOMEM;
	return add_live(listing);
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
