/* A world for tests of crews. */
#include "crew_world.h"

#include <errno.h>

#define TIME_LIMIT_S 60 /* of one run; sanitizers are slow */

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
	uint32_t room = crew_seat_room(b->seat, UINT64_MAX, false);
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

static void one_ended(struct book *b, const struct crew_ended *ended)
{
	char text[24];

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

static void on_ended(void *ctx, const struct crew_run *run)
{
	(void)ctx;
	for (uint32_t i = 0; i < run->n; i++) {
		const struct crew_ended ended = crew_run_at(run, i);

		assert_true(ended.status == RING_DONE || !run->all_done);
		one_ended(run->user, &ended);
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
		loop_stop(w->loop); /* the barrier is passed */
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

static void on_stall(void *ctx, const struct crew_stall *stall)
{
	struct world *w = ctx;
	struct book *b = stall->user;

	assert_ptr_equal(b->world, w);
	if (stall->ended)
		b->n_stalls_ended++;
	else
		b->n_stalls++;
	b->last_stall = *stall;
	b->last_stall.stack = NULL; /* gone after this */
	b->last_stall.input = NULL;
}

static const struct crew_ops ops = {
	.next = on_next,
	.on_ended = on_ended,
	.on_returned = on_returned,
	.on_lost = on_lost,
	.on_stall = on_stall,
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

const char *world_build_dir(void)
{
	const char *dir = getenv("top_builddir");

	return dir ? dir : ".";
}

void world_run(struct world *w)
{
	const struct timeval limit = { .tv_sec = TIME_LIMIT_S };

	assert_int_equal(event_add(w->time_limit, &limit), 0);
	assert_int_equal(loop_run(w->loop), 0);
	(void)event_del(w->time_limit);
}

void world_open_crews(struct world *w, struct store *store)
{
	struct crews_options options = {
		.worker_path = w->config.worker_path,
		.state_dir = w->dir,
		.max_processes = 16,
		.ops = &ops,
		.ctx = w,
	};
	struct error err = ERROR_INIT;

	if (crews_open(w->loop, store, &options, &w->crews, &err) < 0)
		fail_msg("%s", err.text);
}

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char *text = NULL;

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/concd-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_true(asprintf(&text, "%s/concd-worker", world_build_dir()) > 0);
	w->config.worker_path = text;
	assert_true(asprintf(&text, "%s/plugins-used", w->dir) > 0);
	w->config.plugin_dir = text; /* is not there: only what a test names is described */
	w->stanza = (struct workload_config){
		.model = (char *)"auto",
		.thread_safe = true,
		.idempotent = true,
		.deterministic = true,
		.grace_ns = NS_PER_S,
		.idle_timeout_ns = 30 * NS_PER_S,
		.stall_ns = 50 * NS_PER_MS,
		.start_timeout_ns = 30 * NS_PER_S,
		.max_result_bytes = 1 << 20,
	};
	w->config.workloads = &w->stanza;
	w->config.n_workloads = 1;
	assert_int_equal(loop_open(&w->loop), 0);
	w->time_limit = evtimer_new(loop_base(w->loop), on_time_limit, w);
	assert_non_null(w->time_limit);
	w->random = 1;
	log_open(LOG_LEVEL_ERROR, LOG_TARGET_STDERR); /* the warnings are what the tests provoke */
	world_open_crews(w, NULL);
	world_run(w); /* until the barrier is passed */
	assert_true(crews_ready(w->crews));
	*state = w;
	return 0;
}

void world_close_book(struct world *w, size_t i)
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

int world_teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	if (w->mischief)
		event_free(w->mischief);
	w->mischief = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(w->books); i++) {
		if (w->books[i] && w->books[i]->seat && crew_seat_out(w->books[i]->seat) > 0)
			w->books[i]->seat = NULL; /* a failed test: crews_close() frees it */
		world_close_book(w, i);
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
const struct workload *world_plugin(struct world *w, const char *name)
{
	struct error err = ERROR_INIT;
	const struct workload *workload = NULL;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s%s/%s/.libs/%s.so", world_build_dir()[0] == '/' ? "" : "/proc/self/cwd/",
		       world_build_dir(), name[0] == '/' ? "plugins" : "tests/plugins",
		       name[0] == '/' ? name + 1 : name);
	w->stanza.name = (char *)"workload";
	w->stanza.plugin = path;
	if (workloads_open(&w->config, NULL, &w->workloads, &err) < 0)
		fail_msg("%s", err.text);
	if (workloads_find(w->workloads, "workload", &workload, &err) < 0)
		fail_msg("%s", err.text);
	return workload;
}

struct book *world_submit(struct world *w, size_t i, const struct workload *workload, const char *shape, uint64_t n,
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

static void on_mischief(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;
	struct timeval next = { .tv_usec = w->mischief_fn(w) };

	(void)fd;
	(void)what;
	if (next.tv_usec > 0)
		assert_int_equal(event_add(w->mischief, &next), 0);
}

void world_later(struct world *w, suseconds_t delay_us, suseconds_t (*fn)(struct world *w))
{
	struct timeval delay = { .tv_usec = delay_us };

	if (!w->mischief)
		w->mischief = evtimer_new(loop_base(w->loop), on_mischief, w);
	assert_non_null(w->mischief);
	w->mischief_fn = fn;
	assert_int_equal(event_add(w->mischief, &delay), 0);
}
