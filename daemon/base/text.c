/* Numbers, durations and sizes as text. */
#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"

#define NEAREST_MAX_WORD 64
#define NEAREST_MIN_BEGINNING 3 /* shorter ones begin too much */

int text_parse_u64(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	}
	*ret_value = value;
	return 0;
}

int text_parse_u64_list(const char *text, uint64_t *ret_values, size_t most)
{
	char word[24]; /* a number of 64 bits has 20 digits */
	uint64_t value;
	size_t n = 0;

	for (;; n++) {
		size_t len = strcspn(text, ",");
		int r;

		if (len >= sizeof(word))
			return -ERANGE;
		memcpy(word, text, len);
		word[len] = '\0';
		r = text_parse_u64(word, &value);
		if (r < 0)
			return r;
		if (n == most)
			return -E2BIG;
		if (ret_values)
			ret_values[n] = value;
		if (!text[len])
			return (int)(n + 1);
		text += len + 1;
	}
}

int text_parse_i64(const char *text, int64_t *ret_value)
{
	bool negative = *text == '-';
	uint64_t value;
	int r = text_parse_u64(text + (negative ? 1 : 0), &value);

	if (r < 0)
		return r;
	if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return -ERANGE;
	*ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

/* A decimal number at *text, advanced behind it: digits, at most one point, no sign, no exponent. */
static int parse_decimal(const char **text, double *ret_value)
{
	const char *at = *text;
	double value = 0, scale = 1;
	bool digits = false;

	for (; *at >= '0' && *at <= '9'; at++, digits = true)
		value = value * 10 + (*at - '0');
	if (*at == '.')
		for (at++; *at >= '0' && *at <= '9'; at++, digits = true) {
			value = value * 10 + (*at - '0');
			scale *= 10;
		}
	if (!digits)
		return -EINVAL;
	*text = at;
	*ret_value = value / scale;
	return 0;
}

int text_parse_double(const char *text, double *ret_value)
{
	bool negative = *text == '-';
	double value, power = 0;
	const char *at = text + (negative ? 1 : 0);
	int r = parse_decimal(&at, &value);

	if (r < 0)
		return r;
	if (*at == 'e' || *at == 'E') {
		int64_t exponent;

		at += at[1] == '+' ? 2 : 1;
		r = text_parse_i64(at, &exponent);
		if (r < 0)
			return r;
		power = (double)exponent;
	} else if (*at) {
		return -EINVAL;
	}
	value *= pow(10, power);
	if (!isfinite(value))
		return -ERANGE;
	*ret_value = negative ? -value : value;
	return 0;
}

int text_parse_bool(const char *text, bool *ret_value)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret_value = i % 2 == 1;
			return 0;
		}
	}
	return -EINVAL;
}

int text_parse_duration(const char *text, int64_t *ret_ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 },
		      { "d", 86400e9 } };
	double value;
	int r = parse_decimal(&text, &value);

	if (r < 0)
		return r;
	if (!*text && value == 0) {
		*ret_ns = 0;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text, units[i].unit) != 0)
			continue;
		if (value * units[i].ns >= 9.2e18)
			return -ERANGE;
		*ret_ns = (int64_t)(value * units[i].ns + 0.5);
		return 0;
	}
	return -EINVAL;
}

int text_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	double value, factor = 1;
	int r = parse_decimal(&text, &value);

	if (r < 0)
		return r;
	for (size_t i = 0; *text && i < sizeof(units) - 1; i++)
		if (*text == units[i]) {
			factor = (double)(UINT64_C(1) << (10 * (i + 1)));
			text++;
			if (*text == 'i')
				text++;
			break;
		}
	if (*text == 'B')
		text++;
	if (*text)
		return -EINVAL;
	if (value * factor >= 9.2e18)
		return -ERANGE;
	*ret_bytes = (uint64_t)(value * factor);
	return 0;
}

void text_format_duration(int64_t ns, char ret_text[TEXT_DURATION_BYTES])
{
	double s = (double)ns / 1e9;

	if (ns < NS_PER_US)
		(void)snprintf(ret_text, TEXT_DURATION_BYTES, "%d ns", (int)ns);
	else if (ns < NS_PER_MS)
		(void)snprintf(ret_text, TEXT_DURATION_BYTES, "%.3g us", s * 1e6);
	else if (ns < NS_PER_S)
		(void)snprintf(ret_text, TEXT_DURATION_BYTES, "%.3g ms", s * 1e3);
	else if (s < 60)
		(void)snprintf(ret_text, TEXT_DURATION_BYTES, "%.3g s", s);
	else if (s < 3600)
		(void)snprintf(ret_text, TEXT_DURATION_BYTES, "%d m %d s", (int)(s / 60), (int)s % 60);
	else
		(void)snprintf(ret_text, TEXT_DURATION_BYTES, "%lld h %lld m", (long long)(s / 3600),
			       (long long)(s / 60) % 60);
}

void text_format_size(uint64_t bytes, char ret_text[TEXT_DURATION_BYTES])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(ret_text, TEXT_DURATION_BYTES, value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value,
		       units[unit]);
}

/* Edit distance with swaps of neighbours (optimal string alignment) between words of at most NEAREST_MAX_WORD bytes. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t row[3][NEAREST_MAX_WORD + 1];

	for (size_t j = 0; j <= nb; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t best = up[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[na % 3][nb];
}

const char *text_nearest(const char *word, const void *names, size_t n,
			 const char *(*name_at)(const void *names, size_t i))
{
	size_t len = strlen(word), best = len / 3 + 1;
	const char *nearest = NULL;

	if (len > NEAREST_MAX_WORD)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *name = name_at(names, i);
		size_t name_len = strlen(name), distance;

		if (name_len > NEAREST_MAX_WORD)
			continue;
		/* A beginning of it is meant more likely than a word that looks like it. */
		distance = len >= NEAREST_MIN_BEGINNING && strncmp(word, name, len) == 0 ? 1 : edit_distance(word, len, name, name_len);
		if (distance < best || (distance == best && !nearest)) {
			best = distance;
			nearest = name;
		}
	}
	return nearest;
}

bool text_is_utf8(const void *data, size_t len)
{
	const uint8_t *s = data, *end = s + len;

	while (s < end) {
		uint32_t c = *s++, min;
		int more;

		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c <= 0xdf)
			more = 1, min = 0x80, c &= 0x1f;
		else if ((c & 0xf0) == 0xe0)
			more = 2, min = 0x800, c &= 0x0f;
		else if (c >= 0xf0 && c <= 0xf4)
			more = 3, min = 0x10000, c &= 0x07;
		else
			return false;
		for (; more > 0; more--) {
			if (s == end || (*s & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*s++ & 0x3f);
		}
		if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return false;
	}
	return true;
}

static uint8_t *put_escape(uint8_t *at, uint8_t c)
{
	static const char digits[] = "0123456789abcdef";

	*at++ = '\\';
	switch (c) {
	case '"':
	case '\\':
		*at++ = c;
		return at;
	case '\n':
		*at++ = 'n';
		return at;
	case '\r':
		*at++ = 'r';
		return at;
	case '\t':
		*at++ = 't';
		return at;
	default:
		memcpy(at, "u00", 3);
		at[3] = (uint8_t)digits[c >> 4];
		at[4] = (uint8_t)digits[c & 15];
		return at + 5;
	}
}

uint8_t *text_put_long_u64(uint8_t *at, uint64_t value)
{
	at = text_put_u64(at, value / 100000000);
	digits_put(at, digits_of_eight((uint32_t)(value % 100000000)) | DIGITS_ZEROS);
	return at + 8;
}

const char *text_u64(uint64_t value, char ret_text[TEXT_NUMBER_BYTES])
{
	*text_put_u64((uint8_t *)ret_text, value) = '\0';
	return ret_text;
}

const char *text_i64(int64_t value, char ret_text[TEXT_NUMBER_BYTES])
{
	uint8_t *at = (uint8_t *)ret_text;

	if (value < 0)
		*at++ = '-'; /* no negative number has more than 19 digits */
	*text_put_u64(at, value < 0 ? -(uint64_t)value : (uint64_t)value) = '\0';
	return ret_text;
}

uint8_t *text_put_json(uint8_t *at, const uint8_t *data, size_t len)
{
	*at++ = '"';
	for (const uint8_t *end = data + len; data < end; data++) {
		if (*data >= ' ' && *data != '"' && *data != '\\')
			*at++ = *data;
		else
			at = put_escape(at, *data);
	}
	*at++ = '"';
	return at;
}
