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

/* One request with one piece. 0 and the new number on disk, or -errno as talk_on(). */
static int send_piece(struct upload *u, struct http **http, struct buffer *piece, bool last, struct document *doc,
		      struct error *err)
{
	struct iovec body = { .iov_base = piece->data, .iov_len = piece->len };
	char url[128];
	int r = *http ? 0 : talk_connect(u->ctl, http, err);

	if (r < 0)
		return err->code && exit_status_of(err->code) == EXIT_UNREACHABLE ? -ECONNRESET : r;
	(void)snprintf(url, sizeof(url), "/v1/jobs/%s/inputs?from=%" PRIu64 "&format=packed%s", u->job, u->sent,
		       last ? "&last=1" : "");
	r = talk_on(*http, "POST", url, &body, 1, doc, err);
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
		if (!u->said_full && !u->ctl->quiet)
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

static int upload_piece(struct upload *u, struct http **http, struct buffer *piece, int count, bool last)
{
	int tries = 0;
	int64_t lost_ns = 0; /* when the connection was lost; 0: it is not */

	for (;;) {
		_cleanup_document_ struct document doc = DOCUMENT_INIT;
		struct error err = ERROR_INIT;
		int r = send_piece(u, http, piece, last, &doc, &err);

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
			if (lost_ns == 0)
				lost_ns = clock_mono_ns();
			if (clock_mono_ns() - lost_ns < u->patience_ns && interrupt_sleep(LOST_MS) == 0)
				continue;
		}
		if (r < 0) {
			u->err = err;
			return talk_failed(r, &u->err);
		}
		u->sent += (uint64_t)count;
		return 0;
	}
}

/* The job cannot be given what it was promised. */
static void cancel_job(struct upload *u)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	struct http *http = NULL;
	char url[96];

	if (talk_connect(u->ctl, &http, NULL) < 0)
		return;
	(void)snprintf(url, sizeof(url), "/v1/jobs/%s/cancel?wait=0", u->job);
	(void)talk_on(http, "POST", url, NULL, 0, &doc, NULL); /* the reason for cancelling is what is reported */
	http_close(http);
}

int upload_run(struct upload *u)
{
	_cleanup_buffer_ struct buffer piece = BUFFER_INIT;
	struct http *http = NULL;
	bool last = false;
	int r = 0;

	while (!last && r == 0) {
		int count = inputs_next(u->inputs, &piece, &last, &u->err);

		r = count < 0 ? count : upload_piece(u, &http, &piece, count, last);
	}
	http_close(http);
	if (r < 0 && u->err.code && strcmp(u->err.code, "wrong-state") == 0) {
		u->err = (struct error)ERROR_INIT;
		r = 0; /* it has ended in the meantime: its last line says how */
	}
	if (r < 0 && r != -EINTR && r != -ECONNRESET)
		cancel_job(u);
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
