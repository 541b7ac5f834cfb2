/* The least HTTP over a Unix socket that measures a daemon: blocking, one request at a time. */
#ifndef CONCD_BENCH_UNIX_HTTP_H
#define CONCD_BENCH_UNIX_HTTP_H

#include <stddef.h>

int unix_connect(const char *path); /* a descriptor, or -errno */
/* Send the whole request and receive the whole answer (Content-Length or chunked) into buffer, which is ended by a NUL.
 * Its length, or -errno: -EPROTO for an answer that cannot be understood, -EMSGSIZE for one that does not fit. */
int http_exchange(int fd, const char *request, size_t request_len, char *buffer, size_t size);

#endif
