/* What a job waits for before it may begin: a date, other jobs. And until when it may. */
#ifndef CONCD_JOBS_BEGIN_H
#define CONCD_JOBS_BEGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/dates.h"

struct afters;

struct job_begin {
	int64_t begins_unix_us; /* not before; 0: at once. A date since acceptance */
	int64_t expires_unix_us; /* not after; 0: never. The same */
	bool delayed; /* its date has not come; once it has, it stays so whatever the clock says */
	bool recorded; /* of one that expires or follows others: the disk was told that it has begun */
	bool recording; /* that is on its way there, and nothing is handed out before */
	struct afters *afters; /* jobs that it follows (after.c); NULL: none */
	struct date date; /* the next of the two, in jobs->dates */
};

#endif
