/* Rows of packed inputs, and the window of them that is in memory. */
#include "inputs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/store.h"

#define OFFSET_EVERY 64

/* A read from the store. It outlives the inputs that wanted it: `inputs` is NULL once they are gone. */
struct inputs_load {
	struct store_read read;
	struct inputs *inputs;
};

void inputs_init(struct inputs *inputs, struct store *store, uint64_t job, const char *spill_dir,
		 void (*on_loaded)(struct inputs *inputs))
{
	*inputs = (struct inputs){
		.store = store,
		.job = job,
		.spill = SPILL_INIT,
		.spill_dir = spill_dir,
		.on_loaded = on_loaded,
	};
}

/* Where it is counted with others; NULL: nowhere. */
static uint64_t *common_bytes(const struct inputs *inputs)
{
	return inputs->store ? inputs->cached_bytes : inputs->shared_bytes;
}

static void add_resident(struct inputs *inputs, uint64_t bytes)
{
	uint64_t *common = common_bytes(inputs);

	inputs->resident_bytes += bytes;
	if (common)
		*common += bytes;
}

static void sub_resident(struct inputs *inputs, uint64_t bytes)
{
	uint64_t *common = common_bytes(inputs);

	inputs->resident_bytes -= bytes;
	if (common)
		*common -= bytes;
}

/* Is there memory for so many bytes more? */
static bool has_room(const struct inputs *inputs, uint64_t more)
{
	const uint64_t *common = common_bytes(inputs);

	return inputs->resident_bytes + more <= INPUTS_RESIDENT_BYTES ||
	       (common && *common + more <= (inputs->store ? INPUTS_CACHED_BYTES : INPUTS_SHARED_BYTES));
}

static void input_row_fini(struct input_row *row)
{
	free(row->packed);
	free(row->offsets);
}

void input_rows_free(struct input_row *rows, size_t n)
{
	for (size_t i = 0; rows && i < n; i++)
		input_row_fini(&rows[i]);
	free(rows);
}

void inputs_fini(struct inputs *inputs)
{
	for (size_t i = 0; i < ARRAY_SIZE(inputs->loading); i++)
		if (inputs->loading[i])
			inputs->loading[i]->inputs = NULL;
	input_rows_free(inputs->rows, inputs->n);
	sub_resident(inputs, inputs->resident_bytes);
	spill_fini(&inputs->spill);
}

void inputs_put_out(struct inputs *inputs)
{
	if (!inputs->store)
		return;
	input_rows_free(inputs->rows, inputs->n);
	inputs->rows = NULL;
	inputs->n = inputs->cap = 0;
	sub_resident(inputs, inputs->resident_bytes);
}

/* Fill in offsets and check that the row holds exactly count inputs. 0, -EBADMSG, -ENOMEM. */
static int input_row_index(struct input_row *row)
{
	const uint8_t *at = row->packed, *end = at + row->bytes, *data;
	size_t len;
	uint32_t *offsets = malloc((row->count / OFFSET_EVERY + 1) * sizeof(*offsets));

	if (!offsets)
		return -ENOMEM;
	for (uint32_t i = 0; i < row->count; i++) {
		if (i % OFFSET_EVERY == 0)
			offsets[i / OFFSET_EVERY] = (uint32_t)(at - row->packed);
		at = packed_next(at, end, &data, &len);
		if (!at)
			break;
	}
	if (at != end) {
		free(offsets);
		return -EBADMSG;
	}
	row->offsets = offsets;
	return 0;
}

/* One row of the run at *at: as many inputs as fit INPUTS_ROW_BYTES, at least one. Advances *at. */
static int cut_row(const uint8_t **at, const uint8_t *end, size_t max_input_bytes, struct input_row *ret_row)
{
	uint32_t offsets[INPUTS_ROW_BYTES / OFFSET_EVERY + 1]; /* an input has a byte at least */
	const uint8_t *start = *at, *data;
	struct input_row row = { .first = 0 };
	size_t len, offsets_bytes;

	while (*at < end) {
		const uint8_t *next = packed_next(*at, end, &data, &len);

		if (!next)
			return -EBADMSG;
		if (len > max_input_bytes)
			return -EMSGSIZE;
		if (row.count > 0 && (size_t)(next - start) > INPUTS_ROW_BYTES)
			break;
		if (row.count % OFFSET_EVERY == 0)
			offsets[row.count / OFFSET_EVERY] = (uint32_t)(*at - start);
		row.count++;
		*at = next;
	}
	row.bytes = (uint32_t)(*at - start);
	offsets_bytes = (row.count / OFFSET_EVERY + 1) * sizeof(offsets[0]);
	row.packed = malloc(row.bytes);
	row.offsets = malloc(offsets_bytes);
	if (!row.packed || !row.offsets) {
		input_row_fini(&row);
		return -ENOMEM;
	}
	memcpy(row.packed, start, row.bytes);
	memcpy(row.offsets, offsets, (row.count + OFFSET_EVERY - 1) / OFFSET_EVERY * sizeof(offsets[0]));
	*ret_row = row;
	return 0;
}

int64_t inputs_cut(const uint8_t *packed, size_t bytes, uint64_t first, size_t max_input_bytes,
		   struct input_row **ret_rows, size_t *ret_n)
{
	const uint8_t *at = packed, *end = packed + bytes;
	struct input_row *rows = NULL;
	size_t n = 0;
	int64_t tasks = 0;

	while (at < end) {
		struct input_row *more = reallocarray(rows, n + 1, sizeof(*rows));
		int r = more ? cut_row(&at, end, max_input_bytes, &more[n]) : -ENOMEM;

		if (more)
			rows = more;
		if (r < 0) {
			input_rows_free(rows, n);
			return r;
		}
		rows[n].first = first + (uint64_t)tasks;
		tasks += rows[n].count;
		n++;
	}
	*ret_rows = rows;
	*ret_n = n;
	return tasks;
}

/* Index of the row that holds `task`, or of where it would be. */
static size_t inputs_search(const struct inputs *inputs, uint64_t task, bool *ret_found)
{
	size_t low = 0, high = inputs->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (inputs->rows[mid].first + inputs->rows[mid].count <= task)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = low < inputs->n && inputs->rows[low].first <= task;
	return low;
}

static int inputs_insert(struct inputs *inputs, const struct input_row *row)
{
	bool found;
	size_t i = inputs_search(inputs, row->first, &found);

	if (found)
		return -EEXIST;
	if (inputs->n == inputs->cap) {
		size_t cap = inputs->cap ? inputs->cap * 2 : 8;
		struct input_row *rows = reallocarray(inputs->rows, cap, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		inputs->rows = rows;
		inputs->cap = cap;
	}
	memmove(inputs->rows + i + 1, inputs->rows + i, (inputs->n - i) * sizeof(*inputs->rows));
	inputs->rows[i] = *row;
	inputs->rows[i].used = ++inputs->clock;
	inputs->n++;
	if (row->packed)
		add_resident(inputs, row->bytes);
	return 0;
}

static void row_forget(struct inputs *inputs, struct input_row *row)
{
	sub_resident(inputs, row->bytes);
	input_row_fini(row);
	inputs->n--;
	memmove(row, row + 1, (size_t)(inputs->rows + inputs->n - row) * sizeof(*row));
}

/* The least recently used of the first n rows, but for the one at `keep`; NULL: there is none. */
static struct input_row *oldest_row(struct inputs *inputs, size_t n, uint64_t keep)
{
	struct input_row *oldest = NULL;

	for (size_t i = 0; i < n; i++) {
		struct input_row *row = &inputs->rows[i];

		if (row->first != keep && (!oldest || row->used < oldest->used))
			oldest = row;
	}
	return oldest;
}

/* Drop the least recently used rows of a durable job, never the one at `keep`, until there is room for the rest. */
static void evict(struct inputs *inputs, uint64_t keep)
{
	struct input_row *row;

	while (!has_room(inputs, 0) && (row = oldest_row(inputs, inputs->n, keep)))
		row_forget(inputs, row);
}

/* A durable job's tasks are asked for from another row on: of the `n` rows before it no more stay than the window holds. */
static void evict_passed(struct inputs *inputs, size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += inputs->rows[i].bytes;
	while (bytes > INPUTS_RESIDENT_BYTES) {
		struct input_row *row = oldest_row(inputs, n--, UINT64_MAX);

		bytes -= row->bytes;
		row_forget(inputs, row);
	}
}

/* Rows of a job that is not durable: what goes over the window is written out first, so that a failure loses nothing. */
static int spill_rows(struct inputs *inputs, struct input_row *rows, size_t n)
{
	uint64_t more = 0;

	for (size_t i = 0; i < n; i++) {
		int r;

		rows[i].spilled_at = UINT64_MAX;
		if (has_room(inputs, more + rows[i].bytes)) {
			more += rows[i].bytes;
			continue;
		}
		r = spill_write(&inputs->spill, inputs->spill_dir, rows[i].packed, rows[i].bytes, &rows[i].spilled_at);
		if (r < 0)
			return r;
	}
	return 0;
}

int inputs_add(struct inputs *inputs, struct input_row *rows, size_t n)
{
	int r = inputs->store ? 0 : spill_rows(inputs, rows, n);

	if (r < 0) {
		input_rows_free(rows, n);
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		struct input_row *row = &rows[i];
		bool drop = inputs->store && inputs->n > 0 && !has_room(inputs, row->bytes);

		assert(row->first == inputs->total);
		inputs->total += row->count;
		if (!inputs->store && row->spilled_at != UINT64_MAX) {
			free(take_ptr(row->packed));
			free(take_ptr(row->offsets));
		}
		if (drop || inputs_insert(inputs, row) < 0) {
			input_row_fini(row); /* a durable job's row is read back when it is wanted */
			if (!inputs->store)
				r = -ENOMEM;
		}
	}
	free(rows);
	return r;
}

/* ---- Loading ---- */

static void on_read(struct store_read *read, int status)
{
	struct inputs_load *load = container_of(read, struct inputs_load, read);
	struct inputs *inputs = load->inputs;
	struct input_row row = { .first = read->input_first, .count = read->input_count };
	bool ahead;

	if (!inputs)
		goto out;
	ahead = inputs->loading[1] == load;
	inputs->loading[ahead ? 1 : 0] = NULL;
	if (status == 0) {
		row.bytes = (uint32_t)read->input.len;
		row.packed = take_ptr(read->input.data);
		status = input_row_index(&row);
		if (status == 0)
			status = inputs_insert(inputs, &row);
		if (status < 0)
			input_row_fini(&row);
		else
			evict(inputs, row.first);
	}
	if (!ahead || status == 0) /* what was only read ahead is asked for again when it is wanted */
		inputs->load_error = status == -EEXIST ? 0 : status;
	inputs->on_loaded(inputs); /* may end the job and with it the inputs: not touched below */
out:
	store_read_fini(read);
	free(load);
}

/* Ask the store for the row that holds `task`, unless a read for it is under way. 0 or -ENOMEM. */
static int load_row(struct inputs *inputs, size_t slot, uint64_t task)
{
	struct inputs_load *load;

	if (inputs->loading[slot])
		return 0;
	load = calloc(1, sizeof(*load));
	if (!load)
		return -ENOMEM;
	load->inputs = inputs;
	load->read = (struct store_read){
		.type = STORE_READ_INPUT,
		.job = inputs->job,
		.task = task,
		.on_done = on_read,
	};
	inputs->loading[slot] = load;
	store_read(inputs->store, &load->read);
	return 0;
}

static int unspill(struct inputs *inputs, struct input_row *row)
{
	int r;

	row->packed = malloc(row->bytes);
	if (!row->packed)
		return -ENOMEM;
	r = spill_read(&inputs->spill, row->spilled_at, row->packed, row->bytes);
	if (r == 0)
		r = input_row_index(row);
	if (r < 0) {
		free(take_ptr(row->packed));
		return r == -EBADMSG ? -EIO : r;
	}
	add_resident(inputs, row->bytes);
	return 0;
}

/* Out of memory with what the spill file has. */
static void row_drop(struct inputs *inputs, struct input_row *row)
{
	sub_resident(inputs, row->bytes);
	free(take_ptr(row->packed));
	free(take_ptr(row->offsets));
}

/* Rows that were never written out stay resident, so only written ones may be evicted. */
static void evict_spilled(struct inputs *inputs, uint64_t keep)
{
	for (size_t i = 0; i < inputs->n && inputs->resident_bytes > INPUTS_RESIDENT_BYTES; i++) {
		struct input_row *row = &inputs->rows[i];

		if (!row->packed || row->first == keep || row->spilled_at == UINT64_MAX)
			continue;
		row_drop(inputs, row);
	}
}

int inputs_spill(struct inputs *inputs, uint64_t bytes, uint32_t *most)
{
	uint64_t gone = 0;

	for (size_t i = 0; !inputs->store && i < inputs->n && gone < bytes && *most > 0; i++) {
		struct input_row *row = &inputs->rows[i];
		int r = 0;

		if (!row->packed)
			continue;
		if (row->spilled_at == UINT64_MAX)
			r = spill_write(&inputs->spill, inputs->spill_dir, row->packed, row->bytes, &row->spilled_at);
		if (r < 0)
			return r;
		gone += row->bytes;
		--*most;
		row_drop(inputs, row);
	}
	return 0;
}

/* The row with `task` in memory, or why not. Reads the next one ahead. */
static int inputs_row(struct inputs *inputs, uint64_t task, struct input_row **ret_row)
{
	bool found;
	size_t i = inputs_search(inputs, task, &found);
	struct input_row *row = found ? &inputs->rows[i] : NULL;
	int r = 0;

	if (task >= inputs->total)
		return -ENOENT;
	if (inputs->load_error < 0) {
		r = inputs->load_error;
		inputs->load_error = 0; /* told once; the next peek tries again */
		return r;
	}
	if (!row) {
		if (!inputs->store)
			return -EIO;
		r = load_row(inputs, 0, task);
		return r < 0 ? r : -EAGAIN;
	}
	if (!row->packed) {
		r = unspill(inputs, row);
		if (r < 0)
			return r;
		evict_spilled(inputs, row->first);
	}
	row->used = ++inputs->clock;
	if (inputs->store && row->first != inputs->last_row) {
		inputs->last_row = row->first;
		evict_passed(inputs, i);
		row = &inputs->rows[inputs_search(inputs, task, &found)]; /* those before it may be fewer */
	}
	if (inputs->store && row->first + row->count < inputs->total) {
		uint64_t next = row->first + row->count;

		(void)inputs_search(inputs, next, &found);
		if (!found && !inputs->loading[0])
			(void)load_row(inputs, 1, next); /* without it the next peek asks */
	}
	*ret_row = row;
	return 0;
}

int inputs_peek(struct inputs *inputs, uint64_t task, uint32_t max_tasks, size_t max_bytes, const uint8_t **ret_packed,
		size_t *ret_bytes, uint32_t *ret_count)
{
	struct input_row *row;
	const uint8_t *at, *end, *data;
	uint32_t count = 0, skip, left, behind;
	size_t len;
	int r = inputs_row(inputs, task, &row);

	if (r < 0)
		return r;
	skip = (uint32_t)(task - row->first);
	at = row->packed + row->offsets[skip / OFFSET_EVERY];
	end = row->packed + row->bytes;
	for (uint32_t i = 0; i < skip % OFFSET_EVERY; i++)
		at = packed_next(at, end, &data, &len); /* was walked by input_row_index() */
	*ret_packed = at;
	left = row->count - skip;
	if (left > max_tasks)
		left = max_tasks;
	behind = skip + left;
	if (behind == row->count || behind % OFFSET_EVERY == 0) { /* where they end is known */
		const uint8_t *all = behind == row->count ? end : row->packed + row->offsets[behind / OFFSET_EVERY];

		if ((size_t)(all - at) <= max_bytes) {
			at = all;
			count = left;
		}
	}
	while (count < left) {
		const uint8_t *next = packed_next(at, end, &data, &len);

		if (count > 0 && (size_t)(next - *ret_packed) > max_bytes)
			break;
		at = next;
		count++;
	}
	*ret_bytes = (size_t)(at - *ret_packed);
	*ret_count = count;
	return 0;
}
