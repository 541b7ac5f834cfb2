/* What a job remembers of tasks that held their thread. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "crew/crew.h"
#include "jobs/stalls.h"

static struct crew_stall news(uint64_t task, int64_t held_ns, bool ended)
{
	return (struct crew_stall){ .task = task, .since_ns = 1000, .held_ns = held_ns, .ended = ended,
				    .input = (const uint8_t *)"\xff x", .input_kept = 3, .input_len = 1000,
				    .stack = "f (a.so)\ng (b.so)", .worker_pid = 7, .worker_thread = 2 };
}

static struct stall *note(struct stalls *s, uint64_t task, int64_t held_ns, bool ended)
{
	struct crew_stall n = news(task, held_ns, ended);

	return stalls_note(s, &n, 5);
}

static void the_longest_are_kept_and_all_are_counted(void **state)
{
	struct stalls *s = calloc(1, sizeof(*s));
	bool seen[30] = { false };

	(void)state;
	assert_non_null(s);
	for (uint64_t i = 0; i < 30; i++) {
		assert_non_null(note(s, i, 60, false));
		assert_non_null(note(s, i, (int64_t)(i * 7 % 30) * 100 + 60, true));
	}
	assert_int_equal(s->count, 30);
	assert_int_equal(s->n, STALLS_KEPT);
	for (size_t i = 0; i < s->n; i++)
		seen[s->kept[i].task * 7 % 30] = true;
	for (size_t rank = 30 - STALLS_KEPT + 1; rank < 30; rank++)
		assert_true(seen[rank]); /* and the last to come */
	stalls_free(s);
}

static void an_end_of_one_that_is_not_known_is_none(void **state)
{
	struct stalls *s = calloc(1, sizeof(*s));

	(void)state;
	assert_non_null(s);
	assert_null(note(s, 3, 60, true));
	assert_null(stalls_task_ended(s, 3, 5000));
	assert_int_equal(s->count, 0);
	assert_non_null(note(s, 3, 60, false));
	assert_int_equal(stalls_task_ended(s, 3, 5000)->held_ns, 4000);
	assert_null(note(s, 3, 60, true)); /* it has ended already */
	stalls_free(s);
}

static void what_is_written_is_read_back(void **state)
{
	struct stalls *s = calloc(1, sizeof(*s)), *got = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	(void)state;
	assert_non_null(s);
	(void)note(s, 3, 60, false);
	(void)note(s, 4, 70, false);
	(void)note(s, 4, 80, true);
	s->dropped = 9;
	assert_int_equal(stalls_encode(s, &b), 0);
	assert_int_equal(stalls_decode(b.data, b.len, &got), 0);
	assert_int_equal(got->count, 2);
	assert_int_equal(got->dropped, 9);
	assert_int_equal(got->n, 2);
	assert_false(got->kept[0].ended);
	assert_int_equal(got->kept[1].held_ns, 80);
	assert_int_equal(got->kept[1].input_kept, 3);
	assert_memory_equal(got->kept[1].input, "\xff x", 3);
	assert_int_equal(got->kept[1].input_len, 1000);
	assert_string_equal(got->kept[1].stack, "f (a.so)\ng (b.so)");
	assert_int_equal(got->kept[1].since_unix_us, 1000 / NS_PER_US + 5);
	stalls_free(got);
	for (size_t len = 0; len < b.len; len++) { /* cut anywhere it is refused */
		got = NULL;
		assert_int_equal(stalls_decode(b.data, len, &got), -EBADMSG);
		assert_null(got);
	}
	stalls_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_are_kept_and_all_are_counted),
		cmocka_unit_test(an_end_of_one_that_is_not_known_is_none),
		cmocka_unit_test(what_is_written_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
