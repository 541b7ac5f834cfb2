/* Preloaded into a daemon and its worker processes: a kernel before Linux 6.13, without MADV_GUARD_INSTALL. */
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARD_INSTALL 102

int madvise(void *address, size_t bytes, int advice);
int madvise(void *address, size_t bytes, int advice)
{
	if (advice == GUARD_INSTALL) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_madvise, address, bytes, advice);
}
