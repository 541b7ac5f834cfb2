/* A timerfd on the realtime clock, cancelled where the clock is set. */
#include "alarm.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "loop.h"

struct alarm {
	int fd;
	struct event *event;
	void (*on_ring)(void *arg);
	void *arg;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct alarm *alarm = arg;
	uint64_t rings;
	ssize_t n = read(fd, &rings, sizeof(rings));

	(void)what;
	if (n < 0 && errno != ECANCELED) /* that is: the clock was set */
		return;
	alarm->on_ring(alarm->arg);
}

int alarm_new(struct loop *loop, void (*on_ring)(void *arg), void *arg, struct alarm **ret_alarm)
{
	struct alarm *alarm = calloc(1, sizeof(*alarm));
	int r;

	if (!alarm)
		return -ENOMEM;
	alarm->on_ring = on_ring;
	alarm->arg = arg;
	alarm->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	r = alarm->fd < 0 ? -errno : 0;
	if (r == 0)
		alarm->event = event_new(loop_base(loop), alarm->fd, EV_READ | EV_PERSIST, on_readable, alarm);
	if (r == 0 && (!alarm->event || event_add(alarm->event, NULL) < 0))
		r = -ENOMEM;
	if (r < 0) {
		alarm_free(alarm);
		return r;
	}
	*ret_alarm = alarm;
	return 0;
}

void alarm_free(struct alarm *alarm)
{
	if (!alarm)
		return;
	if (alarm->event)
		event_free(alarm->event);
	if (alarm->fd >= 0)
		(void)close(alarm->fd); /* nothing was written to it */
	free(alarm);
}

int alarm_set(struct alarm *alarm, int64_t unix_us)
{
	struct itimerspec at = { .it_value = { .tv_sec = unix_us / 1000000, .tv_nsec = unix_us % 1000000 * 1000 } };

	int r;

	/* ECANCELED: the clock was set, and nobody has read of it yet. The kernel says so once, and forgets that ring. */
	do
		r = timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL) < 0 ? -errno : 0;
	while (r == -ECANCELED);
	return r;
}
