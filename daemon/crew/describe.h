/* Asking plugins to describe themselves, each in a process of its own: a plugin's constructors run in dlopen()
 * already. */
#ifndef CONCD_CREW_DESCRIBE_H
#define CONCD_CREW_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct describe {
	const char *path; /* of the plugin */
	struct buffer out; /* what it printed; valid where why_not is empty. The caller's: buffer_fini() */
	char why_not[256]; /* "" where it ended well */
};

#define DESCRIBE_TIMEOUT_MS 5000

/* Run `WORKER --describe PATH` for each, at most `jobs` at once, each for at most timeout_ms. Blocks. 0; -errno where
 * not even one process could be started (why_not says it too). */
int describe_all(const char *worker_path, struct describe *list, size_t n, uint32_t jobs, int timeout_ms);

#endif
