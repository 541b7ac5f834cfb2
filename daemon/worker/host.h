/* The host thread of a worker process: serves the socket to the daemon, starts the runners, watches time limits. It
 * runs no plugin code, so it answers whatever the plugin does. */
#ifndef CONCD_WORKER_HOST_H
#define CONCD_WORKER_HOST_H

struct host_fds {
	int socket;
	int segment;
	int event;
};

/* Serve until STOP has been obeyed (0), or the process has to end with an error (1). End of file on the socket ends the
 * process at once: the daemon died, and what the runners do no longer counts. */
int host_run(const struct host_fds *fds);

#endif
