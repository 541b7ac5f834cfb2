/* The services of a plugin that do not wait. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/copy.h"
#include "ring/step.h"
#include "worker/log_gate.h"
#include "worker/params.h"
#include "worker/runner_private.h"

static const void *host_input(struct concd_task *task, size_t *ret_len)
{
	struct slot *slot = (struct slot *)task;

	if (ret_len)
		*ret_len = slot->input_len;
	return slot->input;
}

static uint64_t host_index(struct concd_task *task)
{
	struct slot *slot = (struct slot *)task;

	return step_task(slot->chunk->claim.first + slot->index);
}

static const struct params *task_params(struct concd_task *task)
{
	return ((struct slot *)task)->chunk->job->params;
}

static int host_param_text(struct concd_task *task, const char *name, const char **ret_value)
{
	return params_text(task_params(task), name, ret_value);
}

static int host_param_int(struct concd_task *task, const char *name, int64_t *ret_value)
{
	return params_int(task_params(task), name, ret_value);
}

static int host_param_number(struct concd_task *task, const char *name, double *ret_value)
{
	return params_number(task_params(task), name, ret_value);
}

static int host_worker_param_text(struct concd_worker *worker, const char *name, const char **ret_value)
{
	return params_text(((struct runner *)worker)->options.params, name, ret_value);
}

static int host_worker_param_int(struct concd_worker *worker, const char *name, int64_t *ret_value)
{
	return params_int(((struct runner *)worker)->options.params, name, ret_value);
}

static int host_worker_param_number(struct concd_worker *worker, const char *name, double *ret_value)
{
	return params_number(((struct runner *)worker)->options.params, name, ret_value);
}

/* A result that is refused, or that does not fit the slot. */
static int long_result(struct slot *slot, const void *data, size_t len)
{
	uint8_t *copy;

	slot->unusual = true;
	if (len > slot->runner->options.max_result_bytes) {
		slot->refused_result_len = len;
		return -EMSGSIZE;
	}
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	free(slot->result_heap); /* only now: the data may be what was set before */
	slot->result_heap = copy;
	slot->result_len = len;
	slot->refused_result_len = 0;
	return 0;
}

static int host_result(struct concd_task *task, const void *data, size_t len)
{
	struct slot *slot = (struct slot *)task;

	if (len > SLOT_INLINE_BYTES || len > slot->runner->options.max_result_bytes)
		return long_result(slot, data, len);
	copy_to_words(slot->result_inline, data, len); /* the data may be what was set before */
	slot->result_len = len;
	if (__builtin_expect(slot->unusual, 0)) {
		free(slot->result_heap);
		slot->result_heap = NULL;
		slot->refused_result_len = 0;
	}
	return 0;
}

static int host_vfail(struct concd_task *task, uint32_t why, int64_t retry_after_ns, const char *format, va_list ap)
{
	struct slot *slot = (struct slot *)task;

	if (slot->fail_why != 0)
		return -EBADMSG;
	slot->unusual = true;
	slot->fail_why = why == CONCD_FAIL_INPUT || why == CONCD_FAIL_RETRY ? why : CONCD_FAIL_PERMANENT;
	slot->retry_after_ns = why == CONCD_FAIL_RETRY ? retry_after_ns : -1;
	if (vasprintf(&slot->fail_text, format, ap) < 0)
		slot->fail_text = NULL; /* the task still fails, without the words */
	return -EBADMSG;
}

static void host_vlog(struct concd_worker *worker, int level, const char *format, va_list ap)
{
	struct runner *runner = (struct runner *)worker;
	bool own_thread = runner_of_thread() == runner;
	char *line = runner->log_line, foreign_line[512];
	size_t cap = LOG_LINE_BYTES, len;
	int n;

	if (!log_gate_pass(runner->options.gate, clock_mono_ns()))
		return;
	if (!own_thread) {
		line = foreign_line;
		cap = sizeof(foreign_line) - 1;
	}
	n = vsnprintf(line, cap, format, ap);
	if (n < 0)
		return;
	len = strnlen(line, cap);
	if (!own_thread) {
		/* The ring has one producer. Standard error ends in the same log. */
		line[len++] = '\n';
		(void)!write(STDERR_FILENO, line, len); /* nowhere left to complain to */
		return;
	}
	level = level < CONCD_LOG_ERROR ? CONCD_LOG_ERROR : level > CONCD_LOG_DEBUG ? CONCD_LOG_DEBUG : level;
	if (runner_state(runner) == RUNNER_STARTING) {
		size_t kept = len < sizeof(runner->last_line) ? len : sizeof(runner->last_line) - 1;

		memcpy(runner->last_line, line, kept);
		runner->last_line[kept] = '\0';
	}
	if (!ring_log(runner->options.ring, runner->options.number, (uint8_t)level, line, len)) {
		log_gate_drop(runner->options.gate);
		return;
	}
	/* At once: the task may compute for hours, and the gate lets few lines pass. */
	ring_publish(runner->options.ring, runner->options.number);
	runner->unpublished_ns = 0;
}

static void host_progress(struct concd_task *task, double fraction)
{
	struct slot *slot = (struct slot *)task;

	if (!(fraction >= 0)) /* NaN as well */
		fraction = 0;
	ring_set_progress(slot->runner->options.ring, slot->chunk->claim.chunk, slot->index,
			  (float)fmin(fraction, 1.0));
}

static int host_cancelled(struct concd_task *task)
{
	return task_cancelled((struct slot *)task);
}

static void *host_event_base(struct concd_worker *worker)
{
	return ((struct runner *)worker)->base;
}

static uint32_t host_workers(struct concd_task *task)
{
	return ((struct slot *)task)->chunk->job->workers;
}

const struct concd_host host_services = {
	.size = sizeof(struct concd_host),
	.abi = CONCD_ABI,
	.input = host_input,
	.index = host_index,
	.param_text = host_param_text,
	.param_int = host_param_int,
	.param_number = host_param_number,
	.worker_param_text = host_worker_param_text,
	.worker_param_int = host_worker_param_int,
	.worker_param_number = host_worker_param_number,
	.result = host_result,
	.vfail = host_vfail,
	.vlog = host_vlog,
	.progress = host_progress,
	.cancelled = host_cancelled,
	.sleep = host_sleep,
	.wait_fd = host_wait_fd,
	.yield = host_yield,
	.receive = host_receive,
	.offload = host_offload,
	.resumer = host_resumer,
	.suspend = host_suspend,
	.resume = host_resume,
	.resumer_free = host_resumer_free,
	.event_base = host_event_base,
	.part_add = host_part_add,
	.part_count = host_part_count,
	.part_result = host_part_result,
	.workers = host_workers,
};
