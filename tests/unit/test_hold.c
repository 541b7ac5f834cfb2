/* What is paused with its workload, or with everything. */
#include "unit.h"

#include <event2/event.h>

#include "base/loop.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "store/store.h"

static struct jobs jobs;
static struct job ordinary, own_paused, other, service, early;
static struct store_op *written;
static struct job *held_back[32], *gone_on[32];
static size_t n_held_back, n_gone_on;
static bool service_is_leaving;
static int answers, answered;

/* ---- What is told ---- */

void job_hold_back(struct job *job)
{
	held_back[n_held_back++] = job;
}

void job_let_go_on(struct job *job)
{
	gone_on[n_gone_on++] = job;
}

void job_notify_progress(struct job *job)
{
	(void)job; /* nobody watches */
}

void service_hold(struct job *job)
{
	held_back[n_held_back++] = job;
}

void service_resume(struct job *job)
{
	gone_on[n_gone_on++] = job;
}

bool service_wait_until_down(struct job *job, void (*on_done)(void *arg, int status), void *arg)
{
	(void)job;
	(void)on_done;
	(void)arg;
	return service_is_leaving;
}

static bool was_told(struct job *const *told, size_t n, const struct job *job)
{
	for (size_t i = 0; i < n; i++)
		if (told[i] == job)
			return true;
	return false;
}
#define WAS_HELD(job) was_told(held_back, n_held_back, job)
#define GOES_ON(job) was_told(gone_on, n_gone_on, job)

/* ---- The rest of the world ---- */

struct job *services_find(const struct jobs *of, const char *workload)
{
	(void)of;
	return strcmp(workload, service.workload_name) == 0 ? &service : NULL;
}

void crew_recall_all(struct crew *crew)
{
	(void)crew;
	fail(); /* no job has a seat */
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
	(void)fn;
	(void)arg;
	return NULL; /* all of them at once */
}

int event_add(struct event *event, const struct timeval *tv)
{
	(void)event;
	(void)tv;
	return -1;
}

void event_free(struct event *event)
{
	(void)event;
	fail();
}

int jobs_walk_newest(struct jobs *of, uint64_t *below, uint32_t look, const struct jobs_filter *filter,
		     int (*fn)(void *arg, struct job *job), void *arg)
{
	struct job *job;

	(void)look;
	(void)filter;
	TAILQ_FOREACH_REVERSE(job, &of->order.list, job_list, link)
		assert_int_equal(fn(arg, job), 0);
	*below = 0;
	return 0;
}

void lots_refill(struct jobs *of)
{
	(void)of;
}

void jobs_op_submitted(struct jobs *of)
{
	(void)of;
}

void jobs_op_done(struct jobs *of)
{
	(void)of;
}

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	assert_null(written);
	written = op;
}

int store_recover_holds(struct store *store, int (*fn)(void *arg, const char *workload, int64_t since_unix_us), void *arg)
{
	(void)store;
	return fn(arg, "w", 5);
}

int workloads_find(const struct workloads *workloads, const char *name, const struct workload **ret_workload, struct error *err)
{
	(void)workloads;
	(void)ret_workload;
	return strcmp(name, "missing") == 0 ? error_set(err, -ENOENT, "no-such-workload", "%s", name) : 0;
}

static void on_done(void *arg, int status)
{
	(void)arg;
	answers++;
	answered = status;
}

static void write_it(int status)
{
	struct store_op *op = written;

	assert_non_null(op);
	written = NULL;
	op->on_done(op, status);
}

static void add(struct job *job, const char *workload)
{
	*job = (struct job){ .jobs = &jobs, .workload_name = (char *)(uintptr_t)workload, .state = JOB_QUEUED };
	TAILQ_INSERT_TAIL(&jobs.order.list, job, link);
}

static int begin(void **state)
{
	(void)state;
	jobs = (struct jobs){ .stopping = false };
	TAILQ_INIT(&jobs.order.list);
	TAILQ_INIT(&jobs.early);
	LIST_INIT(&jobs.holds);
	add(&ordinary, "w");
	add(&own_paused, "w");
	own_paused.paused = true;
	add(&other, "v");
	add(&service, "w");
	service.service = (struct service *)&jobs; /* never looked into */
	early = (struct job){ .jobs = &jobs, .workload_name = ordinary.workload_name };
	TAILQ_INSERT_TAIL(&jobs.early, &early, early_link);
	n_held_back = n_gone_on = 0;
	service_is_leaving = false;
	answers = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	holds_close(&jobs);
	assert_true(LIST_EMPTY(&jobs.holds));
	return 0;
}

/* ---- Tests ---- */

static void all_of_a_workload_is_held_its_service_too(void **state)
{
	(void)state;
	assert_int_equal(jobs_hold(&jobs, "w", on_done, NULL, NULL), 0);
	assert_true(WAS_HELD(&ordinary) && WAS_HELD(&service) && WAS_HELD(&early));
	assert_false(WAS_HELD(&own_paused) || WAS_HELD(&other));
	assert_true(hold_of(&ordinary) && hold_of(&service) && !hold_of(&other));
	assert_int_equal(answers, 0); /* not before the disk knows */
	write_it(0);
	assert_int_equal(answers, 1);
	assert_int_equal(jobs_hold(&jobs, "w", on_done, NULL, NULL), -EALREADY);
	assert_int_equal(jobs_release(&jobs, "w", on_done, NULL, NULL), 1);
	assert_true(GOES_ON(&ordinary) && GOES_ON(&service) && GOES_ON(&early));
	assert_false(GOES_ON(&own_paused));
	write_it(0);
	assert_int_equal(answers, 2);
	assert_int_equal(jobs_release(&jobs, "w", on_done, NULL, NULL), 0);
}

static void an_answer_waits_for_a_service_that_is_leaving(void **state)
{
	(void)state;
	service_is_leaving = true;
	assert_int_equal(jobs_hold(&jobs, "w", on_done, NULL, NULL), 0);
	write_it(0);
	assert_int_equal(answers, 0);
	assert_int_equal(jobs_release(&jobs, "w", on_done, NULL, NULL), 1);
	write_it(0);
	assert_int_equal(answers, 1);
	assert_int_equal(jobs_hold(&jobs, "w", on_done, NULL, NULL), 0);
	write_it(-ENOSPC); /* nobody waits for it then */
	assert_int_equal(answers, 2);
	assert_int_equal(answered, -ENOSPC);
}

static void where_everything_is_held_services_go_on(void **state)
{
	(void)state;
	assert_int_equal(jobs_hold(&jobs, "", on_done, NULL, NULL), 0);
	write_it(0);
	assert_true(WAS_HELD(&ordinary) && WAS_HELD(&other) && !WAS_HELD(&service));
	assert_null(hold_of(&service));
	assert_int_equal(jobs_hold(&jobs, "w", on_done, NULL, NULL), 0);
	write_it(0);
	assert_true(WAS_HELD(&service));
	assert_int_equal(jobs_release(&jobs, "w", on_done, NULL, NULL), 1);
	write_it(0);
	assert_true(GOES_ON(&service) && !GOES_ON(&ordinary) && !GOES_ON(&other)); /* everything is held still */
	n_gone_on = 0;
	assert_int_equal(jobs_release(&jobs, "", on_done, NULL, NULL), 1);
	write_it(0);
	assert_true(GOES_ON(&ordinary) && GOES_ON(&other) && !GOES_ON(&service)); /* whose failures are none of its business */
}

static void a_hold_is_known_after_a_restart(void **state)
{
	(void)state;
	assert_int_equal(holds_recover(&jobs), 0);
	assert_true(hold_of(&ordinary) && hold_of(&service) && !hold_of(&other));
	assert_int_equal(jobs_release(&jobs, "", on_done, NULL, NULL), 1);
	assert_true(GOES_ON(&service) && GOES_ON(&ordinary));
	write_it(0);
}

static void what_there_is_not_is_not_held(void **state)
{
	(void)state;
	assert_int_equal(jobs_hold(&jobs, "missing", on_done, NULL, NULL), -ENOENT);
	jobs.stopping = true;
	assert_int_equal(jobs_hold(&jobs, "w", on_done, NULL, NULL), -ESHUTDOWN);
	assert_null(written);
	assert_int_equal(n_held_back, 0);
}

#define HOLD_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOLD_TEST(all_of_a_workload_is_held_its_service_too),
		HOLD_TEST(an_answer_waits_for_a_service_that_is_leaving),
		HOLD_TEST(where_everything_is_held_services_go_on),
		HOLD_TEST(a_hold_is_known_after_a_restart),
		HOLD_TEST(what_there_is_not_is_not_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
