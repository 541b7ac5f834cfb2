/* A runner on a ring of plain arrays and all that it needs, for tests of the runner. */
#ifndef CONCD_TESTS_RUNNER_RIG_H
#define CONCD_TESTS_RUNNER_RIG_H

#include "unit.h"

#include "base/clock.h"
#include "concd/plugin.h"
#include "fake_ring.h"
#include "worker/helpers.h"
#include "worker/jobtable.h"
#include "worker/log_gate.h"
#include "worker/mail.h"
#include "worker/params.h"
#include "worker/runner.h"
#include "worker/stall.h"

#define JOB 7
#define MAX_RESULT 100000

struct rig {
	struct concd_plugin plugin;
	struct worker_ring *ring;
	struct jobtable *jobs;
	struct params *params;
	struct log_gate gate;
	struct helpers *helpers; /* two at most */
	struct mail *mail;
	struct runner *runner;
};

/* A running runner of number 1 that knows job JOB. The plugin is copied and gets the rig's parameters. */
extern int64_t rig_cpu_timeout_ns;
extern struct stall_watch *rig_watch; /* of the rigs opened from here on */
void open_rig_of(struct rig *rig, const struct concd_plugin *plugin, uint32_t coroutines);
void open_rig(struct rig *rig, int (*run)(struct concd_task *task), uint32_t coroutines);
void add_job(struct rig *rig, uint64_t id, int64_t task_timeout_ns, int64_t grace_ns);
/* Stop it, and check that every result was recorded once and published. */
void close_rig(struct rig *rig);

#endif
