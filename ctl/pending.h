/* The jobs that a waiting command is about, and those of which it has been told: what is asked again where the daemon was
 * lost in between. */
#ifndef CONCD_CTL_PENDING_H
#define CONCD_CTL_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "seen.h"

struct buffer;

struct pending {
	struct seen jobs, told;
	bool known; /* `jobs` has all of them */
};

void pending_fini(struct pending *p); /* zeroed memory is an empty one */
/* A line of the answer names more of them, such as "3-7,9". 0; -EPROTO; -ENOMEM. */
int pending_add(struct pending *p, const char *ranges);
/* Something was said of a job. 1 where something had been before, else 0; -ENOMEM. */
int pending_tell(struct pending *p, uint64_t id);
/* The lowest job from *id on of which nothing was said; false: there is none. */
bool pending_next(const struct pending *p, uint64_t *id);
/* Their numbers, a line each, up to about max_bytes. 0 or -ENOMEM. */
int pending_format(const struct pending *p, size_t max_bytes, struct buffer *b);

#endif
