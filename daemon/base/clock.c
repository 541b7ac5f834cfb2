/* Dates as text. */
#include "clock.h"

#include <stdio.h>

#define DAY_S 86400
#define YEARS_OF_FOUR_DIGITS_S INT64_C(253402300800) /* up to the end of 9999 */

static char *put_digits(char *at, unsigned int value, int n)
{
	for (int i = n - 1; i >= 0; i--, value /= 10)
		at[i] = (char)('0' + value % 10);
	return at + n;
}

/* The date of a day since 1970. Years are counted from a March on, so that what is uneven, February's end, comes last: four
 * centuries have 146,097 days, 153 of them are five months. */
static char *put_date(char *at, unsigned int days)
{
	unsigned int n = days + 719468; /* since 0000-03-01 */
	unsigned int of_era = n % 146097;
	unsigned int year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned int of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned int march = (5 * of_year + 2) / 153; /* months since then */
	unsigned int month = march < 10 ? march + 3 : march - 9;

	at = put_digits(at, n / 146097 * 400 + year_of_era + (month <= 2), 4);
	*at++ = '-';
	at = put_digits(at, month, 2);
	*at++ = '-';
	return put_digits(at, of_year - (153 * march + 2) / 5 + 1, 2);
}

/* By hand: a list of jobs has hundreds of them, and strftime() and snprintf() take longer than all else of a job's line. */
static void format_usual(int64_t unix_us, char *at)
{
	int64_t seconds = unix_us / 1000000;
	unsigned int of_day = (unsigned int)(seconds % DAY_S);

	at = put_date(at, (unsigned int)(seconds / DAY_S));
	*at++ = 'T';
	at = put_digits(at, of_day / 3600, 2);
	*at++ = ':';
	at = put_digits(at, of_day / 60 % 60, 2);
	*at++ = ':';
	at = put_digits(at, of_day % 60, 2);
	*at++ = '.';
	at = put_digits(at, (unsigned int)(unix_us / 1000 % 1000), 3);
	*at++ = 'Z';
	*at = '\0';
}

void clock_format_unix_us(int64_t unix_us, char ret_text[CLOCK_TEXT_BYTES])
{
	time_t seconds = (time_t)(unix_us / 1000000);
	int millis = (int)(unix_us % 1000000) / 1000;
	struct tm tm;
	size_t n;

	if (unix_us >= 0 && seconds < YEARS_OF_FOUR_DIGITS_S) {
		format_usual(unix_us, ret_text);
		return;
	}
	if (millis < 0) { /* before 1970: a clock that was never set */
		millis += 1000;
		seconds--;
	}
	(void)gmtime_r(&seconds, &tm); /* fails only for years beyond int */
	n = strftime(ret_text, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret_text + n, CLOCK_TEXT_BYTES - n, ".%03dZ", millis);
}
