/* One pass of a result stream: some of the outcomes that are there become text in one chunk. Private to this folder.
 *
 * A stream is a position (of input order) or a set of delivered tasks (of done order), never a statement or a copy of
 * results. Each pass formats at most PASS_BYTES, or one line where that is longer, straight into the connection's
 * buffer, and the next one begins when that is sent.
 */
#ifndef CONCD_CONTROL_PASS_H
#define CONCD_CONTROL_PASS_H

#include "base/buffer.h"
#include "control/format.h"
#include "control/stream.h"
#include "jobs/jobs.h"

struct error;

/* What a pass may format: so much, and with many clients a share of PASSES_BYTES, because each of them may stop reading. */
#define PASSES_BYTES (16u << 20)
#define PASS_MIN_BYTES (16u << 10)
#define PASS_BYTES (240u << 10)

/* Which tasks of a segment were sent, in done order. */
struct sent_segment {
	uint64_t *bits; /* NULL: none, or all */
	uint32_t n;
	bool all;
};

struct cursor {
	struct stream_options options;
	struct http_request *req;
	struct job *job; /* borrowed */
	char job_text[24]; /* its id */

	uint64_t next; /* input order: the task to send next */

	struct sent_segment *sent; /* done order: n_sent of them */
	size_t n_sent;
	size_t first_open; /* segments before it were sent whole */
	uint64_t n_sent_tasks;
	struct buffer named; /* the tasks of the open results frame as text, where they are asked for, but for: */
	uint64_t run_first, run_count; /* the run that they end with; 0: none */

	struct segment *segment; /* the one last used, with a reference; NULL: none */
};

enum pass_end {
	PASS_MORE, /* the chunk is full */
	PASS_WAIT, /* everything that is recorded was sent */
	PASS_LOADING, /* something is being read from disk */
	PASS_DONE, /* everything was sent and nothing more will come */
	PASS_FAILED, /* results or memory are missing */
};

/* The chunk in the making. */
struct pass {
	struct cursor *cursor;
	const struct job_view *view;
	uint8_t *base; /* of the reserved chunk */
	size_t room, used;
	uint64_t n_tasks; /* in it */
	size_t frame_at; /* where the open results frame begins; NO_FRAME: none */
	uint64_t frame_tasks;
	struct format_tail tail;

	/* The run of inputs last looked up: valid within the pass. */
	const uint8_t *input_at, *input_end;
	uint64_t input_next, input_left;
};

#define NO_FRAME SIZE_MAX

/* For one of so many clients. 0 or -ENOMEM. */
int pass_begin(struct pass *pass, struct cursor *cursor, const struct job_view *view, uint32_t n_clients);
enum pass_end pass_run(struct pass *pass);
/* The task's input, which need not be the next one: valid within the pass. 0 or as job_inputs(). */
int pass_input(struct pass *pass, uint64_t task, const uint8_t **ret_data, size_t *ret_len);
/* Append tasks from the i-th on, packed, where the pass has room (pass_packed_fits()). How many; 0: too few are there. */
uint32_t pass_add_packed(struct pass *pass, const struct segment *segment, uint32_t i);
bool pass_packed_fits(const struct pass *pass);
/* Append text of our own (a line of JSON, without its newline). 0 or -ENOMEM. */
int pass_add_line(struct pass *pass, const char *text, size_t len);
void pass_commit(struct pass *pass); /* hand the chunk to the connection */

/* Done order: take these tasks ("0-63,70") for sent. 0; -EINVAL (bad-request): it is no such text, or names tasks that are not
 * there; -ENOMEM. */
int cursor_leave_out(struct cursor *cursor, const char *text, size_t len, uint64_t total, struct error *err);
/* Its reader does not read: hold nothing but the position. */
void cursor_put_out(struct cursor *cursor);
void cursor_fini(struct cursor *cursor);

#endif
