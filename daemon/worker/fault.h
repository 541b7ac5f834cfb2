/* Faults of the process: the task that causes one is named before the default action follows. */
#ifndef CONCD_WORKER_FAULT_H
#define CONCD_WORKER_FAULT_H

/* Catch SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT: mark the runner in the segment and write one line to standard
 * error, then do what was to be done before. Once, before threads start. 0 or -errno. */
int fault_install(void);

/* Give the calling thread an alternate stack, and take it away. 0 or -ENOMEM. */
int fault_thread_open(void);
void fault_thread_close(void);

#endif
