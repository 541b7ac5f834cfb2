/* The downloader's gate: per-host limit, look-ups in flight, who waits for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "harness.h"
#include "plugins/downloader/gate.h"

#define LOOKUPS 2

/* A transfer that does nothing: it enters the gate for the host its input names, waits until the test lets it go on, and
 * leaves. "n.a:80" is a name, "127..." is not. */
static struct visit {
	bool is_in, was_looking;
	bool resolve, leave; /* what the test wants */
	enum gate_end end;
	struct gate_pass pass;
	uint64_t entered; /* as the how-manieth */
} visits[64];
static uint32_t per_host;
static uint64_t n_entered;

static int run(struct concd_task *task)
{
	struct visit *visit = &visits[concd_index(task)];
	struct concd_resumer *resumer = concd_resumer(task);
	size_t len;
	const char *key = concd_input(task, &len);
	int r;

	r = gate_enter(task->worker->state, task, resumer, key, key[0] == 'n', per_host, &visit->pass);
	if (r == 0) {
		visit->is_in = true;
		visit->was_looking = visit->pass.looking;
		visit->entered = ++n_entered;
		while (!visit->leave && r == 0) {
			if (visit->resolve)
				gate_resolved(&visit->pass);
			r = concd_sleep(task, 1000000);
		}
		gate_leave(&visit->pass, r < 0 ? GATE_END_CLOSED : visit->end);
		visit->is_in = false;
	}
	concd_resumer_free(task->host, resumer);
	return r;
}

static int init(struct concd_worker *worker)
{
	worker->state = gate_new(LOOKUPS);
	return worker->state != NULL ? 0 : -ENOMEM;
}

static void fini(struct concd_worker *worker)
{
	gate_free(worker->state);
}

static const struct concd_plugin visitor = {
	CONCD_PLUGIN_HEADER,
	.name = "visitor",
	.worker_init = init,
	.worker_exit = fini,
	.run = run,
};

static struct harness *open_gate(uint32_t limit)
{
	struct harness *h = harness_open_plugin(&visitor);

	memset(visits, 0, sizeof(visits));
	per_host = limit;
	n_entered = 0;
	assert_int_equal(harness_start(h), 0);
	return h;
}

static int count_in(int first, int last)
{
	int n = 0;

	for (int i = first; i <= last; i++)
		n += visits[i].is_in;
	return n;
}

/* Let everything happen that can happen without the test's doing. */
static void settle(struct harness *h)
{
	for (int i = 0; i < 10; i++)
		(void)harness_turn(h, true);
}

static void leave_all(struct harness *h)
{
	for (size_t i = 0; i < sizeof(visits) / sizeof(visits[0]); i++)
		visits[i].leave = true;
	harness_run(h);
}

static void a_host_gets_no_more_than_its_limit_and_hands_over_in_order(void **state)
{
	struct harness *h = open_gate(2);

	(void)state;
	for (int i = 0; i < 5; i++)
		harness_add(h, "127.0.0.1:80");
	harness_add(h, "127.0.0.2:80");
	settle(h);
	assert_int_equal(count_in(0, 4), 2);
	assert_true(visits[5].is_in); /* another host has its own limit */
	visits[1].leave = true;
	settle(h);
	assert_true(visits[0].is_in && visits[2].is_in && !visits[3].is_in);
	leave_all(h);
	assert_true(visits[3].entered < visits[4].entered);
	harness_close(h);
}

static void a_name_is_looked_up_once_for_all_who_want_it(void **state)
{
	struct harness *h = open_gate(0);

	(void)state;
	for (int i = 0; i < 10; i++)
		harness_add(h, "n.a:80");
	settle(h);
	assert_int_equal(count_in(0, 9), 1);
	assert_true(visits[0].was_looking);
	visits[0].resolve = true;
	settle(h);
	assert_int_equal(count_in(0, 9), 10);
	for (int i = 1; i < 10; i++)
		assert_false(visits[i].was_looking);
	leave_all(h);
	harness_close(h);
}

static void look_ups_in_flight_are_limited_and_addresses_are_not(void **state)
{
	static const char *const keys[] = {"n.a:80", "n.b:80", "n.c:80", "n.d:80", "127.0.0.1:80"};
	struct harness *h = open_gate(0);

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		harness_add(h, keys[i]);
	settle(h);
	assert_int_equal(count_in(0, 3), LOOKUPS);
	assert_true(visits[4].is_in);
	visits[0].resolve = true;
	settle(h);
	assert_int_equal(count_in(0, 3), LOOKUPS + 1);
	visits[1].leave = true; /* without having resolved */
	settle(h);
	assert_true(visits[3].is_in);
	leave_all(h);
	harness_close(h);
}

static void who_waits_for_a_name_that_is_not_found_fails_with_it(void **state)
{
	struct harness *h = open_gate(0);
	struct harness_task *tasks[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		tasks[i] = harness_add(h, "n.a:80");
	settle(h);
	visits[0].end = GATE_END_UNRESOLVED;
	visits[0].leave = true;
	harness_run(h);
	for (int i = 1; i < 4; i++)
		assert_int_equal(tasks[i]->returned, -EHOSTUNREACH);
	harness_close(h);
}

static void another_looks_up_when_the_first_is_cancelled(void **state)
{
	struct harness *h = open_gate(0);
	struct harness_task *tasks[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		tasks[i] = harness_add(h, "n.a:80");
	settle(h);
	harness_cancel(tasks[0]);
	settle(h);
	assert_int_equal(tasks[0]->returned, -ECANCELED);
	assert_int_equal(count_in(1, 2), 1);
	leave_all(h);
	assert_int_equal(tasks[2]->returned, 0);
	harness_close(h);
}

static void cancelled_waiters_leave_every_queue(void **state)
{
	static const char *const keys[] = {"n.a:80", "n.b:80", "n.c:80", "n.c:80", "n.d:80", "127.0.0.1:80", "127.0.0.1:80"};
	struct harness_task *tasks[7];
	struct harness *h = open_gate(1);

	(void)state;
	for (int i = 0; i < 7; i++)
		tasks[i] = harness_add(h, keys[i]);
	settle(h);
	harness_cancel(tasks[2]); /* waits for a look-up's slot */
	harness_cancel(tasks[6]); /* waits for its host */
	settle(h);
	assert_int_equal(tasks[2]->returned, -ECANCELED);
	assert_int_equal(tasks[6]->returned, -ECANCELED);
	visits[0].resolve = visits[1].resolve = true;
	settle(h);
	assert_true(visits[3].is_in && visits[4].is_in); /* both slots went on */
	leave_all(h);
	harness_close(h);
}

static void reuse_is_asked_for_only_where_a_connection_may_be_idle(void **state)
{
	struct harness *h = open_gate(0);

	(void)state;
	for (int i = 0; i < 2; i++)
		harness_add(h, "127.0.0.1:80");
	settle(h);
	assert_true(visits[0].pass.fresh && visits[1].pass.fresh);
	visits[0].end = GATE_END_KEPT;
	visits[1].end = GATE_END_CLOSED;
	visits[0].leave = visits[1].leave = true;
	settle(h);
	harness_add(h, "127.0.0.1:80");
	harness_add(h, "127.0.0.1:80");
	settle(h);
	assert_true(!visits[2].pass.fresh && visits[3].pass.fresh);
	leave_all(h);
	harness_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_gets_no_more_than_its_limit_and_hands_over_in_order),
		cmocka_unit_test(a_name_is_looked_up_once_for_all_who_want_it),
		cmocka_unit_test(look_ups_in_flight_are_limited_and_addresses_are_not),
		cmocka_unit_test(who_waits_for_a_name_that_is_not_found_fails_with_it),
		cmocka_unit_test(another_looks_up_when_the_first_is_cancelled),
		cmocka_unit_test(cancelled_waiters_leave_every_queue),
		cmocka_unit_test(reuse_is_asked_for_only_where_a_connection_may_be_idle),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
