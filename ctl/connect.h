/* Where the daemon's socket is, and what to tell a person who cannot reach it. */
#ifndef CONCD_CTL_CONNECT_H
#define CONCD_CTL_CONNECT_H

#include <limits.h>

struct error;

/* The path that will be tried: `given` (-s) where not NULL, else $CONCD_SOCKET, else the first that exists of the
 * system's and the user's own, else "" (none exists). 0; -ENAMETOOLONG: it is none that a socket can have. */
int socket_find(const char *given, char ret_path[PATH_MAX], struct error *err);

/* Connect. A descriptor, or -errno with the reason in words: code "unreachable" or "denied". Blocks only while the
 * daemon's backlog is full. */
int socket_connect(const char *given, struct error *err);

#endif
