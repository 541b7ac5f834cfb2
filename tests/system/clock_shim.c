/* Preloaded into concd by tests of dates: puts its realtime clock forward or back by what stands in a file, also while
 * it runs. Dates given to timers of that clock are put back, so that the kernel's clock keeps them.
 *
 *	CONCD_CLOCK_FILE	a file of 8 bytes, the seconds to add (int64_t)
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *offset_s; /* relaxed: a step that is seen a moment later is a step a moment later */

__attribute__((constructor)) static void prepare(void)
{
	const char *path = getenv("CONCD_CLOCK_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = fd >= 0 ? mmap(NULL, sizeof(*offset_s), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (map != MAP_FAILED)
		offset_s = map;
	if (fd >= 0)
		(void)close(fd);
	(void)unsetenv("CONCD_CLOCK_FILE"); /* not for what the daemon starts */
	(void)unsetenv("LD_PRELOAD");
}

static int64_t offset(void)
{
	return offset_s ? atomic_load_explicit(offset_s, memory_order_relaxed) : 0;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *ts)
{
	long r = syscall(SYS_clock_gettime, clock, ts);

	if (r == 0 && clock == CLOCK_REALTIME)
		ts->tv_sec += offset();
	return (int)r;
}

/* What libraries ask that do not say which clock they mean. */
__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	long r = syscall(SYS_gettimeofday, tv, zone);

	if (r == 0)
		tv->tv_sec += offset();
	return (int)r;
}

__attribute__((visibility("default"))) time_t time(time_t *ret_now)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* the one above */
	if (ret_now)
		*ret_now = ts.tv_sec;
	return ts.tv_sec;
}

__attribute__((visibility("default"))) int timerfd_settime(int fd, int flags, const struct itimerspec *at,
							   struct itimerspec *old)
{
	struct itimerspec shifted = *at;

	/* none of the program's absolute timers is of another clock */
	if ((flags & TFD_TIMER_ABSTIME) && at->it_value.tv_sec > 0)
		shifted.it_value.tv_sec = at->it_value.tv_sec > offset() ? at->it_value.tv_sec - offset() : 1;
	return (int)syscall(SYS_timerfd_settime, fd, flags, &shifted, old);
}
