/* The limit on a process's log lines: so many a second, the rest is counted. Any thread. */
#ifndef CONCD_WORKER_LOG_GATE_H
#define CONCD_WORKER_LOG_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOG_GATE_LINES_PER_S 200u

struct log_gate {
	/* Second (upper half) and lines passed in it. Relaxed, like all of this: counts that publish nothing. */
	_Atomic uint64_t window;
	_Atomic uint64_t dropped; /* since last taken */
	int wake_fd; /* eventfd of who reports the drops, written when the first is counted; -1: nobody */
};

/* May a line pass now? Counts it as dropped if not. */
bool log_gate_pass(struct log_gate *gate, int64_t now_ns);
/* Count a line that was dropped elsewhere. */
void log_gate_drop(struct log_gate *gate);
/* The number of lines dropped since the last call. */
uint64_t log_gate_take_dropped(struct log_gate *gate);

#endif
