/* The control socket: how concctl and curl reach the daemon. ctl/PROTOCOL.md is what it speaks.
 *
 *	http.c conn.c http_parse.c    connections and requests
 *	server.c                      the object; the table of requests; who may do what
 *	handle_*.c                    one handler per request
 *	spec.c                        a submission's body
 *	document.c                    JSON documents
 *	stream.c format.c follow.c    results and events to followers
 *
 * It can listen before there is anything behind it: a restarted daemon answers `ping`, `version` and `status` at once, and
 * what concerns jobs when control_attach() has come.
 *
 * Everything belongs to the loop's thread. Nothing blocks but control_open().
 */
#ifndef CONCD_CONTROL_CONTROL_H
#define CONCD_CONTROL_CONTROL_H

struct config;
struct control;
struct crews;
struct error;
struct jobs;
struct loop;
struct store;
struct workloads;

struct control_options {
	struct loop *loop;
	const struct config *config; /* kept, as are all pointers here: valid until control_close() */
	/* What is behind it, as far as it is there: control_attach() and control_attach_crews() follow. */
	struct jobs *jobs;
	struct crews *crews;
	struct store *store;
	const struct workloads *workloads;
	int listen_fd; /* a listening socket handed over by the service manager, owned from here on; -1: make one */
	const char *version;
	/* A client asked the daemon to end; its answer is on the way. */
	void (*on_shutdown)(void *arg);
	void *arg;
};

/* Make the socket (config->socket_path with its group and mode; a stale one is replaced, one that a living daemon
 * serves is an error that names its process) and listen. 0 or -errno with words; the listen_fd is closed then too. */
int control_open(const struct control_options *options, struct control **ret_control, struct error *err);
/* Requests that concern jobs can be served from now on. */
void control_attach(struct control *control, struct jobs *jobs, struct store *store,
		    const struct workloads *workloads);
void control_attach_crews(struct control *control, struct crews *crews); /* `status` lists them from now on */
/* Take no more submissions and inputs (code `stopping`); all else goes on. */
void control_drain(struct control *control);
/* Close every connection and the socket; remove its path if it is still ours. Before jobs_close(): streams hold references to
 * jobs. Callbacks of jobs that are still to come are harmless afterwards. NULL is fine. */
void control_close(struct control *control);

#endif
