/* Commands about the daemon itself: status, ping, version, shutdown. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "protocol.h"
#include "table.h"
#include "talk.h"

#define COUNTS_BYTES 256 /* of jobs by state, in words */

static const char *size_text(uint64_t bytes, char text[TEXT_DURATION_BYTES])
{
	text_format_size(bytes, text);
	return text;
}

static int print_crews(const json_t *crews, bool color)
{
	static const struct table_column columns[] = {
		{ "WORKLOAD", false }, { "SHAPE", false }, { "PROCESSES", true }, { "IDLE", true }, { "JOBS", true },
		{ "TASKS", true }, { "STARTS", true }, { "DEATHS", true }, { "MEMORY", true }, { "NOTE", false },
		{ NULL, false },
	};
	_cleanup_table_ struct table table;
	char size[TEXT_DURATION_BYTES];
	const json_t *crew;
	size_t i;

	table_init(&table, columns);
	json_array_foreach(crews, i, crew) {
		table_add(&table, member_text(crew, "workload", ""));
		table_printf(&table, "%s%s", member_text(crew, "shape", ""),
			     member_true(crew, "dedicated") ? " dedicated" : "");
		table_printf(&table, "%" PRIu64, member_count(crew, "processes"));
		table_printf(&table, "%" PRIu64, member_count(crew, "idle_runners"));
		table_printf(&table, "%" PRIu64, member_count(crew, "jobs"));
		table_printf(&table, "%" PRIu64, member_count(crew, "tasks_out"));
		table_printf(&table, "%" PRIu64, member_count(crew, "starts"));
		table_printf(&table, "%" PRIu64, member_count(crew, "deaths"));
		table_add(&table, size_text(member_count(crew, "rss_bytes"), size));
		table_add(&table, member_text(crew, "note", ""));
	}
	if (table.n_cells == 0)
		return 0;
	(void)putchar('\n');
	return table_print(&table, stdout, color);
}

/* "1 running, 2 paused"; "": none. */
static void format_counts(const json_t *jobs, const char *const *states, size_t n_states, char ret_text[COUNTS_BYTES])
{
	*ret_text = '\0';
	for (size_t i = 0; i < n_states; i++) {
		uint64_t n = member_count(jobs, states[i]);
		size_t len = strlen(ret_text);

		if (n > 0)
			(void)snprintf(ret_text + len, COUNTS_BYTES - len, "%s%" PRIu64 " %s", len > 0 ? ", " : "", n, states[i]);
	}
}

/* Those that live, and, as the daemon counts them anew with each start, those that have ended. */
static void print_jobs_by_state(const json_t *jobs)
{
	static const char *const live[] = { "open", "queued", "running", "paused" }, *const ended[] = { "done", "failed", "cancelled" };
	char text[COUNTS_BYTES];

	format_counts(jobs, live, ARRAY_SIZE(live), text);
	print_field("jobs", "%s", *text ? text : "none");
	format_counts(jobs, ended, ARRAY_SIZE(ended), text);
	if (*text)
		print_field("ended", "%s since the start", text);
}

static void print_services(const json_t *services)
{
	uint64_t total = member_count(services, "total"), failing = member_count(services, "failing");

	if (total > 0 && failing > 0)
		print_field("services", "%" PRIu64 ", %" PRIu64 " of them failing: `concctl list` says which", total, failing);
	else if (total > 0)
		print_field("services", "%" PRIu64, total);
}

/* What is held, loudly: nothing of it will ever run by itself. */
static void print_paused(const json_t *paused)
{
	const json_t *hold;
	size_t i;

	json_array_foreach(paused, i, hold) {
		const char *workload = member_text(hold, "workload", NULL);

		print_field("PAUSED", "%s%s, since %.19s UTC; resume with: concctl resume %s%s", workload ? "workload " : "everything",
			    workload ? workload : "", member_text(hold, "since", "?"), workload ? "-w " : "--all",
			    workload ? workload : "");
	}
}

static bool max_reached(uint64_t n, uint64_t most)
{
	return most > 0 && n >= most;
}

/* What is unfinished of what may be: of all, and of whoever asks where less is allowed to one. Other users where they are at a
 * limit. */
static void print_unfinished(const json_t *doc)
{
	const json_t *all = json_object_get(doc, "unfinished"), *limits = json_object_get(doc, "limits");
	uint64_t caller = member_count(doc, "caller"), most_jobs = member_count(limits, "max_jobs_per_user");
	uint64_t most_tasks = member_count(limits, "max_queued_tasks_per_user");
	uint64_t most_bytes = member_count(limits, "max_queued_per_user_bytes");
	char bytes[TEXT_DURATION_BYTES], most[TEXT_DURATION_BYTES], name[32];
	const json_t *user;
	size_t i;

	print_field("unfinished", "%" PRIu64 " of %" PRIu64 " jobs, %" PRIu64 " of %" PRIu64 " tasks, %s of %s of inputs",
		    member_count(all, "jobs"), member_count(limits, "max_jobs"), member_count(all, "tasks"),
		    member_count(limits, "max_queued_tasks"), size_text(member_count(all, "input_bytes"), bytes),
		    size_text(member_count(limits, "max_queued_bytes"), most));
	json_array_foreach(json_object_get(all, "users"), i, user) {
		bool own = member_count(user, "user") == caller && !member_true(limits, "exempt");
		uint64_t jobs = member_count(user, "jobs"), tasks = member_count(user, "tasks");
		uint64_t size = member_count(user, "input_bytes");

		if (!own && !max_reached(jobs, most_jobs) && !max_reached(tasks, most_tasks) && !max_reached(size, most_bytes))
			continue;
		(void)snprintf(name, sizeof(name), own ? "yours" : "user %" PRIu64, member_count(user, "user"));
		print_field(name, "%" PRIu64 " of %" PRIu64 " jobs, %" PRIu64 " of %" PRIu64 " tasks, %s of %s of inputs", jobs,
			    most_jobs, tasks, most_tasks, size_text(size, bytes), size_text(most_bytes, most));
	}
}

int command_status(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	char text[TEXT_DURATION_BYTES];
	const json_t *memory, *store;
	int r = talk_get(ctl, "/v1/status", &doc, err);

	if (r < 0)
		return r;
	if (ctl->json)
		return document_print(&doc, err);
	memory = json_object_get(doc.json, "memory");
	store = json_object_get(doc.json, "store");
	text_format_duration((int64_t)(member_number(doc.json, "uptime_s", 0) * 1e9), text);
	print_field("concd", "%s, process %" PRIu64 ", user %s, up %s", member_text(doc.json, "version", "?"),
	     member_count(doc.json, "pid"), member_text(doc.json, "user", "?"), text);
	print_field("socket", "%s", member_text(doc.json, "socket", "?"));
	print_paused(json_object_get(doc.json, "paused"));
	print_jobs_by_state(json_object_get(doc.json, "jobs"));
	print_services(json_object_get(doc.json, "services"));
	print_unfinished(doc.json);
	print_field("tasks", "%" PRIu64 " done since the start", member_count(doc.json, "tasks_done"));
	print_field("clients", "%" PRIu64, member_count(doc.json, "clients"));
	print_field("memory", "%s", size_text(member_count(memory, "rss_bytes"), text));
	print_field("store", "%s, %s, %" PRIu64 " commits%s%s", member_text(store, "path", "?"),
	     size_text(member_count(store, "bytes"), text), member_count(store, "commits"),
	     member_true(store, "stalled") ? ", stalled: " : "",
	     member_true(store, "stalled") ? member_text(store, "why", "") : "");
	if (*member_text(doc.json, "trouble", ""))
		print_field("trouble", "%s", member_text(doc.json, "trouble", ""));
	return print_crews(json_object_get(doc.json, "crews"), ctl->color);
}

int command_ping(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	char text[TEXT_DURATION_BYTES];
	int64_t begun = clock_mono_ns();
	int r = talk_document(ctl, "GET", "/v1/ping", NULL, 0, 5000, &doc, err);

	if (r < 0)
		return r;
	if (ctl->json)
		return document_print(&doc, err);
	text_format_duration(clock_mono_ns() - begun, text);
	if (!ctl->quiet)
		(void)printf("concd answers in %s\n", text);
	return EXIT_OK;
}

int command_version(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	int r;

	if (!ctl->json)
		(void)printf("concctl %s (protocol %d)\n", PACKAGE_VERSION, PROTOCOL_VERSION);
	r = talk_get(ctl, "/v1/version", &doc, err);
	if (r < 0)
		return r;
	if (ctl->json)
		return document_print(&doc, err);
	(void)printf("concd %s (protocol %" PRIu64 ", plugin ABI %" PRIu64 ")\n",
		     member_text(doc.json, "version", "?"), member_count(doc.json, "protocol"),
		     member_count(doc.json, "abi"));
	return EXIT_OK;
}

/* A handle on the daemon's process, to see its end. -1 where there is none (another pid namespace). */
static int daemon_handle(struct ctl *ctl)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	uint64_t pid;

	if (talk_get(ctl, "/v1/status", &doc, NULL) < 0)
		return -1;
	pid = member_count(doc.json, "pid");
	if (pid == 0 || pid > INT32_MAX)
		return -1;
	return (int)syscall(SYS_pidfd_open, (int)pid, 0);
}

int command_shutdown(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	bool wait = !args_flag(&ctl->args, "no-wait");
	_cleanup_close_ int handle = wait ? daemon_handle(ctl) : -1;
	struct pollfd fd = { .fd = handle, .events = POLLIN };
	int r = talk_document(ctl, "POST", "/v1/shutdown", NULL, 0, TALK_TIMEOUT_MS, &doc, err);

	if (r < 0)
		return r;
	while (handle >= 0 && poll(&fd, 1, -1) < 0 && errno == EINTR)
		;
	if (ctl->json)
		return document_print(&doc, err);
	if (!ctl->quiet)
		(void)puts(handle >= 0 ? "concd has ended" : "concd is stopping");
	return EXIT_OK;
}
