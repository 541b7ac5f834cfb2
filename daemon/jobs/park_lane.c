/* Lanes of jobs that may be parked, as texts. */
#include "jobs/park_lane.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES 24 /* a letter or comma, 20 digits, a letter, and what is around */

static int put_afters(char *at, size_t room, const struct park_lane *lane)
{
	int len = 0;

	for (uint32_t i = 0; i < lane->n_after; i++)
		len += snprintf(at + len, room - (size_t)len, "%s%" PRIu64 "%s", i > 0 ? "," : lane->after_any ? " A" : " a",
				lane->after[i].id, lane->after[i].forgotten ? "f" : "");
	return len;
}

char *park_lane_format(const struct park_lane *lane)
{
	size_t size = SHAPE_TEXT_BYTES + NUMBER_BYTES * (3 + lane->n_after) + (lane->unique ? strlen(lane->unique) : 0);
	char *text = malloc(size); /* everything below fits */
	size_t len;

	if (!text)
		return NULL;
	shape_format(&lane->shape, text);
	len = strlen(text);
	if (lane->in_order)
		text[len++] = 'i';
	if (lane->dedicated)
		text[len++] = 'd';
	text[len] = '\0';
	if (lane->begins_unix_us > 0)
		len += (size_t)snprintf(text + len, size - len, " b%" PRId64, lane->begins_unix_us);
	if (lane->expires_unix_us > 0)
		len += (size_t)snprintf(text + len, size - len, " e%" PRId64, lane->expires_unix_us);
	len += (size_t)put_afters(text + len, size - len, lane);
	if (lane->unique)
		(void)snprintf(text + len, size - len, " u%s", lane->unique);
	return text;
}

/* A number from 1 on; 0: there is none. */
static uint64_t take_number(const char **at)
{
	uint64_t n = 0;

	while (**at >= '0' && **at <= '9') {
		uint64_t digit = (uint64_t)(*(*at)++ - '0');

		if (n > (INT64_MAX - digit) / 10)
			return 0;
		n = n * 10 + digit;
	}
	return n;
}

bool park_lane_next_after(const char **text, struct park_after *ret_after)
{
	ret_after->id = take_number(text);
	ret_after->forgotten = **text == 'f';
	*text += ret_after->forgotten;
	if (**text == ',')
		(*text)++;
	return ret_after->id > 0;
}

static bool take_afters(const char **at, struct park_lane *lane)
{
	struct park_after after;

	lane->after_text = *at;
	do {
		if (lane->n_after++ == PARK_AFTER_MAX || !park_lane_next_after(at, &after))
			return false;
	} while ((*at)[-1] == ',');
	return true;
}

/* What stands behind one space; the key takes all that follows. */
static bool take_field(const char **at, struct park_lane *lane)
{
	char kind = *(*at)++;

	switch (kind) {
	case 'b':
		lane->begins_unix_us = (int64_t)take_number(at);
		return lane->begins_unix_us > 0;
	case 'e':
		lane->expires_unix_us = (int64_t)take_number(at);
		return lane->expires_unix_us > 0;
	case 'a':
	case 'A':
		lane->after_any = kind == 'A';
		return lane->n_after == 0 && take_afters(at, lane);
	case 'u':
		lane->unique = *at;
		*at += strlen(*at);
		return true;
	default:
		return false;
	}
}

static int take_shape(const char **at, struct park_lane *lane)
{
	char shape[SHAPE_TEXT_BYTES];
	size_t len = strcspn(*at, "id ");

	if (len == 0 || len >= sizeof(shape))
		return -EBADMSG;
	memcpy(shape, *at, len);
	shape[len] = '\0';
	*at += len;
	lane->in_order = **at == 'i';
	*at += lane->in_order;
	lane->dedicated = **at == 'd';
	*at += lane->dedicated;
	return shape_parse(shape, &lane->shape, NULL) == 0 ? 0 : -EBADMSG;
}

int park_lane_parse(const char *text, struct park_lane *ret_lane)
{
	struct park_lane lane = { .n_after = 0 };

	if (take_shape(&text, &lane) < 0)
		return -EBADMSG;
	while (*text == ' ') {
		text++;
		if (!take_field(&text, &lane))
			return -EBADMSG;
	}
	if (*text)
		return -EBADMSG;
	*ret_lane = lane;
	return 0;
}
