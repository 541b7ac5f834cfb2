/* Sockets in an epoll set that is an event of the base (see sockets.h).
 *
 * A kept connection stays in the set without a transfer: what then comes of it is that the server has closed it. libcurl
 * looks by itself before it uses one again, so it is taken out of the set.
 */
#include "sockets.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 256 /* looked at in a turn: the loop has others to serve */
#define WATCHES_MIN 64u

struct watch {
	void *owner;
	uint32_t events; /* as the set has it; 0: it is not in it */
	uint32_t generation; /* tells this socket from those that had its number before */
	bool wanted; /* by libcurl, now */
	bool owned;
};

struct sockets {
	int epoll;
	sockets_ready_fn on_ready;
	struct event *event; /* on the base while there is something in the set */
	uint32_t n_watched;
	struct watch *watches; /* by descriptor */
	size_t n_watches;
};

/* ---- The set ---- */

/* NULL: out of memory. Valid until the next call. */
static struct watch *watch_of(struct sockets *sockets, curl_socket_t fd)
{
	size_t at = (size_t)fd, n = sockets->n_watches > 0 ? sockets->n_watches : WATCHES_MIN;
	struct watch *watches;

	if (at < sockets->n_watches)
		return &sockets->watches[at];
	while (n <= at)
		n *= 2;
	watches = realloc(sockets->watches, n * sizeof(*watches));
	if (watches == NULL)
		return NULL;
	memset(watches + sockets->n_watches, 0, (n - sockets->n_watches) * sizeof(*watches));
	sockets->watches = watches;
	sockets->n_watches = n;
	return &watches[at];
}

/* It is not in the set any more. */
static void watch_left(struct sockets *sockets, struct watch *watch)
{
	if (watch->events == 0)
		return;
	watch->events = 0;
	if (--sockets->n_watched == 0)
		(void)event_del(sockets->event); /* cannot fail for an event that was made */
}

static void watch_remove(struct sockets *sockets, struct watch *watch, curl_socket_t fd)
{
	if (watch->events != 0)
		(void)epoll_ctl(sockets->epoll, EPOLL_CTL_DEL, fd, NULL); /* it is there, or was closed and so is not */
	watch_left(sockets, watch);
}

static int watch_set(struct sockets *sockets, struct watch *watch, curl_socket_t fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = (uint64_t)watch->generation << 32 | (uint32_t)fd};

	if (watch->events == events && watch->owned)
		return 0;
	/* One that is not ours may have been closed meanwhile, and another have its number. */
	if ((watch->events == 0 || epoll_ctl(sockets->epoll, EPOLL_CTL_MOD, fd, &event) < 0) &&
	    epoll_ctl(sockets->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	if (watch->events == 0 && sockets->n_watched++ == 0 && event_add(sockets->event, NULL) < 0) {
		(void)epoll_ctl(sockets->epoll, EPOLL_CTL_DEL, fd, NULL); /* just put in */
		sockets->n_watched--;
		return -ENOMEM;
	}
	watch->events = events;
	return 0;
}

static void socket_ready(struct sockets *sockets, const struct epoll_event *event)
{
	curl_socket_t fd = (curl_socket_t)(uint32_t)event->data.u64;
	struct watch *watch = &sockets->watches[fd];
	uint32_t ready = event->events;

	/* Those before it in this turn may have ended it, and others may have its number now. */
	if (watch->generation != event->data.u64 >> 32 || watch->events == 0)
		return;
	if (!watch->wanted) {
		watch_remove(sockets, watch, fd);
		return;
	}
	if (ready & (EPOLLERR | EPOLLHUP)) /* what it waits for will tell */
		ready |= watch->events;
	sockets->on_ready(watch->owner, fd,
			  (ready & EPOLLIN ? CURL_CSELECT_IN : 0) | (ready & EPOLLOUT ? CURL_CSELECT_OUT : 0));
}

static void on_set(evutil_socket_t epoll, short what, void *arg)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(epoll, events, EVENTS, 0); /* what fails is tried again in the next turn */

	(void)what; /* only ever readable */
	for (int i = 0; i < n; i++)
		socket_ready(arg, &events[i]);
}

/* ---- For the session ---- */

int sockets_open(struct event_base *base, sockets_ready_fn on_ready, struct sockets **ret_sockets)
{
	struct sockets *sockets = calloc(1, sizeof(*sockets));
	int r;

	if (sockets == NULL)
		return -ENOMEM;
	sockets->on_ready = on_ready;
	sockets->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = sockets->epoll < 0 ? -errno : 0;
	if (r == 0)
		sockets->event = event_new(base, sockets->epoll, EV_READ | EV_PERSIST, on_set, sockets);
	if (r == 0 && sockets->event == NULL)
		r = -ENOMEM;
	if (r < 0) {
		sockets_close(sockets);
		return r;
	}
	*ret_sockets = sockets;
	return 0;
}

void sockets_close(struct sockets *sockets)
{
	if (sockets == NULL)
		return;
	if (sockets->event != NULL)
		event_free(sockets->event);
	if (sockets->epoll >= 0)
		(void)close(sockets->epoll); /* nothing was written */
	free(sockets->watches);
	free(sockets);
}

int sockets_own(struct sockets *sockets, curl_socket_t fd)
{
	struct watch *watch = watch_of(sockets, fd);

	if (watch == NULL)
		return -ENOMEM;
	sockets_ended(sockets, fd); /* nothing, unless somebody has closed a socket of ours behind our back */
	watch->owned = true;
	return 0;
}

int sockets_want(struct sockets *sockets, curl_socket_t fd, int what, void *owner)
{
	struct watch *watch = watch_of(sockets, fd);

	if (watch == NULL)
		return -ENOMEM;
	watch->owner = owner;
	watch->wanted = what != CURL_POLL_REMOVE;
	if (watch->wanted)
		return watch_set(sockets, watch, fd, (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u));
	if (!watch->owned) {
		watch_remove(sockets, watch, fd);
		sockets_ended(sockets, fd);
	}
	return 0;
}

void sockets_ended(struct sockets *sockets, curl_socket_t fd)
{
	struct watch *watch = &sockets->watches[fd];
	uint32_t generation = watch->generation + 1;

	watch_left(sockets, watch); /* closing it takes it out of the set */
	*watch = (struct watch){.generation = generation};
}
