/* Signals: a handler that notes the number and writes to a pipe that is never read, so that it stays readable. */
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "protocol.h"

/* A signal handler has no argument of ours: this is the one state of the process that is global. Relaxed everywhere:
 * each is one word that says everything; what a reader does next depends on no other memory that the handler wrote. */
static atomic_int caught;
static atomic_int pipe_read = -1, pipe_write = -1;

void interrupt_wake(void)
{
	int saved = errno;
	ssize_t n = write(atomic_load_explicit(&pipe_write, memory_order_relaxed), "", 1);

	(void)n; /* a full pipe is readable, which is all that is wanted */
	errno = saved;
}

static void on_signal(int number)
{
	int none = 0;

	if (!atomic_compare_exchange_strong_explicit(&caught, &none, number, memory_order_relaxed,
						     memory_order_relaxed) && number == SIGINT)
		_exit(EXIT_INTERRUPTED);
	interrupt_wake();
}

int interrupt_install(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	atomic_store_explicit(&pipe_read, fds[0], memory_order_relaxed);
	atomic_store_explicit(&pipe_write, fds[1], memory_order_relaxed);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct sigaction action = { .sa_handler = on_signal }, old;

		/* No SA_RESTART: a write to a full standard output must end. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		if (sigaction(signals[i], &action, NULL) < 0)
			return -errno;
	}
	return fds[0];
}

int interrupt_fd(void)
{
	return atomic_load_explicit(&pipe_read, memory_order_relaxed);
}

int interrupt_signal(void)
{
	return atomic_load_explicit(&caught, memory_order_relaxed);
}

int interrupt_sleep(int ms)
{
	struct pollfd fd = { .fd = interrupt_fd(), .events = POLLIN };

	return poll(&fd, 1, ms) == 0 ? 0 : -EINTR;
}
