/* A call at a date: UTC, whatever the clock is set to meanwhile. The loop's thread only.
 *
 * Timers of the loop measure intervals. What is to happen at a date must also happen when the clock is put forward
 * past it, when the machine slept through it, and not before the date when the clock is put back. */
#ifndef CONCD_BASE_ALARM_H
#define CONCD_BASE_ALARM_H

#include <stdint.h>

struct alarm;
struct loop;

/* on_ring: the date has come, or the clock was set: look at it, and call alarm_set() for what is next. */
int alarm_new(struct loop *loop, void (*on_ring)(void *arg), void *arg, struct alarm **ret_alarm); /* 0, -EMFILE, -ENOMEM */
void alarm_free(struct alarm *alarm); /* NULL is fine */
/* Ring at this date, at once where it is past, and not at the one that was set before. 0: at none. */
int alarm_set(struct alarm *alarm, int64_t unix_us); /* 0, or -errno of the kernel */

#endif
