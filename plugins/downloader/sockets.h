/* The sockets of libcurl's multi handles on a runner's event base.
 *
 * They have an epoll set of their own, which is one event on the base: a connection costs two epoll_ctl() in its life, when it
 * is made and when it is there, and none where it is kept from one transfer to the next. An event each on the base would
 * be taken off and put on again in between, and taken off before the socket is closed.
 *
 * The runner's thread only.
 */
#ifndef CONCD_PLUGINS_DOWNLOADER_SOCKETS_H
#define CONCD_PLUGINS_DOWNLOADER_SOCKETS_H

#include <curl/curl.h>

struct event_base;
struct sockets;

/* A socket of this owner is ready: mask is of CURL_CSELECT_*. It may call anything here. */
typedef void (*sockets_ready_fn)(void *owner, curl_socket_t fd, int mask);

int sockets_open(struct event_base *base, sockets_ready_fn on_ready, struct sockets **ret_sockets); /* 0 or -errno */
void sockets_close(struct sockets *sockets); /* when all have been closed; NULL is fine */

/* A socket that is closed by way of sockets_ended(); of others libcurl says only that it wants no more of them. 0 or -ENOMEM. */
int sockets_own(struct sockets *sockets, curl_socket_t fd);
/* What libcurl wants to know of it: CURL_POLL_*. 0 or -errno. */
int sockets_want(struct sockets *sockets, curl_socket_t fd, int what, void *owner);
/* It is about to be closed. */
void sockets_ended(struct sockets *sockets, curl_socket_t fd);

#endif
