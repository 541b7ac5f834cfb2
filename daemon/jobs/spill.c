/* Unlinked files. */
#include "spill.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"

void spill_fini(struct spill *spill)
{
	if (spill->fd >= 0)
		(void)close(spill->fd); /* the file goes with it */
	*spill = (struct spill)SPILL_INIT;
}

int spill_write(struct spill *spill, const char *dir, const void *data, size_t len, uint64_t *ret_offset)
{
	int r;

	if (spill->fd < 0) {
		spill->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (spill->fd < 0)
			return -errno;
	}
	r = io_pwrite_full(spill->fd, data, len, (off_t)spill->end);
	if (r < 0)
		return r;
	*ret_offset = spill->end;
	spill->end += len;
	return 0;
}

int spill_read(const struct spill *spill, uint64_t offset, void *data, size_t len)
{
	ssize_t n = io_pread_full(spill->fd, data, len, (off_t)offset);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}
