/* Streams of JSON lines. Lines are passed on as they are; outcomes that come packed (PROTOCOL.md, packed=1) become the lines
 * that the daemon would have made of them, with its own code for that. */
#ifndef CONCD_CTL_LINES_H
#define CONCD_CTL_LINES_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct stream;

/* What has come: whole lines, and whole runs of packed outcomes, go out; the rest is kept for the next call. 0; the error of the
 * output, bare; -ENOMEM; -EPROTO with words. */
int lines_feed(struct stream *s, const uint8_t *data, size_t len, struct error *err);
/* The stream broke: what came of a line, or of a run, comes again. */
void lines_restart(struct stream *s);

#endif
