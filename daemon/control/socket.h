/* The listening Unix socket and its place in the file system. */
#ifndef CONCD_CONTROL_SOCKET_H
#define CONCD_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

struct error;

struct control_socket {
	int fd; /* -1: not open */
	char *path; /* NULL: inherited, not ours to remove */
	dev_t device; /* of the path, when it was made */
	ino_t inode;
};

#define CONTROL_SOCKET_INIT { .fd = -1, .path = NULL }

/* Make `path`'s directory if it is missing (0755, or 0700 for a private one: `private_dir`), bind, apply group (NULL: leave)
 * and mode, listen. 0 or -errno with words: -EADDRINUSE a daemon serves it, -EEXIST something else is there,
 * -ENAMETOOLONG, -ENOENT no such group. Blocks for a moment: start-up only. */
int control_socket_open(const char *path, const char *group, mode_t mode, bool private_dir,
			struct control_socket *ret_socket, struct error *err);
/* Take over a socket that listens already. -EINVAL: it is no listening Unix stream socket; it is closed then. */
int control_socket_inherit(int fd, struct control_socket *ret_socket, struct error *err);
void control_socket_close(struct control_socket *socket); /* fine on one that is not open */

#endif
