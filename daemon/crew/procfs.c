/* What /proc says of a worker process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "crew/crew_private.h"

static int read_proc(pid_t pid, const char *name, char *text, size_t bytes)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = io_read_full(fd, text, bytes - 1);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	return 0;
}

int procfs_start_time(pid_t pid, uint64_t *ret_start_time)
{
	char text[1024];
	const char *at;
	unsigned long long value;
	int r = read_proc(pid, "stat", text, sizeof(text));

	if (r < 0)
		return r;
	at = strrchr(text, ')'); /* the command's name may hold anything, also parentheses */
	/* Field 22; the state behind the name is the third. */
	if (!at || sscanf(at + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
			  &value) != 1)
		return -EBADMSG;
	*ret_start_time = value;
	return 0;
}

static uint64_t status_kib(pid_t pid, const char *key)
{
	char text[4096];
	const char *at;
	unsigned long long kib;

	if (read_proc(pid, "status", text, sizeof(text)) < 0)
		return 0;
	at = strstr(text, key);
	if (!at || sscanf(at + strlen(key), " %llu", &kib) != 1)
		return 0; /* a process that has ended has no memory */
	return (uint64_t)kib * 1024;
}

uint64_t procfs_rss_bytes(pid_t pid)
{
	return status_kib(pid, "\nVmRSS:");
}

uint64_t procfs_peak_rss_bytes(pid_t pid)
{
	return status_kib(pid, "\nVmHWM:");
}

void procfs_reset_peak(pid_t pid)
{
	_cleanup_close_ int fd = -1;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "5", 1); /* where it is refused the peak includes what was before */
}
