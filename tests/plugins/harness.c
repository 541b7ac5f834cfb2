/* The loop and the tasks of a host for one plugin inside a test (see harness.h). */
#include "harness.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "harness_private.h"

/* The smallest stack a host gives; sanitizers make frames several times as large. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (1024 * 1024)
#else
#define STACK_BYTES (64 * 1024)
#endif

void harness_wake(struct harness *h)
{
	(void)eventfd_write(h->wake_fd, 1); /* full: the loop is awake */
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	eventfd_t value;

	(void)what;
	(void)arg;
	(void)eventfd_read(fd, &value); /* only its being there counts */
}

static void on_task_timer(evutil_socket_t fd, short what, void *arg)
{
	struct harness_task *t = arg;

	(void)fd;
	(void)what;
	t->is_timed_out = true;
}

struct harness *harness_open_plugin(const struct concd_plugin *plugin)
{
	struct harness *h = calloc(1, sizeof(*h));
	struct event_config *config = event_config_new();

	assert(h != NULL && config != NULL);
	h->plugin = plugin;
	h->last = &h->tasks;
	h->workers = 1;
	assert(h->plugin->size == sizeof(struct concd_plugin) && h->plugin->abi == CONCD_ABI);
	h->worker.host = &harness_services;
	/* libevent's usual clock is coarse: timers would end up to 4 ms early. */
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	h->base = event_base_new_with_config(config);
	event_config_free(config);
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(h->base != NULL && h->wake_fd >= 0);
	h->wake_event = event_new(h->base, h->wake_fd, EV_READ | EV_PERSIST, on_wake, NULL);
	assert(h->wake_event != NULL);
	event_add(h->wake_event, NULL);
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->loop_turn, NULL);
	return h;
}

struct harness *harness_open(const char *name)
{
	const char *slash = strrchr(name, '/'), *builddir = getenv("top_builddir");
	const struct concd_plugin *const *symbol;
	struct harness *h;
	char path[4096];
	void *object;

	if (strstr(name, ".so") != NULL)
		(void)snprintf(path, sizeof(path), "%s", name);
	else
		(void)snprintf(path, sizeof(path), "%s/%.*s/.libs/%s.so", builddir != NULL ? builddir : ".",
			       (int)(slash - name), name, slash + 1);
	object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	symbol = object != NULL ? dlsym(object, CONCD_PLUGIN_SYMBOL) : NULL;
	if (symbol == NULL) {
		fprintf(stderr, "cannot load %s: %s\n", path, dlerror());
		abort();
	}
	h = harness_open_plugin(*symbol);
	h->object = object;
	return h;
}

const struct concd_plugin *harness_plugin(struct harness *h)
{
	return h->plugin;
}

void harness_param(struct harness *h, const char *name, const char *value)
{
	assert(h->n_params < PARAMS_MAX);
	h->names[h->n_params] = name;
	h->values[h->n_params++] = value;
}

void harness_workers(struct harness *h, uint32_t workers)
{
	h->workers = workers;
}

int harness_start(struct harness *h)
{
	int r = h->plugin->worker_init != NULL ? h->plugin->worker_init(&h->worker) : 0;

	h->is_started = r == 0;
	return r;
}

struct harness_task *harness_add_bytes(struct harness *h, const void *input, size_t len)
{
	struct harness_task *t = calloc(1, sizeof(*t));

	assert(t != NULL);
	t->task = (struct concd_task){.host = &harness_services, .worker = &h->worker};
	t->harness = h;
	t->input = malloc(len + 1);
	assert(t->input != NULL);
	memcpy(t->input, input, len);
	t->input[len] = '\0';
	t->input_len = len;
	t->index = h->n_tasks++;
	t->retry_after_ns = -1;
	t->cancel_at = -1;
	t->timer = event_new(h->base, -1, 0, on_task_timer, t);
	assert(t->timer != NULL);
	pthread_cond_init(&t->turn, NULL);
	*h->last = t;
	h->last = &t->next;
	return t;
}

struct harness_task *harness_add(struct harness *h, const char *input)
{
	return harness_add_bytes(h, input, strlen(input));
}

static void *task_main(void *arg)
{
	struct harness_task *t = arg;
	struct harness *h = t->harness;

	pthread_mutex_lock(&h->lock);
	while (!t->has_turn)
		pthread_cond_wait(&t->turn, &h->lock);
	pthread_mutex_unlock(&h->lock);
	t->returned = harness_run_task(t);
	pthread_mutex_lock(&h->lock);
	t->has_ended = true;
	t->has_turn = false;
	pthread_cond_signal(&h->loop_turn);
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* Run until the task waits, or has ended. */
static void step(struct harness *h, struct harness_task *t)
{
	pthread_attr_t attr;

	pthread_mutex_lock(&h->lock);
	if (!t->is_started) {
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, STACK_BYTES);
		if (pthread_create(&t->thread, &attr, task_main, t) != 0)
			abort();
		pthread_attr_destroy(&attr);
		t->is_started = true;
	}
	t->has_turn = true;
	pthread_cond_signal(&t->turn);
	while (t->has_turn)
		pthread_cond_wait(&h->loop_turn, &h->lock);
	pthread_mutex_unlock(&h->lock);
	if (t->has_ended)
		pthread_join(t->thread, NULL);
}

bool harness_turn(struct harness *h, bool wait)
{
	bool any = false;

	for (struct harness_task *t = h->tasks; t != NULL; t = t->next) {
		bool can_go;

		if (t->has_ended)
			continue;
		pthread_mutex_lock(&h->lock);
		can_go = !t->is_started || t->is_cancelled || t->is_resumed || t->is_timed_out || t->ready_events != 0;
		pthread_mutex_unlock(&h->lock);
		if (can_go)
			step(h, t);
		any |= !t->has_ended;
	}
	if (any && wait)
		event_base_loop(h->base, EVLOOP_ONCE);
	return any;
}

void harness_run(struct harness *h)
{
	while (harness_turn(h, true))
		;
}

void harness_cancel(struct harness_task *t)
{
	t->is_cancelled = true;
	harness_wake(t->harness);
}

void harness_close(struct harness *h)
{
	struct harness_task *t;

	if (h->is_started && h->plugin->worker_exit != NULL)
		h->plugin->worker_exit(&h->worker);
	while ((t = h->tasks) != NULL) {
		h->tasks = t->next;
		assert(t->has_ended || !t->is_started);
		event_free(t->timer);
		pthread_cond_destroy(&t->turn);
		harness_free_parts(t);
		free(t->input);
		free(t->result);
		free(t->failure);
		free(t);
	}
	assert(h->n_resumers == 0);
	event_free(h->wake_event);
	event_base_free(h->base);
	close(h->wake_fd);
	pthread_cond_destroy(&h->loop_turn);
	pthread_mutex_destroy(&h->lock);
	if (h->object != NULL)
		dlclose(h->object);
	free(h);
}
