/* What the files of this folder share: the control object, a request on its way to its handler, answers. Private. */
#ifndef CONCD_CONTROL_SERVER_H
#define CONCD_CONTROL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

#include <jansson.h>

#include "control/control.h"
#include "control/http.h"
#include "control/socket.h"

struct buffer;
struct error;
struct job;
struct job_log;
struct job_view;
struct service_view;
struct stall;
struct stalls;

struct control {
	struct control_options options;
	struct control_socket socket;
	struct http_server *http;
	int64_t opened_ns;
	bool draining;
	TAILQ_HEAD(held_list, held) held; /* requests that wait until the jobs are there */
};

#define QUERY_MAX_PAIRS 24

/* The keys and values behind '?', decoded in place. */
struct query {
	size_t n;
	struct {
		const char *key, *value;
	} pairs[QUERY_MAX_PAIRS];
};

/* Parse `text` (NULL: none), in place. Only the words of `keys` (separated by spaces) may occur, each once. 0 or -EINVAL
 * (bad-request) with the key and what was perhaps meant. */
int query_parse(char *text, const char *keys, struct query *ret_query, struct error *err);
const char *query_get(const struct query *query, const char *key); /* NULL: not given */
/* The value of a key, or *ret_value as it was where it is not given. 0 or -EINVAL (bad-request). */
int query_get_bool(const struct query *query, const char *key, bool *ret_value, struct error *err);
int query_get_u64(const struct query *query, const char *key, uint64_t *ret_value, struct error *err);

struct job_changes;
/* The keys of `set`; texts stay the query's. 0 or -errno with words. (settings.c) */
int settings_parse(const struct query *query, struct job_changes *ret_changes, struct error *err);
#define SETTING_KEYS "workers priority timeout_s task_timeout_s retries backoff_s set_label model shape delay_s expire_s after after_failed"

/* A request as its handler sees it; texts belong to req. May be copied to go on later. */
struct call {
	struct control *control;
	struct http_request *req;
	uint64_t id; /* of the path's ID; 0: @last, until with_job() has found it */
	const char *name; /* of the path's NAME */
	struct query query;
};

/* ---- The table of requests ---- */

#define ROUTE_NEEDS_JOBS (1u << 0) /* `busy` until control_attach() */

struct route {
	const char *method;
	const char *path; /* as PROTOCOL.md writes it: ID and NAME stand for a segment */
	const char *keys; /* of the query, separated by spaces */
	unsigned int flags;
	void (*handle)(const struct call *call);
};

const struct route *routes_at(size_t i); /* NULL behind the last */

void handle_ping(const struct call *call);
void handle_version(const struct call *call);
void handle_status(const struct call *call);
void handle_workloads(const struct call *call);
void handle_params(const struct call *call);
void handle_models(const struct call *call);
void handle_shutdown(const struct call *call);
void handle_submit(const struct call *call);
void handle_inputs(const struct call *call);
void handle_list(const struct call *call);
void handle_show(const struct call *call);
void handle_results(const struct call *call);
void handle_follow(const struct call *call);
void handle_wait(const struct call *call);
void handle_cancel(const struct call *call);
void handle_kill(const struct call *call);
void handle_pause(const struct call *call);
void handle_resume(const struct call *call);
void handle_restart(const struct call *call);
void handle_set(const struct call *call);
void handle_cancel_many(const struct call *call); /* handle_verb.c */
void handle_kill_many(const struct call *call);
void handle_pause_many(const struct call *call);
void handle_resume_many(const struct call *call);
void handle_restart_many(const struct call *call);
void handle_set_many(const struct call *call);
void handle_retry_many(const struct call *call);
void handle_rm_many(const struct call *call);
void handle_wait_many(const struct call *call);
void handle_send(const struct call *call);

/* ---- Answers (reply.c): the request is gone afterwards ---- */

#define JSON_TYPE "application/json"

/* Any may be given a NULL document (out of memory). Takes ownership of the document. */
void reply_json(struct http_request *req, int status, json_t *document);
void reply_json_text(struct http_request *req, int status, const struct buffer *text); /* a document and a line feed */
/* The same, where r, the result of making it, is 0; takes what is in the buffer, which has no line feed yet. */
void reply_made_text(struct http_request *req, int r, struct buffer *text);
void reply_job(struct http_request *req, const struct job_view *view);
/* r: what the failing function returned; its words and code are in err, where there are any. */
void reply_error(struct http_request *req, int r, const struct error *err);
void reply_code(struct http_request *req, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void reply_wrong_offset(struct http_request *req, uint64_t have, const struct error *err);
int protocol_http_status(const char *code); /* 500 for a code that the protocol does not have */

/* ---- Jobs ---- */

/* Find the job call->id and go on with `then`, which takes over the reference to the job; answers itself where there is none or
 * the client leaves. */
void with_job(const struct call *call, void (*then)(const struct call *call, struct job *job));
/* Answer once the job has ended, or after timeout_s (negative: no limit). Takes over the reference. */
void wait_for_end(const struct call *call, struct job *job, double timeout_s);
/* May the client act on what belongs to this user? root, the daemon's own user and the owner may. */
bool call_may(const struct call *call, uint32_t owner_uid);

/* ---- Documents (document.c): new references, NULL when out of memory ---- */

json_t *document_text(const char *text); /* NULL: null; what is not UTF-8 is replaced by U+FFFD */
json_t *document_seconds(int64_t ns); /* 0 and less: null */
json_t *document_after(const uint64_t *after, size_t n); /* jobs to follow */
json_t *document_after_failed(size_t n, bool any); /* n of them: however they end? */
/* The line of a job that a verb could not be applied to. */
json_t *document_refusal(uint64_t id, int status, const struct error *err);
json_t *document_service(const struct service_view *service); /* of one that is a service */
json_t *document_stall(const struct stall *stall);
json_t *document_stalls(const struct stalls *stalls); /* NULL: there was none */
json_t *document_holds(const struct jobs *jobs); /* what is paused with all its jobs; NULL jobs: nothing */
json_t *document_log(const struct job_log *log);
/* 15 digits: what was written as 0.1 is not shown as 0.10000000000000001. */
#define DOCUMENT_DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15))
char *document_dump(const json_t *document, size_t *ret_len); /* the caller frees */
/* Append a document. Takes ownership. 0 or -ENOMEM (also for NULL), and then the buffer is unchanged. */
int document_add(struct buffer *b, json_t *document);
/* The same of an object's members, of which there is one at least, behind those of the object that the buffer ends with. */
int document_add_members(struct buffer *b, json_t *object);

/* ---- Jobs as text (job_text.c): append, without a line feed. 0 or -ENOMEM, and then the buffer is unchanged ---- */

int job_text(struct buffer *b, const struct job_view *view); /* JOB of PROTOCOL.md */
int job_text_brief(struct buffer *b, const struct job_view *view); /* its line with brief=1 */
int job_text_progress(struct buffer *b, const struct job_view *view); /* the event */
/* The line that ends a stream; with_schema: as JSON line, else as frame of this type. */
int job_text_line(struct buffer *b, const struct job_view *view, const char *type, bool with_schema);

#endif
