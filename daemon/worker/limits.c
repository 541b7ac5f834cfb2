/* Limits of a worker process. */
#include "limits.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cpu_list.h"
#include "base/error.h"

/* Address space of this process; 0: unknown. */
static uint64_t address_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%llu", &pages) != 1)
		pages = 0;
	(void)fclose(f); /* it was only read */
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int limit_memory(const struct limits *l, struct error *err)
{
	uint64_t has = address_bytes(), all;
	struct rlimit limit;

	if (has == 0)
		return error_set(err, -ENOSYS, "worker-init", "memory_max: /proc/self/statm cannot be read");
	if (getrlimit(RLIMIT_AS, &limit) < 0)
		return error_set(err, -errno, "worker-init", "memory_max: %s", strerror(errno));
	if (__builtin_add_overflow(has + l->reserved_bytes, l->memory_max_bytes, &all) || all >= limit.rlim_max)
		return 0; /* what is in force is less */
	/* Every heap of a thread would reserve 64 MiB of what is left. */
	(void)mallopt(M_ARENA_MAX, 1);
	limit.rlim_cur = limit.rlim_max = all;
	if (setrlimit(RLIMIT_AS, &limit) < 0)
		return error_set(err, -errno, "worker-init", "memory_max: %s", strerror(errno));
	return 0;
}

int limits_apply(const struct limits *l, struct error *err)
{
	cpu_set_t cpus;

	if (*l->affinity) {
		int r = cpu_list_parse(l->affinity, &cpus);

		if (r == 0 && sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
			r = -errno;
		if (r < 0)
			return error_set(err, r, "worker-init", "affinity: none of the processors \"%.60s\" can be used: %s",
					 l->affinity, strerror(-r));
	}
	if (l->nice > 0 && setpriority(PRIO_PROCESS, 0, (int)l->nice) < 0)
		return error_set(err, -errno, "worker-init", "nice: %s", strerror(errno));
	return l->memory_max_bytes > 0 ? limit_memory(l, err) : 0;
}
