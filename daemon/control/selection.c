/* One verb on many jobs. */
#include "control/selection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "control/selection_private.h"
#include "ctl/protocol.h"

#define SLOTS 64 /* jobs in work at once */
#define SLOTS_ANY 4096 /* jobs of which the first to end is waited for */
#define LIST_RANGES 4096 /* of jobs, in a line that says which were selected */
#define TURN 256 /* jobs begun before others have their turn */
#define QUEUED_BYTES (256u << 10) /* of the answer: more waits until the client has read */

static void release_slot(struct slot *slot)
{
	struct selection *s = slot->selection;

	job_unwatch(&slot->watch);
	job_unref(take_ptr(slot->job));
	json_decref(take_ptr(slot->line));
	slot->busy = slot->waiting = false;
	slot->next_free = s->free;
	s->free = slot;
	s->n_busy--;
}

void selection_free(struct selection *s)
{
	(void)event_del(&s->kick); /* fails for an event without a base only */
	(void)event_del(&s->timeout);
	selector_fini(&s->selector);
	json_decref(s->options.said);
	free(s->label);
	free(s->after);
	free(s->ids);
	free(s->slots);
	free(s);
}

/* The last callback after the client has left; not over the loop, which may have ended. */
static void free_unheard(struct selection *s)
{
	if (s->answering && s->n_busy == 0)
		selection_free(s);
}

/* Nobody listens any more: those that wait are let go, those that are asked something are waited for. */
static void let_go(struct selection *s)
{
	s->call.req = NULL;
	(void)event_del(&s->kick); /* fails for an event without a base only */
	(void)event_del(&s->timeout);
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].busy && s->slots[i].waiting)
			release_slot(&s->slots[i]);
	if (s->walking)
		selection_free(s); /* nobody else would */
	else
		free_unheard(s);
}

static void on_gone(struct http_request *req)
{
	let_go(req->user);
}

void selection_refuse(struct selection *s, int r, const struct error *err)
{
	struct http_request *req = s->call.req;

	if (req) {
		req->user = NULL;
		req->on_gone = NULL;
		reply_error(req, r, err);
	}
	selection_free(s);
}

/* ---- The answer's lines ---- */

static void cut(struct selection *s)
{
	log_error("control: %s: out of memory; answer cut", s->verb->name);
	http_stream_abort(s->call.req);
	let_go(s);
}

/* What was made, where r, the result of making it, is 0. false: the answer was cut, and the selection is gone unless slots are busy. */
static bool add_made(struct selection *s, int r, const struct buffer *text)
{
	uint8_t *at;

	if (!s->call.req)
		return true;
	at = r == 0 ? http_chunk_reserve(s->call.req, text->len + 1) : NULL;
	if (!at) {
		cut(s);
		return false;
	}
	memcpy(at, text->data, text->len);
	at[text->len] = '\n';
	http_chunk_commit(s->call.req, text->len + 1);
	return true;
}

/* The same. Takes ownership; NULL: out of memory. */
static bool add_line(struct selection *s, json_t *document)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	int r = document_add(&text, document);

	return add_made(s, r, &text);
}

#define id_text(id) json_sprintf("%llu", (unsigned long long)(id))

/* What is usual. */
static int add_job(const struct selection *s, uint64_t id, const struct job *job, struct buffer *text)
{
	struct job_view view;

	if (s->verb->removed)
		return document_add(text, json_pack("{s:i, s:o, s:b}", "schema", PROTOCOL_SCHEMA, "job", id_text(id),
						    s->verb->removed, 1));
	job_view(job, &view);
	return s->options.brief ? job_text_brief(text, &view) : job_text(text, &view);
}

/* ---- Each job ---- */

static void kick(struct selection *s)
{
	event_active(&s->kick, EV_TIMEOUT, 0);
}

static void finish_slot(struct slot *slot, int status, const struct error *err)
{
	struct selection *s = slot->selection;
	uint64_t id = s->ids[slot->index];
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	int r;
	bool later = status == 0 && !s->ending && s->options.wait;
	/* of those described, some change between the look and the act */
	bool passed = status < 0 && s->described && err && err->code &&
		      (strcmp(err->code, "wrong-state") == 0 || strcmp(err->code, "no-such-job") == 0);

	if (!later) {
		s->ids[slot->index] = 0;
		s->n_done += status == 0;
		s->n_failed += status < 0 && !passed;
	}
	if (later || passed)
		r = 0;
	else if (status < 0)
		r = document_add(&text, document_refusal(id, status, err));
	else
		r = slot->line ? document_add(&text, take_ptr(slot->line)) : add_job(s, id, slot->job, &text);
	release_slot(slot);
	if ((later || passed || add_made(s, r, &text)) && s->call.req)
		kick(s);
	else
		free_unheard(s);
}

void slot_says(struct slot *slot, json_t *line)
{
	slot->line = line ? line : json_null(); /* without memory the answer is poorer by this line's words */
}

uint32_t slot_uid(const struct slot *slot)
{
	return slot->selection->uid;
}

void slot_done(struct slot *slot, int status, const struct error *err)
{
	finish_slot(slot, status, err);
}

static void on_wait_progress(struct job_watch *watch)
{
	(void)watch; /* only its end is of interest */
}

static void on_wait_state(struct job_watch *watch, enum job_state state)
{
	struct slot *slot = container_of(watch, struct slot, watch);

	/* answered from the loop: the jobs are in the middle of something */
	if (job_state_ended(state))
		kick(slot->selection);
}

static void wait_in(struct slot *slot)
{
	if (job_has_ended(slot->job)) {
		finish_slot(slot, 0, NULL);
		return;
	}
	slot->waiting = true;
	slot->watch = (struct job_watch){ .on_progress = on_wait_progress, .on_state = on_wait_state };
	job_watch(slot->job, &slot->watch);
	if (slot->selection->overdue)
		kick(slot->selection);
}

static void act_in(struct slot *slot)
{
	struct selection *s = slot->selection;
	struct error err = ERROR_INIT;
	struct job_view view;
	int r = 0;

	job_view(slot->job, &view);
	if (!s->verb->for_all && !call_may(&s->call, view.uid))
		r = error_set(&err, -EPERM, "denied", "job %llu belongs to user %u", (unsigned long long)view.id,
			      view.uid);
	if (r == 0)
		r = s->verb->act(slot, slot->job, &s->options, &err);
	if (r <= 0)
		finish_slot(slot, r, &err);
}

static void on_job(void *arg, int status, struct job *job)
{
	struct slot *slot = arg;
	struct selection *s = slot->selection;
	struct error err = ERROR_INIT;

	if (status == 0)
		slot->job = job; /* the reference is the slot's */
	if (status == 0 && !s->call.req) {
		release_slot(slot); /* who asked has left */
		free_unheard(s);
	} else if (status < 0) {
		(void)error_set(&err, status, status == -ENOENT ? "no-such-job" : "internal",
				status == -ENOENT ? "there is no job %llu" : "job %llu cannot be read",
				(unsigned long long)s->ids[slot->index]);
		finish_slot(slot, status, &err);
	} else if (s->ending) {
		wait_in(slot);
	} else {
		act_in(slot);
	}
}

static void begin(struct selection *s)
{
	struct slot *slot = s->free;

	s->free = slot->next_free;
	s->n_busy++;
	slot->busy = true;
	slot->index = s->next++;
	jobs_get(s->jobs, s->ids[slot->index], on_job, slot);
}

/* ---- All of them ---- */

static void end_answer(struct selection *s)
{
	json_t *line = json_pack("{s:i, s:s, s:s, s:I, s:I}", "schema", PROTOCOL_SCHEMA, "type", "summary", "verb",
				 s->verb->name, "done", (json_int_t)s->n_done, "failed", (json_int_t)s->n_failed);

	if (!add_line(s, line))
		return;
	http_stream_end(s->call.req);
	let_go(s);
}

static bool is_over(const struct selection *s)
{
	return s->options.any && s->n_done + s->n_failed > 0;
}

/* Those whose job has ended meanwhile. */
static void look_at_waiting(struct selection *s)
{
	for (size_t i = 0; i < s->n_slots && s->call.req && !is_over(s); i++)
		if (s->slots[i].busy && s->slots[i].waiting && job_has_ended(s->slots[i].job))
			finish_slot(&s->slots[i], 0, NULL);
}

/* A line that names more of the jobs. false: the answer was cut. */
static bool list_some(struct selection *s)
{
	_cleanup_buffer_ struct buffer ranges = BUFFER_INIT;
	json_t *line;
	int r = 0;

	for (unsigned int n = 0; r == 0 && n < LIST_RANGES && s->listed < s->n; n++) {
		uint64_t first = s->ids[s->listed++], last = first;

		while (s->listed < s->n && s->ids[s->listed] == last + 1)
			last = s->ids[s->listed++];
		r = buffer_printf(&ranges, "%s%" PRIu64, n > 0 ? "," : "", first);
		if (r == 0 && last > first)
			r = buffer_printf(&ranges, "-%" PRIu64, last);
	}
	s->is_listed = s->listed == s->n;
	line = r < 0 ? NULL : json_pack("{s:i, s:s, s:s%}", "schema", PROTOCOL_SCHEMA, "type", "selected", "jobs",
					ranges.len > 0 ? (const char *)ranges.data : "", ranges.len);
	if (line && !s->is_listed && json_object_set_new(line, "more", json_true()) < 0)
		json_decref(take_ptr(line));
	return add_line(s, line);
}

/* Which jobs these are, where that was asked for, before anything is said of one. true: that is done. */
static bool list_selected(struct selection *s)
{
	while (s->options.selected && !s->is_listed)
		if (http_queued(s->call.req) > QUEUED_BYTES || !list_some(s))
			return false;
	return true;
}

/* As far as slots, the client's reading and fairness allow. */
static void begin_some(struct selection *s)
{
	static const struct timeval at_once = { .tv_sec = 0 };
	unsigned int n = 0;

	if (s->call.req && !list_selected(s))
		return;
	while (s->call.req && s->free && s->next < s->n && !is_over(s)) {
		if (s->ids[s->next] == 0) {
			s->next++;
			continue;
		}
		if (http_queued(s->call.req) > QUEUED_BYTES)
			return; /* on_writable goes on */
		if (n++ == TURN) {
			if (evtimer_add(&s->kick, &at_once) < 0)
				cut(s);
			return;
		}
		begin(s);
	}
}

/* Whether a job has ended already is not known of all that can be looked at now. */
static bool is_looking(const struct selection *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].busy && !s->slots[i].waiting)
			return true;
	return s->free && s->next < s->n;
}

static void tell_timeout(struct selection *s)
{
	struct job_view view;
	json_t *line;
	size_t first = 0;

	while (first < s->n && s->ids[first] == 0)
		first++;
	line = json_pack("{s:i, s:b, s:o}", "schema", PROTOCOL_SCHEMA, "timeout", 1, "job",
			 id_text(first < s->n ? s->ids[first] : 0));
	for (size_t i = 0; i < s->n_slots && first < s->n; i++) {
		if (!s->slots[i].busy || !s->slots[i].waiting || s->slots[i].index != first)
			continue;
		job_view(s->slots[i].job, &view);
		(void)json_object_set_new(line, "state", json_string(job_state_name(view.state))); /* told where it can be */
	}
	if (!add_line(s, line))
		return;
	http_stream_end(s->call.req);
	let_go(s);
}

/* May free the selection. */
static void go_on(struct selection *s)
{
	s->n_busy++; /* so that it stays while its slots come and go */
	look_at_waiting(s);
	begin_some(s);
	s->n_busy--;
	if (!s->call.req) {
		free_unheard(s);
	} else if (is_over(s)) {
		end_answer(s);
	} else if (s->n_busy == 0 && s->next == s->n && s->options.wait && !s->ending) {
		s->ending = true;
		s->next = 0;
		kick(s);
	} else if (s->n_busy == 0 && s->next == s->n) {
		end_answer(s);
	} else if (s->overdue && s->ending && !is_looking(s)) {
		tell_timeout(s);
	}
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* a timer, or made active */
	(void)what;
	if (((struct selection *)arg)->walking)
		selection_find_on(arg);
	else
		go_on(arg);
}

/* Between turns others come first, however fast the client reads. */
static void on_writable(struct http_request *req)
{
	struct selection *s = req->user;

	if (!event_pending(&s->kick, EV_TIMEOUT, NULL))
		go_on(s);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct selection *s = arg;

	(void)fd; /* a timer */
	(void)what;
	s->overdue = true;
	go_on(s);
}

void selection_answer(struct selection *s)
{
	struct timeval tv = { .tv_sec = (time_t)s->options.timeout_s };
	size_t n = s->options.any ? s->n : s->n < SLOTS ? s->n : SLOTS;
	struct http_request *req = s->call.req;
	struct error err = ERROR_INIT;

	if (n > SLOTS_ANY) {
		selection_refuse(s, error_set(&err, -E2BIG, "too-large", "the first of %zu jobs: at most %d can be waited for so", n,
				    SLOTS_ANY), &err);
		return;
	}
	s->slots = calloc(n + 1, sizeof(*s->slots));
	if (!s->slots) {
		selection_refuse(s, -ENOMEM, NULL);
		return;
	}
	for (size_t i = n; i > 0; i--) {
		s->slots[i - 1].selection = s;
		s->slots[i - 1].next_free = s->free;
		s->free = &s->slots[i - 1];
	}
	s->n_slots = n;
	s->ending = !s->verb->act;
	s->answering = true;
	req->on_writable = on_writable;
	http_stream_begin(req, NULL, "application/x-ndjson");
	tv.tv_usec = (suseconds_t)((s->options.timeout_s - (double)tv.tv_sec) * 1e6);
	if (s->options.timeout_s >= 0 && evtimer_add(&s->timeout, &tv) < 0) {
		cut(s);
		return;
	}
	s->n_done += s->options.said != NULL;
	if (s->options.said && !add_line(s, take_ptr(s->options.said)))
		return;
	go_on(s);
}

void selection_start(const struct call *call, const struct verb *verb, const struct verb_options *options)
{
	struct http_request *req = call->req;
	struct error err = ERROR_INIT;
	struct selection *s = calloc(1, sizeof(*s));
	int r = s ? selector_parse(&call->query, req->body, req->body_len, &s->selector, &err) : -ENOMEM;

	if (r < 0) {
		reply_error(req, r, &err);
		if (s)
			selector_fini(&s->selector);
		json_decref(options->said);
		free(s);
		return;
	}
	s->call = *call;
	s->verb = verb;
	s->options = *options;
	if (options->changes.label && !(s->options.changes.label = s->label = strdup(options->changes.label)))
		s->failed = true;
	if (options->changes.after && !(s->options.changes.after = s->after = strdup(options->changes.after)))
		s->failed = true;
	s->jobs = call->control->options.jobs;
	s->uid = req->peer.uid;
	s->described = s->selector.n_named == 0;
	(void)evtimer_assign(&s->kick, loop_base(call->control->options.loop), on_kick, s);
	(void)evtimer_assign(&s->timeout, loop_base(call->control->options.loop), on_timeout, s);
	req->user = s;
	req->on_gone = on_gone;
	selection_find(s);
}
