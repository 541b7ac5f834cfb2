/* Why a service came down, in words. */
#include "jobs/service_cause.h"

#include <stdio.h>

#include "crew/crew.h"

void service_join_lines(const char *text, char ret_line[SERVICE_CAUSE_BYTES])
{
	size_t n = 0;

	for (; *text && n < SERVICE_CAUSE_BYTES - 3; text++) {
		if (*text == '\n' && text[1])
			ret_line[n++] = ';';
		ret_line[n++] = *text == '\n' ? ' ' : *text;
	}
	while (n > 0 && *text && ((unsigned char)ret_line[n - 1] & 0xc0) == 0x80)
		n--; /* cut: not inside a character */
	ret_line[n] = '\0';
}

void service_describe_end(const struct crew_ended *ended, char ret_text[SERVICE_CAUSE_BYTES])
{
	static const char *const what[] = {
		[RING_DONE] = "it returned", [RING_FAILED] = "it failed", [RING_FAILED_INPUT] = "it refused its input",
		[RING_FAILED_RETRY] = "it failed", [RING_CANCELLED] = "it ended as if cancelled",
		[RING_TIMEOUT] = "its time limit passed", [RING_TOO_LARGE] = "it returned too large a result",
		[RING_SPLIT] = "it divided its input, and that of a service is not",
	};
	size_t len = ended->len < SERVICE_CAUSE_BYTES - 40 ? ended->len : SERVICE_CAUSE_BYTES - 40;

	if (ended->status == RING_SPLIT)
		len = 0; /* its parts are no words */
	while (len > 0 && len < ended->len && (ended->data[len] & 0xc0) == 0x80)
		len--; /* not inside a character */
	(void)snprintf(ret_text, SERVICE_CAUSE_BYTES, "%s%s%.*s", what[ended->status], len > 0 ? ": " : "", (int)len,
		       len > 0 ? (const char *)ended->data : "");
}
