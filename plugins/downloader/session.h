/* A session: libcurl's multi handles on a runner's event base, shared by all transfers of that runner, with their kept
 * connections, known addresses and TLS sessions.
 *
 * libcurl works in callbacks on the loop's stack; a task only starts a transfer, waits, and looks at what came out. A
 * task is resumed after curl_multi_socket_action() has returned, never from inside a callback.
 */
#ifndef CONCD_PLUGINS_DOWNLOADER_SESSION_H
#define CONCD_PLUGINS_DOWNLOADER_SESSION_H

#include <concd/plugin.h>

#include <curl/curl.h>
#include <stdbool.h>

#include "gate.h"
#include "handle.h"

struct session;
struct multi;

/* For the worker's thread. max_lookups: names looked up at once. 0 or -errno, after logging why. */
int session_open(struct concd_worker *worker, uint32_t max_lookups, struct session **ret_session);
void session_close(struct session *session); /* without transfers; NULL is fine */

struct gate *session_gate(struct session *session);

/* An HTTP exchange at a time, or several after each other with the same handle. Caller's memory. */
struct transfer {
	struct session *session;
	struct multi *multi; /* the session's, where this transfer runs */
	struct concd_task *task;
	struct concd_resumer *resumer;
	/* Its options are the caller's to set between exchanges. It may come from an earlier transfer, with the options that
	 * one gave it: each user of a session sets always the same ones, or says that this handle is not to be used again.
	 * Users that never tell a URL in parts may set CURLOPT_URL themselves. */
	struct handle handle;
	CURL *easy; /* the handle's */
	bool is_special; /* the caller's to set */
	struct gate_pass pass;
	int64_t stall_timeout_ns; /* 0: none; the caller's to set */
	int64_t alive_ns; /* when the request was sent, or a part of the answer came; 0: not connected yet */
	CURLcode code; /* of the last exchange */
	bool done;
	char error[CURL_ERROR_SIZE]; /* libcurl's words; may be empty */
};

/* 0 or -ENOMEM. The transfer must not move until it is closed. */
int transfer_open(struct transfer *transfer, struct session *session, struct concd_task *task);
/* Also for a zeroed one. Leaves the gate where it is still inside. */
void transfer_close(struct transfer *transfer);

/* A part of the body has come: for CURLOPT_WRITEFUNCTION. */
void transfer_alive(struct transfer *transfer);

/* Do the exchange that the handle's options describe; the transfer has entered the gate. 0: over, `code` says how,
 * CURLE_OPERATION_TIMEDOUT also where nothing came for stall_timeout_ns; -ECANCELED: given up; -ENOMEM. */
CONCD_YIELDS int transfer_perform(struct transfer *transfer);

#endif
