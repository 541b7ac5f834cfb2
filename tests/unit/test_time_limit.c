/* How long a job has run: what of its time counts towards its limit. */
#include "unit.h"

#include <time.h>

#include <event2/event.h>

#include "base/loop.h"
#include "jobs/job.h"

#define S INT64_C(1000000000)
#define MS INT64_C(1000000)

/* ---- The clocks, and one timer ---- */

static int64_t now_ns, wall_step_s;
static bool armed;
static int64_t due_ns;
static event_callback_fn on_timer;

int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time)
{
	*ret_time = (struct timespec){ .tv_sec = now_ns / S, .tv_nsec = now_ns % S };
	if (id == CLOCK_REALTIME)
		ret_time->tv_sec += wall_step_s;
	return 0;
}

struct event_base *loop_base(struct loop *loop)
{
	(void)loop;
	return NULL;
}

struct event *event_new(struct event_base *base, evutil_socket_t fd, short what, event_callback_fn fn, void *arg)
{
	(void)base;
	(void)fd;
	(void)what;
	(void)arg;
	on_timer = fn;
	return (struct event *)&armed; /* there is one job */
}

int event_add(struct event *event, const struct timeval *tv)
{
	(void)event;
	armed = true;
	due_ns = now_ns + tv->tv_sec * S + tv->tv_usec * 1000;
	return 0;
}

int event_del(struct event *event)
{
	(void)event;
	armed = false;
	return 0;
}

int event_pending(const struct event *event, short what, struct timeval *ret_tv)
{
	(void)event;
	(void)what;
	assert_null(ret_tv); /* it would be told by the wall clock */
	return armed;
}

/* ---- What else a job is here ---- */

static struct jobs jobs;
static struct job job;
static uint64_t out, running;
static bool held;

const struct hold *hold_of(const struct job *of)
{
	(void)of;
	return held ? (const struct hold *)&held : NULL;
}

uint64_t crew_seat_out(const struct crew_seat *seat)
{
	(void)seat;
	return out;
}

uint64_t apart_out(const struct job *of)
{
	(void)of;
	return 0;
}

uint64_t job_running(const struct job *of)
{
	(void)of;
	return running;
}

void job_fail_self(struct job *of, const char *code, const char *text)
{
	(void)of;
	(void)text;
	assert_string_equal(code, "timeout");
}

void job_end_early(struct job *of, enum job_ending ending, enum job_urgency urgency)
{
	(void)urgency;
	of->ending = ending;
}

/* ---- What happens to it ---- */

static void let_pass(int64_t ns)
{
	int64_t end_ns = now_ns + ns;

	while (armed && due_ns <= end_ns && job.ending != JOB_ENDING_TIMEOUT) {
		now_ns = due_ns > now_ns ? due_ns : now_ns;
		armed = false;
		on_timer(-1, EV_TIMEOUT, &job);
	}
	now_ns = end_ns;
}

static void submit(int64_t limit_ns)
{
	now_ns = 1000 * S;
	wall_step_s = 0;
	armed = held = false;
	out = running = 0;
	job = (struct job){ .jobs = &jobs, .timeout_ns = limit_ns, .state = JOB_QUEUED };
	job.main.seat = (struct crew_seat *)&out; /* never looked into */
}

static void hand_out(void)
{
	out = 1;
	if (job.started_ns == 0)
		job.started_ns = now_ns;
}

static void come_back_unbegun(void)
{
	out = running = 0;
}

static void begin_task(void)
{
	running = 1;
}

static void end_task(void)
{
	out = running = 0;
	job.begun = true;
}

static void set_paused(bool paused)
{
	job.paused = paused;
	job_clock_review(&job);
}

static bool over(void)
{
	return job.ending == JOB_ENDING_TIMEOUT;
}

/* So much of its limit is left, and no more. */
static void check_left(int64_t left_ns)
{
	let_pass(left_ns - S / 2);
	assert_false(over());
	let_pass(S);
	assert_true(over());
}

static void it_ends_a_job_that_has_run_for_so_long(void **state)
{
	(void)state;
	submit(10 * S);
	job_clock_review(&job);
	assert_false(armed);
	let_pass(3600 * S); /* nothing is handed out */
	hand_out();
	begin_task();
	job_clock_review(&job);
	check_left(10 * S);
}

static void a_pause_between_the_first_hand_out_and_its_settling_does_not_count(void **state)
{
	(void)state;
	submit(10 * S);
	hand_out();
	begin_task();
	set_paused(true);
	end_task();
	job_clock_review(&job); /* settled */
	let_pass(3600 * S);
	assert_false(over());
	assert_int_equal(job_ran_ns(&job), 0);
	set_paused(false);
	check_left(10 * S);
}

static void no_pause_and_no_hold_counts(void **state)
{
	(void)state;
	submit(10 * S);
	hand_out();
	begin_task();
	job_clock_review(&job);
	let_pass(2 * S);
	set_paused(true);
	let_pass(3600 * S);
	held = true;
	job_clock_review(&job);
	set_paused(false); /* held still */
	let_pass(3600 * S);
	assert_false(over());
	held = false;
	job_clock_review(&job);
	let_pass(S);
	assert_true(job_ran_ns(&job) >= 29 * S / 10 && job_ran_ns(&job) <= 3 * S);
	check_left(7 * S);
}

static void a_limit_that_is_set_later_does_not_count_pauses_either(void **state)
{
	(void)state;
	submit(0);
	hand_out();
	job_clock_review(&job);
	end_task();
	let_pass(2 * S);
	set_paused(true);
	let_pass(3600 * S);
	assert_true(job.was_held);
	job_timeout_change(&job, 10 * S);
	let_pass(3600 * S); /* it stands still still */
	assert_false(over());
	set_paused(false);
	let_pass(S);
	job_timeout_change(&job, 0);
	assert_false(armed);
	let_pass(S);
	job_timeout_change(&job, 5 * S);
	check_left(S);
}

static void what_waits_in_its_crew_does_not_count(void **state)
{
	(void)state;
	submit(10 * S);
	hand_out();
	job_clock_review(&job);
	let_pass(3600 * S);
	come_back_unbegun(); /* for one of higher priority */
	job_clock_review(&job);
	let_pass(3600 * S);
	assert_false(armed); /* there is nothing to look at */
	hand_out();
	job_clock_review(&job);
	let_pass(3600 * S);
	assert_false(over());
	begin_task();
	check_left(10 * S);
}

static void a_limit_set_while_nothing_has_begun_is_whole(void **state)
{
	(void)state;
	submit(0);
	hand_out();
	job_clock_review(&job);
	let_pass(3600 * S);
	job_timeout_change(&job, 10 * S);
	let_pass(60 * S);
	assert_false(over());
	begin_task();
	check_left(10 * S);
	submit(0);
	hand_out();
	job_clock_review(&job);
	begin_task(); /* nobody looks at that */
	let_pass(6 * S);
	job_timeout_change(&job, 10 * S);
	check_left(4 * S);
}

static void a_short_limit_is_not_late_by_more_than_a_part(void **state)
{
	(void)state;
	submit(80 * MS);
	hand_out();
	job_clock_review(&job);
	let_pass(60 * S);
	begin_task();
	let_pass(91 * MS);
	assert_true(over());
}

static void a_limit_of_nothing_is_not_looked_after_all_the_time(void **state)
{
	int64_t before_ns;

	(void)state;
	submit(1);
	hand_out();
	job_clock_review(&job);
	let_pass(S);
	for (int i = 0; i < 100; i++) {
		before_ns = now_ns;
		assert_true(armed && due_ns - before_ns <= 10 * MS);
		let_pass(due_ns - now_ns);
		assert_true(due_ns - now_ns >= 10 * MS);
	}
	begin_task();
	let_pass(11 * MS);
	assert_true(over());
}

static void what_it_ran_under_an_earlier_daemon_counts(void **state)
{
	(void)state;
	submit(10 * S);
	job.ran_ns = 7 * S;
	hand_out();
	begin_task();
	job_clock_review(&job);
	check_left(3 * S);
}

static void one_that_is_being_ended_is_not_paused(void **state)
{
	(void)state;
	submit(10 * S);
	hand_out();
	begin_task();
	job_clock_review(&job);
	let_pass(S);
	set_paused(true);
	job.ending = JOB_ENDING_HALTED; /* what it has begun may end */
	job_clock_review(&job);
	check_left(9 * S);
}

static void steps_of_the_wall_clock_do_not_count(void **state)
{
	(void)state;
	submit(10 * S);
	hand_out();
	begin_task();
	job_clock_review(&job);
	let_pass(S);
	wall_step_s = 86400;
	set_paused(true);
	wall_step_s = -86400;
	set_paused(false);
	assert_true(job_ran_ns(&job) <= S);
	check_left(9 * S);
}

static void nothing_counts_once_it_has_ended(void **state)
{
	(void)state;
	submit(10 * S);
	hand_out();
	begin_task();
	job_clock_review(&job);
	let_pass(S);
	job_clock_stop(&job);
	assert_false(armed);
	assert_true(job_ran_ns(&job) <= S);
	let_pass(S);
	assert_true(job_ran_ns(&job) <= S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_ends_a_job_that_has_run_for_so_long),
		cmocka_unit_test(a_pause_between_the_first_hand_out_and_its_settling_does_not_count),
		cmocka_unit_test(no_pause_and_no_hold_counts),
		cmocka_unit_test(a_limit_that_is_set_later_does_not_count_pauses_either),
		cmocka_unit_test(what_waits_in_its_crew_does_not_count),
		cmocka_unit_test(a_limit_set_while_nothing_has_begun_is_whole),
		cmocka_unit_test(a_short_limit_is_not_late_by_more_than_a_part),
		cmocka_unit_test(a_limit_of_nothing_is_not_looked_after_all_the_time),
		cmocka_unit_test(what_it_ran_under_an_earlier_daemon_counts),
		cmocka_unit_test(one_that_is_being_ended_is_not_paused),
		cmocka_unit_test(steps_of_the_wall_clock_do_not_count),
		cmocka_unit_test(nothing_counts_once_it_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
