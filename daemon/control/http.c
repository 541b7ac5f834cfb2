/* The server's side of the control socket: accepting, limits, timeouts. */
#include "control/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/conn.h"

#define ACCEPTS_PER_TURN 64
#define MAX_REFUSED 64 /* connections kept for a moment to tell them "busy"; more are just closed */

static void server_tick(struct http_server *server)
{
	const struct timeval second = { .tv_sec = 1 };

	if (!server->ticking && event_add(&server->tick_ev, &second) == 0)
		server->ticking = true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;
	int64_t now_ns = clock_mono_ns();
	struct conn *next;

	(void)fd;
	(void)what;
	server->ticking = false;
	if (server->accept_paused && event_add(&server->listen_ev, NULL) == 0)
		server->accept_paused = false;
	for (struct conn *conn = server->conns; conn; conn = next) {
		next = conn->next;
		if (conn->state == CONN_HEAD || conn->state == CONN_BODY || conn->state == CONN_LINGER) {
			if (conn->state == CONN_HEAD && conn->in.len == 0 && conn->out.len == 0) {
				/* between requests: nothing of the last one is kept for longer than a second or two */
				buffer_fini(&conn->in);
				buffer_fini(&conn->out);
			}
			if (now_ns >= conn->deadline_ns)
				conn_kill(conn);
		} else if (!conn->reading && conn_hung_up(conn)) {
			conn_kill(conn);
		}
	}
	if (server->conns || server->accept_paused)
		server_tick(server);
}

static uint32_t clients_of(const struct http_server *server, uint32_t uid)
{
	uint32_t n = 0;

	for (const struct conn *conn = server->conns; conn; conn = conn->next)
		n += conn->counted && conn->req.peer.uid == uid;
	return n;
}

static void server_accepted(struct http_server *server, int fd)
{
	const struct http_options *options = &server->options;
	struct ucred cred = { .pid = 0 };
	socklen_t len = sizeof(cred);
	char text[128] = "";
	struct conn *conn;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		log_warning("control: client: who it is cannot be told: %s; closing", strerror(errno));
		(void)close(fd); /* it carried nothing */
		return;
	}
	if (server->clients >= options->max_clients)
		(void)snprintf(text, sizeof(text), "%u clients are connected, as many as limits.max_clients allows",
			       server->clients);
	else if (clients_of(server, cred.uid) >= options->max_clients_per_user)
		(void)snprintf(text, sizeof(text), "user %u has %u connections, as many as "
			       "limits.max_clients_per_user allows", cred.uid, options->max_clients_per_user);
	conn = *text && server->refused >= MAX_REFUSED ? NULL : conn_new(server, fd, &cred, !*text);
	if (!conn) {
		(void)close(fd); /* it carried nothing */
		return;
	}
	server_tick(server);
	if (*text)
		conn_refuse(conn, "busy", text);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;

	(void)what;
	for (unsigned int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			server_accepted(server, client);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) { /* no descriptors or memory: trying again at once would only burn the processor */
			log_warning("control: new client: %s; accepting none for a second", strerror(errno));
			(void)event_del(&server->listen_ev);
			server->accept_paused = true;
			server_tick(server);
		}
		return;
	}
}

int http_open(const struct http_options *options, struct http_server **ret_server)
{
	struct http_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->options = *options;
	if (event_assign(&server->listen_ev, options->base, options->listen_fd, EV_READ | EV_PERSIST, on_acceptable,
			 server) < 0 ||
	    evtimer_assign(&server->tick_ev, options->base, on_tick, server) < 0 ||
	    event_add(&server->listen_ev, NULL) < 0) {
		free(server);
		return -ENOMEM;
	}
	*ret_server = server;
	return 0;
}

void http_close(struct http_server *server)
{
	if (!server)
		return;
	(void)event_del(&server->listen_ev); /* fails for an event without a base only */
	(void)event_del(&server->tick_ev);
	while (server->conns)
		conn_kill(server->conns);
	free(server);
}

uint32_t http_clients(const struct http_server *server)
{
	return server->clients;
}
