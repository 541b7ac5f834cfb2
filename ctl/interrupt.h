/* Signals that end a command in an orderly way: SIGINT, SIGTERM and SIGHUP are noted and wake every wait.
 *
 * A second SIGINT ends the process at once with status 130. Signals that were ignored when concctl was started (nohup,
 * a shell's background job) stay ignored. SIGPIPE is ignored always: a closed standard output is an error of write.
 */
#ifndef CONCD_CTL_INTERRUPT_H
#define CONCD_CTL_INTERRUPT_H

/* Begin to catch. Returns the descriptor that becomes readable and stays so; -errno. Once per process. */
int interrupt_install(void);
/* The descriptor, -1 before interrupt_install(). */
int interrupt_fd(void);
/* The first signal that came, 0: none. Any thread. */
int interrupt_signal(void);
/* Wake every wait as a signal does, without one. Any thread. */
void interrupt_wake(void);
/* Sleep, but not through a signal. 0 or -EINTR. */
int interrupt_sleep(int ms);

#endif
