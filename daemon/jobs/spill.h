/* Where jobs that are not kept on disk put what does not fit memory: an unlinked file of the state directory, made when
 * first written to. Its space is not reused; it ends with its job. Writes and reads go through the page cache. */
#ifndef CONCD_JOBS_SPILL_H
#define CONCD_JOBS_SPILL_H

#include <stddef.h>
#include <stdint.h>

struct spill {
	int fd; /* -1: nothing written yet */
	uint64_t end;
};

#define SPILL_INIT { .fd = -1, .end = 0 }

void spill_fini(struct spill *spill);
/* Append; *ret_offset says where. 0 or -errno (ENOSPC ...). */
int spill_write(struct spill *spill, const char *dir, const void *data, size_t len, uint64_t *ret_offset);
/* Read back len bytes. 0, -EIO where they are not there, or -errno. */
int spill_read(const struct spill *spill, uint64_t offset, void *data, size_t len);

#endif
