/* Reads and writes that finish, and files read whole. They block. */
#ifndef CONCD_BASE_IO_H
#define CONCD_BASE_IO_H

#include <stddef.h>
#include <sys/types.h>

struct buffer;

/* Read until len bytes or end of file. The number read, or -errno. */
ssize_t io_read_full(int fd, void *data, size_t len);
/* Write all of it. 0 or -errno. */
int io_write_full(int fd, const void *data, size_t len);
int io_pwrite_full(int fd, const void *data, size_t len, off_t offset);
ssize_t io_pread_full(int fd, void *data, size_t len, off_t offset);

/* Append a file's content to b. 0; -EFBIG above max_bytes; -errno of open or read. */
int io_read_file(const char *path, size_t max_bytes, struct buffer *b);

#endif
