/* base/loop.c: calls posted by other threads run once, in order, and are not left behind. */
#include "unit.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/loop.h"

#define POSTERS 4
#define CALLS 5000
#define POST_AFTER_NS (50 * NS_PER_MS) /* long after the loop has gone to sleep */

struct numbered {
	struct loop_call call;
	struct run *run;
	int poster, number;
};

struct run {
	struct loop *loop;
	pthread_t loop_thread;
	int next[POSTERS]; /* the loop thread's */
	int total;
	struct numbered calls[POSTERS][CALLS];
};

static void count_call(struct loop_call *call)
{
	struct numbered *n = container_of(call, struct numbered, call);
	struct run *run = n->run;

	assert_true(pthread_equal(pthread_self(), run->loop_thread));
	assert_int_equal(n->number, run->next[n->poster]);
	run->next[n->poster]++;
	if (++run->total == POSTERS * CALLS)
		loop_stop(run->loop);
}

struct poster {
	struct run *run;
	int number;
};

static void *post_calls(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < CALLS; i++)
		loop_post(p->run->loop, &p->run->calls[p->number][i].call);
	return NULL;
}

static void test_calls_of_many_threads_run_once_each_in_their_order(void **state)
{
	_cleanup_free_ struct run *run = calloc(1, sizeof(*run));
	struct poster posters[POSTERS];
	pthread_t threads[POSTERS];

	(void)state;
	run->loop_thread = pthread_self();
	assert_int_equal(loop_open(&run->loop), 0);
	for (int p = 0; p < POSTERS; p++) {
		for (int i = 0; i < CALLS; i++)
			run->calls[p][i] =
				(struct numbered){ .call.fn = count_call, .run = run, .poster = p, .number = i };
		posters[p] = (struct poster){ .run = run, .number = p };
		assert_int_equal(pthread_create(&threads[p], NULL, post_calls, &posters[p]), 0);
	}
	assert_int_equal(loop_run(run->loop), 0);
	for (int p = 0; p < POSTERS; p++)
		assert_int_equal(pthread_join(threads[p], NULL), 0);
	assert_int_equal(run->total, POSTERS * CALLS);
	loop_close(run->loop);
}

struct chain {
	struct loop_call call;
	struct loop *loop;
	int turns;
	bool in_call;
};

static void post_again(struct loop_call *call)
{
	struct chain *c = container_of(call, struct chain, call);

	assert_false(c->in_call); /* deferred to the next turn, never run from inside loop_post() */
	c->in_call = true;
	if (++c->turns == 100)
		loop_stop(c->loop);
	else
		loop_post(c->loop, &c->call);
	c->in_call = false;
}

static void test_a_call_may_post_itself_again(void **state)
{
	struct chain c = { .call.fn = post_again };

	(void)state;
	assert_int_equal(loop_open(&c.loop), 0);
	loop_post(c.loop, &c.call);
	assert_int_equal(loop_run(c.loop), 0);
	assert_int_equal(c.turns, 100);
	loop_close(c.loop);
}

struct heap_call {
	struct loop_call call;
	int *ran;
};

static void free_call(struct loop_call *call)
{
	struct heap_call *h = container_of(call, struct heap_call, call);

	(*h->ran)++;
	free(h);
}

static void test_calls_left_at_the_end_run_before_the_loop_is_gone(void **state)
{
	struct loop *loop;
	int ran = 0;

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	for (int i = 0; i < 3; i++) {
		struct heap_call *h = malloc(sizeof(*h));

		*h = (struct heap_call){ .call.fn = free_call, .ran = &ran };
		loop_post(loop, &h->call);
	}
	loop_close(loop);
	assert_int_equal(ran, 3);
	loop_close(NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	loop_stop(arg);
}

static void test_events_on_the_base_are_served(void **state)
{
	const struct timeval soon = { .tv_usec = 1000 };
	struct loop *loop;
	struct event *timer;

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	timer = evtimer_new(loop_base(loop), on_timer, loop);
	assert_int_equal(evtimer_add(timer, &soon), 0);
	assert_int_equal(loop_run(loop), 0);
	event_free(timer);
	loop_close(loop);
}

struct awake {
	struct loop *loop;
	struct loop_call call;
	int n;
	bool sleeps; /* is told that it may */
	bool rang; /* a timer did */
};

/* A turn of a loop that is awake, which has the next one come. */
static void on_awake(struct loop_call *call)
{
	struct awake *awake = container_of(call, struct awake, call);

	if (++awake->n >= 100 && awake->rang) {
		loop_stop(awake->loop);
		return;
	}
	loop_stay_awake(awake->loop, NS_PER_S);
	if (awake->sleeps && awake->n % 2 == 0)
		loop_may_sleep(awake->loop);
	loop_post(awake->loop, call);
}

static void note_timer(evutil_socket_t fd, short what, void *arg)
{
	struct awake *awake = arg;

	(void)fd;
	(void)what;
	awake->rang = true;
}

static void test_a_loop_that_stays_awake_serves_and_ends_as_any(void **state)
{
	(void)state;
	for (int sleeps = 0; sleeps < 2; sleeps++) {
		struct awake awake = { .call = { .fn = on_awake }, .sleeps = sleeps };
		struct event *timer;
		struct timeval soon = { .tv_usec = 1 };

		assert_int_equal(loop_open(&awake.loop), 0);
		timer = evtimer_new(loop_base(awake.loop), note_timer, &awake);
		assert_int_equal(evtimer_add(timer, &soon), 0);
		loop_post(awake.loop, &awake.call);
		assert_int_equal(loop_run(awake.loop), 0);
		assert_true(awake.n >= 100);
		event_free(timer);
		loop_close(awake.loop);
	}
}

static void stay_long(struct loop_call *call)
{
	loop_stay_awake(container_of(call, struct awake, call)->loop, 1000 * NS_PER_S);
}

/* It is noticed in whichever way the loop runs. */
static void test_a_loop_ends_where_its_base_is_told_to(void **state)
{
	const struct timeval soon = { .tv_usec = 5000 };

	(void)state;
	for (int stays = 0; stays < 2; stays++) {
		struct awake awake = { .call = { .fn = stay_long } };

		assert_int_equal(loop_open(&awake.loop), 0);
		assert_int_equal(event_base_loopexit(loop_base(awake.loop), &soon), 0);
		if (stays)
			loop_post(awake.loop, &awake.call);
		assert_int_equal(loop_run(awake.loop), 0);
		loop_close(awake.loop);
	}
}

static int64_t cpu_ns(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void *post_later(void *arg)
{
	struct awake *awake = arg;

	assert_int_equal(usleep(POST_AFTER_NS / NS_PER_US), 0);
	loop_post(awake->loop, &awake->call);
	return NULL;
}

static void stop_loop(struct loop_call *call)
{
	loop_stop(container_of(call, struct awake, call)->loop);
}

static void stay_a_moment(evutil_socket_t fd, short what, void *arg)
{
	struct awake *awake = arg;

	(void)fd; /* a timer */
	(void)what;
	loop_stay_awake(awake->loop, NS_PER_MS);
}

static void test_a_loop_that_was_awake_sleeps_again_and_is_woken(void **state)
{
	struct awake awake = { .call = { .fn = stop_loop } };
	struct timeval now = { .tv_sec = 0 };
	int64_t used_ns;
	pthread_t poster;

	(void)state;
	assert_int_equal(loop_open(&awake.loop), 0);
	assert_int_equal(event_base_once(loop_base(awake.loop), -1, EV_TIMEOUT, stay_a_moment, &awake, &now), 0);
	assert_int_equal(pthread_create(&poster, NULL, post_later, &awake), 0);
	used_ns = cpu_ns();
	assert_int_equal(loop_run(awake.loop), 0);
	assert_true(cpu_ns() - used_ns < POST_AFTER_NS / 2);
	assert_int_equal(pthread_join(poster, NULL), 0);
	loop_close(awake.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_of_many_threads_run_once_each_in_their_order),
		cmocka_unit_test(test_a_call_may_post_itself_again),
		cmocka_unit_test(test_calls_left_at_the_end_run_before_the_loop_is_gone),
		cmocka_unit_test(test_events_on_the_base_are_served),
		cmocka_unit_test(test_a_loop_that_stays_awake_serves_and_ends_as_any),
		cmocka_unit_test(test_a_loop_ends_where_its_base_is_told_to),
		cmocka_unit_test(test_a_loop_that_was_awake_sleeps_again_and_is_woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
