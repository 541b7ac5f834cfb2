/* Result streams that outlive the daemon: a stream that breaks is asked for again, for a bounded time, and goes on where it
 * was. In input order that is a number; in the order of completion a set of tasks. */
#ifndef CONCD_CTL_REJOIN_H
#define CONCD_CTL_REJOIN_H

#include <stdbool.h>
#include <stdint.h>

struct ctl;
struct error;
struct http;
struct stream;

#define REJOIN_PATIENCE_NS (INT64_C(60) * 1000000000) /* unless --reconnect says otherwise */
#define REJOIN_MS 50 /* between tries */

/* A lost daemon that is waited for. */
struct patience {
	const struct ctl *ctl;
	char what[48]; /* waits for it, such as "job 7"; the caller's */
	int64_t ns; /* how long; 0: not at all */
	int64_t lost_ns; /* since when it is lost; 0: it is not */
	bool said;
};

/* --reconnect, or the default. 0 or -errno with words. */
int patience_init(struct patience *p, const struct ctl *ctl, struct error *err);
/* It cannot be reached: say so, once, and wait a little. 0: try again; -ETIMEDOUT: the time is over; -EINTR. */
int patience_wait(struct patience *p);
void patience_found(struct patience *p); /* it is back */
/* Is this what a daemon that is away, ends or starts answers with? `r` and code as talk_on() has them. */
bool patience_is_lost(int r, const char *code);

struct rejoin {
	const char *job;
	const char *query; /* further keys of the stream, beginning with '&', or "" */
	const char *how_to_go_on; /* a command, for the last words; NULL: the job is not kept */
	struct patience patience;
};

/* Read the stream to its end, asking again where it breaks. `http`: a connection whose answer has begun (it moves here), or
 * NULL to ask first, which may fail at once. As stream_read(), but -ECONNRESET comes with words. */
int rejoin_read(struct rejoin *rejoin, struct stream *s, struct http *http, struct error *err);

#endif
