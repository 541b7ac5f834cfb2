/* Streams that go on after a loss. */
#include "rejoin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "ctl.h"
#include "interrupt.h"
#include "protocol.h"
#include "stream.h"
#include "talk.h"

int patience_init(struct patience *p, const struct ctl *ctl, struct error *err)
{
	*p = (struct patience){ .ctl = ctl, .ns = REJOIN_PATIENCE_NS };
	return args_duration(&ctl->args, "reconnect", &p->ns, err);
}

int patience_wait(struct patience *p)
{
	if (p->lost_ns == 0)
		p->lost_ns = clock_mono_ns();
	if (clock_mono_ns() - p->lost_ns >= p->ns)
		return -ETIMEDOUT;
	if (!p->said && !p->ctl->quiet)
		say("the connection to concd was lost; trying for %.0f s to go on with %s", (double)p->ns / 1e9, p->what);
	p->said = true;
	return interrupt_sleep(REJOIN_MS);
}

void patience_found(struct patience *p)
{
	if (p->said && !p->ctl->quiet)
		say("concd is back; %s goes on", p->what);
	p->said = false;
	p->lost_ns = 0;
}

bool patience_is_lost(int r, const char *code)
{
	if (r == -ECONNRESET || r == -ETIMEDOUT)
		return true;
	return r < 0 && code &&
	       (exit_status_of(code) == EXIT_UNREACHABLE || strcmp(code, "busy") == 0 || strcmp(code, "stopping") == 0);
}

/* Ask for what the stream has not passed on yet. 0, or -errno as talk_on(). */
static int ask(const struct rejoin *rejoin, struct stream *s, struct http **ret_http, struct error *err)
{
	_cleanup_buffer_ struct buffer skip = BUFFER_INIT;
	struct iovec body = { .iov_len = 0 };
	struct http *http = NULL;
	struct http_reply reply;
	char url[256];
	int r = seen_format(&s->seen, &skip);

	if (r == 0)
		r = talk_connect(rejoin->patience.ctl, &http, err);
	if (r < 0)
		return r;
	body = (struct iovec){ .iov_base = skip.data, .iov_len = skip.len };
	(void)snprintf(url, sizeof(url), "/v1/jobs/%s/results?format=%s%s%s&from=%" PRIu64, rejoin->job,
		       s->json ? "json" : "frames", s->json && !s->unordered && !s->list_failed ? "&packed=1" : "", rejoin->query,
		       s->unordered ? s->from : s->next); /* fits */
	r = http_send(http, skip.len > 0 ? "POST" : "GET", url, &body, skip.len > 0 ? 1 : 0);
	if (r == 0)
		r = http_head(http, &reply);
	if (r == 0 && reply.status != 200) {
		_cleanup_document_ struct document doc = DOCUMENT_INIT;

		r = talk_read(http, reply.status, &doc, err);
		if (r == 0)
			r = -EPROTO;
	}
	if (r < 0) {
		http_close(http);
		return r;
	}
	*ret_http = http;
	return 0;
}

static int lost_for_good(const struct rejoin *rejoin, bool gone, struct error *err)
{
	*err = (struct error)ERROR_INIT;
	if (!rejoin->how_to_go_on)
		return error_set(err, -ECONNRESET, "unreachable",
				 "the connection to concd was lost%s: job %s was not durable, and it is gone with what it "
				 "had not done", gone ? ", and concd was started anew" : "", rejoin->job);
	if (gone)
		return error_set(err, -ECONNRESET, "no-such-job",
				 "the connection to concd was lost, and the one that answers now has no job %s",
				 rejoin->job);
	return error_set(err, -ECONNRESET, "unreachable",
			 "the connection to concd was lost; when concd is back, job %s goes on: '%s %s'", rejoin->job,
			 rejoin->how_to_go_on, rejoin->job);
}

/* After a loss: 0 with a stream that goes on where the old one ended. */
static int take_up(struct rejoin *rejoin, struct stream *s, struct http **ret_http, struct error *err)
{
	struct patience *p = &rejoin->patience;

	if (!rejoin->job[0] || p->ns == 0)
		return lost_for_good(rejoin, false, err);
	(void)snprintf(p->what, sizeof(p->what), "job %s", rejoin->job);
	progress_erase(&s->progress);
	stream_restart(s);
	for (;;) {
		int r;

		*err = (struct error)ERROR_INIT;
		r = ask(rejoin, s, ret_http, err);
		if (r == 0)
			patience_found(p);
		if (r < 0 && err->code && strcmp(err->code, "no-such-job") == 0)
			return lost_for_good(rejoin, true, err);
		if (!patience_is_lost(r, err->code))
			return r;
		r = patience_wait(p);
		if (r < 0)
			return r == -ETIMEDOUT ? lost_for_good(rejoin, false, err) : r;
	}
}

int rejoin_read(struct rejoin *rejoin, struct stream *s, struct http *http, struct error *err)
{
	uint64_t passed = s->passed;
	int64_t lost_ns = 0;
	int r = 0;

	if (!http)
		r = ask(rejoin, s, &http, err);
	while (r == 0) {
		r = stream_read(s, http, err);
		http_close(http);
		http = NULL;
		if (s->out.error || (r != 0 && r != -ECONNRESET))
			return r;
		/* Streams that keep breaking without getting on count as one loss. */
		if (lost_ns == 0 || s->passed > passed)
			lost_ns = clock_mono_ns();
		passed = s->passed;
		rejoin->patience.lost_ns = lost_ns;
		r = take_up(rejoin, s, &http, err);
	}
	return r;
}
