/* What the two files of a selection share: what it is, and how one begins. */
#ifndef CONCD_CONTROL_SELECTION_PRIVATE_H
#define CONCD_CONTROL_SELECTION_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event_struct.h>

#include "control/selection.h"
#include "control/selector.h"
#include "control/server.h"

struct slot {
	struct selection *selection;
	size_t index; /* its job's, in selection->ids */
	struct job *job; /* a reference; NULL: being looked for */
	struct job_watch watch; /* while it waits for the end */
	json_t *line; /* what is said of it; NULL: what is usual */
	bool busy, waiting;
	struct slot *next_free;
};

struct selection {
	struct call call; /* call.req NULL: the client has left */
	const struct verb *verb;
	struct verb_options options;
	struct selector selector;
	bool described; /* not named */
	char *label, *after; /* that are set; they outlive the request */
	struct jobs *jobs;
	uint32_t uid; /* who asks */

	uint64_t *ids; /* 0: said already, or passed over */
	size_t n, cap;
	uint64_t live_below; /* live jobs that are still to be looked at */
	bool walking; /* kick goes on with these */
	uint64_t last_row; /* lowest id of the pages so far */
	uint32_t rows; /* of the page that is coming */
	bool failed; /* out of memory */

	bool answering; /* the stream has begun */
	size_t listed; /* with options.selected: how many of ids its first lines have named so far */
	bool is_listed; /* all of them */
	bool ending; /* the second round: wait for each */
	bool overdue; /* the time for that is over: what is being looked at is still told of, where it has ended */
	size_t next; /* place in ids */
	struct slot *slots, *free;
	size_t n_slots, n_busy;
	uint64_t n_done, n_failed;
	struct event kick, timeout;
};

/* Find what the selector names or describes; selection_answer() or selection_refuse() follows. (selection_find.c) */
void selection_find(struct selection *s);
void selection_find_on(struct selection *s); /* a further turn of it, while walking */
/* The jobs are found: begin the answer. */
void selection_answer(struct selection *s);
/* There is none: `r` is -errno, with words or NULL. Frees the selection. */
void selection_refuse(struct selection *s, int r, const struct error *err);
void selection_free(struct selection *s);

#endif
