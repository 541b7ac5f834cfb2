/* A connection of the control socket, between http.c (accepting, timeouts) and conn.c (requests and answers).
 *
 * A connection is freed only by its own event callbacks, by the tick and by http_close(). Whatever a handler calls marks
 * it (broken, CONN_DEAD) and activates its wake event, which frees it from the loop. So a handler may always finish what
 * it is doing with its request.
 */
#ifndef CONCD_CONTROL_CONN_H
#define CONCD_CONTROL_CONN_H

#include <sys/socket.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buffer.h"
#include "control/http.h"
#include "control/http_parse.h"

enum conn_state {
	CONN_HEAD, /* waiting for a request, or for the rest of its head */
	CONN_BODY,
	CONN_HANDLING, /* the handler's: nothing answered yet */
	CONN_STREAMING, /* the handler's: chunks are sent */
	CONN_FLUSHING, /* answered; bytes are left */
	CONN_LINGER, /* done; reading what the client still sends */
	CONN_DEAD, /* to be freed by its wake event */
};

struct conn {
	struct http_server *server;
	struct conn *next, **prev;
	int fd;
	enum conn_state state;
	struct event read_ev, write_ev;
	struct event wake_ev; /* activated for what is to be done from the loop */
	bool counted; /* among the clients; not so a refused one */
	bool reading; /* read_ev is added */
	bool writing; /* write_ev is added */
	bool head_waits; /* of a stream: only its head is in `out`, and wake_ev is armed to send it */
	bool pending; /* bytes of a next request are in `in` and wake_ev was activated for them */
	bool half_closed; /* the client sends no more, and may still read */
	bool processing; /* inside conn_process() */
	bool broken; /* a write failed */
	bool close_after; /* this answer */
	bool no_body; /* answers of HEAD */
	bool chunked; /* this stream */
	int64_t deadline_ns; /* of the states that read */

	struct http_request req;
	struct http_head head;
	struct buffer head_bytes; /* what head and req point into */
	struct buffer in;
	size_t seen; /* bytes of in looked at for the end of the head */
	size_t body_at; /* where the body begins in in */
	size_t body_end; /* decoded so far */
	struct http_chunks chunks;

	struct buffer out;
	size_t sent; /* bytes of out that the kernel took */
};

struct http_server {
	struct http_options options;
	struct event listen_ev, tick_ev;
	struct conn *conns;
	uint32_t clients, refused;
	bool ticking, accept_paused;
};

/* Ownership of the descriptor moves unless NULL (out of memory) is returned. */
struct conn *conn_new(struct http_server *server, int fd, const struct ucred *cred, bool counted);
/* Free it, telling the handler where it still holds the request. From the loop only, never inside a handler's call. */
void conn_kill(struct conn *conn);
/* Answer with an error and close behind it. */
void conn_refuse(struct conn *conn, const char *code, const char *message);
/* Has the client left altogether, rather than only ended its side? */
bool conn_hung_up(const struct conn *conn);

#endif
