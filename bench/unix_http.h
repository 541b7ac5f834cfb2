/* The least HTTP over a Unix socket that measures a daemon: blocking, one request at a time. */
#ifndef CONCD_BENCH_UNIX_HTTP_H
#define CONCD_BENCH_UNIX_HTTP_H

#include <stddef.h>

int unix_connect(const char *path); /* a descriptor, or -errno */
/* Send the whole request and receive the whole answer (Content-Length or chunked) into buffer, which is ended by a NUL.
 * Its length, or -errno: -EPROTO for an answer that cannot be understood, -EMSGSIZE for one that does not fit. */
int http_exchange(int fd, const char *request, size_t request_len, char *buffer, size_t size);
/* Of an answer of which len bytes have come, ended by a NUL. 1: it is complete, 0: more is to come, -EPROTO. */
int http_answer_complete(const char *buffer, size_t len);

#endif
