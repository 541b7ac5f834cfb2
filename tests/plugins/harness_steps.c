/* Dividing inputs inside a test: the steps of a task, one after the other (see harness.h). */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness_private.h"

#define PARTS_MAX 65536u

struct harness_part {
	char *input, *result;
	size_t input_len, result_len;
};

static struct harness_task *of(struct concd_task *task)
{
	return (struct harness_task *)(void *)task;
}

int host_part_add(struct concd_task *task, const void *data, size_t len)
{
	struct harness_task *t = of(task);
	struct harness_part *part;

	if (!t->is_splitting)
		return -EPERM;
	if (t->n_parts == PARTS_MAX)
		return -E2BIG;
	t->parts = realloc(t->parts, (t->n_parts + 1) * sizeof(*t->parts));
	assert(t->parts != NULL);
	part = &t->parts[t->n_parts++];
	*part = (struct harness_part){.input = malloc(len + 1), .input_len = len};
	assert(part->input != NULL);
	memcpy(part->input, data, len);
	part->input[len] = '\0';
	return 0;
}

uint64_t host_part_count(struct concd_task *task)
{
	return of(task)->is_combining ? of(task)->n_parts : 0;
}

const void *host_part_result(struct concd_task *task, uint64_t number, size_t *ret_len)
{
	const struct harness_part *part = number < host_part_count(task) ? &of(task)->parts[number] : NULL;

	*ret_len = part != NULL ? part->result_len : 0;
	return part != NULL ? part->result : NULL;
}

void harness_free_parts(struct harness_task *t)
{
	for (uint32_t i = 0; i < t->n_parts; i++) {
		free(t->parts[i].input);
		free(t->parts[i].result);
	}
	free(t->parts);
}

static void take_result(struct harness_task *t, struct harness_part *part)
{
	part->result = t->result != NULL ? t->result : calloc(1, 1);
	part->result_len = t->result_len;
	t->result = NULL;
	t->result_len = 0;
}

int harness_run_task(struct harness_task *t)
{
	const struct concd_plugin *plugin = t->harness->plugin;
	char *input = t->input;
	size_t len = t->input_len;
	int r = 0;

	if (plugin->split != NULL) {
		t->is_splitting = true;
		r = plugin->split(&t->task);
		t->is_splitting = false;
	}
	if (r < 0 || t->n_parts == 0)
		return r < 0 ? r : plugin->run(&t->task);
	for (uint32_t i = 0; i < t->n_parts && r == 0; i++) {
		t->input = t->parts[i].input;
		t->input_len = t->parts[i].input_len;
		r = plugin->run_part != NULL ? plugin->run_part(&t->task) : plugin->run(&t->task);
		take_result(t, &t->parts[i]);
	}
	t->input = input;
	t->input_len = 0; /* combine has none */
	if (r == 0) {
		t->is_combining = true;
		r = plugin->combine(&t->task);
		t->is_combining = false;
	}
	t->input_len = len;
	return r;
}
