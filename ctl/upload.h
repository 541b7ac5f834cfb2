/* The rest of a job's inputs, piece after piece, on a connection of its own: for `run`, in a thread beside the one that
 * receives results.
 *
 * Between upload_start() and upload_finish() the inputs and this struct belong to the thread.
 */
#ifndef CONCD_CTL_UPLOAD_H
#define CONCD_CTL_UPLOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http.h"

struct ctl;
struct inputs;

/* What inputs_next() gave. */
struct upload_piece {
	struct buffer packed;
	int count; /* or -errno with err */
	bool last;
	struct error err;
};

struct upload {
	const struct ctl *ctl;
	const char *job;
	struct inputs *inputs;
	int64_t patience_ns; /* a lost daemon is tried again for so long */
	uint64_t sent; /* inputs that the daemon has on disk; the caller sets those of the first piece */
	bool said_full; /* that there is no room now */
	bool says_losses; /* of the daemon: nobody else does */
	struct upload_piece piece, next; /* next: taken while the daemon works on `piece` */
	bool has_next;
	bool refused; /* the job takes no more: `piece` may be on disk, what follows is not */
	int result; /* 0, or -errno with err */
	struct error err;
	pthread_t thread;
	bool started;
};

/* Send all that is left. 0; -errno in result and err: the job was cancelled then, unless the daemon is gone
 * (-ECONNRESET) or a signal came (-EINTR). A job that takes no more because it has ended is no error, but told by `refused`. */
int upload_run(struct upload *u);
/* The same in a thread. 0 or -errno. */
int upload_start(struct upload *u);
/* Wait for its end; what it returned. Does nothing where it was not started. */
int upload_finish(struct upload *u);

#endif
