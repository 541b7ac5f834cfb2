/* ping_static: the yardstick for `concctl ping`: the same request, from a program that is nothing else and is linked
 * statically.
 *
 *	ping_static SOCKET
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unix_http.h"

int main(int argc, char **argv)
{
	static const char request[] = "GET /v1/ping HTTP/1.1\r\nHost: concd\r\n\r\n";
	char answer[4096];
	int fd = argc == 2 ? unix_connect(argv[1]) : -1;

	if (fd < 0 || http_exchange(fd, request, sizeof(request) - 1, answer, sizeof(answer)) < 0 ||
	    !strstr(answer, "\"pong\":true")) {
		(void)fputs("ping_static: no answer\n", stderr);
		return 1;
	}
	close(fd);
	return 0;
}
