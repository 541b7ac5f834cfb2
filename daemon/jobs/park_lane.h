/* What a restart must know of a job to park it without looking at more: a text in the job's row.
 *
 *	1x4x1id b1700000000000000 e1700000060000000 a5,7f,9 ukey
 *	└─┬──┘││ └begins (us)     └expires (us)     └after   └the rest is its unique key
 *	shape  │└dedicated                           A: however they end; f: forgotten with its daemon
 *	       └in order
 */
#ifndef CONCD_JOBS_PARK_LANE_H
#define CONCD_JOBS_PARK_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "crew/model.h"

#define PARK_AFTER_MAX 1000 /* a job follows no more than these: JOB_MAX_AFTER */

struct park_after {
	uint64_t id;
	bool forgotten; /* it is not durable: nobody knows of it after a restart */
};

struct park_lane {
	struct shape shape;
	bool in_order, dedicated;
	int64_t begins_unix_us, expires_unix_us; /* 0: at once, never */
	bool after_any; /* however they end */
	uint32_t n_after;
	const struct park_after *after; /* to be written */
	const char *after_text; /* read: park_lane_next_after() goes through it, n_after times */
	const char *unique; /* NULL: none */
};

char *park_lane_format(const struct park_lane *lane); /* malloc'ed; NULL: out of memory */
/* 0 or -EBADMSG: it is none, or of a job that is not to be parked (""). after_text and unique point into the text. */
int park_lane_parse(const char *text, struct park_lane *ret_lane);
/* *text: at first a lane's after_text. false: what stands there is no predecessor. */
bool park_lane_next_after(const char **text, struct park_after *ret_after);

#endif
