/* Messages to tasks: the inboxes, and concd_receive() by a runner on a ring of plain arrays. */
#include "runner_rig.h"

#include <sched.h>

/* ---- Inboxes ---- */

static void expect_message(struct mail *mail, uint64_t task, const char *text)
{
	int r;
	struct mail_message *message = mail_take(mail, JOB, task, NULL, &r);

	assert_non_null(message);
	assert_int_equal(message->len, strlen(text));
	assert_string_equal(message->data, text);
	free(message);
}

static void expect_none(struct mail *mail, uint64_t task)
{
	int r;

	assert_null(mail_take(mail, JOB, task, NULL, &r));
	assert_int_equal(r, 0);
}

static void messages_come_in_order_and_to_their_task_only(void **state)
{
	struct mail *mail;

	(void)state;
	assert_int_equal(mail_open(&mail), 0);
	assert_int_equal(mail_put(mail, JOB, 3, "one", 3), 0);
	assert_int_equal(mail_put(mail, JOB, 4, "", 0), 0);
	assert_int_equal(mail_put(mail, JOB, 3, "two", 3), 0);
	assert_int_equal(mail_put(mail, JOB + 1, 3, "other", 5), 0);
	expect_message(mail, 3, "one");
	expect_message(mail, 3, "two");
	expect_none(mail, 3);
	expect_message(mail, 4, "");
	expect_none(mail, 5);
	mail_close(mail);
}

static void an_inbox_is_bounded_in_count_and_bytes(void **state)
{
	static const char kilobytes[64 << 10];
	struct mail *mail;

	(void)state;
	assert_int_equal(mail_open(&mail), 0);
	for (unsigned i = 0; i < MAIL_MAX_MESSAGES; i++)
		assert_int_equal(mail_put(mail, JOB, 1, "x", 1), 0);
	assert_int_equal(mail_put(mail, JOB, 1, "x", 1), -EBUSY);
	for (int i = 0; i < 4; i++)
		assert_int_equal(mail_put(mail, JOB, 2, kilobytes, sizeof(kilobytes)), 0);
	assert_int_equal(mail_put(mail, JOB, 2, "x", 1), -EBUSY);
	assert_int_equal(mail_put(mail, JOB, 3, "x", 1), 0);
	expect_message(mail, 1, "x");
	assert_int_equal(mail_put(mail, JOB, 1, "x", 1), 0);
	mail_end(mail, JOB, 2);
	expect_none(mail, 2);
	assert_int_equal(mail_put(mail, JOB, 2, kilobytes, sizeof(kilobytes)), 0);
	mail_forget(mail, JOB);
	expect_none(mail, 1);
	expect_none(mail, 2);
	expect_none(mail, 3);
	mail_close(mail);
}

static void all_inboxes_together_are_bounded(void **state)
{
	static const char kilobytes[64 << 10];
	uint64_t task = 0;
	struct mail *mail;

	(void)state;
	assert_int_equal(mail_open(&mail), 0);
	while (mail_put(mail, JOB, task, kilobytes, sizeof(kilobytes)) == 0)
		task++;
	assert_int_equal(task, MAIL_MAX_ALL_BYTES / sizeof(kilobytes));
	mail_end(mail, JOB, 5);
	assert_int_equal(mail_put(mail, JOB, task, kilobytes, sizeof(kilobytes)), 0);
	mail_close(mail);
}

/* ---- Receiving ---- */

static _Atomic int waiting, received;

static int run_receive(struct concd_task *task)
{
	const void *data;
	size_t len;
	int r;

	assert_int_equal(concd_receive(task, 0, &data, &len), -ETIMEDOUT);
	assert_int_equal(concd_receive(task, NS_PER_MS, &data, NULL), -ETIMEDOUT);
	waiting++;
	for (int i = 0; i < 3; i++) {
		r = concd_receive(task, CONCD_NO_TIMEOUT, &data, &len);
		if (r < 0)
			return r;
		received++;
		assert_int_equal(len, strlen(data));
	}
	return concd_result(task, data, len);
}

static void waiting_tasks_are_woken_by_their_messages(void **state)
{
	struct rig rig;
	char text[16];

	(void)state;
	for (uint32_t coroutines = 1; coroutines <= 20; coroutines += 19) {
		waiting = received = 0;
		open_rig(&rig, run_receive, coroutines);
		fake_ring_submit_many(rig.ring, JOB, 20, "");
		for (uint32_t task = 0; task < 20; task++) {
			while (waiting < (int)task + 1)
				sched_yield();
			for (int i = 0; i < 3; i++) {
				snprintf(text, sizeof(text), "%u.%d", task, i);
				assert_int_equal(mail_put(rig.mail, JOB, task, text, strlen(text)), 0);
			}
		}
		fake_ring_wait(rig.ring, 20);
		assert_int_equal(fake_ring_count(rig.ring, RING_DONE), 20);
		assert_int_equal(received, 60);
		assert_memory_equal(fake_ring_record(rig.ring, 0, 7).data, "7.2", 3);
		close_rig(&rig);
	}
}

static void a_cancel_ends_the_wait(void **state)
{
	struct rig rig;

	(void)state;
	waiting = received = 0;
	open_rig(&rig, run_receive, 4);
	fake_ring_submit_many(rig.ring, JOB, 4, "");
	while (waiting < 4)
		sched_yield();
	assert_int_equal(mail_put(rig.mail, JOB, 0, "x", 1), 0);
	while (received < 1)
		sched_yield();
	jobtable_cancel(rig.jobs, JOB, 1);
	runner_look(rig.runner);
	fake_ring_wait(rig.ring, 4);
	assert_int_equal(fake_ring_count(rig.ring, RING_CANCELLED), 4);
	close_rig(&rig);
}

static _Atomic bool posted;

static int run_deaf(struct concd_task *task)
{
	if (*concd_input(task, NULL) == 'd') {
		waiting++;
		while (!posted)
			if (concd_yield(task) < 0)
				return -ECANCELED;
	}
	return 0;
}

static void what_a_task_does_not_receive_goes_with_it(void **state)
{
	static const char *const inputs[] = { "d" };
	struct rig rig;

	(void)state;
	waiting = 0;
	posted = false;
	open_rig(&rig, run_deaf, 2);
	fake_ring_submit(rig.ring, JOB, 0, 1, inputs);
	while (waiting < 1)
		sched_yield();
	assert_int_equal(mail_put(rig.mail, JOB, 0, "x", 1), 0);
	posted = true;
	fake_ring_wait(rig.ring, 1);
	runner_stop(rig.runner);
	while (runner_state(rig.runner) != RUNNER_ENDED)
		sched_yield();
	expect_none(rig.mail, 0);
	close_rig(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_in_order_and_to_their_task_only),
		cmocka_unit_test(an_inbox_is_bounded_in_count_and_bytes),
		cmocka_unit_test(all_inboxes_together_are_bounded),
		cmocka_unit_test(waiting_tasks_are_woken_by_their_messages),
		cmocka_unit_test(a_cancel_ends_the_wait),
		cmocka_unit_test(what_a_task_does_not_receive_goes_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
