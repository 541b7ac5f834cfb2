/* HTTP over a Unix socket. */
#include "unix_http.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int unix_connect(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static int send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Walk the chunks of a body. 1: it is complete, 0: more is to come, -EPROTO. */
static int chunks_complete(const char *p, const char *end)
{
	for (;;) {
		unsigned long len;
		char *after;

		if (!memmem(p, (size_t)(end - p), "\r\n", 2))
			return 0;
		len = strtoul(p, &after, 16);
		if (after == p || after + 2 > end)
			return -EPROTO;
		after += 2;
		if ((size_t)(end - after) < len + 2)
			return 0;
		if (len == 0)
			return 1;
		p = after + len + 2;
	}
}

int http_answer_complete(const char *buffer, size_t len)
{
	const char *body = strstr(buffer, "\r\n\r\n"), *field;

	if (!body)
		return 0;
	body += 4;
	field = strcasestr(buffer, "\r\nContent-Length:");
	if (field && field < body)
		return len >= (size_t)(body - buffer) + strtoul(field + 17, NULL, 10);
	field = strcasestr(buffer, "\r\nTransfer-Encoding: chunked");
	if (field && field < body)
		return chunks_complete(body, buffer + len);
	return -EPROTO;
}

/* Who sleeps in recv() is woken as well when the other side reads what was sent, only to sleep again. */
static bool await_input(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, -1) == 1 || errno == EINTR;
}

int http_exchange(int fd, const char *request, size_t request_len, char *buffer, size_t size)
{
	size_t len = 0;
	int r = send_all(fd, request, request_len);

	while (r == 0) {
		ssize_t n;

		if (len + 1 >= size)
			return -EMSGSIZE;
		n = recv(fd, buffer + len, size - len - 1, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN && await_input(fd))
			continue;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		len += (size_t)n;
		buffer[len] = '\0';
		r = http_answer_complete(buffer, len);
	}
	return r < 0 ? r : (int)len;
}
