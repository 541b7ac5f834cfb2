/* Reasons that people read. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int errnum, const char *code, const char *format, ...)
{
	va_list ap;

	if (!err || err->code)
		return errnum;
	va_start(ap, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, ap); /* a cut message is still a message */
	va_end(ap);
	err->code = code;
	return errnum;
}

void error_prefix(struct error *err, const char *format, ...)
{
	char old[ERROR_TEXT_BYTES];
	va_list ap;
	int n;

	if (!err || !err->code)
		return;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, format);
	n = vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(err->text))
		return;
	if (snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", old) < 0)
		err->text[n] = '\0'; /* the context alone; cut text is fine */
}

bool error_is_shortage(int errnum)
{
	return errnum == -EAGAIN || errnum == -EMFILE || errnum == -ENFILE || errnum == -ENOMEM;
}
