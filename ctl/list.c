/* list: which jobs, which columns, in which order. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "protocol.h"
#include "table.h"
#include "talk.h"

#define LIST_LIMIT 50 /* unless -n says otherwise */
#define LIST_PAGE 1000 /* in one answer */
#define LIST_MAX 1000000
#define SORT_MAX 100000 /* of the newest jobs are sorted */
#define CELL_BYTES 512

/* ---- Columns ---- */

/* How a member of JOB is shown and sorted: numbers the largest first, texts by the alphabet. */
enum column_kind {
	COLUMN_TEXT,
	COLUMN_ID, /* a number in a text */
	COLUMN_TIME, /* RFC 3339: the newest first */
	COLUMN_DURATION,
	COLUMN_COUNT,
	COLUMN_SIZE,
	COLUMN_TASKS, /* a member of `tasks` */
	COLUMN_DONE, /* "13 of 20, 2 failed" */
	COLUMN_STATE, /* in the order of a job's life */
	COLUMN_ERROR,
};

struct column {
	const char *key; /* as -o and --sort name it */
	const char *title;
	const char *member;
	enum column_kind kind;
};

static const struct column columns[] = {
	{ "job", "JOB", "job", COLUMN_ID },
	{ "state", "STATE", "state", COLUMN_STATE },
	{ "workload", "WORKLOAD", "workload", COLUMN_TEXT },
	{ "model", "MODEL", "model", COLUMN_TEXT },
	{ "shape", "SHAPE", "shape", COLUMN_TEXT },
	{ "workers", "WORKERS", "workers", COLUMN_COUNT },
	{ "done", "DONE", "done", COLUMN_DONE },
	{ "total", "TOTAL", "total", COLUMN_TASKS },
	{ "queued", "QUEUED", "queued", COLUMN_TASKS },
	{ "running", "RUNNING", "running", COLUMN_TASKS },
	{ "failed", "FAILED", "failed", COLUMN_TASKS },
	{ "cancelled", "CANCELLED", "cancelled", COLUMN_TASKS },
	{ "time", "TIME", "wall_s", COLUMN_DURATION },
	{ "cpu", "CPU", "cpu_s", COLUMN_DURATION },
	{ "memory", "MEMORY", "peak_rss_bytes", COLUMN_SIZE },
	{ "created", "CREATED", "created", COLUMN_TIME },
	{ "started", "STARTED", "started", COLUMN_TIME },
	{ "ended", "ENDED", "ended", COLUMN_TIME },
	{ "user", "USER", "user", COLUMN_COUNT },
	{ "label", "LABEL", "label", COLUMN_TEXT },
	{ "waiting", "WAITING", "waiting", COLUMN_TEXT },
	{ "error", "ERROR", "error", COLUMN_ERROR },
};

static const char *const states[] = { "running", "open", "queued", "paused", "failed", "cancelled", "done" };

static const char *column_key_at(const void *names, size_t i)
{
	(void)names; /* the one table */
	return columns[i].key;
}

static int find_column(const char *option, const char *key, size_t len, const struct column **ret_column,
		       struct error *err)
{
	char name[32];
	const char *meant;

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (strlen(columns[i].key) == len && memcmp(columns[i].key, key, len) == 0) {
			*ret_column = &columns[i];
			return 0;
		}
	(void)snprintf(name, sizeof(name), "%.*s", len < sizeof(name) ? (int)len : 31, key); /* cut: it is none of ours */
	meant = text_nearest(name, NULL, ARRAY_SIZE(columns), column_key_at);
	if (meant)
		return error_set(err, -EINVAL, "usage", "option '--%s': there is no column '%s'; did you mean '%s'?", option,
				 name, meant);
	return error_set(err, -EINVAL, "usage", "option '--%s': there is no column '%s'; job, state, workload, model, done, "
			 "time, created and label are some: see concctl(1)", option, name);
}

/* "13 of 20, 2 failed" */
static void done_text(const json_t *tasks, char text[CELL_BYTES])
{
	uint64_t failed = member_count(tasks, "failed"), cancelled = member_count(tasks, "cancelled");
	int n = snprintf(text, CELL_BYTES, "%" PRIu64, member_count(tasks, "done"));

	/* fits: four numbers and some words */
	if (json_is_integer(json_object_get(tasks, "total")))
		n += snprintf(text + n, CELL_BYTES - (size_t)n, " of %" PRIu64, member_count(tasks, "total"));
	if (failed > 0)
		n += snprintf(text + n, CELL_BYTES - (size_t)n, ", %" PRIu64 " failed", failed);
	if (cancelled > 0)
		(void)snprintf(text + n, CELL_BYTES - (size_t)n, ", %" PRIu64 " cancelled", cancelled);
}

/* A service never is done: how it fares instead. */
static void service_text(const json_t *service, char text[CELL_BYTES])
{
	uint64_t restarts = member_count(service, "restarts");
	int n = snprintf(text, CELL_BYTES, "service%s", member_true(service, "failing") ? ", failing" : "");

	if (restarts > 0) /* fits, as above */
		(void)snprintf(text + n, CELL_BYTES - (size_t)n, ", %" PRIu64 " restart%s", restarts,
			       restarts > 1 ? "s" : "");
}

static void cell_text(const struct column *column, const json_t *job, char text[CELL_BYTES])
{
	const json_t *value = json_object_get(job, column->member), *tasks = json_object_get(job, "tasks");
	double s = member_number(job, column->member, -1);
	char short_text[TEXT_DURATION_BYTES];

	*text = '\0';
	switch (column->kind) {
	case COLUMN_TEXT:
	case COLUMN_ID:
	case COLUMN_STATE:
		(void)snprintf(text, CELL_BYTES, "%s", member_text(job, column->member, "")); /* a cut cell is one too */
		return;
	case COLUMN_TIME:
		(void)snprintf(text, CELL_BYTES, "%.19s", member_text(job, column->member, ""));
		return;
	case COLUMN_DURATION:
		if (s >= 0) {
			text_format_duration((int64_t)(s * 1e9), short_text);
			(void)snprintf(text, CELL_BYTES, "%s", short_text);
		}
		return;
	case COLUMN_SIZE:
		if (json_is_integer(value)) {
			text_format_size(member_count(job, column->member), short_text);
			(void)snprintf(text, CELL_BYTES, "%s", short_text);
		}
		return;
	case COLUMN_COUNT:
		(void)snprintf(text, CELL_BYTES, "%" PRIu64, member_count(job, column->member));
		return;
	case COLUMN_TASKS:
		if (json_is_integer(json_object_get(tasks, column->member)))
			(void)snprintf(text, CELL_BYTES, "%" PRIu64, member_count(tasks, column->member));
		return;
	case COLUMN_DONE:
		if (json_is_object(json_object_get(job, "service")))
			service_text(json_object_get(job, "service"), text);
		else
			done_text(tasks, text);
		return;
	case COLUMN_ERROR:
		if (json_is_object(value))
			(void)snprintf(text, CELL_BYTES, "%s: %s", member_text(value, "code", "?"),
				       member_text(value, "message", ""));
		return;
	}
}

static bool is_right(enum column_kind kind)
{
	return kind == COLUMN_ID || kind == COLUMN_DURATION || kind == COLUMN_COUNT || kind == COLUMN_SIZE ||
	       kind == COLUMN_TASKS;
}

/* Columns by their names with commas between. */
static int parse_columns(const char *text, const struct column *shown[TABLE_MAX_COLUMNS], size_t *ret_n, struct error *err)
{
	for (*ret_n = 0;; text++) {
		size_t len = strcspn(text, ",");
		int r;

		if (*ret_n == TABLE_MAX_COLUMNS)
			return error_set(err, -EINVAL, "usage", "option '--columns': at most %d", TABLE_MAX_COLUMNS);
		r = find_column("columns", text, len, &shown[(*ret_n)++], err);
		if (r < 0)
			return r;
		text += len;
		if (!*text)
			return 0;
	}
}

/* Has any of the jobs something there? */
static bool is_used(const struct column *column, const json_t *jobs)
{
	const json_t *job;
	size_t i;

	json_array_foreach(jobs, i, job) {
		char text[CELL_BYTES];

		cell_text(column, job, text);
		if (*text)
			return true;
	}
	return false;
}

static int print_list(const struct ctl *ctl, const json_t *jobs, struct error *err)
{
	static const char usual[] = "job,state,workload,model,shape,done,time,created,label,waiting";
	const char *wanted = args_text(&ctl->args, "columns");
	const struct column *shown[TABLE_MAX_COLUMNS];
	struct table_column heads[TABLE_MAX_COLUMNS + 1] = { { NULL, false } };
	_cleanup_table_ struct table table;
	const json_t *job;
	size_t i, n = 0, n_asked;
	int r = parse_columns(wanted ? wanted : usual, shown, &n_asked, err);

	if (r < 0)
		return r;
	for (size_t c = 0; c < n_asked; c++)
		if (wanted || strcmp(shown[c]->key, "waiting") != 0 || is_used(shown[c], jobs))
			shown[n++] = shown[c];
	for (size_t c = 0; c < n; c++)
		heads[c] = (struct table_column){ shown[c]->title, is_right(shown[c]->kind) };
	table_init(&table, heads);
	json_array_foreach(jobs, i, job) {
		for (size_t c = 0; c < n; c++) {
			char text[CELL_BYTES];

			cell_text(shown[c], job, text);
			table_add(&table, text);
		}
	}
	return table_print(&table, stdout, ctl->color);
}

/* ---- Order ---- */

struct sortable {
	const json_t *job;
	double number;
	const char *text;
	size_t place; /* equal ones keep it */
};

static void sort_key(const struct column *column, struct sortable *s)
{
	const json_t *tasks = json_object_get(s->job, "tasks");
	uint64_t id = 0;

	s->text = member_text(s->job, column->member, "");
	s->number = 0;
	switch (column->kind) {
	case COLUMN_ID:
		(void)text_parse_u64(s->text, &id); /* 0 where it is none */
		s->number = -(double)id;
		return;
	case COLUMN_DURATION:
	case COLUMN_COUNT:
	case COLUMN_SIZE:
		s->number = -member_number(s->job, column->member, -1);
		return;
	case COLUMN_TASKS:
	case COLUMN_DONE:
		s->number = -(double)member_count(tasks, column->member);
		return;
	case COLUMN_STATE:
		while (s->number < (double)ARRAY_SIZE(states) && strcmp(states[(size_t)s->number], s->text) != 0)
			s->number++;
		return;
	case COLUMN_ERROR:
		s->text = member_text(json_object_get(s->job, column->member), "code", "");
		return;
	case COLUMN_TEXT:
	case COLUMN_TIME:
		return;
	}
}

static int by_number(const void *a, const void *b)
{
	const struct sortable *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

static int by_text(const void *a, const void *b)
{
	const struct sortable *x = a, *y = b;
	int r = strcmp(x->text, y->text);

	return r ? r : x->place < y->place ? -1 : 1;
}

static int by_time(const void *a, const void *b)
{
	const struct sortable *x = a, *y = b;
	int r = strcmp(y->text, x->text);

	return r ? r : x->place < y->place ? -1 : 1;
}

/* The first `limit` of them, as --sort and --reverse say. A new array, or NULL: out of memory. */
static json_t *arrange(const struct column *column, bool reverse, uint64_t limit, const json_t *jobs)
{
	size_t n = json_array_size(jobs);
	_cleanup_free_ struct sortable *all = calloc(n + 1, sizeof(*all));
	json_t *sorted = all ? json_array() : NULL;

	for (size_t i = 0; i < n && sorted; i++) {
		all[i] = (struct sortable){ .job = json_array_get(jobs, i), .place = i };
		if (column)
			sort_key(column, &all[i]);
	}
	if (sorted && column)
		qsort(all, n, sizeof(*all), column->kind == COLUMN_TIME ? by_time :
		      column->kind == COLUMN_TEXT || column->kind == COLUMN_ERROR ? by_text : by_number);
	for (size_t i = 0; i < n && i < limit && sorted; i++) {
		if (json_array_append(sorted, (json_t *)all[reverse ? n - 1 - i : i].job) < 0) {
			json_decref(sorted);
			sorted = NULL;
		}
	}
	return sorted;
}

/* ---- Asking ---- */

/* What is paused with all its jobs, loudly: nothing of it begins by itself. Beside the table, which may be read by a program. */
static void say_paused(const json_t *paused)
{
	const json_t *hold;
	size_t i;

	json_array_foreach(paused, i, hold) {
		const char *workload = member_text(hold, "workload", NULL);

		say("PAUSED: %s%s, since %.19s UTC; resume with: concctl resume %s%s", workload ? "workload " : "everything",
		    workload ? workload : "", member_text(hold, "since", "?"), workload ? "-w " : "--all", workload ? workload : "");
	}
}

/* One page of the list behind jobs, which has those before it. `below`: of the page before, 0 for the first. */
static int add_page(struct ctl *ctl, json_t *jobs, json_t *paused, uint64_t limit, uint64_t below, struct error *err)
{
	static const char *const keys[] = { "state", "workload", "label" };
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	_cleanup_buffer_ struct buffer url = BUFFER_INIT;
	int r = buffer_printf(&url, "/v1/jobs?limit=%" PRIu64, limit);

	if (r == 0 && below > 0)
		r = buffer_printf(&url, "&below=%" PRIu64, below);
	for (size_t i = 0; i < ARRAY_SIZE(keys) && r == 0; i++) {
		const char *value = args_text(&ctl->args, keys[i]);

		if (value)
			r = buffer_printf(&url, "&%s=", keys[i]) < 0 ? -ENOMEM : url_add(&url, value);
	}
	if (r == 0)
		r = buffer_add(&url, "", 1);
	if (r == 0)
		r = talk_get(ctl, (const char *)url.data, &doc, err);
	if (r == 0 && json_array_extend(jobs, json_object_get(doc.json, "jobs")) < 0 &&
	    json_is_array(json_object_get(doc.json, "jobs")))
		r = -ENOMEM;
	if (r == 0 && below == 0 && json_is_array(json_object_get(doc.json, "paused")) &&
	    json_array_extend(paused, json_object_get(doc.json, "paused")) < 0)
		r = -ENOMEM;
	return r;
}

static int collect_list(struct ctl *ctl, json_t *jobs, json_t *paused, uint64_t limit, struct error *err)
{
	uint64_t below = 0;

	for (;;) {
		size_t had = json_array_size(jobs), got;
		uint64_t want = limit - had < LIST_PAGE ? limit - had : LIST_PAGE;
		int r = add_page(ctl, jobs, paused, want, below, err);

		if (r < 0)
			return r;
		got = json_array_size(jobs) - had;
		if (got < want || json_array_size(jobs) >= limit)
			return 0;
		if (text_parse_u64(member_text(json_array_get(jobs, had + got - 1), "job", ""), &below) < 0)
			return error_set(err, -EPROTO, "internal", "the list has a job without a number");
	}
}

static int print_list_json(json_t *jobs, json_t *paused)
{
	_cleanup_json_ json_t *doc = json_pack("{s:i, s:O, s:O}", "schema", PROTOCOL_SCHEMA, "jobs", jobs, "paused", paused);
	_cleanup_free_ char *text = doc ? json_dumps(doc, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

	if (!text)
		return -ENOMEM;
	(void)puts(text); /* looked at when the command ends */
	return EXIT_OK;
}

static int parse_options(const struct ctl *ctl, uint64_t *limit, const struct column **ret_sort, struct error *err)
{
	const char *sort = args_text(&ctl->args, "sort"), *wanted = args_text(&ctl->args, "columns");
	const struct column *shown[TABLE_MAX_COLUMNS];
	size_t n;
	int r = args_count(&ctl->args, "limit", 1, LIST_MAX, limit, err);

	if (r == 0 && wanted)
		r = parse_columns(wanted, shown, &n, err); /* before anybody is asked */
	if (r == 0 && sort)
		r = find_column("sort", sort, strlen(sort), ret_sort, err);
	return r;
}

int command_list(struct ctl *ctl, struct error *err)
{
	_cleanup_json_ json_t *all = json_array(), *paused = json_array(), *jobs = NULL;
	const struct column *sort = NULL;
	uint64_t limit = LIST_LIMIT;
	bool reverse = args_flag(&ctl->args, "reverse");
	int r = parse_options(ctl, &limit, &sort, err);

	if (r == 0)
		r = collect_list(ctl, all, paused, (sort || reverse) && limit < SORT_MAX ? SORT_MAX : limit, err);
	if (r < 0)
		return r;
	jobs = arrange(sort, reverse, limit, all);
	if (!jobs)
		return -ENOMEM;
	if (ctl->json)
		return print_list_json(jobs, paused);
	if (!ctl->quiet)
		say_paused(paused);
	if (json_array_size(jobs) == 0) {
		if (!ctl->quiet)
			say("no jobs");
		return EXIT_OK;
	}
	r = print_list(ctl, jobs, err);
	if (r == 0 && json_array_size(jobs) == limit && !args_text(&ctl->args, "limit") && !ctl->quiet)
		say("the first %d; -n N shows more", LIST_LIMIT);
	return r;
}
