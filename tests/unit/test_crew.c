/* Crews with real worker processes and test plugins, under a layer above that keeps book of every task. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/spawn.h"
#include "config.h"
#include "crew/crew_private.h"
#include "crew/wire.h"
#include "crew/workload.h"

#define TIME_LIMIT_S 60 /* of one test; sanitizers are slow */

enum task_state { PENDING, OUT, ENDED, GUILTY, OVERDUE };

/* A job of the layer above: every move of a task is checked. */
struct book {
	struct world *world;
	struct crew_seat *seat;
	uint64_t n;
	uint8_t *state;
	uint64_t scan; /* nothing below is pending */
	uint64_t n_finished; /* ended, guilty or overdue */
	uint64_t n_done, n_failed, n_cancelled; /* of those that ended */
	uint64_t n_guilty, n_overdue, n_innocent, n_suspect, n_returned;
	uint64_t most_out;
	uint64_t special; /* this task has special_input */
	const char *special_input, *input; /* input NULL: the task's number */
	uint64_t finished_before_special; /* how many had, when it did */
	bool withdrawn; /* hands out nothing more */
	bool cancelled; /* on_cancelled was heard */
	int guilty_signal;
	unsigned int init_failures;
	char init_message[256];
};

struct world {
	char dir[64];
	struct config config;
	struct workload_config stanza;
	struct loop *loop;
	struct workloads *workloads;
	struct crews *crews;
	struct event *time_limit, *mischief;
	struct book *books[2];
	bool stop_on_ready, stopped;
	unsigned int random;
	unsigned int kills;
};

/* ---- The layer above ---- */

static const char *input_of(const struct book *b, uint64_t task, char text[24])
{
	if (b->special_input && task == b->special)
		return b->special_input;
	if (b->input)
		return b->input;
	(void)snprintf(text, 24, "%llu", (unsigned long long)task);
	return text;
}

static int next_of(struct book *b, uint32_t max_tasks, struct crew_batch *ret_batch)
{
	static struct buffer packed;
	uint32_t room = crew_seat_room(b->seat);
	char text[24];

	if (room < max_tasks)
		max_tasks = room;
	while (b->scan < b->n && b->state[b->scan] != PENDING)
		b->scan++;
	if (b->withdrawn || max_tasks == 0 || b->scan == b->n)
		return -EAGAIN;
	*ret_batch = (struct crew_batch){ .seat = b->seat, .first = b->scan };
	packed.len = 0;
	while (ret_batch->count < max_tasks && b->scan < b->n && b->state[b->scan] == PENDING) {
		size_t before = packed.len;

		assert_int_equal(buffer_add_text(&packed, input_of(b, b->scan, text)), 0);
		if (packed.len > RING_CHUNK_INPUT_BYTES && ret_batch->count > 0) {
			packed.len = before;
			break;
		}
		b->state[b->scan++] = OUT;
		ret_batch->count++;
	}
	ret_batch->packed = packed.data;
	ret_batch->packed_bytes = packed.len;
	return 0;
}

static int on_next(void *ctx, struct crew *crew, uint32_t max_tasks, struct crew_batch *ret_batch)
{
	struct world *w = ctx;

	for (size_t i = 0; i < ARRAY_SIZE(w->books); i++) {
		struct book *b = w->books[i];

		if (b && b->seat && crew_of(b->seat) == crew && next_of(b, max_tasks, ret_batch) == 0)
			return 0;
	}
	return -EAGAIN;
}

static void finish(struct book *b, uint64_t task, enum task_state state)
{
	assert_true(task < b->n);
	if (b->state[task] != OUT)
		fail_msg("task %llu came back twice: state %d", (unsigned long long)task, b->state[task]);
	b->state[task] = (uint8_t)state;
	if (b->special_input && task == b->special)
		b->finished_before_special = b->n_finished;
	b->n_finished++;
}

static void on_ended(void *ctx, const struct crew_ended *ended)
{
	struct book *b = ended->user;
	char text[24];

	(void)ctx;
	finish(b, ended->task, ENDED);
	b->n_done += ended->status == RING_DONE;
	b->n_failed += ended->status != RING_DONE && ended->status != RING_CANCELLED;
	b->n_cancelled += ended->status == RING_CANCELLED;
	if (ended->status == RING_DONE && !b->input && !(b->special_input && ended->task == b->special)) {
		(void)input_of(b, ended->task, text);
		assert_int_equal(ended->len, strlen(text));
		assert_memory_equal(ended->data, text, ended->len);
	}
}

static void come_back(struct book *b, uint64_t task)
{
	assert_true(task < b->n && b->state[task] == OUT);
	b->state[task] = PENDING;
	if (task < b->scan)
		b->scan = task;
}

static void on_returned(void *ctx, void *user, uint64_t first, uint64_t count)
{
	struct book *b = user;

	(void)ctx;
	for (uint64_t i = 0; i < count; i++)
		come_back(b, first + i);
	b->n_returned += count;
}

static void on_lost(void *ctx, const struct crew_loss *loss)
{
	struct book *b = loss->user;

	(void)ctx;
	switch (loss->verdict) {
	case CREW_GUILTY:
		assert_true(loss->on_crash);
		b->n_guilty++;
		b->guilty_signal = loss->signal;
		if (b->special_input && loss->task == b->special)
			finish(b, loss->task, GUILTY);
		else
			come_back(b, loss->task); /* a kill from outside: max_crashes = 0 */
		break;
	case CREW_OVERDUE:
		assert_false(loss->on_crash);
		b->n_overdue++;
		finish(b, loss->task, OVERDUE);
		break;
	case CREW_SUSPECT:
		b->n_suspect++;
		come_back(b, loss->task);
		break;
	case CREW_INNOCENT:
		b->n_innocent++;
		come_back(b, loss->task);
	}
}

static bool all_finished(const struct world *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->books); i++) {
		if (w->books[i] && w->books[i]->n_finished < w->books[i]->n)
			return false;
	}
	return true;
}

static void on_settled(void *ctx, struct crew *crew)
{
	struct world *w = ctx;

	if (!crew) {
		if (w->stop_on_ready)
			loop_stop(w->loop);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(w->books); i++) {
		struct book *b = w->books[i];

		if (b && b->seat && crew_seat_out(b->seat) > b->most_out)
			b->most_out = crew_seat_out(b->seat);
	}
	if (all_finished(w))
		loop_stop(w->loop);
}

static void on_init_failed(void *ctx, struct crew *crew, void *user, const char *message)
{
	struct book *b = user;
	struct world *w = ctx;

	(void)crew;
	assert_int_equal(crew_seat_out(b->seat), 0);
	b->init_failures++;
	b->withdrawn = true;
	(void)snprintf(b->init_message, sizeof(b->init_message), "%s", message);
	loop_stop(w->loop);
}

static void on_cancelled(void *ctx, void *user)
{
	struct book *b = user;
	struct world *w = ctx;

	assert_int_equal(crew_seat_out(b->seat), 0);
	assert_false(b->cancelled);
	b->cancelled = true;
	loop_stop(w->loop);
}

static const struct crew_ops ops = {
	.next = on_next,
	.on_ended = on_ended,
	.on_returned = on_returned,
	.on_lost = on_lost,
	.on_settled = on_settled,
	.on_init_failed = on_init_failed,
	.on_cancelled = on_cancelled,
};

/* ---- The world ---- */

static void on_time_limit(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < ARRAY_SIZE(w->books); i++) {
		if (w->books[i])
			print_error("book %zu: %llu of %llu finished, %llu out\n", i,
				    (unsigned long long)w->books[i]->n_finished, (unsigned long long)w->books[i]->n,
				    w->books[i]->seat ? (unsigned long long)crew_seat_out(w->books[i]->seat) : 0);
	}
	fail_msg("the test takes too long");
}

static const char *build_dir(void)
{
	const char *dir = getenv("top_builddir");

	return dir ? dir : ".";
}

static void run_loop(struct world *w)
{
	const struct timeval limit = { .tv_sec = TIME_LIMIT_S };

	assert_int_equal(event_add(w->time_limit, &limit), 0);
	assert_int_equal(loop_run(w->loop), 0);
	(void)event_del(w->time_limit);
}

static void open_crews(struct world *w)
{
	struct crews_options options = {
		.worker_path = w->config.worker_path, .state_dir = w->dir, .max_processes = 16, .ops = &ops, .ctx = w,
	};
	struct error err = ERROR_INIT;

	if (crews_open(w->loop, NULL, &options, &w->crews, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char *text = NULL;

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/concd-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_true(asprintf(&text, "%s/concd-worker", build_dir()) > 0);
	w->config.worker_path = text;
	assert_true(asprintf(&text, "%s/plugins-used", w->dir) > 0);
	w->config.plugin_dir = text; /* is not there: only what a test names is described */
	w->stanza = (struct workload_config){
		.model = (char *)"auto", .thread_safe = true, .idempotent = true, .deterministic = true,
		.grace_ns = NS_PER_S, .idle_timeout_ns = 30 * NS_PER_S, .stall_ns = 50 * NS_PER_MS,
		.start_timeout_ns = 30 * NS_PER_S, .max_result_bytes = 1 << 20,
	};
	w->config.workloads = &w->stanza;
	w->config.n_workloads = 1;
	assert_int_equal(loop_open(&w->loop), 0);
	w->time_limit = evtimer_new(loop_base(w->loop), on_time_limit, w);
	assert_non_null(w->time_limit);
	w->random = 1;
	log_open(LOG_LEVEL_ERROR, LOG_TARGET_STDERR); /* the warnings are what the tests provoke */
	open_crews(w);
	*state = w;
	return 0;
}

static void book_close(struct world *w, size_t i)
{
	struct book *b = w->books[i];

	if (!b)
		return;
	w->books[i] = NULL;
	if (b->seat)
		crew_leave(b->seat);
	free(b->state);
	free(b);
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	if (w->mischief)
		event_free(w->mischief);
	for (size_t i = 0; i < ARRAY_SIZE(w->books); i++) {
		if (w->books[i] && w->books[i]->seat && crew_seat_out(w->books[i]->seat) > 0)
			w->books[i]->seat = NULL; /* a failed test: crews_close() frees it */
		book_close(w, i);
	}
	crews_close(w->crews);
	workloads_close(w->workloads);
	event_free(w->time_limit);
	loop_close(w->loop);
	free(w->config.worker_path);
	free(w->config.plugin_dir);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

/* Describe the plugin (tests/plugins, or plugins with "/" in front). */
static const struct workload *use_plugin(struct world *w, const char *name)
{
	struct error err = ERROR_INIT;
	const struct workload *workload = NULL;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s%s/%s/.libs/%s.so", build_dir()[0] == '/' ? "" : "/proc/self/cwd/",
		       build_dir(), name[0] == '/' ? "plugins" : "tests/plugins", name[0] == '/' ? name + 1 : name);
	w->stanza.name = (char *)"workload";
	w->stanza.plugin = path;
	if (workloads_open(&w->config, NULL, &w->workloads, &err) < 0)
		fail_msg("%s", err.text);
	if (workloads_find(w->workloads, "workload", &workload, &err) < 0)
		fail_msg("%s", err.text);
	return workload;
}

static struct book *submit(struct world *w, size_t i, const struct workload *workload, const char *shape, uint64_t n,
			   struct crew_job job)
{
	struct crew_request request = { .workload = workload };
	struct error err = ERROR_INIT;
	struct book *b = calloc(1, sizeof(*b));
	struct crew *crew = NULL;
	struct config_pair params[16];

	assert_non_null(b);
	assert_int_equal(shape_parse(shape, &request.shape, &err), 0);
	b->world = w;
	b->n = n;
	b->state = calloc(n, 1);
	assert_non_null(b->state);
	if (crews_get(w->crews, &request, &crew, &err) < 0)
		fail_msg("%s", err.text);
	job.id = i + 1;
	if (job.workers == 0)
		job.workers = (uint32_t)shape_workers(&request.shape);
	if (job.grace_ns == 0)
		job.grace_ns = NS_PER_S;
	assert_true(workload->info->n_params <= ARRAY_SIZE(params));
	for (size_t p = 0; p < workload->info->n_params; p++) {
		params[p].name = workload->info->params[p].name;
		params[p].value = workload->info->params[p].value;
		for (size_t s = 0; s < w->stanza.n_params; s++) {
			if (strcmp(w->stanza.params[s].name, params[p].name) == 0)
				params[p].value = w->stanza.params[s].value;
		}
	}
	job.params = params;
	job.n_params = workload->info->n_params;
	assert_int_equal(crew_join(crew, &job, b, &b->seat), 0);
	w->books[i] = b;
	crew_kick(crew);
	return b;
}

static const char *const shapes[] = { "1x1x1", "1x1x100", "1x2x1", "2x1x1", "2x2x10" };

/* ---- Tests ---- */

static void every_task_comes_back_once_under_every_shape(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "noop");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b = submit(w, 0, workload, shapes[i], 20000, (struct crew_job){ .idempotent = true });

		run_loop(w);
		assert_int_equal(b->n_done, b->n);
		assert_int_equal(crew_seat_out(b->seat), 0);
		assert_true(crew_seat_peak_rss_bytes(b->seat) > 0);
		assert_int_equal(b->n_guilty + b->n_innocent + b->n_suspect, 0);
		book_close(w, 0);
	}
}

static struct proc *some_process(struct world *w)
{
	struct crew *crew = w->books[0] && w->books[0]->seat ? crew_of(w->books[0]->seat) : NULL;
	uint32_t at = crew ? (uint32_t)rand_r(&w->random) % crew->shape.processes : 0;

	return crew && crew->procs[at] && proc_is_ready(crew->procs[at]) ? crew->procs[at] : NULL;
}

static void on_kill_time(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;
	struct proc *proc = some_process(w);
	const struct timeval next = { .tv_usec = 1000 + rand_r(&w->random) % 20000 };

	(void)fd;
	(void)what;
	if (proc && w->kills < 10) {
		assert_true(spawn_kill(proc->pidfd, SIGKILL) <= 0);
		w->kills++;
	}
	assert_int_equal(event_add(w->mischief, &next), 0);
}

static void killed_processes_lose_and_double_nothing(void **state)
{
	static const char *const of[] = { "1x1x1", "1x1x20", "1x2x1", "2x1x1", "2x2x10" };
	const struct timeval soon = { .tv_usec = 5000 };
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "spin");

	w->mischief = evtimer_new(loop_base(w->loop), on_kill_time, w);
	assert_non_null(w->mischief);
	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		struct book *b = submit(w, 0, workload, of[i], 4000, (struct crew_job){ .idempotent = true });

		b->input = "50";
		w->kills = 0;
		assert_int_equal(event_add(w->mischief, &soon), 0);
		run_loop(w);
		(void)event_del(w->mischief);
		assert_int_equal(b->n_done, b->n);
		assert_true(w->kills > 0);
		book_close(w, 0);
	}
}

static void a_crashing_input_is_guilty_and_only_it(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "crash");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b = submit(w, 0, workload, shapes[i], 1000, (struct crew_job){ .idempotent = true });

		b->special = 500;
		b->special_input = "crash";
		run_loop(w);
		assert_int_equal(b->n_done, b->n - 1);
		assert_int_equal(b->n_guilty, 1);
		assert_int_equal(b->state[500], GUILTY);
		if (!getenv("SANITIZER") || getenv("SANITIZER")[0] == '\0')
			assert_int_equal(b->guilty_signal, SIGSEGV);
		book_close(w, 0);
	}
}

static void a_death_by_exit_is_blamed_on_the_only_task(void **state)
{
	struct config_pair params[] = { { (char *)"signal", (char *)"exit" } };
	struct world *w = *state;
	struct book *b;

	w->stanza.params = params;
	w->stanza.n_params = 1;
	b = submit(w, 0, use_plugin(w, "crash"), "1x1x1", 10, (struct crew_job){ .idempotent = true });
	b->special = 3;
	b->special_input = "crash";
	run_loop(w);
	assert_int_equal(b->n_done, 9);
	assert_int_equal(b->n_guilty, 1);
	assert_int_equal(b->guilty_signal, 0);
}

static void on_cancel_time(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;
	struct book *b = w->books[0];
	const struct timeval again = { .tv_usec = 2000 };

	(void)fd;
	(void)what;
	if (crew_seat_running(b->seat) == 0) {
		assert_int_equal(event_add(w->mischief, &again), 0);
		return;
	}
	b->withdrawn = true;
	crew_cancel(b->seat, WIRE_CANCEL_USER);
}

static void run_until_cancelled(struct world *w)
{
	const struct timeval soon = { .tv_usec = 20000 };

	w->mischief = evtimer_new(loop_base(w->loop), on_cancel_time, w);
	assert_non_null(w->mischief);
	assert_int_equal(event_add(w->mischief, &soon), 0);
	run_loop(w);
	event_free(w->mischief);
	w->mischief = NULL;
}

static void cancelled_tasks_end_by_themselves_within_grace(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "/sleeper");

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct book *b = submit(w, 0, workload, shapes[i], 300,
					(struct crew_job){ .idempotent = true, .grace_ns = 30 * NS_PER_S });

		b->input = "1000s";
		run_until_cancelled(w);
		assert_true(b->cancelled);
		assert_true(b->n_cancelled > 0);
		assert_int_equal(b->n_overdue + b->n_innocent, 0);
		book_close(w, 0);
	}
}

static void what_ignores_its_cancel_is_killed_after_grace(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "hang");
	static const char *const of[] = { "1x1x1", "1x1x10", "1x2x1", "2x1x1" };

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		struct book *b = submit(w, 0, workload, of[i], 4,
					(struct crew_job){ .idempotent = true, .grace_ns = 100 * NS_PER_MS });

		b->input = "hang";
		run_until_cancelled(w);
		assert_true(b->cancelled);
		assert_true(b->n_overdue >= 1);
		assert_int_equal(b->n_guilty + b->n_suspect, 0);
		book_close(w, 0);
	}
}

static void a_task_over_its_time_limit_is_ended_and_its_neighbours_run_again(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "hang");
	struct book *b = submit(w, 0, workload, "1x2x1", 50,
				(struct crew_job){ .idempotent = true, .task_timeout_ns = 50 * NS_PER_MS,
						   .grace_ns = 50 * NS_PER_MS });

	b->special = 7;
	b->special_input = "hang";
	run_loop(w);
	assert_int_equal(b->n_overdue, 1);
	assert_int_equal(b->state[7], OVERDUE);
	assert_int_equal(b->n_done, 49);
	assert_int_equal(b->n_guilty + b->n_suspect, 0);
}

static void a_short_task_does_not_wait_behind_a_long_one(void **state)
{
	struct world *w = *state;
	struct book *b = submit(w, 0, use_plugin(w, "/sleeper"), "1x2x1", 3000, (struct crew_job){ .idempotent = true });

	b->input = "0";
	b->special = 1500;
	b->special_input = "700ms";
	run_loop(w);
	assert_int_equal(b->n_done, b->n);
	assert_int_equal(b->finished_before_special, b->n - 1);
}

static void a_limit_of_workers_is_kept(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "/sleeper");
	static const char *const of[] = { "1x4x1", "1x1x100" };

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		struct book *b = submit(w, 0, workload, of[i], 60, (struct crew_job){ .idempotent = true, .workers = 2 });

		b->input = "2ms";
		run_loop(w);
		assert_int_equal(b->n_done, b->n);
		assert_true(b->most_out <= 2);
		book_close(w, 0);
	}
}

static void tasks_that_must_not_run_twice_go_to_free_workers_only(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "noop");
	static const char *const of[] = { "1x2x1", "1x1x5" };
	static const uint64_t workers[] = { 2, 5 };

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		struct book *b = submit(w, 0, workload, of[i], 500, (struct crew_job){ .idempotent = false });

		run_loop(w);
		assert_int_equal(b->n_done, b->n);
		assert_true(b->most_out <= workers[i]);
		book_close(w, 0);
	}
}

static void two_jobs_share_a_crew(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "noop");
	struct book *a = submit(w, 0, workload, "1x2x1", 3000, (struct crew_job){ .idempotent = true });
	struct book *b = submit(w, 1, workload, "1x2x1", 3000, (struct crew_job){ .idempotent = true });

	assert_ptr_equal(crew_of(a->seat), crew_of(b->seat));
	run_loop(w);
	assert_int_equal(a->n_done + b->n_done, 6000);
	assert_int_equal(crew_of(a->seat)->starts, 1);
}

static void three_failed_starts_in_a_row_fail_the_jobs_and_the_next_submission_tries_once(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "init_fail");
	struct book *b = submit(w, 0, workload, "1x1x1", 5, (struct crew_job){ .idempotent = true });
	struct crew *crew = crew_of(b->seat);

	run_loop(w);
	assert_int_equal(b->init_failures, 1);
	assert_int_equal(b->n_finished, 0);
	assert_true(strlen(b->init_message) > 0);
	assert_int_equal(crew->starts, 3);
	b->withdrawn = false;
	crew_kick(crew);
	run_loop(w);
	assert_int_equal(b->init_failures, 2);
	assert_int_equal(crew->starts, 4);
}

static void a_worker_program_that_is_missing_fails_the_jobs(void **state)
{
	struct world *w = *state;
	const struct workload *workload = use_plugin(w, "noop");
	struct book *b;

	free(w->crews->worker_path);
	w->crews->worker_path = strdup("/nonexistent/concd-worker");
	b = submit(w, 0, workload, "2x1x1", 5, (struct crew_job){ .idempotent = true });
	run_loop(w);
	assert_int_equal(b->init_failures, 1);
	assert_non_null(strstr(b->init_message, "/nonexistent/concd-worker"));
}

static void on_stopped(void *arg)
{
	struct world *w = arg;

	w->stopped = true;
	loop_stop(w->loop);
}

static void on_stop_time(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;
	const struct timeval again = { .tv_usec = 2000 };

	(void)fd;
	(void)what;
	if (crew_seat_running(w->books[0]->seat) == 0) {
		assert_int_equal(event_add(w->mischief, &again), 0);
		return;
	}
	crews_stop(w->crews, 100 * NS_PER_MS, on_stopped, w);
}

static void a_stop_brings_every_task_back(void **state)
{
	const struct timeval soon = { .tv_usec = 20000 };
	struct world *w = *state;
	struct book *b = submit(w, 0, use_plugin(w, "hang"), "2x1x1", 100, (struct crew_job){ .idempotent = true });

	b->special = 0;
	b->special_input = "hang";
	b->input = "hang";
	w->mischief = evtimer_new(loop_base(w->loop), on_stop_time, w);
	assert_non_null(w->mischief);
	assert_int_equal(event_add(w->mischief, &soon), 0);
	run_loop(w);
	assert_true(w->stopped);
	assert_int_equal(crew_seat_out(b->seat), 0);
	assert_int_equal(b->n_finished, 0);
	assert_true(b->n_innocent >= 1 && b->n_returned >= 1);
}

static void a_stop_with_nothing_to_do_is_answered(void **state)
{
	struct world *w = *state;

	crews_stop(w->crews, NS_PER_S, on_stopped, w);
	run_loop(w);
	assert_true(w->stopped);
}

static void on_scribble_time(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;
	struct crew *crew = crew_of(w->books[0]->seat);
	struct stat st;
	void *p;

	(void)fd;
	(void)what;
	if (!crew->ring || crew_seat_running(w->books[0]->seat) == 0) {
		const struct timeval again = { .tv_usec = 2000 };

		assert_int_equal(event_add(w->mischief, &again), 0);
		return;
	}
	assert_int_equal(fstat(ring_segment_fd(crew->ring), &st), 0);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring_segment_fd(crew->ring), 0);
	assert_true(p != MAP_FAILED);
	memset(p, 0x5a, (size_t)st.st_size);
	(void)munmap(p, (size_t)st.st_size);
	w->kills++;
}

static void garbage_in_the_shared_memory_costs_processes_and_no_task(void **state)
{
	const struct timeval soon = { .tv_usec = 50000 };
	struct world *w = *state;
	struct book *b = submit(w, 0, use_plugin(w, "/sleeper"), "2x1x1", 200, (struct crew_job){ .idempotent = true });

	b->input = "2ms";
	log_open(LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
	w->mischief = evtimer_new(loop_base(w->loop), on_scribble_time, w);
	assert_non_null(w->mischief);
	assert_int_equal(event_add(w->mischief, &soon), 0);
	run_loop(w);
	assert_int_equal(w->kills, 1);
	assert_int_equal(b->n_done, b->n);
	assert_int_equal(b->n_guilty + b->n_suspect, 0);
}

static void nothing_is_handed_out_while_a_survivor_holds_the_lock(void **state)
{
	const struct timeval soon = { .tv_usec = 50000 };
	struct world *w = *state;
	char path[128];
	int fd;

	crews_close(w->crews);
	(void)snprintf(path, sizeof(path), "%s/workers.lock", w->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	open_crews(w);
	w->stop_on_ready = true;
	assert_int_equal(event_base_loopexit(loop_base(w->loop), &soon), 0);
	assert_int_equal(loop_run(w->loop), 0);
	assert_false(crews_ready(w->crews));
	(void)close(fd);
	run_loop(w);
	assert_true(crews_ready(w->crews));
}

static void an_idle_crew_ends_after_its_time(void **state)
{
	struct world *w = *state;
	const struct workload *workload;
	struct book *b;

	w->stanza.idle_timeout_ns = 10 * NS_PER_MS;
	workload = use_plugin(w, "noop");
	b = submit(w, 0, workload, "2x1x1", 100, (struct crew_job){ .idempotent = true });
	run_loop(w);
	assert_int_equal(b->n_done, b->n);
	book_close(w, 0);
	for (int i = 0; i < 10000 && w->crews->list; i++)
		assert_true(event_base_loop(loop_base(w->loop), EVLOOP_ONCE) >= 0);
	assert_null(w->crews->list);
	assert_int_equal(w->crews->n_processes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_task_comes_back_once_under_every_shape),
		TEST(killed_processes_lose_and_double_nothing),
		TEST(a_crashing_input_is_guilty_and_only_it),
		TEST(a_death_by_exit_is_blamed_on_the_only_task),
		TEST(cancelled_tasks_end_by_themselves_within_grace),
		TEST(what_ignores_its_cancel_is_killed_after_grace),
		TEST(a_task_over_its_time_limit_is_ended_and_its_neighbours_run_again),
		TEST(a_short_task_does_not_wait_behind_a_long_one),
		TEST(a_limit_of_workers_is_kept),
		TEST(tasks_that_must_not_run_twice_go_to_free_workers_only),
		TEST(two_jobs_share_a_crew),
		TEST(three_failed_starts_in_a_row_fail_the_jobs_and_the_next_submission_tries_once),
		TEST(a_worker_program_that_is_missing_fails_the_jobs),
		TEST(a_stop_brings_every_task_back),
		TEST(a_stop_with_nothing_to_do_is_answered),
		TEST(garbage_in_the_shared_memory_costs_processes_and_no_task),
		TEST(nothing_is_handed_out_while_a_survivor_holds_the_lock),
		TEST(an_idle_crew_ends_after_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
