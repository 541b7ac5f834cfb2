/* The jobs of a worker process. */
#include "unit.h"

#include <pthread.h>

#include "crew/wire.h"
#include "worker/jobtable.h"

#define PLAIN (WIRE_CHUNK_PLAIN | 7)

/* Parameters are only handed on here. */
static struct params *some_params(void)
{
	static char place;

	return (struct params *)(void *)&place;
}

static void a_plain_job_is_known_from_its_chunk(void **state)
{
	struct jobtable *table;
	struct worker_job *job;

	(void)state;
	assert_int_equal(jobtable_open(some_params(), &table), 0);
	job = jobtable_get(table, 5, PLAIN);
	assert_int_equal(job->id, 5);
	assert_int_equal(job->workers, 7);
	assert_ptr_equal(job->params, some_params());
	assert_int_equal(job->task_timeout_ns, 0);
	assert_ptr_equal(jobtable_get(table, 5, PLAIN), job);
	jobtable_put(table, job);
	assert_int_equal(jobtable_cancel(table, 5, WIRE_CANCEL_USER), 0);
	assert_int_equal(atomic_load(&job->cancel), WIRE_CANCEL_USER);
	jobtable_put(table, job);
	jobtable_forget(table, 5);
	jobtable_close(table);
}

static void a_cancel_before_the_first_look_up_holds_until_it_is_forgotten(void **state)
{
	struct jobtable *table;
	struct worker_job *job;

	(void)state;
	assert_int_equal(jobtable_open(some_params(), &table), 0);
	assert_int_equal(jobtable_cancel(table, 5, WIRE_CANCEL_TIMEOUT), 0);
	for (int chunk = 0; chunk < 3; chunk++) {
		job = jobtable_get(table, 5, PLAIN);
		assert_int_equal(atomic_load(&job->cancel), WIRE_CANCEL_TIMEOUT);
		assert_int_equal(job->workers, 7);
		jobtable_put(table, job);
	}
	jobtable_forget(table, 5);
	job = jobtable_get(table, 5, PLAIN);
	assert_int_equal(atomic_load(&job->cancel), 0);
	jobtable_put(table, job);
	jobtable_close(table);
}

static void *announce(void *arg)
{
	const struct worker_job job = { .id = 9, .workers = 3, .task_timeout_ns = 4, .grace_ns = 5 };

	assert_int_equal(jobtable_add(arg, &job), 0);
	return NULL;
}

static void a_job_that_is_not_plain_is_waited_for(void **state)
{
	struct jobtable *table;
	struct worker_job *job;
	pthread_t thread;

	(void)state;
	assert_int_equal(jobtable_open(some_params(), &table), 0);
	assert_int_equal(pthread_create(&thread, NULL, announce, table), 0);
	job = jobtable_get(table, 9, 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(job->task_timeout_ns, 4);
	assert_null(job->params);
	jobtable_forget(table, 9);
	jobtable_put(table, job);
	jobtable_close(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_job_is_known_from_its_chunk),
		cmocka_unit_test(a_cancel_before_the_first_look_up_holds_until_it_is_forgotten),
		cmocka_unit_test(a_job_that_is_not_plain_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
