/* Sending inputs in pieces. */
#include "upload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "ctl.h"
#include "inputs.h"
#include "interrupt.h"
#include "protocol.h"
#include "talk.h"

#define BUSY_MS 50 /* between tries while the daemon has no room for more inputs: more each time, */
#define BUSY_MAX_MS 1000 /* to this */
#define LOST_MS 50
#define CANCEL_MS 5000

/* Take the next piece off the inputs. An error waits in it until it is its turn. */
static void take_next(struct upload *u)
{
	u->next.err = (struct error)ERROR_INIT;
	u->next.count = inputs_next(u->inputs, &u->next.packed, &u->next.last, &u->next.err);
	u->has_next = true;
}

/* One request with the piece, and while it is worked on the next piece is taken, where that waits for nobody. 0 and the new
 * number on disk, or -errno as talk_on(). */
static int send_piece(struct upload *u, struct http **http, struct document *doc, struct error *err)
{
	struct iovec body = { .iov_base = u->piece.packed.data, .iov_len = u->piece.packed.len };
	struct http_reply reply;
	char url[128];
	int r = *http ? 0 : talk_connect(u->ctl, http, err);

	if (r < 0)
		return err->code && exit_status_of(err->code) == EXIT_UNREACHABLE ? -ECONNRESET : r;
	(void)snprintf(url, sizeof(url), "/v1/jobs/%s/inputs?from=%" PRIu64 "&format=packed%s", u->job, u->sent,
		       u->piece.last ? "&last=1" : "");
	r = http_send(*http, "POST", url, &body, 1);
	if (r == 0 && !u->has_next && !u->piece.last && inputs_are_at_hand(u->inputs))
		take_next(u);
	if (r == 0)
		r = http_head(*http, &reply);
	if (r == 0)
		r = talk_read(*http, reply.status, doc, err);
	if (r < 0 || !http_usable(*http)) {
		http_close(*http);
		*http = NULL;
	}
	return r;
}

/* What to make of a piece that was refused: 1: it is on disk all the same; 0: send it again; -errno with err: give up.
 * */
static int refused(struct upload *u, const struct document *doc, int count, int tries, struct error *err)
{
	const json_t *error = json_object_get(doc->json, "error");

	if (strcmp(err->code, "busy") == 0 || strcmp(err->code, "full") == 0) {
		/* Other jobs end by themselves, and room comes with that; a full disk may be one for ever, where nobody knows of it. */
		if (!u->said_full && (!u->ctl->quiet || strcmp(err->code, "full") == 0))
			say("job %s: the rest of the inputs waits for room: %s", u->job, err->text);
		u->said_full = true;
		*err = (struct error)ERROR_INIT;
		return interrupt_sleep(tries < BUSY_MAX_MS / BUSY_MS ? tries * BUSY_MS : BUSY_MAX_MS);
	}
	/* The answer to an earlier try was lost, not the piece. */
	if (strcmp(err->code, "wrong-offset") == 0 && count > 0 &&
	    member_count(error, "have") == u->sent + (uint64_t)count)
		return 1;
	return -EREMOTEIO;
}

static int upload_piece(struct upload *u, struct http **http)
{
	const int count = u->piece.count;
	int tries = 0;
	int64_t lost_ns = 0; /* when the connection was lost; 0: it is not */

	for (;;) {
		_cleanup_document_ struct document doc = DOCUMENT_INIT;
		struct error err = ERROR_INIT;
		int r = send_piece(u, http, &doc, &err);

		/* A daemon that ends now goes on with the job when it is back. */
		if (r == -EREMOTEIO && strcmp(err.code, "stopping") == 0) {
			err = (struct error)ERROR_INIT;
			r = -ECONNRESET;
		}
		if (r == -EREMOTEIO) {
			lost_ns = 0;
			r = refused(u, &doc, count, ++tries, &err);
			if (r == 0)
				continue;
		} else if (r == -ECONNRESET) {
			if (lost_ns == 0 && u->says_losses && u->patience_ns > 0)
				say("the connection to concd was lost; trying for %.0f s to go on with job %s",
				    (double)u->patience_ns / 1e9, u->job);
			if (lost_ns == 0)
				lost_ns = clock_mono_ns();
			if (clock_mono_ns() - lost_ns < u->patience_ns) {
				err = (struct error)ERROR_INIT;
				r = interrupt_sleep(LOST_MS);
				if (r == 0)
					continue;
			}
		}
		if (r < 0) {
			u->err = err;
			return talk_failed(r, &u->err);
		}
		u->sent += (uint64_t)count;
		return 0;
	}
}

/* The job cannot be given what it was promised. 0 or -errno. */
static int cancel_job(struct upload *u)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	struct http *http = NULL;
	char url[96];
	int r = talk_connect(u->ctl, &http, NULL);

	if (r < 0)
		return r;
	http->wake_fd = -1; /* the job's end, which this brings, is what wakes us */
	http->timeout_ms = CANCEL_MS;
	(void)snprintf(url, sizeof(url), "/v1/jobs/%s/cancel?wait=0", u->job);
	r = talk_on(http, "POST", url, NULL, 0, &doc, NULL); /* the reason for cancelling is what is reported */
	http_close(http);
	return r;
}

int upload_run(struct upload *u)
{
	struct http *http = NULL;
	int r;

	do {
		struct upload_piece sent = u->piece; /* its memory is used again */

		if (!u->has_next)
			take_next(u);
		u->piece = u->next;
		u->next = sent;
		u->has_next = false;
		r = u->piece.count;
		if (r < 0)
			u->err = u->piece.err;
		else
			r = upload_piece(u, &http);
	} while (r == 0 && !u->piece.last);
	http_close(http);
	buffer_fini(&u->piece.packed);
	buffer_fini(&u->next.packed);
	if (r < 0 && u->err.code && strcmp(u->err.code, "wrong-state") == 0) {
		u->err = (struct error)ERROR_INIT;
		u->refused = true;
		r = 0; /* it has ended in the meantime: its last line says how */
	}
	if (r < 0 && r != -EINTR && r != -ECONNRESET && cancel_job(u) == 0)
		error_prefix(&u->err, "job %s is cancelled", u->job);
	u->result = r;
	return r;
}

static void *upload_thread(void *arg)
{
	struct upload *u = arg;

	(void)upload_run(u); /* kept in u->result */
	return NULL;
}

int upload_start(struct upload *u)
{
	int r = pthread_create(&u->thread, NULL, upload_thread, u);

	if (r != 0)
		return -r;
	u->started = true;
	return 0;
}

int upload_finish(struct upload *u)
{
	if (!u->started)
		return 0;
	(void)pthread_join(u->thread, NULL); /* cannot fail for a thread that was made and not joined */
	u->started = false;
	return u->result;
}
