/* Requests about the daemon itself: ping, version, status, workloads, params, models, shutdown. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "concd/plugin.h"
#include "config.h"
#include "control/server.h"
#include "crew/crew.h"
#include "crew/workload.h"
#include "ctl/protocol.h"
#include "jobs/jobs.h"
#include "store/store.h"

#define USER_BYTES (16u << 10)
#define MAX_USERS 1000 /* in `status` */

void handle_ping(const struct call *call)
{
	static const char pong[] = "{\"schema\":1,\"pong\":true}\n";

	http_reply(call->req, 200, NULL, JSON_TYPE, pong, sizeof(pong) - 1);
}

void handle_version(const struct call *call)
{
	reply_json(call->req, 200, json_pack("{s:i, s:s, s:i, s:i}", "schema", PROTOCOL_SCHEMA, "version",
					     call->control->options.version, "protocol", PROTOCOL_VERSION, "abi",
					     (int)CONCD_ABI));
}

void handle_shutdown(const struct call *call)
{
	struct control *control = call->control;

	if (!call_may(call, 0)) {
		reply_code(call->req, "denied", "user %u may not stop this daemon: root and the user it runs as (%u) may",
			   call->req->peer.uid, (unsigned int)geteuid());
		return;
	}
	reply_json(call->req, 200, json_pack("{s:i, s:b}", "schema", PROTOCOL_SCHEMA, "stopping", 1));
	control_drain(control);
	if (control->options.on_shutdown)
		control->options.on_shutdown(control->options.arg);
}

/* ---- status ---- */

static int add_crew(void *arg, const struct crew_view *view)
{
	char shape[SHAPE_TEXT_BYTES], note[512] = "";

	if (view->stopped > 0)
		(void)snprintf(note, sizeof(note), "%u stopped (kill -CONT %d)%s%s", view->stopped, (int)view->stopped_pid,
			       *view->stack_note ? "; " : "", view->stack_note);
	else
		(void)snprintf(note, sizeof(note), "%s", view->stack_note);
	shape_format(&view->shape, shape);
	return json_array_append_new(
		arg, json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "workload", view->workload,
			       "shape", shape, "dedicated", view->dedicated, "processes", (json_int_t)view->processes,
			       "stopped", (json_int_t)view->stopped, "idle_runners", (json_int_t)view->idle_runners, "jobs", (json_int_t)view->seats,
			       "tasks_out", (json_int_t)view->tasks_out, "starts", (json_int_t)view->starts, "deaths",
			       (json_int_t)view->deaths, "rss_bytes", (json_int_t)view->rss_bytes, "note",
			       document_text(note)));
}

static json_t *crews_array(const struct crews *crews)
{
	json_t *array = json_array();

	if (array && crews && crews_walk(crews, add_crew, array) < 0) {
		json_decref(array);
		array = NULL;
	}
	return array;
}

static json_t *states_object(const struct jobs_view *view)
{
	json_t *object = json_object();

	for (unsigned int state = JOB_OPEN; state <= JOB_CANCELLED && object; state++)
		if (json_object_set_new(object, job_state_name((enum job_state)state),
					json_integer((json_int_t)view->by_state[state])) < 0) {
			json_decref(object);
			object = NULL;
		}
	return object;
}

static uint64_t own_rss_bytes(void)
{
	struct buffer b = BUFFER_INIT;
	unsigned long long size, resident = 0;

	if (io_read_file("/proc/self/statm", 4096, &b) == 0 && buffer_add(&b, "", 1) == 0 &&
	    sscanf((const char *)b.data, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	buffer_fini(&b);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static json_t *own_user(void)
{
	_cleanup_free_ char *buf = malloc(USER_BYTES);
	struct passwd entry, *found = NULL;

	if (buf && getpwuid_r(geteuid(), &entry, buf, USER_BYTES, &found) == 0 && found)
		return document_text(found->pw_name);
	return json_sprintf("%u", (unsigned int)geteuid());
}

static json_t *store_object(const struct control *control)
{
	struct store_stats stats = { .commits = 0 };
	_cleanup_free_ char *path = NULL;
	const char *why = "", *damaged = NULL;
	bool stalled = false;

	if (control->options.store) {
		store_stats(control->options.store, &stats);
		stalled = store_stalled(control->options.store, &why);
		damaged = store_damaged(control->options.store);
	}
	if (asprintf(&path, "%s/concd.db", control->options.config->state_dir) < 0) {
		path = NULL;
		return NULL;
	}
	return json_pack("{s:o, s:I, s:I, s:b, s:o, s:o}", "path", document_text(path), "bytes", (json_int_t)stats.bytes,
			 "commits", (json_int_t)stats.commits, "stalled", stalled, "why",
			 document_text(stalled && why ? why : ""), "damaged",
			 damaged ? document_text(damaged) : json_null());
}

static int add_hold(void *arg, const char *workload, int64_t since_unix_us)
{
	char since[CLOCK_TEXT_BYTES];

	clock_format_unix_us(since_unix_us, since);
	return json_array_append_new(arg, json_pack("{s:o, s:s}", "workload", document_text(*workload ? workload : NULL),
						    "since", since));
}

json_t *document_holds(const struct jobs *jobs)
{
	json_t *array = json_array();

	if (array && jobs && jobs_walk_holds(jobs, add_hold, array) < 0) {
		json_decref(array);
		array = NULL;
	}
	return array;
}

/* ---- status: what is unfinished ---- */

static json_t *count_object(const struct quota_count *count)
{
	return json_pack("{s:I, s:I, s:I}", "jobs", (json_int_t)count->jobs, "tasks", (json_int_t)count->tasks, "input_bytes",
			 (json_int_t)count->bytes);
}

static int add_user(void *arg, uint32_t uid, const struct quota_count *unfinished)
{
	json_t *user = count_object(unfinished);

	if (json_array_size(arg) >= MAX_USERS) {
		json_decref(user);
		return 0;
	}
	if (json_object_set_new(user, "user", json_integer(uid)) < 0) {
		json_decref(user);
		return -ENOMEM;
	}
	return json_array_append_new(arg, user);
}

static json_t *unfinished_object(const struct jobs *jobs, const struct quota_count *all)
{
	json_t *object = count_object(all);
	json_t *users = json_array();

	if (!users || (jobs && jobs_walk_users(jobs, add_user, users) < 0) ||
	    json_object_set(object, "users", users) < 0) {
		json_decref(object);
		object = NULL;
	}
	json_decref(users);
	return object;
}

static json_t *limits_object(const struct call *call)
{
	const struct config *config = call->control->options.config;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "max_jobs", (json_int_t)config->max_jobs, "max_jobs_per_user",
			 (json_int_t)config->max_jobs_per_user, "max_queued_tasks", (json_int_t)config->max_queued_tasks,
			 "max_queued_tasks_per_user", (json_int_t)config->max_queued_tasks_per_user, "max_queued_bytes",
			 (json_int_t)config->max_queued_bytes, "max_queued_per_user_bytes",
			 (json_int_t)config->max_queued_bytes_per_user, "exempt", call_may(call, 0));
}

void handle_status(const struct call *call)
{
	const struct control *control = call->control;
	const struct control_options *options = &control->options;
	struct jobs_view view = { .trouble = "starting: jobs are being recovered" };

	if (options->jobs)
		jobs_view(options->jobs, &view);
	reply_json(call->req, 200,
		   json_pack("{s:i, s:s, s:i, s:f, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:o, s:I, s:I, s:b, s:o, s:o, s:{s:I, s:I}, s:I, s:o, s:o}",
			     "schema", PROTOCOL_SCHEMA, "version", options->version, "pid", (int)getpid(), "uptime_s",
			     (double)(clock_mono_ns() - control->opened_ns) / 1e9, "user", own_user(), "socket",
			     document_text(options->config->socket_path), "state_dir",
			     document_text(options->config->state_dir), "jobs", states_object(&view), "crews",
			     crews_array(options->crews), "memory", "rss_bytes", (json_int_t)own_rss_bytes(),
			     "queued_bytes", (json_int_t)view.unfinished.bytes, "store", store_object(control),
			     "tasks_done", (json_int_t)view.tasks_done, "clients",
			     (json_int_t)http_clients(control->http), "stopping", control->draining || view.stopping,
			     "trouble", document_text(view.trouble ? view.trouble : ""), "paused", document_holds(options->jobs),
			     "services", "total",
			     (json_int_t)view.services, "failing", (json_int_t)view.services_failing,
			     "caller", (json_int_t)call->req->peer.uid, "unfinished",
			     unfinished_object(options->jobs, &view.unfinished), "limits",
			     limits_object(call)));
}

/* ---- workloads, params, models ---- */

static const char *kind_name(uint32_t kind)
{
	return kind == CONCD_KIND_CPU ? "cpu" : kind == CONCD_KIND_IO ? "io" : "mixed";
}

static json_t *workload_object(const struct workload *workload)
{
	const struct plugin_info *info = workload->info;
	json_t *object = json_pack("{s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:s, s:b, s:o}", "name", workload->name, "plugin",
				   document_text(workload->plugin_path), "version",
				   document_text(info ? info->version : NULL), "summary",
				   document_text(info ? info->summary : NULL), "kind",
				   info ? json_string(kind_name(info->kind)) : json_null(), "thread_safe",
				   workload->thread_safe, "idempotent", workload->idempotent, "deterministic",
				   workload->deterministic, "model", workload->config->model, "usable", info != NULL,
				   "why_not", document_text(workload->why_not));

	return object;
}

static json_t *named_document(const char *name, json_t *array)
{
	return array ? json_pack("{s:i, s:o}", "schema", PROTOCOL_SCHEMA, name, array) : NULL;
}

void handle_workloads(const struct call *call)
{
	const struct workloads *workloads = call->control->options.workloads;
	json_t *array = json_array();

	for (size_t i = 0; i < workloads_count(workloads) && array; i++)
		if (json_array_append_new(array, workload_object(workloads_at(workloads, i))) < 0) {
			json_decref(array);
			array = NULL;
		}
	reply_json(call->req, 200, named_document("workloads", array));
}

static const char *stanza_value(const struct workload *workload, const struct plugin_param *param)
{
	for (size_t i = 0; i < workload->config->n_params; i++)
		if (strcmp(workload->config->params[i].name, param->name) == 0)
			return workload->config->params[i].value;
	return param->value;
}

static json_t *text_or_null(const char *text)
{
	return document_text(text && *text ? text : NULL);
}

static json_t *param_object(const struct workload *workload, const struct plugin_param *param)
{
	static const char *const types[] = { [CONCD_PARAM_TEXT] = "text", [CONCD_PARAM_INT] = "int",
					     [CONCD_PARAM_NUMBER] = "number", [CONCD_PARAM_BOOL] = "bool",
					     [CONCD_PARAM_DURATION] = "duration", [CONCD_PARAM_SIZE] = "size" };
	bool secret = param->flags & CONCD_PARAM_SECRET;

	return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "name", document_text(param->name), "type",
			 param->type < ARRAY_SIZE(types) ? types[param->type] : "text", "default",
			 document_text(secret && *param->value ? "***" : param->value), "value",
			 document_text(secret ? "***" : stanza_value(workload, param)), "min", text_or_null(param->min),
			 "max", text_or_null(param->max), "choices", text_or_null(param->choices), "secret", secret,
			 "help", document_text(param->help));
}

void handle_params(const struct call *call)
{
	const struct workload *workload;
	struct error err = ERROR_INIT;
	json_t *array;
	int r;

	r = workloads_find(call->control->options.workloads, call->name, &workload, &err);
	if (r < 0) {
		reply_error(call->req, r, &err);
		return;
	}
	array = json_array();
	for (size_t i = 0; i < workload->info->n_params && array; i++)
		if (json_array_append_new(array, param_object(workload, &workload->info->params[i])) < 0) {
			json_decref(array);
			array = NULL;
		}
	reply_json(call->req, 200, array ? json_pack("{s:i, s:s, s:o}", "schema", PROTOCOL_SCHEMA, "workload",
						     workload->name, "params", array) : NULL);
}

void handle_models(const struct call *call)
{
	json_t *array = json_array();
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	for (size_t i = 0; i < models_count() && array; i++) {
		const struct model *model = models_at(i);
		json_int_t workers = model->default_workers ? (json_int_t)model->default_workers :
							       (json_int_t)(processors > 0 ? processors : 1);

		if (json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", model->name, "shape",
							   model->shape_text, "lives", model->lives, "summary",
							   model->summary, "default_workers", workers)) < 0) {
			json_decref(array);
			array = NULL;
		}
	}
	reply_json(call->req, 200, named_document("models", array));
}
