/* deaf: many clients that ask and do not read: deaf SOCKET PATH N. Connects N times, sends a GET for the path on each
 * connection, says what a refused one was told, and then reads nothing until its standard input ends or it is killed. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 5000 /* most: the last one is answered at once, whether it is served or refused */

static int ask(const char *socket_path, const char *request)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int small = 4096; /* as little as the kernel allows for what is not read */

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    write(fd, request, strlen(request)) < 0)
		perror("deaf");
	return fd;
}

/* What came on the last connection, without taking it away; only asked of one that may have been refused. */
static void say_refusal(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char text[1024];
	ssize_t n;

	if (poll(&poll_fd, 1, ANSWER_MS) <= 0)
		return;
	n = recv(fd, text, sizeof(text) - 1, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (strstr(text, " 503 ")) {
		(void)printf("%s\n", text);
		(void)fflush(stdout);
	}
}

int main(int argc, char *argv[])
{
	char request[256], unused;
	int fd = -1;

	if (argc != 4)
		return 2;
	(void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: concd\r\n\r\n", argv[2]);
	for (int left = atoi(argv[3]); left > 0; left--)
		fd = ask(argv[1], request);
	say_refusal(fd);
	while (read(STDIN_FILENO, &unused, 1) > 0)
		;
	return 0;
}
