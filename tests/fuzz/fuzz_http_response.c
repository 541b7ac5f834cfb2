/* Answers of the daemon as concctl reads them: the first byte says in how many bytes at a time they come. */
#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "ctl/http.h"

struct peer {
	int fd; /* the daemon's end; -1: closed */
	const uint8_t *data;
	size_t size, step;
};

/* The client is about to wait: send the next bytes, or close. */
static int on_wait(void *arg)
{
	struct peer *p = arg;
	size_t n = p->size < p->step ? p->size : p->step;

	if (p->fd < 0)
		return 0;
	if (n == 0) {
		(void)close(p->fd); /* all was sent */
		p->fd = -1;
		return 0;
	}
	FUZZ_CHECK(write(p->fd, p->data, n) == (ssize_t)n);
	p->data += n;
	p->size -= n;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer peer = { .step = 1 + (size_t)fuzz_byte(&data, &size) * 16 };
	struct http_reply reply;
	struct http *http;
	int fds[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	FUZZ_CHECK(http_open(fds[0], &http) == 0);
	peer.fd = fds[1];
	peer.data = data;
	peer.size = size;
	http->on_wait = on_wait;
	http->on_wait_arg = &peer;
	for (int i = 0; i < 8 && http_head(http, &reply) == 0; i++) {
		_cleanup_buffer_ struct buffer body = BUFFER_INIT;

		FUZZ_CHECK(reply.status >= 200 && reply.status <= 599);
		FUZZ_CHECK(memchr(reply.job, 0, sizeof(reply.job)));
		if (http_read_all(http, 1000, &body) < 0 || !http_usable(http))
			break;
		FUZZ_CHECK(body.len <= 1000);
	}
	http_close(http);
	if (peer.fd >= 0)
		(void)close(peer.fd); /* the client has gone */
	return 0;
}
