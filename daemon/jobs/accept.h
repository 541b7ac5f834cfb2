/* Submissions on their way to the disk: private to submit.c, join.c and early.c. */
#ifndef CONCD_JOBS_ACCEPT_H
#define CONCD_JOBS_ACCEPT_H

#include <sys/queue.h>

#include "jobs/job.h"
#include "store/store.h"

/* One acceptance, or one more piece, on its way to the disk. */
struct accept {
	struct store_op op;
	STAILQ_ENTRY(accept) turn; /* of a job that is not kept: the answer comes from the loop's next turn */
	void (*on_turn)(struct accept *accept); /* then */
	struct accept_list joiners; /* those who wait for this acceptance, having the same unique key */
	struct job *holder; /* of one of these: whom it joins, a reference; NULL: it is none */
	bool refused; /* that one is on its way to its end */
	struct job *job; /* a reference */
	struct input_row *rows; /* what was sent; moves to the job when it is on disk */
	size_t n_rows;
	struct store_input *inputs; /* the same, as the store wants it */
	uint8_t *copy; /* of its bytes, where the job has them before the disk (early.c) */
	bool early; /* it has begun */
	char *spec;
	char *lane;
	uint64_t tasks;
	uint64_t bytes;
	struct quota_count counted; /* in jobs->quota; moves to the job when it is accepted */
	bool last;
	int status;
	jobs_accepted_fn on_accepted;
	void (*on_added)(void *arg, int status, uint64_t have, const struct error *err);
	void *arg;
};

/* submit.c: the job has these tasks from now on. 0 or -ENOMEM. */
int accept_take_inputs(struct accept *accept);

void accept_free(struct accept *accept); /* those who join it are answered */
void accept_turn_soon(struct accept *accept, void (*on_turn)(struct accept *accept)); /* from the loop's next turn */
void accept_describe_failure(const struct jobs *jobs, int status, struct error *err);

/* join.c */
/* It joins the job that has its unique key. 0: its answer follows, once that job is on disk; else -errno with words. */
int accept_join(struct accept *accept, const char *submission, struct error *err);
void accept_joined(struct accept *accept); /* the job that it joins was accepted, or was not */

/* early.c */
/* A durable job whose op is filled in: may it begin before that is on disk? 1: it has, and the op is to be submitted late;
 * 0: no; -ENOMEM. */
int early_begin(struct accept *accept, const struct job_spec *spec);
void early_accepted(struct accept *accept); /* it is on disk: it is like any other from here on */
void early_refused(struct accept *accept); /* it never will be */

#endif
