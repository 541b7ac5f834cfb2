/* Parked jobs against a simple reference: every job in one list, looked through each time. The lane, the disk and the jobs
 * themselves are fakes; reads of the disk answer whenever the test likes. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "crew/workload.h"
#include "jobs/job.h"
#include "jobs/park_lane.h"
#include "store/store.h"

#define S INT64_C(1000000000)
#define MAX 4000

struct entry {
	struct turn turn; /* as it is known: no heap's */
	struct job *job; /* NULL: parked, ended, or not there */
	uint64_t tasks_left;
	bool there;
};

static struct entry entries[MAX + 1]; /* by number */
static uint64_t n_entries, n_there, n_live;
static struct jobs jobs;
static struct lane lane;
static int64_t now_ns;
static uint64_t seed;
static struct store_read *reads[8];
static size_t n_reads;
static bool kicked, reads_fail;
static const struct workload workload = { .name = "w" };

static uint64_t random_below(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (seed >> 33) % n;
}

/* ---- Fakes ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time)
{
	(void)id;
	*ret_time = (struct timespec){ .tv_sec = now_ns / S, .tv_nsec = now_ns % S };
	return 0;
}

bool after_is_over(const struct job *job)
{
	(void)job; /* none follows another */
	return true;
}

uint64_t crew_seat_out(const struct crew_seat *seat)
{
	(void)seat;
	return 0;
}

void crew_kick(struct crew *crew)
{
	(void)crew;
	kicked = true;
}

int event_add(struct event *event, const struct timeval *tv)
{
	(void)event;
	(void)tv; /* the test calls lots_refill() when it likes */
	return 0;
}

const struct hold *hold_of_workload(const struct jobs *of, const char *name)
{
	(void)of;
	(void)name; /* nothing is held */
	return NULL;
}

int workloads_find(const struct workloads *all, const char *name, const struct workload **ret_workload, struct error *err)
{
	(void)all;
	(void)name;
	(void)err;
	*ret_workload = &workload;
	return 0;
}

int quota_add(struct quota *quota, uint32_t uid, const struct quota_count *count)
{
	(void)quota;
	(void)uid;
	(void)count;
	return 0;
}

void quota_sub(struct quota *quota, uint32_t uid, const struct quota_count *count)
{
	(void)quota;
	(void)uid;
	(void)count;
}

int ranges_add(struct ranges *ranges, uint64_t first, uint64_t count)
{
	(void)first;
	ranges->count = count;
	return 0;
}

void jobs_op_submitted(struct jobs *of)
{
	of->ops_out++;
}

void jobs_op_done(struct jobs *of)
{
	of->ops_out--;
}

void store_read(struct store *store, struct store_read *read)
{
	(void)store;
	assert_true(n_reads < 8);
	reads[n_reads++] = read;
}

void store_read_fini(struct store_read *read)
{
	free(read->jobs);
}

/* ---- Jobs ---- */

static struct job *job_make(uint64_t id)
{
	struct job *job = calloc(1, sizeof(*job));

	assert_non_null(job);
	*job = (struct job){
		.jobs = &jobs,
		.refs = 1,
		.id = id,
		.durable = true,
		.workload = &workload,
		.state = JOB_QUEUED,
		.choice = { .crew_shape = { 1, 1, 1 } },
		.total = entries[id].tasks_left,
		.turn = { .id = id, .priority = entries[id].turn.priority },
	};
	job->main.job = job;
	job->main.ready.count = job->total;
	return job;
}

struct job *job_from_row(struct jobs *of, const struct store_recovered_job *row, struct error *err)
{
	(void)of;
	(void)err;
	assert_true(entries[row->job.id].there);
	assert_null(entries[row->job.id].job);
	return job_make(row->job.id);
}

void job_publish(struct job *job)
{
	job->refs++;
	job->turn.since_ns = now_ns;
	job->published = true;
	entries[job->id].job = job;
	n_live++;
	lot_enter(job);
}

void job_unpublish(struct job *job)
{
	job->published = false;
	entries[job->id].job = NULL;
	n_live--;
	lot_leave(job);
	job_unref(job);
}

void job_unref(struct job *job)
{
	if (--job->refs == 0)
		free(job);
}

void job_touch(struct job *job)
{
	(void)job;
}

void job_set_state(struct job *job, enum job_state state)
{
	job->state = state;
}

void schedule_start(struct job *job)
{
	lot_seated(job, &lane);
}

void schedule_ready(struct job *job)
{
	if (job->turn.at > 0)
		return;
	assert_int_equal(turns_reserve(&lane.turns, MAX), 0);
	turns_add(&lane.turns, &job->turn);
	entries[job->id].turn = job->turn; /* loading it must not have changed its place */
}

void schedule_give_up(struct job *job)
{
	if (job->turn.at > 0)
		turns_remove(&lane.turns, &job->turn);
}

/* ---- The world ---- */

static int make_world(void **state)
{
	(void)state;
	memset(entries, 0, sizeof(entries));
	n_entries = n_there = n_live = n_reads = 0;
	now_ns = 1000 * S;
	reads_fail = kicked = false;
	jobs = (struct jobs){ .crews = (struct crews *)&jobs }; /* never looked into */
	lots_init(&jobs);
	lane = (struct lane){ .crew = (struct crew *)&lane };
	return 0;
}

static void answer(size_t i)
{
	struct store_read *read = reads[i];

	reads[i] = reads[--n_reads];
	if (reads_fail) {
		read->on_done(read, -EIO);
		return;
	}
	read->jobs = calloc(read->n_ids, sizeof(*read->jobs));
	for (uint32_t k = 0; k < read->n_ids; k++)
		if (entries[read->ids[k]].there)
			read->jobs[read->n_jobs++].job.id = read->ids[k];
	for (size_t k = 0; k < read->n_jobs; k++)
		read->jobs[k].state.total = entries[read->jobs[k].job.id].tasks_left;
	read->on_done(read, 0);
}

static int end_world(void **state)
{
	(void)state;
	jobs.stopping = true;
	while (n_reads > 0)
		answer(0);
	for (uint64_t id = 1; id <= n_entries; id++) {
		struct job *job = entries[id].job;

		if (!job)
			continue;
		schedule_give_up(job);
		job_unpublish(job);
	}
	lane.lot = NULL;
	lots_close(&jobs);
	turns_fini(&lane.turns);
	return 0;
}

static void accept_job(int32_t priority, uint64_t tasks)
{
	uint64_t id = ++n_entries;
	struct job *job;

	assert_true(id <= MAX);
	entries[id] = (struct entry){ .turn = { .id = id, .since_ns = now_ns, .priority = priority }, .tasks_left = tasks,
				      .there = true };
	n_there++;
	job = job_make(id);
	job_publish(job);
	if (!job_park(job, 1, true)) {
		schedule_start(job);
		schedule_ready(job);
	}
	job_unref(job);
}

/* Somebody looks at one that is parked. */
static void look_at(uint64_t id)
{
	const struct store_recovered_job row = { .job.id = id, .state.total = entries[id].tasks_left };
	struct parked *parked = parked_find(&jobs, id);

	if (parked)
		job_unref(parked_take(parked, &jobs, &row));
}

/* A restart: nothing but the rows is left, in their order. */
static void restart(void)
{
	end_world(NULL);
	jobs = (struct jobs){ .crews = NULL };
	lots_init(&jobs);
	lane = (struct lane){ .crew = (struct crew *)&lane };
	for (uint64_t id = 1; id <= n_entries; id++) {
		struct store_recovered_job row = { .job = { .id = id, .workload = "w", .lane = "1x1x1" } };

		if (!entries[id].there)
			continue;
		row.state.total = entries[id].tasks_left;
		row.state.priority = entries[id].turn.priority;
		entries[id].turn.since_ns = now_ns;
		now_ns += 1000;
		if (!park_row(&jobs, &row)) {
			struct job *job = job_make(id);

			job_publish(job);
			job->turn.since_ns = entries[id].turn.since_ns;
			job_unref(job);
		}
	}
	jobs.crews = (struct crews *)&jobs;
	for (uint64_t id = 1; id <= n_entries; id++) {
		if (!entries[id].job)
			continue;
		schedule_start(entries[id].job);
		schedule_ready(entries[id].job);
	}
	lots_refill(&jobs);
}

static int64_t key_of(const struct turn *turn)
{
	return turn->since_ns - turn->priority * S;
}

/* Nobody of higher priority was passed over, and nobody else either, unless he is being loaded. */
static void check_turn(const struct job *job, const struct lot *lot)
{
	for (uint64_t id = 1; id <= n_entries; id++) {
		const struct entry *at = &entries[id];

		if (!at->there || id == job->id)
			continue;
		if (at->turn.priority > job->turn.priority && key_of(&at->turn) < key_of(&job->turn))
			fail_msg("job %d of priority %d has its turn before job %d of priority %d, %s", (int)job->id,
				 (int)job->turn.priority, (int)id, (int)at->turn.priority, at->job ? "in memory" : "parked");
		if (!at->job && !lot->loading && lot->n_live < PARK_LIVE_MAX)
			assert_true(key_of(&at->turn) >= key_of(&job->turn));
	}
}

/* As schedule.c does it. */
static bool hand_out(void)
{
	struct turn *first = turns_first(&lane.turns);
	struct job *job = first ? container_of(first, struct job, turn) : NULL;

	kicked = false;
	if (!job) {
		if (lane.lot)
			lot_refill(&jobs, lane.lot);
		return false;
	}
	if (lane.lot && lot_goes_first(&jobs, lane.lot, &job->turn))
		return false;
	if (!reads_fail)
		check_turn(job, lane.lot);
	now_ns += 1 + (int64_t)random_below(1000000);
	turns_served(&lane.turns, &job->turn, now_ns);
	entries[job->id].turn = job->turn;
	if (job->started_ns == 0) {
		job->started_ns = now_ns;
		lot_begun(job);
	}
	if (--entries[job->id].tasks_left == 0) {
		entries[job->id].there = false;
		n_there--;
		schedule_give_up(job);
		job_unpublish(job);
	}
	if (lane.lot)
		lot_refill(&jobs, lane.lot);
	return true;
}

static void play(uint64_t from, int steps, uint64_t max_tasks, bool restarts)
{
	seed = from;
	for (int step = 0; step < steps; step++) {
		switch (random_below(8)) {
		case 0:
		case 1:
		case 2:
			if (n_entries < MAX)
				accept_job(random_below(4) ? 0 : (int32_t)random_below(21) - 10, 1 + random_below(max_tasks));
			break;
		case 3:
			if (n_reads > 0)
				answer(random_below(n_reads));
			break;
		case 4:
			if (n_entries > 0 && random_below(4) == 0)
				look_at(1 + random_below(n_entries));
			if (random_below(20) == 0)
				now_ns += (int64_t)random_below(3 * S);
			break;
		case 5:
			if (restarts && random_below(200) == 0 && n_there > 0)
				restart();
			break;
		default:
			if (jobs.lots)
				(void)hand_out();
		}
	}
	while (n_there > 0) { /* every one of them has its turn, whatever happens */
		while (n_reads > 0)
			answer(0);
		if (!hand_out() && n_reads == 0)
			fail_msg("%d jobs wait for ever", (int)n_there);
	}
	assert_int_equal(jobs.parked.n, 0);
}

static void nobody_of_lower_priority_has_a_turn_first(void **state)
{
	for (uint64_t round = 1; round <= 12; round++) {
		play(round, 6000, 1, false);
		end_world(state);
		make_world(state);
	}
}

static void nor_after_restarts(void **state)
{
	for (uint64_t round = 1; round <= 12; round++) {
		play(round, 6000, 1, true);
		end_world(state);
		make_world(state);
	}
}

static void jobs_of_many_tasks_do_not_keep_others_parked(void **state)
{
	for (uint64_t round = 1; round <= 6; round++) {
		play(round, 3000, 50, true);
		end_world(state);
		make_world(state);
	}
}

static void a_thousand_equal_jobs_of_long_tasks_take_turns(void **state)
{
	uint64_t began = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		accept_job(0, 100);
	assert_true(n_live <= PARK_WINDOW);
	for (int turn = 0; turn < 6000; turn++) {
		now_ns += 100 * S / 1000;
		if (!hand_out() && n_reads == 0)
			fail_msg("work waits while a worker idles");
		while (n_reads > 0)
			answer(0);
	}
	for (uint64_t id = 1; id <= n_entries; id++)
		began += entries[id].tasks_left < 100;
	assert_int_equal(began, 1000);
	for (uint64_t id = 1; id <= n_entries; id++)
		assert_in_range(entries[id].tasks_left, 90, 97);
}

static void the_highest_priority_is_first_after_a_restart(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++)
		accept_job(0, 1);
	accept_job(9, 1);
	restart();
	assert_false(hand_out()); /* it is being loaded */
	while (n_reads > 0)
		answer(0);
	assert_true(kicked);
	assert_true(hand_out());
	assert_false(entries[301].there);
}

static void reads_that_fail_hold_nobody_up(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++)
		accept_job(0, 1);
	accept_job(9, 1);
	restart();
	reads_fail = true;
	answer(0);
	assert_true(kicked);
	assert_int_equal(n_reads, 0); /* not again and again, but from the timer */
	assert_true(hand_out());
	assert_true(entries[301].there);
	reads_fail = false;
	lots_refill(&jobs);
	assert_int_equal(n_reads, 1);
	answer(0);
	assert_true(hand_out());
	assert_false(entries[301].there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_of_lower_priority_has_a_turn_first, make_world, end_world),
		cmocka_unit_test_setup_teardown(nor_after_restarts, make_world, end_world),
		cmocka_unit_test_setup_teardown(jobs_of_many_tasks_do_not_keep_others_parked, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_thousand_equal_jobs_of_long_tasks_take_turns, make_world, end_world),
		cmocka_unit_test_setup_teardown(the_highest_priority_is_first_after_a_restart, make_world, end_world),
		cmocka_unit_test_setup_teardown(reads_that_fail_hold_nobody_up, make_world, end_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
