/* What schedule.c and its lanes are tested over: crews that only count, jobs with nothing but tasks, and a clock and a
 * timer that the tests move. A task is a chunk, and nothing is given ahead. */
#ifndef CONCD_TESTS_SCHEDULE_WORLD_H
#define CONCD_TESTS_SCHEDULE_WORLD_H

#include "unit.h"

#include <event2/event.h>

#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"

#define S INT64_C(1000000000)
#define MS INT64_C(1000000)
#define MAX_JOBS 40

struct crew {
	uint32_t workers, out;
	bool kicked; /* it will ask for tasks */
};

struct crew_seat {
	struct crew *crew;
	struct job_seat *user;
	uint32_t workers, out;
};

extern int64_t now_ns;
extern struct crew crews[4]; /* 1 to 3 */
extern int64_t timer_due_ns; /* 0: not armed */
extern event_callback_fn on_timer;
extern void *timer_arg;
extern bool input_missing; /* inputs are being read */
extern struct jobs jobs;
extern struct workload_config workload_config;
extern const struct workload workload; /* of the first two crews; the third has another */
extern struct job all[MAX_JOBS];
extern size_t n_jobs;

int make_world(void **state);
int end_world(void **state);
struct job *add_job(uint32_t crew, int32_t priority, uint64_t tasks, uint32_t workers, bool in_order);
void settle(void); /* what was touched */
struct job *hand_out(struct crew *crew); /* one task of this crew's next job: whose; NULL: none */
void end_task(struct job *job);

#endif
