/* The body of a submission: which job, and its inputs. Pure: bytes in, structs out. */
#ifndef CONCD_CONTROL_SPEC_H
#define CONCD_CONTROL_SPEC_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buffer.h"
#include "config.h"
#include "jobs/jobs.h"

struct error;

enum input_format { INPUT_LINES, INPUT_NUL, INPUT_PACKED };
int input_format_parse(const char *text, enum input_format *ret_format, struct error *err); /* bad-request */

/* Append the inputs in `data` to packed, in the packed form; *count grows by their number. Nothing but the separator is taken
 * away: of a line that ends in CR LF the CR is part of the input, and an empty line is an empty input. The last
 * input may lack its separator. 0; -EINVAL (bad-request), -EMSGSIZE (too-large) with the number of the input
 * counted from 0; -ENOMEM. */
int inputs_pack(enum input_format format, const uint8_t *data, size_t len, struct buffer *packed, uint64_t *count,
		struct error *err);

struct submission {
	struct job_spec spec; /* its texts belong to this struct */
	struct buffer inputs; /* packed */
	uint64_t n_inputs;
	json_t *root;
	struct config_pair *params;
	uint64_t *after;
};

/* Parse a body. 0, or -errno with words (bad-request, too-large); ret_submission is the caller's to submission_fini()
 * in both cases. spec.uid is left 0. */
int submission_parse(const uint8_t *body, size_t len, struct submission *ret_submission, struct error *err);
void submission_fini(struct submission *submission);

#endif
