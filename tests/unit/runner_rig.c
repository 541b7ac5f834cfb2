/* The rig of runner tests. */
#include "runner_rig.h"

#include "base/error.h"

static const struct concd_param declared[] = {
	{ .name = "word", .type = CONCD_PARAM_TEXT, .value = "none" },
	{ .name = "limit", .type = CONCD_PARAM_DURATION, .value = "1s" },
	{ .name = "room", .type = CONCD_PARAM_SIZE, .value = "2K" },
	{ .name = "on", .type = CONCD_PARAM_BOOL },
	{ .name = "ratio", .type = CONCD_PARAM_NUMBER, .value = "0.5" },
};

struct stall_watch *rig_watch;
int64_t rig_cpu_timeout_ns;

void add_job(struct rig *rig, uint64_t id, int64_t task_timeout_ns, int64_t grace_ns)
{
	struct worker_job job = { .id = id, .workers = 3, .task_timeout_ns = task_timeout_ns, .grace_ns = grace_ns };

	assert_int_equal(params_default(&rig->plugin, &job.params, NULL), 0);
	assert_int_equal(jobtable_add(rig->jobs, &job), 0);
}

void open_rig_of(struct rig *rig, const struct concd_plugin *plugin, uint32_t coroutines)
{
	struct error err = ERROR_INIT;
	struct runner_options options;

	*rig = (struct rig){ .plugin = *plugin, .gate = { .wake_fd = -1 } };
	rig->plugin.params = declared;
	rig->plugin.n_params = sizeof(declared) / sizeof(declared[0]);
	rig->ring = fake_ring_new();
	assert_int_equal(jobtable_open(NULL, &rig->jobs), 0);
	assert_int_equal(params_default(&rig->plugin, &rig->params, NULL), 0);
	assert_int_equal(helpers_open(2, NS_PER_MS, &rig->helpers), 0);
	assert_int_equal(mail_open(&rig->mail), 0);
	add_job(rig, JOB, 0, 0);
	options = (struct runner_options){
		.ring = rig->ring, .number = 1, .coroutines = coroutines, .max_result_bytes = MAX_RESULT,
		.plugin = &rig->plugin, .params = rig->params, .jobs = rig->jobs, .gate = &rig->gate,
		.helpers = rig->helpers, .mail = rig->mail, .watch = rig_watch,
		.cpu_timeout_ns = rig_cpu_timeout_ns,
	};
	assert_int_equal(runner_new(&options, &rig->runner, &err), 0);
	fake_ring_set_event_fd(rig->ring, 1, runner_event_fd(rig->runner));
	assert_int_equal(runner_start(rig->runner), 0);
}

void open_rig(struct rig *rig, int (*run)(struct concd_task *task), uint32_t coroutines)
{
	const struct concd_plugin plugin = { CONCD_PLUGIN_HEADER, .run = run };

	open_rig_of(rig, &plugin, coroutines);
}

void close_rig(struct rig *rig)
{
	runner_stop(rig->runner);
	runner_free(rig->runner);
	helpers_close(rig->helpers);
	mail_close(rig->mail);
	assert_int_equal(rig->ring->n_unexpected, 0);
	assert_int_equal(rig->ring->n_published, rig->ring->n_recorded);
	jobtable_close(rig->jobs);
	params_free(rig->params);
	fake_ring_free(rig->ring);
}
