/* What is remembered of tasks that held their runner. */
#include "jobs/stalls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "crew/crew.h"

#define ENCODING 1 /* version */

void stalls_free(struct stalls *stalls)
{
	if (!stalls)
		return;
	for (size_t i = 0; i < stalls->n; i++)
		free(stalls->kept[i].stack);
	free(stalls);
}

/* A place for one more: of those that have ended the shortest gives way, of those that go on the oldest. */
static struct stall *make_place(struct stalls *stalls)
{
	struct stall *least = NULL;

	if (stalls->n < STALLS_KEPT)
		return &stalls->kept[stalls->n++];
	for (size_t i = 0; i < stalls->n; i++) {
		struct stall *s = &stalls->kept[i];

		if (s->ended && (!least || s->held_ns < least->held_ns))
			least = s;
	}
	if (!least)
		least = &stalls->kept[0];
	free(least->stack);
	return least;
}

static struct stall *find_open(struct stalls *stalls, uint64_t task)
{
	for (size_t i = 0; i < stalls->n; i++)
		if (!stalls->kept[i].ended && stalls->kept[i].task == task)
			return &stalls->kept[i];
	return NULL;
}

struct stall *stalls_note(struct stalls *stalls, const struct crew_stall *news, int64_t unix_offset_us)
{
	struct stall *s = find_open(stalls, news->task);
	char *stack;

	stalls->dropped += news->dropped;
	stalls->count += news->dropped + !news->ended;
	if (news->ended) {
		if (!s)
			return NULL;
		s->held_ns = news->held_ns;
		s->ended = true;
		return s;
	}
	stack = strdup(news->stack);
	if (!stack)
		return NULL;
	if (s) { /* its end was lost with its worker */
		free(s->stack);
	} else {
		s = make_place(stalls);
	}
	*s = (struct stall){
		.task = news->task,
		.worker_pid = news->worker_pid,
		.worker_thread = news->worker_thread,
		.since_ns = news->since_ns,
		.since_unix_us = news->since_ns / NS_PER_US + unix_offset_us,
		.held_ns = news->held_ns,
		.input_len = news->input_len,
		.input_kept = news->input_kept < STALLS_INPUT_BYTES ? news->input_kept : STALLS_INPUT_BYTES,
		.stack = stack,
	};
	memcpy(s->input, news->input, s->input_kept);
	return s;
}

struct stall *stalls_task_ended(struct stalls *stalls, uint64_t task, int64_t end_ns)
{
	struct stall *s = find_open(stalls, task);

	if (!s)
		return NULL;
	if (end_ns - s->since_ns > s->held_ns)
		s->held_ns = end_ns - s->since_ns;
	s->ended = true;
	return s;
}

/* ---- On disk ---- */

int stalls_encode(const struct stalls *stalls, struct buffer *b)
{
	const uint64_t head[] = { ENCODING, stalls->count, stalls->dropped, stalls->n };
	int r = 0;

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]) && r == 0; i++)
		r = buffer_add_varint(b, head[i]);
	for (size_t i = 0; i < stalls->n && r == 0; i++) {
		const struct stall *s = &stalls->kept[i];
		const uint64_t numbers[] = { s->task, s->worker_pid, s->worker_thread, s->ended,
					     (uint64_t)s->since_unix_us, (uint64_t)s->held_ns, s->input_len,
					     s->input_kept };

		for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]) && r == 0; k++)
			r = buffer_add_varint(b, numbers[k]);
		if (r == 0)
			r = buffer_add(b, s->input, s->input_kept);
		if (r == 0)
			r = buffer_add_text(b, s->stack);
	}
	return r;
}

static int decode_one(struct reader *r, struct stall *s)
{
	const uint8_t *input;

	s->task = reader_varint(r);
	s->worker_pid = (uint32_t)reader_varint(r);
	s->worker_thread = (uint16_t)reader_varint(r);
	s->ended = reader_varint(r) != 0;
	s->since_unix_us = (int64_t)reader_varint(r);
	s->held_ns = (int64_t)reader_varint(r);
	s->input_len = reader_varint(r);
	input = reader_bytes(r, &s->input_kept);
	if (r->failed || s->input_kept > STALLS_INPUT_BYTES)
		return -EBADMSG;
	memcpy(s->input, input, s->input_kept);
	s->stack = reader_text(r);
	return s->stack ? 0 : r->failed ? -EBADMSG : -ENOMEM;
}

int stalls_decode(const void *data, size_t bytes, struct stalls **ret_stalls)
{
	struct reader r = READER_INIT(data, bytes);
	struct stalls *stalls;
	uint64_t version = reader_varint(&r), n;
	int e = 0;

	if (version != ENCODING)
		return -EBADMSG;
	stalls = calloc(1, sizeof(*stalls));
	if (!stalls)
		return -ENOMEM;
	stalls->count = reader_varint(&r);
	stalls->dropped = reader_varint(&r);
	n = reader_varint(&r);
	if (r.failed || n > STALLS_KEPT)
		e = -EBADMSG;
	while (e == 0 && stalls->n < n)
		e = decode_one(&r, &stalls->kept[stalls->n++]);
	if (e < 0) {
		stalls_free(stalls);
		return e;
	}
	*ret_stalls = stalls;
	return 0;
}
