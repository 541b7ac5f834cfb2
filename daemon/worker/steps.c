/* Dividing an input: what the plugin's run is replaced by where the plugin has split.
 *
 *	task     split; no part was added: run. Else the task's record is the packed parts, with status RING_SPLIT
 *	part     run_part, or run
 *	combine  its input is the packed results of the parts
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "ring/ring.h"
#include "ring/step.h"
#include "worker/runner_private.h"

struct part_result {
	const uint8_t *data; /* into the slot's input */
	size_t len;
};

/* While the plugin's split or combine runs. */
struct division {
	bool adding; /* split */
	struct buffer parts; /* packed */
	uint32_t n; /* parts added, or results */
	struct part_result *results;
};

static size_t parts_max_bytes(const struct slot *slot)
{
	size_t max = slot->runner->options.max_result_bytes; /* they travel as a result does */

	return max < STEP_INPUTS_BYTES ? max : STEP_INPUTS_BYTES;
}

/* The task fails whatever split returns: what it could not add is missing. */
static int refuse_part(struct slot *slot, int r, const char *what)
{
	if (slot->fail_why != FAIL_TOO_LARGE) {
		free(slot->fail_text);
		slot->fail_text = strdup(what); /* NULL: it fails without the words */
		slot->fail_why = FAIL_TOO_LARGE;
		slot->unusual = true;
	}
	return r;
}

int host_part_add(struct concd_task *task, const void *data, size_t len)
{
	struct slot *slot = (struct slot *)task;
	struct division *division = slot->division;
	char text[96];

	if (!division || !division->adding)
		return -EPERM;
	if (division->n == STEP_PARTS_MAX)
		return refuse_part(slot, -E2BIG, "it was divided into more than 65536 parts");
	if (len > RING_BIG_INPUT_BYTES)
		return refuse_part(slot, -EMSGSIZE, "it was divided into parts of which one is over 1 MiB");
	if (division->parts.len + len + VARINT_MAX_BYTES > parts_max_bytes(slot)) {
		(void)snprintf(text, sizeof(text), "it was divided into parts of more than %zu bytes together",
			       parts_max_bytes(slot));
		return refuse_part(slot, -EMSGSIZE, text);
	}
	if (buffer_reserve(&division->parts, len + VARINT_MAX_BYTES) < 0)
		return -ENOMEM;
	(void)buffer_add_varint(&division->parts, len); /* room was reserved */
	(void)buffer_add(&division->parts, data, len);
	division->n++;
	return 0;
}

uint64_t host_part_count(struct concd_task *task)
{
	const struct division *division = ((struct slot *)task)->division;

	return division && !division->adding ? division->n : 0;
}

const void *host_part_result(struct concd_task *task, uint64_t part, size_t *ret_len)
{
	const struct division *division = ((struct slot *)task)->division;
	bool known = part < host_part_count(task);

	if (ret_len)
		*ret_len = known ? division->results[part].len : 0;
	return known ? division->results[part].data : NULL;
}

static int run_task(struct slot *slot, const struct concd_plugin *plugin)
{
	struct division division = { .adding = true };
	int r;

	slot->division = &division;
	r = plugin->split(&slot->pub);
	slot->division = NULL;
	if (slot->fail_why == FAIL_TOO_LARGE)
		r = -EBADMSG;
	if (r == 0 && division.n > 0) {
		free(slot->result_heap);
		slot->result_len = division.parts.len;
		slot->result_heap = take_ptr(division.parts.data);
		slot->refused_result_len = 0;
		slot->done_status = RING_SPLIT;
		slot->unusual = true;
		return 0;
	}
	buffer_fini(&division.parts);
	return r == 0 ? plugin->run(&slot->pub) : r;
}

/* The results as the daemon packed them. 0, -EBADMSG, -ENOMEM. */
static int index_results(struct division *division, const uint8_t *packed, size_t len)
{
	const uint8_t *at = packed, *end = packed + len;
	size_t cap = 0;

	while (at < end) {
		struct part_result result;

		at = packed_next(at, end, &result.data, &result.len);
		if (!at || division->n == STEP_PARTS_MAX)
			return -EBADMSG;
		if (division->n == cap) {
			struct part_result *more;

			cap = cap ? 2 * cap : 64;
			more = reallocarray(division->results, cap, sizeof(*more));
			if (!more)
				return -ENOMEM;
			division->results = more;
		}
		division->results[division->n++] = result;
	}
	return 0;
}

static int run_combine(struct slot *slot, const struct concd_plugin *plugin)
{
	struct division division = { .adding = false };
	int r = index_results(&division, slot->input, slot->input_len);

	if (r == 0) {
		slot->division = &division;
		slot->input = (const uint8_t *)""; /* the results are behind concd_part_result() */
		slot->input_len = 0;
		r = plugin->combine(&slot->pub);
		slot->division = NULL;
	} else if (r == -ENOMEM) { /* nobody's fault: another try may find some */
		slot->fail_why = CONCD_FAIL_RETRY;
		slot->unusual = true;
	}
	free(division.results);
	return r;
}

static int run_step(struct concd_task *task)
{
	struct slot *slot = (struct slot *)task;
	const struct concd_plugin *plugin = slot->runner->options.plugin;
	uint64_t number = slot->chunk->claim.first + slot->index;

	if (!step_is(number))
		return run_task(slot, plugin);
	if (step_of(number) == STEP_COMBINE)
		return run_combine(slot, plugin);
	return plugin->run_part ? plugin->run_part(task) : plugin->run(task);
}

/* The plugin was replaced by one without split while tasks of its predecessor are in parts. */
static int refuse_step(struct concd_task *task)
{
	return concd_fail(task, CONCD_FAIL_PERMANENT, "the plugin does not divide inputs any more");
}

task_run_fn steps_run(const struct concd_plugin *plugin, uint64_t first)
{
	if (plugin->split)
		return run_step;
	return step_is(first) ? refuse_step : plugin->run;
}
