/* libcurl on a runner's event base (see session.h).
 *
 * A multi handle finds a socket's transfer in a table of fixed size, and a connection in a list of all of its host: with
 * thousands at once each step of a transfer would walk through dozens of others. So a session has as many multi handles as it
 * takes to have no more than TRANSFERS_MAX transfers in each; names' addresses and TLS sessions they share.
 *
 * A transfer goes to the first that has room: one that ended there has left its connection there. */
#include "session.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sockets.h"

#define TRANSFERS_MAX 1024u /* in a multi handle */
/* Connections kept without a transfer, of all hosts and multi handles together. */
#define IDLE_MAX 1024u
#define ADDRESS_SECONDS 60L
/* Large bodies want a large buffer; many at once want the memory. Of a buffer small bodies touch the beginning only, but that is
 * somewhere else each time: a worker that has had thousands at once again and again ends up with all of it. */
#define BUFFER_LARGE (256L * 1024)
#define LARGE_UP_TO 16u /* transfers at once */
#define BUFFER_MIDDLE (32L * 1024)
#define MIDDLE_UP_TO 1024u
#define BUFFER_SMALL (8L * 1024)
#define SPARE_MAX 256u /* handles kept for the next transfers */

struct multi {
	struct session *session;
	uint32_t number, n_transfers;
	CURLM *curl;
	struct event *timer;
};

struct session {
	struct concd_worker *worker;
	struct event_base *base;
	struct sockets *sockets;
	CURLSH *share;
	struct multi **multis; /* one at least */
	uint32_t n_multis, first_open; /* those before it are full */
	struct gate *gate;
	uint32_t n_transfers, n_spare;
	struct handle spare[SPARE_MAX];
};

/* Once per process, by the first runner; libcurl's global state stays until the process ends. */
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows at the next call */
}

/* Tell the tasks whose transfers have ended. Their handles leave the multi handle here, before they go on. */
static void multi_finish(struct multi *multi)
{
	const struct concd_host *host = multi->session->worker->host;
	struct transfer *transfer;
	CURLMsg *message;
	char *private;
	int left;

	while ((message = curl_multi_info_read(multi->curl, &left)) != NULL) {
		CURL *easy = message->easy_handle;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private); /* set by transfer_open */
		transfer = (struct transfer *)(void *)private;
		(void)curl_multi_remove_handle(multi->curl, easy); /* message is gone after this */
		transfer->code = code;
		transfer->done = true;
		concd_resume(host, transfer->resumer);
	}
}

/* ---- Sockets ---- */

static void on_ready(void *owner, curl_socket_t fd, int mask)
{
	struct multi *multi = owner;
	int running;

	(void)curl_multi_socket_action(multi->curl, fd, mask, &running); /* errors are of transfers */
	multi_finish(multi);
}

/* libcurl wants to know when `fd` is ready, or not any more. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
	struct multi *multi = userp;

	(void)easy;
	(void)socketp;
	return sockets_want(multi->session->sockets, fd, what, multi) < 0 ? -1 : 0;
}

static bool is_this_machine(const struct curl_sockaddr *address)
{
	const struct sockaddr *to = &address->addr;

	if (address->socktype != SOCK_STREAM)
		return false;
	if (to->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)to)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return to->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)to)->sin6_addr);
}

static int open_socket(const struct curl_sockaddr *address)
{
	return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
}

/* A connection inside this machine is there when connect() comes back, which does not say so before it is asked again: libcurl
 * asks once, and would wait for an event. So it is asked before. True: it will be told that the connection is there; else this socket
 * is of no use to it. */
static bool connect_at_once(curl_socket_t fd, const struct curl_sockaddr *address)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};

	return connect(fd, &address->addr, address->addrlen) < 0 && errno == EINPROGRESS && poll(&ready, 1, 0) == 1 &&
	       ready.revents == POLLOUT;
}

/* A socket is opened: the address is known. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *transfer = arg;
	curl_socket_t fd;

	(void)purpose;
	gate_resolved(&transfer->pass);
	fd = open_socket(address);
	if (fd >= 0 && is_this_machine(address) && !connect_at_once(fd, address)) {
		(void)close(fd); /* nothing was written, here and below */
		fd = open_socket(address);
	}
	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (sockets_own(transfer->session->sockets, fd) < 0) {
		(void)close(fd);
		return CURL_SOCKET_BAD;
	}
	return fd;
}

static int on_close_socket(void *arg, curl_socket_t fd)
{
	struct session *session = arg;

	sockets_ended(session->sockets, fd); /* before the number may be another's */
	return close(fd);
}

/* ---- Multi handles ---- */

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct multi *multi = arg;
	int running;

	(void)fd;
	(void)what;
	(void)curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
	multi_finish(multi);
}

static int on_timer_wanted(CURLM *curl, long timeout_ms, void *userp)
{
	struct multi *multi = userp;
	struct timeval tv;

	(void)curl;
	if (timeout_ms < 0)
		return event_del(multi->timer);
	tv.tv_sec = timeout_ms / 1000;
	tv.tv_usec = timeout_ms % 1000 * 1000;
	return event_add(multi->timer, &tv); /* 0 goes through the loop as well: no recursion */
}

/* libcurl counts connections in use as kept ones, and over its limit searches all of them for the oldest idle one each
 * time a transfer ends: quadratic for many at once. So the limit goes along with the transfers. */
static void count_transfers(struct multi *multi, int change)
{
	struct session *session = multi->session;

	multi->n_transfers += (uint32_t)change;
	session->n_transfers += (uint32_t)change;
	if (change < 0 && multi->number < session->first_open)
		session->first_open = multi->number;
	(void)curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS,
				(long)(multi->n_transfers + IDLE_MAX / session->n_multis));
}

static void multi_free(struct multi *multi)
{
	if (multi->curl != NULL)
		(void)curl_multi_cleanup(multi->curl);
	if (multi->timer != NULL)
		event_free(multi->timer);
	free(multi);
}

/* One more; -ENOMEM. */
static int multi_add(struct session *session)
{
	struct multi **multis = realloc(session->multis, (session->n_multis + 1) * sizeof(struct multi *)), *multi;

	if (multis == NULL)
		return -ENOMEM;
	session->multis = multis;
	multi = calloc(1, sizeof(*multi));
	if (multi == NULL)
		return -ENOMEM;
	multi->session = session;
	multi->number = session->n_multis;
	multi->timer = event_new(session->base, -1, 0, on_timeout, multi);
	multi->curl = curl_multi_init();
	if (multi->timer == NULL || multi->curl == NULL) {
		multi_free(multi);
		return -ENOMEM;
	}
	/* All of these only store their argument. */
	(void)curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
	(void)curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	(void)curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
	session->multis[session->n_multis++] = multi;
	return 0;
}

/* The first that has room; NULL: out of memory. */
static struct multi *multi_take(struct session *session)
{
	while (session->first_open < session->n_multis &&
	       session->multis[session->first_open]->n_transfers >= TRANSFERS_MAX)
		session->first_open++;
	if (session->first_open == session->n_multis && multi_add(session) < 0)
		return NULL;
	return session->multis[session->first_open];
}

/* ---- The session ---- */

int session_open(struct concd_worker *worker, uint32_t max_lookups, struct session **ret_session)
{
	struct session *session;
	int r;

	(void)pthread_once(&curl_once, init_curl);
	session = calloc(1, sizeof(*session));
	if (session == NULL)
		return -ENOMEM;
	session->worker = worker;
	session->base = concd_event_base(worker);
	session->gate = gate_new(max_lookups);
	session->share = curl_share_init();
	r = session->gate == NULL || session->share == NULL || multi_add(session) < 0 ?
		    -ENOMEM : sockets_open(session->base, on_ready, &session->sockets);
	if (r < 0) {
		concd_log(worker, CONCD_LOG_ERROR, "cannot prepare libcurl: %s", strerror(-r));
		session_close(session);
		return r;
	}
	/* These cannot fail. The share is for this thread alone: it needs no locks. */
	(void)curl_share_setopt(session->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	(void)curl_share_setopt(session->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	*ret_session = session;
	return 0;
}

void session_close(struct session *session)
{
	if (session == NULL)
		return;
	while (session->n_spare > 0)
		handle_fini(&session->spare[--session->n_spare]);
	while (session->n_multis > 0)
		multi_free(session->multis[--session->n_multis]);
	free(session->multis);
	if (session->share != NULL)
		(void)curl_share_cleanup(session->share);
	sockets_close(session->sockets); /* with the multi handles every socket has been closed */
	gate_free(session->gate);
	free(session);
}

struct gate *session_gate(struct session *session)
{
	return session->gate;
}

/* The request is about to be sent, perhaps over a kept connection, for which nothing was looked up. */
static int on_request(void *arg, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
	struct transfer *transfer = arg;

	(void)peer_ip;
	(void)own_ip;
	(void)peer_port;
	(void)own_port;
	gate_resolved(&transfer->pass);
	transfer_alive(transfer);
	return CURL_PREREQFUNC_OK;
}

/* A handle with the options that all transfers have; NULL: out of memory. */
static CURL *easy_new(struct session *session)
{
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		return NULL;
	if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
	    /* What the environment says is not asked: neither for a proxy nor for exceptions. */
	    curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK || curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") != CURLE_OK) {
		curl_easy_cleanup(easy);
		return NULL;
	}
	/* Options with numbers and pointers: they cannot fail. */
	(void)curl_easy_setopt(easy, CURLOPT_SHARE, session->share);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* A look-up that is given up must not hold the thread until the resolver gives up too. */
	(void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, ADDRESS_SECONDS);
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	(void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	(void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, session); /* connections outlive transfers */
	(void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
	return easy;
}

static int handle_take(struct session *session, struct handle *ret_handle)
{
	CURL *easy;

	if (session->n_spare > 0) {
		*ret_handle = session->spare[--session->n_spare];
		return 0;
	}
	easy = easy_new(session);
	if (easy == NULL)
		return -ENOMEM;
	*ret_handle = (struct handle){.easy = easy};
	return 0;
}

static void handle_give(struct session *session, struct handle *handle, bool is_special)
{
	if (is_special || session->n_spare == SPARE_MAX) {
		handle_fini(handle);
		return;
	}
	(void)curl_easy_setopt(handle->easy, CURLOPT_ERRORBUFFER, NULL); /* the transfer's */
	handle->used = true;
	session->spare[session->n_spare++] = *handle;
}

static long buffer_bytes(uint32_t n_transfers)
{
	return n_transfers <= LARGE_UP_TO ? BUFFER_LARGE : n_transfers <= MIDDLE_UP_TO ? BUFFER_MIDDLE : BUFFER_SMALL;
}

int transfer_open(struct transfer *transfer, struct session *session, struct concd_task *task)
{
	CURL *easy;
	int r;

	*transfer = (struct transfer){.session = session, .task = task};
	transfer->resumer = concd_resumer(task);
	transfer->multi = multi_take(session);
	if (transfer->resumer == NULL || transfer->multi == NULL)
		return -ENOMEM;
	r = handle_take(session, &transfer->handle);
	if (r < 0)
		return r;
	transfer->easy = easy = transfer->handle.easy;
	count_transfers(transfer->multi, 1);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, buffer_bytes(session->n_transfers));
	return 0;
}

void transfer_close(struct transfer *transfer)
{
	if (transfer->session == NULL)
		return;
	gate_leave(&transfer->pass, GATE_END_CLOSED);
	if (transfer->easy != NULL) {
		handle_give(transfer->session, &transfer->handle, transfer->is_special);
		count_transfers(transfer->multi, -1);
	}
	if (transfer->resumer != NULL)
		concd_resumer_free(transfer->task->host, transfer->resumer);
	*transfer = (struct transfer){0};
}

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void transfer_alive(struct transfer *transfer)
{
	if (transfer->stall_timeout_ns > 0)
		transfer->alive_ns = now_ns();
}

/* How long the exchange may go on without news. 0: it has stalled. libcurl's own limit is a mean of five seconds, which
 * notices late, and a timer that fires every second. While there is no connection its own limit counts. */
static int64_t patience_ns(const struct transfer *transfer)
{
	int64_t left_ns = transfer->stall_timeout_ns;

	if (left_ns == 0)
		return CONCD_NO_TIMEOUT;
	if (transfer->alive_ns != 0)
		left_ns -= now_ns() - transfer->alive_ns;
	return left_ns > 0 ? left_ns : 0;
}

int transfer_perform(struct transfer *transfer)
{
	CURLM *curl = transfer->multi->curl;
	int64_t left_ns;
	int r = 0;

	transfer->done = false;
	transfer->alive_ns = 0;
	transfer->error[0] = '\0';
	(void)curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, (long)transfer->pass.fresh);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, (long)transfer->pass.forbid_reuse);
	if (curl_multi_add_handle(curl, transfer->easy) != CURLM_OK)
		return -ENOMEM;
	while (!transfer->done && (r == 0 || r == -ETIMEDOUT) && (left_ns = patience_ns(transfer)) != 0)
		r = concd_suspend(transfer->task, left_ns);
	if (transfer->done)
		return 0;
	(void)curl_multi_remove_handle(curl, transfer->easy);
	if (r < 0 && r != -ETIMEDOUT)
		return r;
	(void)snprintf(transfer->error, sizeof(transfer->error), "nothing came for %.3g s",
		       (double)transfer->stall_timeout_ns / 1e9);
	transfer->code = CURLE_OPERATION_TIMEDOUT;
	return 0;
}
