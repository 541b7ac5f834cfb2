/* Jobs of which nothing was said yet. */
#include "pending.h"

#include <errno.h>
#include <inttypes.h>

#include "base/buffer.h"

void pending_fini(struct pending *p)
{
	seen_fini(&p->jobs);
	seen_fini(&p->told);
}

int pending_add(struct pending *p, const char *ranges)
{
	return seen_add_text(&p->jobs, ranges);
}

int pending_tell(struct pending *p, uint64_t id)
{
	const struct seen_range *range = seen_from(&p->told, id);

	if (range && range->first <= id)
		return 1;
	return seen_add(&p->told, id, id);
}

bool pending_next(const struct pending *p, uint64_t *id)
{
	for (uint64_t next = *id;;) {
		const struct seen_range *range = seen_from(&p->jobs, next), *told;

		if (!range)
			return false;
		if (next < range->first)
			next = range->first;
		told = seen_from(&p->told, next);
		if (!told || told->first > next) {
			*id = next;
			return true;
		}
		next = told->last + 1;
	}
}

int pending_format(const struct pending *p, size_t max_bytes, struct buffer *b)
{
	int r = 0;

	for (uint64_t id = 0; r == 0 && b->len < max_bytes && pending_next(p, &id); id++)
		r = buffer_printf(b, "%" PRIu64 "\n", id);
	return r;
}
