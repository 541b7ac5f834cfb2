/* A reason that a person will read.
 *
 * The caller owns the struct (ERROR_INIT, usually on its stack) and passes it down as the last parameter. The first
 * error wins; callers on the way up add context in front with error_prefix(). Functions that take one still return
 * -errno, and may be given NULL by callers who do not want the words.
 */
#ifndef CONCD_BASE_ERROR_H
#define CONCD_BASE_ERROR_H

#include <stdbool.h>

#define ERROR_TEXT_BYTES 1024

struct error {
	const char *code; /* static string for programs, such as "no-such-job" (ctl/protocol.h); NULL: nothing set */
	char text[ERROR_TEXT_BYTES]; /* what happened, to what, and what to do */
};

#define ERROR_INIT { .code = NULL, .text = "" }

/* Record the reason unless one is recorded already, and return errnum (a negative errno), so that a failing function
 * ends in `return error_set(err, -EINVAL, "bad-request", "...")`. `code` must be a static string. err may be NULL. */
int error_set(struct error *err, int errnum, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Put "context: " in front of the recorded text. Does nothing where no error is recorded or err is NULL. */
void error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Is this -errno for want of memory, processes or descriptors, which others may give back? Then it is no fault of what was tried. */
bool error_is_shortage(int errnum);

#endif
