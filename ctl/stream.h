/* Receiving a job's results: copied to standard output, failures to standard error, progress drawn, and where it stands
 * remembered, so that a stream that broke can be taken up where it ended.
 *
 *	stream_new -> (connect, ask, stream_read) -> lost? -> stream_restart -> (connect, ask from=next, stream_read)
 *	-> stream_finish -> stream_free
 */
#ifndef CONCD_CTL_STREAM_H
#define CONCD_CTL_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buffer.h"
#include "frames.h"
#include "http.h"
#include "out.h"
#include "progress.h"
#include "seen.h"

struct ctl;
struct error;

struct stream {
	const struct ctl *ctl;
	bool json; /* lines of JSON, passed on as they are, or made here; else frames */
	bool list_failed; /* failed tasks are what is asked for: they go to standard output */
	char job[HTTP_JOB_BYTES]; /* "" until known */
	char reason[256]; /* why auto chose what it chose; "" */
	bool unordered; /* results come in the order of completion: `seen` says which were passed on, else `next` does */
	uint64_t from; /* the first task asked for; the caller's, like the two above, before it reads */
	uint64_t next; /* the first task not passed on whole, in input order; begins at `from` */
	struct seen seen;
	uint64_t passed; /* tasks passed on */
	json_t *end; /* the job line; NULL until it came */

	/* private */
	struct frames frames;
	uint64_t frame_count, frame_bytes, frame_pos; /* of the results frame that is coming */
	struct buffer held; /* unordered: the frame, until the one that names its tasks has come */
	uint32_t n_stalls; /* that were said */
	bool told; /* what is said once of the job was said */
	uint64_t ahead; /* bytes of task `next` and after it that were passed on already */
	struct buffer carry; /* JSON: a line whose end has not come */
	struct buffer last; /* JSON: the last whole line */
	struct packed {
		char job[HTTP_JOB_BYTES];
		uint64_t first, count, input_bytes, left; /* left: bytes that have not come; 0: none are coming */
		struct buffer bytes; /* inputs, outcomes */
	} packed; /* JSON: outcomes that come packed (lines.h) */
	struct progress progress;
	struct out out;
};

/* Results go to fd. NULL without memory. */
struct stream *stream_new(const struct ctl *ctl, int fd);
void stream_free(struct stream *s); /* NULL is fine */

/* Read the stream to its end. 1: the job line came; 0: it ended without one; -EPIPE: standard output was closed;
 * s->out.error is set for other trouble with it; -ECONNRESET, -EINTR, -EPROTO ... of the connection, bare; other -errno
 * with words. */
int stream_read(struct stream *s, struct http *http, struct error *err);
/* Before the rest is asked for again: from task s->next on, or without those in s->seen. */
void stream_restart(struct stream *s);

/* 0 where the job line says that all succeeded, else 1. */
int stream_status(const struct stream *s);
/* Progress goes away, the summary comes unless it was asked away. */
void stream_finish(struct stream *s, bool summary);

#endif
