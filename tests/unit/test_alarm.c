/* Calls at a date. */
#include "unit.h"

#include <sys/timerfd.h>

#include "base/alarm.h"
#include "base/clock.h"
#include "base/loop.h"

/* ---- The kernel says so once where the clock was set since the last look ---- */

static int cancelled; /* the next so many settings */

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *ret_old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *ret_old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *ret_old)
{
	int r = __real_timerfd_settime(fd, flags, at, ret_old);

	if (r == 0 && cancelled > 0) {
		cancelled--;
		errno = ECANCELED;
		r = -1;
	}
	return r;
}

struct bell {
	struct loop *loop;
	struct alarm *alarm;
	int rings;
};

static void on_ring(void *arg)
{
	struct bell *bell = arg;

	bell->rings++;
	loop_stop(bell->loop);
}

static void bell_init(struct bell *bell)
{
	*bell = (struct bell){ .rings = 0 };
	assert_int_equal(loop_open(&bell->loop), 0);
	assert_int_equal(alarm_new(bell->loop, on_ring, bell, &bell->alarm), 0);
}

static void bell_fini(struct bell *bell)
{
	alarm_free(bell->alarm);
	loop_close(bell->loop);
}

static void it_rings_once_its_date_has_come_and_not_before(void **state)
{
	struct bell bell;
	int64_t date = clock_unix_us() + 20000;

	(void)state;
	bell_init(&bell);
	assert_int_equal(alarm_set(bell.alarm, date + 3600 * INT64_C(1000000)), 0);
	assert_int_equal(alarm_set(bell.alarm, date), 0); /* instead */
	assert_int_equal(loop_run(bell.loop), 0);
	assert_int_equal(bell.rings, 1);
	assert_true(clock_unix_us() >= date);
	bell_fini(&bell);
}

static void a_date_that_is_past_rings_at_once(void **state)
{
	struct bell bell;

	(void)state;
	bell_init(&bell);
	assert_int_equal(alarm_set(bell.alarm, 1), 0);
	assert_int_equal(loop_run(bell.loop), 0);
	assert_int_equal(alarm_set(bell.alarm, clock_unix_us() - 1000000), 0);
	assert_int_equal(loop_run(bell.loop), 0);
	assert_int_equal(bell.rings, 2);
	assert_int_equal(alarm_set(bell.alarm, 0), 0);
	alarm_free(NULL);
	bell_fini(&bell);
}

static void it_is_set_also_where_the_clock_was_set_just_before(void **state)
{
	struct bell bell;

	(void)state;
	bell_init(&bell);
	cancelled = 1;
	assert_int_equal(alarm_set(bell.alarm, clock_unix_us() + 1000), 0);
	assert_int_equal(cancelled, 0);
	assert_int_equal(loop_run(bell.loop), 0);
	assert_int_equal(bell.rings, 1);
	bell_fini(&bell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_rings_once_its_date_has_come_and_not_before),
		cmocka_unit_test(a_date_that_is_past_rings_at_once),
		cmocka_unit_test(it_is_set_also_where_the_clock_was_set_just_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
