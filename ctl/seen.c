/* Sets of numbers as ranges. */
#include "seen.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

void seen_fini(struct seen *seen)
{
	free(seen->at);
	*seen = (struct seen){ .at = NULL };
}

/* The first range that ends at `first` - 1 or later. */
static size_t find(const struct seen *seen, uint64_t first)
{
	size_t low = 0, high = seen->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (seen->at[mid].last + 1 < first)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int insert(struct seen *seen, size_t i, uint64_t first, uint64_t last)
{
	if (seen->n == seen->cap) {
		size_t cap = seen->cap ? 2 * seen->cap : 16;
		struct seen_range *at = reallocarray(seen->at, cap, sizeof(*at));

		if (!at)
			return -ENOMEM;
		seen->at = at;
		seen->cap = cap;
	}
	memmove(seen->at + i + 1, seen->at + i, (seen->n - i) * sizeof(*seen->at));
	seen->at[i] = (struct seen_range){ first, last };
	seen->n++;
	return 0;
}

int seen_add(struct seen *seen, uint64_t first, uint64_t last)
{
	size_t i = find(seen, first), end = i;
	struct seen_range *range = seen->at ? &seen->at[i] : NULL;

	while (end < seen->n && seen->at[end].first <= last + 1)
		end++;
	if (end == i)
		return insert(seen, i, first, last);
	/* [i, end) become one with the new one */
	if (first < range->first)
		range->first = first;
	range->last = seen->at[end - 1].last > last ? seen->at[end - 1].last : last;
	memmove(range + 1, seen->at + end, (seen->n - end) * sizeof(*seen->at));
	seen->n -= end - i - 1;
	return 0;
}

const struct seen_range *seen_from(const struct seen *seen, uint64_t number)
{
	size_t i = find(seen, number + 1);

	return i < seen->n ? &seen->at[i] : NULL;
}

/* A number below 2^62, so that one more is still a number. */
static int parse_number(const char **text, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (**text < '0' || **text > '9')
		return -EPROTO;
	for (; **text >= '0' && **text <= '9'; ++*text) {
		if (number > (UINT64_C(1) << 62) / 10) /* ten times that would begin again at 0 */
			return -EPROTO;
		number = number * 10 + (uint64_t)(**text - '0');
		if (number >> 62)
			return -EPROTO;
	}
	*ret_number = number;
	return 0;
}

int seen_add_text(struct seen *seen, const char *text)
{
	while (*text) {
		uint64_t first, last;
		int r = parse_number(&text, &first);

		last = first;
		if (r == 0 && *text == '-') {
			text++;
			r = parse_number(&text, &last);
		}
		if (r == 0 && (last < first || (*text && *text != ',')))
			r = -EPROTO;
		if (r == 0)
			r = seen_add(seen, first, last);
		if (r < 0)
			return r;
		text += *text == ',';
	}
	return 0;
}

int seen_format(const struct seen *seen, struct buffer *b)
{
	for (size_t i = 0; i < seen->n; i++) {
		const struct seen_range *range = &seen->at[i];
		int r;

		if (range->first == range->last)
			r = buffer_printf(b, "%s%" PRIu64, i > 0 ? "," : "", range->first);
		else
			r = buffer_printf(b, "%s%" PRIu64 "-%" PRIu64, i > 0 ? "," : "", range->first, range->last);
		if (r < 0)
			return r;
	}
	return 0;
}
