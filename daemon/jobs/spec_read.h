/* A job's specification as it stands in its row, taken apart. Private to daemon/jobs. Any thread. */
#ifndef CONCD_JOBS_SPEC_READ_H
#define CONCD_JOBS_SPEC_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct spec_span {
	const char *at; /* in the text that was read, or in `document`; no NUL behind it */
	size_t len;
};

struct spec_param {
	struct spec_span name, value;
};

struct spec_read {
	struct spec_span model, shape, reason;
	int64_t workers, timeout_ns, task_timeout_ns, grace_ns, max_crashes;
	bool own_workers, dedicated, by_auto;
	struct spec_param *params; /* owned; n_params of them */
	size_t n_params;
	json_t *document; /* owned: has what few jobs have, perhaps more; NULL: there is none of it */
};

#define SPEC_READ_INIT { .document = NULL }
void spec_read_fini(struct spec_read *spec);

/* Read it. 0, -EBADMSG, -ENOMEM. The text must stay as long as what was read. */
int spec_read(struct spec_read *spec, const char *text);

/* The two ways to do that, which give the same; spec_read() takes the second where the first does not do. */
int spec_read_written(struct spec_read *spec, const char *text); /* as job_spec_format() writes it; else -EAGAIN */
int spec_read_document(struct spec_read *spec, const char *text); /* members in any order, as older daemons wrote them */

#endif
