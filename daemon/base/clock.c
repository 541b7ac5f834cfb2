/* Dates as text. */
#include "clock.h"

#include <stdio.h>

void clock_format_unix_us(int64_t unix_us, char ret_text[CLOCK_TEXT_BYTES])
{
	time_t seconds = (time_t)(unix_us / 1000000);
	int millis = (int)(unix_us % 1000000) / 1000;
	struct tm tm;
	size_t n;

	if (millis < 0) { /* before 1970: a clock that was never set */
		millis += 1000;
		seconds--;
	}
	(void)gmtime_r(&seconds, &tm); /* fails only for years beyond int */
	n = strftime(ret_text, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret_text + n, CLOCK_TEXT_BYTES - n, ".%03dZ", millis);
}
