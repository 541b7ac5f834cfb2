/* Which task runs next: schedule.c and its lanes over crews that only count, under a clock that the tests move. */
#include "unit.h"

#include <time.h>

#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "store/store.h"

#define S INT64_C(1000000000)
#define MS INT64_C(1000000)
#define MAX_JOBS 40

/* ---- The clock ---- */

static int64_t now_ns;

int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time)
{
	(void)id;
	*ret_time = (struct timespec){ .tv_sec = now_ns / S, .tv_nsec = now_ns % S };
	return 0;
}

/* ---- Crews that count: a task is one chunk, nothing is ahead ---- */

struct crew {
	uint32_t workers, out;
};

struct crew_seat {
	struct crew *crew;
	struct job_seat *user;
	uint32_t workers, out;
};

static struct crew crews[4];
static struct crew_seat seats[MAX_JOBS];
static size_t n_seats;

int crews_get(struct crews *all, const struct crew_request *request, struct crew **ret_crew, struct error *err)
{
	(void)all;
	(void)err;
	*ret_crew = &crews[request->shape.threads];
	return 0;
}

int crew_join(struct crew *crew, const struct crew_job *job, void *user, struct crew_seat **ret_seat)
{
	seats[n_seats] = (struct crew_seat){ .crew = crew, .user = user, .workers = job->workers };
	*ret_seat = &seats[n_seats++];
	return 0;
}

void crew_leave(struct crew_seat *seat)
{
	assert_int_equal(seat->out, 0);
}

void crew_kick(struct crew *crew)
{
	(void)crew; /* the tests feed all the time */
}

void crew_recall_all(struct crew *crew)
{
	(void)crew; /* nothing is ahead */
}

struct crew *crew_of(const struct crew_seat *seat)
{
	return seat->crew;
}

bool crew_takes(const struct crew_seat *seat)
{
	return seat->crew->out < seat->crew->workers;
}

uint32_t crew_seat_room(const struct crew_seat *seat, uint64_t n_ready)
{
	(void)n_ready;
	return crew_takes(seat) && seat->out < seat->workers ? 1 : 0;
}

uint64_t crew_seat_out(const struct crew_seat *seat)
{
	return seat->out;
}

uint64_t crew_seat_holds(const struct crew_seat *seat)
{
	return seat->out;
}

void crew_set_workers(struct crew_seat *seat, uint32_t workers)
{
	seat->workers = workers;
}

bool crews_ready(const struct crews *all)
{
	(void)all;
	return true;
}

/* ---- The rest of a job ---- */

static struct touched_list touched;
static bool input_missing;

void job_touch(struct job *job)
{
	if (job->touched)
		return;
	job->touched = true;
	TAILQ_INSERT_TAIL(&touched, job, touched_link);
}

int inputs_peek(struct inputs *inputs, uint64_t task, uint32_t max_tasks, size_t max_bytes, const uint8_t **ret_packed,
		size_t *ret_bytes, uint32_t *ret_count)
{
	(void)inputs;
	(void)task;
	(void)max_bytes;
	*ret_packed = (const uint8_t *)"";
	*ret_bytes = 1;
	*ret_count = max_tasks;
	return input_missing ? -EAGAIN : 0;
}

bool service_is_up(const struct job *job)
{
	(void)job; /* none is a service */
	return true;
}

bool service_start_failed(struct job *job, const char *message)
{
	(void)job;
	(void)message;
	return false;
}

const char *service_waiting(const struct job *job, char *scratch, size_t scratch_bytes)
{
	(void)job;
	(void)scratch;
	(void)scratch_bytes;
	return NULL;
}

bool job_may_begin(const struct job *job)
{
	return !job->paused;
}

void begin_has(struct job *job)
{
	(void)job; /* it has no date */
}

const char *begin_waiting(const struct job *job, char *scratch, size_t scratch_bytes)
{
	(void)job;
	(void)scratch;
	(void)scratch_bytes;
	return NULL;
}

bool store_stalled(const struct store *store, const char **ret_why)
{
	(void)store;
	(void)ret_why;
	return false;
}

struct job *job_ref(struct job *job)
{
	return job;
}

void job_unref(struct job *job)
{
	(void)job;
}

/* Not reached: no seat is refused, no task is marked, none ends. */
void job_end_early(struct job *job, enum job_ending ending, enum job_urgency urgency)
{
	(void)job;
	(void)ending;
	(void)urgency;
	fail();
}

void job_fail_self(struct job *job, const char *code, const char *text)
{
	(void)job;
	(void)code;
	(void)text;
	fail();
}

void jobs_op_submitted(struct jobs *jobs)
{
	(void)jobs;
	fail();
}

void jobs_op_done(struct jobs *jobs)
{
	(void)jobs;
	fail();
}

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	(void)op;
	fail();
}

void outcome_end_ready(struct job *job)
{
	(void)job;
	fail();
}

void outcome_failed(struct job *job, uint64_t task, const char *text)
{
	(void)job;
	(void)task;
	(void)text;
	fail();
}

/* ---- A world of jobs ---- */

static struct jobs jobs;
static struct workload_config workload_config;
static const struct workload workload = { .name = "w", .config = &workload_config, .idempotent = true };
static struct job all[MAX_JOBS];
static size_t n_jobs;

static int make_world(void **state)
{
	(void)state;
	now_ns = 1000 * S;
	jobs = (struct jobs){ .n_processors = 4, .crews = (struct crews *)&jobs }; /* never looked into */
	memset(crews, 0, sizeof(crews));
	memset(all, 0, sizeof(all));
	n_jobs = n_seats = 0;
	input_missing = false;
	TAILQ_INIT(&touched);
	return 0;
}

static int end_world(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_jobs; i++) {
		if (all[i].main.seat)
			all[i].main.seat->out = 0;
		schedule_abandon(&all[i]);
		ranges_fini(&all[i].main.ready);
	}
	assert_null(jobs.lanes);
	return 0;
}

static struct job *add_job(uint32_t crew, int32_t priority, uint64_t tasks, uint32_t workers, bool in_order)
{
	struct job *job = &all[n_jobs++];

	*job = (struct job){
		.jobs = &jobs,
		.id = n_jobs,
		.workload = &workload,
		.state = JOB_QUEUED,
		.choice = { .crew_shape = { 1, crew, 1 }, .workers = workers, .in_order = in_order },
		.main = { .job = job },
		.solo = { .job = job },
		.turn = { .id = n_jobs, .priority = priority, .since_ns = now_ns },
		.total = tasks,
	};
	assert_int_equal(ranges_add(&job->main.ready, 0, tasks), 0);
	schedule_start(job);
	job_touch(job);
	return job;
}

static void settle(void)
{
	struct job *job;

	while ((job = TAILQ_FIRST(&touched))) {
		TAILQ_REMOVE(&touched, job, touched_link);
		job->touched = false;
		schedule_ready(job);
	}
}

/* One task of this crew's next job is handed out: whose; NULL: none. */
static struct job *hand_out(struct crew *crew)
{
	struct crew_batch batch;

	now_ns += 1000;
	if (crew->out >= crew->workers || schedule_next(&jobs, crew, 64, &batch) < 0)
		return NULL;
	assert_int_equal(batch.count, 1);
	batch.seat->out++;
	crew->out++;
	return batch.seat->user->job;
}

static void end_task(struct job *job)
{
	assert_true(job->main.seat->out > 0);
	job->main.seat->out--;
	job->main.seat->crew->out--;
	job_touch(job);
	settle();
}

/* One worker takes task after task, each of this length: how many of each job. */
static void run_alone(struct crew *crew, uint32_t tasks, int64_t task_ns, uint32_t *ret_counts)
{
	for (uint32_t i = 0; i < tasks; i++) {
		struct job *job = hand_out(crew);

		assert_non_null(job);
		ret_counts[job->id - 1]++;
		now_ns += task_ns;
		end_task(job);
	}
}

static void equal_jobs_take_turns_task_by_task(void **state)
{
	uint32_t counts[3] = { 0 };

	(void)state;
	crews[1].workers = 1;
	for (int i = 0; i < 3; i++)
		(void)add_job(1, 0, 1000, 1, false);
	settle();
	run_alone(&crews[1], 3, MS, counts);
	for (int i = 0; i < 3; i++)
		assert_int_equal(counts[i], 1);
	run_alone(&crews[1], 297, MS, counts);
	for (int i = 0; i < 3; i++)
		assert_int_equal(counts[i], 100);
}

static void higher_priority_comes_first(void **state)
{
	struct job *low, *high;
	uint32_t counts[2] = { 0 };
	char words[256];

	(void)state;
	crews[1].workers = 1;
	low = add_job(1, 0, 1000, 1, false);
	settle();
	run_alone(&crews[1], 5, MS, counts);
	high = add_job(1, 10, 50, 1, false);
	settle();
	assert_string_equal(schedule_waiting(low, words, sizeof(words)), "behind 1 job of higher priority");
	run_alone(&crews[1], 50, MS, counts);
	assert_int_equal(counts[0], 5);
	assert_int_equal(high->main.ready.count, 0);
	run_alone(&crews[1], 5, MS, counts);
	assert_int_equal(counts[0], 10);
}

static void a_low_one_gets_on_while_high_ones_keep_coming(void **state)
{
	uint32_t counts[MAX_JOBS] = { 0 };

	(void)state;
	crews[1].workers = 1;
	(void)add_job(1, -10, 1000, 1, false);
	for (int i = 0; i < 30; i++) { /* each second another one, with more work than there is time */
		(void)add_job(1, 10, 1000, 1, false);
		settle();
		run_alone(&crews[1], 10, 100 * MS, counts);
	}
	/* Twenty points below: every 20 s. */
	assert_in_range(counts[0], 1, 2);
	run_alone(&crews[1], 2000, 100 * MS, counts);
	assert_in_range(counts[0], 9, 13);
}

static void a_new_priority_holds_at_once(void **state)
{
	struct job *a, *b;

	(void)state;
	crews[1].workers = 1;
	a = add_job(1, 0, 10, 1, false);
	b = add_job(1, 0, 10, 1, false);
	settle();
	lane_set_priority(b, 5);
	for (int i = 0; i < 10; i++) {
		assert_ptr_equal(hand_out(&crews[1]), b);
		if (i == 4)
			lane_set_priority(b, 6); /* while it runs */
		end_task(b);
	}
	assert_ptr_equal(hand_out(&crews[1]), a);
}

static void in_order_jobs_run_whole_and_by_priority(void **state)
{
	struct job *order[4];
	char words[256];

	(void)state;
	crews[1].workers = 1;
	order[0] = add_job(1, 0, 5, 1, true);
	settle();
	assert_ptr_equal(hand_out(&crews[1]), order[0]);
	order[2] = add_job(1, 0, 5, 1, true);
	order[3] = add_job(1, 0, 5, 1, true);
	order[1] = add_job(1, 1, 5, 1, true);
	settle();
	assert_string_equal(schedule_waiting(order[1], words, sizeof(words)),
			    "job 1 is before it, and these run one after another");
	assert_string_equal(schedule_waiting(order[2], words, sizeof(words)), "behind 1 job of higher priority");
	end_task(order[0]);
	for (int i = 0; i < 4; i++)
		for (int task = i == 0 ? 1 : 0; task < 5; task++) {
			assert_ptr_equal(hand_out(&crews[1]), order[i]);
			assert_null(hand_out(&crews[1]));
			end_task(order[i]);
		}
}

static void a_job_whose_input_is_being_read_keeps_nobody_waiting(void **state)
{
	struct job *a, *b;

	(void)state;
	crews[1].workers = 2;
	a = add_job(1, 5, 10, 2, false);
	settle();
	input_missing = true;
	assert_null(hand_out(&crews[1]));
	input_missing = false;
	b = add_job(1, 0, 10, 2, false);
	settle();
	assert_ptr_equal(hand_out(&crews[1]), b);
	schedule_ready(a); /* it is there */
	assert_ptr_equal(hand_out(&crews[1]), a);
}

/* ---- Work is conserved ---- */

static uint64_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % sides;
}

/* No task may wait while a worker that could run it idles. */
static void check_conserved(void)
{
	for (size_t i = 0; i < n_jobs; i++) {
		const struct crew_seat *seat = all[i].main.seat;

		if (!seat || all[i].paused || all[i].main.ready.count == 0 || seat->out >= seat->workers)
			continue;
		assert_int_equal(seat->crew->out, seat->crew->workers);
	}
}

static void feed_all(void)
{
	for (size_t c = 1; c < 4; c++)
		while (hand_out(&crews[c]))
			;
}

static void random_step(void)
{
	struct job *job = n_jobs > 0 ? &all[dice((uint32_t)n_jobs)] : NULL;

	now_ns += dice(1000) * MS;
	switch (dice(8)) {
	case 0:
		if (n_jobs < MAX_JOBS)
			(void)add_job(1 + dice(3), (int32_t)dice(21) - 10, dice(30), 1 + dice(5), false);
		break;
	case 1:
		if (job)
			lane_set_priority(job, (int32_t)dice(201) - 100);
		break;
	case 2:
		if (job && job->paused) {
			job->paused = false;
			job_touch(job);
		} else if (job) {
			job->paused = true;
			lane_forget(job);
		}
		break;
	case 3: /* a task comes back unbegun */
		if (job && job->main.seat && job->main.seat->out > 0) {
			assert_int_equal(ranges_add(&job->main.ready, 1000 + dice(1 << 30) * 2ul, 1), 0);
			end_task(job);
		}
		break;
	default:
		if (job && job->main.seat && job->main.seat->out > 0)
			end_task(job);
		break;
	}
	settle();
}

static void no_task_waits_while_a_worker_that_could_run_it_idles(void **state)
{
	for (uint64_t i = 1; i <= 60; i++) {
		assert_int_equal(make_world(state), 0);
		seed = i;
		for (size_t c = 1; c < 4; c++)
			crews[c].workers = 1 + dice(8);
		for (int step = 0; step < 600; step++) {
			random_step();
			feed_all();
			check_conserved();
		}
		assert_int_equal(end_world(state), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(equal_jobs_take_turns_task_by_task, make_world, end_world),
		cmocka_unit_test_setup_teardown(higher_priority_comes_first, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_low_one_gets_on_while_high_ones_keep_coming, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_new_priority_holds_at_once, make_world, end_world),
		cmocka_unit_test_setup_teardown(in_order_jobs_run_whole_and_by_priority, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_job_whose_input_is_being_read_keeps_nobody_waiting, make_world, end_world),
		cmocka_unit_test(no_task_waits_while_a_worker_that_could_run_it_idles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
