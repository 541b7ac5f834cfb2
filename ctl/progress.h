/* The progress line on a terminal, and the summary at the end. */
#ifndef CONCD_CTL_PROGRESS_H
#define CONCD_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

struct progress {
	bool shown; /* at all: standard error is a terminal and nobody asked for silence */
	bool drawn; /* the line stands there now */
	int64_t begun_ns; /* when the first task was seen done or running; 0: not yet */
	uint64_t done_at_begin;
	int64_t drawn_ns;
};

#define PROGRESS_LINE_BYTES 160

void progress_init(struct progress *p, bool shown);
/* What the line says of a progress frame, for a terminal of `columns`. */
void progress_format(struct progress *p, const json_t *frame, int64_t now_ns, int columns,
		     char ret_line[PROGRESS_LINE_BYTES]);
/* Draw a progress frame, at most ten a second. */
void progress_draw(struct progress *p, const json_t *frame);
/* Take the line away: before anything else is written to the terminal. */
void progress_erase(struct progress *p);

/* The summary of a job line: "20 tasks done in 118 ms under pool (1x2x1), speed-up 1.9". `reason` may be "". */
void summary_print(FILE *file, const json_t *end, const char *reason);

#endif
