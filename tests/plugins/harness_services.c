/* The services that the harness gives to a plugin (see harness.h). */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "harness_private.h"

struct concd_resumer {
	struct harness_task *task;
};

static struct harness_task *of(struct concd_task *task)
{
	return (struct harness_task *)(void *)task;
}

/* ---- Data ---- */

static const void *host_input(struct concd_task *task, size_t *ret_len)
{
	*ret_len = of(task)->input_len;
	return of(task)->input;
}

static uint64_t host_index(struct concd_task *task)
{
	return of(task)->index;
}

static int find_param(struct harness *h, const char *name, uint32_t *ret_type, const char **ret_value)
{
	for (uint32_t i = 0; i < h->plugin->n_params; i++) {
		const struct concd_param *param = &h->plugin->params[i];

		if (strcmp(param->name, name) != 0)
			continue;
		*ret_type = param->type;
		*ret_value = param->value != NULL ? param->value : "";
		for (size_t k = 0; k < h->n_params; k++)
			if (strcmp(h->names[k], name) == 0)
				*ret_value = h->values[k];
		return 0;
	}
	return -ENOENT;
}

static int worker_param_text(struct concd_worker *worker, const char *name, const char **ret_value)
{
	const char *value;
	uint32_t type;
	int r;

	r = find_param((struct harness *)(void *)worker, name, &type, &value);
	if (r < 0)
		return r;
	if (type != CONCD_PARAM_TEXT)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static int worker_param_int(struct concd_worker *worker, const char *name, int64_t *ret_value)
{
	const char *text;
	uint64_t size;
	uint32_t type;
	bool yes;
	int r;

	r = find_param((struct harness *)(void *)worker, name, &type, &text);
	if (r < 0)
		return r;
	if (text[0] == '\0')
		text = "0";
	switch (type) {
	case CONCD_PARAM_INT:
		return text_parse_i64(text, ret_value);
	case CONCD_PARAM_DURATION:
		return text_parse_duration(text, ret_value);
	case CONCD_PARAM_SIZE:
		r = text_parse_size(text, &size);
		*ret_value = r == 0 ? (int64_t)size : *ret_value;
		return r;
	case CONCD_PARAM_BOOL:
		r = text_parse_bool(text, &yes);
		*ret_value = r == 0 ? yes : *ret_value;
		return r;
	default:
		return -EINVAL;
	}
}

static int worker_param_number(struct concd_worker *worker, const char *name, double *ret_value)
{
	const char *text;
	uint32_t type;
	int r;

	r = find_param((struct harness *)(void *)worker, name, &type, &text);
	if (r < 0)
		return r;
	return type == CONCD_PARAM_NUMBER ? text_parse_double(text, ret_value) : -EINVAL;
}

static int host_param_text(struct concd_task *task, const char *name, const char **ret_value)
{
	return worker_param_text(task->worker, name, ret_value);
}

static int host_param_int(struct concd_task *task, const char *name, int64_t *ret_value)
{
	return worker_param_int(task->worker, name, ret_value);
}

static int host_param_number(struct concd_task *task, const char *name, double *ret_value)
{
	return worker_param_number(task->worker, name, ret_value);
}

static int host_result(struct concd_task *task, const void *data, size_t len)
{
	char *copy = malloc(len + 1);

	assert(copy != NULL);
	memcpy(copy, data, len);
	copy[len] = '\0';
	free(of(task)->result);
	of(task)->result = copy;
	of(task)->result_len = len;
	return 0;
}

static int host_vfail(struct concd_task *task, uint32_t why, int64_t retry_after_ns, const char *format, va_list ap)
{
	struct harness_task *t = of(task);

	if (t->failure != NULL)
		return -EBADMSG;
	if (vasprintf(&t->failure, format, ap) < 0)
		abort();
	t->why = why;
	t->retry_after_ns = retry_after_ns;
	return -EBADMSG;
}

static void host_vlog(struct concd_worker *worker, int level, const char *format, va_list ap)
{
	(void)worker;
	fprintf(stderr, "# log %d: ", level);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
}

static void host_progress(struct concd_task *task, double fraction)
{
	of(task)->progress = fraction;
}

static int host_cancelled(struct concd_task *task)
{
	struct harness_task *t = of(task);

	return t->is_cancelled || (t->cancel_at >= 0 && t->n_cancelled++ >= t->cancel_at);
}

/* ---- Waiting ---- */

static void on_task_fd(evutil_socket_t fd, short what, void *arg)
{
	struct harness_task *t = arg;

	(void)fd;
	t->ready_events |= (what & EV_READ ? CONCD_READ : 0) | (what & EV_WRITE ? CONCD_WRITE : 0);
}

/* Hand over to the loop until it gives the turn back. On the task's thread. */
static void give_turn_back(struct harness_task *t)
{
	struct harness *h = t->harness;

	pthread_mutex_lock(&h->lock);
	t->has_turn = false;
	pthread_cond_signal(&h->loop_turn);
	while (!t->has_turn)
		pthread_cond_wait(&t->turn, &h->lock);
	pthread_mutex_unlock(&h->lock);
}

static bool take_resumed(struct harness_task *t)
{
	bool is_resumed;

	pthread_mutex_lock(&t->harness->lock);
	is_resumed = t->is_resumed;
	t->is_resumed = false;
	pthread_mutex_unlock(&t->harness->lock);
	return is_resumed;
}

static bool is_foreign(const struct harness_task *t)
{
	return !t->is_started || !pthread_equal(pthread_self(), t->thread);
}

/* Wait until resumed (1, where resumable), a descriptor is ready (2), the time is over (0), or cancelled. */
static int wait_for(struct harness_task *t, int64_t timeout_ns, bool resumable)
{
	struct timeval tv = {timeout_ns / 1000000000, timeout_ns % 1000000000 / 1000};
	int r;

	t->is_timed_out = false;
	if (timeout_ns >= 0)
		event_add(t->timer, &tv);
	for (;;) {
		if (t->is_cancelled)
			r = -ECANCELED;
		else if (resumable && take_resumed(t))
			r = 1;
		else if (t->ready_events != 0)
			r = 2;
		else if (t->is_timed_out)
			r = 0;
		else {
			give_turn_back(t);
			continue;
		}
		event_del(t->timer);
		return r;
	}
}

static int host_sleep(struct concd_task *task, int64_t duration_ns)
{
	if (is_foreign(of(task)))
		return -EPERM;
	return wait_for(of(task), duration_ns, false);
}

static int host_wait_fd(struct concd_task *task, int fd, int events, int64_t timeout_ns)
{
	short what = (short)((events & CONCD_READ ? EV_READ : 0) | (events & CONCD_WRITE ? EV_WRITE : 0));
	struct harness_task *t = of(task);
	struct event *event;
	int r;

	if (is_foreign(t))
		return -EPERM;
	t->ready_events = 0;
	event = event_new(t->harness->base, fd, what, on_task_fd, t);
	assert(event != NULL);
	if (event_add(event, NULL) < 0) {
		r = errno == EPERM ? -EPERM : -EBADF;
	} else {
		r = wait_for(t, timeout_ns, false);
		r = r == 2 ? t->ready_events : r == 0 ? -ETIMEDOUT : r;
	}
	t->ready_events = 0;
	event_free(event);
	return r;
}

static int host_yield(struct concd_task *task)
{
	return host_sleep(task, 0);
}

static int host_receive(struct concd_task *task, int64_t timeout_ns, const void **ret_data, size_t *ret_len)
{
	(void)task;
	(void)timeout_ns;
	(void)ret_data;
	(void)ret_len;
	return -ENOSYS;
}

static int host_offload(struct concd_task *task, void (*fn)(void *arg), void *arg)
{
	(void)task;
	(void)fn;
	(void)arg;
	return -ENOSYS;
}

static struct concd_resumer *host_resumer(struct concd_task *task)
{
	struct concd_resumer *resumer = malloc(sizeof(*resumer));

	assert(resumer != NULL);
	resumer->task = of(task);
	pthread_mutex_lock(&of(task)->harness->lock);
	of(task)->harness->n_resumers++;
	pthread_mutex_unlock(&of(task)->harness->lock);
	return resumer;
}

static int host_suspend(struct concd_task *task, int64_t timeout_ns)
{
	int r;

	if (is_foreign(of(task)))
		return -EPERM;
	r = wait_for(of(task), timeout_ns, true);
	return r == 1 ? 0 : r == 0 ? -ETIMEDOUT : r;
}

static void host_resume(struct concd_resumer *resumer)
{
	struct harness *h = resumer->task->harness;

	pthread_mutex_lock(&h->lock);
	resumer->task->is_resumed = true;
	pthread_mutex_unlock(&h->lock);
	harness_wake(h);
}

static void host_resumer_free(struct concd_resumer *resumer)
{
	struct harness *h = resumer->task->harness;

	pthread_mutex_lock(&h->lock);
	h->n_resumers--;
	pthread_mutex_unlock(&h->lock);
	free(resumer);
}

static void *host_event_base(struct concd_worker *worker)
{
	return ((struct harness *)(void *)worker)->base;
}

static uint32_t host_workers(struct concd_task *task)
{
	return of(task)->harness->workers;
}

const struct concd_host harness_services = {
	.size = sizeof(struct concd_host),
	.abi = CONCD_ABI,
	.input = host_input,
	.index = host_index,
	.param_text = host_param_text,
	.param_int = host_param_int,
	.param_number = host_param_number,
	.worker_param_text = worker_param_text,
	.worker_param_int = worker_param_int,
	.worker_param_number = worker_param_number,
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
