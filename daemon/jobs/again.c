/* `retry`: a new job with the inputs of one that has ended, all of them or those of the tasks that did not do.
 *
 *	source: segments ──(which tasks)──> inputs ──> a piece of 1 MiB ──> the new job, which is `open` until the last one
 *
 * The new job is the old one's specification with another number. Its pieces are committed like those of a client, and
 * what it copies, and of whom, stands in its row: a source does not change any more, so a daemon that finds such a job
 * open knows from the number of its tasks where to go on. Until then the source cannot be removed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "concd/plugin.h"
#include "config.h"
#include "crew/workload.h"
#include "ctl/protocol.h"
#include "jobs/job.h"

#define AGAIN_S 1 /* after a refusal that passes: the disk is full, a limit is reached */

/* A copy under way. */
struct again {
	struct jobs *jobs;
	LIST_ENTRY(again) link;
	uint64_t source_id;
	bool failed_only;
	struct job *source; /* a reference; NULL: being looked for */
	struct job *job; /* the new one, a reference; NULL: not accepted yet */
	struct job_watch watch; /* of the source: what was read has come */
	struct event *event;
	uint64_t next; /* task of the source that comes next */
	uint64_t skip; /* wanted tasks that are on disk already */
	struct buffer piece; /* packed */
	uint64_t n_piece;
	bool waiting; /* for an answer: acceptance, a piece, the source */
	bool dead; /* freed with that answer */
	uint32_t uid;
	jobs_accepted_fn on_accepted; /* NULL: told */
	void *arg;
};

static void again_free(struct again *again)
{
	if (!again->dead)
		LIST_REMOVE(again, link);
	if (again->job && again->job->again == again)
		again->job->again = NULL;
	job_unwatch(&again->watch);
	job_unref(again->source);
	job_unref(again->job);
	buffer_fini(&again->piece);
	if (again->event)
		event_free(again->event);
	free(again);
}

/* Nothing more is copied. */
static void again_end(struct again *again)
{
	if (!again->waiting) {
		again_free(again);
		return;
	}
	LIST_REMOVE(again, link);
	again->dead = true;
	job_unwatch(&again->watch);
	(void)event_del(again->event); /* fails only for an event that is none */
}

static void tell(struct again *again, int status, const struct error *err)
{
	jobs_accepted_fn on_accepted = again->on_accepted;

	again->on_accepted = NULL;
	if (on_accepted)
		on_accepted(again->arg, status, status == 0 ? again->job : NULL, again->source_id, err);
}

/* It cannot go on. A new job that is there ends with what it has, and says so. */
static void again_fail(struct again *again, int status, const struct error *err)
{
	struct job *job = again->job;

	tell(again, status, err);
	if (job && job->open && job->ending == JOB_ENDING_NO && !again->jobs->stopping) {
		log_error("jobs: job %" PRIu64 " stays without some inputs of job %" PRIu64 ": %s", job->id,
			  again->source_id, err->text);
		job_fail_self(job, "interrupted", err->text);
		job_close(job, false);
	}
	again_end(again);
}

/* ---- Which tasks, and their inputs ---- */

/* The next wanted task of the source, from again->next on: 0; 1: there is none; -EAGAIN: being read; -errno. */
static int find_wanted(struct again *again)
{
	while (again->failed_only && again->next < again->source->total) {
		struct segment *segment;
		uint64_t i;
		int r = job_segment(again->source, again->next, &segment);

		if (r == -ENOENT) /* nothing of it was ever recorded: all of its tasks are wanted */
			break;
		if (r < 0)
			return r;
		for (i = again->next - segment->first; i < segment->count; i++)
			if (!segment_recorded(segment, (uint32_t)i) || segment->records[i].state != TASK_DONE)
				break;
		again->next = segment->first + i;
		segment_unref(segment);
		if (i < segment->count)
			break;
	}
	return again->next < again->source->total ? 0 : 1;
}

/* Add the wanted ones among those inputs that are at hand from again->next on. 0, -EAGAIN or -errno. */
static int take_run(struct again *again)
{
	const uint8_t *at, *input;
	uint64_t count;
	size_t bytes, len;
	int r = job_inputs(again->source, again->next, &at, &bytes, &count);

	if (r < 0)
		return r;
	for (const uint8_t *end = at + bytes; count > 0 && again->piece.len < PROTOCOL_PIECE_BYTES; count--) {
		const uint8_t *next = packed_next(at, end, &input, &len);
		uint64_t task = again->next;

		if (!next)
			return -EBADMSG;
		r = find_wanted(again);
		if (r != 0 || again->next != task) /* not this one: perhaps far behind it */
			return r < 0 ? r : 0;
		if (again->skip > 0) {
			again->skip--;
		} else {
			if (buffer_add(&again->piece, at, (size_t)(next - at)) < 0)
				return -ENOMEM;
			again->n_piece++;
		}
		again->next++;
		at = next;
	}
	return 0;
}

/* A piece, or the rest. 0: it is there; 1: and it is the last; -EAGAIN: being read; -errno. */
static int gather(struct again *again)
{
	while (again->piece.len < PROTOCOL_PIECE_BYTES) {
		int r = find_wanted(again);

		if (r != 0)
			return r;
		r = take_run(again);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- Sending ---- */

static void go_on(struct again *again);

static void later(struct again *again)
{
	static const struct timeval tv = { .tv_sec = AGAIN_S };
	struct error err = ERROR_INIT;

	if (evtimer_add(again->event, &tv) == 0)
		return;
	(void)error_set(&err, -ENOMEM, "internal", "out of memory");
	again_fail(again, -ENOMEM, &err);
}

/* An answer has come. true: nobody waits for more. */
static bool answered(struct again *again)
{
	again->waiting = false;
	if (again->dead)
		again_free(again);
	else
		return false;
	return true;
}

static void on_first_accepted(void *arg, int status, struct job *job, uint64_t existing_id, const struct error *err)
{
	struct again *again = arg;

	(void)existing_id; /* its submission is new */
	if (status == 0 && !again->dead) {
		again->job = job_ref(job);
		job->again = job->open ? again : NULL;
	}
	tell(again, again->dead ? -ESHUTDOWN : status, err);
	if (answered(again))
		return;
	if (status < 0 || !job->open)
		again_end(again);
	else
		go_on(again);
}

static void on_piece_added(void *arg, int status, uint64_t have, const struct error *err)
{
	struct again *again = arg;

	(void)have; /* the job knows */
	if (answered(again))
		return;
	if (status == -ENOSPC) { /* the piece is gathered anew */
		again->next = 0;
		again->skip = again->job->total;
		later(again);
	} else if (status < 0) {
		again_fail(again, status, err);
	} else if (again->job->open) {
		go_on(again);
	} else {
		log_info("jobs: job %" PRIu64 " has %" PRIu64 " inputs of job %" PRIu64, again->job->id, again->job->total,
			 again->source_id);
		again_end(again);
	}
}

static void submit_first(struct again *again, bool last)
{
	struct error err = ERROR_INIT;
	const struct job_spec spec = { .like = again->source, .like_failed = again->failed_only, .open = !last,
				       .uid = again->uid };
	int r;

	again->waiting = true;
	r = jobs_submit(again->jobs, &spec, &again->piece, on_first_accepted, again, &err);
	if (r == 0)
		return; /* on_first_accepted() goes on */
	again->waiting = false;
	again_fail(again, r, &err);
}

static void send_piece(struct again *again, bool last)
{
	struct error err = ERROR_INIT;
	uint64_t have;
	int r;

	again->job->again = NULL; /* this one may */
	again->waiting = true;
	r = job_add_inputs(again->job, again->job->total, again->piece.data, again->piece.len, last, on_piece_added, again,
			   &have, &err);
	again->job->again = again;
	if (r == 0) {
		buffer_fini(&again->piece);
		return; /* on_piece_added() goes on */
	}
	again->waiting = false;
	if (r == -EBUSY)
		later(again);
	else
		again_fail(again, r, &err);
}

static void go_on(struct again *again)
{
	struct error err = ERROR_INIT;
	int r = gather(again);

	if (r == -EAGAIN)
		return; /* the watch goes on */
	if (r < 0) {
		(void)error_set(&err, r, "internal", "the inputs of job %" PRIu64 " cannot be read: %s", again->source_id,
				strerror(-r));
		again_fail(again, r, &err);
		return;
	}
	again->n_piece = 0;
	if (again->job)
		send_piece(again, r == 1);
	else
		submit_first(again, r == 1);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct again *again = arg;

	(void)fd; /* a timer, or made active */
	(void)what;
	if (!again->waiting)
		go_on(again);
}

static void on_source_progress(struct job_watch *watch)
{
	event_active(container_of(watch, struct again, watch)->event, EV_TIMEOUT, 0);
}

static void on_source_state(struct job_watch *watch, enum job_state state)
{
	(void)watch; /* it has ended long ago */
	(void)state;
}

/* ---- Beginning ---- */

static struct again *again_new(struct jobs *jobs, uint64_t source_id, bool failed_only)
{
	struct again *again = calloc(1, sizeof(*again));

	if (!again)
		return NULL;
	again->event = event_new(loop_base(jobs->loop), -1, 0, on_event, again);
	if (!again->event) {
		free(again);
		return NULL;
	}
	again->jobs = jobs;
	again->source_id = source_id;
	again->failed_only = failed_only;
	again->watch.on_progress = on_source_progress;
	again->watch.on_state = on_source_state;
	LIST_INSERT_HEAD(&jobs->agains, again, link);
	return again;
}

static void begin(struct again *again, struct job *source)
{
	again->source = source; /* the reference moves here */
	job_watch(source, &again->watch);
	event_active(again->event, EV_TIMEOUT, 0);
}

int job_retry(struct job *source, bool failed_only, uint32_t uid, jobs_accepted_fn on_accepted, void *arg,
	      struct error *err)
{
	struct again *again;

	if (!job_state_ended(source->state))
		return error_set(err, -EBUSY, "wrong-state", "job %" PRIu64 " is %s: what has ended can be retried",
				 source->id, job_state_name(source->state));
	if (source->service)
		return error_set(err, -EINVAL, "wrong-state", "job %" PRIu64 " was a service: the daemon starts these itself",
				 source->id);
	if (source->removed)
		return error_set(err, -ENOENT, "no-such-job", "job %" PRIu64 " is being removed", source->id);
	if (source->total == 0 || (failed_only && source->done == source->total))
		return error_set(err, -EINVAL, "wrong-state", "job %" PRIu64 " has no %s", source->id,
				 source->total == 0 ? "tasks" : "task that failed or was cancelled");
	again = again_new(source->jobs, source->id, failed_only);
	if (!again)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	again->uid = uid;
	again->on_accepted = on_accepted;
	again->arg = arg;
	begin(again, job_ref(source));
	return 0;
}

bool again_needs(const struct jobs *jobs, uint64_t id)
{
	const struct again *again;

	LIST_FOREACH(again, &jobs->agains, link)
		if (again->source_id == id)
			return true;
	return false;
}

/* ---- After a restart ---- */

static void on_source_found(void *arg, int status, struct job *source)
{
	struct again *again = arg;
	struct error err = ERROR_INIT;
	bool usable = status == 0 && job_state_ended(source->state) && !again->dead;

	if (status == 0 && !usable)
		job_unref(source);
	if (answered(again))
		return;
	if (usable) {
		begin(again, source);
		return;
	}
	(void)error_set(&err, -ENOENT, "no-such-job", "job %" PRIu64 ", whose inputs it repeats, is gone", again->source_id);
	again_fail(again, -ENOENT, &err);
}

void again_continue(struct job *job)
{
	struct again *again;

	if (!job->open || job->again_of == 0 || job->ending != JOB_ENDING_NO)
		return;
	again = again_new(job->jobs, job->again_of, job->again_failed);
	if (!again) {
		log_error("jobs: job %" PRIu64 ": out of memory: it takes no more inputs", job->id);
		return; /* open_timeout ends it */
	}
	again->job = job_ref(job);
	job->again = again;
	again->skip = job->total;
	again->waiting = true;
	jobs_get(job->jobs, job->again_of, on_source_found, again);
}

void again_let_go(struct jobs *jobs)
{
	struct again *again, *next;
	struct error err = ERROR_INIT;

	(void)error_set(&err, -ESHUTDOWN, "stopping", "the daemon is shutting down: nothing was accepted");
	for (again = LIST_FIRST(&jobs->agains); again; again = next) {
		next = LIST_NEXT(again, link);
		if (!again->waiting || again->job)
			tell(again, -ESHUTDOWN, &err);
		again_end(again);
	}
}

/* ---- The new job's specification ---- */

/* What is of one submission only, and not of its work. */
static const char *const own_keys[] = { "begins_us", "expires_us", "after", "unique", "service", "timeout_used_ns" };

static char *spec_like(const struct job *source)
{
	_cleanup_free_ char *text = job_spec_format(source);
	json_t *spec = text ? json_loads(text, 0, NULL) : NULL;
	char *like;

	for (size_t i = 0; i < ARRAY_SIZE(own_keys); i++)
		(void)json_object_del(spec, own_keys[i]); /* most are not there */
	like = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
	json_decref(spec);
	return like;
}

int again_resolve(struct job *job, const struct job_spec *spec, struct error *err)
{
	const struct job *source = spec->like;
	_cleanup_free_ char *like = NULL;
	int r = workloads_find(job->jobs->workloads, source->workload_name, &job->workload, err);

	if (r < 0)
		return r;
	like = spec_like(source);
	job->workload_name = strdup(source->workload_name);
	if (!like || !job->workload_name)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	r = job_spec_parse(job, like, err);
	if (r < 0)
		return error_set(err, r, "internal", "out of memory");
	job->turn.priority = source->turn.priority;
	job->durable = source->durable;
	job->open = spec->open;
	job->uid = spec->uid;
	job->again_of = source->id;
	job->again_failed = spec->like_failed;
	return 0;
}

int again_format(const struct job *job, json_t *spec)
{
	if (job->again_of == 0)
		return 0;
	return json_object_set_new(spec, "retry_of", json_pack("[I, b]", (json_int_t)job->again_of, job->again_failed)) < 0 ?
		       -ENOMEM : 0;
}

void again_parse(struct job *job, const json_t *spec)
{
	const json_t *of = json_object_get(spec, "retry_of");

	job->again_of = (uint64_t)json_integer_value(json_array_get(of, 0));
	job->again_failed = json_is_true(json_array_get(of, 1));
}
