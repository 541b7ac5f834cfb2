/* Streams of a job's results and events to one client. Private to this folder. */
#ifndef CONCD_CONTROL_STREAM_H
#define CONCD_CONTROL_STREAM_H

#include "control/server.h"

enum stream_format { STREAM_PLAIN, STREAM_JSON, STREAM_FRAMES };

struct stream_options {
	enum stream_format format;
	bool in_done_order; /* as recorded, not by number */
	bool follow; /* wait for what is not there yet */
	bool failed_only;
	bool tag;
	bool nul;
	bool progress;
	bool stalls; /* tell of tasks that hold their thread */
	bool began; /* tell when each task began */
	bool cancel_on_close;
	bool joined; /* the job was there before, with the same unique key */
	bool tasks; /* done order, frames: say behind each results frame which tasks are in it */
	bool packed; /* input order, JSON: outcomes that are there in numbers go packed */
	uint64_t from;
};

/* Read them from a query; the format is under `format_key`. 0 or -EINVAL (bad-request). */
int stream_options_parse(const struct query *query, const char *format_key, struct stream_options *ret_options,
			 struct error *err);
/* Begin the stream as the answer to the request; the reference to the job moves here. Answers itself on failure. resumes: the
 * body of a POST names tasks that are left out. */
void stream_start(const struct call *call, struct job *job, const struct stream_options *options, bool resumes);

#endif
