/* Sleeping on a word of the shared segment. Never FUTEX_PRIVATE: the two sides are different processes. */
#ifndef CONCD_RING_FUTEX_H
#define CONCD_RING_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleep while the word holds `expected`, at most for `timeout` (NULL: for ever). Returns early on a signal: the caller
 * looks at its own condition again, so the result says nothing. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct timespec *timeout)
{
	(void)syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout, NULL, 0); /* see above */
}

static inline void futex_wake(_Atomic uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); /* fails only for a bad address */
}

#endif
