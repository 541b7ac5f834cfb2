/* What a worker process takes upon itself before any plugin code runs. */
#ifndef CONCD_WORKER_LIMITS_H
#define CONCD_WORKER_LIMITS_H

#include <stdint.h>

struct error;

struct limits {
	uint64_t memory_max_bytes; /* address space beyond what the process has and what `reserved_bytes` will be; 0: none */
	uint64_t reserved_bytes; /* of stacks and runners */
	uint64_t nice;
	const char *affinity; /* "": any processor */
};

/* For the calling thread and those that it starts. 0, or -errno with words. */
int limits_apply(const struct limits *limits, struct error *err);

#endif
