/* What /proc says of a worker process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "crew/crew_private.h"

#define STATUS_BYTES 4096

static int open_proc(pid_t pid, const char *name, int flags)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, flags | O_CLOEXEC);
}

static int read_proc(pid_t pid, const char *name, char *text, size_t bytes)
{
	_cleanup_close_ int fd = open_proc(pid, name, O_RDONLY);
	ssize_t n;

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

/* A number of KiB in the text of a status file. */
static uint64_t find_bytes(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	unsigned long long kib;

	if (!at || sscanf(at + strlen(key), " %llu", &kib) != 1)
		return 0; /* a process that has ended has no memory */
	return (uint64_t)kib * 1024;
}

uint64_t procfs_rss_bytes(pid_t pid)
{
	char text[STATUS_BYTES];

	return read_proc(pid, "status", text, sizeof(text)) < 0 ? 0 : find_bytes(text, "\nVmRSS:");
}

char proc_state(const struct proc *proc)
{
	static const char key[] = "\nState:\t";
	char text[STATUS_BYTES];
	const char *at;
	ssize_t n = pread(proc->status_fd, text, sizeof(text) - 1, 0); /* one read gives the whole of it */

	if (n < 0)
		return 0;
	text[n] = '\0';
	at = strstr(text, key);
	return at ? at[sizeof(key) - 1] : 0;
}

bool proc_state_is_stopped(char state)
{
	return state == 'T' || state == 't';
}

void proc_peak_open(struct proc *proc)
{
	proc->status_fd = open_proc(proc->pid, "status", O_RDONLY);
	proc->clear_refs_fd = open_proc(proc->pid, "clear_refs", O_WRONLY);
}

void proc_peak_close(struct proc *proc)
{
	if (proc->status_fd >= 0)
		(void)close(proc->status_fd); /* only read */
	if (proc->clear_refs_fd >= 0)
		(void)close(proc->clear_refs_fd);
}

uint64_t proc_peak_rss_bytes(const struct proc *proc)
{
	char text[STATUS_BYTES];
	ssize_t n = pread(proc->status_fd, text, sizeof(text) - 1, 0); /* one read gives the whole of it */

	if (n < 0)
		return 0;
	text[n] = '\0';
	return find_bytes(text, "\nVmHWM:");
}

void proc_peak_reset(const struct proc *proc)
{
	(void)!pwrite(proc->clear_refs_fd, "5", 1, 0); /* where it is refused the peak includes what was before */
}
